# Memory of a v2 cgroup: sizes of its processes, what is charged, its limit, an OOM kill with the reclaim before it.
# limit: 150
. /payload/case.sh

metrics() { wget -q -O - http://127.0.0.1:9850/metrics; }
# metric NAME LABELS: the value of one series
metric() { metrics | awk -v s="waveos_$1{$2}" '$1 == s { print $2; found = 1 } END { if (!found) print 0 }'; }
at_least() { awk -v a="$(metric "$1" "$2")" -v b="$3" 'BEGIN { exit !(a >= b) }'; }
within() { awk -v a="$1" -v b="$2" -v p="$3" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(b > 0 && d <= b * p / 100) }'; }
keyed() { awk -v k="$2" '$1 == k { print $2 }' "$1"; }
close_to() {
	name=$1 labels=$2 percent=$3
	shift 3
	within "$(metric "$name" "$labels")" "$("$@")" "$percent"
}
# agrees NAME LABELS PERCENT COMMAND...: the exported value comes to agree with what the command prints
agrees() { wait_for 15 close_to "$@" || fail "$name{$labels} is $(metric "$name" "$labels"), not as \"$4 $5\" says"; }
proc_sum() {
	while read -r pid; do cat "/proc/$pid/status"; done <"$1/cgroup.procs" |
		awk -v f="$2:" '$1 == f { s += $2 } END { printf "%d", s * 1024 }'
}

"$BIN" attach --for 140s --set agent.tick=500ms 2>"$CASE_DIR/log" &
wait_for 30 metrics || fail "no metrics: $(tail -n 1 "$CASE_DIR/log")"

dir=$(new_cgroup mem)
echo 104857600 >"$dir/memory.max"
# dd fills its buffer, then waits for a reader that never reads
in_cgroup "$dir" sh -c 'dd if=/dev/zero bs=40M count=1 2>/dev/null | sleep 140' &
full() { [ "$(proc_sum "$dir" VmRSS)" -ge 41943040 ]; }
wait_for 15 full || fail "the load does not start"
agrees process_memory_bytes 'cgroup="/mem",type="rss"' 5 proc_sum "$dir" VmRSS
agrees process_memory_bytes 'cgroup="/mem",type="data_vm"' 2 proc_sum "$dir" VmData
agrees cgroup_memory_usage_bytes 'cgroup="/mem"' 5 cat "$dir/memory.current"
agrees cgroup_memory_limit_bytes 'cgroup="/mem"' 0 echo 104857600
# `kernel` is not in memory.stat before 5.18; small figures may still be 0 in the kernel's per-CPU parts
for key in anon slab kernel; do
	want=$(keyed "$dir/memory.stat" "$key")
	[ "${want:-0}" -eq 0 ] ||
		agrees cgroup_memory_bytes "cgroup=\"/mem\",type=\"$key\"" 5 keyed "$dir/memory.stat" "$key"
done

dir=$(new_cgroup oom)
echo 25165824 >"$dir/memory.max"
echo 0 >"$dir/memory.swap.max" 2>/dev/null
in_cgroup "$dir" tail /dev/zero &
wait $! && fail "a process outlived its limit"
wait_for 10 at_least oom_kills_total 'cgroup="/oom"' 1 || fail "no OOM kill is counted"
agrees oom_kills_total 'cgroup="/oom"' 0 keyed "$dir/memory.events" oom_kill
at_least reclaims_total 'cgroup="/oom"' 1 || fail "no reclaim is seen before an OOM kill"
at_least reclaim_latency_seconds_count 'cgroup="/oom"' 1 || fail "no latency of a reclaim"
recorded() { cat /var/lib/waveos/runs/*/events.jsonl | grep oom-kill | grep -q '"comm":"tail"'; }
wait_for 10 recorded || fail "no record of the victim"
