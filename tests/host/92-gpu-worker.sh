#!/bin/bash
# The agent's worker of GPUs with the profiler library in a process on a driver that has no GPU (tests/gpu/fake): what is
# planted is shown by gpu info, metrics and API; a killed worker comes back and the process with it.
# limit: 120
. "$(dirname "$0")/lib.sh"
build=$(dirname "$BIN")
[ -x "$build/gpu/fake_train" ] || skip "make gpu-fakes was not run"
port=$((20000 + RANDOM % 20000))

worker() { pgrep -P "$AGENT" | while read -r p; do grep -q "rw-s.*$ROOT/run/waveos/gpu$" "/proc/$p/maps" 2>/dev/null && echo "$p"; done; }
# info EXPRESSION: a Python expression over `d`, the first device, and `p`, the first process
info() {
	"$BIN" gpu info --root "$ROOT" --json 2>/dev/null | python3 -c "
import json, sys
v = json.load(sys.stdin)
d = (v['devices'] or [None])[0]
p = (v['processes'] or [None])[0]
sys.exit(not ($1))" 2>/dev/null
}

"$BIN" gpu info --root "$ROOT" 2>/dev/null && fail "gpu info without an agent"
agent_start --set gpu.enabled=on --set metrics.listen=127.0.0.1:$port
wait_until 10 test -S "$ROOT/run/waveos/gpu.sock" || fail "no socket"

"$BIN" gpu run --root "$ROOT" --level 2 -- "$build/gpu/fake_train" --steps 20000 --kernel-us 500 --gap-us 300 --nccl-us 100 --tell >"$TMP/out" 2>&1 &
job=$!
at_exit kill $job
wait_until 15 info 'd and p and p["steps"] > 1000 and d["total"]["window_ns"] > 0' || fail "not seen: $("$BIN" gpu info --root "$ROOT")"
# a step is 500 us of kernels and 100 of communication that nothing hides; idle depends on the machine's timers
info '0.95 < d["total"]["kernel_ns"] / d["total"]["exposed_ns"] / 5 < 1.05' || fail "kernel and communication: $("$BIN" gpu info --root "$ROOT" --json)"
info 'd["total"]["kernel_ns"] + d["total"]["exposed_ns"] + d["total"]["memory_ns"] + d["total"]["idle_ns"] == d["total"]["window_ns"]' ||
	fail "the invariant"
info 'sum(d["total"]["idle_cause_ns"].values()) == d["total"]["idle_ns"]' || fail "causes are not the idle time"
# 300 us of sleep for which nobody is to blame
info 'd["total"]["idle_cause_ns"]["unknown"] > d["total"]["window_ns"] * 0.15' || fail "causes"

curl -s "127.0.0.1:$port/metrics" >"$TMP/metrics"
grep -q '^waveos_gpu_kernel_seconds_total{device="0",uuid="GPU-fafafafa' "$TMP/metrics" || fail "no metrics"
awk '/^waveos_gpu_idle_ratio/ {sum += $2} END {exit !(sum > 0.2 && sum < 1)}' "$TMP/metrics" || fail "idle ratio"
curl -s "127.0.0.1:$port/api/v1/gpu" | grep -q '"name":"Fake GPU"' || fail "no API"

# the worker dies: another one comes, and the process finds it
before=$(worker)
[ -n "$before" ] || fail "which one is the worker?"
kill -9 "$before"
wait_until 10 eval '[ -n "$(worker)" ] && [ "$(worker)" != "$before" ]' || fail "no new worker"
wait_until 20 info 'p and p["steps"] > 100 and d["total"]["window_ns"] > 0' || fail "the process is not seen again"

# the process dies in the middle
kill -9 $job
wait $job 2>/dev/null || true
wait_until 10 info 'not v["processes"]' || fail "a dead process is shown"
# a program that tells no steps: they are seen in what repeats on its device
"$BIN" gpu run --root "$ROOT" --level 1 -- "$build/gpu/fake_train" --steps 20000 --kernel-us 20000 --gap-us 10000 >/dev/null 2>&1 &
job=$!
wait_until 20 info 'p and p["step_origin"] == "detected" and p["steps"] == 0 and p["confidence_permille"] >= 400' ||
	fail "no steps were detected: $("$BIN" gpu info --root "$ROOT" --json)"
# a device is idle for 10 ms and what the machine adds, and busy for 20.02
info '30e6 < p["step_ns"] < 36e6' || fail "length of a step: $("$BIN" gpu info --root "$ROOT")"
"$BIN" gpu info --root "$ROOT" | grep -q 'steps of about 3' || fail "text"
kill -9 $job
wait $job 2>/dev/null || true
wait_until 10 info 'not v["processes"]' || fail "a dead process is shown"
# what it did stays counted
info 'd["total"]["window_ns"] > 0' || fail "totals went with it: $("$BIN" gpu info --root "$ROOT" --json 2>&1 | head -c 600)"
agent_stop
