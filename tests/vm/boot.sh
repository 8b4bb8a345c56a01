#!/usr/bin/env bash
# Boots a cached kernel, runs PAYLOAD_DIR/run.sh in it as root, powers off.
#   boot.sh KERNEL PAYLOAD_DIR [--append "ARGS"] [--mem MB] [--cpus N] [--disk IMG] [--timeout S]
#           [--console FILE] [--qemu "ARGS"] [--initrd FILE]
# Prints what the guest wrote and exits with the status of run.sh. 124: killed by the time limit. 125: the guest
# ended without a status (panic, reset); the kernel's messages are printed then. 77: that kernel is not in the cache.
# --initrd: only writes what the guest would start from there.
# PAYLOAD_DIR is /payload in the guest; programs in its bin/, libraries in lib/, the dynamic loader in lib64/.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/kernel.sh
. "$HERE/lib/kernel.sh"

APPEND=''
MEM=768
CPUS=2
LIMIT=120
CONSOLE=''
INITRD=''
DISKS=()
QEMU_EXTRA=()
QEMU_PID=''

usage() { sed -n '3,4s/^#  *//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

busybox() { "$VM_CACHE/tools/bin/busybox" "$@"; }

# cpio_of FOLDER [-L]: newc archive of its content on standard output, owned by root; -L follows links.
cpio_of() {
	local folder=$1
	shift
	(cd "$folder" && find "$@" . -mindepth 1 | LC_ALL=C sort | busybox cpio -o "$@" -H newc -R 0:0 2>/dev/null)
}

# module_files KERNEL_DIR RELEASE: the listed modules and all that they need, as paths.
module_files() {
	local dir=$1 release=$2 name
	while read -r name; do
		[[ -n $name && $name != \#* ]] || continue
		# A name that this kernel lacks is no error: the list serves every version.
		run_kmod modprobe -d "$dir" -S "$release" --show-depends "$name" 2>/dev/null || :
	done <"$HERE/guest/modules.list" | awk '$1 == "insmod" { print $2 }' | sort -u
}

# Inflated here, because not every busybox reads every compression, and the guest is the slower machine.
copy_module() {
	local from=$1 to=$2
	mkdir -p "$(dirname "$to")"
	case $from in
	*.ko) cp "$from" "$to" ;;
	*) image_inflate "$from" >"${to%.ko.*}.ko" ;;
	esac
}

build_base() {
	local dir=$1 out=$2 release root file
	release=$(<"$dir/release")
	root=$WORK/base
	mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,proc,sys,dev,tmp,run,root,etc,lib/modules/"$release"}
	cp "$VM_CACHE/tools/bin/busybox" "$root/bin/busybox"
	busybox --list | while read -r file; do
		[[ $file == busybox ]] || ln -s /bin/busybox "$root/bin/$file"
	done
	# The kernel calls these two by their absolute names.
	ln -s /bin/busybox "$root/sbin/modprobe"
	install -m 755 "$HERE/guest/init" "$root/init"
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
	printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
	while read -r file; do
		copy_module "$file" "$root/lib/modules/$release/${file#"$dir/lib/modules/$release/"}"
	done < <(module_files "$dir" "$release")
	cp "$dir/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "$root/lib/modules/$release/"
	run_kmod depmod -b "$root" "$release"
	cpio_of "$root" >"$out.new"
	mv "$out.new" "$out"
}

# base_initramfs KERNEL_DIR: prints the path; built again when what it is made of has changed.
base_initramfs() {
	local dir=$1 key out
	key=$(sha256sum "$HERE/guest/init" "$HERE/guest/modules.list" "$HERE/boot.sh" "$dir/package" |
		cut -d' ' -f1 | sha256sum | cut -c1-12)
	out=$dir/base-$key.cpio
	cache_lock
	if [[ ! -f $out ]]; then
		rm -f "$dir"/base-*
		build_base "$dir" "$out"
	fi
	cache_unlock
	printf '%s\n' "$out"
}

# The kernel's own list of security modules with bpf at its end. 5.10 has it compiled in but not listed: it stays
# off there, so that cases see the default of that release (--append lsm=...,bpf turns it on).
lsm_argument() {
	local dir=$1 list
	dpkg --compare-versions "$(<"$dir/release")" ge 6.1 || return 0
	list=$(sed -n 's/^CONFIG_LSM="\(.*\)"$/\1/p' "$dir/config")
	case ,$list, in
	*,bpf,*) printf 'lsm=%s\n' "$list" ;;
	*) printf 'lsm=%s\n' "${list:+$list,}bpf" ;;
	esac
}

