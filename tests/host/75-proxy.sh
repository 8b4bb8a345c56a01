#!/bin/bash
# Proxies: a real HAProxy under our configuration, with raw bytes in front and servers behind. What is refused never
# reaches a server; budgets, queues, timeouts and breakers hold.
. "$(dirname "$0")/lib.sh"
[ -x /usr/sbin/haproxy ] || skip "HAProxy is not installed"
export TMP BIN ROOT

# The socket's path is short, so ROOT may not be deep.
if [ ${#ROOT} -gt 60 ]; then
	ROOT=$(mktemp -d /tmp/wvproxy.XXXXXX)
	at_exit rm -rf "$ROOT"
fi
port=$(python3 - <<'PY'
import random, socket
while True:
    base = random.randrange(20000, 30000, 16)
    try:
        held = [socket.create_server(("127.0.0.1", base + i)) for i in range(13)]
    except OSError:
        continue
    print(base)
    break
PY
)
p() { echo "127.0.0.1:$((port + $1))"; }

# An authority, another one, and certificates: server a, server "up", a client
authority() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
		-keyout "$TMP/$1.key" -out "$TMP/$1.pem" 2>/dev/null
}
certificate() { # NAME AUTHORITY HOST
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$3" -keyout "$TMP/$1.key" \
		-out "$TMP/$1.csr" 2>/dev/null
	openssl x509 -req -in "$TMP/$1.csr" -CA "$TMP/$2.pem" -CAkey "$TMP/$2.key" -CAcreateserial -days 2 \
		-extfile <(echo "subjectAltName=DNS:$3") -out "$TMP/$1.crt" 2>/dev/null
	cat "$TMP/$1.crt" "$TMP/$1.key" >"$TMP/$1.pem"
}
authority ca
authority ca2
certificate front ca a
certificate up ca up
certificate client ca client
certificate other ca2 up

cat >"$TMP/proxy.yaml" <<YAML
proxy: {buffer: 32K}
proxies:
  - name: strict
    listen: "$(p 0)"
    upstream: ["$(p 1)"]
    request: {body_max: 8K, chunked: true}
    client: {requests: 1000}
  - name: limits
    listen: "$(p 2)"
    upstream: ["$(p 1)"]
    request:
      {methods: [GET, POST], hosts: [a], uri_max: 256, headers_max: 15, header_bytes: 1K, body_max: 1000,
      chunked: true, content_types: [application/json]}
    headers: {deny: [X-Debug], allow: [Accept, X-Unit, X-Quote], values: ["X-Unit: [0-9]{1,4}", "X-Quote: a'b"]}
    timeout: {header: 1s, body: 1s, idle: 2s, response: 1s}
  - name: json
    listen: "$(p 3)"
    upstream: ["$(p 1)"]
    request: {body_max: 1000, chunked: true}
    json: {depth: 3, required: ["unit: number", name]}
  - name: normalise
    listen: "$(p 4)"
    upstream: ["$(p 1)"]
    request: {framing: normalise, body_max: 8K, chunked: true}
  - name: budgets
    listen: "$(p 5)"
    upstream: ["$(p 1)"]
    client: {connections: 5, requests: 20}
    total: {requests: 100}
  - name: queue
    listen: "$(p 6)"
    upstream: ["$(p 1)"]
    total: {upstream: 2, queue: 4, queue_timeout: 500ms}
  - name: break
    listen: "$(p 7)"
    upstream: ["$(p 12)"]
    breaker: {errors: 5, error_share: 40%, min_requests: 20, window: 10s, probe: /health, probe_every: 300ms, probes: 2}
    client: {requests: 100}
  - name: raw
    listen: "$(p 8)"
    mode: tcp
    upstream: ["$(p 9)"]
    proxy_from: [127.0.0.9/32]
    send_proxy: v2
    client: {requests: 20}
    timeout: {idle: 1s, response: 1s}
    breaker: {probe_every: 200ms}
  - name: tls
    listen: "$(p 10)"
    upstream: ["$(p 11)"]
    tls: {cert: $TMP/front.pem, client_ca: $TMP/ca.pem}
    upstream_tls: {ca: $TMP/ca.pem, cert: $TMP/client.pem, name: up}
    breaker: {probe_every: 200ms}
YAML
"$BIN" proxy check --config "$TMP/proxy.yaml" || fail "check"
mkdir -p "$ROOT"
"$BIN" proxy run --root "$ROOT" --config "$TMP/proxy.yaml" 2>"$TMP/agent.log" &
worker=$!
at_exit kill -KILL "$worker"
at_exit "$BIN" detach --root "$ROOT"
answers() { "$BIN" proxy status --json --root "$ROOT" 2>/dev/null | jq -e '.proxies | length == 9' >/dev/null; }
wait_until 10 answers || fail "no status"

parts=(framing limits schema slow budgets queue breaker tcp tls)
timeout 150 python3 "$(dirname "$0")/proxy_traffic.py" "$port" ${PARTS:-"${parts[@]}"} || fail "traffic"

kill -TERM "$worker"
wait "$worker" || fail "the worker ended with status $?"
