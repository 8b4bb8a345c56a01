#!/usr/bin/env bash
# Runs tests/vm/cases in virtual machines, one boot a kernel, and adds up the results.
#   run.sh [--kernels "5.10 6.1 6.12 newest"] [--cases GLOB] [--verbose] [--add FILE]... [-- BOOT_OPTIONS]
# BIN=path of the agent (build/waveos-bpf). --cases matches names without .sh. --add puts a program with its
# libraries into the guest's PATH. RETRY=1: cases that failed run once more in a boot of their own.
# Exit: 0 no case failed, 1 some did, 2 usage, 77 nothing could run.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/payload.sh
. "$HERE/lib/payload.sh"

TOP=$HERE/../..
BIN=${BIN:-$TOP/build/waveos-bpf}
KERNELS="5.10 6.1 6.12 newest"
GLOB='*'
VERBOSE=''
EXTRA=()
BOOT_OPTIONS=()
PASSED=0 FAILED=0 SKIPPED=0
# A quiet two-core machine needs 3 to 5; the rest is for a busy one.
BOOT_SECONDS=120

usage() { sed -n '3,6s/^#  *//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

# The agent opens this library itself, in its web worker: ldd does not know. (awk reads to the end: ldconfig would
# die of a closed pipe, and this script of that.)
add_dlopened() {
	local library
	library=$(ldconfig -p | awk '!n && /libmicrohttpd\.so\.12 / {print $NF; n = 1}')
	[[ -z $library ]] || add_program "$library" libmicrohttpd.so.12
	[[ ! -e $PAYLOAD/bin/libmicrohttpd.so.12 ]] || mv "$PAYLOAD/bin/libmicrohttpd.so.12" "$PAYLOAD/lib/"
}

add_cases() {
	local file count=0
	for file in "$HERE"/cases/*.sh; do
		file=${file##*/}
		# shellcheck disable=SC2053 # a pattern on purpose
		if [[ ${file%.sh} == $GLOB ]]; then
			cp "$HERE/cases/$file" "$PAYLOAD/cases/"
			count=$((count + 1))
		fi
	done
	((count)) || die "no case matches $GLOB"
}

make_payload() {
	local name path
	mkdir -p "$PAYLOAD"/{bin,lib,lib64,cases}
	add_program "$BIN" waveos-bpf
	add_dlopened
	for name in stress-ng iperf3 ip tc; do
		path=$(tool_path "$name") || die "needs $name (fetch.sh)"
		add_program "$path"
	done
	# a storm that the cases let loose; they skip without it
	if ${CC:-cc} -O1 -o "$WORK/storm" "$TOP/tests/host/tools/storm.c" 2>/dev/null; then
		add_program "$WORK/storm"
	fi
	# what tells why a thread waited, and a program that waits
	if [[ -x $(dirname "$BIN")/gpu-test/wake_probe ]] &&
		${CC:-cc} -O1 -pthread -o "$WORK/waits" "$TOP/tests/vm/tools/waits.c" 2>/dev/null; then
		add_program "$(dirname "$BIN")/gpu-test/wake_probe"
		add_program "$WORK/waits"
	fi
	for path in "${EXTRA[@]}"; do
		add_program "$path"
	done
	cp "$HERE/guest/run.sh" "$HERE/guest/case.sh" "$PAYLOAD/"
	add_cases
}

# The guest's own limits, one after another, and a boot.
total_limit() {
	local file limit sum=$BOOT_SECONDS
	for file in "$PAYLOAD"/cases/*.sh; do
		limit=$(sed -n '1,10s/^# limit: *\([0-9][0-9]*\).*/\1/p' "$file" | head -n 1)
		sum=$((sum + ${limit:-60} + 5))
	done
	printf '%s\n' "$sum"
}

