#!/bin/bash
# Runs test levels and prints one closing line: `N passed, N failed, N skipped`.
#   tests/run.sh LEVEL...     levels: build unit host e2e vm
#   O=DIR    build folder (default build)     SOAK=1  the long tests too
#   ONLY=GLOB  only tests whose file name matches
#   RETRY=0  no second try
# A test passes with exit 0, is skipped with 77 (its last line says why), and fails otherwise. What fails at the levels
# host, e2e and vm is tried once more: they meet the load of the whole machine. What passes only then is listed at the end.
set -u
cd "$(dirname "$0")/.." || exit 1
# tests look only whether SOAK is empty
[ "${SOAK:-0}" != 0 ] || SOAK=
export O=${O:-build} SOAK RETRY=${RETRY:-1}
export BIN=${BIN:-$PWD/$O/waveos-bpf}
only=${ONLY:-*}
# a test that hangs must not hold up the rest; "# limit: N, soak: M" (seconds) in its head allows for more
default_limit=${TEST_TIMEOUT:-180}
limit=$default_limit
passed=0 failed=0 skipped=0
failures=() second=()
scratch=$(mktemp -d "${TMPDIR:-/tmp}/waveos-test.XXXXXX")
chmod 711 "$scratch" # tests as another user find their own folder in it
trap 'rm -rf "$scratch"' EXIT

# result NAME STATUS LOG SECONDS
result() {
	case $2 in
	0)
		passed=$((passed + 1))
		printf '  ok    %-40s %4ss\n' "$1" "$4"
		;;
	77)
		skipped=$((skipped + 1))
		printf '  skip  %-40s %s\n' "$1" "$(tail -n 1 "$3")"
		;;
	*)
		failed=$((failed + 1))
		failures+=("$1")
		[ "$2" -eq 124 ] && echo "killed after ${limit}s" >>"$3"
		printf '  FAIL  %-40s (exit %s)\n' "$1" "$2"
		tail -n 40 "$3" | sed 's/^/        /'
		;;
	esac
}

# once FILE LOG: runs one test
once() {
	local status
	mkdir -p "$scratch/tmp"
	TMP=$scratch/tmp timeout -k 10 "$limit" bash "$1" >"$2" 2>&1 </dev/null
	status=$?
	rm -rf "$scratch/tmp"
	return $status
}

# limit_of FILE: sets limit
limit_of() {
	local own
	own=$(sed -n "1,5s/^# limit: ${SOAK:+.*soak: }\([0-9]*\).*/\1/p" "$1")
	limit=${own:-$default_limit}
}

# script FILE: one test and its result
script() {
	local level name start=$SECONDS status=0 log=$scratch/log
	level=$(basename "$(dirname "$1")")
	limit_of "$1"
	name=$level/$(basename "$1" .sh)
	once "$1" "$log" || status=$?
	if [ "$RETRY" != 0 ] && [ "$level" != build ] && [ $status -ne 0 ] && [ $status -ne 77 ]; then
		printf '  again %-40s (exit %s)\n' "$name" "$status"
		tail -n 40 "$log" | sed 's/^/        /'
		status=0
		once "$1" "$log" || status=$?
		[ $status -ne 0 ] || second+=("$name")
	fi
	result "$name" "$status" "$log" $((SECONDS - start))
}

# each cmocka binary holds many tests: count them by its own closing lines
unit() {
	local t log status ok bad
	for t in "$O"/tests/test_*; do
		[ -x "$t" ] && [ -f "$t" ] || continue
		# shellcheck disable=SC2053 # a glob on purpose
		[[ $(basename "$t") == $only ]] || continue
		log=$scratch/log
		timeout -k 10 "$limit" "$t" >"$log" 2>&1 </dev/null
		status=$?
		ok=$(grep -oE '\[  PASSED  \] [0-9]+' "$log" | awk '{n += $NF} END {print n + 0}')
		bad=$(grep -cE '^\[  FAILED  \] [a-z_0-9]+$' "$log")
		if [ "$status" -eq 0 ] && [ "$ok" -gt 0 ]; then
			passed=$((passed + ok))
			printf '  ok    unit/%-35s %4s tests\n' "$(basename "$t")" "$ok"
		else
			passed=$((passed + ok))
			[ "$bad" -gt 0 ] || bad=1
			failed=$((failed + bad))
			failures+=("unit/$(basename "$t")")
			printf '  FAIL  unit/%s (exit %s)\n' "$(basename "$t")" "$status"
			grep -vE '^\[ (RUN|      OK) ' "$log" | tail -n 30 | sed 's/^/        /'
		fi
	done
}

scripts() {
	local t
	for t in tests/"$1"/[0-9]*.sh; do
		[ -e "$t" ] || continue
		# shellcheck disable=SC2053
		[[ $(basename "$t") == $only ]] || continue
		script "$t"
	done
}

vm() {
	local log=$scratch/vm p f s t
	tests/vm/run.sh ${VM_KERNELS:+--kernels "$VM_KERNELS"} 2>&1 </dev/null | tee "$log"
	if [ "${PIPESTATUS[0]}" -eq 77 ]; then
		skipped=$((skipped + 1))
		return
	fi
	read -r p f s < <(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1 |
		sed 's/[^0-9 ]//g')
	passed=$((passed + ${p:-0}))
	failed=$((failed + ${f:-1}))
	skipped=$((skipped + ${s:-0}))
	[ "${f:-1}" -eq 0 ] || failures+=("vm")
	mapfile -t -O ${#second[@]} second < <(sed -n 's/^second try: /vm\//p' "$log")
	# shellcheck disable=SC2053 # a glob on purpose
	[[ powercut.sh != $only ]] || script tests/vm/powercut.sh
	default_limit=500
	for t in systemd packages; do
		# shellcheck disable=SC2053
		[[ $t.sh != $only ]] || script "tests/vm/$t.sh"
	done
}

for level in "$@"; do
	echo "== $level"
	case $level in
	unit) unit ;;
	build) scripts build ;;
	host | e2e)
		if [ "$(id -u)" -ne 0 ]; then
			skipped=$((skipped + 1))
			echo "  skip  $level: needs root"
		else
			scripts "$level"
		fi
		;;
	vm) vm ;;
	*)
		echo "unknown level $level" >&2
		exit 2
		;;
	esac
done
[ ${#second[@]} -eq 0 ] || echo "passed only at the second try: ${second[*]}"
[ ${#failures[@]} -eq 0 ] || printf 'failed: %s\n' "${failures[*]}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
