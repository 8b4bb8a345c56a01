#!/bin/bash
# The agent's own supervisor: services start in order and in their cgroup, come back when they die, go on when
# core, their supervisor or the whole agent is killed, are adopted and never started twice, and end with detach.
. "$(dirname "$0")/lib.sh"

top=wvtest-svc-$$
dir=$(cgroup_make "$top")
at_exit cgroup_remove "$dir"
at_exit cgroup_remove "$dir/one"
at_exit cgroup_remove "$dir/two"
mkdir -p "$ROOT/etc/waveos"
policy() {
	cat >"$ROOT/etc/waveos/policy.yaml" <<YAML
schema_version: 1
name: services
services:
  - {name: two, command: [/bin/sh, -c, "echo two >>$TMP/order; exec sleep 1002"], cgroup: /$top/two, after: [one], backoff: 0s}
  - {name: one, command: [/bin/sh, -c, "echo one >>$TMP/order; exec sleep 1001"], cgroup: /$top/one, backoff: 0s}
$1
YAML
}
policy ""
pid_of() { jq -r --arg n "$1" '.services[] | select(.name == $n) | .pid' "$ROOT/run/waveos/services.json"; }
alive() { kill -0 "$1" 2>/dev/null; }
# only NAME: how many processes are in its cgroup
count() { wc -l <"$dir/$1/cgroup.procs"; }
events() { cat "$ROOT"/var/lib/waveos/runs/*/events.jsonl; }
has() { events | jq -e --slurp "any(.[]; $1)" >/dev/null; }
start() { agent_start --set agent.tick=200ms; }
start
wait_until 5 test -s "$ROOT/run/waveos/services.json" || fail "no services"
both() { [ "$(tr '\n' ' ' <"$TMP/order")" = "one two " ]; }
wait_until 5 both || fail "order of start: $(cat "$TMP/order")"
one=$(pid_of one) two=$(pid_of two)
grep -qx "$one" "$dir/one/cgroup.procs" || fail "not in its cgroup"

# dies: is back, also after its cgroup was killed through cgroup.kill
kill -KILL "$one"
back() { local p; p=$(pid_of one) && [ -n "$p" ] && [ "$p" != "$one" ] && alive "$p"; }
wait_until 5 back || fail "not restarted"
one=$(pid_of one)
if [ -e "$dir/one/cgroup.kill" ]; then
	echo 1 >"$dir/one/cgroup.kill"
	wait_until 5 back || fail "not restarted after cgroup.kill"
	one=$(pid_of one)
fi
wait_until 5 has '.type == "service" and .service == "one" and .event == "started" and .restarts == 1' || fail "the restart is not recorded"

# core dies, the services worker dies, the agent dies: services go on, and there is one of each
status() { "$BIN" status --json --root "$ROOT" | jq "$1"; }
worker_runs() { [ "$(status .services_pid)" -gt 0 ]; }
kill -KILL "$(status .core_pid)"
worker=$(status .services_pid)
kill -KILL "$worker"
fresh() { local p; p=$(status .services_pid) && [ "$p" != "$worker" ] && [ "$p" -gt 0 ]; }
wait_until 5 fresh || fail "the services worker did not come back"
wait_until 5 has '.type == "service" and .service == "one" and .event == "adopted"' || fail "not adopted"
[ "$(pid_of one)" = "$one" ] && alive "$one" || fail "the service did not outlive its supervisor"
for round in 1 2 3; do
	agent_kill
	alive "$one" && alive "$two" || fail "services died with the agent"
	start
	wait_until 5 worker_runs || fail "no services worker"
	[ "$(count one)" -eq 1 ] && [ "$(count two)" -eq 1 ] || fail "round $round: $(count one) and $(count two) processes"
	[ "$(pid_of one)" = "$one" ] || fail "round $round: started twice"
done
# an adopted one is watched like a child
kill -KILL "$one"
wait_until 5 back || fail "an adopted service is not restarted"
one=$(pid_of one)

# the kill switch holds restarts back
touch "$ROOT/run/waveos/kill-switch"
off() { [ "$(status .armed)" = false ]; }
wait_until 5 off
kill -KILL "$two"
wait_until 5 has '.type == "service" and .service == "two" and .event == "not restarted"' || fail "restarted with the kill switch on"
rm "$ROOT/run/waveos/kill-switch"
again() { local p; p=$(pid_of two) && [ -n "$p" ] && [ "$p" != "$two" ]; }
wait_until 5 again || fail "not started when armed again"

# a reload starts the new one, leaves the others alone, and ends what is gone
policy "  - {name: three, command: [/bin/sleep, '1003'], cgroup: /$top/three}"
at_exit cgroup_remove "$dir/three"
kill -HUP "$AGENT"
three() { [ -n "$(pid_of three)" ]; }
wait_until 5 three || fail "a reload did not start a new service"
third=$(pid_of three)
[ "$(pid_of one)" = "$one" ] || fail "a reload restarted a service that did not change"
policy ""
kill -HUP "$AGENT"
gone() { ! alive "$third"; }
wait_until 5 gone || fail "a service that the policy has no more goes on"

# a program that is not there is told, with growing pauses, and harms nobody
policy "  - {name: bad, command: [/nonexistent/program], cgroup: /$top/bad}"
at_exit cgroup_remove "$dir/bad"
kill -HUP "$AGENT"
wait_until 5 has '.type == "service" and .service == "bad" and .event == "could not be started" and (.error | test("No such file"))' ||
	fail "a program that is missing is not told"

# an orderly end leaves services, detach ends them in reverse order
policy ""
agent_stop
alive "$one" || fail "an orderly end stopped a service"
start
wait_until 5 worker_runs || fail "no services worker"
"$BIN" detach --root "$ROOT" >"$TMP/detach" || fail "detach"
wait "$AGENT" || true
AGENT=
ended() { ! alive "$one"; }
wait_until 5 ended || fail "detach left a service"
start
one=$(pid_of one)
agent_kill
"$BIN" detach --root "$ROOT" >"$TMP/detach" || fail "detach without an agent"
[ "$(grep -o 'stopped service [a-z]*' "$TMP/detach" | tr '\n' ' ')" = "stopped service two stopped service one " ] ||
	fail "order of stop: $(cat "$TMP/detach")"
wait_until 5 ended || fail "detach without an agent left a service"
