#!/bin/bash
# A TPM 2.0 (swtpm) signs the log's checkpoint; tpm2_checkquote of tpm2-tools agrees, and not to anything else. Without
# a TPM the verb says so.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip "no jq"
# shellcheck source=tools/log.sh
. "$(dirname "$0")/tools/log.sh"
log_tool
make_log 12 0 0
anchor() { "$BIN" evidence anchor --root "$ROOT" "$@"; }

status=0
anchor --tcti "swtpm:path=$TMP/none" 2>"$TMP/err" || status=$?
[ $status -eq 3 ] || fail "without a TPM: exit $status: $(cat "$TMP/err")"
grep -q 'no TPM 2.0' "$TMP/err" || fail "$(cat "$TMP/err")"

command -v swtpm >/dev/null || skip "no swtpm; without a TPM it says so"
command -v tpm2_checkquote >/dev/null || skip "no tpm2-tools; without a TPM it says so"
mkdir "$TMP/tpm"
# a path of a socket is short
sockets=$(mktemp -d /tmp/wvtpm-XXXXXX)
at_exit rm -rf "$sockets"
TPM=
start_tpm() {
	swtpm socket --tpm2 --server "type=unixio,path=$sockets/s" --ctrl "type=unixio,path=$sockets/s.ctrl" \
		--tpmstate "dir=$TMP/tpm" --flags not-need-init 2>"$TMP/swtpm.log" &
	TPM=$!
	wait_until 10 test -S "$sockets/s" -a -S "$sockets/s.ctrl" || fail "swtpm: $(cat "$TMP/swtpm.log")"
}
stop_tpm() {
	[ -n "$TPM" ] || return 0
	kill -TERM "$TPM" 2>/dev/null || true
	wait "$TPM" 2>/dev/null || true
	TPM=
	rm -f "$sockets/s" "$sockets/s.ctrl"
}
at_exit stop_tpm
cd "$TMP"
# a run: swtpm ends when its one connection does
start_tpm
anchor --tcti "swtpm:path=$sockets/s" -o first --json >first.json || fail "the anchor failed: $(cat swtpm.log)"
stop_tpm
check() { # FOLDER TEXT
	tpm2_checkquote -u "$1/ak.pem" -m "$1/quote.msg" -s "$1/quote.sig" -g sha256 -q "$(sha256sum "$2" | cut -c -64)" >out 2>&1
}
check first first/checkpoint.txt || fail "tpm2_checkquote refuses: $(cat out)"
sed 's/^12$/11/' first/checkpoint.txt >forged.txt
cmp -s first/checkpoint.txt forged.txt && fail "nothing was forged"
! check first forged.txt || fail "the quote holds for another checkpoint"
# one bit of one byte of the quote, then of the signature
bend() { # FILE OFFSET
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
	[ -n "$byte" ] || fail "$1 is shorter than $2 bytes"
	printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
for file in quote.msg quote.sig; do
	rm -rf bent
	cp -a first bent
	bend bent/$file 60
	! cmp -s first/$file bent/$file || fail "nothing was bent"
	! check bent first/checkpoint.txt || fail "a bent $file holds"
done
# what was signed is the checkpoint
sed '/^$/,$d' "$LOG/checkpoint" | cmp - first/checkpoint.txt || fail "another text was anchored"

# the next one: the same key, a later clock, the PCR moved on; both are records
make_log 5 0 0
start_tpm
anchor --tcti "swtpm:path=$sockets/s" -o second --json >second.json || fail "the second anchor failed"
stop_tpm
check second second/checkpoint.txt || fail "tpm2_checkquote refuses the second: $(cat out)"
cmp first/ak.pem second/ak.pem || fail "the attestation key changed"
[ "$(jq '.tpm_resets * 1000000000 + .tpm_clock_ms' second.json)" -gt "$(jq '.tpm_resets * 1000000000 + .tpm_clock_ms' first.json)" ] ||
	fail "the TPM's clock did not go on"
[ "$(grep -c '"type":"checkpoint-anchored"' "$LOG/events.jsonl")" -eq 2 ] || fail "the anchors are no records"
"$BIN" evidence verify --root "$ROOT" >out || fail "$(cat out)"

# without a TPM: signature, checkpoint and PCR of both quotes
verify() { "$BIN" evidence verify --root "$ROOT" --json "$@" >out; }
kinds() { jq -c '[.findings[] | select(.kind == "anchor") | .text | sub("^[^:]*: "; "")] | unique' out; }
verify --tpm first/ak.pem || fail "$(cat out)"
[ "$(jq -c '[.ok, .anchors, .anchored]' out)" = "[true,2,$(jq .size second.json)]" ] || fail "$(cat out)"
openssl ecparam -name prime256v1 -genkey -noout 2>/dev/null | openssl pkey -pubout >other.pem
! verify --tpm other.pem || fail "another key's quotes hold"
[ "$(kinds)" = '["its quote is not signed by this key"]' ] || fail "$(cat out)"
status=0
"$BIN" evidence verify --root "$ROOT" --tpm first/quote.msg 2>err || status=$?
[ $status -eq 2 ] || fail "what is no key: exit $status: $(cat err)"
"$BIN" evidence key --root "$ROOT" >log.vkey
# bent_log EXPRESSION FINDING: a copy whose anchors went through sed
bent_log() {
	rm -rf copy
	cp -a "$LOG" copy
	sed -i "$1" copy/events.jsonl
	! cmp -s "$LOG/events.jsonl" copy/events.jsonl || fail "nothing was bent by $1"
	! verify --log copy --key log.vkey --tpm first/ak.pem || fail "$1 verifies"
	kinds | jq -e --arg f "$2" 'any(contains($f))' >/dev/null || fail "$1: $(cat out)"
}
bent_log 's/"quote":"\(.\{80\}\)[^A]/"quote":"\1A/' 'not signed by this key'
bent_log 's/"signature":"\(.\{40\}\)[^A]/"signature":"\1A/' 'not signed by this key'
bent_log 's/"quote":"[^"]*"/"quote":"no quote"/' 'no quote'
bent_log 's/\\n12\\n/\\n11\\n/' 'another checkpoint'
# an anchor that is put into another log of the device, with its key
rm -rf fork
mkdir -p fork/var/lib/waveos
cp -a "$ROOT/var/lib/waveos/keys" fork/var/lib/waveos/
"$TMP/log" fork 20 0 0 || fail "cannot make another log"
grep '"type":"checkpoint-anchored"' "$LOG/events.jsonl" | head -n 1 |
	jq -c 'del(.boot_id, .mono_ns, .run_id, .schema_version, .seq, .type, .wall_ns)' >fields.json
"$BIN" evidence append --root fork --type checkpoint-anchored <fields.json >/dev/null 2>err || fail "$(cat err)"
! verify --log fork/var/lib/waveos/log --key log.vkey --tpm first/ak.pem || fail "an anchor of another log verifies"
[ "$(kinds)" = '["this log never had the checkpoint that was quoted"]' ] || fail "$(cat out)"

# the agent does it by itself, and says when the TPM is gone and when it is back
mkdir -p "$ROOT"
start_tpm
agent_start --set "evidence.tpm=swtpm:path=$sockets/s" --set evidence.witness_every=1s --set evidence.checkpoint_every=1s
anchors() { [ "$(grep -c '"type":"checkpoint-anchored"' "$LOG/events.jsonl")" -ge "$1" ]; }
wait_until 30 anchors 3 || fail "the agent does not anchor: $(cat swtpm.log)"
stop_tpm
has_record() { grep -q "\"type\":\"$1\"" "$LOG/events.jsonl"; }
make_log 3 3 0
wait_until 30 has_record witness-lost || fail "a TPM that is gone is no record"
start_tpm
wait_until 40 has_record witness-back || fail "a TPM that is back is no record"
anchors 4 || fail "no anchor by the TPM that is back"
agent_stop
stop_tpm
verify --tpm first/ak.pem || fail "$(cat out)"
[ "$(jq .anchors out)" -ge 4 ] || fail "$(cat out)"
