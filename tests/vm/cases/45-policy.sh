# A rule trips on real load, its mode's budget holds the cgroup (memory.high of v2), all is taken back, and the replay of
# the run decides the same, on each kernel.
# limit: 240
. /payload/case.sh

dir=$(new_cgroup work)
mkdir -p "$CASE_DIR/etc/waveos"
cat >"$CASE_DIR/etc/waveos/policy.yaml" <<'YAML'
schema_version: 1
name: guest
domains:
  - {name: work, scope: {cgroup: /work}}
modes:
  - {name: normal}
  - {name: degraded, flags: [no-extras], budgets: [small]}
budgets:
  - {name: small, domain: work, pids: {max: 77}}
rules:
  - name: busy
    domain: work
    if: "rate(cpu_usage_ns) > 10%"
    for: 1s
    clear: "rate(cpu_usage_ns) < 3%"
    clear_for: 1s
    then: [mode degraded, alert]
    half_open: 1s
YAML
"$BIN" policy check --no-machine "$CASE_DIR/etc/waveos/policy.yaml" || fail "policy check"
"$BIN" attach --root "$CASE_DIR" --set agent.tick=500ms --set metrics.listen= >"$CASE_DIR/log" 2>&1 &
wait_for 90 grep -q 'first figures' "$CASE_DIR/log" || { cat "$CASE_DIR/log"; fail "the agent is not ready"; }

env=$CASE_DIR/run/waveos/domains/work.env
mode_is() { grep -q "^WAVEOS_MODE=$1\$" "$env"; }
pids_are() { [ "$(cat "$dir/pids.max")" = "$1" ]; }
mode_is normal || fail "the mode at the start: $(cat "$env")"
in_cgroup "$dir" sh -c 'while :; do :; done' &
wait_for 60 mode_is degraded || fail "the rule did not trip"
wait_for 20 pids_are 77 || fail "pids.max is $(cat "$dir/pids.max") in mode degraded"
# shellcheck disable=SC2046
kill -9 $(cat "$dir/cgroup.procs")
wait_for 60 mode_is normal || fail "the mode is not normal again"
wait_for 20 pids_are max || fail "pids.max is $(cat "$dir/pids.max") in mode normal"
closed() { cat "$CASE_DIR"/var/lib/waveos/runs/*/events.jsonl | grep '"type":"decision"' | grep -q '"verdict":"closed"'; }
wait_for 60 closed || fail "the breaker did not close"
agent=$(cat "$CASE_DIR/run/waveos/lock")
kill -TERM "$agent"
gone() { ! kill -0 "$agent" 2>/dev/null; }
wait_for 30 gone || fail "the agent does not end"
"$BIN" policy replay latest --root "$CASE_DIR" || fail "the replay differs"
