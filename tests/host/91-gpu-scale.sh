#!/bin/bash
# limit: 60
# A real training's intervals, and what the simulator makes of them: sums hold, bounds hold, what is no file of intervals is refused.
. "$(dirname "$0")/lib.sh"
python=/usr/bin/python3
"$python" -c 'import torch' 2>/dev/null || skip "python3-torch is not installed"
command -v jq >/dev/null || skip "no jq"
top=$(realpath "$(dirname "$0")/../..")
cd "$TMP" || exit 1
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$top/gpu/python WAVEOS_GPU_INTERVALS=iv.json WAVEOS_TUNE_STEPS=steps.jsonl WAVEOS_GPU_DEBUG=1 "$python" \
	"$top/tests/gpu/scripts/train_mlp.py" --decode-ms 0 --features 512 --hidden 1024 --accumulate 2 --steps 45 >out 2>err || fail "$(cat err)"
[ ! -s err ] || fail "$(cat err)"
"$python" - <<'PY' || fail "$(cat iv.json)"
import json, statistics
iv = json.load(open("iv.json"))
steps = [json.loads(row) for row in open("steps.jsonl")]
ends = [s["end_ns"] for s in steps if "step" in s]
# both told of the same steps
median = statistics.median(b - a for a, b in zip(ends[4:35], ends[5:36]))
assert abs(iv["step_ns"] - median) < 0.25 * median, (iv["step_ns"], median)
assert iv["accumulate"] == 2 and iv["device"] == "cpu" and iv["steps"] == 30
assert min(iv["forward_ns"], iv["backward_ns"], iv["optimizer_ns"]) > 0
parts = 2 * (iv["forward_ns"] + iv["backward_ns"]) + iv["optimizer_ns"] + iv["other_ns"]
assert parts >= iv["step_ns"] and parts < 1.3 * iv["step_ns"], parts
ready = [g["ready_ns"] for g in iv["gradients"]]
assert ready == sorted(ready) and ready[-1] <= iv["backward_ns"] and len(ready) == 4
# all parameters, four bytes each; the last layer's are ready first
assert sum(g["bytes"] for g in iv["gradients"]) == 4 * (512 * 1024 + 1024 + 1024 * 4 + 4)
assert iv["gradients"][-1]["bytes"] in (4 * 512 * 1024, 4 * 1024)
PY
scale() { "$BIN" gpu scale iv.json --json "$@"; }
[ "$(scale | jq -c '[.simulated, (.rows | map(.devices)), (.rows | all(.step_ns == .compute_ns + .exposed_ns + .wait_ns and .efficiency <= 1))]')" = '[true,[2,4,8],true]' ] ||
	fail "$(scale)"
# a link that takes no time hides all; one that is slow is all there is
[ "$(scale --link 1000T --latency 1ns --contention 0% | jq '.rows | all(.exposed_ns < 1000)')" = true ] || fail "$(scale --link 1000T)"
[ "$(scale --link 1M | jq '.rows | all(.efficiency < 0.2)')" = true ] || fail "$(scale --link 1M)"
[ "$(scale | jq '[.rows[].step_ns] | . == sort')" = true ] || fail "more devices, and a shorter step: $(scale)"
"$BIN" gpu scale iv.json | grep -q 'no measurement' || fail "it is not said that it is simulated"
for bad in '{}' '[]' '{"format":"waveos-intervals"}' "$(jq -c '.gradients[0].bytes = -1' iv.json)" "$(jq -c '.gradients[0].ready_ns = 9000000000' iv.json)"; do
	echo "$bad" >bad.json
	status=0
	"$BIN" gpu scale bad.json >out 2>&1 || status=$?
	[ $status -eq 2 ] || fail "$bad: status $status, $(cat out)"
done
for option in "--devices 1" "--devices 2,,4" "--link 0" "--zero 3"; do
	status=0
	# shellcheck disable=SC2086
	"$BIN" gpu scale iv.json $option >out 2>&1 || status=$?
	[ $status -eq 2 ] || fail "$option: status $status"
done
