#!/bin/bash
# What gates add: nanoseconds of a verdict on a connect and on a program (net of an empty BPF program), and of the whole
# call. BIN, O as in the Makefile. Root.
set -euo pipefail
cd "$(dirname "$0")/../.." || exit 1
O=${O:-build}
BIN=$PWD/${BIN:-$O/waveos-bpf}
TMP=$(mktemp -d)
ROOT=$TMP/root
make --no-print-directory O="$O" "$O/bench/hook_cost" "$O/bench/gate_cost" "$O/bench/empty.bpf.o" >/dev/null
CGROUP2=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/self/mounts)
CG=$CGROUP2/wvbench-gate-$$
mkdir "$CG"
AGENT=''
cleanup() {
	[ -z "$AGENT" ] || kill "$AGENT" 2>/dev/null || true
	wait || true
	"$BIN" detach --root "$ROOT" >/dev/null 2>&1 || true
	rmdir "$CG" || true
	rm -rf "$TMP"
}
trap cleanup EXIT
mkdir -p "$ROOT/etc/waveos" "$TMP/bin/tree"
cp /bin/true "$TMP/bin/listed"
cp /bin/true "$TMP/bin/tree/below"

# filler N: so many entries that do not match
filler() { for ((i = 0; i < $1; i++)); do printf '10.%d.%d.0/24, ' $((i / 200)) $((i % 200)); done; }
policy() { # ENTRIES
	cat >"$ROOT/etc/waveos/policy.yaml" <<YAML
schema_version: 1
name: bench
domains:
  - {name: d, scope: {cgroup: /${CG##*/}}}
gates:
  - {name: net, domain: d, kind: connect, enforce: true, allow: [$(filler "$1") 127.0.0.0/8:7001], deny: [169.254.0.0/16]}
  - {name: run, domain: d, kind: exec, enforce: true, allow: [$TMP/bin/listed, $TMP/bin/tree/*, $PWD/$O/bench/gate_cost, $(readlink -f /bin/bash)]}
YAML
}
start() {
	"$BIN" attach --root "$ROOT" --set metrics.listen= --set collect.program_stats=off --set agent.log_format=text 2>"$TMP/log" &
	AGENT=$!
	until grep -qs 'first figures' "$TMP/log"; do
		kill -0 "$AGENT" || { cat "$TMP/log"; exit 1; }
		read -rt 0.1 <> <(:) || true
	done
}
inside() (
	echo "$BASHPID" >"$CG/cgroup.procs"
	exec "$@"
)
COST=$PWD/$O/bench/gate_cost
# measured PROGRAM... -- LOAD...: a line `program runs nanoseconds` each, of the runs while the load runs
measured() {
	local programs=() meter
	while [ "$1" != -- ]; do
		programs+=("$1")
		shift
	done
	shift
	"$O/bench/hook_cost" -q "$O/bench/empty.bpf.o" 60 "${programs[@]}" >"$TMP/cost" 2>"$TMP/meter" &
	meter=$!
	until grep -qs measuring "$TMP/meter"; do read -rt 0.1 <> <(:) || true; done
	"$@" >/dev/null 2>&1
	kill "$meter"
	wait "$meter"
	awk '$2 { printf "%s %d %.0f\n", $1, $2, $3 / $2 }' "$TMP/cost"
}
# net PROGRAM LOAD...: nanoseconds a run while the load runs in the domain. The empty program's are of warm runs: while the
# load runs alone, the few switches that it sits on are cold and would hide most of a verdict.
net() {
	local program=$1
	shift
	measured "$ROOT/sys/fs/bpf/waveos/progs/$program" -- inside "$@" | awk -v floor="$EMPTY" '$1 != "empty" {
		printf "%s: %d runs, %.0f ns, net of an empty program %.0f ns\n", $1, $2, $3, $3 - floor }'
}
EXEC=gate_exec
grep -qs bpf /sys/kernel/security/lsm && EXEC=gate_lsm_exec
for ENTRIES in 0 100; do
	policy $ENTRIES
	start
	EMPTY=$(measured "$ROOT/sys/fs/bpf/waveos/progs/gate_connect4" -- \
		taskset 1 perf bench sched pipe -l 200000 | awk '$1 == "empty" { print $3 }')
	echo "== connect gate with $((ENTRIES + 2)) entries"
	net gate_connect4 "$COST" connect 3
	for _ in 1 2 3; do echo "connect: outside $("$COST" connect 1 | cut -d' ' -f2) ns, inside $(inside "$COST" connect 1 | cut -d' ' -f2) ns"; done
	if [ $ENTRIES = 0 ]; then
		echo "== exec gate, program listed by path (found by its inode)"
		net $EXEC "$COST" exec 3 "$TMP/bin/listed"
		echo "== exec gate, program below a listed folder (found by its path)"
		net $EXEC "$COST" exec 3 "$TMP/bin/tree/below"
		for _ in 1 2 3; do echo "exec: outside $("$COST" exec 2 "$TMP/bin/listed" | cut -d' ' -f2) ns, inside $(inside "$COST" exec 2 "$TMP/bin/listed" | cut -d' ' -f2) ns"; done
	fi
	kill "$AGENT"
	wait "$AGENT" || true
	AGENT=''
	"$BIN" detach --root "$ROOT" >/dev/null
done
