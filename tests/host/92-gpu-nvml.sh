#!/bin/bash
# Meters of NVML, from a library that has no GPU (tests/gpu/fake): what it tells is on the page, in gpu info and in
# metrics; where it hangs, crashes, loses a device or is an old one, figures that are not known are not told, and the
# worker does not mind.
# limit: 180
. "$(dirname "$0")/lib.sh"
build=$(dirname "$BIN")
[ -e "$build/gpu/fake/libnvidia-ml.so.1" ] || skip "make gpu-fakes was not run"
port=$((20000 + RANDOM % 20000))
export WAVEOS_NVML_LIBRARY=$build/gpu/fake/libnvidia-ml.so.1 FAKE_NVML_DEVICES=2 FAKE_NVML_FAULT=@$TMP/fault
echo none >"$TMP/fault"

worker() { pgrep -P "$AGENT" | while read -r p; do grep -q "rw-s.*$ROOT/run/waveos/gpu$" "/proc/$p/maps" 2>/dev/null && echo "$p"; done; }
# info EXPRESSION: a Python expression over `v`, the page, and `m`, the meters of its devices
info() {
	"$BIN" gpu info --root "$ROOT" --json 2>/dev/null | python3 -c "
import json, sys
v = json.load(sys.stdin)
m = [d['meter'] for d in v['devices']]
sys.exit(not ($1))" 2>/dev/null
}
metrics() { curl -s "127.0.0.1:$port/metrics" | grep "^waveos_gpu_$1"; }
page() { "$BIN" gpu info --root "$ROOT" --json 2>&1; }

agent_start --set gpu.enabled=on --set metrics.listen=127.0.0.1:$port
wait_until 15 info 'v["nvml"] and len(m) == 2' || fail "no meters: $(page)"
info 'all(x["busy_permille"] == 600 + 10 * i and x["power_mw"] == 300000 + 1000 * i and x["temperature_c"] == 50 + i
	for i, x in enumerate(m))' || fail "figures: $(page)"
info 'm[0]["memory_used_bytes"] == 1 << 30 and m[0]["memory_total_bytes"] == 80 << 30 and m[0]["sm_clock_mhz"] == 1755 and
	m[0]["memory_clock_mhz"] == 2619 and m[0]["throttle"] == 4 and m[0]["pcie_rx_bytes_s"] == 5000000 and
	m[0]["pcie_tx_bytes_s"] == 3000000 and m[0]["ecc_errors"] == 2 and m[1]["ecc_errors"] is None' || fail "figures: $(page)"
info '[d["index"] for d in v["devices"]] == [0, 1] and v["devices"][1]["uuid"].endswith("fafa01")' || fail "identity: $(page)"
wait_until 5 eval 'metrics power_watts | grep -q "device=\"1\".* 301$"' || fail "metrics: $(metrics power)"
metrics 'energy_joules_total{device="0"' >"$TMP/energy" || fail "no energy"
"$BIN" gpu info --root "$ROOT" | grep -q 'busy 60 % memory 1.0 of 80.0 GiB power 300 W 50 C 1755 MHz' || fail "text"

# who reads the library has no rights, and nothing of the worker's
before=$(worker)
child=$(pgrep -P "$before" | head -1)
[ -n "$child" ] || fail "no child reads meters"
grep -q '^CapEff:.*0000000000000000$' "/proc/$child/status" || fail "rights: $(grep Cap "/proc/$child/status")"
[ "$(find "/proc/$child/fd" -type l | wc -l)" -le 4 ] || fail "files: $(ls -l "/proc/$child/fd")"

# a process on device 1 is the same device
"$BIN" gpu run --root "$ROOT" --level 1 -- env FAKE_CUDA_DEVICES=2 "$build/gpu/fake_train" --steps 20000 --devices 2 >/dev/null 2>&1 &
job=$!
at_exit kill $job
wait_until 15 info 'len(m) == 2 and all(d["total"]["window_ns"] > 0 for d in v["devices"]) and m[1]["power_mw"] == 301000' ||
	fail "not the same device: $(page)"
kill $job

# one falls off the bus: the other one's figures stay
echo lost >"$TMP/fault"
wait_until 10 info 'm[0]["power_mw"] is None and m[0]["busy_permille"] is None and m[1]["power_mw"] == 301000 and v["nvml"]' || fail "lost: $(page)"
metrics 'power_watts{device="0"' && fail "a lost device has power"
# meters that answer with an error
echo error >"$TMP/fault"
wait_until 10 info 'm[1]["power_mw"] is None and v["nvml"]' || fail "error: $(page)"
echo none >"$TMP/fault"
wait_until 10 info 'm[0]["power_mw"] == 300000' || fail "not back: $(page)"

# the driver hangs: figures go, the worker goes on
echo block >"$TMP/fault"
wait_until 15 info 'not v["nvml"] and all(x is None for y in m for x in y.values())' || fail "stale figures: $(page)"
metrics power_watts && fail "a series of what is not known"
info 'v["age_ns"] < 3e9' || fail "the worker does not write: $(page)"
[ "$(worker)" = "$before" ] || fail "another worker"
# what hangs is ended from outside, as its deadline would: another one comes when it is time
kill -9 "$child"
echo none >"$TMP/fault"
wait_until 30 info 'v["nvml"] and m[0]["power_mw"] == 300000' || fail "not back: $(page)"
# a library that crashes is not the worker's death
echo crash >"$TMP/fault"
wait_until 15 info 'not v["nvml"]' || fail "crash: $(page)"
[ "$(worker)" = "$before" ] || fail "another worker"
echo none >"$TMP/fault"
wait_until 30 eval 'child=$(pgrep -P "$before" | head -1) && [ -n "$child" ]' || fail "no child after the crash"
agent_stop
wait_until 5 eval '! kill -0 "$child" 2>/dev/null' || fail "a child is left"

# slices have identities of their own, and no power
echo mig >"$TMP/fault"
agent_start --set gpu.enabled=on --set metrics.listen=127.0.0.1:$port
wait_until 15 info 'sorted(d["uuid"][:4] for d in v["devices"]) == ["GPU-", "GPU-", "MIG-", "MIG-"]' || fail "slices: $(page)"
wait_until 5 info 'all(d["meter"]["memory_total_bytes"] == 10 << 30 and d["meter"]["power_mw"] is None and d["index"] is None
	for d in v["devices"] if d["uuid"].startswith("MIG"))' || fail "slices: $(page)"
agent_stop

# an older driver tells less; none at all tells nothing
export WAVEOS_NVML_LIBRARY=$build/gpu/fake/libnvidia-ml-old.so.1
echo none >"$TMP/fault"
agent_start --set gpu.enabled=on
wait_until 15 info 'v["nvml"] and m[0]["energy_mj"] is None and m[0]["throttle"] == 8 and m[0]["power_mw"] == 300000' || fail "old: $(page)"
agent_stop
export WAVEOS_NVML_LIBRARY=/no/such/library
agent_start --set gpu.enabled=on
wait_until 10 info 'not v["nvml"] and not v["devices"]' || fail "none: $(page)"
agent_stop
