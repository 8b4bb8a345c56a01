#!/bin/bash
# limit: 240
# The agent's own page in a real Chromium, on a real agent: every view, the keyboard, both themes, accessibility, a
# cgroup with a hostile name, figures against `top --json`, and 1,000 cgroups.
. "$(dirname "$0")/../host/lib.sh"
. "$(dirname "$0")/../host/tools/scale.sh"
. "$(dirname "$0")/npm.sh"
here=$(cd "$(dirname "$0")" && pwd)
CHROMIUM=${CHROMIUM:-$(command -v chromium || true)}
[ -n "$CHROMIUM" ] || skip "chromium is not here (packaging/setup.sh installs it)"
npm_here
export CHROMIUM

# what is vendored is what its project published
vendor=$here/../../user/web/vendor
cmp "$MODULES/uplot/dist/uPlot.iife.min.js" "$vendor/uplot.min.js" || fail "uplot.min.js is not that of npm"
cmp "$MODULES/uplot/dist/uPlot.min.css" "$vendor/uplot.min.css" || fail "uplot.min.css is not that of npm"
cmp "$MODULES/uplot/LICENSE" "$vendor/uplot.LICENSE" || fail "the license of uPlot is not that of npm"

name=wvtest-page-$$
dir=$(cgroup_make "$name")
at_exit cgroup_remove "$dir"
# the parts of a name that a page without care would take for markup
hostile="$name"'-<img src=x onerror=alert(1)>"&'
hostile_dir=$(cgroup_make "$hostile")
at_exit cgroup_remove "$hostile_dir"
many=$(cgroup_make "$name-many")
at_exit rmdir "$many"
at_exit sh -c "rmdir '$many'/g*"

cat >"$TMP/policy.yaml" <<Y
schema_version: 1
name: page-test
domains:
  - {name: planted, scope: {cgroup: "/$name"}}
rules:
  - name: planted-load
    domain: planted
    if: "rate(cpu_usage_ns) > 0.05"
    for: 1s
    clear: "rate(cpu_usage_ns) < 0.01"
    clear_for: 1h
    then: [alert]
    severity: info
    route: test
Y
port=$((20000 + $$ % 10000))
# shellcheck disable=SC2046 # words on purpose
agent_start --set "metrics.listen=127.0.0.1:$port" --set policy.file="$TMP/policy.yaml" $(room_for 1100)
cgroup_run "$dir" timeout 220 sh -c 'while :; do :; done' &

"$BIN" top --json --root "$ROOT" --flat --filter "$name" --interval 1s --count 60 >"$TMP/top" &
top=$!
at_exit kill $top
export PLANT=${O:-build}/tests/test_gpu_view RUN=$ROOT/run/waveos
export URL=http://127.0.0.1:$port NAME=$name HOSTILE=$hostile TMP TOP=$TMP/top ROOT BIN
run() { node "$here/$1.mjs" || fail "$1 (what it saw: $TMP/seen)"; }
run page
kill $top 2>/dev/null || true

"$LOAD" make "$many" 1 200 >/dev/null
for ((made = 400; made <= 1000; made += 200)); do
	seen() { [ "$(st .cgroups)" -ge $((made - 200)) ]; }
	wait_until 20 seen || fail "$(st .cgroups) cgroups are known"
	"$LOAD" make "$many" $((made - 199)) $made >/dev/null
done
seen() { [ "$(st .cgroups)" -ge 1000 ]; }
wait_until 20 seen || fail "$(st .cgroups) cgroups are known"
"$LOAD" run "$many" 1 1000 500 >/dev/null
run page_scale
"$LOAD" remove "$many" 1 1000 >/dev/null
agent_stop
