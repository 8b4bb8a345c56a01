#!/bin/bash
# Data contracts: artifacts of every older schema_version pass the published schemas and are read by the verbs; a damaged
# one does not pass; the types of records that the code writes are those that are documented.
set -euo pipefail
: "${BIN:?}"
command -v jq >/dev/null || { echo "no jq"; exit 77; }
python3 -c 'import jsonschema' 2>/dev/null || { echo "no python3-jsonschema"; exit 77; }
check=tests/host/check_contracts.py
status=0
bad() {
	echo "$*"
	status=1
}
for run in tests/fixtures/artifacts/v*/run; do
	python3 $check artifact run_meta.schema.json "$run/run_meta.json" || bad "$run/run_meta.json"
	python3 $check artifact explainability.schema.json "$run/explainability.json" || bad "$run/explainability.json"
	python3 $check events "$run/events.jsonl" || bad "$run/events.jsonl"
	python3 $check metrics "$run/metrics.csv" || bad "$run/metrics.csv"
	python3 $check planted "$run" || bad "$run: a planted fault"
	# read for ever
	"$BIN" report "$run" --json | jq -e '.decisions | length == 4' >/dev/null || bad "report does not read $run"
	"$BIN" report "$run" | grep 'busy\|slow' >/dev/null || bad "report of $run says nothing of its decisions"
	"$BIN" policy replay "$run" | grep '3 decisions, the same as were made live' >/dev/null || bad "policy replay does not read $run"
	# and in the newest form
	tmp=$(mktemp -d)
	"$BIN" migrate "$run" --output "$tmp/new" --root "$tmp/root" >/dev/null || bad "migrate $run"
	jq -es 'all(.[]; .schema_version == 2)' "$tmp/new/events.jsonl" >/dev/null || bad "$run is not migrated"
	python3 $check events "$tmp/new/events.jsonl" || bad "$run, migrated"
	"$BIN" policy replay "$tmp/new" | grep '3 decisions, the same as were made live' >/dev/null || bad "policy replay of $run, migrated"
	jq -es --arg h "$(sha256sum "$tmp/new/events.jsonl" | cut -d' ' -f1)" 'any(.[]; .type == "transformation" and .to_sha256 == $h)' \
		"$tmp/root/var/lib/waveos/log/events.jsonl" >/dev/null || bad "the log does not say that $run was migrated"
	rm -rf "$tmp"
done

python3 - <<'PY' || bad "types of records"
import glob
import re
import sys

documented = re.findall(r'^WV_RECORD_TYPE\("([a-z-]+)"', open("include/waveos/events.def").read(), re.M)
sources = {p: open(p).read() for p in glob.glob("user/*/*.c")}
used = {}
for path, text in sources.items():
    # the type is the argument after the first one, and after a run's id in wv_event(): a text or a choice of two
    for call in re.finditer(r'(?:->|\b)(?:record|on_record|wv_record|wv_kube_record|tell_log|append|wv_event|wv_event_device)\(([^;]*?)\);', text, re.S):
        for arg in re.split(r",\s*", call.group(1))[1:5]:
            for name in re.findall(r'(?:^|\? |: )"([a-z]+(?:-[a-z]+)*)"', arg):
                used.setdefault(name, path)
    # types by phase of a breaker
    for table in re.finditer(r"transition_types\[[^;]*?\{(.*?)\};", text, re.S):
        for name in re.findall(r'"([a-z-]+)"', table.group(1)):
            used.setdefault(name, path)
# types that have a name of their own
for path in glob.glob("user/*/*.h"):
    for macro, name in re.findall(r'#define (WV_[A-Z_]+) "([a-z]+(?:-[a-z]+)+)"', open(path).read()):
        for source, text in sources.items():
            if re.search(r"(wv_event\([^;]*|record_type\([^)]*\)\s*\{[^}]*)\b" + macro + r"\b", text, re.S):
                used.setdefault(name, source)
bad = [f"{p}: type '{t}' is not in events.def" for t, p in used.items() if t not in documented]
bad += [f"events.def: nothing writes '{t}'" for t in documented if t not in used]
bad += [f"events.def: '{t}' is there twice" for t in set(documented) if documented.count(t) > 1]
print("\n".join(bad))
sys.exit(bool(bad))
PY
exit $status
