#!/bin/bash
# Breakers: each kind trips in the kernel at its limit and refuses while it is open, with the agent killed
# too; state and counters go over to the next agent and to the next build; a reload changes them in place.
. "$(dirname "$0")/lib.sh"
CC=${CC:-cc}
command -v "$CC" >/dev/null || skip "no C compiler for the test's own storms"
"$CC" -O1 -o "$TMP/storm" "$(dirname "$0")/tools/storm.c" || fail "cannot compile tools/storm.c"
storm() { timeout 60 "$TMP/storm" "$@"; }

N=wvtest-breaker-$$
for part in net flood fork exec; do
	CG=$(cgroup_make "$N-$part")
	at_exit cgroup_remove "$CG"
	# made before or after its breaker: a child draws on it
	mkdir "$CG/child"
	at_exit cgroup_remove "$CG/child"
	declare "${part^^}=$CG"
done

# v1: where this machine keeps its tasks there, the hierarchy that tells them apart
MEMORY=$(awk '$3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ {print $2; exit}' /proc/self/mounts)
if [ -z "$MEMORY" ] && grep -qw memory "$CGROUP2/cgroup.subtree_control"; then MEMORY=$CGROUP2; fi
if [ -n "$MEMORY" ]; then
	OOM=$MEMORY/$N-oom
	mkdir -p "$OOM"
	at_exit cgroup_remove "$OOM"
	if [ -e "$OOM/memory.max" ]; then limit=memory.max swap=memory.swap.max; else
		limit=memory.limit_in_bytes swap=memory.memsw.limit_in_bytes
	fi
	echo $((16 << 20)) >"$OOM/$limit"
	if [ -e "$OOM/$swap" ]; then
		if [ "$swap" = memory.swap.max ]; then echo 0; else echo $((16 << 20)); fi >"$OOM/$swap"
	fi
fi

POLICY=$ROOT/etc/waveos/policy.yaml
mkdir -p "${POLICY%/*}"
# policy CONNECT_LIMIT
policy() {
	cat >"$POLICY" <<-YAML
		schema_version: 1
		name: test
		domains:
		  - {name: net, scope: {cgroup: /$N-net}}
		  - {name: flood, scope: {cgroup: /$N-flood}}
		  - {name: fork, scope: {cgroup: /$N-fork}}
		  - {name: exec, scope: {cgroup: /$N-exec}}
		  - {name: oom, scope: {cgroup: /$N-oom}}
		breakers:
		  - {name: connect-storm, domain: net, kind: connects, $1, open: 2s, half_open: 8s, probes: 3, severity: critical, route: oncall}
		  - {name: exec-count, domain: net, kind: execs, limit: 100000, open: 1s, half_open: 1s}
		  - {name: flood-out, domain: flood, kind: egress_packets, limit: 1, per: 10s, burst: 1500, open: 1h, half_open: 1s}
		  - {name: flood-in, domain: flood, kind: ingress_packets, limit: 1, per: 10s, burst: 1600, open: 1h, half_open: 1s}
		  - {name: fork-bomb, domain: fork, kind: forks, limit: 10, burst: 50, open: 1h, half_open: 1s}
		  - {name: exec-storm, domain: exec, kind: execs, limit: 1, per: 10s, burst: 8, open: 1h, half_open: 1s}
		  - {name: oom-spiral, domain: oom, kind: oom_kills, limit: 1, per: 1h, burst: 2, open: 1h, half_open: 1s}
	YAML
}
policy 'limit: 1, per: 1s, burst: 20'

