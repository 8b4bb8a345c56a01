# Breakers on pure cgroup v2, on each kernel: a fork bomb, an exec storm, a connect storm, a packet flood and an OOM
# spiral are stopped in the kernel while the agent is dead; by what, is what the agent said.
# limit: 240
. /payload/case.sh

need storm "$BIN"
for d in net flood fork exec script oom; do new_cgroup "$d" >/dev/null; done
cg=/sys/fs/cgroup
mkdir -p "$CASE_DIR/etc/waveos"
cat >"$CASE_DIR/etc/waveos/policy.yaml" <<'YAML'
schema_version: 1
name: vm
domains:
  - {name: net, scope: {cgroup: /net}}
  - {name: flood, scope: {cgroup: /flood}}
  - {name: fork, scope: {cgroup: /fork}}
  - {name: exec, scope: {cgroup: /exec}}
  - {name: script, scope: {cgroup: /script}}
  - {name: oom, scope: {cgroup: /oom}}
breakers:
  - {name: connect-storm, domain: net, kind: connects, limit: 1, per: 1h, burst: 20, open: 1h, half_open: 1s}
  - {name: flood-out, domain: flood, kind: egress_packets, limit: 1, per: 1h, burst: 300, open: 1h, half_open: 1s}
  - {name: fork-bomb, domain: fork, kind: forks, limit: 1, per: 1h, burst: 50, open: 1h, half_open: 1s}
  - {name: exec-storm, domain: exec, kind: execs, limit: 1, per: 1h, burst: 8, open: 1h, half_open: 1s}
  - {name: scripts, domain: script, kind: execs, limit: 1, per: 1h, burst: 6, open: 1h, half_open: 1s}
  - {name: oom-spiral, domain: oom, kind: oom_kills, limit: 1, per: 1h, burst: 2, open: 1h, half_open: 1s}
YAML
# whatever holds the bomb, the machine survives it
echo 1000 >$cg/fork/pids.max
echo 16777216 >$cg/oom/memory.max
echo 0 >$cg/oom/memory.swap.max 2>/dev/null

start() {
	"$BIN" attach --root "$CASE_DIR" --set agent.tick=200ms --set metrics.listen= >"$CASE_DIR/log" 2>&1 &
	agent=$!
	wait_for 100 grep -q 'first figures' "$CASE_DIR/log" || { cat "$CASE_DIR/log"; fail "the agent is not ready"; }
}
start
events() { cat "$CASE_DIR"/var/lib/waveos/runs/*/events.jsonl; }
by() { events | grep '"outcome"' | grep "\"breakers\":\[\"$1\"\]" | sed -n 's/.*"mode":"\([^"]*\)".*/\1/p' | head -n 1; }
echo "forks: $(by fork-bomb); execs: $(by exec-storm); OOM: $(by oom-spiral)"
for b in connect-storm flood-out fork-bomb exec-storm scripts oom-spiral; do
	[ -n "$(by $b)" ] || { events; cat "$CASE_DIR/log"; fail "$b is not placed"; }
done
if lsm_has bpf; then
	[ "$(by fork-bomb), $(by exec-storm)" = "LSM task_alloc, LSM bprm_check_security" ] || { cat "$CASE_DIR/log"; fail "LSM is active and does not hold starts"; }
else
	[ "$(by fork-bomb), $(by exec-storm)" = "fmod_ret security_task_alloc, fmod_ret security_bprm_check" ] || { cat "$CASE_DIR/log"; fail "no gate"; }
fi
kill -9 "$agent"
wait "$agent" 2>/dev/null

[ "$(storm connects $cg/net 60)" = "20 40" ] || fail "connects beyond the burst of 20"
[ "$(storm packets $cg/flood 600)" = "300 300 300" ] || fail "packets beyond the burst of 300"
# budget 50, denied: not one more (the last ones may not have run when the bomb is over). The cgroup is made when no agent can know it.
mkdir $cg/fork/late
# shellcheck disable=SC2046 # numbers
set -- $(storm bomb $cg/fork/late 3000 5)
echo "fork bomb, budget 50: $1 born, $2 denied"
[ "$1" -ge 40 ] && [ "$1" -le 50 ] && [ "$2" -gt 0 ] || fail "$1 forks of a budget of 50, $2 denied"
# shellcheck disable=SC2046
set -- $(storm execs $cg/exec 30)
echo "exec storm, budget 8: $1 ran, $2 denied, $3 killed"
[ "$1 $2 $3" = "8 22 0" ] || fail "execs: $1 ran, $2 denied, $3 killed"
# a script is one exec, not two: the shell and five scripts
printf '#!/bin/sh\nexit 0\n' >"$CASE_DIR/s"
chmod +x "$CASE_DIR/s"
# shellcheck disable=SC2016 # the inner shell expands
n=$(in_cgroup $cg/script sh -c 'for i in 1 2 3 4 5 6 7 8; do "$0" && echo ok; done' "$CASE_DIR/s" 2>/dev/null | wc -l)
[ "$n" -eq 5 ] || fail "$n scripts ran of a budget of 6 with the shell"
storm eat $cg/oom
storm eat $cg/oom
[ "$(storm execs $cg/oom 1)" = "1 0 0" ] || fail "an exec is refused before the OOM breaker trips"
storm eat $cg/oom
[ "$(storm execs $cg/oom 1 2>/dev/null)" = "0 0 0" ] || fail "a program starts while the OOM breaker is open"

# the next agent tells what happened, once
start
recorded() { [ "$(events | grep '"type":"breaker-trip"' | grep -c "\"breaker\":\"$1\"")" -eq 1 ]; }
for b in connect-storm flood-out fork-bomb exec-storm scripts oom-spiral; do
	wait_for 20 recorded $b || { events | grep breaker-trip; fail "the trip of $b is not told once"; }
done
[ "$(storm execs $cg/exec 3)" = "0 3 0" ] || fail "the exec breaker did not stay open"
"$BIN" detach --root "$CASE_DIR" >"$CASE_DIR/detach" || { cat "$CASE_DIR/detach"; fail "detach"; }
[ "$(storm execs $cg/exec 3)" = "3 0 0" ] || fail "detach left a breaker"
[ "$(storm connects $cg/net 30)" = "30 0" ] || fail "detach left a connect breaker"
echo ok
