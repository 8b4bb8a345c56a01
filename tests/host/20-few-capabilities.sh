#!/bin/bash
# limit: 120
# What the hardened unit grants is enough: the agent observes, holds a limit, goes on after core or the whole agent was
# killed without counting anew; and no process of it has more than it was given, those that face others less.
. "$(dirname "$0")/lib.sh"

CAPS="bpf perfmon net_admin dac_override sys_resource sys_nice"
command -v setpriv >/dev/null || skip "no setpriv"
keep=
for c in $CAPS; do
	# a caller may lack one itself
	! setpriv --bounding-set "-all,+$c" true 2>/dev/null || keep=$keep,+$c
done
case $keep in *+bpf*+perfmon*+net_admin*) ;; *) skip "this setpriv or kernel knows no CAP_BPF" ;; esac
mkdir -p "$ROOT/sys/fs/bpf"
mount -t bpf bpf "$ROOT/sys/fs/bpf" || skip "no bpf file system may be mounted"
at_exit umount -l "$ROOT/sys/fs/bpf"
at_exit "$BIN" detach --root "$ROOT"

# confined [OPTIONS]: the agent with those capabilities and no others
# shellcheck disable=SC2120 # options are for who debugs it
confined() {
	rm -f "$TMP/agent.log"
	setpriv --bounding-set "-all$keep" "$BIN" attach --root "$ROOT" --set metrics.listen=127.0.0.1:0 \
		--set agent.log_format=text --set agent.tick=200ms "$@" 2>"$TMP/agent.log" &
	AGENT=$!
	wait_until 20 agent_ready || fail "the agent did not start with $keep"
}
# field PID NAME: of /proc/PID/status
field() {
	awk -v n="$2:" '$1 == n {print $2}' "/proc/$1/status"
}
worker() {
	local p
	for p in $(pgrep -P "$AGENT"); do
		[ "$(cat "/proc/$p/comm" 2>/dev/null)" != "$1" ] || echo "$p"
	done
}
# a fixed piece of work, some hundred milliseconds however busy the machine is
spin() {
	cgroup_run "$seen" sh -c 'i=0; while [ $i -lt 400000 ]; do i=$((i + 1)); done'
}
used() {
	figure /waveos-test-caps cpu_usage_ns
}
# over NANOSECONDS: whether the agent has counted more
over() {
	[ "$(used)" -gt "$1" ]
}

seen=$(cgroup_make waveos-test-caps)
at_exit cgroup_remove "$seen"
confined
wait_until 5 known /waveos-test-caps || fail "the cgroup is not seen"
spin
wait_until 10 over 20000000 || fail "work is not seen: $(used)"
before=$(used)

granted=$(field "$AGENT" CapEff)
core=$(worker waveos-core) web=$(worker waveos-web)
[ -n "$core$web" ] && [ -n "$web" ] || fail "no core or web: $(pgrep -lP "$AGENT")"
[ $((0x$(field "$core" CapEff) & ~0x$granted)) = 0 ] || fail "core has more than was granted"
# CAP_SYS_ADMIN is 21, SYS_PTRACE 19, SETUID 7
[ $((0x$granted & (1 << 21 | 1 << 19 | 1 << 7))) = 0 ] || fail "the agent has what it must do without: $granted"
[ "$(field "$web" CapEff)$(field "$web" CapPrm)" = 00000000000000000000000000000000 ] || fail "web has capabilities"
[ "$(field "$web" Seccomp)" = 2 ] && [ "$(field "$web" NoNewPrivs)" = 1 ] || fail "web is not confined"

# core dies: the new one finds the chunks of the tables by their pins
kill -KILL "$core"
again() { p=$(worker waveos-core) && [ -n "$p" ] && [ "$p" != "$core" ]; }
wait_until 20 again || fail "core is not replaced"
spin
wait_until 20 over $((before + 20000000)) || fail "after core was killed: $(used), before $before"
now=$(used)

# the agent dies: the next one adopts
agent_kill
confined
grep -q 'adopted' "$TMP/agent.log" || fail "nothing is adopted"
wait_until 5 known /waveos-test-caps || fail "the cgroup is not seen after adoption"
over $((now - 1)) || fail "adopted, but counted anew: $(used) < $now"
agent_stop
