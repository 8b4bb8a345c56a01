#!/bin/bash
# Recovery by chains: each step is taken on a real cgroup, verified, recorded before and after; the next one
# follows when it did not help; success and the restart budget end it; a killed agent goes on where it was; the
# kill switch stops everything at once and lets go of what is held.
. "$(dirname "$0")/lib.sh"

top=wvtest-recover-$$
dir=$(cgroup_make "$top")
at_exit cgroup_remove "$dir"
mkdir "$dir/a" "$dir/b" "$dir/db" "$dir/e"
at_exit cgroup_remove "$dir/e"
at_exit cgroup_remove "$dir/a"
at_exit cgroup_remove "$dir/b"
at_exit cgroup_remove "$dir/db"
mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/policy.yaml" <<YAML
schema_version: 1
name: recover
features: {kill: true, restart: true}
domains:
  - {name: db, scope: {cgroup: /$top/db}}
  - {name: web, scope: {cgroup: /$top/a}, after: [db]}
  - {name: batch, scope: {cgroup: /$top/b}}
  - {name: failing, scope: {cgroup: /$top/e}}
rules:
  - {name: fails, domain: failing, if: "delta(err_exits_nonzero) > 0", clear_for: 1s, half_open: 0s, then: [recover hold]}
budgets:
  - {name: net, cgroup: /$top/db, network: {egress: 10mbit}}
modes:
  - name: normal
  - name: degraded
recovery:
  - {name: harder, steps: [freeze wait 300ms, thaw wait 300ms, mode degraded wait 300ms, kill wait 20s], backoff: 20ms, cool_down: 2s}
  - {name: hold, steps: [freeze wait 60s], cool_down: 1s}
  - {name: mortal, steps: [reboot, restart, kill wait 60s], backoff: 10ms, cool_down: 1s}
