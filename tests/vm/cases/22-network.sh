# Traffic, TCP events, drops and round-trip times of a cgroup, on each kernel: the arguments of the tracepoints, the
# reasons of drops and the way from a socket to its cgroup differ between them.
# limit: 240
. /payload/case.sh

need iperf3 "$BIN"
dir=$(new_cgroup net)
"$BIN" attach --root "$CASE_DIR" --set agent.tick=500ms --set metrics.listen= >"$CASE_DIR/log" 2>&1 &
wait_for 90 grep -q 'first figures' "$CASE_DIR/log" || { cat "$CASE_DIR/log"; fail "the agent is not ready"; }

# The published rows are one line of JSON; each object goes on a line of its own.
rows() { "$BIN" top --once --json --root "$CASE_DIR" | sed 's/{"cgroup":/\n&/g; s/{"facet":/\n&/g'; }
# number NAME: what follows that name first in the line that is read, 0 if there is none
number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" | grep . || echo 0; }
signal() { rows | grep '^{"cgroup":"/net",' | sed 's/"own":.*//; s/"rates":.*//' | number "$1"; }
# count, sum_ns of a histogram
hist() { rows | grep '^{"cgroup":"/net",' | sed -n "s/.*\"$1\":{\([^}]*\)}.*/\1/p" | number "$2"; }
drops() { rows | grep "^{\"facet\":\"drop\",\"cgroup\":\"$1\",\"reason\":\"$2\"" | number drops; }
# kernel FILE GROUP NAME: a counter of this machine
kernel() {
	awk -v g="$2:" -v n="$3" '$1 == g && !head { for (i = 2; i <= NF; i++) if ($i == n) at = i; head = 1; next }
		$1 == g { print at ? $at : 0 }' "/proc/net/$1"
}
# near A B PERCENT
near() { awk -v a="$1" -v b="$2" -v p="$3" 'BEGIN { d = a > b ? a - b : b - a; exit !(d <= b * p / 100) }'; }
# expect NAME VALUE: the signal becomes exactly this
is() { [ "$(signal "$1")" -eq "$2" ]; }
expect() {
	wait_for 10 is "$1" "$2" || fail "$1: $(signal "$1"), expected $2"
	echo "$1: $2"
}
listens() { cat /proc/net/tcp /proc/net/tcp6 | grep -q ":$1 .* 0A "; }
iperf() {
	in_cgroup "$dir" iperf3 -s -1 -p 5201 >/dev/null 2>&1 &
	server=$!
	wait_for 20 listens 1451 || fail "iperf3 does not listen"
	in_cgroup "$dir" timeout 60 iperf3 -c 127.0.0.1 -p 5201 "$@" || fail "iperf3 failed"
	wait $server
}

# ---- bytes: some 20 MB, against the IP layer's own counts; nothing else talks here. How much is received is not known
# before: iperf3 ends when all is handed to the socket, and what is in socket buffers then may be thrown away
in_before=$(kernel netstat IpExt InOctets) out_before=$(kernel netstat IpExt OutOctets)
iperf -n 20000000 >/dev/null
octets() { # SIGNAL COUNTER BEFORE: both are read anew each time
	ours=$(signal "$1") theirs=$(($(kernel netstat IpExt "$2") - $3))
	near "$ours" "$theirs" 2
}
wait_for 10 octets net_rx_bytes InOctets "$in_before" || fail "net_rx_bytes: $ours, IP received $theirs"
[ "$ours" -ge 10000000 ] || fail "net_rx_bytes: $ours of 20000000 that iperf3 sent"
echo "net_rx_bytes: $ours, IP received $theirs"
wait_for 10 octets net_tx_bytes OutOctets "$out_before" || fail "net_tx_bytes: $ours, IP sent $theirs"
echo "net_tx_bytes: $ours, IP sent $theirs"
[ "$(signal net_rx_packets)" -ge 300 ] || fail "$(signal net_rx_packets) packets"

# ---- connects, accepts, failures, resets
connects=$(signal tcp_connects) accepts=$(signal tcp_accepts)
[ "$accepts" -eq 2 ] || fail "$accepts accepts of iperf3"
# nc as a server gives each connection to a program that ends at once
in_cgroup "$dir" busybox nc -ll -p 7000 -e /bin/true &
wait_for 10 listens 1B58 || fail "nc does not listen"
i=0
while [ $i -lt 20 ]; do
	in_cgroup "$dir" timeout 10 busybox nc 127.0.0.1 7000 </dev/null >/dev/null || fail "connect $i failed"
	in_cgroup "$dir" timeout 10 busybox nc 127.0.0.1 7001 </dev/null >/dev/null 2>&1 && fail "connected to a closed port"
	i=$((i + 1))
done
expect tcp_connects $((connects + 20))
expect tcp_accepts $((accepts + 20))
expect tcp_connect_failures 20
[ "$(hist connect_latency count)" -eq $((connects + 20)) ] || fail "connect latencies: $(hist connect_latency count)"
[ "$(signal tcp_resets_received)" -ge 20 ] || fail "resets received: $(signal tcp_resets_received)"

# ---- drops with their reason (5.17 and newer; before, all are unspecified): segments to a closed port
reason=unspecified
grep -qa SKB_DROP_REASON_NO_SOCKET /sys/kernel/btf/vmlinux && reason=NO_SOCKET
dropped() { [ "$(drops / $reason)" -ge 20 ]; }
wait_for 10 dropped || fail "drops ($reason): $(rows | grep '"facet":"drop"')"
echo "drops, $reason: $(drops / $reason)"

# ---- retransmits and round-trip times
modprobe -q sch_netem
if ! tc qdisc add dev lo root netem delay 20ms loss 2%; then
	echo "no sch_netem: retransmits and round-trip times not compared"
	exit 0
fi
resent() { echo $(($(kernel snmp Tcp RetransSegs) - $(kernel netstat TcpExt TCPRetransFail))); }
before=$(resent) exported=$(signal tcp_retransmits)
sum=$(hist tcp_rtt sum_ns) count=$(hist tcp_rtt count)
# few, large segments: a single run may lose none
wanted=0 tries=0
while [ "$wanted" -eq 0 ] && [ $tries -lt 8 ]; do
	iperf -n 4000000 >/dev/null
	wanted=$(($(resent) - before)) tries=$((tries + 1))
done
tc qdisc del dev lo root
wanted=$(($(resent) - before))
[ "$wanted" -gt 0 ] || fail "no segment was sent again"
# a closing connection may go on sending again: both counts are read anew each time. One may be missing of a handful
# (docs/collectors/network.md)
same() {
	got=$(($(signal tcp_retransmits) - exported)) want=$(($(resent) - before))
	near "$got" "$want" 5 || { [ $got -ge $((want - 1)) ] && [ $got -le $((want + 1)) ] && [ $got -gt 0 ]; }
}
wait_for 10 same || fail "retransmits: $(signal tcp_retransmits) after $exported, the kernel counted $wanted"
mean_us=$((($(hist tcp_rtt sum_ns) - sum) / ($(hist tcp_rtt count) - count) / 1000))
echo "retransmits: $wanted; mean round-trip time: $mean_us us over 2 x 20 ms"
[ "$mean_us" -ge 40000 ] || fail "mean round-trip time $mean_us us over 2 x 20 ms"
exit 0
