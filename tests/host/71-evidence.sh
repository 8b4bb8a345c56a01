#!/bin/bash
# The log at a command line: it verifies; tampered with in each way, the record is named; proofs hold without the
# log, and do not when anything in them is changed.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip "no jq"
# shellcheck source=tools/log.sh
. "$(dirname "$0")/tools/log.sh"
log_tool

# plain segments, to be tampered with; and no record but these
mkdir -p "$ROOT/etc/waveos"
printf 'evidence:\n  compress: 0\n' >"$ROOT/etc/waveos/waveos.yaml"
make_log 60 20 25
"$BIN" evidence key --root "$ROOT" >"$TMP/vkey"
grep -q '^waveos/[0-9a-f]\{16\}+[0-9a-f]\{8\}+' "$TMP/vkey" || fail "evidence key: $(cat "$TMP/vkey")"
if command -v openssl >/dev/null; then
	openssl pkey -pubin -in <(tail -n +2 "$TMP/vkey") -noout || fail "openssl does not read the public key"
fi

ev() { "$BIN" evidence "$@"; }
verify() { ev verify --log "$LOG" --key "$TMP/vkey" "$@"; }
verify >"$TMP/out" || fail "a sound log does not verify: $(cat "$TMP/out")"
grep -q '^the log verifies' "$TMP/out" || fail "$(cat "$TMP/out")"
ev verify --root "$ROOT" >/dev/null || fail "not with the device's own key"
[ "$(verify --json | jq -c '[.ok, .records, .covered, .findings]')" = '[true,60,60,[]]' ] || fail "$(verify --json)"
cp -a "$LOG" "$TMP/sound"

# names WHAT KIND FIRST LAST: exactly this is found; then the log is put back
names() {
	local got status=0
	verify --json >"$TMP/out" || status=$?
	[ $status -eq 1 ] || fail "$1: exit $status: $(cat "$TMP/out")"
	got=$(jq -c '[.findings[] | [.kind, .first, .last]]' "$TMP/out")
	[ "$got" = "[[\"$2\",$3,$4]]" ] || fail "$1: found $got"
	verify >"$TMP/text" || true
	grep -q '^the log does not verify' "$TMP/text" || fail "$1: the text does not say so"
	rm -rf "$LOG"
	cp -a "$TMP/sound" "$LOG"
}
first=$(printf '%020d-%020d.jsonl' 1 25) second=$(printf '%020d-%020d.jsonl' 26 50)

sed -i '6s/work.slice/home.slice/' "$LOG/$first"
names "an altered record" altered 6 6
sed -i '6d' "$LOG/$second"
names "a dropped record" dropped 31 31
sed -i '3{p;s/"count":[0-9]*/"count":99999/}' "$LOG/events.jsonl"
names "an inserted record" inserted 54 54
sed -i '4{h;d};5{G}' "$LOG/$second"
names "reordered records" reordered 29 29
sed -i '7p' "$LOG/$first"
names "a repeated record" repeated 7 7
sed -i '8,10d' "$LOG/events.jsonl"
names "a truncated log" truncated 58 60
rm "$LOG/$second"
names "a removed segment" segment-missing 26 50
rm "$LOG/$first"
names "a removed beginning" beginning-missing 1 25
printf 'x' | dd of="$LOG/hashes" bs=1 seek=$((32 * 40)) conv=notrunc status=none
names "an altered leaf hash" hash-altered 41 41
sed -i 's/^40$/41/' "$LOG/checkpoints"
names "an altered checkpoint" checkpoint 0 0
# the attacker rewrites the leaf hash, too: only the checkpoints around it are left to say where
sed -i '6s/work.slice/home.slice/' "$LOG/$second"
{ printf '\0'; sed -n 6p "$LOG/$second" | tr -d '\n'; } | sha256sum | cut -c 1-64 | xxd -r -p |
	dd of="$LOG/hashes" bs=1 seek=$((32 * 30)) conv=notrunc status=none
names "a record altered with its leaf hash" rewritten 21 40
# beside a writer: what is not yet whole is no finding
printf '{"half' >>"$LOG/events.jsonl"
verify >/dev/null || fail "half a line is taken for an attack"
rm -rf "$LOG"
cp -a "$TMP/sound" "$LOG"

# proofs
cd "$TMP"
ev prove 31 --root "$ROOT" -o proof.json
mv "$ROOT" gone
[ "$(ev verify --proof proof.json --key vkey --json | jq -c '[.ok, .seq, .size]')" = '[true,31,60]' ] || fail "the proof does not hold"
ev verify --proof proof.json --key vkey | grep -q '"seq":31' || fail "the record is not shown"
for change in 's/work.slice/home.slice/' 's/"index":30/"index":31/' 's/"size":60/"size":61/' \
	's/"path":\["A/"path":["B/;t;s/"path":\["./"path":["A/' 's/\\n60\\n/\\n61\\n/'; do
	sed "$change" proof.json >changed.json
	cmp -s proof.json changed.json && fail "$change changes nothing"
	! ev verify --proof changed.json --key vkey >out 2>&1 || fail "it holds after $change"
done
"$BIN" evidence key --create --root "$TMP/other" >other.vkey
# the same machine has the same name
! ev verify --proof proof.json --key other.vkey >out 2>&1 || fail "it holds under another key"
mv gone "$ROOT"
ev consistency 20 60 --root "$ROOT" -o grown.json
ev verify --proof grown.json --key vkey | grep -q 'of 20 records is a prefix of that of 60' || fail "$(ev verify --proof grown.json --key vkey)"
sed 's/"old_size":20/"old_size":40/' grown.json >changed.json
! ev verify --proof changed.json --key vkey >out 2>&1 || fail "a consistency proof of other sizes holds"
status=0
ev prove 61 --root "$ROOT" >out 2>&1 || status=$?
[ $status -eq 1 ] || fail "a proof of a record that is not there: exit $status"

# what the agent itself logs
cd "$OLDPWD"
ROOT=$TMP/agent
agent_start --set agent.tick=200ms
agent_stop
ev verify --root "$ROOT" --json >"$TMP/out" || fail "the agent's log does not verify: $(cat "$TMP/out")"
[ "$(jq '.records > 0 and .covered == .records' "$TMP/out")" = true ] || fail "$(cat "$TMP/out")"