# count LOG: counts a guest's lines. A case without a line counts as failed: the guest died in it.
count() {
	local guest_log=$1 file name line
	ok=0 bad=0 skipped=0 failed=()
	for file in "$PAYLOAD"/cases/*.sh; do
		name=$(basename "$file" .sh)
		line=$(grep -m 1 "^case $name " "$guest_log" || :)
		case $line in
		"case $name ok"*) ok=$((ok + 1)) ;;
		"case $name skip"*) skipped=$((skipped + 1)) ;;
		"case $name fail"*) failed+=("$name") ;;
		*)
			failed+=("$name")
			echo "case $name fail the guest ended before its result"
			;;
		esac
	done
	bad=${#failed[@]}
}

boot_guest() {
	local label=$1 status=0
	"$HERE/boot.sh" "$label" "$PAYLOAD" --timeout "$(total_limit)" "${BOOT_OPTIONS[@]}" |
		tee "$WORK/guest.log" || status=$?
	count "$WORK/guest.log"
	[[ $status == 0 ]] || echo "guest: boot.sh exit $status"
}

# What failed alone in a second boot, so that a guest that died or was starved costs only its own case.
second_try() {
	local label=$1 first_ok=$ok first_skipped=$skipped tried=("${failed[@]}") name
	echo "== kernel $label again: ${tried[*]}"
	mv "$PAYLOAD/cases" "$WORK/all"
	mkdir "$PAYLOAD/cases"
	for name in "${tried[@]}"; do cp "$WORK/all/$name.sh" "$PAYLOAD/cases/"; done
	boot_guest "$label"
	rm -rf "$PAYLOAD/cases"
	mv "$WORK/all" "$PAYLOAD/cases"
	for name in "${tried[@]}"; do
		[[ " ${failed[*]} " == *" $name "* ]] || echo "second try: $label/$name"
	done
	ok=$((ok + first_ok)) skipped=$((skipped + first_skipped))
}

run_kernel() {
	local label=$1 begin=$SECONDS release ok bad skipped failed
	if [[ ! -f $VM_CACHE/kernels/$label/package ]]; then
		SKIPPED=$((SKIPPED + 1))
		echo "kernel $label: skipped: $(cat "$VM_CACHE/kernels/$label.skipped" 2>/dev/null || echo 'not in the cache')"
		return 0
	fi
	release=$(<"$VM_CACHE/kernels/$label/release")
	echo "== kernel $label ($release)"
	printf 'KERNEL_LABEL=%s\nVERBOSE=%s\n' "$label" "$VERBOSE" >"$PAYLOAD/env"
	boot_guest "$label"
	[[ ${RETRY:-0} == 0 || $bad == 0 ]] || second_try "$label"
	PASSED=$((PASSED + ok)) FAILED=$((FAILED + bad)) SKIPPED=$((SKIPPED + skipped))
	echo "kernel $label: $ok ok, $bad failed, $skipped skipped, $((SECONDS - begin)) s"
}

parse_options() {
	while (($#)); do
		case $1 in
		--kernels) (($# > 1)) || usage; KERNELS=$2; shift ;;
		--cases) (($# > 1)) || usage; GLOB=$2; shift ;;
		--add) (($# > 1)) || usage; EXTRA+=("$2"); shift ;;
		--verbose) VERBOSE=1 ;;
		--) shift; BOOT_OPTIONS=("$@"); return 0 ;;
		*) usage ;;
		esac
		shift
	done
}

main() {
	local label labels
	parse_options "$@"
	[[ -x $BIN ]] || die "no agent at $BIN: build it first, or set BIN="
	read -ra labels <<<"$KERNELS"
	"$HERE/fetch.sh" "${labels[@]}" >/dev/null || exit "$?"
	WORK=$(mktemp -d)
	PAYLOAD=$WORK/payload
	trap 'rm -rf "$WORK"' EXIT
	make_payload
	for label in "${labels[@]}"; do
		run_kernel "$label"
	done
	echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
	((FAILED == 0)) || exit 1
	((PASSED > 0)) || exit 77
}

main "$@"
