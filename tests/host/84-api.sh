#!/bin/bash
# The API of a real agent: who may what by token, user and client certificate; refusals; TLS on another address than
# loopback and no other way; records of access that verify; a secret that is nowhere; hostile requests; workers that are
# killed, stopped and slow.
# limit: 300
. "$(dirname "$0")/lib.sh"
for program in curl jq openssl setpriv nsenter unshare ip python3; do
	command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "not root"
here=$(cd "$(dirname "$0")" && pwd)
# other users go in and out here
W=$(mktemp -d /tmp/wv-api.XXXXXX)
finish() { # the agent first: its files and the binary are in there
	agent_kill
	"$BIN" detach --root "$ROOT" || true
	umount -l "$ROOT/sys/fs/bpf" || true
	rm -rf "$W"
}
at_exit finish
chmod 755 "$W"
ROOT=$W/root
mkdir -p "$ROOT/etc/waveos" "$W/tls" "$W/out"
chmod 777 "$W/out"
cp "$BIN" "$W/waveos-bpf"
BIN=$W/waveos-bpf
SOCK=$ROOT/run/waveos/api.sock
STATE=$ROOT/var/lib/waveos
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')

# a network of its own, with an address that is not loopback
unshare -n sleep 1000 &
holder=$!
at_exit kill "$holder"
net() { nsenter -t "$holder" -n "$@"; }
ready_net() { [ "$(readlink "/proc/$holder/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
wait_until 5 ready_net || fail "no network of its own"
net ip link set lo up
net ip addr add 10.99.0.1/24 dev lo

# certificates: a server, two clients of the right authority, one of another
ca() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" -keyout "$W/tls/$1.key" \
	-addext keyUsage=critical,keyCertSign,cRLSign -out "$W/tls/$1.pem" 2>/dev/null; }
cert() { # NAME CA SUBJECT SAN USAGE
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$3" -keyout "$W/tls/$1.key" -out "$W/tls/$1.csr" 2>/dev/null
	printf 'subjectAltName=%s\nextendedKeyUsage=%s\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n' "$4" "$5" >"$W/tls/$1.ext"
	printf 'subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' >>"$W/tls/$1.ext"
	openssl x509 -req -in "$W/tls/$1.csr" -CA "$W/tls/$2.pem" -CAkey "$W/tls/$2.key" -CAcreateserial -days 2 \
		-extfile "$W/tls/$1.ext" -out "$W/tls/$1.pem" 2>/dev/null
}
ca ca
ca other
cert server ca node IP:10.99.0.1,IP:127.0.0.1 serverAuth
cert grafana ca grafana DNS:grafana.example clientAuth
cert unknown ca unknown DNS:unknown.example clientAuth
cert forged other grafana DNS:grafana.example clientAuth

### refused at the start

refused() { # MESSAGE OPTION...
	local text=$1 code=0
	shift
	net "$BIN" attach --root "$ROOT" "$@" >/dev/null 2>"$W/refused" || code=$?
	[ "$code" -eq 2 ] || fail "attach $*: exit $code, not 2: $(cat "$W/refused")"
	grep -q "$text" "$W/refused" || fail "attach $*: does not say '$text': $(cat "$W/refused")"
}
refused 'nothing encrypts it: set access.tls_cert' --set metrics.listen=10.99.0.1:9850
refused 'nothing encrypts it' --set metrics.listen='[::]:9850'
refused 'access.tls_key is missing' --set metrics.listen=10.99.0.1:9850 --set access.tls_cert="$W/tls/server.pem"
refused 'not the key of' --set metrics.listen=10.99.0.1:9850 --set access.tls_cert="$W/tls/server.pem" \
	--set access.tls_key="$W/tls/grafana.key"
refused 'client_ca needs' --set access.client_ca="$W/tls/ca.pem"
refused "no group 'no-such-group'" --set metrics.listen="127.0.0.1:$port" --set access.socket_group=no-such-group

### loopback, without any configuration of access

begin() {
	nsenter -t "$holder" -n "$BIN" attach --root "$ROOT" --set metrics.listen="127.0.0.1:$port" --set agent.log_format=text --set agent.tick=200ms \
		"$@" 2>"$W/agent.log" &
	AGENT=$!
	TMP=$W wait_until 60 grep -qs 'first figures' "$W/agent.log" || fail "no agent: $(cat "$W/agent.log")"
}
TMP=$W
plain=(net curl "http://127.0.0.1:$port")
via=("${plain[@]}")
# status CODE METHOD PATH [curl options]: asks by "${via[@]}" (its last word is the address), and leaves the body in $W/out/body
status() {
	local wanted=$1 method=$2 path=$3 got
	shift 3
	rm -f "$W/out/body"
	got=$("${via[@]:0:${#via[@]}-1}" -sS -m 30 -o "$W/out/body" -w '%{http_code}' -X "$method" "$@" "${via[-1]}$path") || true
	[ "$got" = "$wanted" ] || fail "$method $path by ${via[*]}: $got, not $wanted: $(head -c 400 "$W/out/body")"
}
body() { jq -er "$1" "$W/out/body" >/dev/null || fail "not $1: $(head -c 400 "$W/out/body")"; }
begin
status 200 GET /api/v1/whoami
body '.identity == "loopback" and .roles == ["viewer"] and .schema_version == 1'
for path in events policy runs history gpu status 'report?format=json' 'report?format=markdown' report; do status 200 GET "/api/v1/$path"; done
status 200 GET '/api/v1/events?limit=3'
body '(.events | length) == 3 and .last == .events[2].seq and .events[0].seq < .events[2].seq'
last=$(jq .last "$W/out/body")
status 200 GET "/api/v1/events?after=$((last - 2))&limit=1"
body ".events[0].seq == $((last - 1)) and .last == $((last - 1))"
status 200 GET '/api/v1/events?type=core-start,boot'
body '[.events[].type] | sort == ["boot", "core-start"]'
status 200 GET '/api/v1/history?cgroup=/&columns=cpu_usage_ns'
body '.columns == ["wall_ns", "cpu_usage_ns"]'
for path in 'events?limit=0' 'events?limit=1001' 'events?after=x' 'history?columns=a%22b' 'report?run=../../etc' 'report?format=pdf'; do
	status 400 GET "/api/v1/$path"
	body '.error.code == "bad-request"'
done
status 404 GET '/api/v1/history?run=none'
status 404 GET /api/v1/nothing
status 405 POST /api/v1/policy
status 405 GET /api/v1/policy/apply
for path in policy/apply policy/dry-run bundle/rollback evidence/export recover; do
	status 403 POST "/api/v1/$path"
	body '.error.code == "denied"'
done
# a page of somebody else's in a browser here: by a name of theirs, or by a form
status 403 GET /api/v1/events -H 'Host: evil.example'
status 403 POST /api/v1/recover -H 'Origin: https://evil.example'
# no peer needs /metrics to know who it is
status 200 GET /metrics
status 200 GET /healthz
agent_stop

### roles: tokens, users

cat >"$ROOT/etc/waveos/waveos.yaml" <<-EOC
	access: {socket_group: '4100'}
	roles:
	  - {user: '4001', role: viewer}
	  - {user: '4002', role: operator}
	  - {user: '4003', role: auditor}
	  - {user: '4004', role: admin}
EOC
secret_of() { "$BIN" token create --root "$ROOT" --name "$1" --role "$1" --expires 1h 2>/dev/null; }
declare -A token
for role in viewer operator admin auditor; do token[$role]=$(secret_of "$role"); done
[ "$(stat -c %a "$STATE/access")" = 700 ] && [ "$(stat -c %a "$STATE/access/tokens")" = 600 ] || fail "the file of tokens is not private"
begin
[ "$(stat -c '%a %g' "$SOCK")" = '660 4100' ] || fail "api.sock: $(stat -c '%a %u:%g' "$SOCK")"
status 401 GET /api/v1/whoami
status 200 GET /metrics
cat >"$W/policy.yaml" <<-EOC
	schema_version: 1
	name: from-api
	domains: [{name: work, scope: {cgroup: /wvtest-api-none}}]
	modes: [{name: normal}]
EOC
# who gets what: a request that is allowed and cannot be done gives another error than 401 and 403
declare -A want=(
	[viewer]="200 200 403 403 403 403 403"
	[operator]="200 200 200 400 400 403 403"
	[admin]="200 200 200 400 400 400 200"
	[auditor]="200 200 403 403 403 400 200"
)
matrix() { # WANTED: of whom the options in `options` are
	local codes
	read -ra codes <<<"$1"
	status "${codes[0]}" GET /api/v1/events
	status "${codes[1]}" GET /api/v1/policy
	status "${codes[2]}" POST /api/v1/policy/dry-run --data-binary "@$W/policy.yaml" -H 'Content-Type: application/yaml'
	status "${codes[3]}" POST '/api/v1/bundle/rollback?bundle=app/none'
	status "${codes[4]}" POST /api/v1/recover
	status "${codes[5]}" POST /api/v1/evidence/export
	status 200 GET '/api/v1/events?type=access-*,token-*'
	if [ "${codes[6]}" = 200 ]; then body '.events | length > 0'; else body '.events == []'; fi
}
for role in viewer operator admin auditor; do
	via=(net curl -H "Authorization: Bearer ${token[$role]}" "http://127.0.0.1:$port")
	matrix "${want[$role]}"
	status 200 GET /api/v1/whoami
	body ".identity == \"token:$role\" and .role == \"$role\""
done
# local user UID [COMMAND...]
local_user() {
	local uid=$1
	shift
	setpriv --reuid "$uid" --regid 4100 --clear-groups -- "$@"
}
uid=4001
for role in viewer operator auditor admin; do
	via=(local_user "$uid" curl --unix-socket "$SOCK" http://localhost)
	matrix "${want[$role]}"
	status 200 GET /api/v1/whoami
	body ".identity == \"uid:$uid\" and .roles == [\"$role\"]"
	uid=$((uid + 1))
done
via=(local_user 4009 curl --unix-socket "$SOCK" http://localhost)
status 403 GET /api/v1/whoami
via=(curl --unix-socket "$SOCK" http://localhost)
status 200 GET /api/v1/whoami
body '.identity == "uid:0" and .roles == ["admin"]'
setpriv --reuid 65534 --regid 65534 --clear-groups -- curl -sS -m 5 --unix-socket "$SOCK" http://localhost/healthz >/dev/null 2>&1 &&
	fail "a user outside of the group may connect"

### the command line, for members of a role

status_of() { # CODE UID VERB...: its output is in $W/out/cli
	local wanted=$1 uid=$2 got=0
	shift 2
	local_user "$uid" "$BIN" "$@" --root "$ROOT" >"$W/out/cli" 2>"$W/out/cli.err" || got=$?
	[ "$got" = "$wanted" ] || fail "uid $uid: $*: exit $got, not $wanted: $(cat "$W/out/cli.err")"
}
status_of 0 4001 status --json
jq -e .running "$W/out/cli" >/dev/null || fail "status over the socket: $(cat "$W/out/cli")"
status_of 0 4001 report latest
grep -q '^# ' "$W/out/cli" || fail "no report over the socket"
status_of 4 4001 policy apply "$W/policy.yaml"
status_of 4 4003 policy apply "$W/policy.yaml"
status_of 0 4002 policy apply "$W/policy.yaml" --dry-run
status_of 0 4002 policy apply "$W/policy.yaml"
grep -q 'in force: from-api@' "$W/out/cli" || fail "apply over the socket says: $(cat "$W/out/cli")"
[ "$("$BIN" status --json --root "$ROOT" | jq -r .policy_version)" = "from-api@$(sha256sum "$W/policy.yaml" | cut -c1-12)" ] ||
	fail "the policy is not in force"
status_of 4 4002 evidence export --since 1h -o "$W/out/pack.tar.zst"
status_of 0 4003 evidence export --since 1h -o "$W/out/pack.tar.zst"
"$BIN" evidence verify "$W/out/pack.tar.zst" --key "$("$BIN" evidence key --root "$ROOT" | head -n 1)" >/dev/null || fail "the pack over the socket does not verify"
status_of 0 4003 audit list
grep -q 'access-granted.*uid:4002.*policy-apply' "$W/out/cli" || fail "audit list over the socket: $(cat "$W/out/cli")"
for uid in 4001 4002 4003 4004; do
	status_of 4 "$uid" token create --name x --role admin
	status_of 4 "$uid" detach
done
status_of 4 4009 status

### a token that is revoked or over counts no more, at once

via=(net curl -H "Authorization: Bearer ${token[viewer]}" "http://127.0.0.1:$port")
status 200 GET /api/v1/whoami
"$BIN" token revoke viewer --root "$ROOT" >/dev/null
status 401 GET /api/v1/whoami
short=$("$BIN" token create --root "$ROOT" --name short --role viewer --expires 1s 2>/dev/null)
via=(net curl -H "Authorization: Bearer $short" "http://127.0.0.1:$port")
over() { [ "$("${via[@]:0:${#via[@]}-1}" "${via[-1]}/api/v1/whoami" -s -o /dev/null -w '%{http_code}')" != 200 ]; }
wait_until 10 over || fail "a token that is over still counts"

### failures are limited, and a right token is not locked out

limited=0
for _ in $(seq 20); do
	code=$(net curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer wvt_wrong" "http://127.0.0.1:$port/api/v1/whoami")
	case $code in 401) ;; 429) limited=$((limited + 1)) ;; *) fail "a wrong token: $code" ;; esac
done
[ "$limited" -ge 5 ] || fail "20 wrong tokens, and only $limited were limited"
net curl -s -D "$W/out/head" -o /dev/null -H "Authorization: Bearer wvt_wrong" "http://127.0.0.1:$port/api/v1/whoami"
grep -qi '^retry-after: [1-9]' "$W/out/head" || fail "429 without Retry-After"
via=(net curl -H "Authorization: Bearer ${token[auditor]}" "http://127.0.0.1:$port")
status 200 GET /api/v1/whoami

### workers that are killed or stopped

pid_of() { "$BIN" status --json --root "$ROOT" | jq -r ".$1_pid"; }
another() { [ "$(pid_of "$1")" != "$2" ] && [ "$(pid_of "$1")" != 0 ]; }
works() { # asks as the admin
	[ "$(net curl -s -o /dev/null -m 10 -w '%{http_code}' -H "Authorization: Bearer ${token[admin]}" "http://127.0.0.1:$port/api/v1/whoami")" = 200 ]
}
for worker in api web api; do
	old=$(pid_of "$worker")
	kill -KILL "$old"
	wait_until 10 another "$worker" "$old" || fail "$worker did not come back"
	wait_until 10 works || fail "no answer after $worker was killed"
done
# one that does not answer: its clients wait and are told, all others are served
api=$(pid_of api)
core=$(pid_of core)
kill -STOP "$api"
at_exit kill -CONT "$api"
for i in $(seq 40); do
	net curl -s -m 20 -o /dev/null -w '%{http_code}\n' -H "Authorization: Bearer ${token[admin]}" "http://127.0.0.1:$port/api/v1/whoami" >"$W/out/stopped.$i" &
	waits[i]=$!
done
served() { [ "$(net curl "${plain[-1]}/metrics" -s -m 2 -o /dev/null -w '%{http_code}')" = 200 ]; }
# 40 at once are more than one address may have; those that are refused are gone at once
wait_until 4 served || fail "no /metrics beside a stopped api worker"
via=("${plain[@]}")
status 200 GET /healthz
wait "${waits[@]}" || true
kill -CONT "$api"
sort "$W"/out/stopped.* | uniq -c | sed 's/^/stopped api worker: /'
grep -qx 504 "$W"/out/stopped.* || fail "nobody was told 504"
grep -vqx -e 504 -e 503 -e 000 "$W"/out/stopped.* && fail "an answer of a stopped worker"
[ "$(pid_of core)" = "$core" ] || fail "core was replaced"
wait_until 10 works || fail "no answer after the worker went on"

### hostile requests

via=("${plain[@]}")
net python3 "$here/api_hostile.py" "$port" "${token[operator]}" || fail "hostile requests"
wait_until 10 works || fail "no answer after hostile requests"
head -c 1100000 /dev/zero | tr '\0' 'a' >"$W/out/large"
via=(net curl -H "Authorization: Bearer ${token[operator]}" "http://127.0.0.1:$port")
status 413 POST /api/v1/policy/apply --data-binary "@$W/out/large" -H 'Content-Type: application/yaml'
head -c 100000 /dev/urandom >"$W/out/noise"
status 400 POST /api/v1/policy/dry-run --data-binary "@$W/out/noise" -H 'Content-Type: application/yaml'
grep -q 'web ended (signal' "$W/agent.log" && [ "$(grep -c 'web ended (signal' "$W/agent.log")" -gt 1 ] && fail "the web worker crashed"
agent_stop

### another address: TLS only

begin --set metrics.listen="10.99.0.1:$port" --set access.tls_cert="$W/tls/server.pem" --set access.tls_key="$W/tls/server.key" \
	--set access.client_ca="$W/tls/ca.pem"
url=https://10.99.0.1:$port
curl_tls=(net curl --cacert "$W/tls/ca.pem")
via=("${curl_tls[@]}" "$url")
status 200 GET /healthz
status 401 GET /metrics
status 401 GET /api/v1/whoami
net curl -s -m 5 "http://10.99.0.1:$port/healthz" >/dev/null 2>&1 && fail "plain HTTP is answered"
net curl -s -m 5 --cacert "$W/tls/ca.pem" --tls-max 1.1 "$url/healthz" >/dev/null 2>&1 && fail "TLS 1.1 is answered"
for v in 1.2 1.3; do
	via=("${curl_tls[@]}" "--tlsv$v" --tls-max "$v" -H "Authorization: Bearer ${token[auditor]}" "$url")
	status 200 GET /metrics
	status 200 GET /api/v1/whoami
	body '.identity == "token:auditor" and .peer == "10.99.0.1"'
done
cat >>"$ROOT/etc/waveos/waveos.yaml" <<-EOC
	  - {certificate: 'DNS:grafana.example', role: viewer}
EOC
agent_stop
begin --set metrics.listen="10.99.0.1:$port" --set access.tls_cert="$W/tls/server.pem" --set access.tls_key="$W/tls/server.key" \
	--set access.client_ca="$W/tls/ca.pem"
with_cert() { via=("${curl_tls[@]}" --cert "$W/tls/$1.pem" --key "$W/tls/$1.key" "$url"); }
with_cert grafana
status 200 GET /api/v1/whoami
body '.identity == "certificate:DNS:grafana.example" and .roles == ["viewer"]'
status 200 GET /metrics
status 200 GET /api/v1/events
status 403 POST /api/v1/policy/dry-run --data-binary "@$W/policy.yaml"
with_cert unknown
status 403 GET /api/v1/whoami
with_cert forged
status 401 GET /api/v1/whoami

# another certificate, without a restart of the agent
supervisor=$AGENT
cert server2 ca node IP:10.99.0.1 serverAuth
web=$(pid_of web)
cp "$W/tls/server2.key" "$W/tls/server.key.new" && cp "$W/tls/server2.pem" "$W/tls/server.pem.new"
mv "$W/tls/server.key.new" "$W/tls/server.key" && mv "$W/tls/server.pem.new" "$W/tls/server.pem"
serial() { net openssl s_client -connect "10.99.0.1:$port" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
new_serial=$(openssl x509 -noout -serial -in "$W/tls/server2.pem")
changed() { [ "$(serial)" = "$new_serial" ]; }
wait_until 30 changed || fail "the new certificate is not served"
[ "$(pid_of supervisor)" = "$supervisor" ] && [ "$(pid_of web)" != "$web" ] || fail "it took more than another web worker"
with_cert grafana
status 200 GET /api/v1/whoami
agent_stop

# plain, on purpose: figures and nothing else
begin --set metrics.listen="10.99.0.1:$port" --set access.plain_metrics=true
via=(net curl "http://10.99.0.1:$port")
status 200 GET /metrics
status 200 GET /healthz
for path in / /api/v1/whoami /api/v1/events; do status 403 GET "$path"; done
via=(net curl -H "Authorization: Bearer ${token[admin]}" "http://10.99.0.1:$port")
status 403 GET /api/v1/whoami
agent_stop

### what is left behind

"$BIN" evidence verify --root "$ROOT" >/dev/null || fail "the log does not verify"
records() { "$BIN" audit list --limit 100000 --json --root "$ROOT"; }
has() { records | jq -es "any(.[]; $1)" >/dev/null || fail "no record: $1"; }
has '.type == "token-created" and .role == "operator" and .by == "uid:0"'
has '.type == "token-revoked" and .name == "viewer"'
has '.type == "access-granted" and .identity == "uid:4002" and .permission == "policy-apply" and (.body_sha256 | length) == 64'
has '.type == "access-outcome" and .identity == "uid:4002" and .permission == "policy-apply" and .exit_code == 0'
has '.type == "access-denied" and .identity == "uid:4001" and .permission == "policy-apply"'
has '.type == "access-denied" and .reason == "too many failures" and .count >= 1'
has '.type == "access-denied" and .reason == "expired"'
has '.type == "access-used" and .identity == "certificate:DNS:grafana.example" and .count >= 2'
# refusals by the hundred are a few records
n=$(records | jq -s '[.[] | select(.type == "access-denied")] | length')
[ "$n" -lt 150 ] || fail "$n records of refusals"
for role in viewer operator admin auditor; do
	secret=${token[$role]##*_}
	grep -rqsaF "$secret" "$ROOT/var" "$ROOT/run" "$ROOT/etc" "$W/agent.log" && fail "the secret of a token is in a file"
	zstd -dcq "$W/out/pack.tar.zst" | grep -qaF "$secret" && fail "the secret of a token is in a pack"
done
echo "ok: $(records | wc -l) records of access, $n of refusals"
