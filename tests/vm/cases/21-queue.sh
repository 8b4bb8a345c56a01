# Block I/O of a v2 cgroup on a null_blk disk against the cgroup's own io.stat, writeback by others
# included; requests in flight; a medium error; the accept queue of a listener.
# limit: 300
. /payload/case.sh

need_module null_blk

# The published rows are one line of JSON; each object goes on a line of its own. Starting a program takes a
# guest long: the page is read once and asked often.
page=$CASE_DIR/page
look() { "$BIN" top --once --json --root "$CASE_DIR" | sed 's/{"cgroup":/\n&/g; s/{"facet":/\n&/g' >"$page"; }
row() { grep '^{"cgroup":"/io",' "$page" | sed 's/"own":.*//; s/"rates":.*//'; }
# number NAME: what follows that name first in the line that is read, 0 if there is none
number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" | grep . || echo 0; }
signal() { row | number "$1"; }
hist() { grep '^{"cgroup":"/io",' "$page" | sed -n 's/.*"io_latency":{\([^}]*\)}.*/\1/p' | number "$1"; }
at_least() { look && [ "$(signal "$1")" -ge "$2" ]; }
is() { look && [ "$(signal "$1")" -eq "$2" ]; }
# io_stat KEY: of the cgroup, from the kernel
io_stat() { tr ' ' '\n' <"$dir/io.stat" | awk -F = -v k="$1" '$1 == k { n += $2 } END { print n + 0 }'; }
# io.stat counts bios; requests are the disk's, which only this cgroup uses
disk_reads() { awk '{ print $1 }' /sys/block/nullb0/stat; }
disk_writes() { awk '{ print $5 }' /sys/block/nullb0/stat; }
disk_ms() { awk '{ print $4 + $8 }' /sys/block/nullb0/stat; }
kernels() { echo "$(io_stat rbytes) $(io_stat wbytes) $(($(disk_reads) - reads)) $(($(disk_writes) - writes))"; }
ours() { echo "$(signal io_read_bytes) $(signal io_write_bytes) $(signal io_reads) $(signal io_writes)"; }
equal() { look && [ "$(ours)" = "$(kernels)" ]; }
# all_agree WHAT: bytes are those of io.stat and requests those of the disk, which may move while we look
all_agree() {
	wait_for 20 equal || fail "$1: bytes and requests read and written are $(ours); the kernel has $(kernels)"
	echo "$1: $(kernels)"
}

rmmod null_blk 2>/dev/null
# each request takes 20 ms, by a timer
modprobe null_blk nr_devices=1 gb=1 queue_mode=2 irqmode=2 completion_nsec=20000000 bs=4096 || skip "no null_blk"
wait_for 10 test -b /dev/nullb0 || fail "no /dev/nullb0"

"$BIN" attach --root "$CASE_DIR" --set agent.tick=500ms --set metrics.listen= >"$CASE_DIR/log" 2>&1 &
wait_for 90 grep -q 'first figures' "$CASE_DIR/log" || { cat "$CASE_DIR/log"; fail "the agent is not ready"; }

dir=$(new_cgroup io)
reads=$(disk_reads) writes=$(disk_writes) ms=$(disk_ms)
in_cgroup "$dir" dd if=/dev/nullb0 of=/dev/null bs=64k count=64 2>/dev/null || fail "dd"
[ "$(io_stat rbytes)" -ge 4194304 ] || fail "io.stat has no reads"
all_agree "reads"

# dirtied in the cgroup, written by whoever calls sync: still the cgroup's
in_cgroup "$dir" dd if=/dev/zero of=/dev/nullb0 bs=1M count=8 2>/dev/null || fail "dd"
sync
all_agree "writeback by another"

in_cgroup "$dir" sh -c 'for i in 1 2 3 4; do dd if=/dev/nullb0 of=/dev/null bs=1M count=200 skip=100 2>/dev/null; echo 1 >/proc/sys/vm/drop_caches; done' &
load=$!
wait_for 20 at_least io_inflight 1 || fail "no request in flight"
# shellcheck disable=SC2046
quiet() { kill -9 $(cat "$dir/cgroup.procs") 2>/dev/null; ! grep -q . "$dir/cgroup.procs"; }
wait_for 10 quiet || fail "the load does not end"
wait $load
all_agree load
wait_for 15 is io_inflight 0 || fail "requests in flight at rest: $(signal io_inflight)"

# a request takes at least what the disk takes; emulation makes it longer
mean=$(($(hist sum_ns) / $(hist count)))
{ [ $mean -ge 19000000 ] && [ $mean -lt 2000000000 ]; } || fail "mean latency is $mean ns, a request takes 20 ms"
# the kernel's clock stops some work after our hook, so its sum is a little larger
sum=$(($(hist sum_ns) / 1000000)) kernel=$(($(disk_ms) - ms))
{ [ $sum -le $((kernel * 1005 / 1000 + 2)) ] && [ $sum -ge $((kernel * 97 / 100)) ]; } ||
	fail "latency sums to $sum ms, the kernel has $kernel ms"
echo "mean latency: $mean ns, sum $sum ms (kernel: $kernel ms)"

# scsi_debug refuses to read sectors from 0x1234 on
if modprobe -q sd_mod && modprobe -q scsi_debug opts=2 dev_size_mb=8; then
	bad() { ls /sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block; }
	wait_for 20 bad || fail "no scsi_debug disk"
	disk=$(bad | head -n 1)
	wait_for 20 test -b "/dev/$disk" || fail "no /dev/$disk"
	in_cgroup "$dir" dd if="/dev/$disk" of=/dev/null bs=4096 skip=582 count=2 2>/dev/null && fail "the bad sector was read"
	wait_for 15 at_least io_errors 1 || fail "no block error is counted"
	recorded() { cat "$CASE_DIR"/var/lib/waveos/runs/*/events.jsonl | grep '"io-error"' | grep -q "\"$disk\""; }
	wait_for 15 recorded || fail "no record of the block error"
	echo "block errors: $(signal io_errors)"
fi

# a listener that accepts
in_cgroup "$dir" iperf3 -s >/dev/null 2>&1 &
wait_for 15 at_least sock_listeners 1 || fail "no listener is seen"
echo "listeners: $(signal sock_listeners), accept queue limit $(signal sock_accept_max)"
