#!/bin/bash
# limit: 30, soak: 900
# Panels drawn by Grafana's own published components in Chromium, from a real Prometheus on a real agent run: each one that
# needs no GPU shows finite values. Installs 660 MB of npm packages (kept in the build folder): `make e2e-grafana`, soak.
. "$(dirname "$0")/../host/lib.sh"
[ -n "${SOAK:-}" ] || skip "long: make e2e-grafana"
command -v npm >/dev/null || skip "no npm"
command -v chromium >/dev/null || skip "no chromium"
. "$(dirname "$0")/scenario.sh"

top=$(cd "$E2E/../.." && pwd)
work=$(dirname "$BIN")/e2e-grafana
out=${GRAFANA_OUT:-$work/screenshots}
mkdir -p "$work" "$out"
cp "$top"/tests/e2e-grafana/* "$work/"
if ! cmp -s "$work/package-lock.json" "$work/installed"; then
	(cd "$work" && npm ci --legacy-peer-deps --ignore-scripts --no-audit --no-fund >npm.log 2>&1) ||
		skip "npm packages cannot be installed: $(tail -n 3 "$work/npm.log" | tr '\n' ' ')"
	cp "$work/package-lock.json" "$work/installed"
fi

GPU_FIXTURE_PORT=$((base + 9011))
python3 "$E2E/gpu_fixture.py" $GPU_FIXTURE_PORT 2>"$TMP/fixture.log" &
at_exit kill $!
scenario_start
all() { python3 "$E2E/check_queries.py" "$PROM_URL" >"$TMP/queries" 2>&1; }
wait_until 90 all || fail "$(cat "$TMP/queries")"
at_least_a_minute() { [ "$(samples 'count_over_time(up{job="waveos"}[1m]) > 55')" -eq 1 ]; }
wait_until 90 at_least_a_minute || fail "less than a minute of data"
scenario_stir # within the range that is drawn
node "$work/draw.mjs" "$top/packaging/mixin/dashboards" "$PROM_URL" "$out" "/$NAME.*" || fail "panels"
echo "screenshots: $out"
agent_stop
