#!/bin/bash
# The breaker of rules is right, by spin, on all states of a model printed from its table; and the model tells a
# table that is wrong: each of these entries would be a fault.
set -euo pipefail
tests/model/check.sh || exit $?
status=0
# STATE EVENT NEXT TIMER: what is wrong with it
while read -r state event next timer what; do
	if tests/model/check.sh -DBREAK_STATE="$state" -DBREAK_EVENT="$event" -DBREAK_NEXT="$next" \
		-DBREAK_TIMER="$timer" >"$TMP/log" 2>&1; then
		echo "not found: $state on $event goes to $next, $timer: $what"
		status=1
	elif ! grep -q FAILS "$TMP/log"; then
		echo "no answer for $state on $event:"
		cat "$TMP/log"
		status=1
	fi
done <<-END
	CLOSED UNKNOWN OPEN STOP unknown trips
	CLOSED TRUE OPEN STOP trips without waiting
	PENDING UNKNOWN PENDING KEEP unknown counts as held
	PENDING FALSE PENDING KEEP a break is not seen
	OPEN CLEAR_UNKNOWN OPEN KEEP unknown counts as clear
	OPEN CLEAR_TRUE OPEN RESTART never leaves
	OPEN TRUE OPEN KEEP clears while the condition holds
	OPEN ELAPSED CLOSED STOP no trial
	HALF_OPEN TRUE HALF_OPEN KEEP does not trip again
	HALF_OPEN UNKNOWN HALF_OPEN KEEP closes on what is not known
	HALF_OPEN ELAPSED HALF_OPEN KEEP no exit
END
exit $status
