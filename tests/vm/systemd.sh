#!/usr/bin/env bash
# The agent's unit under systemd as PID 1 in a virtual machine: start, restart of units, bundles of an application that
# is a unit, both watchdogs, reset reason.
#   systemd.sh [--kernel 6.12] [--verbose]
# The root is unpacked from Debian packages once and kept in the cache, as are the kernels. BIN=path of the agent.
# Exit: 0 passed, 1 failed, 77 could not run.
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

write_units() {
	local dir=$PAYLOAD/units
	mkdir -p "$dir/waveos-bpf.service.d"
	cp "$TOP/packaging/systemd/waveos-bpf.service" "$dir/"
	cp "$TOP/packaging/systemd/devices.conf" "$dir/waveos-bpf.service.d/"
	cat >"$dir/waveos-bpf.service.d/vm.conf" <<-'UNIT'
		[Unit]
		# started by the test
		Before=
		[Service]
		ExecStart=
		ExecStart=/usr/sbin/waveos-bpf attach --config /payload/waveos.yaml --set policy.file=/payload/policy.yaml
		WatchdogSec=8s
		TimeoutStartSec=120s
	UNIT
	printf '[Unit]\nDescription=Tests\nDefaultDependencies=no\nRequires=basic.target waveos-vm.service\nAfter=basic.target\nAllowIsolate=yes\n' >"$dir/waveos-vm.target"
	printf '[Unit]\nAfter=basic.target\n[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart=/bin/sh /payload/run.sh\n' >"$dir/waveos-vm.service"
	printf '[Service]\nExecStart=/bin/sleep 100000\n' >"$dir/victim.service"
	cat >"$PAYLOAD/waveos.yaml" <<-'YAML'
		agent: {tick: 500ms}
		metrics: {listen: ""}
		watchdog: {device: /dev/watchdog0, timeout: 40s, pretimeout: 1s}
	YAML
	sed 's/timeout: 40s/timeout: 6s/' "$PAYLOAD/waveos.yaml" >"$PAYLOAD/short.yaml"
	cat >"$PAYLOAD/policy.yaml" <<-'YAML'
		schema_version: 1
		name: vm
		domains:
		  - {name: victim, scope: {unit: victim.service}}
		recovery:
		  - {name: back, steps: [restart wait 60s], cool_down: 1s}
	YAML
}

# Three versions of an application that is a unit: well, well, and one that ends at once. Without libarchive there is none.
write_bundles() {
	local dir=$PAYLOAD/bundles n
	add_library libarchive.so.13 || return 0
	mkdir -p "$dir"
	printf '[Service]\nType=exec\nExecStart=/var/lib/waveos/bundles/current/app/shop/bin/shop\n' >"$PAYLOAD/units/shop.service"
	(
		cd "$WORK"
		"$BIN" bundle keygen -o owner
		"$BIN" bundle root init -o root.json --key owner=owner.pub.pem --role all=owner:1
		"$BIN" bundle sign root.json --key owner.pem
		for n in 1 2 3; do
			mkdir -p "app$n/files/bin"
			printf '#!/bin/sh\nexec sleep 10000%s\n' "$n" >"app$n/files/bin/shop"
			[[ $n != 3 ]] || printf '#!/bin/sh\nexit 1\n' >"app$n/files/bin/shop"
			chmod 0755 "app$n/files/bin/shop"
			cat >"app$n/bundle.yaml" <<-YAML
				kind: app
				name: shop
				version: 1.0.$n
				counter: $n
				trial: {for: 1s, boots: 2}
				hooks: [{on: activate, do: restart-service, service: shop.service}]
				health: [{kind: service, target: shop.service, every: 500ms, within: 1s, failures: 2}]
			YAML
			"$BIN" bundle build --dir "app$n" -o "$dir/shop-$n.wvb" --sign owner.pem
		done
		cp root.json "$dir/"
	) >/dev/null
}

main() {
	local disk status=0
	while (($#)); do
		case $1 in
		--kernel) KERNEL=$2; shift ;;
		--verbose) ;;
		*) sed -n '4,6s/^#  *//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
		esac
		shift
	done
	[[ -x $BIN ]] || die "no agent at $BIN: build it first, or set BIN="
	BIN=$(realpath "$BIN")
	"$HERE/fetch.sh" "$KERNEL" >/dev/null || exit "$?"
	WORK=$(mktemp -d)
	PAYLOAD=$WORK/payload
	trap 'rm -rf "$WORK"' EXIT
	disk=$(root_disk systemd)
	mkdir -p "$PAYLOAD"/{bin,lib,lib64}
	add_program "$BIN" waveos-bpf
	cp "$HERE/guest/systemd-run.sh" "$PAYLOAD/run.sh"
	install -m 755 "$HERE/guest/pid1-systemd" "$PAYLOAD/pid1"
	write_units
	write_bundles
	# the reset has to be one: boot.sh lets a guest end with its first
	"$HERE/boot.sh" "$KERNEL" "$PAYLOAD" --mem 1024 --timeout "$LIMIT" --console "$WORK/console" \
		--append "systemd.show_status=0 systemd.log_level=warning" --qemu "-action reboot=reset -action watchdog=reset
			-device i6300esb -drive file=$disk,format=raw,if=virtio,snapshot=on" || status=$?
	[[ $status == 0 ]] || tail -n 40 "$WORK/console" | tr -d '\r'
	exit "$status"
}

main "$@"
