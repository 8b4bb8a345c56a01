#!/bin/bash
# The agent is killed again and again (8 times, SOAK: 1,000, or what fits into SOAK_S seconds), while it starts and
# while it works. Each next one starts, takes over, and counts on without a gap; nothing piles up, and detach leaves
# nothing. All the while a budget and a breaker of the policy are pressed against: no window has more than they allow,
# and no counter goes back.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tools/scale.sh"
command -v bpftool >/dev/null || skip "no bpftool to look at pins with"

rounds=8
if [ -n "$SOAK" ]; then rounds=1000; fi
RANDOM=${SEED:=$$}
echo "seed $SEED"
top=wvtest-kill-$$
dir=$(cgroup_make "$top")
at_exit cgroup_remove "$dir"
"$CC" -O1 -o "$TMP/press" "$(dirname "$0")/tools/press.c" || fail "cannot compile tools/press.c"
mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/policy.yaml" <<YAML
schema_version: 1
name: kill-loop
domains:
  - {name: held, scope: {cgroup: /$top}}
budgets:
  - {name: slow, domain: held, network: {egress: 4mbit, burst: 16K}}
breakers:
  - {name: storm, domain: held, kind: connects, limit: 1, burst: 5, open: 300ms, half_open: 1h, probes: 3}
YAML
pins=$ROOT/sys/fs/bpf/waveos
room=$(room_for 100)

