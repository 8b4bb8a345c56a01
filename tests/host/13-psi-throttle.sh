#!/bin/bash
# Pressure (PSI) and throttling against the kernel's own files, and that idle cgroups are read seldom.
. "$(dirname "$0")/lib.sh"

# any_figure PATH NAME: a figure of a cgroup of either hierarchy, the v2 one where both have the path
any_figure() {
	rows | jq --arg p "$1" --arg n "$2" \
		'[.rows[] | select(.cgroup == $p)] | sort_by(.hierarchy == "v1") | [.[].signals[$n]][0] // 0'
}

# total FILE LINE: microseconds of a pressure file
total() { awk -v l="$2" '$1 == l {sub("total=", "", $NF); print $NF}' "$1"; }
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
throttled_ns() {
	awk '$1 == "throttled_time" {print $2} $1 == "throttled_usec" {print $2 * 1000}' "$quota/cpu.stat"
}
hog() { cgroup_run "$1" timeout "$2" sh -c 'while :; do :; done' || true; }

agent_start --set agent.tick=200ms --set collect.files_interval=1s

# pressure: two hogs share one CPU
if [ -r /proc/pressure/cpu ]; then
	name=wvtest-psi-$$
	dir=$(cgroup_make "$name")
	at_exit cgroup_remove "$dir"
	if [ -r "$dir/cpu.pressure" ]; then
		for _ in 1 2; do
			cgroup_run "$dir" taskset -c 0 timeout 2 sh -c 'while :; do :; done' &
			pids+=($!)
		done
		wait "${pids[@]}" || true
		want=$(total "$dir/cpu.pressure" some)
		[ "$want" -gt 200000 ] || fail "two tasks on one CPU made no pressure: $want us"
		agrees "/$name" psi_cpu_some_us 2 total "$dir/cpu.pressure" some
		want=$(total "$dir/cpu.pressure" full)
		[ -z "$want" ] || [ "$want" -eq 0 ] || agrees "/$name" psi_cpu_full_us 2 total "$dir/cpu.pressure" full
	fi
	cgroup_remove "$dir"
	agrees / psi_cpu_some_us 2 total /proc/pressure/cpu some
	agrees / psi_mem_some_us 2 total /proc/pressure/memory some
	agrees / psi_io_some_us 2 total /proc/pressure/io some
fi

# throttling: in v2, or in v1 with the same path below the hierarchy that attributes
name=wvtest-quota-$$
if [ -n "$CGROUP2" ] && grep -qw cpu "$CGROUP2/cgroup.subtree_control"; then
	dir=$(cgroup_make "$name")
	at_exit cgroup_remove "$dir"
	echo "20000 100000" >"$dir/cpu.max"
	hog "$dir" 2
	quota=$dir
else
	quota=$(awk '$3 == "cgroup" && $4 ~ /(^|,)cpu(,|$)/ {print $2; exit}' /proc/self/mounts)
	[ -n "$quota" ] || skip "no hierarchy has the cpu controller"
	for c in memory cpu; do
		dir=$(awk -v c=$c '$3 == "cgroup" && $4 ~ "(^|,)" c "(,|$)" {print $2; exit}' /proc/self/mounts)/$name
		[ -d "$dir" ] || mkdir "$dir" || fail "cannot make $dir"
		at_exit cgroup_remove "$dir"
	done
	quota=$quota/$name
	echo 100000 >"$quota/cpu.cfs_period_us"
	echo 20000 >"$quota/cpu.cfs_quota_us"
	bash -c "echo \$BASHPID >$dir/cgroup.procs; echo \$BASHPID >${quota%/*/*}/memory/$name/cgroup.procs
		exec timeout 2 sh -c 'while :; do :; done'" || true
fi
[ "$(throttled_ns)" -gt 0 ] || fail "the load was not throttled"
agrees "/$name" cpu_throttled_ns 1 throttled_ns
agrees "/$name" cpu_throttled_periods 1 keyed "$quota/cpu.stat" nr_throttled
agrees "/$name" cpu_periods 1 keyed "$quota/cpu.stat" nr_periods
agent_stop
