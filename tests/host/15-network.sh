#!/bin/bash
# Traffic, TCP events, drops and round-trip times of a cgroup against iperf3, ss and the kernel's counters
# of a network namespace in which nothing else runs.
. "$(dirname "$0")/lib.sh"

for program in iperf3 python3 curl ss nsenter; do
	command -v $program >/dev/null || skip "no $program"
done
name=wvtest-net-$$
dir=$(cgroup_make "$name")
at_exit cgroup_remove "$dir"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
agent_start --set agent.tick=200ms --set "metrics.listen=127.0.0.1:$port"

unshare -n sleep 600 &
holder=$!
at_exit kill $holder
in_net() { nsenter -t $holder -n "$@"; }
other_net() { [ "$(readlink /proc/$holder/ns/net)" != "$(readlink /proc/self/ns/net)" ]; }
wait_until 5 other_net || skip "no network namespace of our own"
in_net ip link set lo up
load() { cgroup_run "$dir" nsenter -t $holder -n "$@"; }

# metric NAME LABELS [CGROUP]: one exported value, 0 if there is none
metric() {
	curl -sf "http://127.0.0.1:$port/metrics" |
		awk -v want="waveos_$1{cgroup=\"${3:-/$name}\"${2:+,$2}}" '$1 == want { v = $2 } END { printf "%.9f\n", v }'
}
# kernel FILE GROUP NAME: a counter of the namespace
kernel() {
	# shellcheck disable=SC2016
	in_net awk -v g="$2:" -v n="$3" '$1 == g && !head { for (i = 2; i <= NF; i++) if ($i == n) at = i; head = 1; next }
		$1 == g { print at ? $at : 0 }' "/proc/net/$1"
}
is() { awk -v a="$(metric "$1" "$2" "${4:-}")" -v b="$3" 'BEGIN { exit a != b }'; }
# expect WHAT NAME LABELS VALUE [CGROUP]: the exported value becomes exactly this
expect() {
	wait_until 5 is "$2" "$3" "$4" "${5:-}" || fail "$1: $(metric "$2" "$3" "${5:-}"), expected $4"
	echo "$1: $4"
}

# iperf BYTES_OR_TIME...: one run over lo, both ends in the cgroup; its report in $TMP/iperf.json
iperf() {
	load iperf3 -s -1 -p 5201 >/dev/null &
	local server=$!
	listening() { [ -n "$(in_net ss -Hltn 'sport = 5201')" ]; }
	wait_until 5 listening || fail "iperf3 does not listen"
	load iperf3 -c 127.0.0.1 -p 5201 -J "$@" >"$TMP/iperf.json" || fail "iperf3: $(jq -r .error "$TMP/iperf.json")"
	wait $server || true
}

# ---- bytes and packets
iperf -n 200M
# at the end of a run iperf3 leaves what is still on its way: the truth is between its two ends
least=$(jq '.end.sum_received.bytes' "$TMP/iperf.json")
most=$(jq '.end.sum_sent.bytes' "$TMP/iperf.json")
octets=$(kernel netstat IpExt InOctets)
packets=$(kernel netstat IpExt InNoECTPkts)
settled() { within "$(metric network_bytes_total 'direction="receive"')" "$octets" 0.1; }
wait_until 5 settled || fail "received $(metric network_bytes_total 'direction="receive"') bytes, the kernel counted $octets"
for direction in receive transmit; do
	got=$(metric network_bytes_total "direction=\"$direction\"")
	echo "bytes $direction: $got, iperf3 received $least of $most, the kernel counted $octets"
	awk -v g="$got" -v a="$least" -v b="$most" 'BEGIN { exit !(g >= a && g <= b * 1.02) }' ||
		fail "bytes ($direction) are not iperf3's and 2 % of headers"
	got=$(metric network_packets_total "direction=\"$direction\"")
	echo "packets $direction: $got, the kernel counted $packets"
	within "$got" "$packets" 1 || fail "packets ($direction) are not the kernel's within 1 %"
done

# ---- connects, accepts, failures, resets, drops: exact counts
connects=$(metric tcp_connections_total 'result="connected"')
accepts=$(metric tcp_connections_total 'result="accepted"')
sent=$(metric tcp_resets_total 'direction="transmit"')
received=$(metric tcp_resets_total 'direction="receive"')
nosocket=$(metric network_drops_by_reason_total 'reason="NO_SOCKET"' /)
cat >"$TMP/client.py" <<'PY'
import socket, struct, sys
abort = struct.pack('ii', 1, 0)
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen(128)
for i in range(100):
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    if i % 2:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, abort)
    near.close()
    far.close()
