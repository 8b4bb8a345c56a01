#!/bin/bash
# What displays GPU figures, on a running agent whose page is planted (no GPU, no worker of GPUs): gpu info, status, top,
# metrics in two formats and the API tell the same; without a page nothing is told.
. "$(dirname "$0")/lib.sh"
PLANT=$(dirname "$BIN")/tests/test_gpu_view
[ -x "$PLANT" ] || skip "$PLANT is not built"
port=$((20000 + $$ % 10000))
url=http://127.0.0.1:$port
agent_start --set agent.tick=200ms --set gpu.enabled=off --set "metrics.listen=127.0.0.1:$port"

rc=0
"$BIN" gpu info --root "$ROOT" >"$TMP/out" 2>&1 || rc=$?
[ $rc -eq 1 ] || fail "gpu info without a page: $rc, $(cat "$TMP/out")"
curl -sf "$url/api/v1/gpu" | jq -e '.available == false and (.reason | length > 0)' >/dev/null || fail "API without a page"
curl -sf "$url/metrics" >"$TMP/metrics"
! grep -q '^waveos_gpu_' "$TMP/metrics" || fail "figures without a page"
! "$BIN" status --root "$ROOT" | grep '^gpu ' || fail "status without a page"

"$PLANT" plant "$ROOT/run/waveos" || fail "cannot plant"
"$BIN" gpu info --root "$ROOT" >"$TMP/out" || fail "gpu info: $?"
for words in 'GPU-planted <img' 'less than was asked for: it cost more' 'input (the data loader is too slow)' 'process 4242' '50.0 %'; do
	grep -qF "$words" "$TMP/out" || fail "gpu info does not say '$words': $(cat "$TMP/out")"
done
same='.devices[0] | .uuid == "GPU-planted" and .bottleneck == "input" and .meter.temperature_c == null and
	.recent.kernel_ns + .recent.exposed_ns + .recent.memory_ns + .recent.idle_ns == .recent.window_ns'
"$BIN" gpu info --json --root "$ROOT" | jq -e "$same" >/dev/null || fail "gpu info --json"
curl -sf "$url/api/v1/gpu" | jq -e ".available and ($same)" >/dev/null || fail "the API"
"$BIN" status --json --root "$ROOT" | jq -e ".gpu | $same" >/dev/null || fail "status --json"
"$BIN" top --json --once --root "$ROOT" | jq -e ".gpu | $same" >/dev/null || fail "top --json"
line='1 GPUs, 1 processes: 0 kernel 50 %, idle 50 % (input)'
"$BIN" status --root "$ROOT" | grep -F "$line" >/dev/null || fail "status: $("$BIN" status --root "$ROOT")"
"$BIN" top --once --root "$ROOT" | grep -F "$line" >/dev/null || fail "top --once"

# the web worker mapped the page before there was one
shown() {
	curl -sf "$url/metrics" >"$TMP/metrics"
	grep -qF 'waveos_gpu_dataloader_stall_ratio{device="0",uuid="GPU-planted"} 0.5' "$TMP/metrics"
}
wait_until 10 shown || fail "metrics: $(grep gpu "$TMP/metrics")"
grep -q '^waveos_gpu_power_watts{.*} 300$' "$TMP/metrics" || fail "power: $(grep power "$TMP/metrics")"
grep -q '^waveos_gpu_step_seconds{cgroup="/"} 0.02$' "$TMP/metrics" || fail "steps: $(grep step_seconds "$TMP/metrics")"
! grep -q '^waveos_gpu_temperature' "$TMP/metrics" || fail "a meter that the device does not tell has a series"
curl -sf -H 'Accept: application/openmetrics-text' "$url/metrics" >"$TMP/open"
grep -qx '# TYPE waveos_gpu_kernel_seconds counter' "$TMP/open" || fail "OpenMetrics: $(grep gpu "$TMP/open")"
if command -v promtool >/dev/null; then
	promtool check metrics <"$TMP/metrics" >"$TMP/promtool" 2>&1 || ! grep -i gpu "$TMP/promtool" || fail "promtool"
fi
