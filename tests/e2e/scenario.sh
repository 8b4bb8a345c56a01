# shellcheck shell=bash
# A real run for Prometheus: an agent with a policy that decides and holds, load on cgroups of the test, and a Prometheus
# that scrapes it every second. Source it after lib.sh; then: scenario_start, scenario_wait SECONDS.
E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v prometheus >/dev/null || skip "no prometheus (packaging/setup.sh installs it)"
command -v jq >/dev/null || skip "no jq"

NAME=wvtest-dash-$$
base=$((21000 + $$ % 4000 * 2))
AGENT_PORT=$base PROM_PORT=$((base + 1))
# of the load
ECHO_PORT=$((base + 9001)) CLOSED_PORT=$((base + 9003)) LOG_PORT=$((base + 9005)) HTTP_PORT=$((base + 9007)) PROXY_PORT=$((base + 9009)) STORM_PORT=$((base + 9013))
PROM_URL=http://127.0.0.1:$PROM_PORT
PROM=

load() { # KIND: in its cgroup, until the test ends
	local dir
	dir=$(cgroup_make "$NAME-$1")
	at_exit cgroup_remove "$dir"
	cgroup_run "$dir" python3 "$E2E/load.py" "$1" "$TMP" "${@:2}" </dev/null >/dev/null 2>"$TMP/load-$1.log" &
}

# A cgroup under a CPU quota and a memory limit, in whichever hierarchy has the controllers: throttling, reclaim.
tight() {
	local dir=() c
	if grep -qw cpu "$CGROUP2/cgroup.subtree_control"; then
		dir=("$(cgroup_make "$NAME-tight")")
		echo "20000 100000" >"${dir[0]}/cpu.max"
		echo $((24 << 20)) >"${dir[0]}/memory.max"
	else
		for c in cpu memory; do
			c=$(awk -v c=$c '$3 == "cgroup" && $4 ~ "(^|,)" c "(,|$)" {print $2; exit}' /proc/self/mounts)
			[ -n "$c" ] || return 0
			mkdir -p "$c/$NAME-tight"
			at_exit cgroup_remove "$c/$NAME-tight"
			dir+=("$c/$NAME-tight")
		done
		echo 20000 >"${dir[0]}/cpu.cfs_quota_us"
		echo $((24 << 20)) >"${dir[1]}/memory.limit_in_bytes"
	fi
	at_exit cgroup_remove "${dir[0]}"
	(
		for c in "${dir[@]}"; do echo "$BASHPID" >"$c/cgroup.procs"; done
		exec python3 "$E2E/load.py" tight "$TMP"
	) </dev/null >/dev/null 2>"$TMP/load-tight.log" &
}

scenario_policy() {
	mkdir -p "$ROOT/etc/waveos" "$ROOT/var/lib/waveos/bundles" "$TMP/offers"
	cat >"$ROOT/etc/waveos/waveos.yaml" <<-YAML
		update: {folder: $TMP/offers}
		heartbeats:
		  - {name: beat, file: $TMP/never-touched, cgroup: /$NAME-idle, every: 1s}
		spools:
		  - {name: logs, buffer: 64M, segment: 4M}
		spool_inputs:
		  - {name: in, spool: logs, type: tcp, listen: "127.0.0.1:$LOG_PORT", format: syslog}
		spool_outputs:
		  - {name: out, spool: logs, type: file, path: $TMP/spooled.log}
	YAML
	if command -v haproxy >/dev/null; then
		cat >>"$ROOT/etc/waveos/waveos.yaml" <<-YAML
			proxies:
			  - {name: web, listen: "127.0.0.1:$PROXY_PORT", upstream: ["127.0.0.1:$HTTP_PORT"], breaker: {errors: 5, probe: /}}
		YAML
	fi
	cat >"$ROOT/etc/waveos/policy.yaml" <<-YAML
		schema_version: 1
		name: dashboards
		domains:
		  - {name: net, scope: {cgroup: /$NAME-network}, restarts: {max: 3, within: 10m}}
		  - {name: storm, scope: {cgroup: /$NAME-connects}}
		  - {name: busy, scope: {cgroup: /$NAME-cpu}}
		  - {name: broken, scope: {cgroup: /$NAME-errors}}
		  - {name: idle, scope: {cgroup: /$NAME-idle}}
		modes:
		  - {name: normal}
		  - {name: degraded, flags: [slow], budgets: [held]}
		budgets:
		  - {name: always, domain: net, network: {egress: 4mbit}}
		  - {name: held, domain: net, network: {egress: 2mbit, connects: 1}}
		breakers:
		  - {name: storm, domain: storm, kind: connects, limit: 2, per: 1s, burst: 4, open: 1s, half_open: 1s, probes: 2}
		gates:
		  - {name: nowhere, domain: net, kind: connect, deny: ["127.0.0.0/8:$CLOSED_PORT"], enforce: false}
		rules:
		  - {name: talks, domain: net, if: "rate(net_tx_bytes) > 1000", for: 2s, then: [mode degraded, alert], severity: warning}
		  - {name: fails, domain: broken, if: "rate(err_exits_nonzero) > 0.2", for: 2s, then: [alert], actions: {max: 1, per: 1h}}
		  - {name: idles, domain: idle, if: "task_processes > 0", for: 2s, then: [freeze], actions: {max: 5, per: 1h}}
		  - {name: never, domain: busy, if: "rate(mem_oom_kills) > 100", for: 1m, then: [alert]}
		services:
		  - {name: svc, command: [/bin/sh, -c, "sleep 3; exit 1"], cgroup: /$NAME-svc, backoff: 100ms}
	YAML
}

