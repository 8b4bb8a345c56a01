#!/bin/bash
# Cgroups that live for a millisecond: 5,000 (SOAK: 100,000) are made, run a process and are removed, one
# after the other and four at a time, 800 a second (SOAK: as fast as it goes). None is without a slot, no CPU
# time and no event is lost, and afterwards nothing is left of them. Spare slots last for 256 cgroups while the
# agent gets no CPU: at 800 a second that is 300 ms, which also a busy machine rarely exceeds.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tools/scale.sh"
command -v bpftool >/dev/null || skip "no bpftool to count map entries with"

n=2500 rate=800
if [ -n "$SOAK" ]; then n=50000 rate=0; fi
top=wvtest-churn-$$
dir=$(cgroup_make "$top")
at_exit rmdir "$dir"
at_exit sh -c "rmdir '$dir'/c* '$dir'/*/c* '$dir'/?"
# shellcheck disable=SC2046 # default settings, unless this machine has many cgroups of its own
agent_start $(room_for 100)
wait_until 20 ticked 5 || fail "no ticks" # what only the start needs is given back by then
wait_until 5 known "/$top" || fail "/$top is not known"
used=$(slots_used)
new0=$(st '.events["cgroup-new"].produced') gone0=$(st '.events["cgroup-gone"].produced')

made=0
# churn JOBS: n of them, checked against the kernel's figures
churn() {
	local kernel
	"$LOAD" churn "$dir" "$n" "$1" 200 "$rate"
	made=$((made + n + ($1 > 1 ? $1 : 0)))
	all_gone() { settled && [ "$(below "$top" length)" -eq 1 ]; }
	wait_until 20 all_gone || fail "$(below "$top" length) rows below $top, events: $(st '.events | tostring')"
	kernel=$(kernel_ns "$dir")
	counted() { within "$(figure "/$top" cpu_usage_ns)" "$kernel" 3; }
	wait_until 10 counted || fail "$1 at a time: $(figure "/$top" cpu_usage_ns) ns, cpu.stat says $kernel"
	echo "$1 at a time: $(figure "/$top" cpu_usage_ns) ns in the parent, cpu.stat says $kernel"
	lossless "$made"
}
churn 1
read -r rss0 pss0 < <(memory)
churn 4
read -r rss pss < <(memory)

for type in new gone; do
	[ "$type" = new ] && before=$new0 || before=$gone0
	produced=$(($(st ".events[\"cgroup-$type\"].produced") - before))
	[ "$produced" -ge "$made" ] || fail "$produced events cgroup-$type of $made cgroups"
done
# a slot for each row and for nothing else
clean() { [ "$(slots_used)" -eq "$(st .cgroups)" ]; }
wait_until 10 clean || fail "$(slots_used) slots are used by $(st .cgroups) cgroups ($used before)"
[ $((pss - pss0)) -le 2048 ] || fail "the agent grew by $((pss - pss0)) KiB ($rss0 KiB resident before, $rss after)"
echo "$made cgroups: $used slots used before, $(slots_used) after; $pss0 KiB before, $pss after;" \
	"$(st '.map_bytes / 1024 | floor') KiB in maps"
agent_stop
