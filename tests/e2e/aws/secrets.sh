#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# AWS Secrets Manager by moto, which Debian has from version 13 on: in a chroot of that (about a minute; root). moto does not
# check signatures; tests/host/83-secrets.sh computes them again.
#   make e2e-aws      MOTO=DIR: a chroot that is there already
BIN=${BIN:-$PWD/${O:-build}/waveos-bpf} TMP=$(mktemp -d)
. "$(dirname "$0")/../../host/lib.sh"
for p in mmdebstrap jq curl; do command -v $p >/dev/null || skip "no $p"; done
[ "$(id -u)" -eq 0 ] || skip "needs root"
if [ -z "${MOTO:-}" ]; then
	MOTO=$TMP/moto
	mmdebstrap --quiet --variant=apt --include=python3-moto,python3-flask,python3-flask-cors trixie "$MOTO" || skip "no chroot of Debian 13"
fi
PID=
stop_moto() {
	[ -z "$PID" ] || kill "$PID" || true
	[ -z "$PID" ] || wait "$PID" || true
	rm -rf "$TMP"
}
at_exit stop_moto
PORT=$((23000 + RANDOM % 7000))
chroot "$MOTO" /usr/bin/moto_server -H 127.0.0.1 -p $PORT >"$TMP/moto.log" 2>&1 &
PID=$!
export no_proxy='*' NO_PROXY='*' AWS_ACCESS_KEY_ID=AKIDTEST AWS_SECRET_ACCESS_KEY=planted-key
up() { curl -s -o /dev/null "http://127.0.0.1:$PORT/moto-api/"; }
wait_until 60 up || fail "moto does not start: $(tail -n 5 "$TMP/moto.log")"
aws() { # ACTION BODY
	curl -sf --aws-sigv4 aws:amz:eu-central-1:secretsmanager -u "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
		-H 'Content-Type: application/x-amz-json-1.1' -H "X-Amz-Target: secretsmanager.$1" -d "$2" "http://127.0.0.1:$PORT/"
}
aws CreateSecret '{"Name":"prod/hook","SecretString":"{\"k\":\"planted-one\"}"}' >/dev/null || fail "moto takes no secret"
aws CreateSecret '{"Name":"prod/gone","SecretString":"x"}' >/dev/null
aws DeleteSecret '{"SecretId":"prod/gone"}' >/dev/null
mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/waveos.yaml" <<-END
	secrets: {aws_endpoint: "http://127.0.0.1:$PORT"}
	alerts:
	  - {name: a, type: webhook, url: "https://h.example/", token: "aws:eu-central-1/prod/hook#k"}
	  - {name: b, type: webhook, url: "https://h.example/", token: "aws:eu-central-1/prod/hook#other"}
	  - {name: c, type: webhook, url: "https://h.example/", token: "aws:eu-central-1/prod/none"}
	  - {name: d, type: webhook, url: "https://h.example/", token: "aws:eu-central-1/prod/gone"}
END
status=0
"$BIN" secret check --json --root "$ROOT" >"$TMP/out" || status=$?
[ $status -eq 1 ] || fail "exit $status"
says() { jq -er --arg s "alerts[$1].token" ".secrets[] | select(.setting == \$s) | $2" "$TMP/out" >/dev/null || fail "$1: $(cat "$TMP/out")"; }
says 0 '.ok and .unchanged_s < 600'
says 1 '.error == "it has no such field"'
says 2 '.error | test("ResourceNotFoundException|no such secret")'
says 3 '.error == "AWS answered InvalidRequestException"'
! grep -q planted "$TMP/out" || fail "a secret was shown"
echo "moto: a secret, a field that is not there, a secret that is not, one that is deleted"
