# Pressure and throttling of a v2 cgroup against its own files.
# limit: 90
. /payload/case.sh

metrics() { wget -q -O - http://127.0.0.1:9850/metrics; }
metric() { metrics | awk -v s="waveos_$1{$2}" '$1 == s { print $2; found = 1 } END { if (!found) print 0 }'; }
at_least() { awk -v a="$(metric "$1" "$2")" -v b="$3" 'BEGIN { exit !(a >= b) }'; }
within() { awk -v a="$1" -v b="$2" -v p="$3" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(b > 0 && d <= b * p / 100) }'; }
close() { within "$(metric "$1" "$2")" "$3" "$4"; }
agrees() { wait_for 15 close "$@" || fail "$1{$2} is $(metric "$1" "$2"), the kernel says $3"; }
# total FILE LINE: seconds of a pressure file
total() { awk -v l="$2" '$1 == l { sub("total=", "", $NF); printf "%.6f", $NF / 1e6 }' "$1"; }

"$BIN" attach --for 60s --set agent.tick=500ms --set collect.files_interval=1s 2>"$CASE_DIR/log" &
wait_for 30 metrics || fail "no metrics: $(tail -n 1 "$CASE_DIR/log")"

dir=$(new_cgroup squeezed)
echo "20000 100000" >"$dir/cpu.max"
in_cgroup "$dir" timeout 4 sh -c 'while :; do :; done'
agrees cgroup_cpu_throttled_periods_total 'cgroup="/squeezed"' "$(awk '$1 == "nr_throttled" { print $2 }' "$dir/cpu.stat")" 0
agrees cgroup_cpu_periods_total 'cgroup="/squeezed"' "$(awk '$1 == "nr_periods" { print $2 }' "$dir/cpu.stat")" 5
agrees cgroup_cpu_throttled_seconds_total 'cgroup="/squeezed"' \
	"$(awk '$1 == "throttled_usec" { print $2 / 1e6 }' "$dir/cpu.stat")" 1
[ -r "$dir/cpu.pressure" ] || skip "this kernel has no pressure files in cgroups"
agrees pressure_stalled_seconds_total 'cgroup="/squeezed",resource="cpu",kind="some"' "$(total "$dir/cpu.pressure" some)" 5
agrees pressure_stalled_seconds_total 'cgroup="/",resource="cpu",kind="some"' "$(total /proc/pressure/cpu some)" 10
