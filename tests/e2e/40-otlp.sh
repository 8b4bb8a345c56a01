#!/bin/bash
# limit: 180
# Traces and logs over OTLP to a receiver that takes only what the official definitions allow: turns, a real recovery
# chain as the expected tree with ids that anyone can compute, over a kill of the agent; a receiver that is slow, busy
# or dead loses nothing and holds up nothing. The official exporters' output is taken by the same receiver.
. "$(dirname "$0")/../host/lib.sh"

here=$(cd "$(dirname "$0")/otlp" && pwd)
[ -e /usr/include/opentelemetry/proto/collector/trace/v1/trace_service.proto ] ||
	skip "the official definitions are not here: package opentelemetry-proto of bookworm-backports"
command -v npm >/dev/null || skip "needs node and npm"
export NODE_MODULES=${BIN%/*}/e2e-otlp
if ! cmp -s "$here/package-lock.json" "$NODE_MODULES/package-lock.json" || [ ! -e "$NODE_MODULES/done" ]; then
	mkdir -p "$NODE_MODULES"
	rm -f "$NODE_MODULES/done"
	cp "$here/package.json" "$here/package-lock.json" "$NODE_MODULES/"
	(cd "$NODE_MODULES" && npm ci --no-audit --no-fund --ignore-scripts >npm.log 2>&1) ||
		skip "npm cannot fetch the packages of the receiver: $(tail -n 1 "$NODE_MODULES/npm.log")"
	touch "$NODE_MODULES/done"
fi

OUT=$TMP/out
mkdir "$OUT"
RECEIVER=
# receiver [OPTIONS]: on the same port from the second time on
receiver() {
	: >"$TMP/port"
	node "$here/recv.mjs" --out "$OUT" --port "${PORT:-0}" "$@" >"$TMP/port" 2>"$TMP/receiver.log" &
	RECEIVER=$!
	wait_until 20 test -s "$TMP/port" || fail "no receiver: $(cat "$TMP/receiver.log")"
	PORT=$(cat "$TMP/port")
}
receiver_ends() {
	[ -z "$RECEIVER" ] || kill -KILL "$RECEIVER" 2>/dev/null || true
	wait "$RECEIVER" 2>/dev/null || true
	RECEIVER=
}
at_exit receiver_ends
control() { curl -sf -d "$1" "http://127.0.0.1:$PORT/control" >/dev/null || fail "control $1"; }
receiver

# --- the receiver is one: the official exporters' output is taken, what is wrong is not
node "$here/exporters.mjs" "http://127.0.0.1:$PORT" >"$TMP/exporters.log" 2>&1 ||
	fail "the official exporters are refused: $(cat "$TMP/exporters.log" "$OUT/bad.jsonl")"
[ "$(jq -s 'map(.event) | sort | join(" ")' "$OUT/logs.jsonl")" = '"official.http official.proto"' ] || fail "official logs: $(cat "$OUT/logs.jsonl")"
[ "$(wc -l <"$OUT/spans.jsonl")" = 2 ] || fail "official spans: $(cat "$OUT/spans.jsonl")"
refused() { # CONTENT-TYPE, body on standard input
	[ "$(curl -s -o /dev/null -w '%{http_code}' -H "Content-Type: $1" --data-binary @- "http://127.0.0.1:$PORT/v1/traces")" = 400 ]
}
span='"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"x"'
refused application/json <<<'{"resourceSpans":[{"scopeSpans":[{"spans":[{"trace_id":"0af7651916cd43dd8448eb211c80319c"}]}]}]}' || fail "trace_id is taken"
refused application/json <<<"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{$span,\"kind\":\"SPAN_KIND_INTERNAL\"}]}]}]}" || fail "the name of an enum is taken"
refused application/json <<<"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{$span,\"unknown\":1}]}]}]}" || fail "an unknown field is taken"
printf '\xfa\x01\x01x' | refused application/x-protobuf || fail "an unknown field of protobuf is taken"
rm -f "$OUT"/*

# --- a policy, and what it watches
top=wvtest-otlp-$$
dir=$(cgroup_make "$top")
at_exit cgroup_remove "$dir"
mkdir "$dir/a" "$dir/e" "$dir/x"
at_exit cgroup_remove "$dir/a"
at_exit cgroup_remove "$dir/x"
at_exit cgroup_remove "$dir/e"
mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/policy.yaml" <<YAML
schema_version: 1
name: otlp
features: {kill: true, restart: true}
domains:
  - {name: web, scope: {cgroup: /$top/a}}
  - {name: failing, scope: {cgroup: /$top/e}}
  - {name: busy, scope: {cgroup: /$top/x}}
breakers:
  - {name: storm, domain: busy, kind: execs, limit: 1, per: 1s, burst: 3, open: 500ms, half_open: 300ms}
rules:
  - {name: fails, domain: failing, if: "delta(err_exits_nonzero) > 0", clear_for: 500ms, half_open: 0s, then: [recover hold]}
recovery:
  - {name: harder, steps: [freeze wait 2s, thaw wait 300ms, kill wait 20s], backoff: 20ms, cool_down: 1s}
  - {name: useless, steps: [restart wait 1s, freeze wait 60s], backoff: 20ms, cool_down: 1s}
  - {name: hold, steps: [freeze wait 60s], cool_down: 500ms}
YAML
populated() { grep -q 'populated 1' "$1/cgroup.events"; }
frozen() { grep -q 'frozen 1' "$1/cgroup.events"; }
load() { # DIR: a process that stays, in the cgroup
	cgroup_run "$1" sleep 1000 &
	wait_until 5 populated "$1"
}
fails() { cgroup_run "$dir/e" sh -c 'sleep 0.3; exit 3' || true; }
ask() { "$BIN" recover --root "$ROOT" "$@" || fail "recover $*"; }
start() {
	agent_start --set agent.tick=200ms --set "otlp.endpoint=http://127.0.0.1:$PORT" --set otlp.interval=200ms \
		--set otlp.turns_one_in=5 "$@"
}
got() { [ -e "$OUT/$1" ] && jq -e --slurp "any(.[]; $2)" "$OUT/$1" >/dev/null; }
log_size() { cat "$ROOT"/var/lib/waveos/log/events.jsonl | wc -l; }
# every record from the first one up to this moment
all_logs() {
	jq -e --slurp --argjson n "$1" '[.[].attributes["waveos.seq"]] | unique == [range(1; $n + 1)]' \
		<(jq -c --argjson n "$1" 'select(.attributes["waveos.seq"] <= $n)' "$OUT/logs.jsonl") >/dev/null
}
none_bad() { [ ! -e "$OUT/bad.jsonl" ] || fail "the receiver refused: $(head -n 3 "$OUT/bad.jsonl")"; }

# --- 1. turns, a chain by hand that is killed in the middle and goes on, a rule and the chain that it starts
start
wait_until 5 known "/$top/a" || fail "the cgroup is not known"
load "$dir/a"
ask "/$top/a" harder
wait_until 5 grep -qs verifying "$ROOT/var/lib/waveos/recover/chains.json" || fail "not frozen"
agent_kill
start --set otlp.encoding=json
wait_until 10 got spans.jsonl '.name == "step kill"' || fail "no span of the kill: $(tail -n 3 "$OUT/spans.jsonl")"
ask --well "/$top/a"
fails
wait_until 10 got spans.jsonl '.name == "recovery harder"' || fail "no root of the chain"
wait_until 10 got spans.jsonl '.name == "recovery hold"' || fail "no root of the rule's chain"
load "$dir/a"
ask "/$top/a" useless
wait_until 10 got spans.jsonl '.name == "step restart" and .status.code == 2' || fail "the failed restart is no error"
wait_until 5 frozen "$dir/a" || fail "useless did not go on"
ask --well "/$top/a"
none_bad
jq -e --slurp 'map(select(.url == "/v1/traces" and .status == 200).json) | any and (all | not)' "$OUT/requests.jsonl" >/dev/null ||
	fail "not both encodings were used"

# what was sent and not acknowledged when the agent was killed comes twice, with the same ids
tree=$(jq -r --slurp '
	(map(select(.name == "recovery harder"))[0]) as $root |
	map(select(.trace == $root.trace)) | unique_by(.span) | sort_by(.start) | .[] |
	"\(if .parent == null then "root" elif .parent == $root.span then "child" else "stray" end) \(.name) \(.status.code)"' "$OUT/spans.jsonl")
expected="root recovery harder 1
child step freeze 1
child verify 0
child step thaw 1
child verify 0
child step kill 1
child verify 0
child cool-down 0"
[ "$(grep -v release <<<"$tree")" = "$expected" ] || fail "tree of the chain: $tree"
jq -e --slurp 'map(select(.name == "recovery harder")) | unique_by(.span) | length == 1 and .[0].attributes["waveos.result"] == "recovered" and
	(.[0].attributes | has("waveos.unfinished") | not)' "$OUT/spans.jsonl" >/dev/null || fail "root: $(grep '"recovery harder"' "$OUT/spans.jsonl")"

# the documented rule, with nothing of ours: the record that began it, and sha256sum
record=$(cat "$ROOT"/var/lib/waveos/log/events.jsonl | jq -c 'select(.type == "recovery" and .event == "started" and .chain == "harder")')
sum=$(printf 'waveos-trace-v1\nchain\n%s\n%s\n' "$(jq -r .run_id <<<"$record")" "$(jq -r .seq <<<"$record")" | sha256sum)
jq -e --slurp --arg sum "$sum" 'map(select(.name == "recovery harder")) | all(.trace == $sum[0:32] and .span == $sum[32:48])' "$OUT/spans.jsonl" >/dev/null ||
	fail "ids are not those of the documented rule: $sum"
# its records, in logs, are in that trace, of both runs
jq -e --slurp --arg t "${sum:0:32}" 'map(select(.trace == $t)) | (map(.attributes["waveos.run_id"]) | unique | length) == 2 and
	(map(.event) | unique) == ["waveos.action", "waveos.action-outcome", "waveos.recovery"]' "$OUT/logs.jsonl" >/dev/null ||
	fail "logs of the chain: $(grep -c "${sum:0:32}" "$OUT/logs.jsonl")"

# links: the turn that decided to the rule and its chain, and the chain back to both
jq -e --slurp '
	(map(select(.name == "recovery hold"))[0]) as $chain | (map(select(.name == "rule fails"))[0]) as $rule |
	(map(select(.name == "turn" and .attributes["waveos.turn.kept"] == "decided" and any(.links[]; .trace == $chain.trace)))[0]) as $turn |
	($chain.links | map(.trace) | sort) == ([$turn.trace, $rule.trace] | sort) and
	($turn.links | map(.attributes["waveos.link"]) | sort) == ["chain", "rule"] and
	($turn.events | map(.name)) == ["decision", "recovery"]' "$OUT/spans.jsonl" >/dev/null ||
	fail "links: $(grep -E '"(recovery hold|rule fails)"' "$OUT/spans.jsonl")"
jq -e --slurp '(map(select(.name == "turn"))) as $turns | ($turns | length) > 3 and all($turns[];
	(.attributes["waveos.turn.kept"] != "sample") or (.attributes["waveos.tick"] % 5 == 0))' "$OUT/spans.jsonl" >/dev/null ||
	fail "turns: $(grep -c '"turn"' "$OUT/spans.jsonl")"
# stages fill the turn
jq -e --slurp 'INDEX(.[]; .span) as $all | [.[] | select(.parent != null and $all[.parent].name == "turn")] | group_by(.parent) |
	all(.[]; (map(.name) == ["events", "sense", "decide", "record", "reap", "publish"]) and
		.[0].start == $all[.[0].parent].start and .[5].end == $all[.[0].parent].end)' \
	<(jq -c . "$OUT/spans.jsonl") >/dev/null || fail "stages of turns"
# the semantic conventions' resource, and the run
jq -e --slurp 'all(.[]; .resource["service.name"] == "waveos-bpf" and .resource["host.name"] != null and
	.resource["service.instance.id"] != null and .resource["waveos.run_id"] != null and .attributes != null)' "$OUT/spans.jsonl" >/dev/null || fail "resource"

# a breaker in the kernel, from its trip until it is closed
for _ in 1 2 3 4 5 6 7 8; do cgroup_run "$dir/x" /bin/true 2>/dev/null || true; done
closed() { cgroup_run "$dir/x" /bin/true 2>/dev/null || true; got spans.jsonl '.name == "breaker storm"'; }
wait_until 20 closed || fail "no trace of the breaker: $(cat "$ROOT"/var/lib/waveos/log/events.jsonl | grep breaker- | tail -n 3)"
jq -e --slurp '(map(select(.name == "breaker storm"))[0]) as $root |
	(map(select(.parent == $root.span) | .name) | unique) == ["half-open", "open"] and $root.attributes["waveos.kind"] == "execs" and
	$root.attributes["waveos.result"] == "closed"' "$OUT/spans.jsonl" >/dev/null || fail "breaker: $(grep '"breaker storm"' "$OUT/spans.jsonl")"

# a bundle: installed, in trial, confirmed
(
	cd "$TMP"
	"$BIN" bundle keygen -o alice
	"$BIN" bundle root init -o root.json --key alice=alice.pub.pem --role all=alice:1
	"$BIN" bundle sign root.json --key alice.pem
	"$BIN" bundle root pin root.json --root "$ROOT"
	mkdir -p app/files
	echo 1 >app/files/data
	printf 'kind: app\nname: shop\nversion: 1.0.1\ncounter: 1\nenvironments: [dev]\ntrial: {for: 300ms, boots: 2}\n' >app/bundle.yaml
	"$BIN" bundle build --dir app -o shop.wvb --sign alice.pem
	"$BIN" bundle install --root "$ROOT" shop.wvb
) >"$TMP/bundle.log" 2>&1 || fail "bundle: $(cat "$TMP/bundle.log")"
wait_until 20 got spans.jsonl '.name == "bundle app"' || fail "no trace of the bundle: $("$BIN" bundle status --json --root "$ROOT")"
tree=$(jq -r --slurp '(map(select(.name == "bundle app"))[0]) as $root | map(select(.parent == $root.span)) | unique_by(.span) |
	sort_by(.start) | map(.name) | join(", ") + ": " + $root.attributes["waveos.result"]' "$OUT/spans.jsonl")
[ "$tree" = "deed stage, staged, deed activate, trial: confirmed" ] || fail "tree of the bundle: $tree"
none_bad

# --- 2. the receiver is slow, busy, refuses one record, dies, and returns: nothing is lost, nothing waits
tick_age() { "$BIN" status --json --root "$ROOT" | jq "$1"; }
figure_of() { "$BIN" status --json --root "$ROOT" | jq ".otlp | $1"; }
control '{"mode":"slow","ms":1500}'
fails
control '{"mode":"status","code":503}'
before=$(tick_age .tick)
fails
wait_until 10 got requests.jsonl '.status == 503' || fail "no request while it is busy"
control '{"mode":"status","code":429,"retry_after":1}'
wait_until 20 got requests.jsonl '.status == 429' || fail "no request while it asks for patience"
receiver_ends
fails
unreachable() { [ "$(figure_of '[.traces.error, .logs.error] | map(test("connect"; "i")) | any')" = true ]; }
wait_until 20 unreachable || fail "status does not tell: $("$BIN" status --json --root "$ROOT" | jq .otlp)"
"$BIN" status --root "$ROOT" | grep -q '^otlp .*sent' || fail "status shows nothing of it"
[ "$(tick_age .tick)" -gt $((before + 10)) ] || fail "the loop was held up"
[ "$(tick_age '.sample_age_ns < 1500000000')" = true ] || fail "the loop is late"
receiver
n=$(log_size)
wait_until 60 all_logs "$n" || fail "records are missing after the receiver came back: $("$BIN" status --json --root "$ROOT" | jq .otlp)"
fails
seq=$(($(log_size) + 3))
control "{\"mode\":\"refuse\",\"seq\":$seq}"
for _ in 1 2 3; do fails; done
one_refused() { [ "$(figure_of .logs.refused)" = 1 ]; }
wait_until 20 one_refused || fail "the refused record is not counted: $(figure_of .logs)"
control '{"mode":"ok"}'
n=$(log_size)
others() { jq -se --argjson n "$n" --argjson s "$seq" '[.[].attributes["waveos.seq"] | select(. <= $n)] | unique == [range(1; $n + 1) | select(. != $s)]' "$OUT/logs.jsonl" >/dev/null; }
wait_until 20 others || fail "more than the refused record is missing"
control '{"mode":"partial","rejected":1}'
fails
partly() { [ "$(figure_of .logs.rejected)" -gt 0 ]; }
wait_until 10 partly || fail "a partial success is not counted"
control '{"mode":"ok"}'
none_bad
agent_stop

# --- 3. TLS and a token; what was written while nobody sent comes first, once more nothing is missing
receiver_ends
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
	-keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null
echo wrong >"$TMP/token"
receiver --tls "$TMP/key.pem" "$TMP/cert.pem" --token planted-secret
start --set "otlp.endpoint=https://localhost:$PORT" --set "otlp.ca=$TMP/cert.pem" --set "otlp.token=file:$TMP/token" --set otlp.compression=none
wait_until 20 got bad.jsonl '.status == 401' || fail "a wrong token is taken"
echo planted-secret >"$TMP/token" # a new one is used at once
n=$(log_size)
last() { got logs.jsonl ".attributes[\"waveos.seq\"] == $n"; }
wait_until 30 last || fail "nothing came over TLS: $("$BIN" status --json --root "$ROOT" | jq .otlp)"
others || fail "records between the runs are missing"
pid=$("$BIN" status --root "$ROOT" | sed -n '/^agent /s/.*, otlp \([0-9]*\).*/\1/p')
for p in "$pid" $(cat "/proc/$pid/task/$pid/children"); do
	grep -q 'CapEff:.0*0000000000$' "/proc/$p/status" || [ "$(grep CapEff "/proc/$p/status" | cut -f 2)" = 0000000000000004 ] ||
		fail "process $p has rights: $(grep Cap "/proc/$p/status")"
	grep -q 'Seccomp:.2' "/proc/$p/status" || fail "process $p has no filter"
done
agent_stop
! grep -rq planted-secret "$ROOT/var/lib/waveos" "$ROOT/run/waveos" "$TMP/agent.log" || fail "the token is told"

# --- 4. http:// to another machine is not used
agent_start --set otlp.endpoint=http://192.0.2.1:4318
wait_until 5 grep -q 'otlp.endpoint: http:// to another machine' "$TMP/agent.log" || fail "http:// to another machine is not refused"
agent_stop
