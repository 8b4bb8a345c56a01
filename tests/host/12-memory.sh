#!/bin/bash
# Memory of a cgroup against the kernel's own figures: sizes of processes, what is charged, growth of the
# heap, reclaim under a limit, and an OOM kill with its victim.
. "$(dirname "$0")/lib.sh"

# any_figure PATH NAME: a figure of a cgroup of either hierarchy, the v2 one where both have the path
any_figure() {
	rows | jq --arg p "$1" --arg n "$2" \
		'[.rows[] | select(.cgroup == $p)] | sort_by(.hierarchy == "v1") | [.[].signals[$n]][0] // 0'
}

# the hierarchy that has the memory controller, and its file names
if [ -n "$CGROUP2" ] && grep -qw memory "$CGROUP2/cgroup.controllers"; then
	memory=$CGROUP2 usage=memory.current limit=memory.max stat=memory.stat
	anon_key=anon swap_limit=memory.swap.max oom_file=memory.events
	grep -qw memory "$CGROUP2/cgroup.subtree_control" || skip "the memory controller is not enabled below the root"
else
	memory=$(awk '$3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ {print $2; exit}' /proc/self/mounts)
	[ -n "$memory" ] || skip "no hierarchy has the memory controller"
	usage=memory.usage_in_bytes limit=memory.limit_in_bytes stat=memory.stat
	anon_key=total_rss swap_limit=memory.memsw.limit_in_bytes oom_file=memory.oom_control
fi

# group NAME: makes a cgroup with the memory controller, removed at the end; sets $dir
group() {
	dir=$memory/$1
	mkdir "$dir" || fail "cannot make $dir"
	at_exit cgroup_remove "$dir"
}
# proc_sum DIR FIELD: sum over the processes of a cgroup of a field of /proc/<pid>/status, in bytes
proc_sum() {
	while read -r pid; do cat "/proc/$pid/status"; done <"$1/cgroup.procs" |
		awk -v f="$2:" '$1 == f {s += $2} END {printf "%d", s * 1024}'
}
heap_sum() {
	while read -r pid; do grep -F '[heap]' "/proc/$pid/maps" || true; done <"$1/cgroup.procs" |
		awk '{split($1, a, "-"); print "0x" a[2], "0x" a[1]}' |
		while read -r end start; do echo $((end - start)); done | awk '{s += $1} END {printf "%d", s}'
}
at_least() { [ "$(any_figure "$1" "$2")" -ge "$3" ]; }
# agrees PATH FIGURE PERCENT COMMAND...: the published figure comes to agree with what the command prints
close_to() {
	got=$(any_figure "$1" "$2") want=$("${@:4}")
	within "$got" "$want" "$3"
}
agrees() {
	wait_until 6 close_to "$@" || fail "$2 of $1 is $got, the kernel says $want"
	echo "$2 of $1: $got against $want"
}
keyed() { awk -v k="$2" '$1 == k {print $2}' "$1"; }
# a process that grows by as much as each line of its input says (MiB), touching what it got
cat >"$TMP/grow.py" <<'PY'
import sys
open(sys.argv[1], "w").close()
kept = []
for line in iter(sys.stdin.readline, ""):
    kept.append(bytearray(b"x") * (int(line) << 20))
PY

agent_start --set agent.tick=200ms

# sizes of several processes, and what they are charged for
name=wvtest-mem-$$
group "$name"
cgroup_run "$dir" stress-ng --vm 2 --vm-bytes 48M --vm-hang 0 --vm-method zero-one --timeout 60 --quiet &
at_exit kill $!
settled() { [ "$(proc_sum "$dir" VmRSS)" -gt $((48 << 20)) ] && at_least "/$name" mem_rss_bytes $((48 << 20)); }
wait_until 15 settled || fail "mem_rss_bytes $(any_figure "/$name" mem_rss_bytes), kernel $(proc_sum "$dir" VmRSS)"
# stress-ng has filled its memory when the processes' size stands still
still() {
	local a b
	a=$(proc_sum "$dir" VmRSS)
	read -rt 0.3 <> <(:) || true
	b=$(proc_sum "$dir" VmRSS)
	[ "$a" = "$b" ]
}
wait_until 15 still || fail "the load does not settle"
agrees "/$name" mem_rss_bytes 5 proc_sum "$dir" VmRSS
agrees "/$name" mem_heap_data_bytes 2 proc_sum "$dir" VmData
agrees "/$name" mem_heap_brk_bytes 2 heap_sum "$dir"
agrees "/$name" mem_anon_bytes 5 keyed "$dir/$stat" $anon_key
agrees "/$name" mem_usage_bytes 5 cat "$dir/$usage"
cgroup_remove "$dir"

