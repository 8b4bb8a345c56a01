#!/bin/bash
# limit: 180
# Secrets by reference: what each store may answer (contract stubs over TLS: secret_stub.py), rotation, refusal, and that a
# planted secret is nowhere but where it belongs.
. "$(dirname "$0")/lib.sh"
for p in jq openssl python3 curl; do command -v $p >/dev/null || skip "no $p"; done
HERE=$(cd "$(dirname "$0")" && pwd)

SECRET=planted-Zq81hXw-secret
SECRET2=planted-Rt52mKe-second
VAULT_TOKEN=planted-Vt77-token
AWS_SECRET=planted-Aw33-key
GCP_TOKEN=planted-Gc19-token
control() { # KEY VALUE...: changes members
	local f=$TMP/control.json
	[ -s "$f" ] || echo '{}' >"$f"
	while [ $# -gt 0 ]; do
		jq -c --arg k "$1" --arg v "$2" '.[$k] = $v' "$f" >"$f.new"
		mv "$f.new" "$f"
		shift 2
	done
}
control mode ok value $SECRET vault_token $VAULT_TOKEN gcp_token $GCP_TOKEN aws_key AKIDTEST aws_secret $AWS_SECRET \
	aws_session planted-session hook_token $SECRET

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout "$TMP/ca.key" -out "$TMP/ca.pem" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$TMP/stub.key" -out "$TMP/stub.csr" 2>/dev/null
openssl x509 -req -in "$TMP/stub.csr" -CA "$TMP/ca.pem" -CAkey "$TMP/ca.key" -CAcreateserial -days 2 -out "$TMP/stub.pem" \
	-extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1') 2>/dev/null
STUB=
stop_stub() {
	[ -n "$STUB" ] || return 0
	kill "$STUB" 2>/dev/null || true
	wait "$STUB" 2>/dev/null || true
	STUB=
}
at_exit stop_stub
start_stub() { # free ports are found by trying
	local i
	for i in 1 2 3 4 5 6; do
		TLS=$((21000 + (RANDOM + i) % 9000)) PLAIN=$((31000 + (RANDOM + i) % 9000))
		: >"$TMP/stub.out"
		python3 "$HERE/secret_stub.py" "$TMP/control.json" "$TMP/requests" "$TLS" "$PLAIN" "$TMP/stub.pem" "$TMP/stub.key" \
			>"$TMP/stub.out" 2>"$TMP/stub.err" &
		STUB=$!
		wait_until 10 stub_up_or_gone
		grep -q ready "$TMP/stub.out" && return 0
		wait "$STUB" || true
	done
	fail "the stub does not start: $(cat "$TMP/stub.err")"
}
stub_up_or_gone() { grep -q ready "$TMP/stub.out" || ! kill -0 "$STUB" 2>/dev/null; }
start_stub

mkdir -p "$ROOT/etc/waveos"
CONFIG=$ROOT/etc/waveos/waveos.yaml
printf '%s\n' $VAULT_TOKEN >"$TMP/vault-token"
write_config() { # a sink a store; TTL as given
	cat >"$CONFIG" <<-END
		metrics: {listen: ""}
		secrets:
		  ttl: ${1:-5m}
		  timeout: 2s
		  ca: $TMP/ca.pem
		  vault_address: https://localhost:$TLS
		  vault_token: file:$TMP/vault-token
		  aws_endpoint: https://localhost:$TLS
		  aws_session_token: env:AWS_SESSION_TOKEN
		  gcp_endpoint: https://localhost:$TLS
		  gcp_metadata: http://127.0.0.1:$PLAIN
		alerts:
		  - {name: v, type: webhook, url: "https://localhost:$TLS/hook/vault", ca: $TMP/ca.pem, token: "vault:kv/team/hook s#k", retry_min: 100ms, retry_max: 200ms}
		  - {name: a, type: webhook, url: "https://localhost:$TLS/hook/aws", ca: $TMP/ca.pem, token: "aws:eu-central-1/prod/hook#k", retry_min: 100ms, retry_max: 200ms}
		  - {name: g, type: webhook, url: "https://localhost:$TLS/hook/gcp", ca: $TMP/ca.pem, token: "gcp:proj/hook/3", retry_min: 100ms, retry_max: 200ms}
		alert_routes:
		  - {to: "v, a, g", match: {alert: AlertTest}, group_wait: 0s, group_interval: 0s}
	END
}
write_config
export AWS_ACCESS_KEY_ID=AKIDTEST AWS_SECRET_ACCESS_KEY=$AWS_SECRET AWS_SESSION_TOKEN=planted-session
export no_proxy='*' NO_PROXY='*'
check() { # STATUS: `secret check` ends with it; its answer is in out and out.json
	local status=0
	"$BIN" secret check --json --root "$ROOT" >"$TMP/out.json" 2>"$TMP/err" || status=$?
	cat "$TMP/out.json" "$TMP/err" >>"$TMP/everything"
	[ $status -eq "$1" ] || fail "exit $status instead of $1: $(cat "$TMP/out.json" "$TMP/err")"
}
says() { # N TEXT: the message of alert N
	jq -r ".secrets[] | select(.setting == \"alerts[$1].token\") | .error" "$TMP/out.json" | grep -q -- "$2" ||
		fail "alerts[$1] does not say '$2': $(cat "$TMP/out.json")"
}
control mode ok
check 0
[ "$(jq '.secrets | map(.ok) | all' "$TMP/out.json")" = true ] || fail "$(cat "$TMP/out.json")"
[ "$(jq '.secrets | length' "$TMP/out.json")" -eq 7 ] || fail "three sinks and four of the stores: $(cat "$TMP/out.json")"
"$BIN" secret check --root "$ROOT" >"$TMP/out" || fail "$(cat "$TMP/out")"
[ "$(grep -c '^ok ' "$TMP/out")" -eq 7 ] || fail "$(cat "$TMP/out")"
[ "$(jq '[.secrets[] | select(.unchanged_s > 86400)] | length' "$TMP/out.json")" -ge 2 ] || fail "ages: $(cat "$TMP/out.json")"

# what may go wrong
matrix() { # MODE, and what each of vault, aws, gcp says
	control mode "$1"
	check 1
	says 0 "$2"
	says 1 "$3"
	says 2 "$4"
}
matrix 403 'Vault refuses (403)' 'AWS refuses (403)' 'Google refuses (403)'
matrix 404 'no such secret (404)' 'no such secret (404)' 'no such secret (404)'
matrix 429 'answered 429' 'answered 429' 'answered 429'
matrix 500 'answered 500' 'answered 500' 'answered 500'
matrix slow 'Timeout' 'Timeout' 'Timeout'
matrix truncated . . .
matrix oversized 'more than 1048576' 'more than 1048576' 'more than 1048576'
matrix malformed 'no JSON' 'no JSON' 'no JSON'
matrix redirect 'answered 307' 'answered 307' 'answered 307'
! grep -q elsewhere "$TMP/requests" || fail "a redirect was followed"
one() { # MODE N TEXT: one store's own
	control mode "$1"
	check 1
	says "$2" "$3"
}
one destroyed 0 'is destroyed'
one deleted 0 'is deleted'
one kv1 0 'KV version 2'
one badsum 2 'does not match its checksum'
one nosum 2 'no checksum'
one disabled 2 'disabled or destroyed'
one throttled 1 'ThrottlingException'
control mode ok
printf wrong >"$TMP/vault-token"
one ok 0 'Vault refuses (403)'
printf '%s\n' $VAULT_TOKEN >"$TMP/vault-token"
AWS_SECRET_ACCESS_KEY=planted-wrong one ok 1 'InvalidSignatureException'
AWS_ACCESS_KEY_ID='' one ok 1 'aws_access_key cannot be had'
# certificates of others are not believed
sed -i "s|^  ca: .*|  ca: \"\"|" "$CONFIG"
one ok 0 'certificate'
write_config
sed -i "s|vault_address: https://localhost|vault_address: http://vault.example|" "$CONFIG"
one ok 0 'https://'
write_config

# a plain secret is refused, and not shown
sed -i "s|token: \"gcp:proj/hook/3\"|token: $SECRET|" "$CONFIG"
check 2
grep -q 'token: expected where the secret is kept' "$TMP/err" || fail "$(cat "$TMP/err")"
status=0
"$BIN" attach --root "$ROOT" >>"$TMP/everything" 2>&1 || status=$?
[ $status -eq 2 ] || fail "attach with a plain secret ends with $status"
write_config 10s

# in use: each sink gets the value of its store
agent_start
hooks() { # NAME OK: requests to that hook
	[ -s "$TMP/requests" ] && jq -s --arg p "/hook/$1" --argjson ok "$2" '[.[] | select(.path == $p and .ok == $ok)] | length' "$TMP/requests"
}
all_have() { [ "$(hooks vault true)" -ge "$1" ] && [ "$(hooks aws true)" -ge "$1" ] && [ "$(hooks gcp true)" -ge "$1" ]; }
"$BIN" alert test --severity critical --root "$ROOT" >/dev/null
wait_until 15 all_have 1 || fail "not delivered: $(cat "$TMP/requests" "$TMP/agent.log")"
[ "$(hooks vault false)$(hooks aws false)$(hooks gcp false)" = 000 ] || fail "a wrong token was sent"
# rotated at once everywhere: the old value is refused, the new one is fetched and the message sent again
control value $SECRET2 hook_token $SECRET2
"$BIN" alert test --severity info --root "$ROOT" >/dev/null
wait_until 20 all_have 2 || fail "not delivered after the rotation: $(tail -n 5 "$TMP/requests")"
# the stores are down for longer than the TTL: what is known is used
control mode 503
before=$(hooks vault true) gcp_before=$(hooks gcp true)
down() { grep -q 'answered 503; the old value is used' "$TMP/agent.log"; }
wait_until 25 down || fail "nobody noticed that stores are down: $(tail -n 5 "$TMP/agent.log")"
"$BIN" alert test --severity warning --root "$ROOT" >/dev/null
more() { [ "$(hooks vault true)" -gt "$before" ] && [ "$(hooks gcp true)" -gt "$gcp_before" ]; }
wait_until 20 more || fail "not delivered while the stores are down"
control mode ok
wait_until 70 grep -q 'is there again' "$TMP/agent.log" || fail "it does not come back"

# nowhere but where it belongs
"$BIN" evidence export --root "$ROOT" --run latest -o "$TMP/pack.tar.zst" >"$TMP/out" 2>&1 || fail "no pack: $(cat "$TMP/out")"
zstd -dcq "$TMP/pack.tar.zst" >"$TMP/pack.tar"
grep -qa alert-test "$TMP/pack.tar" || fail "the pack has nothing in it"
"$BIN" doctor --root "$ROOT" >>"$TMP/everything" 2>&1 || true
"$BIN" status --json --root "$ROOT" >>"$TMP/everything" 2>&1 || true
"$BIN" alert list --json --root "$ROOT" >>"$TMP/everything" 2>&1 || true
for pid in $(pgrep -P "$AGENT"; echo "$AGENT"); do
	tr '\0' '\n' <"/proc/$pid/cmdline" >>"$TMP/everything"
	for child in $(pgrep -P "$pid"); do
		tr '\0' '\n' <"/proc/$child/cmdline" >>"$TMP/everything"
		# who has the secrets leaves no core dump and cannot be traced
		[ "$(cat "/proc/$child/comm")" != waveos-sender ] || sender=$child
	done
done
[ -n "${sender:-}" ] || fail "there is no sender process"
grep -q 'Max core file size *0 ' "/proc/$sender/limits" || fail "the sender may dump core"
grep -q '^VmLck:[^0-9]*[1-9]' "/proc/$sender/status" || fail "the sender locked nothing"
grep -q '^CapBnd:.*' "/proc/$sender/status"
if [ "$(id -u)" -eq 0 ]; then
	[ "$(awk '/^Uid/ {print $2}' "/proc/$sender/status")" -ne 0 ] || fail "the sender is root"
	# CAP_DAC_READ_SEARCH for the file of Vault's token, and nothing else
	[ "$(awk '/^CapEff/ {print $2}' "/proc/$sender/status")" = 0000000000000004 ] || fail "$(grep Cap "/proc/$sender/status")"
fi
agent_stop
for s in $SECRET $SECRET2 $VAULT_TOKEN $AWS_SECRET $GCP_TOKEN planted-session; do
	! grep -rlaF -- "$s" "$ROOT/var" "$ROOT/run" "$TMP/agent.log" "$TMP/everything" "$TMP/pack.tar" || fail "the secret $s leaked"
done
# the search finds what is there
grep -rqaF -- "alert-test" "$ROOT/var" || fail "the search finds nothing at all"
stop_stub
