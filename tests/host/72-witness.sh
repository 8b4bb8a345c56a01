#!/bin/bash
# A witness on the network: it cosigns a log that grows, and knows when log and checkpoints were put back or forked
# together, also after it was killed.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip "no jq"
command -v curl >/dev/null || skip "no curl"
# shellcheck source=tools/log.sh
. "$(dirname "$0")/tools/log.sh"
log_tool

ev() { "$BIN" evidence "$@"; }
make_log 30 10 0
ev key --root "$ROOT" >"$TMP/log.vkey"
ev witness --key --root "$TMP/w" >"$TMP/w.vkey"
[ "$(wc -l <"$TMP/w.vkey")" -eq 1 ] || fail "evidence witness --key: $(cat "$TMP/w.vkey")"
WITNESS=
stop_witness() {
	[ -n "$WITNESS" ] || return 0
	kill -KILL "$WITNESS" 2>/dev/null || true
	wait "$WITNESS" 2>/dev/null || true
	WITNESS=
}
at_exit stop_witness
start_witness() { # a port that is free is found by trying
	local i
	for i in 1 2 3 4 5 6 7 8; do
		PORT=$((20000 + (RANDOM + i) % 20000))
		"$BIN" evidence witness --root "$TMP/w" --log "$TMP/log.vkey" --listen "127.0.0.1:$PORT" 2>"$TMP/witness.log" &
		WITNESS=$!
		if wait_until 10 witness_is_up_or_gone && kill -0 "$WITNESS" 2>/dev/null; then return 0; fi
		wait "$WITNESS" 2>/dev/null || true
	done
	fail "the witness does not start: $(cat "$TMP/witness.log")"
}
witness_is_up_or_gone() { grep -q 'answers at' "$TMP/witness.log" || ! kill -0 "$WITNESS" 2>/dev/null; }
start_witness
url() { echo "http://127.0.0.1:$PORT $(cat "$TMP/w.vkey")"; }

# what is no request
code() { curl -s -o "$TMP/body" -w '%{http_code}' "$@"; }
[ "$(code "http://127.0.0.1:$PORT/")" = 404 ] || fail "another path"
[ "$(code "http://127.0.0.1:$PORT/add-checkpoint")" = 405 ] || fail "GET"
[ "$(code --data-binary rubbish "http://127.0.0.1:$PORT/add-checkpoint")" = 400 ] || fail "rubbish"
[ "$(head -c 200000 /dev/zero | code --data-binary @- "http://127.0.0.1:$PORT/add-checkpoint")" = 413 ] || fail "too much"
ev key --create --root "$TMP/stranger" >/dev/null
{ printf 'old 0\n\n'; sed 's/^waveos/wavhos/' "$LOG/checkpoint"; } >"$TMP/unknown"
[ "$(code --data-binary @"$TMP/unknown" "http://127.0.0.1:$PORT/add-checkpoint")" = 404 ] || fail "an unknown log"
{ printf 'old 0\n\n'; sed 's/^30$/31/' "$LOG/checkpoint"; } >"$TMP/forged"
[ "$(code --data-binary @"$TMP/forged" "http://127.0.0.1:$PORT/add-checkpoint")" = 403 ] || fail "a forged checkpoint"

cp -a "$LOG" "$TMP/old"
ev checkpoint --root "$ROOT" --witness "$(url)" >"$TMP/out" || fail "$(cat "$TMP/out")"
grep -q 'vouches for these 30 records' "$TMP/out" || fail "$(cat "$TMP/out")"
[ "$(ev verify --root "$ROOT" --witness "$TMP/w.vkey" --json | jq -c '[.ok, .cosigned, .cosigners]')" = '[true,30,1]' ] ||
	fail "the cosignature does not count: $(ev verify --root "$ROOT" --witness "$TMP/w.vkey" --json)"
make_log 30 0 0
mkdir -p "$ROOT/etc/waveos"
printf 'evidence:\n  witness: "%s"\n' "$(url)" >"$ROOT/etc/waveos/waveos.yaml"
ev checkpoint --root "$ROOT" --json >"$TMP/out" || fail "$(cat "$TMP/out")"
[ "$(jq -c '[.size, .witnesses[0].cosigned]' "$TMP/out")" = '[60,true]' ] || fail "$(cat "$TMP/out")"
ev verify --root "$ROOT" --ask "$(url)" >"$TMP/out" || fail "$(cat "$TMP/out")"

# put back, with leaf hashes, checkpoints and cosignatures: only the witness can tell
cp -a "$LOG" "$TMP/new"
rm -rf "$LOG"
cp -a "$TMP/old" "$LOG"
ev verify --root "$ROOT" >"$TMP/out" || fail "a log that was put back whole verifies by itself: $(cat "$TMP/out")"
status=0
ev verify --root "$ROOT" --ask "$(url)" >"$TMP/out" || status=$?
[ $status -eq 1 ] || fail "exit $status: $(cat "$TMP/out")"
grep -q '^rollback: .*saw 60 records, here are 30' "$TMP/out" || fail "$(cat "$TMP/out")"
# the attacker goes on from there, with the device's own key; the witness was killed meanwhile
stop_witness
start_witness
make_log 50 0 0
status=0
ev checkpoint --root "$ROOT" --witness "$(url)" >"$TMP/out" || status=$?
[ $status -eq 1 ] || fail "exit $status: $(cat "$TMP/out")"
grep -q 'other records among the first 60: the log was forked' "$TMP/out" || fail "$(cat "$TMP/out")"
[ ! -e "$LOG/witnessed" ] || fail "a fork has a cosignature"
# the true one goes on
rm -rf "$LOG"
cp -a "$TMP/new" "$LOG"
make_log 5 0 0
ev checkpoint --root "$ROOT" --witness "$(url)" | grep -q 'vouches for these 65 records' || fail "the true log is refused"
# another witness that answers there is not believed
other=$(ev witness --key --root "$TMP/other")
status=0
ev checkpoint --root "$ROOT" --witness "http://127.0.0.1:$PORT $other" >"$TMP/out" || status=$?
[ $status -eq 1 ] || fail "exit $status"
grep -q 'not signed by its key' "$TMP/out" || fail "$(cat "$TMP/out")"
# nobody answers
kill -TERM "$WITNESS"
wait "$WITNESS" || fail "the witness ended with $?"
WITNESS=
status=0
ev checkpoint --root "$ROOT" --witness "$(url)" >"$TMP/out" 2>&1 || status=$?
[ $status -eq 1 ] || fail "exit $status: $(cat "$TMP/out")"
