#!/bin/bash
# What the agent promises holds whatever becomes of its spool worker: killed again and again, stopped, out of memory, its
# disk full or read-only, the agent's own disk full because of it. Core is never replaced, ticks and the metrics page go
# on, the limit refuses, and what was acknowledged is delivered.
. "$(dirname "$0")/lib.sh"
for program in python3 jq curl prlimit setpriv; do
	command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "not root"
NAME=wvtest-survive-$$
CG=$(cgroup_make "$NAME")
at_exit cgroup_remove "$CG"
for i in 0 1 2 3 4 5 6 7; do
	mkdir "$CG/$i"
	at_exit rmdir "$CG/$i"
done
here=$(cd "$(dirname "$0")" && pwd)
W=$TMP/w
STATE=$ROOT/var/lib/waveos
mkdir -p "$W/small" "$W/fragile" "$STATE" "$ROOT/etc/waveos"
chmod 755 "$TMP" "$W"
mount -t tmpfs -o size=3m,mode=0755 wv-survive-small "$W/small" 2>/dev/null || skip "cannot mount a tmpfs here"
at_exit umount -l "$W/small"
mount -t tmpfs -o size=8m,mode=0755 wv-survive-state "$STATE" || fail "tmpfs"
at_exit umount -l "$STATE"
# a disk that turns read-only below those who write: ext4 does when it is told of an error
fragile=
truncate -s 16M "$TMP/image"
if mke2fs -q -t ext4 "$TMP/image" 2>/dev/null && mount -o loop "$TMP/image" "$W/fragile" 2>/dev/null; then
	at_exit umount -l "$W/fragile"
	fragile=yes
