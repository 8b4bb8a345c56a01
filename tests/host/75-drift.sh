#!/bin/bash
# Drift between runs: what changed in settings, policy and configuration is in the log of the next run with where it comes
# from, shown by status, report and metrics; a run like the one before has none.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip "no jq"

mkdir -p "$ROOT/etc/waveos"
conf=$ROOT/etc/waveos/waveos.yaml
echo 'agent: {tick: 200ms}' >"$conf"
drift() { jq -cs '[.[] | select(.type == "config-drift")]' "$1/events.jsonl"; }
run_dir() { "$BIN" status --json --root "$ROOT" | jq -r .run_dir; }

agent_start
first=$(run_dir)
agent_stop
[ "$(drift "$first")" = "[]" ] || fail "the first run drifts: $(drift "$first")"
agent_start
second=$(run_dir)
agent_stop
[ "$(drift "$second")" = "[]" ] || fail "a run like the one before drifts: $(drift "$second")"

port=$((20000 + $$ % 10000))
printf 'agent: {tick: 250ms}\n' >"$conf"
cat >"$ROOT/etc/waveos/policy.yaml" <<YAML
schema_version: 1
name: drifting
domains:
  - {name: none, scope: {cgroup: /wvtest-none}}
YAML
WAVEOS_RECORD_KEEP_RUNS=7 agent_start --set record.interval=2s --set "metrics.listen=127.0.0.1:$port"
third=$(run_dir)
drift "$third" >"$TMP/drift"
has() { # NAME OLD NEW ORIGIN KIND
	jq -e --arg n "$1" --argjson o "$2" --argjson w "$3" --arg f "$4" --arg k "$5" \
		'any(.[]; .name == $n and .old == $o and .new == $w and .origin == $f and .kind == $k)' "$TMP/drift" >/dev/null ||
		fail "$1: $(jq -c --arg n "$1" '[.[] | select(.name == $n)]' "$TMP/drift") of $(jq -c 'map(.name)' "$TMP/drift")"
}
has agent.tick 200000000 250000000 file setting
has record.interval 10000000000 2000000000 file setting # ... or the command line: the file changed as well
has record.keep_runs 20 7 environment setting
jq -e --arg r "$(basename "$second")" 'all(.[]; .previous_run == $r)' "$TMP/drift" >/dev/null || fail "not to the run before"
jq -e '[.[] | select(.kind == "policy" and .origin == "file")] | length == 1' "$TMP/drift" >/dev/null || fail "policy"
jq -e '[.[] | select(.name == "config.sha256")] | length == 1' "$TMP/drift" >/dev/null || fail "digest of the file"
n=$(jq '[.[] | select(.kind == "setting")] | length' "$TMP/drift")
"$BIN" status --root "$ROOT" >"$TMP/status"
grep -q "not as in the run before: $n of setting" "$TMP/status" || fail "status: $(grep drift "$TMP/status")"
"$BIN" status --root "$ROOT" --json | jq -e --argjson n "$n" '.drift.setting == $n and .drift.policy == 1' >/dev/null || fail "status --json"
curl -sf "http://127.0.0.1:$port/metrics" >"$TMP/metrics" || fail "no metrics"
grep -q "^waveos_config_drift{kind=\"setting\"} $n\$" "$TMP/metrics" || fail "metric: $(grep drift "$TMP/metrics")"
agent_stop
"$BIN" report "$third" >"$TMP/report"
grep -q '| setting | agent.tick | 200000000 | 250000000 | file |' "$TMP/report" || fail "report: $(grep tick "$TMP/report")"

agent_start --set record.interval=3s
fourth=$(run_dir)
agent_stop
drift "$fourth" >"$TMP/drift"
has record.interval 2000000000 3000000000 "command line" setting
has record.keep_runs 7 20 default setting
python3 "$(dirname "$0")/check_contracts.py" events "$fourth/events.jsonl" || fail "contract"
