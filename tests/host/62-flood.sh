#!/bin/bash
# More events than the ring holds: each is consumed or counted as dropped, and what is counted in maps stays
# exact. The reader is stopped in the middle, and killed in the middle.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tools/scale.sh"

n=3000
if [ -n "$SOAK" ]; then n=50000; fi
top=wvtest-flood-$$
dir=$(cgroup_make "$top")
at_exit rmdir "$dir"
at_exit sh -c "rmdir '$dir'/g*"
# shellcheck disable=SC2046 # options
agent_start --set collect.event_ring=4K --set agent.tick=200ms $(room_for 100)
wait_until 5 known "/$top" || fail "/$top is not known"

failed=0
exits() { [ "$(figure "/$top" err_exits_nonzero)" -eq "$failed" ]; }
event() { st ".events[\"exit-nonzero\"].$1"; }
events() { st '.events | with_entries(select(.value.produced > 0)) | tostring'; }
exact() { # WHEN
	wait_until 10 exits || fail "$1: $(figure "/$top" err_exits_nonzero) failed exits, $failed happened"
}
# in_parts: the load in the background, as its process id in `load`
flood_start() {
	"$LOAD" flood "$dir" "$n" 4 >"$TMP/flood" &
	load=$!
	failed=$((failed + n))
}
flood_end() {
	wait "$load" || fail "the load failed"
	cat "$TMP/flood"
}

# a reader that keeps up as far as it can
flood_start
flood_end
exact flood
wait_until 10 settled || fail "flood: produced is not consumed + dropped: $(events)"
[ "$(event produced)" -ge "$failed" ] || fail "$(event produced) events of $failed failed exits"
echo "flood: $(events)"

# a reader that stands still: it misses new and removed cgroups as well, and finds them all when it goes on
"$LOAD" make "$dir" 1 20 >/dev/null
wait_until 5 known "/$top/g20" || fail "g20 is not known"
"$LOAD" run "$dir" 1 20 2000 >/dev/null
spent() { [ "$(figure "/$top/g20" cpu_usage_ns)" -gt 0 ]; }
wait_until 5 spent || fail "g20 has no CPU time"
core=$(st .core_pid)
at_exit kill -CONT "$core"
kill -STOP "$core"
flood_start
flood_end
"$LOAD" remove "$dir" 1 20 >/dev/null
"$LOAD" make "$dir" 21 40 >/dev/null
late() { "$BIN" status --root "$ROOT" | grep -q 'core worker is late'; }
wait_until 10 late || fail "status does not say that core stands still"
kill -CONT "$core"
wait_until 10 settled || fail "stopped: produced is not consumed + dropped: $(events)"
exact stopped
[ "$(event dropped)" -gt 0 ] || fail "a stopped reader, a ring of 4 KiB, and nothing is dropped: $(events)"
"$BIN" status --root "$ROOT" | grep -Eq 'exit-nonzero: [0-9]+ produced = [0-9]+ consumed \+ [1-9][0-9]* dropped' ||
	fail "status does not show what was dropped"
[ "$(st .core_pid)" = "$core" ] || fail "core was restarted"
[ "$(st '.events["cgroup-gone"].dropped')" -gt 0 ] || fail "no event of a removed cgroup was dropped: $(events)"
wait_until 10 known "/$top/g40" || fail "a cgroup whose event was dropped is not known"
wait_until 10 unknown "/$top/g20" || fail "a removed cgroup whose event was dropped is still listed"
counted() { within "$(below "$top" 'map(.signals.cpu_usage_ns) | add')" "$(kernel_ns "$dir")" 3; }
wait_until 10 counted ||
	fail "stopped: $(below "$top" 'map(.signals.cpu_usage_ns) | add') ns, cpu.stat says $(kernel_ns "$dir")"
"$LOAD" remove "$dir" 21 40 >/dev/null
echo "stopped reader: $(events)"

# a reader that is killed: none is lost; the one in its hands may be taken twice, by it and by the next
kills=0
flood_start
while [ $kills -lt 3 ]; do
	core=$(st .core_pid)
	before=$(event consumed)
	goes_on() { [ "$(event consumed)" -gt "$before" ]; }
	kill -0 "$load" 2>/dev/null || flood_start
	wait_until 10 goes_on || fail "core consumes nothing"
	before=$(event consumed)
	kill -KILL "$core"
	kills=$((kills + 1))
	again() { [ "$(st .core_pid)" != "$core" ] && [ "$(event consumed)" -ge "$before" ]; }
	wait_until 10 again || fail "kill $kills: $(event consumed) consumed, it was $before"
done
flood_end
accounted() {
	local over
	over=$(($(event consumed) + $(event dropped) - $(event produced)))
	[ $over -ge 0 ] && [ $over -le $kills ]
}
wait_until 10 accounted || fail "killed: produced is not consumed + dropped, give or take $kills: $(events)"
exact killed
echo "killed reader, $kills times: $(events)"
agent_stop
