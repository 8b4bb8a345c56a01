#!/bin/bash
# gpu profile of a real PyTorch program on the CPU: the planted bottleneck is named, the command's status and output are
# kept, the report's files agree with each other.
# limit: 120
. "$(dirname "$0")/lib.sh"
python=/usr/bin/python3
"$python" -c 'import torch' 2>/dev/null || skip "python3-torch is not installed"
script=$(realpath "$(dirname "$0")/../gpu/scripts/stall.py")
cd "$TMP" || exit 1

while read -r cause want; do
	"$BIN" gpu profile -o "$cause" --json -- "$python" "$script" "$cause" spans --steps 150 >"$cause.json" 2>"$cause.err" ||
		fail "$cause: status $?: $(cat "$cause.err")"
	grep -q '"waits_explained":true' "$cause.json" || skip "no BPF here"
	"$python" - "$cause" "$want" <<'PY' || fail "$cause: $(cat "$cause/profile.md")"
import html.parser, json, sys
cause, want = sys.argv[1:]
p = json.load(open(f"{cause}/profile.json"))
assert json.load(open(f"{cause}.json")) == p
main = p["main_thread"]
parts = main["cause_ns"]
# a machine that has no CPU free for it is what holds it back, whatever was planted
if 2 * parts["runqueue"] > main["total_ns"]:
    want = "cpu"
assert p["bottleneck"] == want, (p["bottleneck"], parts)
assert sum(main["cause_ns"].values()) == main["total_ns"]
assert sum(main["input_ns"].values()) == main["cause_ns"]["input"]
# the whole run is accounted for, but for the last turn
assert 0.9 < main["total_ns"] / (p["end_ns"] - p["begin_ns"]) <= 1, main
trace = json.load(open(f"{cause}/trace.json"))
assert all({"ph", "name", "pid", "tid", "ts"} <= e.keys() for e in trace["traceEvents"])
page = open(f"{cause}/profile.html").read()
html.parser.HTMLParser().feed(page)
assert "http" not in page.replace("http-equiv", ""), "the page loads nothing"
assert f"What holds it back: {want}" in page and f"What holds it back: {want}" in open(f"{cause}/profile.md").read()
PY
done <<'EOF'
prep input
checkpoint checkpoint
host compute
EOF

# the command is the user's: its output and its status are his
out=$("$BIN" gpu profile -o status -- sh -c 'echo out; exit 7' 2>/dev/null) && fail "status is lost"
[ "$out" = out ] || fail "output: $out"
status=0
"$BIN" gpu profile -o status -- sh -c 'exit 7' 2>/dev/null || status=$?
[ $status -eq 7 ] || fail "status $status instead of 7"
status=0
"$BIN" gpu profile -o status -- sh -c 'kill -9 $$' 2>/dev/null || status=$?
[ $status -eq 137 ] || fail "status $status instead of 137"
status=0
"$BIN" gpu profile -o status -- /no/such/command 2>/dev/null || status=$?
[ $status -eq 127 ] || fail "status $status instead of 127"
"$BIN" gpu profile --for 1s -o status -- sleep 60 2>/dev/null || fail "--for: status $?"
status=0
"$BIN" gpu profile -o /dev/null/x -- true 2>err || status=$?
[ $status -eq 2 ] || fail "a folder that cannot be made: status $status"
ls /tmp/waveos-gpu-* 2>/dev/null && fail "folders are left"
# names of a command are no HTML
"$BIN" gpu profile -o status -- true '<script>alert(1)</script>' 2>/dev/null || fail "true"
grep -q '<script' status/profile.html && fail "the page is not escaped"
exit 0
