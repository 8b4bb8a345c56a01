#!/bin/bash
# The closed loop: a service of the agent's own supervisor hangs (it stops its heartbeat), a rule trips, the domain goes into
# mode safe, a chain restarts the service, the heartbeat is back, the rule clears and the mode is normal again: observe, trip,
# enforce, verify, half-open, recover, each step a record.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip "no jq"

top=wvtest-loop-$$
dir=$(cgroup_make "$top")
at_exit cgroup_remove "$dir"
at_exit cgroup_remove "$dir/svc"
mkdir -p "$ROOT/etc/waveos"
cat >"$TMP/service.sh" <<'SH'
# beats until it is told to hang; a hang ends with the process
rm -f "$1/hang"
echo $$ >"$1/pid"
while [ ! -e "$1/hang" ]; do
	touch "$1/alive"
	sleep 0.1
done
exec sleep 1000
SH
cat >"$ROOT/etc/waveos/waveos.yaml" <<YAML
heartbeats:
  - {name: beat, file: $TMP/alive, cgroup: /$top/svc, every: 1s}
YAML
cat >"$ROOT/etc/waveos/policy.yaml" <<YAML
schema_version: 1
name: loop
domains:
  - {name: svc, scope: {cgroup: /$top/svc}, restarts: {max: 3, within: 10m}}
modes:
  - {name: normal}
  - {name: safe, flags: [hold-outputs]}
rules:
  - name: silent
    domain: svc
    if: "delta(task_heartbeats_missed) > 0"
    clear: "delta(task_heartbeats_missed) == 0"
    clear_for: 2s
    half_open: 1s
    then: [mode safe, recover revive, alert]
    severity: critical
    route: field
recovery:
  - {name: revive, steps: [restart wait 20s, kill], backoff: 100ms, cool_down: 1s}
services:
  - {name: svc, command: [/bin/sh, $TMP/service.sh, $TMP], cgroup: /$top/svc, backoff: 0s}
YAML
agent_start --set agent.tick=200ms
wait_until 10 test -s "$TMP/pid" || fail "the service was not started"
pid=$(cat "$TMP/pid")
events() { cat "$ROOT"/var/lib/waveos/runs/*/events.jsonl; }
has() { events | jq -e --slurp "any(.[]; $1)" >/dev/null; }
mode_is() { grep -qx "WAVEOS_MODE=$1" "$ROOT/run/waveos/domains/svc.env"; }
quiet() { ! has '.type == "decision" and .rule == "silent"'; }
wait_until 5 test -e "$TMP/alive" || fail "no heartbeat"
mode_is normal || fail "not normal at the start"
quiet || fail "it tripped without a reason"

touch "$TMP/hang"
wait_until 15 mode_is safe || fail "the rule did not trip"
restarted() { [ "$(cat "$TMP/pid")" != "$pid" ]; }
wait_until 15 restarted || fail "the service was not restarted"
wait_until 20 mode_is normal || fail "the mode is not normal again"
wait_until 15 has '.type == "decision" and .rule == "silent" and .verdict == "closed"' || fail "the rule did not close"
wait_until 10 has '.type == "recovery" and .event == "recovered"' || fail "the chain does not say that it helped"
kill -0 "$(cat "$TMP/pid")" || fail "the service does not run"
# each step is there, in this order
order=$(events | jq -r --slurp '[.[] | if .type == "decision" and .rule == "silent" then "decision-\(.verdict)"
	elif .type == "mode" then "mode-\(.to)" elif .type == "action" or .type == "action-outcome" then "\(.type)-\(.act)"
	else empty end] | join(" ")')
case $order in
*"decision-open"*"action-restart"*"action-outcome-restart"*"decision-half-open"*"decision-closed"*) ;;
*) fail "order of the records: $order" ;;
esac
case $order in *"decision-open"*"mode-safe"*"mode-normal"*) ;; *) fail "modes: $order" ;; esac
echo "$order"
agent_stop
"$BIN" policy replay latest --root "$ROOT" | tail -n 2 | head -n 1
