#!/bin/bash
# Log spools against real receivers: HTTP and OTLP (a small server), syslog over TLS (rsyslog), files. What was
# acknowledged is delivered at least once whatever dies: kill -9 of the spool at any time, a destination that is
# slow, dead, back, refusing; a full disk, followed files that rotate.
. "$(dirname "$0")/lib.sh"
for program in python3 openssl jq; do
	command -v "$program" >/dev/null || skip "$program is not installed"
done

W=$TMP/spool
mkdir -p "$W"
chmod 755 "$TMP" "$W"
SPOOL=
here=$(cd "$(dirname "$0")" && pwd)
spool_kill() {
	[ -n "$SPOOL" ] || return 0
	kill -KILL "$SPOOL" 2>/dev/null || true
	wait "$SPOOL" 2>/dev/null || true
	SPOOL=
}
at_exit spool_kill
config() { cat >"$W/spool.yaml"; }
# spool_start NAME [OPTIONS]
spool_start() {
	local name=$1
	shift
	"$BIN" spool run --config "$W/spool.yaml" --root "$W" "$@" "$name" 2>>"$TMP/agent.log" &
	SPOOL=$!
}
spool_stop() {
	kill -TERM "$SPOOL"
	wait "$SPOOL" || fail "spool ended with status $?"
	SPOOL=
}
status() { "$BIN" spool status --json --config "$W/spool.yaml" --root "$W" "$1" | jq -r ".spools[0] | $2"; }
drained() { [ "$(status "$1" '[.outputs[].buffered_records] | add')" = 0 ]; }
holds() { [ "$(status "$1" 'all(.outputs[]; .contract_holds)')" = true ] || fail "the loss contract of $1: $(status "$1" .)"; }

# receiver PORT: an HTTP server that keeps what it gets in $W/<port>.out; $W/<port>.mode says how it answers
receiver() {
	python3 "$here/spool_receiver.py" "$1" "$W/$1.out" "$W/$1.mode" 2>>"$TMP/receiver.log" &
	RECEIVER=$!
	at_exit kill -9 "$RECEIVER"
	wait_until 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1" 2>/dev/null || fail "no receiver"
}
port=$((20000 + $$ % 10000))

# --- every input and output, as an unprivileged user

touch "$W/followed.log"
mkdir -m 0777 "$W/files"
config <<YAML
spools: [{name: all, buffer: 64M, segment: 1M}]
spool_inputs:
  - {name: stream, spool: all, type: unix-stream, path: $W/stream.sock, ack: true}
  - {name: dgram, spool: all, type: unix-dgram, path: $W/dgram.sock, format: syslog, public: true}
  - {name: tcp, spool: all, type: tcp, listen: '127.0.0.1:$((port + 1))', format: syslog}
  - {name: udp, spool: all, type: udp, listen: '127.0.0.1:$((port + 1))', format: syslog}
  - {name: follow, spool: all, type: file, path: $W/followed.log}
spool_outputs:
  - {name: http, spool: all, type: http, url: 'http://127.0.0.1:$port/', retry_max: 300ms}
  - {name: otlp, spool: all, type: http, format: otlp, url: 'http://127.0.0.1:$port/v1/logs', retry_max: 300ms}
  - {name: json, spool: all, type: file, path: $W/files/all.log}
  - {name: raw, spool: all, type: file, format: raw, path: $W/files/raw.log}
YAML
receiver $port
spool_start all
wait_until 10 test -S "$W/stream.sock" || fail "no socket"
if [ "$(id -u)" -eq 0 ]; then
	sleeping() { grep -q '^Seccomp:.2' "/proc/$SPOOL/status"; }
	wait_until 5 sleeping || fail "no filter of system calls"
	[ "$(awk '/^Uid/ {print $2}' "/proc/$SPOOL/status")" != 0 ] || fail "still root"
	# only what followed files need
	[ "$(awk '/^CapPrm/ {print $2}' "/proc/$SPOOL/status")" = 0000000000000004 ] || fail "capabilities"
fi
python3 - "$W" $((port + 1)) <<'PY' || fail "senders"
import socket, sys
w, port = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_UNIX)
s.connect(w + '/stream.sock')
s.sendall(b'first\nsecond\nwithout an end')
s.shutdown(socket.SHUT_WR)
got = b''
while not got.endswith(b'3\n'):
    more = s.recv(100)
    assert more, got
    got += more
