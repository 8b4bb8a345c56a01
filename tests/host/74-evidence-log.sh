#!/bin/bash
# The device's log while an agent runs: other writers beside it, a writer that is killed, segments that are closed,
# compressed, held and retired. What was acknowledged stays, and all of it verifies.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip "no jq"
LOG=$ROOT/var/lib/waveos/log

ev() { "$BIN" evidence "$@" --root "$ROOT"; }
all() { ev tail --from 1; }

mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/waveos.yaml" <<'YAML'
agent:
  tick: 200ms
record:
  artifacts_every: 10s
evidence:
  segment_size: 64K
  checkpoint_records: 100
YAML

agent_start
run=$(echo "$ROOT"/var/lib/waveos/runs/*)

# two writers beside the agent
lines() { seq "$1" | jq -c --arg w "$2" '{writer: $w, n: ., text: "some text so that a record has a few hundred bytes"}'; }
lines 700 a | ev append --type test >"$TMP/a" &
writer=$!
lines 700 b | ev append --type test >"$TMP/b" || fail "append: $(cat "$TMP/b")"
wait $writer || fail "append beside another: $(cat "$TMP/a")"
bash -c 'exit 7' || true
[ "$(sort -nu "$TMP/a" "$TMP/b" | wc -l)" -eq 1400 ] || fail "not every record was acknowledged once"
all >"$TMP/all"
jq -se 'to_entries | all(.value.seq == .key + 1)' "$TMP/all" >/dev/null || fail "the log has a gap"
for w in a b; do
	jq -r --arg w $w 'select(.writer == $w) | .seq' "$TMP/all" | cmp -s - "$TMP/$w" ||
		fail "what was acknowledged to $w is not what the log has"
	jq -r --arg w $w 'select(.writer == $w) | .n' "$TMP/all" | cmp -s - <(seq 700) || fail "records of $w are not in order"
done

# a writer that is killed: what it was told is there
(while echo '{"writer":"c"}'; do :; done) 2>/dev/null | "$BIN" evidence append --type test --root "$ROOT" >"$TMP/c" &
writer=$!
wait_until 10 test -s "$TMP/c" || fail "no acknowledgement"
kill -KILL $writer
wait $writer 2>/dev/null || true
head -n -1 "$TMP/c" >"$TMP/told" # the last line may be torn
all | jq -r 'select(.writer == "c") | .seq' >"$TMP/there"
comm -23 <(sort "$TMP/told") <(sort "$TMP/there") | grep -q . && fail "a record that was acknowledged to a killed writer is gone"
ev verify >/dev/null || fail "the log does not verify: $(ev verify || true)"
ev key >"$TMP/vkey"
ev prove 5 -o "$TMP/proof.json" || fail "prove"

# the run's part of the log is byte for byte the log's
id=$(basename "$run")
part() { cmp -s <(all | grep -F "\"run_id\":\"$id\"") "$run/events.jsonl"; }
wait_until 5 part || fail "the run's events.jsonl is not its part of the log"

# segments were closed by size; a process of the agent compresses them
# (a segment is closed by a commit: how many there are depends on how many records each commit had)
enough() {
	[ "$(compgen -G "$LOG/0*.jsonl*" | sed 's|.*/||' | cut -c -41 | sort -u | wc -l)" -ge 3 ] && return
	lines 300 e | ev append --type test >/dev/null
	return 1
}
wait_until 10 enough || fail "segments are not closed by size: $(ls "$LOG")"
packed() { ! compgen -G "$LOG/0*.jsonl" >/dev/null; }
wait_until 25 packed || fail "closed segments are not compressed: $(ls "$LOG")"
ev verify >/dev/null || fail "the compressed log does not verify"
zst=$(basename "$(printf '%s\n' "$LOG"/0*.jsonl.zst | head -n 1)")
said() { all | jq -r --arg to "$zst" "select(.type == \"transformation\" and .what == \"compress\" and .to == \$to) | .$1"; }
[ "$(said to_sha256)" = "$(sha256sum "$LOG/$zst" | cut -c -64)" ] || fail "the log does not say which bytes $zst has"
[ "$(said detail.last)" -eq "$((10#${zst:21:20}))" ] || fail "the log does not say which records $zst has"
if command -v zstd >/dev/null; then
	[ "$(said from_sha256)" = "$(zstd -dcq "$LOG/$zst" | sha256sum | cut -c -64)" ] || fail "the log does not say what $zst was"
fi
wait_until 10 test -s "$run/checkpoint" || fail "the run has no checkpoint"

# a hold keeps a segment, all others but the newest go, and each says so before
ev hold place case-1 --from 10 --to 20 --reason "a test" || fail "hold place"
[ "$(ev hold list --json | jq -c '.holds[] | [.hold, .first, .last]')" = '["case-1",10,20]' ] || fail "hold list"
ev hold place case-1 --reason again 2>/dev/null && fail "a hold of the same name was placed"
ev retain --keep-size 1 --json >"$TMP/retained" || fail "retain"
jq -e '.segments >= 1 and .held >= 1' "$TMP/retained" >/dev/null || fail "retain: $(cat "$TMP/retained")"
[ -n "$(compgen -G "$LOG/00000000000000000001-*")" ] || fail "a held segment was removed"
[ "$(ev tail --from 1 --type segment-retired | wc -l)" -eq "$(jq .segments "$TMP/retained")" ] ||
	fail "a segment was removed without a record of it"
ev verify >/dev/null || fail "the log does not verify after retention: $(ev verify || true)"
ev hold release case-1 --reason "done" || fail "hold release"
ev retain --keep-size 1 --json >"$TMP/retained"
jq -e '.segments >= 1 and .held == 0' "$TMP/retained" >/dev/null || fail "released, and not retired"
ev verify >/dev/null || fail "the log does not verify after the release"

# what tells of the first retirements is retired itself: the range is told again
retained() { ev retain --keep-size 1 >"$TMP/retained" 2>&1; } # not while the agent compresses
for i in 1 2 3; do
	lines 300 d | ev append --type test >/dev/null || fail "append"
	wait_until 20 retained || fail "retain again: $(cat "$TMP/retained")"
	ev verify >/dev/null || fail "retained $i times more, it does not verify: $(ev verify || true)"
done
ev tail --from 1 --type segments-retired | jq -se 'length > 0 and all(.first == 1)' >/dev/null ||
	fail "what was retired is not told again"
if echo '{"first":1,"last":5}' | ev append --type segments-retired >/dev/null 2>&1; then
	fail "anybody can tell of retirements"
fi

# a proof that was made before all this holds, though the record is retired
[ -z "$(compgen -G "$LOG/00000000000000000001-*")" ] || fail "the first segment is still there"
ev verify --proof "$TMP/proof.json" --key "$TMP/vkey" >/dev/null || fail "an old proof does not hold any more"

agent_stop
[ "$(sed -n 2p "$LOG/checkpoint")" -eq "$(($(stat -c %s "$LOG/hashes") / 32))" ] || fail "the last checkpoint does not have all records"
cmp -s "$LOG/checkpoint" "$run/checkpoint" || fail "the run's checkpoint is not the log's last"
ev verify --json | jq -e '.ok' >/dev/null || fail "at the end the log does not verify"
