# Three failures at once under one policy, on each kernel: a crash loop takes its domain to mode degraded and, going on,
# to safe; a slow disk with a deep queue takes another to degraded. The kill switch lets all of it go and keeps a third
# rule from acting; armed again all is held. When the loads end, all goes back to normal through half-open.
# limit: 240
. /payload/case.sh

need_module null_blk
rmmod null_blk 2>/dev/null
# each request takes 20 ms, by a timer
modprobe null_blk nr_devices=1 gb=1 queue_mode=2 irqmode=2 completion_nsec=20000000 bs=4096 || skip "no null_blk"
wait_for 10 test -b /dev/nullb0 || fail "no /dev/nullb0"

app=$(new_cgroup app) disk=$(new_cgroup disk) late=$(new_cgroup late)
mkdir -p "$CASE_DIR/etc/waveos"
cat >"$CASE_DIR/etc/waveos/policy.yaml" <<'YAML'
schema_version: 1
name: scenarios
domains:
  - {name: app, scope: {cgroup: /app}}
  - {name: disk, scope: {cgroup: /disk}}
  - {name: late, scope: {cgroup: /late}}
modes:
  - {name: normal}
  - {name: degraded, budgets: [app-small, disk-slow, late-small]}
  - {name: safe, flags: [hold-outputs], budgets: [app-smaller]}
budgets:
  - {name: app-small, domain: app, pids: {max: 77}}
  - {name: app-smaller, domain: app, pids: {max: 55}}
  - {name: disk-slow, domain: disk, pids: {max: 66}, io: {device: /dev/nullb0, read_iops: 4444}}
  - {name: late-small, domain: late, pids: {max: 44}}
rules:
  - name: crash-loop
    domain: app
    if: "delta(task_crash_loops) > 0"
    clear: "delta(err_exits_nonzero, 1s) == 0"
    clear_for: 1s
    half_open: 1s
    then: [mode degraded, alert]
  - name: crashes-on
    domain: app
    if: "delta(err_exits_nonzero, 2s) > 0"
    for: 2s
    clear: "delta(err_exits_nonzero, 1s) == 0"
    clear_for: 1s
    half_open: 1s
    then: [mode safe, alert]
  - name: saturated
    domain: disk
    if: "mean(io_latency) > 5ms and io_inflight > 2"
    for: 1s
    clear: "count(io_latency) == 0"
    clear_for: 1s
    half_open: 1s
    then: [mode degraded, alert]
  - name: busy
    domain: late
    if: "rate(cpu_usage_ns) > 5%"
    clear: "rate(cpu_usage_ns) < 2%"
    clear_for: 1s
    half_open: 1s
    then: [mode degraded, alert]
YAML
"$BIN" attach --root "$CASE_DIR" --set agent.tick=500ms --set metrics.listen= --set task.crash_loop_exits=3 \
	>"$CASE_DIR/log" 2>&1 &
agent=$!
wait_for 90 grep -q 'first figures' "$CASE_DIR/log" || { cat "$CASE_DIR/log"; fail "the agent is not ready"; }

