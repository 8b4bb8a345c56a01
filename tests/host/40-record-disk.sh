#!/bin/bash
# Records on a real file system that fills up, is emptied again, and turns read-only; and over a killed core.
. "$(dirname "$0")/lib.sh"

disk=$ROOT/var/lib/waveos
mkdir -p "$disk"
mount -t tmpfs -o size=2m wv-record-test "$disk" 2>/dev/null || skip "cannot mount a tmpfs here"
at_exit umount -l "$disk"

options=(--set agent.tick=200ms --set record.interval=1s --set record.artifacts_every=10s)
fill() { dd if=/dev/zero of="$disk/filler" bs=4k >/dev/null 2>&1 || true; }
# something to record
nudge() { bash -c 'exit 7' || true; }
says() {
	nudge
	grep -q "$1" "$2"
}
# every line is JSON and the numbers have no gap
check_log() {
	jq -se 'to_entries | all(.value.seq == .key + 1)' "$1" >/dev/null || fail "the log has a gap or a broken line"
}

agent_start "${options[@]}"
run=$(echo "$disk"/runs/*)
[ -s "$run/run_meta.json" ] || fail "no run_meta.json"

fill
wait_until 10 says "records are counted as lost" "$TMP/agent.log" || fail "a full disk was not noticed"
kill -0 "$AGENT" || fail "the agent did not survive a full disk"
rm "$disk/filler"
wait_until 10 says '"records-lost"' "$run/events.jsonl" || fail "records did not come back with the space"
lost=$(jq -s 'map(select(.type == "records-lost").count) | add' "$run/events.jsonl")
[ "$lost" -ge 1 ] || fail "lost records are not counted"
check_log "$run/events.jsonl"
told() { [ "$(jq .losses.records "$run/run_meta.json")" -ge "$lost" ]; }
wait_until 5 told || fail "run_meta.json does not count the lost records"

kill -KILL "$("$BIN" status --json --root "$ROOT" | jq -r .core_pid)"
wait_until 10 says '"resumed":true' "$run/events.jsonl" || fail "a new core did not go on with the run"
check_log "$run/events.jsonl"

nudge
wait_until 15 test -s "$run/metrics.csv" || fail "no segment was completed"
agent_stop
[ "$(echo "$disk"/runs/*)" = "$run" ] || fail "more than one run"
check_log "$run/events.jsonl"
jq -e --argjson n "$(wc -l <"$run/events.jsonl")" --argjson lost "$lost" \
	'.counts.records == $n and .resumes == 1 and .ended_wall_ns > .started_wall_ns and .losses.records == $lost' \
	"$run/run_meta.json" >/dev/null || fail "run_meta.json does not agree with the log: $(cat "$run/run_meta.json")"
jq -e . "$run/explainability.json" >/dev/null || fail "explainability.json"
for f in "$run"/metrics*.csv; do
	awk -F, 'NR == 1 { n = NF } NF != n { exit 1 } END { exit NR < 2 }' "$f" || fail "$f is no whole table"
done
[ -z "$(find "$run" -name '.*' -type f)" ] || fail "a temporary is left"

# a start on a full disk: one clear line, no half run, and the agent observes all the same
fill
agent_start "${options[@]}"
grep -q 'nothing is recorded until.*No space left' "$TMP/agent.log" || fail "a full disk at the start is not told"
[ "$(ls "$disk/runs")" = "$(basename "$run")" ] || fail "half a run was left on a full disk"
agent_stop
rm "$disk/filler"

mount -o remount,ro "$disk" || skip "cannot remount read-only"
agent_start "${options[@]}"
grep -q 'nothing is recorded until.*Read-only' "$TMP/agent.log" || fail "a read-only state folder is not told"
agent_stop
