# Pressure and throttling of a v2 cgroup against its own files.
# limit: 150
. /payload/case.sh

metrics() { wget -q -O - http://127.0.0.1:9850/metrics; }
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
throttled() { awk '$1 == "throttled_usec" { printf "%.6f", $2 / 1e6 }' "$dir/cpu.stat"; }
# total FILE LINE: seconds of a pressure file
total() { awk -v l="$2" '$1 == l { sub("total=", "", $NF); printf "%.6f", $NF / 1e6 }' "$1"; }

"$BIN" attach --for 140s --set agent.tick=500ms --set collect.files_interval=1s 2>"$CASE_DIR/log" &
wait_for 30 metrics || fail "no metrics: $(tail -n 1 "$CASE_DIR/log")"

dir=$(new_cgroup squeezed)
echo "20000 100000" >"$dir/cpu.max"
in_cgroup "$dir" timeout 4 sh -c 'while :; do :; done'
agrees cgroup_cpu_throttled_periods_total 'cgroup="/squeezed"' 5 keyed "$dir/cpu.stat" nr_throttled
agrees cgroup_cpu_periods_total 'cgroup="/squeezed"' 5 keyed "$dir/cpu.stat" nr_periods
agrees cgroup_cpu_throttled_seconds_total 'cgroup="/squeezed"' 5 throttled
[ -r "$dir/cpu.pressure" ] || skip "this kernel has no pressure files in cgroups"
agrees pressure_stalled_seconds_total 'cgroup="/squeezed",resource="cpu",kind="some"' 5 total "$dir/cpu.pressure" some
agrees pressure_stalled_seconds_total 'cgroup="/",resource="cpu",kind="some"' 10 total /proc/pressure/cpu some
