#!/bin/bash
# The agent is killed at every stage of a chain: the next one goes on with it, and it ends as it would have. Nothing
# stays frozen, no step is lost, and the log has an intent for every outcome.
. "$(dirname "$0")/lib.sh"

top=wvtest-killed-$$
dir=$(cgroup_make "$top")
at_exit cgroup_remove "$dir"
mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/policy.yaml" <<YAML
schema_version: 1
name: killed
features: {kill: true}
domains:
  - {name: d, scope: {cgroup: /$top}}
recovery:
  - {name: c, steps: [freeze wait 80ms, thaw wait 80ms, kill wait 60s], backoff: 10ms, jitter: 0%, cool_down: 300ms}
YAML
populated() { grep -q 'populated 1' "$dir/cgroup.events"; }
empty() { grep -q 'populated 0' "$dir/cgroup.events"; }
events() { cat "$ROOT"/var/lib/waveos/runs/*/events.jsonl; }
count() { events | jq -c --arg t "$1" --arg v "$3" "select(.type == \$t and .$2 == \$v)" | wc -l; } # TYPE MEMBER VALUE
over() { [ "$("$BIN" status --json --root "$ROOT" | jq .held)" = 0 ] && [ "$(jq '.recoveries | length' "$ROOT/var/lib/waveos/recover/chains.json")" = 0 ]; }
rounds=${SOAK:+100}
rounds=${rounds:-10}
for ((i = 0; i < rounds; i++)); do
	agent_start --set agent.tick=100ms
	wait_until 5 known "/$top" || fail "the cgroup is not known"
	cgroup_run "$dir" sleep 1000 &
	wait_until 5 populated
	before=$(count recovery event started)
	"$BIN" recover --root "$ROOT" "/$top" c
	started() { [ "$(count recovery event started)" -gt "$before" ]; }
	wait_until 5 started || fail "round $i: the chain did not start"
	# from the first intent to after the last
	read -rt "0.$(printf '%03d' $((i * 300 / rounds)))" <> <(:) || true
	agent_kill
	agent_start --set agent.tick=100ms
	wait_until 10 empty || fail "round $i: the chain did not go on: $(events | tail -8)"
	kills() { events | jq -c 'select(.type == "action-outcome" and .act == "kill" and .outcome == "done")' | wc -l; }
	done_kill() { [ "$(kills)" -gt "$i" ]; } # one more than before this round
	wait_until 5 done_kill || fail "round $i: the kill has no outcome"
	"$BIN" recover --root "$ROOT" --well "/$top"
	wait_until 10 over || fail "round $i: not over: $(cat "$ROOT/var/lib/waveos/recover/chains.json")"
	agent_stop
done
# every outcome had its intent before it
events | jq -se 'reduce .[] as $r ({}; if $r.type == "action" then .[$r.id] = true
	elif $r.type == "action-outcome" and (.[$r.id] | not) then .bad = $r.id else . end) | .bad == null' >/dev/null ||
	fail "an outcome without an intent"
[ "$(events | grep -c '"resumed":true')" -gt 0 ] || echo "no action was in flight when the agent died"
