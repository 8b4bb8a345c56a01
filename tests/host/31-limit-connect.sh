#!/bin/bash
# Connect and packet rates: what is over is refused, counted, and told in a LIMIT_TRIP event.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "python3 is not installed"
NAME=wvtest-connect-$$
CG=$(cgroup_make "$NAME")
at_exit cgroup_remove "$CG"
mkdir "$CG/child"
at_exit cgroup_remove "$CG/child"
KEY=$(stat -c %i "$CG")

mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/waveos.yaml" <<YAML
budgets:
  - name: few
    cgroup: /$NAME
    network: {connects: 20, burst_connects: 5, ingress_packets: 200, burst_packets: 50}
YAML
agent_start

# state FIELD: of the limited cgroup's storage
state() {
	bpftool --json map dump pinned "$ROOT/sys/fs/bpf/waveos/maps/limit_state" |
		jq "[.[] | .formatted // . | .value | select(.cgroup == $KEY)][0] | $1"
}

# connects for 3 s as fast as refusals allow, IPv4 and IPv6 in turn; prints accepted and refused
cat >"$TMP/connect.py" <<'PY'
import errno, socket, time
servers = [socket.create_server(("127.0.0.1", 0), backlog=1024)]
try:
    servers.append(socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=1024))
except OSError:
    pass
ok = refused = i = 0
end = time.monotonic() + 3
while time.monotonic() < end:
    server = servers[i % len(servers)]
    i += 1
    s = socket.socket(server.family)
    try:
        s.connect(server.getsockname()[:2])
        ok += 1
    except OSError as e:
        if e.errno != errno.EPERM:
            raise
        refused += 1
        time.sleep(0.001)
    s.close()
# a datagram socket's connect sends nothing and is free
for _ in range(100):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("127.0.0.1", 9))
    s.close()
print(ok, refused)
PY
# in a child: the subtree shares the bucket of the budgeted cgroup
read -r OK REFUSED < <(cgroup_run "$CG/child" python3 "$TMP/connect.py")
echo "connects in 3 s: $OK accepted, $REFUSED refused"
# 20 a second for 3 s and a burst of 5
within "$OK" 65 5 || fail "$OK connects in 3 s, expected 65 within 5 %"
[ "$REFUSED" -gt 0 ] || fail "nothing was refused"
[ "$(state .denied)" -eq "$REFUSED" ] || fail "counted $(state .denied) refusals, seen $REFUSED"
[ "$(state .connects)" -eq "$OK" ] || fail "counted $(state .connects) connects, seen $OK"
shown() { [ "$(figure "/$NAME" limit_connects_denied)" -eq "$REFUSED" ]; }
wait_until 5 shown || fail "limit_connects_denied is $(figure "/$NAME" limit_connects_denied), not $REFUSED"

# 2000 datagrams in 2 s to a receiver in the cgroup; 200 a second and a burst of 50 arrive
cat >"$TMP/receive.py" <<'PY'
import socket, subprocess, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
s.settimeout(0.5)
print(s.getsockname()[1], flush=True)
n = 0
try:
    while True:
        s.recv(100)
        n += 1
except TimeoutError:
    pass
print(n, flush=True)
PY
cat >"$TMP/send.py" <<'PY'
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
start = time.monotonic()
for i in range(2000):
    s.sendto(b"x", ("127.0.0.1", int(sys.argv[1])))
    while time.monotonic() - start < (i + 1) / 1000:
        time.sleep(0.0005)
PY
coproc RECEIVER { cgroup_run "$CG" python3 "$TMP/receive.py"; }
read -r PORT <&"${RECEIVER[0]}"
python3 "$TMP/send.py" "$PORT"
read -r GOT <&"${RECEIVER[0]}"
echo "datagrams at 1000/s for 2 s: $GOT arrived"
within "$GOT" 450 5 || fail "$GOT datagrams, expected 450 within 5 %"
shown() { [ "$(figure "/$NAME" limit_ingress_drops)" -eq "$(state .ingress.drop_packets)" ]; }
wait_until 5 shown || fail "limit_ingress_drops is $(figure "/$NAME" limit_ingress_drops)"

agent_stop
TRIPS=$(cat "$ROOT"/var/lib/waveos/runs/*/events.jsonl | jq -c 'select(.type == "limit-trip")' | wc -l)
echo "$TRIPS limit-trip records; $(state .trips) events"
[ "$(state .trips)" -ge 2 ] || fail "no LIMIT_TRIP event was sent"
# at most one a second: the limits were hit for about 5 s
[ "$(state .trips)" -le 12 ] || fail "$(state .trips) LIMIT_TRIP events in a few seconds"
[ "$TRIPS" -ge 2 ] || fail "LIMIT_TRIP events are not in the record"
