# Why a thread waited: the programs load on this kernel, and a worker's computation is told from a lock and from the thread's own.
# limit: 90
. /payload/case.sh

need wake_probe waits
bad=0
# expect CAUSE PATTERN: of ten steps at least eight have that as the largest share
expect() {
	rm -f "$CASE_DIR/spans"
	wake_probe "$CASE_DIR/spans" waits "$1" "$CASE_DIR/spans" >"$CASE_DIR/out" 2>"$CASE_DIR/err" ||
		{ cat "$CASE_DIR/err"; fail "$1: status $?"; }
	right=$(awk -v want="$2" '{
		gsub(/[{}"]/, ""); n = split($0, pair, /[,:]/); most = -1; name = ""
		for (i = 1; i < n; i++)
			if (pair[i] ~ /^(input|cuda-sync|checkpoint|host|runqueue|lock|launch|unknown)$/ && pair[i + 1] ~ /^[0-9]+$/ && pair[i + 1] + 0 > most) {
				most = pair[i + 1] + 0; name = pair[i]
			}
		right += name == want } END {print right + 0}' "$CASE_DIR/out")
	echo "$1: $2 in $right of $(wc -l <"$CASE_DIR/out") steps, $(cat "$CASE_DIR/err")"
	[ "$right" -ge 8 ] || { head -n 3 "$CASE_DIR/out"; bad=1; }
}
expect prep input
expect pinned input
expect lock lock
expect host host
[ "$bad" = 0 ] || fail "a cause is not named"
