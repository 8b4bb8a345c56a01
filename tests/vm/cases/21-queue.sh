# Block I/O of a v2 cgroup on a null_blk disk against the cgroup's own io.stat, writeback by others
# included; requests in flight; a medium error; the accept queue of a listener.
# limit: 300
. /payload/case.sh

need_module null_blk

metrics() { wget -q -O - http://127.0.0.1:9850/metrics; }
# metric NAME LABELS: the value of one series
metric() { metrics | awk -v s="waveos_$1{$2}" '$1 == s { v = $2 } END { printf "%.9g\n", v }'; }
at_least() { awk -v a="$(metric "$1" "$2")" -v b="$3" 'BEGIN { exit !(a >= b) }'; }
# io_stat KEY: of the cgroup, from the kernel
io_stat() { tr ' ' '\n' <"$dir/io.stat" | awk -F = -v k="$1" '$1 == k { n += $2 } END { print n + 0 }'; }
# all four figures from one page equal those of io.stat, which may move while we look
ours() {
	metrics | awk '
		$1 == "waveos_blkio_bytes_total{cgroup=\"/io\",op=\"read\"}" { rb = $2 }
		$1 == "waveos_blkio_bytes_total{cgroup=\"/io\",op=\"write\"}" { wb = $2 }
		$1 == "waveos_blkio_requests_total{cgroup=\"/io\",op=\"read\"}" { r = $2 }
		$1 == "waveos_blkio_requests_total{cgroup=\"/io\",op=\"write\"}" { w = $2 }
		END { printf "%d %d %d %d", rb, wb, r, w }'
}
kernels() { echo "$(io_stat rbytes) $(io_stat wbytes) $(io_stat rios) $(io_stat wios)"; }
equal() { [ "$(ours)" = "$(kernels)" ]; }
all_agree() {
	wait_for 20 equal || fail "$1: bytes and requests read and written are $(ours); io.stat has $(kernels)"
	echo "$1: $(kernels)"
}

rmmod null_blk 2>/dev/null
# each request takes 20 ms, by a timer
modprobe null_blk nr_devices=1 gb=1 queue_mode=2 irqmode=2 completion_nsec=20000000 bs=4096 || skip "no null_blk"
wait_for 10 test -b /dev/nullb0 || fail "no /dev/nullb0"

"$BIN" attach --for 280s --set agent.tick=500ms 2>"$CASE_DIR/log" &
wait_for 90 metrics || fail "no metrics: $(tail -n 1 "$CASE_DIR/log")"

dir=$(new_cgroup io)
in_cgroup "$dir" dd if=/dev/nullb0 of=/dev/null bs=64k count=64 2>/dev/null || fail "dd"
[ "$(io_stat rbytes)" -ge 4194304 ] || fail "io.stat has no reads"
all_agree "reads"

# dirtied in the cgroup, written by whoever calls sync: still the cgroup's
in_cgroup "$dir" dd if=/dev/zero of=/dev/nullb0 bs=1M count=8 2>/dev/null || fail "dd"
sync
all_agree "writeback by another"

in_cgroup "$dir" sh -c 'for i in 1 2 3 4; do dd if=/dev/nullb0 of=/dev/null bs=1M count=200 skip=100 2>/dev/null; echo 1 >/proc/sys/vm/drop_caches; done' &
load=$!
wait_for 20 at_least blkio_inflight 'cgroup="/io"' 1 || fail "no request in flight"
kill $load 2>/dev/null
wait $load
all_agree "load"
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
