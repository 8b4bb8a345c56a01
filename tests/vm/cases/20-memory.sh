# Memory of a v2 cgroup: sizes of its processes, what is charged, its limit, an OOM kill with the reclaim before it.
# limit: 90
. /payload/case.sh

metrics() { wget -q -O - http://127.0.0.1:9850/metrics; }
# metric NAME LABELS: the value of one series
metric() { metrics | awk -v s="waveos_$1{$2}" '$1 == s { print $2; found = 1 } END { if (!found) print 0 }'; }
at_least() { awk -v a="$(metric "$1" "$2")" -v b="$3" 'BEGIN { exit !(a >= b) }'; }
within() { awk -v a="$1" -v b="$2" -v p="$3" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(b > 0 && d <= b * p / 100) }'; }
# agrees NAME LABELS WANT PERCENT
close() { within "$(metric "$1" "$2")" "$3" "$4"; }
agrees() { wait_for 10 close "$@" || fail "$1{$2} is $(metric "$1" "$2"), the kernel says $3"; }
proc_sum() {
	while read -r pid; do cat "/proc/$pid/status"; done <"$1/cgroup.procs" |
		awk -v f="$2:" '$1 == f { s += $2 } END { printf "%d", s * 1024 }'
}

"$BIN" attach --for 60s --set agent.tick=500ms 2>"$CASE_DIR/log" &
wait_for 30 metrics || fail "no metrics: $(tail -n 1 "$CASE_DIR/log")"

dir=$(new_cgroup mem)
echo 104857600 >"$dir/memory.max"
# dd fills its buffer, then waits for a reader that never reads
in_cgroup "$dir" sh -c 'dd if=/dev/zero bs=40M count=1 2>/dev/null | sleep 50' &
full() { [ "$(proc_sum "$dir" VmRSS)" -ge 41943040 ]; }
wait_for 15 full || fail "the load does not start"
agrees process_memory_bytes 'cgroup="/mem",type="rss"' "$(proc_sum "$dir" VmRSS)" 5
agrees process_memory_bytes 'cgroup="/mem",type="data_vm"' "$(proc_sum "$dir" VmData)" 2
agrees cgroup_memory_usage_bytes 'cgroup="/mem"' "$(cat "$dir/memory.current")" 5
agrees cgroup_memory_limit_bytes 'cgroup="/mem"' 104857600 0
for key in anon slab; do
	agrees cgroup_memory_bytes "cgroup=\"/mem\",type=\"$key\"" \
		"$(awk -v k="$key" '$1 == k { print $2 }' "$dir/memory.stat")" 5
done
at_least cgroup_memory_bytes 'cgroup="/mem",type="kernel"' 4096 || fail "no kernel memory"

dir=$(new_cgroup oom)
echo 25165824 >"$dir/memory.max"
echo 0 >"$dir/memory.swap.max" 2>/dev/null
in_cgroup "$dir" tail /dev/zero &
wait $! && fail "a process outlived its limit"
wait_for 10 at_least oom_kills_total 'cgroup="/oom"' 1 || fail "no OOM kill is counted"
want=$(awk '$1 == "oom_kill" { print $2 }' "$dir/memory.events")
agrees oom_kills_total 'cgroup="/oom"' "$want" 0
at_least reclaims_total 'cgroup="/oom"' 1 || fail "no reclaim is seen before an OOM kill"
at_least reclaim_latency_seconds_count 'cgroup="/oom"' 1 || fail "no latency of a reclaim"
recorded() { cat /var/lib/waveos/runs/*/events.jsonl | grep oom-kill | grep -q '"comm":"tail"'; }
wait_for 10 recorded || fail "no record of the victim"