d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
d.sendto(b'<34>Oct 11 22:14:15 mymachine su[12]: failed\xff', w + '/dgram.sock')
m = b'<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [a@1 x="1"] counted\nlines'
t = socket.create_connection(('127.0.0.1', port))
t.sendall(b'%d %s' % (len(m), m) + b'9 <34>1 x y')
t.close()
t = socket.create_connection(('127.0.0.1', port))
t.sendall(b'<13>one\n<14>app: two\n')
t.close()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.sendto(b'no syslog at all', ('127.0.0.1', port))
PY
printf 'line 1\nline 2\n' >>"$W/followed.log"
mv "$W/followed.log" "$W/followed.log.1"
printf 'late\n' >>"$W/followed.log.1"
printf 'new 1\n' >"$W/followed.log"
lines() { [ "$(jq -s length "$W/files/all.log" 2>/dev/null)" = 13 ]; }
wait_until 10 lines || fail "records: $(cat "$W/files/all.log")"
has() { jq -es "any(.[]; $1)" "$W/files/all.log" >/dev/null || fail "no record with $1: $(cat "$W/files/all.log")"; }
has '.input == "stream" and .message == "without an end"'
has '.app == "su" and .procid == "12" and .severity == "crit" and .host == "mymachine" and (.bytes_base64 | length > 0)'
has '.msgid == "ID47" and .structured_data["a@1"].x == "1" and .message == "counted\nlines" and .time == "2003-10-11T22:14:15.003000Z"'
has '.raw and .message == "<34>1 x y"'
has '.app == "two" or (.app == "app" and .message == "two")'
has '.input == "udp" and .raw'
for line in "line 1" "line 2" late "new 1"; do has ".input == \"follow\" and .message == \"$line\""; done
# a truncated file is read from its beginning
printf 'x\n' >"$W/followed.log"
more() { jq -es 'any(.[]; .message == "x")' "$W/files/all.log" >/dev/null; }
wait_until 5 more || fail "truncation"
wait_until 10 drained all || fail "not drained: $(status all .)"
[ "$(jq -r 'select(.resourceLogs) | .resourceLogs[].scopeLogs[].logRecords[].body.stringValue' "$W/$port.out" | grep -c .)" -ge 14 ] ||
	fail "OTLP: $(cat "$W/$port.out")"
[ "$(wc -l <"$W/files/raw.log")" = 14 ] || fail "raw: $(cat "$W/files/raw.log")"
holds all

# --- 4xx goes to the dead letters, 429 and 5xx wait as long as they ask

echo 400 >"$W/$port.mode"
echo refused >>"$W/followed.log"
dead() { [ "$(status all '[.outputs[] | select(.name == "http") | .dead_records][0]')" = 1 ]; }
wait_until 10 dead || fail "dead letters: $(status all .)"
ls "$W"/var/lib/waveos/spool/all/dead-http/seg-* >/dev/null || fail "no dead-letter segment"
echo 503 >"$W/$port.mode" # with Retry-After: 1
echo later >>"$W/followed.log"
errors() { [ "$(status all '[.outputs[] | select(.name == "http") | .failures_in_a_row][0]')" -ge 1 ]; }
wait_until 10 errors || fail "503 is no failure"
rm "$W/$port.mode"
wait_until 10 drained all || fail "not drained after 503"
holds all
spool_stop

# --- a writer that is acknowledged, a spool that is killed, a destination that comes and goes: nothing is lost

config <<YAML
spools: [{name: crash, buffer: 64M, segment: 1M}]
spool_inputs: [{name: in, spool: crash, type: unix-stream, path: $W/crash.sock, ack: true}]
spool_outputs:
  - {name: http, spool: crash, type: http, url: 'http://127.0.0.1:$port/', batch: 64K, retry_min: 10ms, retry_max: 50ms}
  - {name: file, spool: crash, type: file, format: raw, path: $W/files/crash.log, batch: 64K, rotate: 1M, keep: 100}
