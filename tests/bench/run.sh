#!/bin/bash
# Measures the figures of docs/benchmarks.md and writes it.
#   run.sh [ROW...]   rows: hook slowdown loss memory limit gap rates gate breaker restart policy programs verifier verify append rollback spool gpu; default: all
# Root. O=build folder. A row that is not named keeps its last figures ($O/bench/results). PAIRS, ROUNDS,
# STARTS, GAP_SECONDS, MAX_ROUNDS, SHARES, QUIET_WAIT, QUIET_BUDGET, VM_KERNELS change how much is measured.
#
# PRIORITY=-10: where neighbours never pause, a session of its own with that autogroup priority (sched(7)).
cd "$(dirname "$0")/../.." || exit 1
if [ -n "${PRIORITY:-}" ] && [ -z "${OWN_SESSION:-}" ]; then
	OWN_SESSION=1 exec setsid -w tests/bench/run.sh "$@"
fi
# shellcheck source=lib.sh
. tests/bench/lib.sh
# shellcheck source=rows.sh
. tests/bench/rows.sh
# shellcheck source=rows_breaker.sh
. tests/bench/rows_breaker.sh
# shellcheck source=rows_bundle.sh
. tests/bench/rows_bundle.sh
# shellcheck source=rows_evidence.sh
. tests/bench/rows_evidence.sh
# shellcheck source=rows_spool.sh
. tests/bench/rows_spool.sh
# shellcheck source=rows_gpu.sh
. tests/bench/rows_gpu.sh
# shellcheck source=rates.sh
. tests/bench/rates.sh
# shellcheck source=document.sh
. tests/bench/document.sh

ALL_ROWS=(hook slowdown loss memory limit gap rates gate breaker restart policy programs verifier verify append rollback spool gpu)

# What the comparison needs, only here: neither the build nor the tests do.
install_tools() {
	local p missing=()
	for p in libbpf-tools bpftrace prometheus-node-exporter linux-perf stress-ng curl jq bpftool; do
		dpkg-query -W -f='${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
	done
	[ ${#missing[@]} -eq 0 ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		"${missing[@]}" >/dev/null
}

main() {
	local rows=("$@")
	[ "$(id -u)" -eq 0 ] || die "needs root"
	trap clean_up EXIT
	trap 'exit 143' HUP INT TERM PIPE
	mkdir -p "$RESULTS" "$ROOT"
	install_tools
	if [ -n "${PRIORITY:-}" ]; then echo "$PRIORITY" >/proc/self/autogroup; fi
	[ ${#rows[@]} -gt 0 ] || rows=("${ALL_ROWS[@]}")
	for ROW in "${rows[@]}"; do
		declare -F "row_$ROW" >/dev/null || die "no row '$ROW'; rows: ${ALL_ROWS[*]}"
		say "row $ROW"
		: >"$RESULTS/$ROW.new"
		"row_$ROW"
		mv "$RESULTS/$ROW.new" "$RESULTS/$ROW.figures"
	done
	cat "$RESULTS"/*.figures >"$WORK/figures"
	while read -r key value; do R[$key]=$value; done <"$WORK/figures"
	document >"$WORK/benchmarks.md"
	cp "$WORK/benchmarks.md" docs/benchmarks.md
	say "written: docs/benchmarks.md"
}

main "$@"
