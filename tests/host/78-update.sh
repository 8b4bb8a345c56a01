#!/bin/bash
# The update agent: a source with mutual TLS that is cut off, lies, is busy, goes and comes back; and a folder.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "python3 is not here"
TOOLS=$(cd "$(dirname "$0")/tools" && pwd)
cd "$TMP"
B() { "$BIN" bundle "$@"; }
SERVER=
RUNNING=
server_start() { # [PORT]
	rm -f port
	python3 "$TOOLS/update_server.py" "$TMP/source" server.pem server.key ca.pem port "$@" 2>server.err &
	SERVER=$!
	wait_until 10 test -s port || fail "the server did not start: $(cat server.err)"
	PORT=$(cat port)
}
end_of() { [ -z "$1" ] || { kill -KILL "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }; }
server_stop() {
	end_of "$SERVER"
	SERVER=
}
all_end() {
	end_of "$SERVER"
	end_of "$RUNNING"
}
at_exit all_end

# two authorities, certificates of the source and of the device
ca() { openssl req -x509 -newkey ed25519 -nodes -days 2 -subj "/CN=$1" -keyout "$1.key" -out "$1.pem" 2>/dev/null; }
certificate() { # NAME CA
	openssl req -newkey ed25519 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
	openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 2 -out "$1.pem" \
		-extfile <(echo "subjectAltName=IP:127.0.0.1") 2>/dev/null
}
ca ca
ca other
certificate server ca
certificate device ca
certificate stranger other

mkdir -p source "$ROOT/etc/waveos"
server_start
config() { # BANDWIDTH
	cat >"$ROOT/etc/waveos/waveos.yaml" <<-END
		update:
		  url: https://127.0.0.1:$PORT
		  ca: $TMP/ca.pem
		  cert: $TMP/device.pem
		  key: $TMP/device.key
		  interval: 1s
		  bandwidth: ${1:-0}
	END
}
config

# bundle NAME COUNTER BYTES: a signed bundle in the source
bundle() {
	mkdir -p "spec-$1/files"
	head -c "$3" /dev/urandom >"spec-$1/files/data"
	printf 'kind: cert\nname: %s\nversion: 1.0.%s\ncounter: %s\n' "$1" "$2" "$2" >"spec-$1/bundle.yaml"
	B build --dir "spec-$1" -o "source/$1.wvb" --sign key.pem >/dev/null
}
VERSION=0
index() { # [OPTIONS]: the next index over all that is there
	VERSION=$((VERSION + 1))
	B index -o source/index.json --version $VERSION "$@" --sign key.pem source/*.wvb >/dev/null
}
B keygen -o key >/dev/null
B root init -o root.1.json --key a=key.pub.pem --sign key.pem >/dev/null
bundle first 1 200000
index
# check [WANTED]: one look; what it said is in $TMP/said
check() {
	local rc=0
	"$BIN" update check --json --root "$ROOT" "${@:2}" >said 2>err || rc=$?
	[ "$rc" -eq "${1:-0}" ] || fail "check: exit $rc: $(cat said err)"
}
result() { jq -r --arg n "$1" '.bundles[] | select(.name == $n) | .result' said; }
requests() { grep -c "$1" source.log || true; }
# asked PATTERN: the log of the source since the last call of forget
forget() { : >source.log; }

check 1
grep -q 'no root is pinned' said || fail "without a root: $(cat said)"
B root pin root.1.json --root "$ROOT" >/dev/null
check
[ "$(result first)" = installed ] || fail "first: $(cat said err)"
[ -z "$(ls "$ROOT/var/lib/waveos/updates/partial")" ] || fail "a download is left over"
# nothing new: the index is not sent again, and no bundle is asked for
forget
check
[ "$(requests 'index.json .* 304')" -eq 1 ] || fail "the index was sent again: $(cat source.log)"
[ "$(requests wvb)" -eq 0 ] || fail "a bundle was asked for: $(cat source.log)"

# cut off, and on from there
bundle second 1 1000000
index
echo 'cut 300000' >source.mode
forget
check 1
[ "$(stat -c %s "$ROOT"/var/lib/waveos/updates/partial/*.part)" -eq 300000 ] || fail "what came is not kept"
echo ok >source.mode
check
[ "$(result second)" = installed ] || fail "second: $(cat said err)"
[ "$(requests '/second.wvb bytes=300000- "[0-9a-f]*" - 206')" -eq 1 ] || fail "not on from there: $(cat source.log)"
[ "$(jq .resumed_bytes said)" -eq 300000 ] || fail "resumed: $(cat said)"

# cut off, and the source knows no ranges: from the beginning
bundle third 1 600000
index
echo 'cut 200000' >source.mode
check 1
echo norange >source.mode
check
[ "$(result third)" = installed ] || fail "third: $(cat said err)"

# another range than was asked for, a byte that is wrong, bytes that are too many: thrown away, then right
bundle fourth 1 400000
index
echo 'cut 100000' >source.mode
check 1
echo wrongrange >source.mode
check 1
[ "$(stat -c %s "$ROOT"/var/lib/waveos/updates/partial/*.part)" -eq 100000 ] || fail "a wrong part was taken"
rm "$ROOT"/var/lib/waveos/updates/partial/*
for bad in corrupt longer; do
	echo $bad >source.mode
	check 1
	[ -z "$(result fourth)" ] || fail "$bad: $(cat said)"
	[ -z "$(ls "$ROOT/var/lib/waveos/updates/partial")" ] || fail "$bad: it is kept"
done
echo ok >source.mode
check
[ "$(result fourth)" = installed ] || fail "fourth: $(cat said err)"

# the bandwidth is kept to
bundle fifth 1 600000
index
config 200K
before=$(date +%s%N)
check
took=$((($(date +%s%N) - before) / 1000000))
[ "$(result fifth)" = installed ] || fail "fifth: $(cat said err)"
[ $took -ge 1500 ] || fail "600 kB at 200 KiB/s took $took ms"
config

# who we are, and who it is
forget
check 1 --set update.cert= --set update.key=
check 1 --set "update.cert=$TMP/stranger.pem" --set "update.key=$TMP/stranger.key"
check 1 --set "update.ca=$TMP/other.pem"
check 1 --set "update.url=http://127.0.0.1:$PORT"
[ "$(wc -l <source.log)" -eq 0 ] || fail "it was answered: $(cat source.log)"

# an older index, one that has expired, one of another channel, one of another signer
cp source/index.json good.json
VERSION=0
index
check 1
grep -q 'is in use' said || fail "older index: $(cat said)"
VERSION=100
SOURCE_DATE_EPOCH=$(($(date +%s) - 8 * 86400)) index
check 1
grep -q 'has expired' said || fail "expired index: $(cat said)"
index --channel beta
check 1
grep -q 'channel beta' said || fail "channel: $(cat said)"
B keygen -o other-key >/dev/null
B index -o source/index.json --version 200 --sign other-key.pem source/*.wvb >/dev/null
check 1
grep -q 'good signatures of role index' said || fail "signer: $(cat said)"
cp good.json source/index.json
check

# a root follows; the old key is worth nothing then
B keygen -o key2 >/dev/null
B root rotate root.1.json -o source/root.2.json --revoke a --key b=key2.pub.pem --role all=b:1 --sign key.pem \
	--sign key2.pem >/dev/null
check 1
grep -q 'good signatures of role index' said || fail "after the rotation: $(cat said)"
cp key2.pem key.pem
VERSION=300
for b in source/*.wvb; do B sign "$b" --key key.pem >/dev/null; done
index
check

# a source that is busy is left alone for as long as it says
run() {
	"$BIN" update run --root "$ROOT" "$@" 2>run.log &
	RUNNING=$!
}
run_stop() {
	kill -TERM "$RUNNING"
	wait "$RUNNING" || fail "update run ended with $?: $(tail -5 run.log)"
	RUNNING=
}
status() { "$BIN" update status --json --root "$ROOT" >said; }
looked_again() { status && [ "$(jq .checked said)" -ge "$1" ]; }
echo 'busy 1000' >source.mode
now=$(date +%s)
run
wait_until 10 looked_again "$now" || fail "it did not look: $(cat said run.log)"
waits() { status && [ "$(jq '.next - .checked' said)" -ge 999 ]; }
wait_until 5 waits || fail "it does not wait: $(cat said)"
run_stop
echo ok >source.mode

# a source that is down, and returns with something new
port=$PORT
bundle sixth 1 300000
index
server_stop
run
failed() { status && [ "$(jq .failures said)" -ge 1 ]; }
wait_until 10 failed || fail "a source that is down: $(cat said)"
server_start "$port"
installed() { status && [ "$(result "$1")" = installed ]; }
wait_until 20 installed sixth || fail "it returned: $(cat said run.log)"
run_stop

# the folder: what is moved in is taken at once, what is bad is refused and in the log, a link is nothing
mkdir folder
run --set update.url= --set "update.folder=$TMP/folder"
bundle seventh 1 1000
mv source/seventh.wvb folder/
wait_until 10 installed seventh || fail "folder: $(cat said run.log)"
B build --dir spec-seventh -o folder/unsigned.tmp >/dev/null
mv folder/unsigned.tmp folder/unsigned.wvb
refused() { grep -qs '"type":"update-refused"' "$ROOT/var/lib/waveos/log/events.jsonl"; }
wait_until 10 refused || fail "an unsigned bundle is not in the log: $(cat run.log)"
bundle eighth 1 1000
ln -s "$TMP/source/eighth.wvb" folder/eighth.wvb
bundle ninth 1 1000
mv source/ninth.wvb folder/
wait_until 10 installed ninth || fail "folder: $(cat said run.log)"
! installed eighth || fail "a link was followed"
# counters only go up
bundle ninth 1 2000
id=$(jq -r '.bundles[] | select(.name == "ninth") | .id' said)
mv source/ninth.wvb folder/again.wvb
old() { grep -q 'cert ninth .*: old' run.log; }
wait_until 10 old || fail "the same counter: $(cat run.log)"
status
[ "$(jq -r '.bundles[] | select(.name == "ninth") | .id' said)" = "$id" ] || fail "another ninth: $(cat said)"
# roots and an index come by folder, too
B root rotate source/root.2.json -o root.tmp --sign key.pem >/dev/null
mv root.tmp folder/root.3.json
index --version 400
mv source/index.json folder/
touch folder/look.wvb # an empty one: looked at, refused
trusted() {
	[ "$(B root show --json --root "$ROOT" | jq .root.version)" = 3 ] &&
		cmp -s folder/index.json "$ROOT/var/lib/waveos/trust/index.json"
}
wait_until 10 trusted || fail "root or index of the folder: $(cat run.log)"
# one that is made for another environment
mkdir -p spec-prod/files
echo x >spec-prod/files/x
printf 'kind: cert\nname: prod\nversion: 1.0.0\ncounter: 1\nenvironments: [prod]\n' >spec-prod/bundle.yaml
B build --dir spec-prod -o prod.wvb --sign key.pem >/dev/null
mv prod.wvb folder/
unfit() { status && [ "$(result prod)" = refused ]; }
wait_until 10 unfit || fail "another environment: $(cat said run.log)"
run_stop

# the agent's worker does the same without a capability, without exec, and without loading code
bundle tenth 1 1000
index --version 500
config
agent_start --set collect.hooks=files --set update.folder=
wait_until 30 installed tenth || fail "the worker: $(cat said "$TMP/agent.log")"
worker=
for p in $(pgrep -P "$AGENT"); do
	[ "$(cat "/proc/$p/comm" 2>/dev/null)" != waveos-update ] || worker=$p
done
[ -n "$worker" ] || fail "no worker: $(pgrep -lP "$AGENT")"
grep -q '^CapEff:.0000000000000000$' "/proc/$worker/status" || fail "it has capabilities: $(grep Cap "/proc/$worker/status")"
grep -q '^Seccomp:.2$' "/proc/$worker/status" || fail "no filter"
agent_stop
