# Block I/O of a v2 cgroup on a null_blk disk against the cgroup's own io.stat, writeback by others
# included; requests in flight; a medium error; the accept queue of a listener.
# limit: 120
. /payload/case.sh

need_module null_blk

metrics() { wget -q -O - http://127.0.0.1:9850/metrics; }
# metric NAME LABELS: the value of one series
metric() { metrics | awk -v s="waveos_$1{$2}" '$1 == s { v = $2 } END { printf "%.9g\n", v }'; }
at_least() { awk -v a="$(metric "$1" "$2")" -v b="$3" 'BEGIN { exit !(a >= b) }'; }
# io_stat KEY: of the cgroup, from the kernel
io_stat() { tr ' ' '\n' <"$dir/io.stat" | awk -F = -v k="$1" '$1 == k { n += $2 } END { print n + 0 }'; }
# agrees NAME LABELS KEY: equal to io.stat, which may move while we look
same() { [ "$(awk -v v="$(metric "$1" "$2")" 'BEGIN { printf "%d", v }')" = "$(io_stat "$3")" ]; }
agrees() { wait_for 15 same "$@" || fail "$1{$2} is $(metric "$1" "$2"), io.stat has $(io_stat "$3")"; }
all_agree() {
	agrees blkio_bytes_total 'cgroup="/io",op="read"' rbytes
	agrees blkio_bytes_total 'cgroup="/io",op="write"' wbytes
	agrees blkio_requests_total 'cgroup="/io",op="read"' rios
	agrees blkio_requests_total 'cgroup="/io",op="write"' wios
}

rmmod null_blk 2>/dev/null
# each request takes 20 ms, by a timer
modprobe null_blk nr_devices=1 gb=1 queue_mode=2 irqmode=2 completion_nsec=20000000 bs=4096 || skip "no null_blk"
wait_for 10 test -b /dev/nullb0 || fail "no /dev/nullb0"

"$BIN" attach --for 100s --set agent.tick=300ms 2>"$CASE_DIR/log" &
wait_for 40 metrics || fail "no metrics: $(tail -n 1 "$CASE_DIR/log")"

dir=$(new_cgroup io)
in_cgroup "$dir" dd if=/dev/nullb0 of=/dev/null bs=64k count=64 2>/dev/null || fail "dd"
[ "$(io_stat rbytes)" -ge 4194304 ] || fail "io.stat has no reads"
all_agree

# dirtied in the cgroup, written by whoever calls sync: still the cgroup's
in_cgroup "$dir" dd if=/dev/zero of=/dev/nullb0 bs=1M count=8 2>/dev/null || fail "dd"
sync
all_agree

in_cgroup "$dir" sh -c 'for i in 1 2 3 4; do dd if=/dev/nullb0 of=/dev/null bs=1M count=200 skip=100 2>/dev/null; echo 1 >/proc/sys/vm/drop_caches; done' &
load=$!
wait_for 20 at_least blkio_inflight 'cgroup="/io"' 1 || fail "no request in flight"
kill $load 2>/dev/null
wait $load
all_agree
idle() { [ "$(metric blkio_inflight 'cgroup="/io"')" = 0 ]; }
wait_for 15 idle || fail "requests in flight at rest: $(metric blkio_inflight 'cgroup="/io"')"

# a request takes at least what the disk takes; emulation makes it longer
mean=$(awk -v s="$(metric blkio_latency_seconds_sum 'cgroup="/io"')" -v n="$(metric blkio_latency_seconds_count 'cgroup="/io"')" \
	'BEGIN { print n ? s / n : 0 }')
awk -v m="$mean" 'BEGIN { exit !(m >= 0.019 && m < 2) }' || fail "mean latency is $mean s, a request takes 0.02 s"

# scsi_debug refuses to read sectors from 0x1234 on
if modprobe -q scsi_debug opts=2 dev_size_mb=8; then
	bad() { ls /sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block; }
	wait_for 20 bad || fail "no scsi_debug disk"
	disk=$(bad | head -n 1)
	wait_for 20 test -b "/dev/$disk" || fail "no /dev/$disk"
	in_cgroup "$dir" dd if="/dev/$disk" of=/dev/null bs=4096 skip=582 count=2 2>/dev/null && fail "the bad sector was read"
	wait_for 15 at_least blkio_errors_total 'cgroup="/io"' 1 || fail "no block error is counted"
	recorded() { cat /var/lib/waveos/runs/*/events.jsonl | grep '"io-error"' | grep -q "\"$disk\""; }
	wait_for 15 recorded || fail "no record of the block error"
fi

# a listener that accepts nothing
in_cgroup "$dir" iperf3 -s >/dev/null 2>&1 &
wait_for 15 at_least tcp_listeners 'cgroup="/io"' 1 || fail "no listener is seen"
