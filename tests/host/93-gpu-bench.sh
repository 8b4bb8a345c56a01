#!/bin/bash
# The harness of the GPU benchmark on the fakes: stages run, results say that they are none, none gets into the table.
# limit: 300
. "$(dirname "$0")/lib.sh"
build=$(realpath "$(dirname "$BIN")")
bench=$(realpath "$(dirname "$0")/../gpu/bench")
[ -x "$build/gpu/fake_train" ] || skip "make gpu-fakes was not run"

(cd "$bench" && PYTHONDONTWRITEBYTECODE=1 python3 test_stats.py) 2>"$TMP/stats" || fail "statistics: $(cat "$TMP/stats")"
PYTHONDONTWRITEBYTECODE=1 python3 "$bench/run.py" probe overhead-storm accuracy --fake --build "$build" --out "$TMP/out" >"$TMP/log" 2>&1 ||
	fail "$(cat "$TMP/log")"
python3 - "$TMP/out" <<'PY' || fail "$(cat "$TMP/log")"
import json, sys
out = sys.argv[1]
load = lambda name: json.load(open(f"{out}/{name}-1.json"))
assert all(load(s)["fake"] for s in ("probe", "overhead-storm", "accuracy"))
assert load("probe")["result"]["records"] >= 50
a = load("accuracy")["result"]
# a fake device is exact; the loaded machine is not: a sixteenth of a step at each end
assert a["invariant_error"] == 0 and a["overlap_error"] < 0.05, a
PY
if /usr/bin/python3 -c 'import torch, PIL' 2>/dev/null; then
	PYTHONDONTWRITEBYTECODE=1 python3 "$bench/run.py" tune --fake --build "$build" --out "$TMP/out" >"$TMP/log" 2>&1 || fail "$(cat "$TMP/log")"
	PYTHONDONTWRITEBYTECODE=1 python3 "$bench/run.py" preempt --fake --build "$build" --out "$TMP/out" >"$TMP/log" 2>&1 || fail "$(cat "$TMP/log")"
	jq -e '.fake and (.result.released_s | length == 2 and all(. > 0)) and (.result.resumed_s | all(. > 0))' "$TMP/out/preempt-1.json" >/dev/null ||
		fail "$(cat "$TMP/out/preempt-1.json")"
	jq -e '.fake and .result.over_b0 > 0 and (.result.end == "improved" or .result.end == "kept")' "$TMP/out/tune-1.json" >/dev/null ||
		fail "$(cat "$TMP/out/tune-1.json")"
fi
sed 's/<!-- end/x\n&/' "$(dirname "$0")/../../docs/gpu-benchmarks.md" >"$TMP/table.md"
PYTHONDONTWRITEBYTECODE=1 python3 "$bench/run.py" --table "$TMP/out" "$TMP/table.md" || fail "table"
grep -q '%' <(sed -n '/begin of results/,/end of results/p' "$TMP/table.md" | cut -d'|' -f4) && fail "a fake got into the table"
[ "$(grep -c 'not yet measured' "$TMP/table.md")" -ge 15 ] || fail "the table says nothing"
