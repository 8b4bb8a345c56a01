# Starts and ends of tasks to the last one, zombies and D state, failed ends, crash loops, a failed allocation
# and a page that the kernel takes out of use.
# limit: 150
. /payload/case.sh

root=$CASE_DIR/root
mkdir -p "$root"
# number FILE NAME: the first number after "NAME": in a line of JSON
number() { grep -o "\"$2\":[0-9]*" "$1" | head -n 1 | cut -d: -f2; }
# sample CGROUP: its signals in one line
sample() {
	# a facet names its cgroup too, but no hierarchy
	"$BIN" top --once --json --root "$root" | tr '{' '\n' |
		grep -A1 "\"cgroup\":\"$1\",\"hierarchy\"" | tail -n 1 >"$CASE_DIR/row"
}
# are CGROUP NAME=VALUE...: all in one sample
are() {
	sample "$1" || return 1
	shift
	for pair in "$@"; do
		[ "$(number "$CASE_DIR/row" "${pair%=*}")" = "${pair#*=}" ] || return 1
	done
}
expect() {
	wait_for 20 are "$@" && return
	fail "want $*, have $(grep -o '"\(task\|err\)_[a-z_]*":[0-9]*' "$CASE_DIR/row" | tr '\n' ' ')"
}
records() { cat "$root"/var/lib/waveos/runs/*/events.jsonl; }
recorded() { records | grep "\"$1\"" | grep -q "$2"; }

touch "$CASE_DIR/alive"
cat >"$CASE_DIR/config.yaml" <<CONFIG
agent: {tick: 500ms, log_format: text}
metrics: {listen: ""}
task: {hung_after: 2s}
heartbeats:
  - {name: guest, file: $CASE_DIR/alive, cgroup: /task, every: 2s}
CONFIG
dir=$(new_cgroup task)
"$BIN" attach --root "$root" --config "$CASE_DIR/config.yaml" 2>"$CASE_DIR/log" &
wait_for 60 grep -q 'first figures' "$CASE_DIR/log" || { cat "$CASE_DIR/log"; fail "no figures"; }
"$BIN" doctor --root "$root" | grep -E 'task|error'

# a subshell forks, a program by its path forks and execs; the shell itself was executed here and ends here
in_cgroup "$dir" /bin/busybox sh -c 'i=0; while [ $i -lt 200 ]; do (exit 0); i=$((i + 1)); done'
execs=$(sample /task && number "$CASE_DIR/row" task_execs)
expect /task task_forks=200 task_exits=201 err_exits_nonzero=0 err_fatal_signals=0
in_cgroup "$dir" /bin/busybox sh -c 'i=0; while [ $i -lt 100 ]; do (exit 3); i=$((i + 1)); done'
expect /task task_forks=300 task_exits=302 err_exits_nonzero=100 task_crash_loops=1
# shellcheck disable=SC2016
in_cgroup "$dir" /bin/busybox sh -c 'i=0; while [ $i -lt 50 ]; do (kill -SEGV $(sh -c "echo \$PPID")); i=$((i + 1)); done' 2>/dev/null
sample /task
[ "$(number "$CASE_DIR/row" err_fatal_signals)" -ge 1 ] || wait_for 10 recorded fatal-signal '"signal":11' ||
	fail "no fatal signal"
expect /task err_fatal_signals=50
expect /task "task_exits=$(($(number "$CASE_DIR/row" task_forks) + 3))"
[ "$execs" -ge 1 ] || fail "no exec is counted"
recorded fatal-signal '"signal":11' || fail "no record of a fatal signal"
recorded exit-nonzero '"status":3' || fail "no record of a failed exit"
recorded crash-loop '"exits":5' || fail "no record of the crash loop"

# the shell becomes sleep, which never waits for its child
dir=$(new_cgroup walk)
in_cgroup "$dir" /bin/busybox sh -c '(exit 0) & (exit 0) & exec sleep 100' &
in_cgroup "$dir" stress-ng --quiet --cpu 1 --timeout 100 &
expect /walk task_zombies=2
wait_for 20 sh -c "[ \$(wc -l <$dir/cgroup.threads) -ge 3 ]"
want=$(wc -l <"$dir/cgroup.threads")
expect /walk "task_threads=$want"
runs() { sample /walk && [ "$(number "$CASE_DIR/row" cpu_runnable)" -ge 1 ]; }
wait_for 20 runs || fail "a busy task is not runnable"

# whoever writes to a frozen file system sleeps uninterruptibly
dir=$(new_cgroup dstate)
disk=
if modprobe -q loop && modprobe -q ext4 && dd if=/dev/zero of="$CASE_DIR/disk" bs=1M count=8 2>/dev/null; then
	disk=$(losetup -f) && losetup "$disk" "$CASE_DIR/disk" || disk=
fi
mkdir "$CASE_DIR/mnt"
# left frozen, it would hold up the end of the guest
trap 'fsfreeze --unfreeze "$CASE_DIR/mnt" 2>/dev/null; umount "$CASE_DIR/mnt" 2>/dev/null' EXIT
if [ -n "$disk" ] && mke2fs "$disk" >/dev/null 2>&1 && mount -t ext4 "$disk" "$CASE_DIR/mnt" &&
	fsfreeze --freeze "$CASE_DIR/mnt"; then
	in_cgroup "$dir" touch "$CASE_DIR/mnt/x" &
	expect /dstate task_dstate=1 task_dstate_long=1
	recorded task-hung '"comm":"touch"' || fail "no record of the hung task"
	fsfreeze --unfreeze "$CASE_DIR/mnt"
	expect /dstate task_dstate=0 task_dstate_long=0
	umount "$CASE_DIR/mnt"
	losetup -d "$disk"
	echo "D state: seen"
else
	echo "D state: no file system to freeze, not tested"
fi

# a disk that is larger than memory: vmalloc refuses
dmesg -n 8
rmmod scsi_debug 2>/dev/null
dir=$(new_cgroup alloc)
if in_cgroup "$dir" modprobe -q scsi_debug dev_size_mb=1000000 2>/dev/null; then
	echo "allocation failure: none was caused"
elif dmesg | grep -q 'modprobe: vmalloc'; then
	alloc() { sample /alloc && [ "$(number "$CASE_DIR/row" err_alloc_failures)" -ge 1 ]; }
	wait_for 20 alloc || fail "the kernel logged a failed allocation, none is counted"
	recorded alloc-failure '"comm":"modprobe"' || fail "no record of the failed allocation"
	echo "allocation failure: $(number "$CASE_DIR/row" err_alloc_failures)"
fi
dmesg -n 1

# the kernel is told that a page is bad
page=/sys/devices/system/memory/hard_offline_page
if [ -w "$page" ] && grep -q 'memory_failure_event' /sys/kernel/tracing/available_events; then
	echo 0xc800000 >"$page" 2>/dev/null
	root_row() { sample / && [ "$(number "$CASE_DIR/row" err_hardware)" -ge 1 ]; }
	wait_for 20 root_row || fail "a page was taken out of use, no hardware error is counted"
	recorded hw-error '"source":"memory_failure_event"' || fail "no record of the hardware error"
	echo "hardware error: counted"
else
	echo "hardware error: this kernel cannot be told, not tested"
fi

# nobody touched the file for all this time
missed() { sample /task && [ "$(number "$CASE_DIR/row" task_heartbeats_missed)" -ge 2 ]; }
wait_for 20 missed || fail "no missed heartbeat"
recorded heartbeat-missed '"guest"' || fail "no record of the missed heartbeat"
back() { touch "$CASE_DIR/alive" && recorded heartbeat-back '"guest"'; }
wait_for 20 back || fail "the heartbeat does not come back"
"$BIN" detach --root "$root" || fail "detach"
