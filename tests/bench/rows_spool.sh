# shellcheck shell=bash disable=SC2153 # WORK and TOOLS are set in lib.sh
# The log spool: throughput while its destination is slow, dead, and back.

row_spool() {
	local rounds=${SPOOL_ROUNDS:-3} i name value
	for ((i = 0; i < rounds; i++)); do
		wait_quiet
		rm -rf "$WORK/spool"
		"$TOOLS/spool_throughput" "$BIN" "$WORK/spool" 8 2>"$WORK/spool.log" >"$WORK/spool.figures" ||
			die "spool_throughput: $(tail -n 1 "$WORK/spool.log")"
		while read -r name value; do echo "$value" >>"$WORK/spool.$name"; done <"$WORK/spool.figures"
	done
	rm -rf "$WORK/spool"
	for name in spool_in spool_through spool_slow_in spool_dead_in spool_back_in spool_back_out spool_drain; do
		[ ! -s "$WORK/spool.$name" ] || keep_spread "$name" %.0f <"$WORK/spool.$name"
	done
	for name in spool_lost spool_duplicates spool_foreign spool_rss_mb; do
		keep "$name" "$(sort -n "$WORK/spool.$name" | tail -n 1)" # the worst
	done
}