events() { cat "$CASE_DIR"/var/lib/waveos/runs/*/events.jsonl; }
broken() { cat "$CASE_DIR/log"; events | grep -E '"(mode|decision|outcome|kill-switch)"' | cut -c -400 | tail -n 20; fail "$*"; }
mode_is() { grep -q "^WAVEOS_MODE=$2\$" "$CASE_DIR/run/waveos/domains/$1.env"; } # DOMAIN MODE
# decided RULE VERDICT [PATTERN]
decided() { events | grep '"type":"decision"' | grep "\"rule\":\"$1\"" | grep "\"verdict\":\"$2\"" | grep -q "${3:-.}"; }
# DOMAIN FROM TO
modes() { events | grep '"type":"mode"' | grep "\"domain\":\"$1\"" | grep "\"from\":\"$2\"" | grep -q "\"to\":\"$3\""; }
pids_are() { [ "$(cat "$1/pids.max")" = "$2" ]; }
disk_held() { pids_are "$disk" 66 && grep -q 'riops=4444' "$disk/io.max"; }
disk_free() { pids_are "$disk" max && ! grep -q riops=4444 "$disk/io.max"; }
held() { pids_are "$app" 55 && disk_held; }
free() { pids_are "$app" max && pids_are "$late" max && disk_free; }
# shellcheck disable=SC2046
quiet() { kill -9 $(cat "$1/cgroup.procs") 2>/dev/null; ! grep -q . "$1/cgroup.procs"; }

for domain in app disk late; do mode_is $domain normal || broken "$domain is not normal at the start"; done
in_cgroup "$app" sh -c 'while :; do sh -c "exit 3"; usleep 100000; done' &
for i in 0 1 2 3 4 5 6 7; do
	in_cgroup "$disk" dd if=/dev/nullb0 of=/dev/null bs=4k skip=$((i * 30000)) count=30000 iflag=direct 2>/dev/null &
done
wait_for 30 modes app normal degraded || broken "a crash loop does not lead to degraded"
wait_for 30 mode_is app safe || broken "a crash loop that goes on does not lead to safe"
modes app degraded safe || broken "safe did not come after degraded"
grep -q '^WAVEOS_FLAG_HOLD_OUTPUTS=1$' "$CASE_DIR/run/waveos/domains/app.env" || broken "no flag of mode safe"
wait_for 30 mode_is disk degraded || broken "a slow disk with a deep queue does not lead to degraded"
wait_for 20 held || broken "budgets are not held: $(cat "$app/pids.max" "$disk/pids.max" "$disk/io.max")"
decided busy open && broken "a rule tripped without its load"

switch=$CASE_DIR/run/waveos/kill-switch
touch "$switch"
wait_for 20 free || broken "the kill switch lets not go: $(cat "$app/pids.max" "$disk/pids.max" "$disk/io.max")"
in_cgroup "$late" sh -c 'while :; do :; done' &
wait_for 30 decided busy open '"dry_run":true' || broken "nothing is decided and marked while the kill switch is on"
# two samples more, and still nothing is done
tick() { "$BIN" status --json --root "$CASE_DIR" | sed -n "s/.*\"tick\": *\([0-9]*\).*/\1/p" | head -n 1; }
now=$(tick)
later() { [ "$(tick)" -ge $((now + 3)) ]; }
wait_for 20 later || broken "no samples while the kill switch is on"
free || broken "a budget is held while the kill switch is on"
mode_is late normal || broken "a mode changed while the kill switch was on"
rm "$switch"
late_held() { mode_is late degraded && pids_are "$late" 44; }
wait_for 20 late_held || broken "what was decided meanwhile is not done when it is armed again"
wait_for 20 held || broken "budgets are not held again: $(cat "$app/pids.max" "$disk/pids.max" "$disk/io.max")"
{ mode_is app safe && mode_is disk degraded; } || broken "modes after the kill switch"

for dir in "$app" "$disk" "$late"; do wait_for 10 quiet "$dir" || fail "a load does not end"; done
for domain in app disk late; do wait_for 40 mode_is $domain normal || broken "$domain is not normal again"; done
wait_for 20 free || broken "not released: $(cat "$app/pids.max" "$disk/pids.max" "$disk/io.max" "$late/pids.max")"
for rule in crash-loop crashes-on saturated busy; do
	decided $rule half-open || broken "$rule was not half-open"
	wait_for 20 decided $rule closed || broken "$rule is not closed"
	[ "$(events | grep '"type":"decision"' | grep "\"rule\":\"$rule\"" | grep -c '"verdict":"open"')" -eq 1 ] ||
		broken "$rule tripped more than once"
done
kill -TERM "$agent"
gone() { ! kill -0 "$agent" 2>/dev/null; }
wait_for 30 gone || fail "the agent does not end"
"$BIN" policy replay latest --root "$CASE_DIR" || fail "the replay differs"