closed = socket.socket()
closed.bind(('127.0.0.1', 0))
for i in range(100):
    try:
        socket.create_connection(closed.getsockname())
        sys.exit('connected to a closed port')
    except ConnectionRefusedError:
        pass
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(50):
    try:
        udp.sendto(b'x', closed.getsockname())
    except ConnectionRefusedError:
        pass
full = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
full.bind(('127.0.0.1', 0))
for i in range(100):
    udp.sendto(b'x' * 100, full.getsockname())
PY
load python3 "$TMP/client.py" || fail "the client failed"
plus() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.9f", a + b }'; }
expect connects tcp_connections_total 'result="connected"' "$(plus "$connects" 100)"
expect accepts tcp_connections_total 'result="accepted"' "$(plus "$accepts" 100)"
expect failures tcp_connections_total 'result="failed"' 100.000000000
expect "resets sent" tcp_resets_total 'direction="transmit"' "$(plus "$sent" 50)"
expect "resets received" tcp_resets_total 'direction="receive"' "$(plus "$received" 150)"
expect "connect latencies" tcp_connect_latency_seconds_count '' "$(plus "$connects" 100)"

args=$(bpftool btf dump file /sys/kernel/btf/vmlinux format c | sed -n 's/.*btf_trace_kfree_skb)(\(.*\));/\1/p' | tr -cd , | wc -c)
if [ "$args" -ge 3 ]; then
	# closed ports: nobody's socket, so the root's; other traffic of this machine is counted there too
	reached() { awk -v a="$(metric network_drops_by_reason_total 'reason="NO_SOCKET"' /)" -v b="$nosocket" 'BEGIN { exit a < b + 150 }'; }
	wait_until 5 reached || fail "NO_SOCKET: $(metric network_drops_by_reason_total 'reason="NO_SOCKET"' /) after $nosocket"
	echo "NO_SOCKET: $(metric network_drops_by_reason_total 'reason="NO_SOCKET"' /) after $nosocket"
fi
if [ "$args" -ge 4 ]; then
	expect "full receive buffer" network_drops_by_reason_total 'reason="SOCKET_RCVBUFF"' "$(kernel snmp Udp RcvbufErrors).000000000"
fi

# ---- drops of a cgroup that goes are kept by its parent
if [ "$args" -ge 4 ]; then
	before=$(metric network_drops_by_reason_total 'reason="SOCKET_RCVBUFF"')
	mkdir "$dir/child"
	cat >"$TMP/full.py" <<'PY'
import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
full = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
full.bind(('127.0.0.1', 0))
for i in range(50):
    udp.sendto(b'x' * 100, full.getsockname())
PY
	cgroup_run "$dir/child" nsenter -t $holder -n python3 "$TMP/full.py"
	wanted=$(($(kernel snmp Udp RcvbufErrors) - ${before%.*}))
	[ "$wanted" -gt 0 ] || fail "no datagram was dropped"
	expect "drops of the child" network_drops_by_reason_total 'reason="SOCKET_RCVBUFF"' "$wanted.000000000" "/$name/child"
	rmdir "$dir/child"
	expect "drops of the parent" network_drops_by_reason_total 'reason="SOCKET_RCVBUFF"' "$(plus "$before" "$wanted")"
fi

