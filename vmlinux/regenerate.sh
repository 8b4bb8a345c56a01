#!/usr/bin/env bash
# Remakes vmlinux/<arch>/vmlinux.h from the BTF of the Debian kernel packages that pins.txt names.
#   regenerate.sh            the pinned packages, refused if a checksum differs
#   regenerate.sh --update   the newest 6.12 cloud kernel of trixie; rewrites pins.txt
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LIB=$HERE/../tests/vm/lib
# shellcheck source=../tests/vm/lib/common.sh
. "$LIB/common.sh"
# shellcheck source=../tests/vm/lib/apt.sh
. "$LIB/apt.sh"
# shellcheck source=../tests/vm/lib/kernel.sh
. "$LIB/kernel.sh"

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# Debian's name of an architecture, for the kernel's.
debian_arch() { case $1 in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) return 1 ;; esac; }

# flat_kernel IMAGE OUT: x86 packs its kernel in a bzImage, arm64's Image is what runs.
flat_kernel() { bzimage_to_elf "$1" "$2" || cp "$1" "$2"; }

make_header() {
	local arch=$1 deb=$2
	mkdir -p "$WORK/$arch" "$HERE/$arch"
	dpkg-deb -x "$deb" "$WORK/$arch"
	flat_kernel "$(compgen -G "$WORK/$arch/boot/vmlinuz-*")" "$WORK/$arch.flat"
	image_btf "$WORK/$arch.flat" "$WORK/$arch.btf" || die "$arch: no BTF in the kernel image"
	bpftool btf dump file "$WORK/$arch.btf" format c >"$WORK/$arch.h"
	grep -q 'struct task_struct {' "$WORK/$arch.h" || die "$arch: the header lacks struct task_struct"
	mv "$WORK/$arch.h" "$HERE/$arch/vmlinux.h"
}

# fetch_pin ARCH PACKAGE VERSION: prints the path of the .deb
fetch_pin() {
	local arch=$1 package=$2 version=$3 folder=$WORK/deb-$1
	mkdir -p "$folder"
	apt_fetch all "$folder" "$package:$(debian_arch "$arch")=$version" ||
		die "$package $version: not on this machine's mirror (try --update, or a snapshot mirror)"
	compgen -G "$folder/*.deb"
}

newest_pin() {
	local arch=$1 package
	package=$(apt_kernels "linux-image-6\.12\.[0-9]+\+deb13-cloud-$(debian_arch "$arch")" | head -n 1)
	[[ -n $package ]] || die "$arch: no 6.12 cloud kernel"
	printf '%s %s\n' "$package" "$(apt_version all "$package:$(debian_arch "$arch")")"
}

regenerate_pinned() {
	local arch package version sum deb
	while read -r arch package version sum; do
		[[ $arch != \#* ]] || continue
		deb=$(fetch_pin "$arch" "$package" "$version")
		sha256sum --check --status <<<"$sum  $deb" || die "$package: its checksum is not the pinned one"
		make_header "$arch" "$deb"
	done <"$HERE/pins.txt"
}

regenerate_newest() {
	local arch package version deb
	printf '# architecture, package, version, SHA-256 of the .deb; read and written by regenerate.sh\n' >"$WORK/pins"
	for arch in x86_64 aarch64; do
		read -r package version < <(newest_pin "$arch")
		deb=$(fetch_pin "$arch" "$package" "$version")
		make_header "$arch" "$deb"
		printf '%s %s %s %s\n' "$arch" "$package" "$version" "$(sha256sum "$deb" | cut -d' ' -f1)" >>"$WORK/pins"
	done
	mv "$WORK/pins" "$HERE/pins.txt"
}

command -v bpftool >/dev/null || PATH=$PATH:/usr/sbin
command -v bpftool >/dev/null || die "needs bpftool"
# Its own package lists: a test cache holds this machine's architecture only.
APT_DIR=$WORK/apt
APT_SUITES_MAIN=trixie
APT_SUITES_SECURITY=trixie-security
apt_setup amd64,arm64 || skip_all "no package lists"
case ${1:-} in
--update) regenerate_newest ;;
'') regenerate_pinned ;;
*) die "usage: regenerate.sh [--update]" ;;
esac
bpftool version | sed -n '1s/^/made with /p'