fi
read -r port small inside late metrics < <(python3 -c '
import socket
s = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
print(*[x.getsockname()[1] for x in s])')

config() {
	cat >"$ROOT/etc/waveos/new" <<YAML
budgets: [{name: few, cgroup: /$NAME, network: {connects: 1, burst_connects: 1}}]
spools:
  - {name: main, dir: $W/main, buffer: 64M, segment: 1M}
  - {name: small, dir: $W/small/spool, buffer: 64M, segment: 1M}
  - {name: inside, buffer: 64M, segment: 1M}
  ${1:+- {name: fragile, dir: $W/fragile/spool, buffer: 64M, segment: 1M\}}
spool_inputs:
  - {name: kill, spool: main, type: unix-stream, path: $W/kill, ack: true}
  - {name: hang, spool: main, type: unix-stream, path: $W/hang, ack: true}
  - {name: leak, spool: main, type: unix-stream, path: $W/leak, ack: true}
  - {name: small, spool: small, type: unix-stream, path: $W/small.sock, ack: true}
  - {name: inside, spool: inside, type: unix-stream, path: $W/inside, ack: true}
  ${1:+- {name: late, spool: fragile, type: unix-stream, path: $W/late, ack: true\}}
spool_outputs:
  - {name: to-main, spool: main, type: http, url: 'http://127.0.0.1:$port/', retry_max: 100ms}
  - {name: to-small, spool: small, type: http, url: 'http://127.0.0.1:$small/', retry_max: 100ms}
  - {name: to-inside, spool: inside, type: http, url: 'http://127.0.0.1:$inside/', retry_max: 100ms}
  ${1:+- {name: to-fragile, spool: fragile, type: http, url: 'http://127.0.0.1:$late/', retry_max: 100ms\}}
YAML
	mv "$ROOT/etc/waveos/new" "$ROOT/etc/waveos/waveos.yaml"
}
receiver() { # PORT
	python3 "$here/spool_receiver.py" "$1" "$W/$1.out" "$W/$1.mode" 2>>"$TMP/receiver.log" &
	at_exit kill -9 $!
	wait_until 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1" 2>/dev/null || fail "no receiver"
}
send() { # INPUT SOCKET SECONDS [PADDING]
	python3 "$here/spool_sender.py" "$2" "$W/acked.$1" "${@:3}" &
	SENDER=$!
	at_exit kill -9 "$SENDER"
}
# delivered INPUT PORT: all that was acknowledged came
delivered() {
	local acked
	acked=$(cat "$W/acked.$1")
	LOST=$acked
	grep -qs "record $acked" "$W/$2.out" || return # a look that costs little
	jq -r --arg i "$1" 'select(.input == $i) | .message' "$W/$2.out" 2>/dev/null | awk '{print $1, $2}' | sort -u >"$W/got"
	LOST=$(seq -f 'record %.0f' 1 "$acked" | sort | comm -23 - "$W/got" | wc -l)
	[ "$acked" -gt 100 ] && [ "$LOST" -eq 0 ]
}
arrives() { wait_until 15 delivered "$1" "$2" || fail "$1: $LOST of $(cat "$W/acked.$1") acknowledged records did not arrive"; }

status() { "$BIN" status --json --root "$ROOT" | jq -r "$1"; }
worker() { WORKER=$(status .spool_pid) && [ "$WORKER" -gt 0 ]; }
replaced() { worker && [ "$WORKER" != "$OLD" ]; }
log_says() { grep -q "$1" "$TMP/agent.log"; }
ticks_on() { [ "$(status .tick)" -gt "$1" ]; }
refuses() {
	grep -q 'not permitted' <(cgroup_run "$CG" bash -c 'for _ in 1 2 3 4; do (exec 3<>/dev/tcp/127.0.0.1/9); done' 2>&1)
}
# unharmed WHEN: core is the one that it was and does its work, and the limit is enforced
unharmed() {
	kill -0 "$AGENT" || fail "$1: the agent ended"
	[ "$(status .core_pid)" = "$CORE" ] || fail "$1: core was replaced"
	wait_until 5 ticks_on "$(status .tick)" || fail "$1: no ticks"
	curl -sf -m 5 -o "$W/page" "http://127.0.0.1:$metrics/metrics" && grep -q '^waveos_worker_restarts_total{worker="spool"}' "$W/page" ||
		fail "$1: no metrics page"
	refuses || fail "$1: the limit does not refuse"
}
events() { cat "$STATE"/runs/*/events.jsonl; }
# something to record: records of one program and of one cgroup are bounded, so there are some of each
nudge() { cgroup_run "$CG/$((RANDOM % 8))" bash -c 'echo "wv$RANDOM" >/proc/self/comm; exit 7' || true; }

config "$fragile"
options=(--set agent.tick=200ms --set agent.worker_silence=5s --set "metrics.listen=127.0.0.1:$metrics")
agent_start "${options[@]}"
CORE=$(status .core_pid)
wait_until 10 worker || fail "no spool worker"
wait_until 10 test -S "$W/inside" || fail "no socket"
receiver "$port"
unharmed "at the start"
grep -q "^Max data size *$((512 << 20)) " "/proc/$WORKER/limits" || fail "the worker's memory is not bounded"

echo "killed nine times in a row:"
send kill "$W/kill" 2 900
for _ in 1 2 3 4 5 6 7 8 9; do
	OLD=$WORKER
	kill -KILL "$OLD"
	wait_until 10 replaced || fail "no new worker"
done
log_says 'spool ended (signal 9), restart in 0 ms' || fail "the first restart waits"
log_says 'spool ended (signal 9), restart in [1-9][0-9]* ms' || fail "no pause between restarts"
unharmed "killed"
[ "$(status .spool_restarts)" -eq 9 ] || fail "$(status .spool_restarts) restarts are counted"
wait "$SENDER" || fail "sender"
arrives kill "$port"

echo "its own disk is full:"
send small "$W/small.sock" 1 900
wait_until 15 log_says 'small: write to .*No space left' || fail "the disk does not fill"
unharmed "disk of the spool full"
before=$(events | wc -l)
records() { nudge && [ "$(events | wc -l)" -gt "$before" ]; }
wait_until 10 records || fail "the agent records nothing while the spool's disk is full"
log_says 'counted as lost' && fail "the agent lost records although its own disk has room"
receiver "$small"
wait "$SENDER" || fail "sender"
arrives small "$small"

echo "it leaks:"
send leak "$W/leak" 2 900
# less than it has: every allocation fails from now on
OLD=$WORKER
bound() { # BYTES: as its user, who may
	setpriv --reuid "$(stat -c %u "/proc/$OLD")" --regid "$(stat -c %g "/proc/$OLD")" --clear-groups \
		prlimit --pid "$OLD" --data="$1:$((512 << 20))"
}
bound 1048576 || fail "prlimit"
unharmed "out of memory"
read -rt 1 <> <(:) || true
worker || fail "no spool_pid"
if [ "$WORKER" = "$OLD" ]; then
	echo "  it lives"
	bound $((512 << 20)) || fail "prlimit"
fi
wait "$SENDER" || fail "sender"
arrives leak "$port"
wait_until 10 worker || fail "no worker after the leak"

echo "it hangs:"
send hang "$W/hang" 2 900
OLD=$WORKER
read -rt 1 <> <(:) || true
kill -STOP "$OLD"
unharmed "hangs"
wait_until 15 log_says 'spool hangs: silent for [5-9] s, killed' || fail "one that hangs is not killed"
wait_until 10 replaced || fail "one that hangs is not replaced"
unharmed "after a hang"
wait "$SENDER" || fail "sender"
arrives hang "$port"

echo "it fills the agent's disk:"
send inside "$W/inside" 3 900
wait_until 15 log_says 'inside: write to .*No space left' || fail "the agent's disk does not fill"
# and the last page of it: the spool, which writes large blocks, leaves some when it fails
fill() { dd if=/dev/zero of="$STATE/filler" bs=4k conv=notrunc oflag=append >/dev/null 2>&1 || true; }
# records of exits are bounded for all cgroups together; that of a reload comes in any case
lost() { fill && kill -HUP "$AGENT" && nudge && log_says 'records are counted as lost'; }
wait_until 15 lost || fail "a full state folder was not noticed"
unharmed "state folder full"
receiver "$inside"
wait "$SENDER" || fail "sender"
arrives inside "$inside"
told() { kill -HUP "$AGENT" && nudge && grep -q '"type":"records-lost"' "$STATE"/runs/*/events.jsonl; }
wait_until 15 told || fail "lost records are not told when there is room again"
events | jq -se 'map(select(.type == "records-lost").count) | add > 0' >/dev/null || fail "lost records are not counted"
unharmed "after a full state folder"

if [ -n "$fragile" ]; then
	echo "its disk turns read-only:"
	send late "$W/late" 0.5
	wait "$SENDER" || fail "sender"
	mount -o remount,abort "$W/fragile" || fail "remount"
	echo more | timeout 0.7 python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b"more\n"); print(s.recv(9))' "$W/late" >"$W/answer" || true
	[ ! -s "$W/answer" ] || fail "a record on a read-only disk is acknowledged: $(cat "$W/answer")"
	log_says 'fragile: write to .*Read-only' || fail "a read-only disk is not told"
	# what is there is read and delivered all the same
	receiver "$late"
	arrives late "$late"
	read -rt 1 <> <(:) || true # two tries to save it
	[ "$(grep -c 'fragile: save the cursor' "$TMP/agent.log")" -le 1 ] || fail "one failure fills the log"
	unharmed "read-only"

	echo "the agent starts on a read-only spool:"
	agent_stop
	agent_start "${options[@]}"
	CORE=$(status .core_pid)
	wait_until 10 log_says "spool.*$W/fragile/spool.*Read-only file system" || fail "no plain error"
	unharmed "start on a read-only spool"
	config ""
else
	echo "no ext4 on a loop device here: a disk that turns read-only was not tested"
fi
agent_stop
echo "core was never replaced; everything acknowledged arrived"
