# shellcheck shell=bash disable=SC2153 # WORK, TOOLS are set by the others
# The evidence log: verification. (Appending: evidence_append.c.)

# --- verify: a log of 1,000,000 records of 256 bytes, on two threads; one inclusion proof beside its signature
row_verify() {
	local key value
	wait_quiet
	"$TOOLS/evidence_verify" "$WORK/evidence" 1000000 256 9 2 >"$WORK/verify" || die "evidence_verify failed"
	while read -r key value; do keep "evidence_$key" "$value"; done <"$WORK/verify"
	rm -rf "$WORK/evidence"
}
