#!/bin/bash
# CPU time, switches and run queue latency of a cgroup against the kernel's own figures of its tasks.
. "$(dirname "$0")/lib.sh"

name=wvtest-cpu-$$
dir=$(cgroup_make "$name")
at_exit cgroup_remove "$dir"
agent_start --set agent.tick=200ms

# two hogs on one CPU: each waits for the other, so there is run queue latency; figures at their end come
# from /proc of the hogs themselves
cat >"$TMP/hog.sh" <<'HOG'
echo "$BASHPID" >"$1/cgroup.procs"
(end=$((SECONDS + 3)); while [ $SECONDS -lt $end ]; do :; done
 cat /proc/self/schedstat >/dev/null
 read -r run delay _ </proc/$BASHPID/schedstat
 awk '/^voluntary|^nonvoluntary/ {print $2}' /proc/$BASHPID/status | xargs echo "$run $delay" >"$2") &
wait
HOG
taskset -c 0 bash "$TMP/hog.sh" "$dir" "$TMP/a" &
a=$!
taskset -c 0 bash "$TMP/hog.sh" "$dir" "$TMP/b" &
wait $a $!
want_cpu=$(awk '{s += $1} END {printf "%.0f", s}' "$TMP/a" "$TMP/b")
want_delay=$(awk '{s += $2} END {printf "%.0f", s}' "$TMP/a" "$TMP/b")
seen() { [ "$(figure "/$name" cpu_usage_ns)" -ge $((want_cpu * 97 / 100)) ]; }
wait_until 5 seen || fail "cpu_usage_ns $(figure "/$name" cpu_usage_ns), kernel $want_cpu"
got_cpu=$(figure "/$name" cpu_usage_ns)
got_delay=$(figure "/$name" cpu_run_delay_ns)
echo "cpu $got_cpu against $want_cpu; run delay $got_delay against $want_delay"
within "$got_cpu" "$want_cpu" 4 || fail "cpu time is off"
within "$got_delay" "$want_delay" 5 || fail "run delay is off"
switches=$(($(figure "/$name" cpu_switch_voluntary) + $(figure "/$name" cpu_switch_involuntary)))
observations=$(rows | jq --arg p "/$name" '[.rows[] | select(.cgroup == $p)][0].histograms.runq_latency.count')
[ "$observations" -gt 0 ] || fail "empty histogram"
within "$observations" "$switches" 10 || fail "$observations latencies, but $switches switches"

# a task that never sleeps must show while it runs
before=$(figure "/$name" cpu_usage_ns)
bash -c "echo \$BASHPID >$dir/cgroup.procs; exec taskset -c 1 timeout 4 sh -c 'while :; do :; done'" &
grows() { [ "$(figure "/$name" cpu_usage_ns)" -gt $((before + 500000000)) ]; }
wait_until 3 grows || fail "a running task does not show"
agent_stop
