#!/bin/bash
# top: table and JSON of a running agent, the live view in a terminal, and what it says without an agent.
. "$(dirname "$0")/lib.sh"

rc=0
out=$("$BIN" top --once --root "$ROOT" 2>&1) || rc=$?
[ $rc -eq 1 ] || fail "without an agent: status $rc"
[[ $out == *"no agent runs"* ]] || fail "without an agent: $out"
rc=0
"$BIN" top --sort nothing --root "$ROOT" 2>/dev/null || rc=$?
[ $rc -eq 2 ] || fail "a wrong sort key: status $rc"

name=wvtest-top-$$
dir=$(cgroup_make "$name")
at_exit cgroup_remove "$dir"
agent_start --set agent.tick=200ms
cgroup_run "$dir" timeout 30 sh -c 'while :; do :; done' &

# a task that uses one CPU shows as much, less what the machine's other load takes from it
row() { "$BIN" top --once --json --root "$ROOT" --filter "$name" | jq "[.rows[] | select(.cgroup == \"/$name\")][0]$1"; }
busy() { row .own.cpu_percent | awk '{exit !($1 > 5 && $1 <= 110)}'; }
wait_until 5 busy || fail "CPU of a busy loop: $(row .own.cpu_percent) %"
[ "$(row .own.tasks)" -ge 1 ] || fail "no tasks"
row .rates.cpu_usage_ns | awk '{exit !($1 > 5e7 && $1 < 1.1e9)}' || fail "rate: $(row .rates)"

"$BIN" top --once --root "$ROOT" --filter "$name" --limit 3 >"$TMP/table"
grep -q "/$name\$" "$TMP/table" || fail "table: $(cat "$TMP/table")"
grep -q '^self: cpu ' "$TMP/table" || fail "no self row"
"$BIN" top --json --count 3 --interval 400ms --root "$ROOT" --limit 1 >"$TMP/stream"
[ "$(wc -l <"$TMP/stream")" -eq 3 ] || fail "a stream of 3 has $(wc -l <"$TMP/stream") lines"
jq -es 'all(.schema_version == 1 and (.rows | length) == 1 and .interval_ns >= 300000000) and
	([.[].tick] | . == (unique | sort))' "$TMP/stream" >/dev/null || fail "stream: $(jq -c '{tick, interval_ns}' "$TMP/stream")"

if ! command -v tmux >/dev/null; then
	agent_stop
	skip "tmux is not here: the live view was not tried"
fi
tmux=(tmux -L "$name" -f /dev/null)
at_exit "${tmux[@]}" kill-server
screen() { "${tmux[@]}" capture-pane -p; }
shows() { screen | grep -qF -- "$1"; }
hides() { ! shows "$1"; }
"${tmux[@]}" new-session -d -x 140 -y 40 "LC_ALL=C.UTF-8 '$BIN' top --root '$ROOT'"
wait_until 5 shows "$name" || fail "live view: $(screen)"
shows 'self: cpu' || fail "no self row: $(screen)"
"${tmux[@]}" send-keys / "$name" Enter
wait_until 5 shows "filter: $name" || fail "filter: $(screen)"
"${tmux[@]}" send-keys f Enter
wait_until 5 shows 'runq_latency' || fail "details: $(screen)"
wait_until 5 shows 'p99' || fail "details without figures: $(screen)"
"${tmux[@]}" send-keys z
wait_until 5 shows PAUSED || fail "pause: $(screen)"
"${tmux[@]}" send-keys z
wait_until 5 hides PAUSED || fail "pause does not end: $(screen)"
"${tmux[@]}" resize-window -x 60 -y 12
wait_until 5 shows 'q quit' || fail "after a resize: $(screen)"
"${tmux[@]}" resize-window -x 140 -y 40
# the agent goes and comes back
agent_stop
wait_until 10 shows 'no agent runs' || fail "the end of the agent is not shown: $(screen)"
agent_start --set agent.tick=200ms
wait_until 10 hides 'no agent runs' || fail "the new agent is not shown: $(screen)"
"${tmux[@]}" send-keys q
ended() { ! "${tmux[@]}" has-session 2>/dev/null; }
wait_until 5 ended || fail "q does not quit"
agent_stop