YAML
load() { # DIR: a process that stays, in the cgroup
	cgroup_run "$1" sleep 1000 &
	wait_until 5 populated "$1"
}
populated() { grep -q 'populated 1' "$1/cgroup.events"; }
empty() { grep -q 'populated 0' "$1/cgroup.events"; }
frozen() { grep -q 'frozen 1' "$1/cgroup.events"; }
thawed() { ! frozen "$1"; }
events() { cat "$ROOT"/var/lib/waveos/runs/*/events.jsonl; }
# has FILTER: whether a record matches this jq condition
has() { events | jq -e --slurp "any(.[]; $1)" >/dev/null; }
ask() { "$BIN" recover --root "$ROOT" "$@" || fail "recover $*"; }
start() { agent_start --set agent.tick=200ms; }
start
wait_until 5 known "/$top/a" || fail "the cgroup is not known"

# 1. a chain to its end: freeze, thaw, mode, kill; then the domain is well
load "$dir/a"
ask "/$top/a" harder
wait_until 5 frozen "$dir/a" || fail "not frozen: $(events | tail -3)"
wait_until 10 empty "$dir/a" || fail "not killed: $(events | tail -3)"
wait_until 5 has '.type == "action-outcome" and .act == "kill" and .outcome == "done"' || fail "no outcome of the kill"
has '.type == "action-outcome" and .act == "mode" and .outcome == "done"' || fail "no mode was switched"
order=$(events | jq -r 'select(.type == "action" or .type == "action-outcome") | "\(.type)-\(.act)"' | tr '\n' ' ')
[ "$order" = "action-freeze action-outcome-freeze action-thaw action-outcome-thaw action-mode action-outcome-mode action-kill action-outcome-kill " ] ||
	fail "order: $order"
ask --well "/$top/a"
wait_until 5 has '.type == "recovery" and .event == "recovered"' || fail "success is not told"
wait_until 5 has '.type == "recovery" and .event == "ended"' || fail "the cool-down does not end"

# 2. what may not be done is passed over and told: reboot (feature off), restart (nobody to restart it)
load "$dir/b"
ask "/$top/b" mortal
wait_until 10 empty "$dir/b" || fail "mortal: not killed"
has '.type == "recovery" and .event == "skipped" and .act == "reboot"' || fail "reboot is not told as skipped"
has '.type == "action-outcome" and .act == "restart" and .outcome == "failed" and (.detail | test("no one here"))' ||
	fail "restart of what nobody runs is not told as failed"
ask --well "/$top/b"

# 3. order: web waits for db
load "$dir/db"
load "$dir/a"
ask "/$top/db" hold
wait_until 5 frozen "$dir/db" || fail "db is not frozen"
ask "/$top/a" hold
wait_until 5 has '.type == "recovery" and .event == "started" and .domain == "web" and .chain == "hold"' || fail "web did not start"
thawed "$dir/a" || fail "web did not wait for db"
ask --well "/$top/db"
wait_until 5 frozen "$dir/a" || fail "web did not go on after db"
wait_until 5 thawed "$dir/db" || fail "db is not let go after its cool-down"

# 4. the agent dies while it holds: the next one knows, and still lets go
agent_kill
frozen "$dir/a" || fail "the freeze went with the agent"
start
frozen "$dir/a" || fail "the new agent let go"
[ "$("$BIN" status --json --root "$ROOT" | jq .held)" = 1 ] || fail "status does not show the hold"

# 5. kill switch: by file at once, then by signal; budgets go and come back
limits() { find "$ROOT/sys/fs/bpf/waveos/limits" -type f | wc -l; }
limited() { [ "$(limits)" -gt 0 ]; }
unlimited() { [ "$(limits)" -eq 0 ]; }
wait_until 5 limited || fail "the budget is not in force"
touch "$ROOT/run/waveos/kill-switch"
wait_until 5 thawed "$dir/a" || fail "the kill switch did not release"
[ "$("$BIN" status --json --root "$ROOT" | jq .armed)" = false ] || fail "status says armed"
wait_until 5 unlimited || fail "the kill switch did not release the budget"
ask "/$top/a" hold
wait_until 5 has '.type == "recovery" and .event == "refused"' || fail "a refusal is not told"
thawed "$dir/a" || fail "an action in spite of the kill switch"
kill -USR1 "$AGENT"
armed() { [ "$("$BIN" status --json --root "$ROOT" | jq .armed)" = true ]; }
wait_until 5 armed || fail "a signal did not arm again"
[ ! -e "$ROOT/run/waveos/kill-switch" ] || fail "the file is still there"
wait_until 5 limited || fail "armed again, the budget did not come back"
has '.type == "kill-switch" and .armed == false' || fail "the switch is not recorded"
has '.type == "kill-switch" and .armed == true' || fail "arming is not recorded"

# 6. never on the agent itself
mkdir "$dir/own"
at_exit cgroup_remove "$dir/own"
echo "$AGENT" >"$dir/own/cgroup.procs"
at_exit sh -c "echo $AGENT >$CGROUP2/cgroup.procs"
wait_until 5 known "/$top/own"
ask --step kill "/$top/own"
wait_until 5 has '.type == "action-outcome" and .act == "kill" and .outcome == "failed" and (.detail | test("agent itself"))' ||
	fail "the agent would kill itself"
echo "$AGENT" >"$CGROUP2/cgroup.procs"

# 7. a rule does all of it by itself: need, action, well again, let go
load "$dir/e"
cgroup_run "$dir/e" false || true
wait_until 10 has '.type == "recovery" and .event == "started" and .domain == "failing" and .cause.rule == "fails"' ||
	fail "a rule did not start its chain: $(events | tail -5)"
wait_until 5 frozen "$dir/e" || fail "a rule's chain did not freeze"
wait_until 10 has '.type == "recovery" and .event == "recovered" and .domain == "failing"' || fail "the end of the rule is not told"
wait_until 10 thawed "$dir/e" || fail "what a rule's chain held is not let go"

# 8. with kill_switch.release off, what is in force stays, also over a restart of the agent
agent_stop
touch "$ROOT/etc/waveos/kill-switch"
agent_start --set agent.tick=200ms --set kill_switch.release=false
limited || fail "the budget went although release is off"
[ "$("$BIN" status --json --root "$ROOT" | jq .armed)" = false ] || fail "the file beside the configuration does not count"
agent_stop
rm "$ROOT/etc/waveos/kill-switch"
start

# 9. detach lets go of everything
ask --step freeze "/$top/b"
load "$dir/db"
ask --step freeze "/$top/db"
ask --step isolate "/$top/db"
wait_until 5 frozen "$dir/db" || fail "db is not frozen by a single action"
isolated() { [ "$(find "$ROOT/sys/fs/bpf/waveos/isolate" -type f | wc -l)" -eq 2 ]; }
wait_until 5 isolated || fail "no isolation is pinned"
agent_kill
"$BIN" detach --root "$ROOT" >"$TMP/detach" || fail "detach: $(cat "$TMP/detach")"
thawed "$dir/db" || fail "detach did not thaw: $(cat "$TMP/detach")"
[ ! -e "$ROOT/sys/fs/bpf/waveos" ] || fail "pins remain"
