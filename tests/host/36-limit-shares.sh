#!/bin/bash
# Limits as a share of what the parent has: resolved from the nearest limit above, anew when that changes.
. "$(dirname "$0")/lib.sh"
NAME=wvtest-shares-$$
V1=$(awk '$3 == "cgroup" {n = split($4, o, ","); for (i = 1; i <= n; i++) print o[i], $2}' /proc/self/mounts)
mount_of() { # CONTROLLER: where its hierarchy is
	local mount
	mount=$(awk -v c="$1" '$1 == c {print $2; exit}' <<<"$V1")
	echo "${mount:-$CGROUP2}"
}
for c in cpu pids memory; do
	[[ " $(awk '{printf "%s ", $1}' <<<"$V1")$(cat "$CGROUP2/cgroup.subtree_control" 2>/dev/null) " == *" $c "* ]] ||
		skip "the $c controller is neither on v1 nor enabled on v2"
done
# parent/child in every hierarchy; on v2 the parent hands its controllers on
for c in cpu cpuacct pids memory; do
	m=$(mount_of $c)
	if [ ! -d "$m/$NAME" ]; then
		mkdir "$m/$NAME" || fail "cannot make $m/$NAME"
		at_exit rmdir "$m/$NAME"
		if [ "$m" = "$CGROUP2" ]; then echo '+cpu +memory +pids' >"$m/$NAME/cgroup.subtree_control"; fi
		mkdir "$m/$NAME/child"
		at_exit rmdir "$m/$NAME/child"
	fi
done
CPU=$(mount_of cpu)/$NAME PIDS=$(mount_of pids)/$NAME MEMORY=$(mount_of memory)/$NAME
if [ -e "$CPU/cpu.max" ]; then
	quota_set() { echo "$1 100000" >"$CPU/cpu.max"; }
	quota() { cut -d' ' -f1 "$CPU/child/cpu.max"; }
	M=memory.max
else
	quota_set() { echo "$1" >"$CPU/cpu.cfs_quota_us"; }
	quota() { cat "$CPU/child/cpu.cfs_quota_us"; }
	M=memory.limit_in_bytes
fi
limits() { echo "$(quota) $(cat "$PIDS/child/pids.max") $(cat "$MEMORY/child/$M")"; }
limits_are() { [ "$(limits)" = "$*" ]; }
OLD=$(limits)

mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/waveos.yaml" <<YAML
budgets:
  - name: part
    cgroup: /$NAME/child
    cpu: {quota: 50% of parent}
    memory: {max: 25% of parent}
    pids: {max: 10% of parent}
YAML
quota_set 80000
echo 400 >"$PIDS/pids.max"

echo "two from the parent, memory from the machine:"
agent_start
PAGE=$(getconf PAGESIZE)
QUARTER=$(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) * 1024 / 4 / PAGE * PAGE))
limits_are 40000 40 "$QUARTER" || fail "$(limits), expected 40000 40 $QUARTER"
EVENTS=$(find "$ROOT/var/lib/waveos/runs" -name events.jsonl)
# told TYPE: what the last record of this type says about each share that was written as one
told() {
	jq -sr --arg c "/$NAME/child" --arg t "$1" '[.[] | select(.type == $t and .cgroup == $c) | .shares // [] | .[]
		| select(.of) | "\(.item) \(.share_ppm) of \(.of) \(.parent) = \(.value) \(.unit)"] | .[]' "$EVENTS"
}
for t in decision outcome; do
	told $t >"$TMP/told"
	grep -q "^cpu.quota 500000 of /$NAME 800000 = 400000 cpu_ppm" "$TMP/told" &&
		grep -q "^pids.max 100000 of /$NAME 400 = 40 tasks" "$TMP/told" &&
		grep -q '^memory.max 250000 of machine [0-9]* = [0-9]* bytes' "$TMP/told" ||
		fail "the $t does not say from what: $(cat "$TMP/told")"
done

echo "the parent's limits change:"
quota_set 60000
echo 200 >"$PIDS/pids.max"
echo 512M >"$MEMORY/$M"
wait_until 10 limits_are 30000 20 $((128 << 20)) || fail "$(limits), expected 30000 20 $((128 << 20))"
told outcome | grep -q "^memory.max 250000 of /$NAME $((512 << 20)) = $((128 << 20)) bytes" ||
	fail "the outcome does not say from what: $(told outcome)"

echo "a new agent finds all as it should be; what changed meanwhile it brings up to date:"
agent_kill
echo 100 >"$PIDS/pids.max"
agent_start
limits_are 30000 10 $((128 << 20)) || fail "$(limits), expected 30000 10 $((128 << 20))"

echo "a budget on the parent in the same file counts:"
agent_kill
cat >>"$ROOT/etc/waveos/waveos.yaml" <<YAML
  - {name: whole, cgroup: /$NAME, pids: {max: 50}}
YAML
agent_start
wait_until 10 limits_are 30000 5 $((128 << 20)) || fail "$(limits), expected 30000 5 $((128 << 20))"

echo "detach:"
"$BIN" detach --root "$ROOT" >"$TMP/detach.out"
agent_kill # it has ended: forget it
[ "$(limits)" = "$OLD" ] || fail "not restored: $(limits), was $OLD"
[ "$(cat "$PIDS/pids.max")" = 100 ] || fail "the parent's pids.max is $(cat "$PIDS/pids.max")"
