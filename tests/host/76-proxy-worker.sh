#!/bin/bash
# The proxy's process: few rights, restarted when it dies or hangs, reloaded without a lost request, adopted by the next
# worker, and harmless when it leaks, floods or writes. Configurations that are wrong are told with their place.
. "$(dirname "$0")/lib.sh"
[ -x /usr/sbin/haproxy ] || skip "HAProxy is not installed"
if [ ${#ROOT} -gt 60 ]; then
	ROOT=$(mktemp -d /tmp/wvproxy.XXXXXX)
	at_exit rm -rf "$ROOT"
fi
mkdir -p "$ROOT"
export TMP BIN ROOT
read -r port up < <(python3 -c '
import socket
s = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*[x.getsockname()[1] for x in s])')
config() { # EXTRA SETTINGS, EXTRA KEYS
	cat >"$TMP/proxy.new" <<YAML
proxy: {hang_after: 2s, $1}
proxies:
  - name: web
    listen: "127.0.0.1:$port"
    upstream: ["127.0.0.1:$up"]
    client: {requests: 100000, connections: 1000}
    total: {requests: 100000}
    $2
YAML
	mv "$TMP/proxy.new" "$TMP/proxy.yaml" # a reload may read it at any time
}
cat >"$TMP/up.py" <<'PY'
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer.request_queue_size = 200
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
PY
python3 "$TMP/up.py" "$up" 2>/dev/null &
at_exit kill -KILL $!

worker=
start() {
	"$BIN" proxy run --root "$ROOT" --config "$TMP/proxy.yaml" 2>>"$TMP/agent.log" &
	worker=$!
}
at_exit "$BIN" detach --root "$ROOT"
at_exit eval 'kill -KILL $worker'
status() { "$BIN" proxy status --json --root "$ROOT" 2>/dev/null | jq -r "$1"; }
haproxy() { status .haproxy.pid; }
passes() { [ "$(curl -s -o /dev/null -m 2 -w '%{http_code}' "http://127.0.0.1:$port/${1:-}")" = "${2:-200}" ]; }
config "" ""
start
wait_until 10 passes || fail "does not serve"
haproxy_is_known() { [ -n "$(haproxy)" ]; }
wait_until 5 haproxy_is_known || fail "no status"

# few rights
pid=$(haproxy)
user=$(id -u haproxy)
state() { awk -v k="$1:" '$1 == k {print $2; exit}' "/proc/$pid/status"; }
[ "$(state Uid)" = "$user" ] || fail "runs as user $(state Uid)"
for set in CapInh CapPrm CapEff CapAmb; do
	[ "$(state $set)" = 0000000000000000 ] || fail "$set is $(state $set)"
done
# what it could ever gain: CAP_SETGID, CAP_SETUID, CAP_SYS_CHROOT
[ "$(state CapBnd)" = 00000000000400c0 ] || fail "bounding set $(state CapBnd)"
[ "$(state NoNewPrivs)" = 1 ] || fail "may gain privileges"
[ "$(readlink "/proc/$pid/root")" = "$ROOT/run/waveos/proxy/empty" ] || fail "root folder $(readlink "/proc/$pid/root")"
[ -z "$(ls -A "$ROOT/run/waveos/proxy/empty")" ] || fail "its root folder is not empty"
bound() { awk -v k="$1" 'index($0, k) == 1 {print $(NF - 1)}' "/proc/$pid/limits"; }
[ "$(bound 'Max file size')" = 0 ] && [ "$(bound 'Max core file size')" = 0 ] || fail "may write files"
[ "$(bound 'Max data size')" = 268435456 ] || fail "memory bound $(bound 'Max data size')"
[ "$(stat -c %a "$ROOT/run/waveos/proxy")" = 700 ] || fail "others can enter the folder"

# killed: another one serves, and counts go on
total() { status '.proxies[0].clients.connections_total'; }
counted() { [ "$(total)" -ge 1 ]; }
wait_until 5 counted || fail "nothing is counted"
before=$(total)
kill -KILL "$pid"
other() { local p; p=$(haproxy) && [ -n "$p" ] && [ "$p" != "$pid" ] && [ "$p" != 0 ]; }
wait_until 5 other || fail "not restarted after a kill"
wait_until 5 passes || fail "does not serve after a kill"
more() { [ "$(total)" -gt "$before" ]; }
wait_until 5 more || fail "counts began anew: $before, $(total)"
[ "$(status .haproxy.restarts_total)" = 1 ] || fail "restarts: $(status .haproxy.restarts_total)"

# hangs: is killed, and another one serves
pid=$(haproxy)
kill -STOP "$pid"
wait_until 10 other || fail "one that hangs is not replaced"
wait_until 5 passes || fail "does not serve after a hang"
[ "$(status .haproxy.hangs_total)" = 1 ] || fail "hangs: $(status .haproxy.hangs_total)"

# a reload under load loses nothing
cat >"$TMP/load.py" <<'PY'
import socket, sys, threading, time
port, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
good, bad = [], []
def ask():
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                d = b""
                while m := s.recv(4096):
                    d += m
            (good if d.startswith(b"HTTP/1.1 200") else bad).append(d[:60])
        except OSError as e:
            bad.append(str(e))
        time.sleep(0.005)
t = [threading.Thread(target=ask) for _ in range(4)]
[x.start() for x in t]; [x.join() for x in t]
print(len(good), len(bad), bad[:3])
PY
python3 "$TMP/load.py" "$port" 5 >"$TMP/load" &
load=$!
for i in 1 2 3; do
	pid=$(haproxy)
	config "" "request: {uri_max: $((100 + i))}"
	kill -HUP "$worker"
	wait_until 5 other || fail "reload $i"
done
wait "$load"
read -r good bad what <"$TMP/load"
[ "$good" -gt 200 ] && [ "$bad" -eq 0 ] || fail "reloads under load: $good good, $bad bad: $what"
passes "$(printf 'a%.0s' {1..103})" 414 || fail "the new configuration is not in force"
[ "$(status .haproxy.reloads_total)" = 3 ] || fail "reloads: $(status .haproxy.reloads_total)"
none_drains() { [ "$(status .haproxy.draining)" = 0 ]; }
wait_until 15 none_drains || fail "old ones do not end"

# nothing changed: nothing is started; a file that is wrong: the old one goes on, and why is told
pid=$(haproxy)
kill -HUP "$worker"
config "" "tls: {cert: $TMP/none.pem}"
kill -HUP "$worker"
refused() { status .haproxy.refusal | grep -q none.pem; }
wait_until 5 refused || fail "a certificate that is missing is not told: $(status .haproxy.refusal)"
[ "$(haproxy)" = "$pid" ] && passes || fail "a wrong configuration ended the old one"
config "" "request: {uri_max: 100}"

# the worker is killed: traffic goes on, the next worker adopts the same process and reloads it
kill -KILL "$worker"
wait "$worker" 2>/dev/null || true
passes || fail "traffic ended with the worker"
start
wait_until 5 other || fail "the adopted one did not get the new configuration"
wait_until 5 passes || fail "does not serve after an adoption"
pid=$(haproxy)
kill -KILL "$worker"
wait "$worker" 2>/dev/null || true
start
fresh() { [ "$(status .worker_pid)" = "$worker" ]; }
wait_until 5 fresh || fail "no new worker"
[ "$(haproxy)" = "$pid" ] || fail "not adopted: $(haproxy) instead of $pid"
"$BIN" proxy run --root "$ROOT" --config "$TMP/proxy.yaml" 2>"$TMP/second" && fail "two workers in one folder"
grep -q 'another proxy worker' "$TMP/second" || fail "the second worker does not say why: $(cat "$TMP/second")"
kill -KILL "$pid"
wait_until 5 other || fail "an adopted one is not watched"

# detach ends what a killed worker left
kill -KILL "$worker"
wait "$worker" 2>/dev/null || true
read -r pid _ <"$ROOT/run/waveos/proxy/haproxy.pid"
"$BIN" detach --root "$ROOT" >"$TMP/detach" || fail "detach"
! grep -qs "^State:.[^Z]" "/proc/$pid/status" || fail "detach left HAProxy"
grep -q 'stopped the proxies' "$TMP/detach" || fail "detach does not tell"

# a worker that is killed at any moment of a reload leaves none that nobody knows
start
wait_until 10 passes || fail "does not start again"
for i in 0 1 2 3 4 5; do
	config "" "request: {uri_max: $((200 + i))}"
	kill -HUP "$worker"
	read -rt "0.$((i * 7 + 1))" <> <(:) || true
	kill -KILL "$worker"
	wait "$worker" 2>/dev/null || true
	start
	wait_until 10 passes || fail "does not serve after a kill within a reload"
done
wait_until 5 fresh || fail "no worker at last"
kill -TERM "$worker"
wait "$worker" || fail "the worker ended with status $?"
listeners() { [ -z "$(ss -Hltn "sport = :$port")" ]; }
wait_until 5 listeners || fail "somebody still listens: $(ss -Hltnp "sport = :$port")"

# a program that only does harm: the worker lives, its memory stays, and starts get rarer
harm() { # NAME PYTHON
	printf '#!/usr/bin/python3\nimport os, sys, time\nif "-c" in sys.argv: sys.exit(0)\nopen(%s, "ab", 0) if False else None\n%s\n' "'x'" "$2" >"$TMP/harm"
	chmod 755 "$TMP/harm"
	config "program: $TMP/harm, memory: 32M" ""
	start
	wait_until 5 fresh || fail "$1: no worker"
	sleep_until=$((SECONDS + 3))
	while [ $SECONDS -lt $sleep_until ]; do fresh || fail "$1: no status"; done
	kill -0 "$worker" || fail "$1: the worker ended"
	[ "$(awk '/^VmRSS/ {print $2}' "/proc/$worker/status")" -lt 20000 ] || fail "$1: $(grep VmRSS "/proc/$worker/status")"
	restarts=$(status .haproxy.restarts_total)
	kill -TERM "$worker"
	wait "$worker" || fail "$1: the worker ended with status $?"
}
harm exits 'sys.exit(1)'
[ "$restarts" -ge 3 ] && [ "$restarts" -le 12 ] || fail "restarts of one that ends at once: $restarts"
harm leaks $'l = []\nwhile True: l.append(bytearray(1 << 20))'
[ "$restarts" -ge 1 ] || fail "one that leaks is not stopped"
harm floods $'while True:\n try: os.write(2, b"x" * 4096 + b"\\n")\n except OSError: time.sleep(1)'
[ "$(grep -c 'haproxy [0-9]*: x' "$TMP/agent.log")" -le 100 ] || fail "the flood is in our log"
harm writes $'f = os.open("/tmp/harm-'$$'", os.O_CREAT | os.O_WRONLY)\nos.write(f, b"x" * (1 << 20))'
[ ! -s /tmp/harm-$$ ] || fail "it could write $(stat -c %s /tmp/harm-$$) bytes"
rm -f /tmp/harm-$$

# not installed: unsupported here
config "program: /nonexistent/haproxy" ""
for verb in check run; do
	code=0
	"$BIN" proxy $verb --root "$ROOT" --config "$TMP/proxy.yaml" 2>"$TMP/err" || code=$?
	[ $code -eq 3 ] && grep -q 'apt-get install haproxy' "$TMP/err" || fail "$verb without HAProxy: $code, $(cat "$TMP/err")"
done
# what is wrong is told with its place, and nothing is run
wrong() { # EXPECTED, KEYS
	local code=0
	config "" "$2"
	"$BIN" proxy check --root "$ROOT" --config "$TMP/proxy.yaml" >"$TMP/err" 2>&1 || code=$?
	[ $code -eq 2 ] && grep -qE "$1" "$TMP/err" || fail "$2: exit $code, $(cat "$TMP/err")"
}
wrong 'proxy.yaml:8:25: request.methods: ' 'request: {methods: ["GET if TRUE"]}'
wrong 'proxy.yaml:8:[0-9]+: headers.deny: ' "headers: {deny: [\"X) -m found\"]}"
wrong 'headers.values: ' 'headers: {values: ["X: a)|(.*"]}'
wrong 'tls.cert: ' "tls: {cert: \"/a' ca-file '/etc/passwd\"}"
wrong 'breaker.probe: ' "breaker: {probe: \"/a b\"}"
wrong 'json.required: ' "json: {required: [\"a': x\"]}"
wrong "upstream_tls.name" "upstream_tls: {ca: /a, name: \"x),str(y\"}"
wrong 'proxy_from: ' 'proxy_from: ["0.0.0.0/0 { src"]'
wrong "section 'json' needs mode http" 'mode: tcp
    json: {depth: 2}'
wrong 'header_bytes is over' 'request: {header_bytes: 100K}'
wrong 'awaited' 'request: {chunked: true}'
wrong 'regex|regexp|regular' 'headers: {values: ["X: a{2,1}"]}'
