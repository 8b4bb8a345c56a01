#!/bin/bash
# A witness on the network: it cosigns a log that grows, and knows when log and checkpoints were put back or forked
# together, also after it was killed.
. "$(dirname "$0")/lib.sh"
command -v jq >/dev/null || skip "no jq"
command -v curl >/dev/null || skip "no curl"
# shellcheck source=tools/log.sh
. "$(dirname "$0")/tools/log.sh"
log_tool

ev() { "$BIN" evidence "$@"; }
make_log 30 10 0
ev key --root "$ROOT" >"$TMP/log.vkey"
ev witness --key --root "$TMP/w" >"$TMP/w.vkey"
[ "$(wc -l <"$TMP/w.vkey")" -eq 1 ] || fail "evidence witness --key: $(cat "$TMP/w.vkey")"
WITNESS=
stop_witness() {
	[ -n "$WITNESS" ] || return 0
	kill -KILL "$WITNESS" 2>/dev/null || true
	wait "$WITNESS" 2>/dev/null || true
	WITNESS=
}
at_exit stop_witness
start_witness() { # a port that is free is found by trying
	local i
	for i in 1 2 3 4 5 6 7 8; do
		PORT=$((20000 + (RANDOM + i) % 20000))
		"$BIN" evidence witness --root "$TMP/w" --log "$TMP/log.vkey" --listen "127.0.0.1:$PORT" 2>"$TMP/witness.log" &
		WITNESS=$!
		if wait_until 10 witness_is_up_or_gone && kill -0 "$WITNESS" 2>/dev/null; then return 0; fi
		wait "$WITNESS" 2>/dev/null || true
	done
	fail "the witness does not start: $(cat "$TMP/witness.log")"
}
witness_is_up_or_gone() { grep -q 'answers at' "$TMP/witness.log" || ! kill -0 "$WITNESS" 2>/dev/null; }
start_witness
url() { echo "http://127.0.0.1:$PORT $(cat "$TMP/w.vkey")"; }

