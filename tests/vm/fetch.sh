#!/usr/bin/env bash
# Gets kernels, qemu and the guest's programs from Debian into the cache. Nothing is installed on this machine.
#   fetch.sh [--refresh] [LABEL ...]      labels: 5.10 6.1 6.12 6.16 6.18 newest (all of them by default)
# What is cached stays; --refresh looks for newer packages. 77: nothing usable could be had.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/apt.sh
. "$HERE/lib/apt.sh"
# shellcheck source=lib/kernel.sh
. "$HERE/lib/kernel.sh"

ALL_LABELS="5.10 6.1 6.12 6.16 6.18 newest"
# Older qemu mishandles code that a guest patches while another CPU runs it: 6.12 guests oops at random.
QEMU_MIN=1:10
QEMU_PACKAGES="qemu-system-x86 qemu-system-common qemu-system-data seabios"
TOOL_PACKAGES="busybox-static kmod stress-ng iperf3 iproute2 zstd"
REFRESH=no

# The whole name of a label's image package, as a regular expression.
label_pattern() {
	case $1 in
	5.10) echo 'linux-image-5\.10\.0-[0-9]+-cloud-amd64' ;;
	6.1) echo 'linux-image-6\.1\.0-[0-9]+-cloud-amd64' ;;
	6.*) echo "linux-image-${1//./\\.}\\.[0-9]+\\+deb1[3-9]-cloud-amd64" ;;
	newest) echo 'linux-image-[7-9][0-9.]+\+deb1[3-9]-cloud-amd64' ;;
	*) die "unknown kernel $1 (known: $ALL_LABELS)" ;;
	esac
}

# kernel_packages IMAGE_PACKAGE: every package that the boot needs. From 6.19 on the image package is empty and the
# kernel, its modules and its configuration come separately; a mirror may have lost one of them.
kernel_packages() {
	local image=$1 part
	if ! apt_kernel_exists "${image/linux-image-/linux-binary-}"; then
		printf '%s\n' "$image"
		return 0
	fi
	for part in linux-binary- linux-modules- linux-base-; do
		apt_kernel_exists "${image/linux-image-/$part}" || return 1
		printf '%s\n' "${image/linux-image-/$part}"
	done
}

# The newest image package of a label that is complete.
choose_kernel() {
	local image
	while read -r image; do
		if kernel_packages "$image" >/dev/null; then
			printf '%s\n' "$image"
			return 0
		fi
	done < <(apt_kernels "$(label_pattern "$1")")
	return 1
}

