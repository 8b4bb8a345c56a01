#!/bin/bash
# Limits through cgroup files: hold, survive SIGKILL, are idempotent, and are put back.
. "$(dirname "$0")/lib.sh"
NAME=wvtest-files-$$
V1=$(awk '$3 == "cgroup" {n = split($4, o, ","); for (i = 1; i <= n; i++) print o[i], $2}' /proc/self/mounts)
folder() { # CONTROLLER: where this test's cgroup is
	local mount
	mount=$(awk -v c="$1" '$1 == c {print $2; exit}' <<<"$V1")
	if [ -n "$mount" ]; then echo "$mount/$NAME"; else echo "$CGROUP2/$NAME"; fi
}
for c in cpu pids memory; do
	[[ " $(awk '{printf "%s ", $1}' <<<"$V1")$(cat "$CGROUP2/cgroup.subtree_control" 2>/dev/null) " == *" $c "* ]] ||
		skip "the $c controller is neither on v1 nor enabled on v2"
done
for c in cpu cpuacct pids memory; do
	[ -d "$(folder $c)" ] || mkdir "$(folder $c)" || fail "cannot make $(folder $c)"
	at_exit rmdir "$(folder $c)"
done
CPU=$(folder cpu) PIDS=$(folder pids) MEMORY=$(folder memory)
if [ -e "$CPU/cpu.max" ]; then
	QUOTA=$CPU/cpu.max QUOTA_IS="30000 100000" MEMORY_MAX=$MEMORY/memory.max
	usage_us() { awk '$1 == "usage_usec" {print $2}' "$CPU/cpu.stat"; }
else
	QUOTA=$CPU/cpu.cfs_quota_us QUOTA_IS=30000 MEMORY_MAX=$MEMORY/memory.limit_in_bytes
	usage_us() { echo $(($(cat "$(folder cpuacct)/cpuacct.usage") / 1000)); }
fi
files() { cat "$QUOTA" "$PIDS/pids.max" "$MEMORY_MAX"; }
OLD=$(files)

mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/waveos.yaml" <<YAML
budgets:
  - name: small
    cgroup: /$NAME
    cpu: {quota: 30%}
    pids: {max: 20}
    memory: {max: 100M}
YAML

echo "dry run changes nothing:"
agent_start --dry-run
agent_stop
[ "$(files)" = "$OLD" ] || fail "a dry run changed files"
grep -q '"dry_run": *true' "$ROOT"/var/lib/waveos/runs/*/events.jsonl || fail "no decision of the dry run"

agent_start
[ "$(cat "$QUOTA")" = "$QUOTA_IS" ] || fail "$QUOTA is $(cat "$QUOTA")"
[ "$(cat "$PIDS/pids.max")" = 20 ] || fail "pids.max is $(cat "$PIDS/pids.max")"
[ "$(cat "$MEMORY_MAX")" = 104857600 ] || fail "$MEMORY_MAX is $(cat "$MEMORY_MAX")"

in_cgroup() (
	for c in cpu cpuacct; do echo "$BASHPID" >"$(folder $c)/cgroup.procs"; done
	exec "$@"
)
echo "a busy loop gets 30 % of a CPU, agent dead or alive:"
agent_kill
in_cgroup timeout 4 sh -c 'while :; do :; done' &
LOOP=$!
wait_until 3 bash -c "[ \$(wc -l <'$CPU/cgroup.procs') -gt 0 ]"
BEGIN=$(usage_us) FROM=$(date +%s%N)
wait "$LOOP" || true
US=$(($(usage_us) - BEGIN)) WALL_US=$((($(date +%s%N) - FROM) / 1000))
SHARE=$(awk -v u=$US -v w=$WALL_US 'BEGIN { print 100 * u / w }')
echo "  $SHARE %"
within "$SHARE" 30 12 || fail "$SHARE % of a CPU, expected 30 within 12 %"

echo "pids.max holds:"
STARTED=$(
	echo "$BASHPID" >"$PIDS/cgroup.procs"
	exec 2>/dev/null
	for _ in $(seq 40); do sleep 2 & done || true
	jobs -p | wc -l
) || true
PEAK=$(cat "$PIDS/pids.current")
[ "$PEAK" -le 20 ] || fail "$PEAK tasks under pids.max 20 (started $STARTED)"
grep -q 'max [1-9]' "$PIDS/pids.events" || fail "pids.max was never hit"
wait_until 10 bash -c "[ \$(cat '$PIDS/pids.current') -eq 0 ]" || fail "tasks remain"

echo "a new agent finds all as it should be and takes over:"
agent_start
jq -se '[.[] | select(.type == "outcome") | .actions[] | select(.file? and (.file | test("max|quota|limit"))) | .outcome] | length > 0 and all(. == "already so" or . == "not enforced")' \
	"$(find "$ROOT/var/lib/waveos/runs" -name events.jsonl | sort | tail -n 1)" >/dev/null ||
	fail "the new agent did not find its own values"

echo "someone else's value is left alone at detach:"
echo 33 >"$PIDS/pids.max"
"$BIN" detach --root "$ROOT" >"$TMP/detach.out"
agent_kill # it has ended: forget it
[ "$(cat "$PIDS/pids.max")" = 33 ] || fail "pids.max was overwritten with $(cat "$PIDS/pids.max")"
grep -q 'left alone .*pids.max' "$TMP/agent.log" || fail "nobody told that pids.max was left alone"
sed -n 2p <<<"$OLD" >"$PIDS/pids.max"
[ "$(files)" = "$OLD" ] || fail "not restored: $(files)"

echo "a budget that is gone from the file is put back by the next agent:"
agent_start
[ "$(cat "$PIDS/pids.max")" = 20 ] || fail "pids.max is $(cat "$PIDS/pids.max")"
agent_kill
printf 'budgets:\n  - {name: other, cgroup: /none-%s, pids: {max: 5}}\n' "$NAME" >"$ROOT/etc/waveos/waveos.yaml"
agent_start
[ "$(files)" = "$OLD" ] || fail "not restored: $(files)"
