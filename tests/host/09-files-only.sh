#!/bin/bash
# A kernel that takes no kind of tracepoint: cgroup and /proc files alone still give rows and figures, of
# cgroups that come and go as well.
. "$(dirname "$0")/lib.sh"
agent_start --set agent.tick=200ms --set collect.hooks=files
grep -q 'files only' "$TMP/agent.log" || fail "hooks are in use"
name=wvtest-files-$$
dir=$(cgroup_make "$name")
at_exit cgroup_remove "$dir"
wait_until 5 known "/$name" || fail "a new cgroup is not known"
cgroup_run "$dir" sleep 30 &
alive() { [ "$(figure "/$name" task_processes)" -eq 1 ]; }
wait_until 5 alive || fail "its process is not counted"
cgroup_remove "$dir"
wait_until 5 unknown "/$name" || fail "a removed cgroup is still listed"
[ ! -e "$ROOT/sys/fs/bpf/waveos/links" ] || [ -z "$(ls "$ROOT/sys/fs/bpf/waveos/links")" ] || fail "links exist"
agent_stop