YAML
: >"$W/$port.out"
python3 "$here/spool_sender.py" "$W/crash.sock" "$W/acked" 5 &
SENDER=$!
at_exit kill -9 "$SENDER"
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
	case $((i % 4)) in
	1) rm -f "$W/$port.mode" ;;
	2) echo slow >"$W/$port.mode" ;;
	3) echo drop >"$W/$port.mode" ;;
	esac
	spool_start crash
	wait_until 10 test -S "$W/crash.sock" || fail "round $i: no socket"
	read -rt "0.$((RANDOM % 9))$((RANDOM % 10))" <> <(:) || true
	spool_kill
done
spool_start crash
wait "$SENDER" || fail "sender"
rm -f "$W/$port.mode"
wait_until 30 drained crash || fail "not drained: $(status crash .)"
holds crash
spool_stop
acked=$(cat "$W/acked")
[ "$acked" -gt 1000 ] || fail "only $acked records were acknowledged"
jq -r .message "$W/$port.out" | sort -u >"$W/got"
lost=$(seq -f 'record %.0f' 1 "$acked" | sort | comm -23 - "$W/got" | wc -l)
[ "$lost" -eq 0 ] || fail "$lost of $acked acknowledged records did not arrive by HTTP"
cat "$W"/files/crash.log* | sort -u >"$W/got"
lost=$(seq -f 'record %.0f' 1 "$acked" | sort | comm -23 - "$W/got" | wc -l)
[ "$lost" -eq 0 ] || fail "$lost of $acked acknowledged records are not in the files"

# --- bounds: senders wait, or what is dropped is counted and told

for policy in backpressure drop-newest drop-oldest; do
	config <<-YAML
		spools: [{name: $policy, buffer: 8M, segment: 1M, when_full: $policy}]
		spool_inputs: [{name: in, spool: $policy, type: unix-stream, path: $W/$policy.sock}]
		spool_outputs: [{name: out, spool: $policy, type: http, url: 'http://127.0.0.1:$((port + 2))/', retry_max: 100ms}]
	YAML
	spool_start "$policy"
	wait_until 10 test -S "$W/$policy.sock" || fail "no socket"
	# 20 MB into 8 MB, and nobody takes any
	(seq -f "%099.0f" 1 200000 | python3 -c 'import socket,sys,shutil
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); shutil.copyfileobj(sys.stdin.buffer, s.makefile("wb"))' "$W/$policy.sock" && : >"$W/$policy.sent") &
	FEED=$!
	at_exit kill -9 "$FEED"
	full() { [ "$(status "$policy" .used_bytes)" -gt 6500000 ]; }
	wait_until 20 full || fail "$policy: does not fill: $(status "$policy" .)"
	if [ "$policy" = backpressure ]; then
		[ ! -e "$W/$policy.sent" ] || fail "the sender does not wait"
	else
		wait_until 20 test -e "$W/$policy.sent" || fail "$policy: the sender waits"
	fi
	[ "$(status "$policy" .used_bytes)" -le $((8 << 20)) ] || fail "$policy: over its bound"
	: >"$W/$((port + 2)).out"
	receiver $((port + 2))
	wait_until 20 test -e "$W/$policy.sent" || fail "$policy: the sender still waits"
	settled() { drained "$policy" && [ "$(status "$policy" .durable_records)" = 200000 ]; }
	wait_until 20 settled || fail "$policy: not drained: $(status "$policy" .)"
	holds "$policy"
	spool_stop
	kill -9 "$RECEIVER"
	wait "$RECEIVER" 2>/dev/null || true
	delivered=$(jq -r 'select(.input == "in") | .message' "$W/$((port + 2)).out" | sort -u | wc -l)
	dropped=$(status "$policy" '.outputs[0].dropped_records')
	[ $((delivered + dropped)) -eq 200000 ] || fail "$policy: $delivered delivered and $dropped dropped"
	if [ "$policy" = backpressure ]; then
		[ "$dropped" -eq 0 ] || fail "backpressure dropped $dropped"
	else
		[ "$dropped" -gt 0 ] || fail "$policy dropped nothing"
		grep -q 'records are missing here: the buffer was full' "$W/$((port + 2)).out" || fail "$policy: the drop is not told"
	fi
done

# --- syslog over TLS, both sides with certificates; rsyslog is killed and comes back

