# Gates and caps on priority: refused by LSM programs where bpf is an active security module, else programs are killed,
# priorities put back, and the rest is not claimed. Each self-test agrees. In force with the agent dead; detach ends it.
# limit: 240
. /payload/case.sh

need modprobe "$BIN"
dir=$(new_cgroup gated)
mkdir -p "$CASE_DIR/etc/waveos" "$CASE_DIR/listed" "$CASE_DIR/other" "$CASE_DIR/mnt"
cp /bin/busybox "$CASE_DIR/listed/busybox"
cp /bin/busybox "$CASE_DIR/other/busybox"
cat >"$CASE_DIR/etc/waveos/policy.yaml" <<YAML
schema_version: 1
name: vm
domains:
  - {name: gated, scope: {cgroup: /gated}}
gates:
  - {name: run, domain: gated, kind: exec, enforce: true, allow: [/bin/busybox, /payload/bin/chrt, $CASE_DIR/listed/busybox]}
  - {name: net, domain: gated, kind: connect, enforce: true, deny: ["127.0.0.1:7001"]}
  - {name: ports, domain: gated, kind: bind, enforce: true, deny: ["0.0.0.0/0:7002"]}
  - {name: nodes, domain: gated, kind: device, enforce: true, deny: ["c 1:5 r"]}
  - {name: sysctls, domain: gated, kind: sysctl, enforce: true, deny: [vm.swappiness]}
  - {name: modules, domain: gated, kind: module, enforce: true, deny: ["*"]}
  - {name: traces, domain: gated, kind: ptrace, enforce: true, deny: ["*"]}
  - {name: mounts, domain: gated, kind: mount, enforce: true, deny: ["*"]}
priority:
  - {name: low, domain: gated, nice_min: 0, realtime_max: 0, io_class: best-effort}