# shellcheck disable=SC2317 # called by the trap
clean_up() {
	[[ -z $QEMU_PID ]] || kill "$QEMU_PID" 2>/dev/null || :
	rm -rf "$WORK"
}

qemu_program() {
	local path=$VM_CACHE/qemu/usr/bin/qemu-system-x86_64 libs=$VM_CACHE/qemu
	libs=$libs/usr/lib/x86_64-linux-gnu:$libs/lib/x86_64-linux-gnu
	LD_LIBRARY_PATH=$libs QEMU_MODULE_DIR=$VM_CACHE/qemu/usr/lib/x86_64-linux-gnu/qemu \
		exec timeout -k 5 "$LIMIT" "$path" -L "$VM_CACHE/qemu/usr/share/qemu" \
		-L "$VM_CACHE/qemu/usr/share/seabios" "$@"
}

start_guest() {
	local dir=$1 image=$1/vmlinux disk args
	[[ -f $image ]] || image=$dir/vmlinuz
	args=(-nodefaults -no-user-config -display none -no-reboot -machine pc -accel "${WAVEOS_VM_ACCEL:-tcg,thread=multi}"
		-cpu "${WAVEOS_VM_CPU:-max}" -smp "$CPUS" -m "$MEM" -kernel "$image" -initrd "$WORK/initrd"
		-serial "file:$WORK/console" -serial "file:$WORK/guest"
		-append "console=ttyS0 loglevel=6 panic=-1 mitigations=off psi=1 $(lsm_argument "$dir") $APPEND")
	for disk in "${DISKS[@]}"; do
		args+=(-drive "file=$disk,format=raw,if=virtio")
	done
	# In the background and waited for: a signal then reaches this script's trap at once.
	qemu_program "${args[@]}" "${QEMU_EXTRA[@]}" </dev/null >"$WORK/qemu.log" 2>&1 &
	QEMU_PID=$!
}

# The guest's words, less the markers; the return value is the guest's.
finish() {
	local status=$1 code
	# The last marker follows an empty line of init's own.
	tr -d '\r' <"$WORK/guest" | sed -e '/^$/{N;/\nWAVEOS-VM-EXIT /d}' -e '/^WAVEOS-VM-/d'
	[[ -z $CONSOLE ]] || cp "$WORK/console" "$CONSOLE"
	code=$(sed -n 's/^WAVEOS-VM-EXIT \([0-9]*\).*/\1/p' "$WORK/guest" | tail -n 1)
	if [[ -n $code ]]; then
		return "$code"
	fi
	log "--- the guest left no status; end of its kernel's messages:"
	tail -n 60 "$WORK/console" | tr -d '\r' >&2
	cat "$WORK/qemu.log" >&2
	[[ $status != 124 && $status != 137 ]] || { log "--- killed after $LIMIT s"; return 124; }
	return 125
}

parse_options() {
	while (($#)); do
		(($# > 1)) || usage
		case $1 in
		--append) APPEND=$2 ;;
		--mem) MEM=$2 ;;
		--cpus) CPUS=$2 ;;
		--disk) DISKS+=("$2") ;;
		--timeout) LIMIT=$2 ;;
		--initrd) INITRD=$2 ;;
		--console) CONSOLE=$2 ;;
		--qemu) read -rd "" -a QEMU_EXTRA <<<"$2" || : ;;
		*) usage ;;
		esac
		shift 2
	done
}

main() {
	local dir payload base status=0
	(($# >= 2)) || usage
	dir=$VM_CACHE/kernels/$1 payload=$2
	shift 2
	parse_options "$@"
	[[ -f $dir/package ]] || skip_all "kernel ${dir##*/} is not in the cache (fetch.sh)"
	[[ -f $payload/run.sh ]] || die "$payload has no run.sh"
	WORK=$(mktemp -d)
	trap clean_up EXIT
	trap 'exit 130' INT TERM HUP
	base=$(base_initramfs "$dir")
	mkdir -p "$WORK/top"
	ln -s "$(realpath "$payload")" "$WORK/top/payload"
	{ cat "$base"; cpio_of "$WORK/top" -L; } >"$WORK/initrd"
	if [[ -n $INITRD ]]; then
		mv "$WORK/initrd" "$INITRD"
		return 0
	fi
	: >"$WORK/guest"
	start_guest "$dir"
	wait "$QEMU_PID" || status=$?
	QEMU_PID=''
	finish "$status"
}

main "$@"
