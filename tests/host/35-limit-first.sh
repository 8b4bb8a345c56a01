#!/bin/bash
# A cold start limits before it looks at anything else: the object of the limit is loaded, and the limit in
# force, before hooks are probed. An agent that finds a set of this boot probes first, and adopts it.
. "$(dirname "$0")/lib.sh"
NAME=wvtest-first-$$
CG=$(cgroup_make "$NAME")
at_exit cgroup_remove "$CG"
LIMITS=$ROOT/sys/fs/bpf/waveos/limits

mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/waveos.yaml" <<YAML
budgets:
  - name: first
    cgroup: /$NAME
    network: {egress: 50mbit}
YAML

# line TEXT: number of the first line of the log with this text
line() { grep -n -m 1 "$1" "$TMP/agent.log" | cut -d: -f1; }
in_force() { [ "$("$BIN" status --json --root "$ROOT" | jq .first_limit_ns)" -gt 0 ]; }
hooks() { jq -r .host.hooks "$("$BIN" status --json --root "$ROOT" | jq -r .run_dir)/run_meta.json"; }

agent_start --set agent.log_level=debug
limit=$(line 'object limit took') probed=$(line 'hooks are probed') cgroup=$(line 'object cgroup took')
[ -n "$limit" ] && [ -n "$probed" ] && [ -n "$cgroup" ] || fail "the log does not tell the order"
[ "$limit" -lt "$probed" ] || fail "hooks were probed before the limit was loaded"
[ "$probed" -lt "$cgroup" ] || fail "an observer was loaded before hooks were probed"
wait_until 5 in_force || fail "the limit is not in force"
ls "$LIMITS"/*-egress >/dev/null || fail "no link is pinned"
# what was not known yet when the run began is in its facts
[ "$(hooks)" != none ] || fail "run_meta.json says that no hooks are in use"

agent_kill
agent_start --set agent.log_level=debug
grep -q 'adopted running' "$TMP/agent.log" || fail "the set was not adopted"
[ -z "$(line 'object limit took')" ] || fail "an object was loaded although all are there"

# another build: limits of the old set are in force meanwhile, those of the new one replace them
agent_kill
agent_start --set agent.log_level=debug --set collect.event_ring=128K
grep -q 'loaded BPF' "$TMP/agent.log" || fail "the set was adopted, not loaded"
wait_until 5 in_force || fail "the limit is not in force after an upgrade"
agent_stop