# growth: what a process gained since it was first seen, not what it started with
name=wvtest-grow-$$
group "$name"
echo $((96 << 20)) >"$dir/$limit"
mkfifo "$TMP/orders"
cgroup_run "$dir" python3 "$TMP/grow.py" "$TMP/ready" <"$TMP/orders" &
exec 9>"$TMP/orders"
started() { [ -e "$TMP/ready" ] && at_least "/$name" mem_rss_bytes "$(($(proc_sum "$dir" VmRSS) * 95 / 100))"; }
wait_until 10 started || fail "the process is not seen"
before=$(any_figure "/$name" mem_heap_growth_bytes)
[ "$before" -lt "$(any_figure "/$name" mem_heap_data_bytes)" ] || fail "what a process starts with counts as growth"
echo 40 >&9
wait_until 5 at_least "/$name" mem_heap_growth_bytes $((before + (40 << 20))) || fail "growth by 40 MiB is not seen"
growth=$(($(any_figure "/$name" mem_heap_growth_bytes) - before))
echo "mem_heap_growth_bytes: $growth after growing by $((40 << 20))"
within "$growth" $((40 << 20)) 5 || fail "growth is off"
[ "$(any_figure "/$name" mem_limit_bytes)" -eq $((96 << 20)) ] || fail "limit is $(any_figure "/$name" mem_limit_bytes)"
exec 9>&-
wait $! || fail "the growing process failed"
empty() { [ "$(any_figure "/$name" mem_rss_bytes)" -eq 0 ]; }
wait_until 5 empty || fail "processes that ended still have a size: $(any_figure "/$name" mem_rss_bytes)"
cgroup_remove "$dir"

# a task is in the row of its v2 cgroup where it has one
if [ -n "$CGROUP2" ] && [ "$memory" != "$CGROUP2" ]; then
	name=wvtest-both-$$
	group "$name"
	both=$(cgroup_make "$name-v2")
	at_exit cgroup_remove "$both"
	cgroup_run "$dir" sh -c "echo \$\$ >$both/cgroup.procs; exec sleep 60" &
	wait_until 5 at_least "/$name-v2" mem_rss_bytes 500000 || fail "a task of a v2 cgroup is not in its row"
	agrees "/$name-v2" mem_rss_bytes 5 proc_sum "$both" VmRSS
	[ "$(any_figure "/$name" mem_rss_bytes)" -eq 0 ] || fail "a task is in two rows"
	cgroup_remove "$both"
fi

# reclaim: a cgroup that reads more than it may keep has to give pages back
name=wvtest-reclaim-$$
group "$name"
echo $((32 << 20)) >"$dir/$limit"
# clean pages, charged to the reader: dirty ones may end in an OOM kill, v1 does not wait for the disk
dd if=/dev/zero "of=$TMP/big" bs=1M count=96 conv=fsync status=none
at_exit rm -f "$TMP/big"
dd "if=$TMP/big" iflag=nocache count=0 status=none
cgroup_run "$dir" dd "if=$TMP/big" of=/dev/null bs=1M status=none
wait_until 5 at_least "/$name" mem_reclaims 1 || fail "no reclaim is seen at a cgroup's limit"
reclaims=$(any_figure "/$name" mem_reclaims)
count=$(rows | jq --arg p "/$name" '[.rows[] | select(.cgroup == $p)][0].histograms.reclaim_latency.count')
[ "$count" -ge "$reclaims" ] || fail "$reclaims reclaims, but $count latencies"
[ "$(any_figure "/$name" mem_reclaim_ns)" -gt 0 ] || fail "reclaim took no time"
echo "reclaims: $reclaims in $(any_figure "/$name" mem_reclaim_ns) ns"
cgroup_remove "$dir"

# an OOM kill: counted once, in the victim's cgroup, with a record of who it was
name=wvtest-oom-$$
group "$name"
echo $((24 << 20)) >"$dir/$limit"
[ "$memory" = "$CGROUP2" ] && echo 0 >"$dir/$swap_limit"
[ -e "$dir/$swap_limit" ] && [ "$memory" != "$CGROUP2" ] && echo $((24 << 20)) >"$dir/$swap_limit"
# shellcheck disable=SC2016
echo 200 | cgroup_run "$dir" sh -c 'echo $$ >"$0"; exec python3 "$@"' "$TMP/victim" "$TMP/grow.py" "$TMP/ready" &
wait $! && fail "the process outlived its limit"
victim=$(cat "$TMP/victim")
wait_until 5 at_least "/$name" mem_oom_kills 1 || fail "no OOM kill is seen"
want=$(keyed "$dir/$oom_file" oom_kill)
[ "$(any_figure "/$name" mem_oom_kills)" -eq "$want" ] || fail "$(any_figure "/$name" mem_oom_kills) OOM kills, the kernel says $want"
recorded() {
	cat "$ROOT"/var/lib/waveos/runs/*/events.jsonl | jq --arg p "/$name" --argjson v "$victim" \
		'select(.type == "oom-kill" and .cgroup == $p and .pid == $v and .comm == "python3")' >"$TMP/oom.json"
	[ -s "$TMP/oom.json" ]
}
wait_until 5 recorded || fail "no record of the victim $victim"
rss=$(jq '.rss_bytes // .peak_rss_bytes' "$TMP/oom.json")
echo "victim: $(jq -c '{pid, comm, rss_bytes, total_vm_bytes}' "$TMP/oom.json")"
[ "$rss" -gt $((16 << 20)) ] || fail "the victim's size is $rss"
agent_stop