# ---- retransmits and round-trip times over a lossy lo
# RetransSegs counts tries. Before 6.15 the tracepoint leaves out those that a queue of this machine refused
tries=$(bpftool btf dump file /sys/kernel/btf/vmlinux format c | grep -c 'btf_trace_tcp_retransmit_skb)(.*, int);' || true)
resent() {
	local refused=0
	[ "$tries" -gt 0 ] || refused=$(kernel netstat TcpExt TCPRetransFail)
	echo $(($(kernel snmp Tcp RetransSegs) - refused))
}
before=$(resent)
exported=$(metric tcp_retransmits_total '')
rtt_sum=$(metric tcp_rtt_seconds_sum '')
rtt_count=$(metric tcp_rtt_seconds_count '')
rm -f "$TMP/rtt"
if in_net tc qdisc add dev lo root netem delay 5ms loss 0.5% 2>/dev/null || # either way lo loses and is slow
	in_net tc qdisc add dev lo root tbf rate 20mbit burst 16k limit 40k 2>/dev/null; then
	in_net ip link set lo mtu 1500
	(
		while in_net ss -Htni 'dport = 5201' >"$TMP/ss"; do
			sed -n 's/.* rtt:\([0-9.]*\)\/.* bytes_sent:\([0-9]\{6,\}\).*/\1/p' "$TMP/ss" >>"$TMP/rtt"
			read -rt 0.05 <> <(:) || true
		done
	) &
	poller=$!
	iperf -t 4 -P 4
	kill $poller
	wanted=$(($(resent) - before))
	[ "$wanted" -gt 0 ] || fail "no segment was sent again"
	retransmits() { awk -v a="$(metric tcp_retransmits_total '')" -v b="$exported" 'BEGIN { print a - b }'; }
	same() { [ "$(retransmits)" -eq $(($(resent) - before)) ]; }
	wait_until 3 same || within "$(retransmits)" "$wanted" 3 || fail "retransmits: $(retransmits), the kernel counted $wanted"
	echo "retransmits: $(retransmits), the kernel counted $wanted"
	got=$(awk -v a="$(metric tcp_rtt_seconds_sum '')" -v b="$rtt_sum" -v c="$(metric tcp_rtt_seconds_count '')" -v d="$rtt_count" \
		'BEGIN { print (a - b) / (c - d) * 1000 }')
	wanted=$(awk '{ s += $1 } END { print s / NR }' "$TMP/rtt")
	echo "smoothed round-trip time: $got ms, ss says $wanted ms ($(wc -l <"$TMP/rtt") readings)"
	within "$got" "$wanted" 30 || fail "round-trip time is not that of ss within 30 %"
else
	echo "no sch_netem and no sch_tbf: retransmits and round-trip times not compared"
fi

# ---- a cgroup of a v1 hierarchy: sockets are given to the cgroup of the task that makes them
mapfile -t v1_mounts < <(awk '$3 == "cgroup" && $4 ~ /,(memory|cpu|pids)(,|$)/ {print $2}' /proc/self/mounts)
for v1 in "${v1_mounts[@]}"; do
	mkdir "$v1/$name" && at_exit rmdir "$v1/$name"
done
if [ ${#v1_mounts[@]} -gt 0 ]; then
	cat >"$TMP/v1.py" <<'PY'
import socket
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen(128)
for i in range(20):
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    near.send(b'x' * 1000)
    while len(far.recv(1000, socket.MSG_WAITALL)) != 1000:
        pass
    near.close()
    far.close()
PY
	(
		for v1 in "${v1_mounts[@]}"; do
			echo "$BASHPID" >"$v1/$name/cgroup.procs"
		done
		exec nsenter -t $holder -n python3 "$TMP/v1.py"
	)
	expect "v1 connects" tcp_connections_total 'hierarchy="v1",result="connected"' 20.000000000
	expect "v1 accepts" tcp_connections_total 'hierarchy="v1",result="accepted"' 20.000000000
	v1_bytes=$(metric network_bytes_total 'hierarchy="v1",direction="transmit"')
	echo "v1 bytes: $v1_bytes for 20000 of payload"
	awk -v b="$v1_bytes" 'BEGIN { exit !(b > 20000 && b < 40000) }' || fail "v1 bytes are off"
fi
agent_stop

# ---- files only: the whole namespace in the root's row
detach() { "$BIN" detach --root "$ROOT" >/dev/null 2>&1; }
detach || fail "detach"
agent_start --set agent.tick=200ms --set "metrics.listen=127.0.0.1:$port" --set collect.hooks=files
octets=$(awk '$1 == "IpExt:" && !head { for (i = 2; i <= NF; i++) if ($i == "InOctets") at = i; head = 1; next }
	$1 == "IpExt:" { print $at }' /proc/net/netstat)
counted() { awk -v a="$(metric network_bytes_total 'direction="receive"' /)" -v b="$octets" 'BEGIN { exit a < b || a == 0 }'; }
wait_until 5 counted || fail "files only: $(metric network_bytes_total 'direction="receive"' /) bytes, the kernel counted $octets"
echo "files only: $(metric network_bytes_total 'direction="receive"' /) bytes received, before that $octets"
agent_stop