YAML
ip link set lo up
start() {
	"$BIN" attach --root "$CASE_DIR" --set agent.tick=200ms --set metrics.listen= >"$CASE_DIR/log" 2>&1 &
	agent=$!
	wait_for 100 grep -q 'first figures' "$CASE_DIR/log" || { cat "$CASE_DIR/log"; fail "the agent is not ready"; }
}
start
events() { cat "$CASE_DIR"/var/lib/waveos/runs/*/events.jsonl; }
grep -E 'left out|gate.*build refused' "$CASE_DIR/log" && fail "an object was refused"

# proof KIND RESULT; outcome GATE TEXT
proof() { events | grep '"gate-selftest"' | grep "\"kind\":\"$1\"" | grep -q "\"result\":\"$2\"" || { events | grep gate-selftest; fail "self-test of $1 is not '$2'"; }; }
outcome() { events | grep '"type":"gate"' | grep "\"gate\":\"$1\"" | grep -q "$2" || { events | grep '"type":"gate"'; fail "outcome of $1 is not '$2'"; }; }
for kind in exec connect bind device sysctl; do proof $kind denied; done
if lsm_has bpf; then
	for kind in module ptrace mount priority; do proof $kind denied; done
	outcome run 'LSM bprm_check_security'
	outcome low 'LSM task_setnice'
else
	for gate in modules traces mounts; do outcome $gate 'not enforced'; done
	outcome run 'SIGKILL'
	outcome low 'correction'
fi
events | grep '"gate-selftest"' | sed 's/.*"by":"\([^"]*\)".*"kind":"\([a-z]*\)".*"result":"\([a-z ]*\)".*/\2: \3 (\1)/'

# denied COMMAND...: fails in the domain, passes outside of it
denied() {
	"$@" >"$CASE_DIR/out" 2>&1 || { cat "$CASE_DIR/out"; fail "outside of the domain: $*"; }
	in_cgroup "$dir" "$@" >"$CASE_DIR/out" 2>&1 && fail "not denied: $*"
	return 0
}
allowed() { in_cgroup "$dir" "$@" >"$CASE_DIR/out" 2>&1 || { cat "$CASE_DIR/out"; fail "denied: $*"; }; }
check() {
	denied "$CASE_DIR/other/busybox" true
	in_cgroup "$dir" "$CASE_DIR/other/busybox" true >/dev/null 2>&1
	status=$?
	if lsm_has bpf; then expected=126; else expected=137; fi
	[ $status -eq $expected ] || fail "exec: status $status, expected $expected"
	allowed "$CASE_DIR/listed/busybox" true
	nc -l -p 7001 >/dev/null 2>&1 </dev/null &
	listener=$!
	wait_for 5 grep -q ':1B59 .* 0A ' /proc/net/tcp /proc/net/tcp6 || fail "nc does not listen"
	in_cgroup "$dir" nc -w 2 127.0.0.1 7001 </dev/null >"$CASE_DIR/out" 2>&1 && fail "connect was not denied"
	grep -q 'not permitted' "$CASE_DIR/out" || { cat "$CASE_DIR/out"; fail "connect: another error"; }
	kill $listener 2>/dev/null
	wait $listener 2>/dev/null
	in_cgroup "$dir" timeout 2 nc -l -p 7002 </dev/null >"$CASE_DIR/out" 2>&1
	grep -q 'not permitted' "$CASE_DIR/out" || { cat "$CASE_DIR/out"; fail "bind was not denied"; }
	denied head -c 1 /dev/zero
	allowed head -c 1 /dev/null
	denied sh -c 'echo 60 >/proc/sys/vm/swappiness'
	allowed cat /proc/sys/vm/swappiness
	lsm_has bpf || return 0
	in_cgroup "$dir" mount -t tmpfs none "$CASE_DIR/mnt" 2>/dev/null && fail "mount was not denied"
	grep -q "$CASE_DIR/mnt" /proc/mounts && fail "it was mounted"
	rmmod dummy 2>/dev/null
	in_cgroup "$dir" modprobe dummy 2>/dev/null
	grep -q '^dummy ' /proc/modules && fail "a module was loaded"
	denied sh -c 'renice -n -5 -p $$'
	denied ionice -c 1 -n 4 sh -c :
	allowed ionice -c 3 sh -c :
	allowed sh -c 'renice -n 5 -p $$'
	# before 5.15 it is put back only
	kernel_at_least 5.15 || return 0
	! command -v chrt >/dev/null || denied chrt -f 10 sh -c :
	! command -v chrt >/dev/null || allowed chrt -b 0 sh -c :
}
check

# a script: LSM programs see it, the tracepoint its interpreter only
printf '#!/bin/sh\n' >"$CASE_DIR/other/script"
chmod 755 "$CASE_DIR/other/script"
if lsm_has bpf; then denied "$CASE_DIR/other/script"; else allowed "$CASE_DIR/other/script"; fi

# what came in with a higher priority is put back on every kernel
sh -c 'renice -n -7 -p $$ && exec sleep 100' >/dev/null &
sleeper=$!
value() { [ "$(awk '{print $19}' "/proc/$sleeper/stat")" = "$1" ]; }
wait_for 5 value -7 || fail "nice"
echo $sleeper >"$dir/cgroup.procs"
wait_for 10 value 0 || fail "nice $(awk '{print $19}' "/proc/$sleeper/stat") was not put back"
kill $sleeper
recorded() { events | grep -q '"priority-corrected"'; }
wait_for 5 recorded || fail "no record of the correction"

kill -9 "$agent"
wait "$agent" 2>/dev/null
check
start
check
refused() { [ "$(events | grep '"gate-deny"' | grep -c '"gate":"run"')" -ge 3 ] && events | grep '"gate-deny"' | grep -q "\"object\":\"$CASE_DIR/other/busybox\""; }
wait_for 10 refused || { events | grep '"gate-deny"'; fail "no record names the program"; }

"$BIN" detach --root "$CASE_DIR" >"$CASE_DIR/detach" || { cat "$CASE_DIR/detach"; fail "detach"; }
allowed "$CASE_DIR/other/busybox" true
allowed head -c 1 /dev/zero
allowed sh -c 'renice -n -5 -p $$'
allowed mount -t tmpfs none "$CASE_DIR/mnt"
umount "$CASE_DIR/mnt"
echo ok
