# shellcheck shell=bash
# What the scale tests (6*-*.sh) share. Source it after lib.sh.
CC=${CC:-cc}
command -v "$CC" >/dev/null || skip "no C compiler for the test's own load"
"$CC" -O1 -o "$TMP/cgroups" "$(dirname "${BASH_SOURCE[0]}")/cgroups.c" || fail "cannot compile tools/cgroups.c"
# shellcheck disable=SC2034 # for the tests that source this
# shellcheck disable=SC2034 # the tests use it
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
kernel_ns() { awk '$1 == "usage_usec" {printf "%d000\n", $2}' "$1/cpu.stat"; }
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
# ticked N: the agent's tick is N or later
ticked() { [ "$(st .tick)" -ge "$1" ]; }
# lossless OWN: nothing is lost. OWN: cgroups that the test made under this agent; where many more were
# made, by others on this machine, a lack of slots was theirs and is only told.
lossless() {
	local foreign losses
	foreign=$(($(st '.events["cgroup-new"].produced') - $1))
	losses=$(st '[.losses[] | "\(.place) \(.count)"] | join(", ")')
	if [ $foreign -gt 50 ] && [ -n "$losses" ]; then
		echo "$foreign cgroups were made by others meanwhile: $losses"
		losses=$(st '[.losses[] | select(.place | test("^SLOT") | not) | "\(.place) \(.count)"] | join(", ")')
	fi
	[ -z "$losses" ] || fail "losses: $losses"
}
# cgroups_here: those that this machine has
cgroups_here() { find /sys/fs/cgroup "$CGROUP2" -mindepth 1 -type d 2>/dev/null | sort -u | wc -l; }
# room_for N: agent options for N cgroups beside those that this machine has
room_for() {
	local have
	have=$(cgroups_here)
	if [ $((have + $1)) -gt 1020 ]; then echo "--set collect.max_cgroups=$(((have + $1) * 2))"; fi
}
