#!/bin/bash
# A conditional budget: trips, holds over SIGKILL, is released by its condition; each with its reason.
. "$(dirname "$0")/lib.sh"
NAME=wvtest-when-$$
CG=$(cgroup_make "$NAME")
at_exit cgroup_remove "$CG"
KEY=$(stat -c %i "$CG")
LINK=$ROOT/sys/fs/bpf/waveos/limits/$(printf %016x "$KEY")-egress

mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/waveos.yaml" <<YAML
agent: {tick: 200ms}
budgets:
  - name: crowd
    cgroup: "/wvtest-when-*"
    when: {signal: task_forks, rate: true, above: 20, for: 400ms, clear: 5, clear_for: 1s}
    network: {egress: 10mbit}
YAML
agent_start
[ ! -e "$LINK" ] || fail "in force although the condition does not hold"

cgroup_run "$CG" bash -c 'while :; do /bin/true; done' &
# the shell above is not the load itself: that is what is in the cgroup
stop_load() {
	xargs -r kill -9 <"$CG/cgroup.procs" 2>/dev/null || true
	[ -z "$(cat "$CG/cgroup.procs")" ]
}
wait_until 10 test -e "$LINK" || fail "did not come into force"
agent_kill
[ -e "$LINK" ] || fail "gone with the agent"
# the new agent has never seen the condition hold: it must not release what the old one applied
wait_until 5 stop_load || fail "the load does not end"
agent_start
[ -e "$LINK" ] || fail "released at the start, before clear_for was over"
wait_until 10 bash -c "[ ! -e '$LINK' ]" || fail "was not released"
agent_stop

jq -se --arg c "/$NAME" '[.[] | select(.type == "decision" and .cgroup == $c)]
	| (map(select(.verdict == "apply" and .signal == "task_forks" and .value > 20 and .threshold == 20
		and .rate and .rule_line == 3 and .sample_mono_ns - .since_mono_ns >= 4e8)) | length == 1)
	and (map(select(.verdict == "release" and .value < 5 and .threshold == 5
		and .sample_mono_ns - .since_mono_ns >= 1e9)) | length == 1)' \
	"$ROOT"/var/lib/waveos/runs/*/events.jsonl >/dev/null ||
	fail "the decisions do not say why: $(cat "$ROOT"/var/lib/waveos/runs/*/events.jsonl | grep '"decision"')"
