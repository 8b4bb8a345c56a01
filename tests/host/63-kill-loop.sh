#!/bin/bash
# The agent is killed again and again (20 times, SOAK: 200), while it starts and while it works. Each next one
# starts, takes over, and counts on without a gap; nothing piles up, and detach leaves nothing.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tools/scale.sh"
command -v bpftool >/dev/null || skip "no bpftool to look at pins with"

rounds=20
if [ -n "$SOAK" ]; then rounds=200; fi
RANDOM=${SEED:=$$}
echo "seed $SEED"
top=wvtest-kill-$$
dir=$(cgroup_make "$top")
at_exit cgroup_remove "$dir"
pins=$ROOT/sys/fs/bpf/waveos
room=$(room_for 100)

"$LOAD" spin "$dir" &
spin=$!
at_exit kill "$spin"
pause_ms() { read -rt "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))" <> <(:) || true; }
# the agent's processes, by their command line: its --root is this test's own
processes() { pgrep -f "^$BIN attach --root $ROOT" || true; }
none_left() { [ -z "$(processes)" ]; }
pinned() { find "$pins/links" "$pins/progs" "$pins/maps" -type f 2>/dev/null | wc -l; }
launch() {
	rm -f "$TMP/agent.log"
	mkdir -p "$ROOT"
	# shellcheck disable=SC2086 # options
	"$BIN" attach --root "$ROOT" --set metrics.listen= --set agent.log_format=text --set agent.tick=200ms $room \
		2>"$TMP/agent.log" &
	AGENT=$!
}
die() {
	agent_kill
	wait_until 10 none_left || fail "processes are left: $(processes | tr '\n' ' ')"
}

# killed while the first one starts: nothing to take over yet
for _ in 1 2 3; do
	launch
	pause_ms $((RANDOM % 400))
	die
done

launch
wait_until 20 agent_ready || fail "no start after kills during the start"
wait_until 5 known "/$top" || fail "/$top is not known"
want=$(pinned)
first=$(figure "/$top" cpu_usage_ns)
kernel=$(kernel_ns "$dir")
last=$first
worked=0
for ((round = 1; round <= rounds; round++)); do
	if ((round % 2)); then # somewhere during the start
		pause_ms $((RANDOM % 250))
	else
		wait_until 20 agent_ready || fail "round $round: the agent did not start"
		grep -q 'adopted running' "$TMP/agent.log" || fail "round $round: the agent did not adopt"
		now=$(figure "/$top" cpu_usage_ns)
		[ "$now" -ge "$last" ] || fail "round $round: $last ns went back to $now"
		last=$now
		[ "$(pinned)" -eq "$want" ] || fail "round $round: $(pinned) pins, $want at first"
		worked=$((worked + 1))
		pause_ms $((RANDOM % 300))
	fi
	die
	launch
done
wait_until 20 agent_ready || fail "the last agent did not start"
gapless() {
	local now used
	now=$(figure "/$top" cpu_usage_ns) used=$(($(kernel_ns "$dir") - kernel))
	within $((now - first)) $used 5
}
wait_until 10 gapless || fail "$(($(figure "/$top" cpu_usage_ns) - first)) ns since the first agent," \
	"cpu.stat says $(($(kernel_ns "$dir") - kernel))"
[ "$(pinned)" -eq "$want" ] || fail "$(pinned) pins, $want at first"
echo "$rounds kills, $worked agents looked at: $(($(figure "/$top" cpu_usage_ns) - first)) ns counted," \
	"cpu.stat says $(($(kernel_ns "$dir") - kernel)); $want pins"

# detach, with nobody there: programs and links go with their pins
ids=$(for prog in "$pins"/progs/*; do bpftool -j prog show pinned "$prog" | jq .id; done)
[ -n "$ids" ] || fail "no programs are pinned"
die
"$BIN" detach --root "$ROOT" >/dev/null || fail "detach failed"
[ ! -e "$pins" ] || fail "detach left pins"
unloaded() { for id in $ids; do ! bpftool prog show id "$id" >/dev/null 2>&1 || return 1; done; }
wait_until 10 unloaded || fail "detach left programs loaded"
none_left || fail "processes are left: $(processes | tr '\n' ' ')"
