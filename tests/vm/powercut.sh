#!/usr/bin/env bash
# limit: 400, soak: 7200
# Real power cuts: a guest works on a disk with a volatile write cache, qemu is killed at a random moment, the disk
# loses any of what was not flushed, and the next guest checks what is left against what had been promised over the
# serial line (docs/crash-testing.md).
#   powercut.sh [--cuts N] [--scenarios "tlog bundle"] [--kernel LABEL] [--seed N] [--plant FAULT] [--keep DIR]
# FAULT: no-sync (fsync does nothing), ignore-flush (the disk does not flush), barrier (ext4 does not ask it to). It must be
# found, or the harness is not to be believed: exit 0 if it was. Without arguments the test: cuts, and each fault.
# Exit: 0 nothing lost, 1 something was, 2 usage, 77 it cannot run here.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/payload.sh
. "$HERE/lib/payload.sh"
TOP=$HERE/../..
O=${O:-build}
KERNEL=6.1
ARGS=()

usage() { sed -n '6,8s/^#  *//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

# Test of `make test` and `make soak`.
run_test() {
	local plant
	if [[ -n ${SOAK:-} ]]; then
		"$0" --cuts 500 --kernel 6.1
		"$0" --cuts 500 --kernel 6.12 --seed 2
	else
		"$0" --cuts 20
	fi
	for plant in no-sync ignore-flush barrier; do
		"$0" --cuts 40 --scenarios tlog --plant "$plant"
	done
}
if (($# == 0)); then
	run_test
	exit
fi

while (($#)); do
	(($# > 1)) || usage
	case $1 in
	--kernel) KERNEL=$2 ;;
	--cuts | --scenarios | --seed | --plant | --keep) ARGS+=("$1" "$2") ;;
	*) usage ;;
	esac
	shift 2
done
for name in python3 mke2fs; do
	command -v "$name" >/dev/null || skip_all "needs $name"
done
"$HERE/fetch.sh" "$KERNEL" >/dev/null || exit "$?"
[[ -f $VM_CACHE/kernels/$KERNEL/package ]] || skip_all "kernel $KERNEL is not in the cache (fetch.sh)"
[[ -x $VM_CACHE/qemu/usr/bin/qemu-system-x86_64 ]] || skip_all "qemu is not in the cache (fetch.sh)"
make -C "$TOP" --no-print-directory "O=$O" "$O/cutdisk" "$O/cutwork" >/dev/null

WORK=$(mktemp -d)
PAYLOAD=$WORK/payload
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$PAYLOAD"/{bin,lib,lib64}
add_program "$TOP/$O/cutwork"
cat >"$PAYLOAD/run.sh" <<-'END'
	modprobe -q ext4
	exec /payload/bin/cutwork
END
"$HERE/boot.sh" "$KERNEL" "$PAYLOAD" --initrd "$WORK/initrd"
rm -rf "$PAYLOAD"
python3 "$HERE/lib/powercut.py" --cache "$VM_CACHE" --kernel "$VM_CACHE/kernels/$KERNEL" --work "$WORK" \
	--cutdisk "$TOP/$O/cutdisk" "${ARGS[@]}"
