#!/bin/bash
# Where a device has fq, packets over the rate are delayed, not dropped. In a network namespace of its own.
. "$(dirname "$0")/lib.sh"
command -v iperf3 >/dev/null || skip "iperf3 is not installed"
NETNS=wvtest-pace-$$
ip netns add $NETNS 2>/dev/null || skip "network namespaces cannot be made here"
at_exit ip netns del $NETNS
ip -n $NETNS link set lo up
ip netns exec $NETNS tc qdisc add dev lo root fq 2>/dev/null || skip "this kernel has no sch_fq"
NAME=wvtest-pace-$$
CG=$(cgroup_make "$NAME")
at_exit cgroup_remove "$CG"
KEY=$(stat -c %i "$CG")
PORT=5201

mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/waveos.yaml" <<YAML
budgets:
  - name: paced
    cgroup: /$NAME
    network: {egress: 50mbit}
YAML
# the agent looks at the queues of its own namespace
printf '#!/bin/sh\nexec ip netns exec %s %q "$@"\n' "$NETNS" "$BIN" >"$TMP/bin"
chmod +x "$TMP/bin"
REAL=$BIN BIN=$TMP/bin
agent_start
BIN=$REAL
state() {
	bpftool --json map dump pinned "$ROOT/sys/fs/bpf/waveos/maps/limit_state" |
		jq "[.[] | .formatted // . | .value | select(.cgroup == $KEY)][0] | $1"
}
ip netns exec $NETNS iperf3 -s -p $PORT >/dev/null 2>&1 &
at_exit kill $!
wait_until 5 ip netns exec $NETNS bash -c "exec 3<>/dev/tcp/127.0.0.1/$PORT" 2>/dev/null || fail "iperf3 does not listen"
RATE=$(cgroup_run "$CG" ip netns exec $NETNS iperf3 -c 127.0.0.1 -p $PORT -t 5 -O 1 --json | jq .end.sum_received.bits_per_second/1e6)
echo "$RATE Mbit/s, $(state .paced_packets) packets delayed, $(state .egress.drop_packets) dropped"
within "$RATE" 50 5 || fail "$RATE Mbit/s, expected 50 within 5 %"
[ "$(state .paced_packets)" -gt 100 ] || fail "nothing was paced"
[ "$(state .egress.drop_packets)" -eq 0 ] || fail "packets were dropped although fq paces"

echo "without fq the same limit is policed:"
ip netns exec $NETNS tc qdisc del dev lo root
wait_until 5 bash -c "! bpftool --json map dump pinned '$ROOT/sys/fs/bpf/waveos/maps/limit_pacers' | grep -q ifindex" ||
	fail "the device still counts as pacing"
RATE=$(cgroup_run "$CG" ip netns exec $NETNS iperf3 -c 127.0.0.1 -p $PORT -t 5 -O 1 --json | jq .end.sum_received.bits_per_second/1e6)
echo "$RATE Mbit/s, $(state .egress.drop_packets) dropped"
within "$RATE" 50 5 || fail "$RATE Mbit/s, expected 50 within 5 %"
[ "$(state .egress.drop_packets)" -gt 0 ] || fail "nothing was dropped"