# nothing is placed in a dry run, and that is recorded
agent_start --dry-run
[ -z "$(ls "$ROOT/sys/fs/bpf/waveos/breakers")" ] || fail "a dry run placed breakers"
events() { cat "$ROOT"/var/lib/waveos/runs/*/events.jsonl; }
[ "$(events | jq -s '[.[] | select(.type == "decision" and .breaker and .dry_run)] | length')" -ge 5 ] ||
	fail "a dry run records no decision"
agent_stop

agent_start --set agent.tick=200ms
# place NAME: the kernel's state of a breaker; place NAME FILTER
place() {
	local maps=$ROOT/sys/fs/bpf/waveos/maps id hook map
	read -r id hook < <(bpftool --json map dump pinned "$maps/breaker_configs" | jq -r --arg n "$1" '[.[] | .formatted // . |
		select((.value.name | if type == "array" then map(select(. != 0)) | implode else . end) == $n) |
		"\(.key) \(.value.hook)"][0]')
	map=breaker_net_states
	case $hook in 0 | 1 | 5)
		map=breaker_task_states
		[ -e "$maps/$map" ] || map=breaker_raw_states
		;;
	esac
	bpftool --json map dump pinned "$maps/$map" |
		jq --argjson id "$id" ".[] | .formatted // . | select(.key == \$id) | .value.m | $2"
}
# records TYPE BREAKER [FILTER]: how many
records() {
	events | jq -s --arg t "$1" --arg b "$2" "[.[] | select(.type == \$t and .breaker == \$b and (${3:-true}))] | length"
}
recorded() { [ "$(records "$@")" -ge 1 ]; }
is() { # WHAT FIGURES EXPECTED
	echo "$1: $2"
	[ "$2" = "$3" ] || fail "$1: $2, expected $3"
}

# --- connect storm: the burst passes, the next trips it; open refuses all
is "connects, refused" "$(storm connects "$NET/child" 100)" "20 80"
# half open: the probes pass, and one more trips it again
half_open() { recorded breaker-half-open connect-storm; }
wait_until 5 half_open || fail "no record of half open"
is "half open" "$(storm connects "$NET/child" 10)" "3 7"
tripped_twice() { recorded breaker-trip connect-storm '.after == "half-open" and .count == 4 and .trips == 2'; }
wait_until 3 tripped_twice || fail "no record of the second trip"
recorded breaker-trip connect-storm ".after == \"closed\" and .count == 21 and .limit == 1 and .kind == \"connects\" and
	.cgroup == \"/$N-net\" and .severity == \"critical\" and .route == \"oncall\" and .domain == \"net\"" ||
	fail "no record of the first trip: $(events | grep breaker-trip)"
shown() { [ "$(figure "/$N-net" breaker_trips)" -eq 2 ] && [ "$(figure "/$N-net" breaker_refused)" -eq 87 ]; }
wait_until 3 shown || fail "breaker_trips $(figure "/$N-net" breaker_trips), breaker_refused $(figure "/$N-net" breaker_refused)"

# --- the agent is dead from here on
agent_kill
is "sent, refused, received" "$(storm packets "$FLOOD/child" 2000)" "1500 500 1500"
OUTSIDE=$CGROUP2 storm receive "$FLOOD/child" 3000 >"$TMP/received"
is "received" "$(cat "$TMP/received")" 1600

mkdir "$FORK/late"
at_exit cgroup_remove "$FORK/late"
read -r born refused < <(storm bomb "$FORK/late" 2000 2)
echo "fork bomb, budget 50: $born born, $refused denied"
[ "$born" -ge 40 ] && [ "$born" -le 100 ] || fail "$born forks of a budget of 50"
[ "$(place fork-bomb .trips)" -eq 1 ] || fail "the fork bomb's breaker has $(place fork-bomb .trips) trips"
if [ "$refused" -eq 0 ]; then # killed: none is left
	wait_until 5 test ! -s "$FORK/late/cgroup.procs" || fail "tasks of the bomb are left"
fi
cgroup_run "$FORK" true || fail "a program without a fork ends with $?"

read -r ran denied killed < <(storm execs "$EXEC/child" 40)
echo "exec storm, budget 8: $ran ran, $denied denied, $killed killed"
[ "$ran" -eq 8 ] && [ $((denied + killed)) -eq 32 ] || fail "exec storm: $ran ran, $denied denied, $killed killed"

if [ -n "$MEMORY" ]; then
	for _ in 1 2 3; do storm eat "$OOM"; done
	[ "$(place oom-spiral .trips)" -eq 1 ] || fail "OOM breaker: $(place oom-spiral .)"
	# while it is open nothing starts in its domain
	read -r ran denied killed < <(storm execs "$OOM" 3 || echo 0 0 0)
	echo "execs after the OOM spiral: $ran ran"
	[ "$ran" -eq 0 ] || fail "$ran programs started while the OOM breaker is open"
fi

# --- the next agent adopts: what tripped meanwhile is told, nothing starts anew
before=$(place connect-storm '[.admitted, .refused, .trips]' | tr -d ' \n')
agent_start --set agent.tick=200ms
is "adopted" "$(place connect-storm '[.admitted, .refused, .trips]' | tr -d ' \n')" "$before"
for name in flood-out flood-in fork-bomb exec-storm; do
	wait_until 3 recorded breaker-trip $name || fail "the trip of $name while no agent ran is not told"
	is "records of $name" "$(records breaker-trip $name)" 1
done
recorded breaker-trip connect-storm '.trips == 2 and .missed' && fail "an old trip is told as missed"
[ "$(figure "/$N-net" breaker_trips)" -ge 2 ] || fail "breaker_trips went back"
is "exec storm, still open" "$(storm execs "$EXEC" 3 | cut -d ' ' -f 1)" 0

# --- another build takes over: no gap, and nothing counts twice
agent_kill
admitted=$(place flood-in .admitted)
execs_on() { until [ -e "$TMP/upgraded" ]; do storm execs "$EXEC" 20; done >"$TMP/upgrade.execs"; }
packets_on() { until [ -e "$TMP/upgraded" ]; do storm packets "$FLOOD" 200; done >"$TMP/upgrade.packets"; }
execs_on &
LOADS=($!)
packets_on &
LOADS+=($!)
agent_start --set agent.tick=200ms --set collect.event_ring=128K
grep -q 'loaded BPF' "$TMP/agent.log" || fail "the set was adopted, not loaded"
touch "$TMP/upgraded"
wait "${LOADS[@]}"
is "programs that ran during the upgrade" "$(awk '{n += $1} END {print n + 0}' "$TMP/upgrade.execs")" 0
is "packets that passed during the upgrade" "$(awk '{n += $1} END {print n + 0}' "$TMP/upgrade.packets")" 0
rm "$TMP/upgraded"
is "state after the upgrade" "$(place flood-in .admitted)" "$admitted"

# --- a reload changes limits in place and takes away what is not declared any more
policy 'limit: 100000, burst: 100000'
sed -i '/flood-/d' "$POLICY"
kill -HUP "$AGENT"
taken_away() {
	events | jq -es 'any(.[]; .type == "outcome" and .breakers == ["flood-out"] and .actions[0].outcome == "restored")' >/dev/null
}
wait_until 5 taken_away ||
	fail "no record that a breaker was taken away"
is "without flood breakers" "$(storm packets "$FLOOD" 2000 | cut -d ' ' -f 1)" 2000
[ "$(place connect-storm .trips)" -eq 2 ] || fail "a reload lost the state"
wait_until 20 recorded breaker-close connect-storm || fail "the connect breaker does not close"
is "closed" "$(storm connects "$NET" 3)" "3 0"
trips=$(place connect-storm .trips)

# --- a build in between counts each connect once, while both sets are loaded
agent_kill
counted=$(place connect-storm .admitted) started=$(place exec-count .admitted)
connects_on() { until [ -e "$TMP/upgraded" ]; do storm connects "$NET" 100; done >"$TMP/upgrade.connects"; }
programs_on() { until [ -e "$TMP/upgraded" ]; do storm execs "$NET" 100; done >"$TMP/upgrade.programs"; }
connects_on &
LOADS=($!)
programs_on &
LOADS+=($!)
agent_start --set agent.tick=200ms --set collect.event_ring=256K
touch "$TMP/upgraded"
wait "${LOADS[@]}"
is "counted during an upgrade" $(($(place connect-storm .admitted) - counted)) \
	"$(awk '{n += $1} END {print n + 0}' "$TMP/upgrade.connects")"
is "programs counted during an upgrade" $(($(place exec-count .admitted) - started)) \
	"$(awk '{n += $1} END {print n + 0}' "$TMP/upgrade.programs")"
is "trips" "$(place connect-storm .trips)" "$trips"
[ "$(figure "/$N-net" breaker_trips)" -ge 2 ] || fail "breaker_trips went back after a place was removed"

# --- a removed cgroup takes its places with it
placed() { bpftool --json map dump pinned "$ROOT/sys/fs/bpf/waveos/maps/breaker_configs" | jq length; }
n=$(placed)
cgroup_remove "$EXEC/child"
cgroup_remove "$EXEC"
gone() { [ "$(placed)" -eq $((n - 1)) ]; }
wait_until 5 gone || fail "$(placed) places, $n before the cgroup was removed"

# --- an orderly exit leaves them, detach lets go
agent_stop
[ -n "$(ls "$ROOT/sys/fs/bpf/waveos/breakers")" ] || fail "an orderly exit removed breakers"
"$BIN" detach --root "$ROOT" >/dev/null
[ ! -e "$ROOT/sys/fs/bpf/waveos" ] || fail "detach left pins"
is "after detach" "$(storm connects "$NET" 50)" "50 0"
