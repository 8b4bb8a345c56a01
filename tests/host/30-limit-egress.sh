#!/bin/bash
# Egress limit in BPF: rate of TCP and UDP over loopback, SIGKILL of the agent, adoption without a gap.
. "$(dirname "$0")/lib.sh"
command -v iperf3 >/dev/null || skip "iperf3 is not installed"
NAME=wvtest-egress-$$
CG=$(cgroup_make "$NAME")
at_exit cgroup_remove "$CG"
PORT=$((20000 + $$ % 10000))
LIMITS=$ROOT/sys/fs/bpf/waveos/limits

mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/waveos.yaml" <<YAML
budgets:
  - name: slow
    cgroup: /$NAME
    network: {egress: 50mbit}
YAML
agent_start
ls "$LIMITS"/*-egress >/dev/null || fail "no link is pinned"
KEY=$(stat -c %i "$CG")

# the server stands outside, so that only the sender's packets count
iperf3 -s -p "$PORT" >/dev/null 2>&1 &
SERVER=$!
at_exit kill "$SERVER"
wait_until 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$PORT" 2>/dev/null || fail "iperf3 does not listen"

# mbit ARGS...: what the receiver got, the first second (the burst) left out
mbit() {
	cgroup_run "$CG" iperf3 -c 127.0.0.1 -p "$PORT" -t 5 -O 1 --json "$@" >"$TMP/iperf.json" || true
	jq -e '(.end.sum_received // .end.sum).bits_per_second / 1e6' "$TMP/iperf.json" ||
		fail "iperf3: $(jq -r '.error // "no figures"' "$TMP/iperf.json")"
}
# state FIELD...: of the limited cgroup's storage
state() {
	bpftool --json map dump pinned "$ROOT/sys/fs/bpf/waveos/maps/limit_state" |
		jq "[.[] | .formatted // . | .value | select(.cgroup == $KEY)][0] | $1"
}

echo "TCP with the agent alive:"
RATE=$(mbit)
within "$RATE" 50 5 || fail "TCP: $RATE Mbit/s, expected 50 within 5 %"
echo "  $RATE Mbit/s"

grep -q '"type": *"outcome"' "$ROOT"/var/lib/waveos/runs/*/events.jsonl || fail "no outcome record"

echo "SIGKILL of the agent:"
LINK=$(bpftool --json link show pinned "$LIMITS/$(printf %016x "$KEY")-egress" | jq .id)
DROPS=$(state .egress.drop_packets)
agent_kill
RATE=$(mbit)
within "$RATE" 50 5 || fail "TCP with the agent dead: $RATE Mbit/s, expected 50 within 5 %"
echo "  $RATE Mbit/s"
AFTER=$(state .egress.drop_packets)
[ "$AFTER" -gt "$DROPS" ] || fail "drops are no longer counted with the agent dead ($DROPS, then $AFTER)"

echo "a new agent adopts:"
BEFORE=$(state .egress.packets)
agent_start
[ "$(bpftool --json link show pinned "$LIMITS/$(printf %016x "$KEY")-egress" | jq .id)" = "$LINK" ] ||
	fail "the new agent made another link"
[ "$(state .egress.packets)" -ge "$BEFORE" ] || fail "the state went back"

echo "UDP, twice the rate offered:"
RATE=$(mbit -u -b 100M)
within "$RATE" 50 5 || fail "UDP: $RATE Mbit/s, expected 50 within 5 %"
echo "  $RATE Mbit/s"

echo "four TCP connections share the budget:"
RATE=$(mbit -P 4)
within "$RATE" 50 5 || fail "4 x TCP: $RATE Mbit/s, expected 50 within 5 %"
echo "  $RATE Mbit/s"

echo "rates change in place:"
sed -i 's/50mbit/20mbit/' "$ROOT/etc/waveos/waveos.yaml"
agent_kill
agent_start
[ "$(bpftool --json link show pinned "$LIMITS/$(printf %016x "$KEY")-egress" | jq .id)" = "$LINK" ] ||
	fail "a change of rate made another link"
RATE=$(mbit)
within "$RATE" 20 5 || fail "TCP after the change: $RATE Mbit/s, expected 20 within 5 %"
echo "  $RATE Mbit/s"

echo "detach lets go:"
"$BIN" detach --root "$ROOT" >"$TMP/detach.out"
agent_kill # it has ended: forget it
RATE=$(mbit)
awk -v r="$RATE" 'BEGIN { exit !(r > 200) }' || fail "still limited after detach: $RATE Mbit/s"
echo "  $RATE Mbit/s"
