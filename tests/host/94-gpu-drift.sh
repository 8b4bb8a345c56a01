#!/bin/bash
# limit: 90
# A real training that was tuned when its input held it back, and saves its state all the time now: the log proposes another tuning,
# once. One that is held back as it was then is left alone.
. "$(dirname "$0")/lib.sh"
python=/usr/bin/python3
"$python" -c 'import torch' 2>/dev/null || skip "python3-torch is not installed"
command -v jq >/dev/null || skip "no jq"
stall=$(realpath "$(dirname "$0")/../gpu/scripts/stall.py")
cd "$TMP" || exit 1
mkdir -p tunings/one tunings/two
for t in one:checkpoint:input two:prep:input; do
	IFS=: read -r name cause expected <<<"$t"
	jq -nc --arg s "$stall" --arg c "$cause" '{command: ["/usr/bin/python3", $s, $c, "{steps}", "--steps", "100000"]}' >"tunings/$name/preregistration.json"
	jq -nc --arg n "$name" --arg b "$expected" '{name: $n, bottleneck_after: $b}' >"tunings/$name/result.json"
done
recorded() { grep -h "\"type\":\"$1\"" "$ROOT"/var/lib/waveos/log/events.jsonl 2>/dev/null || true; }
agent_start --set gpu.enabled=on --set gpu.tunings="$TMP/tunings"
wait_until 10 test -S "$ROOT/run/waveos/gpu.sock" || fail "no socket"
train() { # CAUSE
	"$BIN" gpu run --root "$ROOT" -- "$python" "$stall" "$1" "spans-$1" --steps 100000 >out 2>&1 &
	job=$!
}
end_job() { kill -KILL "$job" 2>/dev/null || true; wait "$job" 2>/dev/null || true; }
at_exit end_job
bottleneck_of() { recorded gpu-bottleneck | jq -r --arg s "pid $job" 'select(.subject == $s) | .after' | tail -n 1; }
is_known() { [ -n "$(bottleneck_of)" ]; }

train checkpoint
proposed() { [ -n "$(recorded gpu-tuning-drift)" ]; }
if "$BIN" gpu info --root "$ROOT" --json | jq -e '.waits_explained == false' >/dev/null; then skip "no BPF here"; fi
wait_until 30 proposed || fail "no proposal: $("$BIN" gpu info --root "$ROOT"; recorded gpu-bottleneck)"
recorded gpu-tuning-drift | head -n 1 | jq -e --arg s "pid $job" --arg d "$TMP/tunings/one" \
	'.subject == $s and .name == "one" and .expected == "input" and .is != "input" and .folder == $d
	 and (.propose | startswith("waveos-bpf gpu tune -f \($d)/spec.yaml -- /usr/bin/python3"))' >/dev/null || fail "$(recorded gpu-tuning-drift)"
end_job

# held back by its input, as then: where the machine itself does not come between
before=$(recorded gpu-tuning-drift | wc -l)
train prep
wait_until 30 is_known || fail "nothing is known: $("$BIN" gpu info --root "$ROOT")"
if [ "$(bottleneck_of)" = input ]; then
	[ "$(recorded gpu-tuning-drift | wc -l)" -eq "$before" ] || fail "proposed for nothing: $(recorded gpu-tuning-drift)"
fi
end_job
agent_stop
