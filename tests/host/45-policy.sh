#!/bin/bash
# The loop of a policy on this machine: a rule trips on real load, the mode changes, its budget holds, the
# application's file says so, all of it is taken back, and a replay of the run decides the same. Reload, a bad
# file, apply and rollback, and a core that is killed while a breaker is open.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip "no jq"

name=wvtest-policy-$$
dir=$(cgroup_make "$name")
at_exit cgroup_remove "$dir"
mkdir -p "$ROOT/etc/waveos"
policy=$ROOT/etc/waveos/policy.yaml
write_policy() { # NAME FILE [THRESHOLD]
	cat >"$2" <<-EOF
		schema_version: 1
		name: $1
		domains:
		  - {name: work, scope: {cgroup: "/$name"}}
		modes:
		  - {name: normal}
		  - {name: degraded, flags: [no-extras], budgets: [slow]}
		budgets:
		  - {name: slow, domain: work, network: {connects: 5}}
		rules:
		  - name: busy
		    domain: work
		    if: "rate(cpu_usage_ns) > ${3:-10%}"
		    for: 600ms
		    clear: "rate(cpu_usage_ns) < 3%"
		    clear_for: 600ms
		    then: [mode degraded, alert]
		    half_open: 1s
		    severity: critical
		    route: team
	EOF
}
write_policy first "$policy"
"$BIN" policy check "$policy" >"$TMP/check" || fail "check: $(cat "$TMP/check")"
agent_start --set agent.tick=200ms