# install_kernel FOLDER: vmlinuz, the plain ELF, the configuration and a module tree with its indexes.
install_kernel() {
	local dir=$1 image release modules
	image=$(find "$dir/root" -name 'vmlinuz*' -type f | head -n 1)
	modules=$(find "$dir/root" -type d -path '*/lib/modules/*' -prune | head -n 1)
	[[ -n $image && -n $modules ]] || return 1
	release=${modules##*/}
	mkdir -p "$dir/lib/modules"
	mv "$image" "$dir/vmlinuz"
	mv "$modules" "$dir/lib/modules/$release"
	find "$dir/root" "$dir/lib/modules/$release" -maxdepth 2 -name 'config*' -type f -exec cp {} "$dir/config" \; -quit
	[[ -f $dir/config ]] || return 1
	# A guest that starts from the ELF does not spend emulated time on unpacking itself.
	bzimage_to_elf "$dir/vmlinuz" "$dir/vmlinux" || log "$release: starts from the bzImage"
	run_kmod depmod -b "$dir" "$release" || return 1
	printf '%s\n' "$release" >"$dir/release"
	rm -rf "$dir/root" "$dir/debs"
}

fetch_kernel() {
	local label=$1 image dir=$VM_CACHE/kernels/$1 new=$VM_CACHE/kernels/.new-$1 packages
	image=$(choose_kernel "$label") || { skip_kernel "$label" "no complete package in the reachable suites"; return 0; }
	if [[ -f $dir/package && $(<"$dir/package") == "$image" ]]; then
		return 0
	fi
	log "kernel $label: $image"
	rm -rf "$new"
	mkdir -p "$new/debs" "$new/root"
	mapfile -t packages < <(kernel_packages "$image")
	if ! apt_fetch all "$new/debs" "${packages[@]}" || ! unpack_debs "$new/debs" "$new/root"; then
		skip_kernel "$label" "download of $image failed"
		return 0
	fi
	install_kernel "$new" || { skip_kernel "$label" "$image has an unknown layout"; return 0; }
	printf '%s\n' "$image" >"$new/package"
	rm -rf "$dir" "$VM_CACHE/kernels/$label.skipped"
	mv "$new" "$dir"
}

# The reason is kept, so that the next run need not ask the mirror again.
skip_kernel() {
	log "kernel $1: skipped: $2"
	rm -rf "$VM_CACHE/kernels/.new-$1"
	[[ -d $VM_CACHE/kernels/$1 ]] || printf '%s\n' "$2" >"$VM_CACHE/kernels/$1.skipped"
}

# fetch_closure NAME PACKAGES: packages and those of their libraries that this machine lacks, unpacked into
# the cache's folder NAME. Resolved against the machine's own release, so that the libraries fit together.
fetch_closure() {
	local name=$1 dir=$VM_CACHE/$1 archives=$APT_DIR/cache/$1
	shift
	[[ ! -f $dir/.complete || $REFRESH == yes ]] || return 0
	log "packages for $name: $*"
	rm -rf "$archives" "$dir.new"
	mkdir -p "$archives/partial" "$dir.new"
	apt_private host -q -y --no-install-recommends --reinstall --download-only --allow-downgrades \
		-o "Dir::Cache::archives=$archives" -o Debug::NoLocking=1 install "$@" >"$dir.log" 2>&1 ||
		{ tail -n 3 "$dir.log" >&2; return 1; }
	unpack_debs "$archives" "$dir.new" || return 1
	rm -rf "$archives" "$dir"
	touch "$dir.new/.complete"
	mv "$dir.new" "$dir"
}

# The newest qemu for this machine's release or its backports, each package pinned to its version: apt prefers
# the release's own otherwise.
fetch_qemu() {
	local version pins package
	version=$(apt_version host qemu-system-x86)
	[[ -n $version ]] || { log "qemu: no package"; return 1; }
	dpkg --compare-versions "$version" ge "$QEMU_MIN" ||
		log "qemu: only $version can be had; 6.12 and newer guests may oops at random"
	pins=()
	for package in $QEMU_PACKAGES; do
		pins+=("$package=$(apt_version host "$package")")
	done
	fetch_closure qemu "${pins[@]}"
}

# present LABELS...: all of them are cached, or known to be impossible.
present() {
	local label
	[[ -f $VM_CACHE/qemu/.complete && -f $VM_CACHE/tools/.complete ]] || return 1
	for label in "$@"; do
		[[ -d $VM_CACHE/kernels/$label || -f $VM_CACHE/kernels/$label.skipped ]] || return 1
	done
}

report() {
	local label usable=1
	for label in "$@"; do
		if [[ -f $VM_CACHE/kernels/$label/package ]]; then
			printf '%-7s %s\n' "$label" "$(<"$VM_CACHE/kernels/$label/release")"
			usable=0
		else
			printf '%-7s skipped: %s\n' "$label" "$(cat "$VM_CACHE/kernels/$label.skipped" 2>/dev/null || echo unknown)"
		fi
	done
	return "$usable"
}

fetch_missing() {
	local label
	[[ $(dpkg --print-architecture) == amd64 ]] || skip_all "only amd64 machines so far"
	apt_setup amd64 || skip_all "no package lists from this machine's mirrors"
	# shellcheck disable=SC2086 # a list of names
	fetch_closure tools $TOOL_PACKAGES || skip_all "the guest's programs are not available"
	fetch_qemu || skip_all "qemu is not available"
	mkdir -p "$VM_CACHE/kernels"
	for label in "$@"; do
		[[ -d $VM_CACHE/kernels/$label && $REFRESH == no ]] || fetch_kernel "$label"
	done
	# The lists are the larger part of the cache, and stale by the time they are needed again.
	rm -rf "$APT_DIR"
}

main() {
	local labels=() label
	while (($#)); do
		case $1 in
		--refresh) REFRESH=yes ;;
		-h | --help) sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}"; exit 0 ;;
		-*) die "unknown option $1" ;;
		*) label_pattern "$1" >/dev/null; labels+=("$1") ;;
		esac
		shift
	done
	if ((${#labels[@]} == 0)); then
		read -ra labels <<<"$ALL_LABELS"
	fi
	cache_lock
	if [[ $REFRESH == yes ]] || ! present "${labels[@]}"; then
		fetch_missing "${labels[@]}"
	fi
	cache_unlock
	report "${labels[@]}" || exit 77
}

main "$@"
