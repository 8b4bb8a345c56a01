#!/bin/bash
# limit: 400
# A tuning of a real CPU training with a planted input bottleneck: found, proved, kept as evidence that is worked out again;
# a killed tuner goes on to the same end. Not a GPU result.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip "no jq"
python=/usr/bin/python3
"$python" -c 'import torch' 2>/dev/null || skip "no torch for $python"
export PYTHONDONTWRITEBYTECODE=1
# what a killed tuner leaves is this test's
export TMPDIR=$TMP
train=$(realpath "$(dirname "$0")/../gpu/scripts/train_mlp.py")
tune() { "$BIN" gpu tune --root "$ROOT" "$@"; }
verify() { "$BIN" evidence verify "$@"; }

# bad input
printf 'knobs:\n  loader.worker: default\n' >"$TMP/bad.yaml"
status=0
tune -f "$TMP/bad.yaml" -o "$TMP/bad" -- true 2>"$TMP/err" || status=$?
[ $status -eq 2 ] || fail "exit $status: $(cat "$TMP/err")"
grep -q "bad.yaml:2:3: .*did you mean 'loader.workers'" "$TMP/err" || fail "$(cat "$TMP/err")"
[ ! -e "$TMP/bad" ] || fail "a folder was made for a specification that is wrong"

# Samples take 4 ms of waiting each, as from a slow disk; steps of 8 samples take next to no computing.
cat >"$TMP/tune.yaml" <<S
job:
  name: planted input
  global_batch: 8
start:
  loader.workers: 0
  batch.micro: 8
knobs:
  loader.workers: [0, 2, 4]
  loader.prefetch: [2, 4]
  loader.persistent: [false, true]
  precision: [fp32, bf16]
  compile: [off, default]
limits:
  budget: 150s
  trials: 6
  steps: {warmup: 3, probe: 16, confirm: 20}
S
tune -f "$TMP/tune.yaml" --plan >"$TMP/plan" || fail "$(cat "$TMP/plan")"
grep -q 'loader.workers *0 2 4' "$TMP/plan" || fail "$(cat "$TMP/plan")"

status=0
tune -f "$TMP/tune.yaml" -o "$TMP/none" -- /nonexistent/python 2>"$TMP/err" || status=$?
[ $status -eq 2 ] || fail "a command that is not there: exit $status, $(cat "$TMP/err")"

# a fake of NVML that draws 300 W, where it was built
meter=$(realpath "$(dirname "$BIN")")/gpu/fake/libnvidia-ml.so.1
[ ! -e "$meter" ] || export WAVEOS_NVML_LIBRARY=$meter
command=("$python" "$train" --decode sleep --decode-ms 4 --batch 8 --steps 100000)
tune -f "$TMP/tune.yaml" -o "$TMP/ev" --json -- "${command[@]}" >"$TMP/result" 2>"$TMP/err" || fail "exit $?: $(cat "$TMP/err")"
r() { jq -r "$1" "$TMP/result"; }
[ "$(r .end)" = improved ] || fail "$(cat "$TMP/err" "$TMP/result")"
[ "$(r .bottleneck_before)" = input ] || fail "bottleneck $(r .bottleneck_before)"
[ "$(r '.speedup_low >= 1.5')" = true ] || fail "$(r '[.speedup, .speedup_low]')"
[ "$(r '.list | map(select(.purpose == "baseline" or .purpose == "probe" or .purpose == "rung")) | length <= 6')" = true ] ||
	fail "more trials than allowed"
# the loader comes first, as that is what holds back; what the program ignores is learned, and no part of the result
[ "$(r '.list[1].change | test("loader.workers 0->[24]") and (test("precision|compile") | not)')" = true ] || fail "$(r '[.list[].change]')"
[ "$(r '.change | test("precision|compile")')" = false ] || fail "$(r .change)"
[ "$(r '[.list[].change] | map(select(test("precision"))) | length <= 1')" = true ] || fail "ignored, and tried again: $(r '[.list[].change]')"
cmp <(jq -S .knobs "$TMP/result") <(jq -S . "$TMP/ev/tuned-knobs.json") || fail "tuned-knobs.json is not the result"
jq -e '.files["preregistration.json"] and .files["trials/000/steps.jsonl"]' "$TMP/result" >/dev/null || fail "files are missing"
echo "speed-up $(r .speedup) ($(r .speedup_low) to $(r .speedup_high)), $(r .trials) trials, $(r .runs) runs, $(r '.elapsed_ns / 1e9') s"

[ ! -e "$meter" ] || [ "$(r '.list[0].watts | . > 250 and . < 350')" = true ] || fail "power: $(r '[.list[].watts]')"

