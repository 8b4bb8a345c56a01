# Budgets on pure cgroup v2, on each kernel: files, and the egress limit by departure times where a device has fq and by
# dropping where it has none; both go on when the agent is dead, and detach takes them back.
# limit: 300
. /payload/case.sh

need iperf3 "$BIN"
need_module sch_fq
dir=$(new_cgroup limit)
mkdir -p "$CASE_DIR/etc/waveos"
cat >"$CASE_DIR/etc/waveos/waveos.yaml" <<'YAML'
budgets:
  - name: all
    cgroup: /limit
    cpu: {quota: 150%, weight: 50}
    memory: {high: 200M, max: 300M}
    pids: {max: 50}
    network: {egress: 20mbit, connects: 1000}
YAML
tc qdisc replace dev lo root fq || fail "no fq on lo"
cat "$dir/cpu.max" "$dir/cpu.weight" "$dir/memory.high" "$dir/memory.max" "$dir/pids.max" >"$CASE_DIR/old"
start() {
	"$BIN" attach --root "$CASE_DIR" --set agent.tick=200ms --set metrics.listen= >"$CASE_DIR/log" 2>&1 &
	agent=$!
	wait_for 100 grep -q 'first figures' "$CASE_DIR/log" || { cat "$CASE_DIR/log"; fail "the agent is not ready"; }
}
start
events() { cat "$CASE_DIR"/var/lib/waveos/runs/*/events.jsonl; }
[ -n "$(ls "$CASE_DIR"/sys/fs/bpf/waveos/limits)" ] || { cat "$CASE_DIR/log"; events; fail "no limit is pinned"; }
[ "$(cat "$dir/cpu.max" "$dir/cpu.weight" "$dir/memory.high" "$dir/memory.max" "$dir/pids.max" | tr '\n' ' ')" = \
	"150000 100000 50 209715200 314572800 50 " ] || { events; fail "files: $(cat "$dir/cpu.max" "$dir/memory.max")"; }

# signal NAME: of the limited cgroup; nothing else carries these
signal() {
	"$BIN" top --once --json --root "$CASE_DIR" | tr '{' '\n' | grep -A 1 '"cgroup":"/limit"' |
		sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"
}
iperf3 -s -p 5201 >/dev/null 2>&1 &
wait_for 20 grep -q ':1451 .* 0A ' /proc/net/tcp /proc/net/tcp6 || fail "iperf3 does not listen"
# rate: of one connection in the cgroup, in kbit/s, the first second left out
rate() {
	in_cgroup "$dir" iperf3 -c 127.0.0.1 -p 5201 -t 4 -O 1 -f k >"$CASE_DIR/iperf" || { cat "$CASE_DIR/iperf"; fail "iperf3 failed"; }
	awk '/receiver/ { for (i = 1; i < NF; i++) if ($(i + 1) == "Kbits/sec") print int($i) }' "$CASE_DIR/iperf"
}
# the processor is emulated: a wide margin below, a narrow one above
check() {
	[ "$2" -ge 16000 ] && [ "$2" -le 21500 ] || { cat "$CASE_DIR/iperf"; fail "$1: $2 kbit/s, expected 20000"; }
	echo "$1: $2 kbit/s"
}
check paced "$(rate)"
paced() { [ "$(signal limit_paced_ns)" -gt 0 ]; }
dropped() { [ "$(signal limit_egress_drops)" -gt 0 ]; }
wait_for 20 paced || fail "nothing was paced: $(signal limit_paced_ns) ns"
dropped && fail "packets were dropped although fq paces"

tc qdisc del dev lo root
wait_for 30 grep -q 'egress limits: policed' "$CASE_DIR/log" || { cat "$CASE_DIR/log"; fail "the loss of fq was not noticed"; }
kill -9 "$agent"
wait "$agent" 2>/dev/null
check "policed, agent dead" "$(rate)"
start
wait_for 20 dropped || fail "no drop was counted"

"$BIN" detach --root "$CASE_DIR" >"$CASE_DIR/detach" || { cat "$CASE_DIR/detach"; fail "detach"; }
cat "$dir/cpu.max" "$dir/cpu.weight" "$dir/memory.high" "$dir/memory.max" "$dir/pids.max" | cmp -s - "$CASE_DIR/old" ||
	fail "detach did not restore the files"
echo ok