"$LOAD" spin "$dir" &
spin=$!
at_exit kill "$spin"
pause_ms() { read -rt "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))" <> <(:) || true; }
# the agent's processes, by their command line: its --root is this test's own
processes() { pgrep -f "^$BIN attach --root $ROOT" || true; }
none_left() { [ -z "$(processes)" ]; }
pinned() { find "$pins" -type f 2>/dev/null | wc -l; }
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
events() { cat "$ROOT"/var/lib/waveos/runs/*/events.jsonl; }
# element MAP KEY FILTER: one element of a pinned map, its key a decimal number of BYTES
element() { # MAP BYTES KEY FILTER
	local key
	# bytes, the low one first
	key=$(for ((i = 0; i < $2; i++)); do printf '%d ' $((($3 >> (8 * i)) & 255)); done)
	# shellcheck disable=SC2086 # words
	bpftool --json map lookup pinned "$pins/maps/$1" key $key | jq -r ".formatted // . | .value | $4"
}
# what the kernel counted, agent or no agent: bytes passed and dropped; connects passed, refused; trips
COUNTED=(passed dropped admitted refused trips)
counted() {
	echo "$(element limit_state 8 "$key" '"\(.egress.bytes) \(.egress.drop_bytes)"')" \
		"$(element breaker_net_states 4 "$place" '.m | "\(.admitted) \(.refused) \(.trips)"')"
}
# not_back: none of them is below what it was
not_back() {
	local is was i
	read -ra is <<<"$(counted)"
	read -ra was <<<"$counts"
	[ ${#is[@]} -eq ${#COUNTED[@]} ] || fail "round $round: cannot read the kernel's counters: ${is[*]}"
	for i in "${!COUNTED[@]}"; do
		[ "${is[i]}" -lt "${was[i]}" ] || continue
		back=$((back + 1))
		echo "round $round: ${COUNTED[i]} went back from ${was[i]} to ${is[i]}" >&2
	done
	counts="${is[*]}"
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
in_force() { [ -e "$pins/limits/$hex-egress" ] && [ -e "$pins/breakers/$hex-connect4" ]; }
key=$(stat -c %i "$dir") hex=$(printf %016x "$(stat -c %i "$dir")")
wait_until 5 in_force || fail "budget and breaker are not in force"
place=$(bpftool --json map dump pinned "$pins/maps/breaker_configs" |
	jq -r '[.[] | .formatted // . | select(.value.hook == 2 and .value.rate.open_ns == 300000000) | .key][0]')
"$TMP/press" "$dir" 4e6 16384 300 3 6 >"$TMP/pressed" 2>"$TMP/press.log" &
press=$!
at_exit kill "$press"
pressed() { [ "$(element breaker_net_states 4 "$place" .m.trips)" -ge 1 ]; }
wait_until 5 pressed || fail "the breaker does not trip: $(counted)"
back=0
counts=$(counted)
want=$(pinned)
first=$(figure "/$top" cpu_usage_ns)
kernel=$(kernel_ns "$dir")
last=$first last_drops=0 last_denied=0
published() {
	rows | jq -r --arg p "/$top" '[.rows[] | select(.cgroup == $p and .hierarchy != "v1") | .signals |
		"\(.cpu_usage_ns // 0) \(.limit_egress_drops // 0) \(.breaker_refused // 0)"][0] // "0 0 0"'
}
worked=0
for ((round = 1; round <= rounds && SECONDS < ${SOAK_S:-100000}; round++)); do
	if ((round % 2)); then # somewhere during the start
		pause_ms $((RANDOM % 250))
	else
		wait_until 20 agent_ready || fail "round $round: the agent did not start"
		grep -q 'adopted running' "$TMP/agent.log" || fail "round $round: the agent did not adopt"
		read -r now drops denied < <(published)
		[ "$now" -ge "$last" ] || fail "round $round: $last ns went back to $now"
		{ [ "$drops" -ge "$last_drops" ] && [ "$denied" -ge "$last_denied" ]; } ||
			fail "round $round: $last_drops drops, $last_denied refused went back to $drops, $denied"
		last=$now last_drops=$drops last_denied=$denied
		[ "$(pinned)" -eq "$want" ] || fail "round $round: $(pinned) pins, $want at first"
		worked=$((worked + 1))
		pause_ms $((RANDOM % 300))
	fi
	die
	kill -USR1 "$press" || fail "round $round: what presses ended: $(cat "$TMP/press.log")"
	not_back # no agent lives: it is the kernel that counts
	kill -USR2 "$press"
	launch
done
wait_until 20 agent_ready || fail "the last agent did not start"

# what was pressed against them
kill -TERM "$press"
status=0
wait "$press" || status=$?
jq -e . "$TMP/pressed" >/dev/null || fail "what presses ended with $status: $(cat "$TMP/press.log")"
saw() { jq -r "$1" "$TMP/pressed"; }
echo "$(saw '"\(.seconds) s, \(.sent) datagrams sent, \(.passed) passed (\(.used * 100 | round) % of the budget)"');" \
	"windows over: $(saw .windows_over) of $(saw .passed), the fullest $(saw .fullest) of 16384 bytes"
echo "$(saw '"\(.connects) connects passed, \(.refused) refused; too early \(.early), too many \(.too_many)"');" \
	"trips: $(saw .trips), $(saw .trips_dead) while no agent lived"
echo "while no agent lived: $(saw '"\(.passed_dead) datagrams passed, \(.refused_dead) connects refused"');" \
	"counters that went back: $back"
[ $status -eq 0 ] || fail "more passed than the budget or the breaker allows: $(cat "$TMP/press.log")"
[ $back -eq 0 ] || fail "$back counters went back"
# it was pressed all the while, and what is allowed did pass
[ "$last_drops" -gt 0 ] && [ "$last_denied" -gt 0 ] || fail "drops $last_drops, refused $last_denied in the rows"
saw '.used > 0.7 and .sent > 1.5 * .passed and .trips > 1 and .passed_dead > 0' | grep -q true ||
	fail "no pressure: $(cat "$TMP/pressed")"
trips=$(element breaker_net_states 4 "$place" .m.trips)
[ "$trips" -eq "$(saw .trips)" ] || fail "the kernel counted $trips trips, $(saw .trips) were seen"
# each trip is told once, whoever lived; runs beyond record.keep_runs are gone with what they told
told() {
	events | jq -s --argjson trips "$trips" --arg soak "$SOAK" '[.[] | select(.type == "breaker-trip")] | sort_by(.trips) |
		length > 0 and .[-1].trips == $trips and ($soak != "" or .[0].trips == 1 + (.[0].missed // 0)) and
		([range(1; length) as $i | .[$i].trips == .[$i - 1].trips + 1 + (.[$i].missed // 0)] | all)'
}
all_told() { [ "$(told)" = true ]; }
wait_until 10 all_told || fail "trips are not told once each, up to $trips:" \
	"$(events | jq -c 'select(.type == "breaker-trip") | [.trips, .missed]' | tr '\n' ' ')"
gapless() {
	local now used
	now=$(figure "/$top" cpu_usage_ns) used=$(($(kernel_ns "$dir") - kernel))
	within $((now - first)) $used 5
}
wait_until 10 gapless || fail "$(($(figure "/$top" cpu_usage_ns) - first)) ns since the first agent," \
	"cpu.stat says $(($(kernel_ns "$dir") - kernel))"
[ "$(pinned)" -eq "$want" ] || fail "$(pinned) pins, $want at first"
echo "$((round - 1)) kills, $worked agents looked at: $(($(figure "/$top" cpu_usage_ns) - first)) ns counted," \
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