env_file=$ROOT/run/waveos/domains/work.env
mode() { sed -n 's/^WAVEOS_MODE=//p' "$env_file"; }
mode_is() { [ "$(mode)" = "$1" ]; }
events() { cat "$ROOT"/var/lib/waveos/runs/*/events.jsonl; }
# decided RULE VERDICT: how often
decided() { events | jq -s --arg r "$1" --arg v "$2" '[.[] | select(.type == "decision" and .rule == $r and .verdict == $v)] | length'; }
was_decided() { [ "$(decided "$1" "$2")" -ge "$3" ]; }
held() { find "$ROOT/sys/fs/bpf/waveos/limits" -name '*-connect4' 2>/dev/null | grep -q .; }
not_held() { ! held; }
busy_start() { cgroup_run "$dir" sh -c 'while :; do :; done' & }
busy_stop() { xargs -r kill -KILL <"$dir/cgroup.procs"; }

mode_is normal || fail "the mode is '$(mode)' at the start"
held && fail "the mode's budget is in force in the normal mode"
events | jq -es 'any(.[]; .type == "decision" and .budget == "slow" and .held_back == "mode")' >/dev/null ||
	fail "the decision does not say that the budget waits for its mode"
busy_start
wait_until 20 mode_is degraded || fail "the rule did not trip"
grep -q '^WAVEOS_FLAG_NO_EXTRAS=1$' "$env_file" || fail "no flag in $env_file"
wait_until 5 held || fail "the budget of mode degraded is not in force"
events | jq -es '[.[] | select(.type == "decision" and .rule == "busy" and .verdict == "open")][0] |
	.severity == "critical" and (.inputs[0] | .holds and .left > .right)' >/dev/null ||
	fail "the decision does not say what led to it"
events | jq -es 'any(.[]; .type == "alert" and .route == "team")' >/dev/null || fail "no alert"
# cause before effect
events | jq -es '(map(select(.type == "decision" and .verdict == "open" and .rule == "busy"))[0].seq) <
	(map(select(.type == "mode" and .to == "degraded"))[0].seq)' >/dev/null || fail "the mode changed before the decision"
wait_until 5 eval '[ "$("$BIN" status --json --root "$ROOT" | jq -c "[.rules, .rules_open, .modes.work]")" = "[1,1,\"degraded\"]" ]' ||
	fail "status: $("$BIN" status --root "$ROOT")"
echo "tripped: mode $(mode), budget in force"

# ---- core dies while the breaker is open: nothing is released and the new one goes on
core=$("$BIN" status --json --root "$ROOT" | jq .core_pid)
kill -KILL "$core"
held || fail "the budget went with the core"
other_core() { [ "$("$BIN" status --json --root "$ROOT" | jq .core_pid)" != "$core" ]; }
wait_until 10 other_core || fail "no new core"
# nothing of the mode is let go on the way: the limit never goes, and the file never says normal
[ "$(events | jq -s '[.[] | select(.type == "mode")] | length')" = 1 ] || fail "the mode changed with the restart of core"
adopted() { events | jq -es 'any(.[]; .type == "rules-adopted")' >/dev/null; }
wait_until 10 adopted || fail "the new core did not take the open breaker over"
mode_is degraded || fail "the mode is $(mode) after a restart of core"
events | jq -es 'any(.[]; .type == "outcome" and any(.actions[]; .outcome == "restored"))' >/dev/null &&
	fail "the budget was let go with the restart of core"
held || fail "the budget is gone after a restart of core"
busy_stop
wait_until 20 mode_is normal || fail "the mode is still $(mode)"
wait_until 5 not_held || fail "the budget of mode degraded is still in force"
wait_until 20 was_decided busy closed 1 || fail "the breaker did not close"
[ "$(decided busy open)" = 1 ] || fail "it tripped $(decided busy open) times"
echo "closed: mode $(mode), budget released"

# ---- reload: a bad file changes nothing; a good one replaces the policy between two ticks
version() { "$BIN" status --json --root "$ROOT" | jq -r .policy_version; }
is_version() { case $(version) in "$1"@*) ;; *) return 1 ;; esac; }
is_version first || fail "policy_version is $(version)"
cp "$policy" "$TMP/good"
sed 's/mode degraded/mode degradd/' "$TMP/good" >"$policy"
kill -HUP $AGENT
refused() { grep -q "policy.yaml:.*no mode is named 'degradd'.*did you mean 'degraded'" "$TMP/agent.log"; }
wait_until 10 refused || fail "a bad policy was not refused: $(tail -n 3 "$TMP/agent.log")"
is_version first || fail "a bad file replaced the policy"
cp "$TMP/good" "$policy"

write_policy second "$TMP/second.yaml" 1000%
"$BIN" policy apply "$TMP/second.yaml" --dry-run --root "$ROOT" >"$TMP/out" || fail "apply --dry-run: $(cat "$TMP/out")"
is_version first || fail "--dry-run changed the policy"
grep -q 'would have decided 0 times (live: 3)' "$TMP/out" || fail "no counterfactual: $(cat "$TMP/out")"
"$BIN" policy apply "$TMP/second.yaml" --root "$ROOT" >"$TMP/out" 2>&1 || fail "apply: $(cat "$TMP/out")"
is_version second || fail "policy_version is $(version) after apply"
sed -i 's/then: .*/then: [mode nowhere]/' "$TMP/second.yaml"
code=0
"$BIN" policy apply "$TMP/second.yaml" --root "$ROOT" >"$TMP/out" 2>&1 || code=$?
[ $code -eq 2 ] || fail "apply of a bad policy exits with $code"
is_version second || fail "a bad policy was applied"
"$BIN" policy apply --rollback --root "$ROOT" >"$TMP/out" 2>&1 || fail "rollback: $(cat "$TMP/out")"
is_version first || fail "policy_version is $(version) after the rollback"
echo "reload, apply, rollback: $(version)"

# ---- explain says which domain wins
"$BIN" policy explain "/$name/below" --root "$ROOT" --json >"$TMP/out" || fail "explain"
[ "$(jq -r .in_domain "$TMP/out")" = work ] || fail "explain: $(cat "$TMP/out")"
[ "$(jq -r '.rule[0].name' "$TMP/out")" = busy ] || fail "explain: $(cat "$TMP/out")"

# ---- replay: the decisions of the run, over the restart of core and three policies; another policy decides otherwise
agent_stop
"$BIN" policy replay latest --root "$ROOT" --json >"$TMP/replay" || fail "replay differs: $(cat "$TMP/replay")"
[ "$(jq '.decisions | length' "$TMP/replay")" = 3 ] || fail "replay: $(cat "$TMP/replay")"
[ "$(jq .differs_from_live "$TMP/replay")" = 0 ] || fail "replay differs from live"
write_policy other "$TMP/other.yaml" 1000%
"$BIN" policy replay latest --policy "$TMP/other.yaml" --root "$ROOT" --json >"$TMP/replay" || fail "counterfactual replay"
[ "$(jq '.decisions | length' "$TMP/replay")" = 0 ] || fail "another policy decided the same"
"$BIN" policy diff "$TMP/good" "$TMP/other.yaml" --on latest --root "$ROOT" --json >"$TMP/diff" || fail "diff"
[ "$(jq '[.only_first, .only_second] | map(length) | join(",")' "$TMP/diff")" = '"3,0"' ] || fail "diff: $(cat "$TMP/diff")"
# a decision that was not made live is found
run=$(find "$ROOT/var/lib/waveos/runs" -mindepth 1 -maxdepth 1 -type d)
sed -i '/"verdict":"closed"/d' "$run/events.jsonl"
code=0
"$BIN" policy replay "$run" --root "$ROOT" >"$TMP/out" || code=$?
if [ $code -ne 1 ] || ! grep -q 'only replay' "$TMP/out"; then fail "a missing decision is not found: exit $code"; fi
echo "replay: the same three decisions; another policy makes none"
