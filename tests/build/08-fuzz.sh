#!/bin/bash
# limit: 900, soak: 36000
# Fuzzing of everything that reads what others wrote (tests/fuzz/). First every input that was kept is replayed: seeds
# and what once broke something (tests/fuzz/corpus/TARGET). Then each target runs for FUZZ_SECONDS (a minute; SOAK=1: an
# hour), two at a time, three minutes in all at most unless FUZZ_SECONDS is given. An input that breaks one is left in
# $O-fuzz/found and named; it belongs into the corpus with its fix.
set -euo pipefail
O=${O:-build}
command -v clang >/dev/null || {
	echo "clang is not installed"
	exit 77
}
make --no-print-directory -j2 O="$O" fuzz-build
dir=$O-fuzz
mkdir -p "$dir/found"
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1

targets=()
for t in "$dir"/fuzz/fuzz_*; do
	name=$(basename "$t")
	[ -x "$t" ] && [ -f "$t" ] && [ -e "tests/fuzz/$name.c" ] || continue
	[[ -z "${FUZZ_ONLY:-}" || " $FUZZ_ONLY " == *" ${name#fuzz_} "* ]] && targets+=("${name#fuzz_}")
done
[ ${#targets[@]} -gt 0 ] || {
	echo "no target"
	exit 1
}
if [ -z "${FUZZ_SECONDS:-}" ]; then
	FUZZ_SECONDS=60
	bound=$((180 * 2 / ${#targets[@]}))
	[ $FUZZ_SECONDS -le $bound ] || FUZZ_SECONDS=$bound
	[ -z "${SOAK:-}" ] || FUZZ_SECONDS=3600
fi

replay() { # TARGET
	mapfile -t inputs < <(find "tests/fuzz/corpus/$1" -type f 2>/dev/null | sort)
	[ ${#inputs[@]} -gt 0 ] || {
		echo "$1: no inputs are kept in tests/fuzz/corpus/$1"
		return 1
	}
	"$dir/fuzz/fuzz_$1" -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$dir/found/$1-" "${inputs[@]}" \
		>"$dir/$1.log" 2>&1 || {
		tail -n 30 "$dir/$1.log"
		echo "$1: an input that was kept breaks it"
		return 1
	}
}
for t in "${targets[@]}"; do
	replay "$t"
done
[ "$FUZZ_SECONDS" -gt 0 ] || exit 0

fuzz() { # TARGET
	local corpus=$dir/corpus-$1 most=4096
	mkdir -p "$corpus"
	if "$dir/fuzz/fuzz_$1" -max_total_time="$FUZZ_SECONDS" -max_len="$most" -timeout=20 -rss_limit_mb=2048 -reload=0 \
		-print_final_stats=1 -artifact_prefix="$dir/found/$1-" "$corpus" "tests/fuzz/corpus/$1" >"$dir/$1.log" 2>&1; then
		awk -v t="$1" '/^stat::number_of_executed_units/ {n = $2} /cov:/ {for (i = 1; i < NF; i++) if ($i == "cov:") c = $(i + 1)}
			END {printf "%-12s %9d inputs, %d edges\n", t, n, c}' "$dir/$1.log"
	else
		grep -E '^(==|SUMMARY|.*runtime error|artifact_prefix)' "$dir/$1.log" | tail -n 5
		tail -n 15 "$dir/$1.log"
		echo "$1: broken by the input named above"
		return 1
	fi
}
# two at a time
status=0
for ((i = 0; i < ${#targets[@]}; i += 2)); do
	pids=()
	for t in "${targets[@]:i:2}"; do
		fuzz "$t" &
		pids+=($!)
	done
	for p in "${pids[@]}"; do
		wait "$p" || status=1
	done
done
exit $status
