#!/usr/bin/env bash
# limit: 600
# The Debian package under systemd as PID 1 in a virtual machine: install, upgrade to another version while a budget holds,
# remove, purge.
#   packages.sh [--kernel 6.12]
# BIN=path of the agent, from which two versions are made. Exit: 0 passed, 1 failed, 77 could not run.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/apt.sh
. "$HERE/lib/apt.sh"
# shellcheck source=lib/systemd.sh
. "$HERE/lib/systemd.sh"
# shellcheck source=lib/root_disk.sh
. "$HERE/lib/root_disk.sh"
# shellcheck source=lib/payload.sh
. "$HERE/lib/payload.sh"

TOP=$HERE/../..
BIN=${BIN:-$TOP/build/waveos-bpf}
KERNEL=6.12
LIMIT=420

# Two packages of one build: in the second one the version is another, in every place where the program says it.
write_packages() {
	local version next
	version=$("$BIN" version --json | jq -r .waveos_version)
	next=${version%?}$(((${version: -1} + 1) % 10))
	strip -o "$WORK/first" "$BIN"
	# packages take it from beside the executable
	cp "$(dirname "$BIN")/libwaveos_cupti.so" "$WORK/"
	V=$version N=$next perl -pe 's/(?<![0-9._])\Q$ENV{V}\E(?![0-9.])/$ENV{N}/g' "$WORK/first" >"$WORK/second"
	chmod 0755 "$WORK/second"
	[[ $("$WORK/second" version --json | jq -r .waveos_version) == "$next" ]] || die "the second version is not one"
	mkdir -p "$PAYLOAD/packages"
	SOURCE_DATE_EPOCH=1700000000 "$TOP/packaging/deb.sh" "$version" "$WORK/first" "$WORK/deb1"
	SOURCE_DATE_EPOCH=1700000001 "$TOP/packaging/deb.sh" "$next" "$WORK/second" "$WORK/deb2"
	cp "$WORK"/deb1/waveos-bpf_*.deb "$PAYLOAD/packages/first.deb"
	cp "$WORK"/deb2/waveos-bpf_*.deb "$PAYLOAD/packages/second.deb"
	printf '%s %s\n' "$version" "$next" >"$PAYLOAD/packages/versions"
}

write_units() {
	local dir=$PAYLOAD/units
	mkdir -p "$dir"
	printf '[Unit]\nDescription=Tests\nDefaultDependencies=no\nRequires=basic.target waveos-vm.service\nAfter=basic.target\nAllowIsolate=yes\n' >"$dir/waveos-vm.target"
	printf '[Unit]\nAfter=basic.target\n[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart=/bin/sh /payload/run.sh\n' >"$dir/waveos-vm.service"
}

main() {
	local disk status=0
	while (($#)); do
		case $1 in
		--kernel) KERNEL=$2; shift ;;
		*) sed -n '5,6s/^#  *//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
		esac
		shift
	done
	[[ -x $BIN ]] || die "no agent at $BIN: build it first, or set BIN="
	BIN=$(realpath "$BIN")
	command -v dh >/dev/null || skip_all "no debhelper"
	"$HERE/fetch.sh" "$KERNEL" >/dev/null || exit "$?"
	WORK=$(mktemp -d)
	PAYLOAD=$WORK/payload
	trap 'rm -rf "$WORK"' EXIT
	disk=$(root_disk packages dpkg tar init-system-helpers perl-base diffutils)
	mkdir -p "$PAYLOAD"/{bin,lib,lib64}
	add_program "$BIN" waveos-bpf
	rm "$PAYLOAD/bin/waveos-bpf"
	add_library libmicrohttpd.so.12 || die "no libmicrohttpd"
	cp "$HERE/guest/packages-run.sh" "$PAYLOAD/run.sh"
	install -m 755 "$HERE/guest/pid1-systemd" "$PAYLOAD/pid1"
	write_units
	write_packages
	"$HERE/boot.sh" "$KERNEL" "$PAYLOAD" --mem 1024 --timeout "$LIMIT" --console "$WORK/console" \
		--append "systemd.show_status=0 systemd.log_level=warning" --qemu "-drive file=$disk,format=raw,if=virtio,snapshot=on" ||
		status=$?
	[[ $status == 0 ]] || tail -n 40 "$WORK/console" | tr -d '\r'
	exit "$status"
}

main "$@"
