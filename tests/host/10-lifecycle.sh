#!/bin/bash
# Cgroups: what existed is found, a new one is known before its first task, a removed one leaves its
# figures to its parent; a SIGKILL of the agent loses no count and a new agent adopts.
. "$(dirname "$0")/lib.sh"

top=wvtest-life-$$
dir=$(cgroup_make "$top")
at_exit cgroup_remove "$dir"
mkdir "$dir/old"
at_exit cgroup_remove "$dir/old"
agent_start --set agent.tick=200ms

wait_until 3 known "/$top/old" || fail "a cgroup that existed is not known"

mkdir "$dir/new"
at_exit cgroup_remove "$dir/new"
cgroup_run "$dir/new" sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done'
busy() { [ "$(figure "/$top/new" cpu_usage_ns)" -gt 10000000 ]; }
wait_until 3 busy || fail "a new cgroup has no CPU time"
losses=$("$BIN" status --json --root "$ROOT" | jq '.losses | length')
[ "$losses" -eq 0 ] || fail "losses: $("$BIN" status --json --root "$ROOT" | jq -c .losses)"

used=$(figure "/$top/new" cpu_usage_ns)
rmdir "$dir/new"
wait_until 3 unknown "/$top/new" || fail "a removed cgroup is still listed"
left=$(figure "/$top" cpu_usage_ns)
[ "$left" -ge "$used" ] || fail "the parent has $left ns, its dead child had $used"

# killed and started again: adopted, and nothing went back
before=$(figure "/$top" cpu_usage_ns)
agent_kill
cgroup_run "$dir/old" sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done'
mkdir "$dir/between"
at_exit cgroup_remove "$dir/between"
agent_start --set agent.tick=200ms
grep -q 'adopted running' "$TMP/agent.log" || fail "the new agent did not adopt"
wait_until 3 known "/$top/between" || fail "a cgroup made while no agent ran is not known"
[ "$(figure "/$top" cpu_usage_ns)" -ge "$before" ] || fail "a counter went back over the restart"
counted() { [ "$(figure "/$top/old" cpu_usage_ns)" -gt 10000000 ]; }
wait_until 3 counted || fail "CPU time used while no agent ran is missing"

agent_stop
[ ! -e "$ROOT/sys/fs/bpf/waveos" ] || fail "an exit without budgets left pins"
