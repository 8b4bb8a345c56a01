# shellcheck shell=bash disable=SC2153 # WORK, TOOLS are set by the others
# The evidence log: appending, verification.

# --- verify: a log of 1,000,000 records of 256 bytes, on two threads; one inclusion proof beside its signature
row_verify() {
	local key value
	wait_quiet
	"$TOOLS/evidence_verify" "$WORK/evidence" 1000000 256 9 2 >"$WORK/verify" || die "evidence_verify failed"
	while read -r key value; do keep "evidence_$key" "$value"; done <"$WORK/verify"
	rm -rf "$WORK/evidence"
}

# --- append: tamper-evident events of 256 bytes by group commit; as many as are taken, then as many as the goal asks for
row_append() {
	local i
	for ((i = 0; i < 5; i++)); do
		wait_quiet
		"$TOOLS/evidence_append" "$WORK/evidence" 3 2 || die "evidence_append failed"
		rm -rf "$WORK/evidence"
	done >"$WORK/append"
	awk '{ print $1 }' "$WORK/append" | keep_spread append_rate %.0f
	awk '{ print $2 }' "$WORK/append" | keep_spread append_full_p50 %.2f
	awk '{ print $4 }' "$WORK/append" | keep_spread append_cpu %.2f
	for ((i = 0; i < 5; i++)); do
		wait_quiet
		"$TOOLS/evidence_append" "$WORK/evidence" 3 2 1000000 || die "evidence_append failed"
		rm -rf "$WORK/evidence"
	done >"$WORK/append"
	awk '{ print $1 }' "$WORK/append" | keep_spread append_offered_rate %.0f
	awk '{ print $2 }' "$WORK/append" | keep_spread append_p50 %.2f
	awk '{ print $3 }' "$WORK/append" | keep_spread append_p99 %.2f
}
