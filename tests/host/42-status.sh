#!/bin/bash
# status: no agent, a running one, one that was killed; text and JSON.
. "$(dirname "$0")/lib.sh"

expect_none() {
	local rc=0 out
	out=$("$BIN" status --root "$ROOT" 2>&1) || rc=$?
	[ $rc -eq 1 ] || fail "status $rc: $out"
	[ "$(wc -l <<<"$out")" -eq 1 ] || fail "more than a line: $out"
	[[ $out == *"no agent runs"*"waveos-bpf attach"* ]] || fail "$out"
	rc=0
	out=$("$BIN" status --json --root "$ROOT" 2>/dev/null) || rc=$?
	[ $rc -eq 1 ] || fail "JSON: status $rc"
	jq -e '.schema_version == 1 and .running == false' <<<"$out" >/dev/null || fail "$out"
}
expect_none

agent_start --set agent.tick=200ms
"$BIN" status --root "$ROOT" >"$TMP/text" || fail "status of a running agent"
for word in agent run sample cgroups budgets events losses records restarts cost metrics; do
	grep -q "^$word " "$TMP/text" || fail "no line '$word': $(cat "$TMP/text")"
done
"$BIN" status --json --root "$ROOT" >"$TMP/json"
jq -e --argjson pid "$AGENT" '.running and .supervisor_pid == $pid and .cgroups > 0 and .tick > 0 and
	.sample_age_ns < 3000000000 and (.run_dir | test("/runs/")) and .adopted == false' "$TMP/json" >/dev/null ||
	fail "$(jq -c . "$TMP/json")"
[ -d "$(jq -r .run_dir "$TMP/json")" ] || fail "the run's folder does not exist"
kill -0 "$(jq .core_pid "$TMP/json")" || fail "core_pid"

# what was produced is consumed or counted as dropped, once the ring is empty
balanced() {
	"$BIN" status --json --root "$ROOT" |
		jq -e '.events | all(.[]; .produced == .consumed + .dropped)' >/dev/null
}
wait_until 10 balanced || fail "events: $("$BIN" status --json --root "$ROOT" | jq -c .events)"

agent_kill
expect_none
