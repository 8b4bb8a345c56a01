#!/bin/bash
# A cap on open files: holds, is inherited, corrected when raised, survives SIGKILL, and is put back.
. "$(dirname "$0")/lib.sh"
NAME=wvtest-open-$$
CG=$(cgroup_make "$NAME")
at_exit cgroup_remove "$CG"
OLD=$(ulimit -Sn)
[ "$OLD" = unlimited ] || [ "$OLD" -ge 1000 ] || skip "the soft limit here is $OLD already"

soft() { prlimit --pid "$1" --nofile --noheadings --output SOFT | tr -d ' '; }
soft_is() { [ "$(soft "$1")" = "$2" ]; }
in_cgroup() { grep -qx "$1" "$CG/cgroup.procs"; }
# live COMMAND...: in the cgroup and in the background; its process is LIVE
live() {
	(echo "$BASHPID" >"$CG/cgroup.procs" && exec "$@") &
	LIVE=$!
	wait_until 5 in_cgroup $LIVE || fail "$* is not in the cgroup"
}

mkdir -p "$ROOT/etc/waveos"
cat >"$ROOT/etc/waveos/waveos.yaml" <<YAML
agent: {tick: 200ms}
budgets:
  - {name: few, cgroup: /$NAME, files: {max: 256}}
YAML
live sleep 600
BIG=$LIVE
live bash -c 'ulimit -Sn 64; exec sleep 600'
SMALL=$LIVE
wait_until 5 soft_is "$SMALL" 64 || fail "the small one has $(soft "$SMALL")"
agent_start
EVENTS=$(find "$ROOT/var/lib/waveos/runs" -name events.jsonl)
wait_until 5 soft_is "$BIG" 256 || fail "the limit is $(soft "$BIG")"
[ "$(soft "$SMALL")" = 64 ] || fail "a lower limit was changed to $(soft "$SMALL")"
# told FILTER: whether an outcome has an action like that
told() {
	jq -se --arg c "/$NAME" "[.[] | select(.type == \"outcome\" and .cgroup == \$c) | .actions[]
		| select(.item == \"files.max\") | select($1)] | length > 0" "$EVENTS" >/dev/null
}
told '.outcome == "changed" and .limit == 256 and .processes.lowered == 1 and .processes.in_order == 1' ||
	fail "the outcome does not tell: $(grep '"outcome"' "$EVENTS")"

echo "the kernel refuses more, also to children of who was lowered:"
cat >"$TMP/open.py" <<'PY'
import os, resource, sys, time
while resource.getrlimit(resource.RLIMIT_NOFILE)[0] != 256:
    time.sleep(0.02)
if os.fork() == 0:
    try:
        for n in range(300):
            os.open("/dev/null", os.O_RDONLY)
    except OSError as e:
        print(e.errno, flush=True)
    os._exit(0)
os.wait()
PY
cgroup_run "$CG" timeout 10 python3 "$TMP/open.py" >"$TMP/opened"
[ "$(cat "$TMP/opened")" = 24 ] || fail "expected EMFILE, got '$(cat "$TMP/opened")'"

echo "a limit that was raised again is corrected, and that is told:"
prlimit --pid "$BIG" --nofile=300:
wait_until 5 soft_is "$BIG" 256 || fail "it stays at $(soft "$BIG")"
wait_until 5 told '.processes.raised_again == 1' || fail "nobody told"

echo "another user's process:"
live setpriv --reuid 65534 --regid 65534 --clear-groups sleep 600
OTHER=$LIVE
if prlimit --pid "$OTHER" --nofile >/dev/null 2>&1; then
	wait_until 5 soft_is "$OTHER" 256 || fail "it has $(soft "$OTHER")"
else
	wait_until 5 told '.processes.refused >= 1 and (.reason | test("CAP_SYS_RESOURCE"))' ||
		fail "a refusal of the kernel is not told: $(grep files.max "$EVENTS")"
fi
kill "$OTHER"

echo "SIGKILL of the agent; who comes meanwhile is met by the next one:"
agent_kill
live sleep 600
LATE=$LIVE
[ "$(soft "$BIG")" = 256 ] || fail "gone with the agent: $(soft "$BIG")"
agent_start
wait_until 5 soft_is "$LATE" 256 || fail "the late one has $(soft "$LATE")"
[ "$(soft "$BIG")" = 256 ] || fail "the new agent made it $(soft "$BIG")"

echo "detach with the agent dead:"
agent_kill
"$BIN" detach --root "$ROOT" >"$TMP/detach.out"
for p in "$BIG" "$LATE"; do
	[ "$(soft "$p")" = "$OLD" ] || fail "not restored: $(soft "$p"), was $OLD"
done
[ "$(soft "$SMALL")" = 64 ] || fail "the small one has $(soft "$SMALL")"
grep -q 'restored the limit of open files of 2 process' "$TMP/detach.out" || fail "detach tells: $(cat "$TMP/detach.out")"

echo "a budget that is gone from the file is put back by the next agent:"
agent_start
wait_until 5 soft_is "$BIG" 256 || fail "the limit is $(soft "$BIG")"
agent_kill
printf 'budgets:\n  - {name: other, cgroup: /none-%s, pids: {max: 5}}\n' "$NAME" >"$ROOT/etc/waveos/waveos.yaml"
agent_start
wait_until 5 soft_is "$BIG" "$OLD" || fail "not restored: $(soft "$BIG"), was $OLD"