# what is no request
code() { curl -s -o "$TMP/body" -w '%{http_code}' "$@"; }
[ "$(code "http://127.0.0.1:$PORT/")" = 404 ] || fail "another path"
[ "$(code "http://127.0.0.1:$PORT/add-checkpoint")" = 405 ] || fail "GET"
[ "$(code --data-binary rubbish "http://127.0.0.1:$PORT/add-checkpoint")" = 400 ] || fail "rubbish"
[ "$(head -c 200000 /dev/zero | code --data-binary @- "http://127.0.0.1:$PORT/add-checkpoint")" = 413 ] || fail "too much"
ev key --create --root "$TMP/stranger" >/dev/null
{ printf 'old 0\n\n'; sed 's/^waveos/wavhos/' "$LOG/checkpoint"; } >"$TMP/unknown"
[ "$(code --data-binary @"$TMP/unknown" "http://127.0.0.1:$PORT/add-checkpoint")" = 404 ] || fail "an unknown log"
{ printf 'old 0\n\n'; sed 's/^30$/31/' "$LOG/checkpoint"; } >"$TMP/forged"
[ "$(code --data-binary @"$TMP/forged" "http://127.0.0.1:$PORT/add-checkpoint")" = 403 ] || fail "a forged checkpoint"

cp -a "$LOG" "$TMP/old"
ev checkpoint --root "$ROOT" --witness "$(url)" >"$TMP/out" || fail "$(cat "$TMP/out")"
grep -q 'vouches for these 30 records' "$TMP/out" || fail "$(cat "$TMP/out")"
[ "$(ev verify --root "$ROOT" --witness "$TMP/w.vkey" --json | jq -c '[.ok, .cosigned, .cosigners]')" = '[true,30,1]' ] ||
	fail "the cosignature does not count: $(ev verify --root "$ROOT" --witness "$TMP/w.vkey" --json)"
make_log 30 0 0
mkdir -p "$ROOT/etc/waveos"
printf 'evidence:\n  witness: "%s"\n' "$(url)" >"$ROOT/etc/waveos/waveos.yaml"
ev checkpoint --root "$ROOT" --json >"$TMP/out" || fail "$(cat "$TMP/out")"
[ "$(jq -c '[.size, .witnesses[0].cosigned]' "$TMP/out")" = '[60,true]' ] || fail "$(cat "$TMP/out")"
ev verify --root "$ROOT" --ask "$(url)" >"$TMP/out" || fail "$(cat "$TMP/out")"

# put back, with leaf hashes, checkpoints and cosignatures: only the witness can tell
cp -a "$LOG" "$TMP/new"
rm -rf "$LOG"
cp -a "$TMP/old" "$LOG"
ev verify --root "$ROOT" >"$TMP/out" || fail "a log that was put back whole verifies by itself: $(cat "$TMP/out")"
status=0
ev verify --root "$ROOT" --ask "$(url)" >"$TMP/out" || status=$?
[ $status -eq 1 ] || fail "exit $status: $(cat "$TMP/out")"
grep -q '^rollback: .*saw 60 records, here are 30' "$TMP/out" || fail "$(cat "$TMP/out")"
# the attacker goes on from there, with the device's own key; the witness was killed meanwhile
stop_witness
start_witness
make_log 50 0 0
status=0
ev checkpoint --root "$ROOT" --witness "$(url)" >"$TMP/out" || status=$?
[ $status -eq 1 ] || fail "exit $status: $(cat "$TMP/out")"
grep -q 'other records among the first 60: the log was forked' "$TMP/out" || fail "$(cat "$TMP/out")"
[ ! -e "$LOG/witnessed" ] || fail "a fork has a cosignature"
# the true one goes on
rm -rf "$LOG"
cp -a "$TMP/new" "$LOG"
make_log 5 0 0
ev checkpoint --root "$ROOT" --witness "$(url)" | grep -q 'vouches for these 65 records' || fail "the true log is refused"
# another witness that answers there is not believed
other=$(ev witness --key --root "$TMP/other")
status=0
ev checkpoint --root "$ROOT" --witness "http://127.0.0.1:$PORT $other" >"$TMP/out" || status=$?
[ $status -eq 1 ] || fail "exit $status"
grep -q 'not signed by its key' "$TMP/out" || fail "$(cat "$TMP/out")"
# nobody answers
kill -TERM "$WITNESS"
wait "$WITNESS" || fail "the witness ended with $?"
WITNESS=
status=0
ev checkpoint --root "$ROOT" --witness "$(url)" >"$TMP/out" 2>&1 || status=$?
[ $status -eq 1 ] || fail "exit $status: $(cat "$TMP/out")"

# The agent does it by itself: one witness answers, one does not until later; then one that saw a fork.
rm -f "$ROOT/etc/waveos/waveos.yaml"
cp -a "$ROOT" "$TMP/fork"
# a witness of the agent: PORTS and PIDS by name
declare -A PORTS PIDS
witness_run() { # NAME [PORT]
	ev witness --key --root "$TMP/$1" >"$TMP/$1.vkey"
	local i
	: >"$TMP/witness.log"
	for i in 1 2 3 4 5 6 7 8; do
		PORTS[$1]=${2:-$((20000 + (RANDOM + i) % 20000))}
		"$BIN" evidence witness --root "$TMP/$1" --log "$TMP/log.vkey" --listen "127.0.0.1:${PORTS[$1]}" 2>"$TMP/witness.log" &
		PIDS[$1]=$!
		WITNESS=${PIDS[$1]}
		if wait_until 10 witness_is_up_or_gone && kill -0 "$WITNESS" 2>/dev/null; then
			WITNESS=
			return 0
		fi
		wait "$WITNESS" 2>/dev/null || true
		WITNESS=
	done
	fail "the witness does not start: $(cat "$TMP/witness.log")"
}
witness_end() { # NAME
	[ -n "${PIDS[$1]:-}" ] || return 0
	kill -KILL "${PIDS[$1]}" 2>/dev/null || true
	wait "${PIDS[$1]}" 2>/dev/null || true
	PIDS[$1]=
}
witnesses_end() { local name; for name in "${!PIDS[@]}"; do witness_end "$name"; done; }
at_exit witnesses_end
at() { echo "http://127.0.0.1:${PORTS[$1]} $TMP/$1.vkey"; }
records() { grep "\"type\":\"$1\"" "$LOG/events.jsonl" || true; }
has_record() { [ -n "$(records "$1")" ]; }
# whose signatures `witnessed` has: the first four bytes of each are the id of its key
# All of it is read: a grep that ends early breaks the pipe of who writes, which pipefail takes for a failure.
signers() { grep '^— ' "$LOG/witnessed" 2>/dev/null | while read -r _ _ line; do echo "$line" | base64 -d | head -c 4 | od -An -tx1 | tr -d ' '; done; }
cosigned_by() { local name; for name; do grep -qx "$(cut -d+ -f2 "$TMP/$name.vkey")" <<<"$(signers)" || return 1; done; }
agent_with() { # WITNESS,WITNESS
	agent_start --set "evidence.witness=$1" --set evidence.witness_every=1s --set evidence.checkpoint_every=1s
}
rm -f "$LOG/witnessed"
witness_run a
witness_run b
witness_end b # its port is known and free now
agent_with "$(at a), $(at b)"
wait_until 20 has_record witness-lost || fail "a witness that is down is no record"
records witness-lost | jq -e --arg u "127.0.0.1:${PORTS[b]}" '.witness | contains($u)' >/dev/null || fail "$(records witness-lost)"
wait_until 20 cosigned_by a || fail "the witness that is up was not shown the log"
! cosigned_by b || fail "a witness that is down cosigned"
tries() { [ "$(grep -c "127.0.0.1:${PORTS[b]}/add-checkpoint" "$TMP/agent.log")" -ge 2 ]; }
wait_until 30 tries || fail "it was not asked again"
[ "$(records witness-lost | wc -l)" -eq 1 ] || fail "recorded again: $(records witness-lost)"
# nobody there has a capability, and who talks to the network is not root
process() { # NAME
	local f
	for f in /proc/[0-9]*/status; do
		if grep -qx "Name:	$1" "$f" 2>/dev/null && grep -qx "PPid:	$2" "$f" 2>/dev/null; then
			f=${f%/status}
			echo "${f#/proc/}"
			return
		fi
	done
}
worker=$(process waveos-anchor "$AGENT")
helper=$(process waveos-witness "$worker")
[ -n "$worker" ] && [ -n "$helper" ] || fail "worker '$worker', helper '$helper'"
for pid in "$worker" "$helper"; do
	grep -qx 'CapEff:	0000000000000000' "/proc/$pid/status" || fail "$(cat "/proc/$pid/status")"
	grep -qx 'CapPrm:	0000000000000000' "/proc/$pid/status" || fail "$(cat "/proc/$pid/status")"
	grep -qx 'Seccomp:	2' "/proc/$pid/status" || fail "$(cat "/proc/$pid/status")"
done
grep -q 'cannot become another user' "$TMP/agent.log" || ! grep -q '^Uid:	0	' "/proc/$helper/status" || [ "$(id -u)" -ne 0 ] ||
	fail "root talks to the network"

witness_run b "${PORTS[b]}"
wait_until 40 has_record witness-back || fail "it came back and that is no record"
wait_until 20 cosigned_by a b || fail "not both cosigned: $(cat "$LOG/witnessed")"
agent_stop
[ "$(ev verify --root "$ROOT" --witness "$TMP/a.vkey" --witness "$TMP/b.vkey" --json | jq .ok)" = true ] ||
	fail "$(ev verify --root "$ROOT" --witness "$TMP/a.vkey" --witness "$TMP/b.vkey")"

# one that saw another log, with the device's own key: an alarm, once in the log
"$TMP/log" "$TMP/fork" 1 0 0
witness_run f
ev checkpoint --root "$TMP/fork" --witness "$(at f)" >"$TMP/out" || fail "$(cat "$TMP/out")"
ev checkpoint --root "$ROOT" >/dev/null
agent_with "$(at a), $(at f)"
wait_until 20 has_record witness-conflict || fail "a fork is no record"
records witness-conflict | jq -e --arg u "127.0.0.1:${PORTS[f]}" \
	'(.witness | contains($u)) and .what == "forked" and .severity == "critical"' >/dev/null || fail "$(records witness-conflict)"
grep -q 'IS NOT THE ONE IT WAS' "$TMP/agent.log" || fail "no word in the agent's log"
alarms() { [ "$(grep -c 'IS NOT THE ONE IT WAS' "$TMP/agent.log")" -ge 2 ]; }
wait_until 30 alarms || fail "it was not asked again"
[ "$(records witness-conflict | wc -l)" -eq 1 ] || fail "recorded again: $(records witness-conflict)"
! cosigned_by f || fail "a fork has a cosignature"
agent_stop