scenario_prometheus() { # [OPTIONS]: on the agent and, if there is one, the fixture of GPU series
	mkdir -p "$TMP/rules" "$TMP/tsdb"
	cp "$E2E"/../../packaging/mixin/rules/*.yaml "$TMP/rules/"
	cat >"$TMP/prometheus.yml" <<-YAML
		global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
		rule_files: ["$TMP/rules/*.yaml"]
		scrape_configs:
		  - job_name: waveos
		    static_configs: [{targets: ["127.0.0.1:$AGENT_PORT"]}]
	YAML
	if [ -n "${GPU_FIXTURE_PORT:-}" ]; then
		cat >>"$TMP/prometheus.yml" <<-YAML
			  - job_name: waveos-gpu-fixture
			    static_configs: [{targets: ["127.0.0.1:$GPU_FIXTURE_PORT"]}]
		YAML
	fi
	promtool check config --lint=none "$TMP/prometheus.yml" >"$TMP/promtool.log" 2>&1 || fail "$(cat "$TMP/promtool.log")"
	prometheus --config.file="$TMP/prometheus.yml" --storage.tsdb.path="$TMP/tsdb" --web.listen-address="127.0.0.1:$PROM_PORT" \
		--web.cors.origin='.*' --log.level=warn "$@" >"$TMP/prometheus.log" 2>&1 &
	PROM=$!
	at_exit kill -TERM $PROM
	wait_until 20 curl -sf -o /dev/null "$PROM_URL/-/ready" || fail "prometheus does not start: $(tail -n 5 "$TMP/prometheus.log")"
}

scenario_start() { # [OPTIONS of prometheus]
	local svc
	svc=$(cgroup_make "$NAME-svc")
	at_exit cgroup_remove "$svc"
	load cpu
	load memory
	load network "$ECHO_PORT" "$CLOSED_PORT"
	load connects "$STORM_PORT"
	load block
	load errors
	load idle
	tight
	load logs "$LOG_PORT"
	if command -v haproxy >/dev/null; then load http "$HTTP_PORT" "$PROXY_PORT"; fi
	scenario_policy
	# a witness that does not answer: figures of the anchor are real, too
	"$BIN" evidence witness --key --root "$TMP/witness" >"$TMP/witness.vkey" || fail "no key of a witness"
	agent_start --set agent.tick=1s --set "metrics.listen=127.0.0.1:$AGENT_PORT" --set collect.program_stats=always \
		--set "evidence.witness=http://127.0.0.1:$CLOSED_PORT $TMP/witness.vkey" --set evidence.witness_every=2s
	scenario_prometheus "$@"
}

# query EXPR: the API's answer
query() { curl -sf --data-urlencode "query=$1" "$PROM_URL/api/v1/query"; }
# samples EXPR: how many finite samples it gives
samples() { query "$1" | jq '[.data.result[]? | (.value[1] // empty) | tonumber | select(isfinite)] | length' 2>/dev/null || echo 0; }

# scenario_stir: a reload that is taken, with a rule that opens, and one that is refused
scenario_stir() {
	local policy=$ROOT/etc/waveos/policy.yaml
	cp "$policy" "$TMP/good.yaml"
	echo "rules: {" >"$policy"
	kill -HUP "$AGENT"
	refused() { [ "$(samples 'waveos_policy_reloads_total{result="refused"} > 0')" -eq 1 ]; }
	wait_until 20 refused || fail "a broken policy is not refused"
	sed 's/^rules:/&\n  - {name: late, domain: busy, if: "rate(cpu_usage_ns) > 0.01", for: 1s, then: [alert]}/' "$TMP/good.yaml" >"$policy"
	kill -HUP "$AGENT"
	late() { [ "$(samples 'waveos_rule_trips_total{rule="late"} > 0')" -eq 1 ]; }
	wait_until 20 late || fail "the rule of a new policy does not open"
}
