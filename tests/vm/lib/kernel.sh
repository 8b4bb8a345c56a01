# shellcheck shell=bash
# Reads kernel images as Debian packages them. Needs lib/common.sh.

image_u32() { od -An -tu4 -j "$2" -N 4 "$1" | tr -d ' '; }

# cut_bytes FILE START LENGTH OUT
cut_bytes() { dd if="$1" of="$4" bs=1M skip="$2" count="$3" iflag=skip_bytes,count_bytes,fullblock status=none; }

# image_inflate FILE: by magic number, to standard output.
image_inflate() {
	case $(od -An -tx1 -N 4 "$1" | tr -d ' \n') in
	28b52ffd) run_tool zstd -dcq "$1" ;;
	fd377a58) run_tool xz -dcq "$1" ;;
	1f8b*) gzip -dcq "$1" ;;
	02214c18) run_tool lz4 -dcq "$1" ;;
	*) return 1 ;;
	esac
}

# bzimage_to_elf IMAGE OUT: the kernel proper of an x86 bzImage. The setup header (Documentation/arch/x86/boot)
# says where the compressed payload lies, counted from the end of the setup sectors. Its last four bytes are the
# inflated size, which only gzip has as a part of the format.
bzimage_to_elf() {
	local image=$1 out=$2 sectors start length
	[[ $(dd if="$image" bs=1 skip=514 count=4 status=none) == HdrS ]] || return 1
	sectors=$(od -An -tu1 -j 497 -N 1 "$image" | tr -d ' ')
	start=$(((sectors == 0 ? 4 : sectors) * 512 + 512 + $(image_u32 "$image" 584)))
	length=$(image_u32 "$image" 588)
	cut_bytes "$image" "$start" "$length" "$out.packed"
	if [[ $(od -An -tx1 -N 2 "$out.packed" | tr -d ' ') != 1f8b ]]; then
		truncate -s -4 "$out.packed"
	fi
	image_inflate "$out.packed" >"$out" || { rm -f "$out" "$out.packed"; return 1; }
	rm -f "$out.packed"
	[[ $(od -An -tx1 -N 4 "$out" | tr -d ' ') == 7f454c46 ]]
}

# image_btf FLAT OUT: the raw BTF blob inside an uncompressed kernel, ELF or not, found by its header
# (magic eb9f, version 1, no flags, header length 24). Both sections' ends follow from that header.
image_btf() {
	local image=$1 out=$2 at length
	at=$(LC_ALL=C grep -abo -P '\x9f\xeb\x01\x00\x18\x00\x00\x00' "$image" | LC_ALL=C sed -n '1s/:.*//p')
	[[ $at =~ ^[0-9]+$ ]] || return 1
	length=$((24 + $(image_u32 "$image" $((at + 16))) + $(image_u32 "$image" $((at + 20)))))
	cut_bytes "$image" "$at" "$length" "$out"
}

# kmod is one program that acts by the name it is called with; unpacked, its links point out of the cache.
run_kmod() {
	local name=$1 path
	shift
	path=$(tool_path kmod) || die "needs kmod"
	(LD_LIBRARY_PATH=$(tools_libs) exec -a "$name" "$path" "$@")
}