mkdir "$W/tls"
cert() { # NAME CN: signed by the CA
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$W/tls/$1.key" -out "$W/tls/$1.csr" -subj "/CN=$2" 2>/dev/null
	openssl x509 -req -in "$W/tls/$1.csr" -CA "$W/tls/ca.pem" -CAkey "$W/tls/ca.key" -CAcreateserial -days 2 -out "$W/tls/$1.pem" \
		-extfile <(echo "subjectAltName=DNS:$2") 2>/dev/null
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$W/tls/ca.key" -out "$W/tls/ca.pem" -days 2 -subj /CN=test 2>/dev/null
cert server localhost
cert client client
cat >"$W/rsyslog.conf" <<CONF
global(workDirectory="$W/tls" defaultNetstreamDriver="DRIVER" defaultNetstreamDriverCAFile="$W/tls/ca.pem"
	defaultNetstreamDriverCertFile="$W/tls/server.pem" defaultNetstreamDriverKeyFile="$W/tls/server.key")
module(load="imtcp" streamDriver.name="DRIVER" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
input(type="imtcp" port="$((port + 3))" address="127.0.0.1")
template(name="t" type="string" string="%app-name%|%syslogseverity-text%|%msg%\n")
action(type="omfile" file="$W/tls/out" template="t")
CONF
driver=
for d in ossl gtls; do
	if ls /usr/lib/*/rsyslog/lmnsd_$d.so >/dev/null 2>&1; then driver=$d; fi
done
config <<YAML
spools: [{name: tls, buffer: 64M, segment: 1M}]
spool_inputs: [{name: in, spool: tls, type: unix-stream, path: $W/tls.sock, ack: true}]
spool_outputs:
  - {name: out, spool: tls, type: syslog-tls, address: 'localhost:$((port + 3))', ca: $W/tls/ca.pem, cert: $W/tls/client.pem, key: $W/tls/client.key, batch: 8K, retry_max: 200ms}
YAML
if [ -n "$driver" ] && command -v rsyslogd >/dev/null; then
	sed -i "s/DRIVER/$driver/" "$W/rsyslog.conf"
	rsyslog_start() {
		rsyslogd -n -i "$W/tls/pid" -f "$W/rsyslog.conf" 2>>"$TMP/rsyslog.log" &
		RSYSLOG=$!
		at_exit kill -9 "$RSYSLOG"
	}
	rsyslog_start
	spool_start tls
	wait_until 10 test -S "$W/tls.sock" || fail "no socket"
	python3 "$here/spool_sender.py" "$W/tls.sock" "$W/tls.acked" 4 &
	SENDER=$!
	for i in 1 2; do
		read -rt 1 <> <(:) || true
		kill -9 "$RSYSLOG"
		wait "$RSYSLOG" 2>/dev/null || true
		rsyslog_start
	done
	wait "$SENDER" || fail "sender"
	wait_until 30 drained tls || fail "TLS: not drained: $(status tls .)"
	acked=$(cat "$W/tls.acked")
	whole() {
		cut -d'|' -f3 "$W/tls/out" | sed 's/^ //' | sort -u >"$W/got"
		[ "$(seq -f 'record %.0f' 1 "$acked" | sort | comm -23 - "$W/got" | wc -l)" -eq 0 ]
	}
	wait_until 10 whole || fail "TLS: of $acked records $(wc -l <"$W/got") arrived; $(tail -n 3 "$TMP/rsyslog.log")"
	grep -q '^in|notice|' "$W/tls/out" || fail "TLS: $(head -n 2 "$W/tls/out")"
	spool_stop
	kill -9 "$RSYSLOG"
	wait "$RSYSLOG" 2>/dev/null || true
else
	echo "rsyslog has no TLS driver (packages rsyslog-openssl, rsyslog-gnutls): openssl s_server only"
fi
# another CA, another name: not accepted
openssl s_server -accept $((port + 3)) -cert "$W/tls/client.pem" -key "$W/tls/client.key" -CAfile "$W/tls/ca.pem" -Verify 1 -quiet >"$W/tls/s_server" 2>&1 <> <(:) &
SERVER=$!
at_exit kill -9 "$SERVER"
spool_start tls
wait_until 10 test -S "$W/tls.sock" || fail "no socket"
python3 "$here/spool_sender.py" "$W/tls.sock" "$W/tls.acked" 0.2 || fail "sender"
refused() { status tls '.outputs[0].last_error' | grep -qi 'certificate.*not accepted.*hostname mismatch'; }
wait_until 10 refused || fail "a certificate of another name is accepted: $(status tls .)"
kill -9 "$SERVER"
wait "$SERVER" 2>/dev/null || true
openssl s_server -accept $((port + 3)) -cert "$W/tls/server.pem" -key "$W/tls/server.key" -CAfile "$W/tls/ca.pem" -Verify 1 -quiet >"$W/tls/s_server" 2>&1 <> <(:) &
SERVER=$!
at_exit kill -9 "$SERVER"
wait_until 20 drained tls || fail "s_server: $(status tls .)"
received() { grep -qa "record $(cat "$W/tls.acked")" "$W/tls/s_server"; }
wait_until 5 received || fail "s_server did not get the last record"
spool_stop

# --- a full disk: senders wait, nothing that was acknowledged is lost, and it goes on when there is room

if [ "$(id -u)" -eq 0 ] && mkdir "$W/small" && mount -t tmpfs -o size=3m,mode=0755 none "$W/small" 2>/dev/null; then
	at_exit umount -l "$W/small"
	config <<-YAML
		spools: [{name: small, dir: $W/small/spool, buffer: 8M, segment: 1M}]
		spool_inputs: [{name: in, spool: small, type: unix-stream, path: $W/small.sock, ack: true}]
		spool_outputs: [{name: out, spool: small, type: http, url: 'http://127.0.0.1:$((port + 2))/', retry_max: 100ms}]
	YAML
	: >"$W/$((port + 2)).out"
	spool_start small
	wait_until 10 test -S "$W/small.sock" || fail "no socket"
	python3 "$here/spool_sender.py" "$W/small.sock" "$W/small.acked" 3 900 &
	SENDER=$!
	nospace() { [ -n "$(status small .disk_error)" ] || grep -q 'No space left' "$TMP/agent.log"; }
	wait_until 20 nospace || fail "the disk does not fill: $(status small .)"
	kill -0 "$SPOOL" || fail "ended on a full disk"
	receiver $((port + 2))
	wait "$SENDER" || fail "sender"
	wait_until 20 drained small || fail "full disk: not drained: $(status small .)"
	acked=$(cat "$W/small.acked")
	jq -r .message "$W/$((port + 2)).out" | cut -c1-20 | sed 's/ *$//' | sort -u >"$W/got"
	lost=$(seq -f 'record %.0f' 1 "$acked" | sort | comm -23 - "$W/got" | wc -l)
	[ "$lost" -eq 0 ] || fail "full disk: $lost of $acked acknowledged records were lost"
	spool_stop
else
	echo "not root, or no mounts: the full disk was not tested"
fi

# --- by hand: standard input, drain

config <<YAML
spools: [{name: pipe, buffer: 64M, segment: 1M}]
spool_inputs: [{name: in, spool: pipe, type: stdin}]
spool_outputs: [{name: out, spool: pipe, type: file, format: raw, path: $W/later/pipe.log}]
YAML
seq 1 100000 | "$BIN" spool run --config "$W/spool.yaml" --root "$W" pipe 2>>"$TMP/agent.log" &
PIPE=$!
at_exit kill -9 "$PIPE"
# its folder is not there: all stays in the buffer
buffered() { [ "$(status pipe .durable_records)" = 100000 ]; }
wait_until 10 buffered || fail "pipe: $(status pipe .)"
kill -TERM "$PIPE"
wait "$PIPE" || fail "pipe ended with $?"
r=0
"$BIN" spool drain --for 1s --config "$W/spool.yaml" --root "$W" pipe 2>"$TMP/drain" || r=$?
{ [ "$r" -eq 1 ] && grep -q 'still has 100000 records' "$TMP/drain"; } || fail "drain: $r $(cat "$TMP/drain")"
mkdir -m 0777 "$W/later"
"$BIN" spool drain --for 30s --config "$W/spool.yaml" --root "$W" pipe 2>>"$TMP/agent.log" || fail "drain ended with $?"
seq 1 100000 | cmp -s - "$W/later/pipe.log" || fail "standard input: $(wc -l <"$W/later/pipe.log") lines"
# one that is not there
"$BIN" spool run --config "$W/spool.yaml" --root "$W" none 2>/dev/null && fail "a spool that is not there runs"
echo "everything acknowledged arrived"
