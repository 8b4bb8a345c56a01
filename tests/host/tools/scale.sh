# shellcheck shell=bash
# What the scale tests (6*-*.sh) share. Source it after lib.sh.
CC=${CC:-cc}
command -v "$CC" >/dev/null || skip "no C compiler for the test's own load"
"$CC" -O1 -o "$TMP/cgroups" "$(dirname "${BASH_SOURCE[0]}")/cgroups.c" || fail "cannot compile tools/cgroups.c"
LOAD=$TMP/cgroups
SOAK=${SOAK:-}

# st FILTER: one value of `status --json`
st() { "$BIN" status --json --root "$ROOT" | jq -r "$1"; }
# lost PLACE: how often that place counted
lost() { st "[.losses[] | select(.place == \"$1\") | .count][0] // 0"; }
# settled: every event that was produced is consumed or dropped
settled() { [ "$(st '[.events[] | select(.produced != .consumed + .dropped)] | length')" = 0 ]; }
# below TOP FILTER: a figure of the rows of cgroup TOP and those below it, as an array
below() {
	rows | jq -r --arg p "/$1" "[.rows[] | select(.hierarchy != \"v1\" and
		(.cgroup == \$p or (.cgroup | startswith(\$p + \"/\"))))] | $2"
}
# kernel_ns DIR: CPU time of a cgroup and all that were below it, as the kernel tells it
kernel_ns() { awk '$1 == "usage_usec" {print $2 * 1000}' "$1/cpu.stat"; }
# other_ns: CPU time in the `other` row
other_ns() { rows | jq '[.rows[] | select(.cgroup == "other") | .signals.cpu_usage_ns][0] // 0'; }
# memory: resident and proportional KiB of the agent's processes
memory() {
	local pid
	for pid in $(st '.supervisor_pid, .core_pid'); do cat "/proc/$pid/smaps_rollup"; done |
		awk '$1 == "Rss:" {r += $2} $1 == "Pss:" {p += $2} END {print r, p}'
}
# slots_used: entries of the pinned index from cgroup to slot
slots_used() { bpftool -j map dump pinned "$ROOT/sys/fs/bpf/waveos/maps/wv_slots" | jq length; }
# ticks_after N: the agent has published N samples since it started
ticked() { [ "$(st .tick)" -ge "$1" ]; }
# rise: prints two numbers' difference
minus() { echo $(($1 - $2)); }
