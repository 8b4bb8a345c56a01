# Recovery on pure cgroup v2, on each kernel: freeze, throttle, kill and isolation on a real cgroup, a service that the
# agent runs itself, the kill switch, and what a killed agent leaves is let go by detach.
# limit: 240
. /payload/case.sh

dir=$(new_cgroup rec)
mkdir -p "$CASE_DIR/etc/waveos"
cat >"$CASE_DIR/etc/waveos/policy.yaml" <<'YAML'
schema_version: 1
name: vm
features: {kill: true}
domains:
  - {name: rec, scope: {cgroup: /rec}}
recovery:
  - {name: harder, steps: [freeze wait 1s, throttle 30% wait 1s, thaw wait 1s, kill wait 60s], backoff: 10ms, cool_down: 2s}
services:
  - {name: svc, command: [/bin/sleep, "1000"], cgroup: /svc, backoff: 0s}
YAML
start() {
	"$BIN" attach --root "$CASE_DIR" --set agent.tick=200ms --set metrics.listen= --set agent.log_format=text >"$CASE_DIR/log" 2>&1 &
	agent=$!
	wait_for 100 grep -q 'first figures' "$CASE_DIR/log" || { cat "$CASE_DIR/log"; fail "the agent is not ready"; }
}
events() { cat "$CASE_DIR"/var/lib/waveos/runs/*/events.jsonl; }
broken() { cat "$CASE_DIR/log"; events | grep -E '"(action|action-outcome|recovery|service|request)"' | tail -20; fail "$*"; }
has() { events | grep -E "$1" | grep -qE "$2"; }
ask() { "$BIN" recover --root "$CASE_DIR" "$@" || fail "recover $*"; }
frozen() { grep -q 'frozen 1' "$dir/cgroup.events"; }
thawed() { ! frozen; }
empty() { grep -q 'populated 0' "$dir/cgroup.events"; }
load() { in_cgroup "$dir" sleep 1000 & wait_for 10 grep -q 'populated 1' "$dir/cgroup.events"; }
pid() { sed -n 's/.*"name":"svc"[^}]*"pid":\([0-9]*\).*/\1/p' "$CASE_DIR/run/waveos/services.json" 2>/dev/null; }

start
wait_for 30 test -n "$(pid)" || broken "the service was not started"
grep -qx "$(pid)" /sys/fs/cgroup/svc/cgroup.procs || broken "the service is not in its cgroup"
old=$(pid)
kill -9 "$old"
back() { p=$(pid) && [ -n "$p" ] && [ "$p" != "$old" ] && kill -0 "$p" 2>/dev/null; }
wait_for 20 back || broken "the service did not come back"
old=$(pid)
# the kernel's own kill may make clone into this cgroup fail for ever (6.18)
[ ! -e /sys/fs/cgroup/svc/cgroup.kill ] || {
	echo 1 >/sys/fs/cgroup/svc/cgroup.kill
	wait_for 20 back || broken "the service did not come back after cgroup.kill"
}

load
ask /rec harder
wait_for 20 frozen || broken "not frozen"
throttled() { [ "$(cat "$dir/cpu.max")" = "30000 100000" ]; }
wait_for 20 throttled || broken "not throttled: $(cat "$dir/cpu.max")"
wait_for 30 empty || broken "not killed"
ask --well /rec
unthrottled() { [ "$(cat "$dir/cpu.max")" = "max 100000" ]; }
wait_for 30 unthrottled || broken "the throttle was not lifted after the cool-down"
has action-outcome '"act":"kill".*"outcome":"done"' || broken "no outcome of the kill"

# isolation: the veth pair to a peer is cut, loopback is not
ip link add wv0 type veth peer name wv1 && ip addr add 10.9.0.1/24 dev wv0 && ip link set wv0 up && ip link set wv1 up ||
	skip "no veth"
ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev wv0
load
ask --step isolate /rec
wait_for 20 has action-outcome '"act":"isolate".*"outcome":"done"' || broken "not isolated"
in_cgroup "$dir" ping -c 1 -W 1 127.0.0.1 >/dev/null || broken "loopback is cut, too"
in_cgroup "$dir" ping -c 1 -W 1 10.9.0.2 >"$CASE_DIR/ping" 2>&1 && broken "a packet passed"
grep -qi 'not permitted' "$CASE_DIR/ping" || broken "a packet left: $(cat "$CASE_DIR/ping")"

# dead agent: it holds; kill switch: it lets go
kill -9 "$agent"
in_cgroup "$dir" ping -c 1 -W 1 10.9.0.2 >"$CASE_DIR/ping" 2>&1
grep -qi 'not permitted' "$CASE_DIR/ping" || broken "isolation went with the agent"
start
kill -USR1 "$agent"
wait_for 20 has recovery '"event":"released".*isolated_drops":[1-9]' || broken "the kill switch did not release, or counted nothing"
# the kernel lets a link go some time after its pin
lets_pass() {
	in_cgroup "$dir" ping -c 1 -W 1 10.9.0.2 >"$CASE_DIR/ping" 2>&1
	! grep -qi 'not permitted' "$CASE_DIR/ping"
}
wait_for 20 lets_pass || broken "still isolated"
"$BIN" status --root "$CASE_DIR" | grep -q 'kill switch on' || broken "status does not tell"
kill -USR1 "$agent"
wait_for 20 has kill-switch '"armed":true' || broken "not armed again"

ask --step freeze /rec
wait_for 20 frozen || broken "not frozen by hand"
old=$(pid)
kill -9 "$agent"
"$BIN" detach --root "$CASE_DIR" >"$CASE_DIR/detach" || { cat "$CASE_DIR/detach"; fail "detach"; }
thawed || { cat "$CASE_DIR/detach"; fail "detach did not thaw"; }
kill -0 "$old" 2>/dev/null && fail "detach left the service"
echo ok
