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
cp -a first bent
printf '\x01' | dd of=bent/quote.msg bs=1 seek=60 conv=notrunc status=none
cmp -s first/quote.msg bent/quote.msg || ! check bent first/checkpoint.txt || fail "a bent quote holds"
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
