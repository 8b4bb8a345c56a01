#!/bin/bash
# Another build takes over from a running set: its programs are loaded beside the old ones on the same
# maps and made live by one store. Counters go on; nothing is counted twice.
. "$(dirname "$0")/lib.sh"

name=wvtest-upgrade-$$
dir=$(cgroup_make "$name")
at_exit cgroup_remove "$dir"
agent_start --set agent.tick=200ms
cgroup_run "$dir" sh -c 'i=0; while [ $i -lt 400000 ]; do i=$((i + 1)); done'
counted() { [ "$(figure "/$name" cpu_usage_ns)" -gt 10000000 ]; }
wait_until 3 counted || fail "no CPU time before the upgrade"
before=$(figure "/$name" cpu_usage_ns)
agent_kill

# another ring size gives another build id, as another version would
agent_start --set agent.tick=200ms --set collect.event_ring=128K
grep -q 'loaded BPF' "$TMP/agent.log" || fail "the set was adopted, not loaded"
! grep -q 'another layout' "$TMP/agent.log" || fail "maps of the same layout were not kept"
after=$(figure "/$name" cpu_usage_ns)
[ "$after" -ge "$before" ] || fail "went back: $before, then $after"

# one set counts: the figure follows the kernel's own, not its double
usage_ns() { awk '/^usage_usec/ {print $2 * 1000}' "$dir/cpu.stat"; }
kernel=$(usage_ns)
cgroup_run "$dir" timeout 1 sh -c 'while :; do :; done' || true
kernel=$(($(usage_ns) - kernel))
busy() { [ "$(figure "/$name" cpu_usage_ns)" -gt $((after + kernel * 9 / 10)) ]; }
wait_until 5 busy || fail "the new set does not count: $(figure "/$name" cpu_usage_ns) of $((after + kernel))"
now=$(figure "/$name" cpu_usage_ns)
[ $((now - after)) -lt $((kernel * 12 / 10)) ] || fail "$((now - after)) ns counted, the kernel says $kernel"
links=$(find "$ROOT/sys/fs/bpf/waveos/links" -type f | wc -l)
[ "$links" -eq "$(find "$ROOT/sys/fs/bpf/waveos/links" -type f -printf '%f\n' | sort -u | wc -l)" ]
agent_stop
