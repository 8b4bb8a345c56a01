#!/bin/bash
# The metrics endpoint of a running agent: grammar, figures against the snapshot, what it refuses, the
# rights of the process that serves it, and that it comes back when it is killed.
. "$(dirname "$0")/lib.sh"

here=$(dirname "$0")
port=$((20000 + $$ % 10000))
url=http://127.0.0.1:$port
name=wvtest-metrics-$$
dir=$(cgroup_make "$name")
at_exit cgroup_remove "$dir"
agent_start --set agent.tick=200ms --set "metrics.listen=127.0.0.1:$port"
healthy() { curl -sf -o "$TMP/health" "$url/healthz"; }
wait_until 5 healthy || fail "/healthz does not answer 200"
[ "$(jq -r .status "$TMP/health")" = ok ] || fail "health: $(cat "$TMP/health")"

cgroup_run "$dir" sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done'
scrape() { curl -sf -H "Accept: $1" -o "$TMP/scrape" "$url/metrics"; }
shown() { scrape text/plain && grep -q "^waveos_cgroup_cpu_seconds_total{cgroup=\"/$name\"} 0*[.0-9]*[1-9]" "$TMP/scrape"; }
wait_until 5 shown || fail "CPU time of /$name is not exported"
python3 "$here/check_metrics.py" text 20000 <"$TMP/scrape" || fail "text format"
# both show the same once a tick has passed since the task ended
agrees() {
	scrape text/plain
	cpu=$(awk -v s="waveos_cgroup_cpu_seconds_total{cgroup=\"/$name\"}" '$1 == s {printf "%.0f", $2 * 1e9}' "$TMP/scrape")
	want=$(figure "/$name" cpu_usage_ns)
	[ "$cpu" -gt 0 ] && within "$cpu" "$want" 0.01
}
wait_until 5 agrees || fail "metrics say $cpu ns, the snapshot $want"
scrape 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5'
python3 "$here/check_metrics.py" openmetrics 20000 <"$TMP/scrape" || fail "OpenMetrics format"
if command -v promtool >/dev/null; then
	scrape text/plain
	promtool check metrics <"$TMP/scrape" || fail "promtool finds fault"
else
	echo "promtool is not here: not asked"
fi

# what is refused
status() { curl -s -o /dev/null -w '%{http_code}' "$@"; }
[ "$(status "$url/nothing")" = 404 ] || fail "unknown path"
[ "$(status -X POST "$url/metrics")" = 405 ] || fail "POST"
[ "$(status -X DELETE "$url/")" = 405 ] || fail "DELETE"
[ "$(status -I "$url/metrics")" = 200 ] || fail "HEAD"
[ "$(status -H "X-Long: $(printf '%50000s' '' | tr ' ' a)" "$url/metrics")" -ge 400 ] || fail "a header of 50 kB"
printf 'GET /metrics HTTP/9.9\r\n\r\n\0\377' | timeout 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; cat >&3; cat <&3" >/dev/null || true
healthy || fail "garbage stopped the worker"

# rights of the process
web() { "$BIN" status --json --root "$ROOT" | jq .web_pid; }
pid=$(web)
has() { grep -qE "^$1:[[:space:]]*$2\$" "/proc/$pid/status" || fail "$(grep "^$1:" "/proc/$pid/status"), not $2"; }
has CapEff 0000000000000000
has CapPrm 0000000000000000
has CapBnd 0000000000000000
has Seccomp 2
has NoNewPrivs 1
has Threads 1
has Uid '65534[[:space:]]+65534[[:space:]]+65534[[:space:]]+65534'
for fd in "/proc/$pid/fd/"*; do
	target=$(readlink "$fd" || true)
	case "$target" in
	socket:* | anon_inode:* | /dev/null | "$TMP"/agent.log | "") ;;
	*) fail "the web worker holds $target" ;;
	esac
done

# killed: served again within a second, by another process
kill -KILL "$pid"
wait_until 2 healthy || fail "the endpoint is not back"
replaced() { [ "$(web)" -ne "$pid" ]; }
wait_until 2 replaced || fail "the same process id"
agent_stop
