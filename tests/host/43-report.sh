#!/bin/bash
# report: a recorded run as Markdown, page and JSON; figures against what top showed.
. "$(dirname "$0")/lib.sh"

rc=0
"$BIN" report latest --root "$ROOT" 2>"$TMP/err" || rc=$?
[ $rc -eq 1 ] && [ "$(wc -l <"$TMP/err")" -eq 1 ] || fail "no run: status $rc, $(cat "$TMP/err")"
rc=0
"$BIN" report --root "$ROOT" 2>/dev/null || rc=$?
[ $rc -eq 2 ] || fail "no operand: status $rc"

name=wvtest-report-$$
dir=$(cgroup_make "$name")
at_exit cgroup_remove "$dir"
agent_start --set agent.tick=200ms --set record.interval=1s
cgroup_run "$dir" timeout 2.5 sh -c 'while :; do :; done' || true
cgroup_run "$dir" sh -c 'kill -SEGV $$' || true
recorded() {
	"$BIN" report latest --root "$ROOT" --json |
		jq -e --arg p "/$name" '[.cgroups[] | select(.cgroup == $p and .hierarchy == "v2")][0] |
			.cpu_usage_ns > 1e8 and .err_fatal_signals >= 1' >/dev/null
}
# also of a run that goes on
wait_until 10 recorded || fail "run that goes on: $("$BIN" report latest --root "$ROOT" --json | jq -c .samples)"
want=$(figure "/$name" cpu_usage_ns)
run=$("$BIN" status --json --root "$ROOT" | jq -r .run_id)
agent_stop

"$BIN" report "$run" --root "$ROOT" --html "$TMP/r.html" --markdown "$TMP/r.md"
got=$("$BIN" report "$run" --root "$ROOT" --json |
	jq --arg p "/$name" '[.cgroups[] | select(.cgroup == $p and .hierarchy == "v2")][0].cpu_usage_ns')
within "$got" "$want" 3 || fail "report says $got ns, top said $want"
grep -q "^# Run $run\$" "$TMP/r.md" || fail "Markdown: $(head -3 "$TMP/r.md")"
grep -q "| /$name |" "$TMP/r.md" || fail "the cgroup is not in the summary"
grep -q 'fatal-signal' "$TMP/r.md" || fail "the fatal signal is not in the summary"

# the page: well-formed, loads nothing, runs nothing, has its plots
python3 - "$TMP/r.html" "/$name" <<'PY' || fail "page"
import sys
from html.parser import HTMLParser

VOID = {"meta", "line", "br"}


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.count, self.text = [], {}, ""

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        for key, value in attrs:
            assert key not in ("src", "href", "srcset") and not key.startswith("on"), (tag, key, value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, data):
        self.text += data


page = Page()
page.feed(open(sys.argv[1], encoding="utf-8").read())
page.close()
assert not page.open, page.open
assert "script" not in page.count and "link" not in page.count and "img" not in page.count, page.count
assert page.count.get("svg", 0) >= 2 and page.count.get("path", 0) >= 2, page.count
assert page.count.get("figure") == 5, page.count
assert sys.argv[2] in page.text
PY
# a path to a folder is as good as an id
"$BIN" report "$ROOT/var/lib/waveos/runs/$run" --json | jq -e .schema_version >/dev/null || fail "by folder"
rc=0
"$BIN" report "$run" --root "$ROOT" --html "$TMP/none/r.html" 2>"$TMP/err" || rc=$?
[ $rc -ne 0 ] && [ "$(wc -l <"$TMP/err")" -eq 1 ] || fail "unwritable: status $rc, $(cat "$TMP/err")"
