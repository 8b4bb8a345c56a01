#!/bin/bash
# Proxies beside an agent: its worker starts them, whatever ends (HAProxy, worker, core, agent) the rest goes on, a reload
# takes the list anew, breakers are in the log, and an orderly end stops them.
. "$(dirname "$0")/lib.sh"
[ -x /usr/sbin/haproxy ] || skip "HAProxy is not installed"
if [ ${#ROOT} -gt 60 ]; then
	ROOT=$(mktemp -d /tmp/wvproxy.XXXXXX)
	at_exit rm -rf "$ROOT"
fi
read -r port up < <(python3 -c '
import socket
s = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*[x.getsockname()[1] for x in s])')
config() {
	mkdir -p "$ROOT/etc/waveos"
	cat >"$ROOT/etc/waveos/new" <<YAML
proxy: {hang_after: 2s}
proxies:
  - {name: web, listen: "127.0.0.1:$port", upstream: ["127.0.0.1:$up"], breaker: {probe_every: 300ms}, $1}
YAML
	mv "$ROOT/etc/waveos/new" "$ROOT/etc/waveos/waveos.yaml"
}
serve() {
	python3 -m http.server -b 127.0.0.1 "$up" -d "$ROOT/etc" >/dev/null 2>&1 &
	server=$!
}
serve
at_exit eval 'kill -KILL $server'
config ""
agent_start --set agent.tick=200ms
code() { curl -s -o /dev/null -m 2 -w '%{http_code}' "http://127.0.0.1:$port/$1" || true; }
passes() { [ "$(code "")" = 200 ]; }
wait_until 10 passes || fail "does not serve"
proxy() { "$BIN" proxy status --json --root "$ROOT" 2>/dev/null | jq -r "$1"; }
status() { "$BIN" status --json --root "$ROOT" | jq -r "$1"; }
pid() { proxy .haproxy.pid; }
known() { [ "$(pid)" -gt 0 ] 2>/dev/null; }
wait_until 5 known || fail "no status"

# the worker dies or core does: the same HAProxy goes on, and a new worker has it
first=$(pid)
for victim in worker core; do
	worker=$(proxy .worker_pid)
	[ $victim = worker ] && kill -KILL "$worker" || kill -KILL "$(status .core_pid)"
	passes || fail "traffic ended with $victim"
	if [ $victim = worker ]; then
		again() { local p; p=$(proxy .worker_pid) && [ "$p" != "$worker" ]; }
		wait_until 10 again || fail "no new worker"
	fi
	[ "$(pid)" = "$first" ] || fail "HAProxy was replaced when $victim died"
done

# HAProxy hangs and dies: the agent lives, and traffic comes back
kill -STOP "$first"
other() { local p; p=$(pid) && [ "$p" != "$first" ] && [ "$p" -gt 0 ]; }
wait_until 15 other || fail "one that hangs is not replaced"
wait_until 5 passes || fail "does not serve after a hang"
kill -0 "$AGENT" || fail "the agent ended"

# a reload of the agent takes the list anew
config "request: {uri_max: 20}"
kill -HUP "$AGENT"
long() { [ "$(code aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa)" = 414 ]; }
wait_until 10 long || fail "the reload did not reach the proxy"

# the agent dies: traffic goes on, and the next agent adopts it
reloaded() { [ "$(proxy .haproxy.reloads_total)" = 1 ]; }
wait_until 5 reloaded || fail "no reload is counted"
first=$(pid)
agent_kill
passes || fail "traffic ended with the agent"
agent_start --set agent.tick=200ms
adopted() { local w; w=$(proxy .worker_pid) && [ -e "/proc/$w" ] && [ "$(pid)" = "$first" ]; }
wait_until 10 adopted || fail "not adopted: $(pid) instead of $first"

# a breaker is in the log, in order
kill -KILL "$server"
wait "$server" 2>/dev/null || true
state() { [ "$(proxy '.proxies[0].servers[0].breaker')" = "$1" ]; }
wait_until 10 state open || fail "the breaker does not open"
[ "$(code "")" = 503 ] || fail "an open breaker answers $(code "")"
serve
wait_until 10 state closed || fail "the breaker does not close"
records() {
	cat "$ROOT"/var/lib/waveos/log/*.jsonl | jq -r 'select(.type == "proxy-breaker") | .to' | tail -n 3 | tr '\n' ' '
}
recorded() { [[ $(records) == *"open "*"closed " ]]; }
wait_until 5 recorded || fail "records of the breaker: $(records)"

# an orderly end stops it
first=$(pid)
agent_stop
gone() { ! grep -qs '^State:.[^Z]' "/proc/$first/status"; }
wait_until 5 gone || fail "an orderly end left HAProxy"
[ "$(code "")" = 000 ] || fail "something still answers: $(code "") $(ss -ltnp "sport = :$port")"