# worked out again
[ "$(verify "$TMP/ev" --json | jq -c '[.ok, .finished]')" = '[true,true]' ] || fail "$(verify "$TMP/ev")"
cannot() { # WHAT PATTERN
	local status=0
	verify "$TMP/forged" >"$TMP/out" 2>&1 || status=$?
	[ $status -eq 1 ] || fail "$1: exit $status, $(cat "$TMP/out")"
	grep -qE "$2" "$TMP/out" || fail "$1: $(cat "$TMP/out")"
}
forge() { rm -rf "$TMP/forged"; cp -a "$TMP/ev" "$TMP/forged"; }
forge
jq '.speedup = 9.5' "$TMP/ev/result.json" >"$TMP/forged/result.json"
cannot "a larger speed-up" 'speedup of the result is 9.5'
forge
sed -i 's/times as fast/times as fast!/' "$TMP/forged/report.md"
cannot "another report" 'report.md is not what follows'
forge
steps=$TMP/forged/trials/001/steps.jsonl
last=$(tail -n 1 "$steps" | jq -c '.end_ns += 1')
sed -i '$d' "$steps"
echo "$last" >>"$steps"
cannot "one nanosecond of one step" 'trials/001/steps.jsonl is not the file that it was|is not the trial that this tuner asks for'
forge
sed -i 's/"seed": *[0-9]*/"seed": 99/' "$TMP/forged/trials/001/trial.json"
cannot "another seed" 'is not the trial that this tuner asks for'
forge
sed -i 's/budget: 150s/budget: 151s/' "$TMP/forged/spec.yaml"
cannot "another specification" 'is not the one that was preregistered'
forge
rm -r "$TMP/forged/trials/002"
cannot "a trial that is gone" 'is gone|of the result is'

# killed in the middle: gone on with, nothing is run twice
sed -i 's/loader.workers: \[.*/loader.workers: [0, 4]/; /loader.p/d; /precision/d; /compile/d; s/trials: 6/trials: 3/' "$TMP/tune.yaml"
"$BIN" gpu tune --root "$ROOT" -f "$TMP/tune.yaml" -o "$TMP/killed" -- "${command[@]}" 2>/dev/null &
pid=$!
end_killed() { kill -KILL "$pid" 2>/dev/null || true; }
at_exit end_killed
two_done() { [ -e "$TMP/killed/trials/001/run.json" ]; }
wait_until 60 two_done || fail "no second trial: $(ls "$TMP/killed/trials")"
status=0
tune --resume "$TMP/killed" 2>"$TMP/err" || status=$?
[ $status -eq 2 ] && grep -q 'another process runs this tuning' "$TMP/err" || fail "two at once: exit $status, $(cat "$TMP/err")"
kill -KILL $pid
wait $pid 2>/dev/null || true
training() { grep -lz "^WAVEOS_TUNE_STEPS=$TMP/killed" /proc/[0-9]*/environ 2>/dev/null; }
gone() { ! training >/dev/null; }
wait_until 10 gone || fail "a training goes on for nobody: $(training)"
before=$(cat "$TMP/killed"/trials/00[01]/run.json | sha256sum)
[ "$(verify "$TMP/killed" --json | jq -c '[.ok, .finished]')" = '[true,false]' ] || fail "$(verify "$TMP/killed")"
tune --resume "$TMP/killed" --json >"$TMP/result" 2>"$TMP/err" || fail "exit $?: $(cat "$TMP/err")"
[ "$(cat "$TMP/killed"/trials/00[01]/run.json | sha256sum)" = "$before" ] || fail "a trial was run twice"
[ "$(r .end)" = improved ] || fail "$(cat "$TMP/err")"
[ "$(verify "$TMP/killed" --json | jq .ok)" = true ] || fail "$(verify "$TMP/killed")"

# a training that has nothing to gain stays as it is
sed -e 's/name: .*/name: flat/; s/trials: 3/trials: 2/' "$TMP/tune.yaml" >"$TMP/flat.yaml"
tune -f "$TMP/flat.yaml" -o "$TMP/flat" --json -- "$python" "$train" --decode-ms 0 --hidden 2048 --features 512 --batch 8 --steps 100000 \
	>"$TMP/result" 2>"$TMP/err" || fail "exit $?: $(cat "$TMP/err")"
[ "$(r .end)" = kept ] || fail "$(cat "$TMP/err" "$TMP/result")"
[ "$(verify "$TMP/flat" --json | jq -c '[.ok, .finished, .end]')" = '[true,true,"kept"]' ] || fail "$(verify "$TMP/flat")"


# micro batches of one global batch by the command's own arguments; the large one takes more memory than allowed
cat >"$TMP/oom.yaml" <<S
job: {name: memory, global_batch: 16}
start: {batch.micro: 2}
knobs:
  batch.micro: [2, 4, 16]
limits:
  host_memory: 800M
  trials: 5
  budget: 120s
  steps: {warmup: 2, probe: 8, confirm: 8}
S
hold='import runpy, sys
hold = b"x" * ((int(sys.argv[1]) * 60) << 20)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")'
tune -f "$TMP/oom.yaml" -o "$TMP/oom" --json -- "$python" -c "$hold" '{batch.micro}' "$train" --decode-ms 0 --features 512 --hidden 512 \
	--batch '{batch.micro}' --accumulate '{batch.accumulate}' --steps 100000 >"$TMP/result" 2>"$TMP/err" || fail "exit $?: $(cat "$TMP/err")"
if [ "$(jq .memory_held "$TMP/oom/trials/000/run.json")" = true ]; then
	[ "$(r '[.list[] | select(.status == "oom")] | length >= 1')" = true ] || fail "nothing ran out of memory: $(cat "$TMP/err")"
	r '.list[] | select(.status == "oom") | .change' | grep -q 'batch.micro 2->16' || fail "$(cat "$TMP/err")"
fi
[ "$(r '.knobs["batch.micro"] * .knobs["batch.accumulate"]')" = 16 ] || fail "$(r .knobs)"
cat "$TMP/err"
