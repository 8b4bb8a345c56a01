#!/bin/bash
# limit: 240
# A real Prometheus on a real agent run: scrapes by protobuf with native histograms, what it stores against the text, then
# every query of every dashboard, recording rule and alert, each with at least one finite sample.
. "$(dirname "$0")/../host/lib.sh"
. "$(dirname "$0")/scenario.sh"

python3 "$E2E/../../packaging/mixin/build.py" --check || fail "dashboards"
python3 "$E2E/../../packaging/mixin/build_rules.py" --check || fail "rules"
promtool check rules "$E2E"/../../packaging/mixin/rules/*.yaml >"$TMP/check" 2>&1 || fail "$(cat "$TMP/check")"
(cd "$E2E/../../packaging/mixin" && promtool test rules rules_test.yaml) >"$TMP/check" 2>&1 || fail "$(cat "$TMP/check")"

GPU_FIXTURE_PORT=$((base + 9011))
python3 "$E2E/gpu_fixture.py" $GPU_FIXTURE_PORT 2>"$TMP/fixture.log" &
at_exit kill $!
scenario_start --enable-feature=native-histograms
url=http://127.0.0.1:$AGENT_PORT/metrics

# native histograms: ingested as such, and their count is that of the text
native() { [ "$(query 'count(histogram_count(waveos_runq_latency_seconds))' | jq -r '.data.result[0].value[1] // 0')" -gt 3 ]; }
wait_until 20 native || fail "no native histograms: $(query 'waveos_runq_latency_seconds' | head -c 300)"
[ "$(samples 'waveos_runq_latency_seconds_bucket')" -eq 0 ] || fail "classic buckets beside native ones"
grew() { [ "$(samples 'histogram_quantile(0.99, sum(rate(waveos_runq_latency_seconds[10s])))')" -eq 1 ]; }
wait_until 20 grew || fail "no quantile of a native histogram"
native_p99=$(query 'histogram_quantile(0.99, sum(rate(waveos_runq_latency_seconds[10s])))' | jq -r '.data.result[0].value[1]')

# the same sample in three formats: names and figures
formats_agree() {
	curl -sf -H 'Accept: text/plain' -o "$TMP/text" "$url"
	curl -sf -H 'Accept: application/openmetrics-text' -o "$TMP/open" "$url"
	curl -sf -H 'Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited' -o "$TMP/proto" "$url"
	python3 "$E2E/same_scrape.py" "$TMP/text" "$TMP/open" "$TMP/proto"
}
wait_until 20 formats_agree || fail "the formats differ"
promtool check metrics <"$TMP/text" || fail "promtool finds fault"

# what dashboards are for: classic buckets, which Prometheus keeps where native histograms are off
kill -TERM $PROM
wait $PROM || true
rm -rf "$TMP/tsdb"
scenario_prometheus
all() { python3 "$E2E/check_queries.py" "$PROM_URL" >"$TMP/queries" 2>&1; }
wait_until 90 all || fail "$(cat "$TMP/queries")"
cat "$TMP/queries"
classic_p99=$(query 'histogram_quantile(0.99, sum by (le) (rate(waveos_runq_latency_seconds_bucket[30s])))' | jq -r '.data.result[0].value[1]')
echo "p99 of run queue latency: $native_p99 s by native, $classic_p99 s by classic buckets (not of the same seconds)"
agent_stop
