#!/bin/sh
# Runs under systemd as PID 1, as waveos-vm.service: the package comes, is upgraded, goes.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec </dev/null >/dev/ttyS1 2>&1
read -r FIRST SECOND </payload/packages/versions
PINS=/sys/fs/bpf/waveos/limits
# not one of systemd, which sets its units' files anew whenever it is reloaded
VICTIM=/sys/fs/cgroup/victim

finish() {
	printf '\nWAVEOS-VM-EXIT %s\n' "$1"
	stty -F /dev/ttyS1 sane
	sync
	systemctl poweroff -ff
	exit
}
fail() {
	echo "FAIL: $*"
	systemctl status waveos-bpf --no-pager -l 2>&1 | tail -n 20
	journalctl -b --no-pager -u waveos-bpf 2>/dev/null | tail -n 30
	finish 1
}
# wait_for SECONDS COMMAND...
wait_for() {
	end=$(($(cut -d . -f 1 /proc/uptime) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(cut -d . -f 1 /proc/uptime)" -lt "$end" ] || return 1
		sleep 0.1
	done
}
property() { systemctl show -P "$1" "$2"; }
said() { echo "ok   $*  ($(cut -d ' ' -f 1 /proc/uptime) s)"; }
# the libraries are there, but not as packages
package() { dpkg --force-depends --force-not-root "$@" >/tmp/dpkg 2>&1 || { cat /tmp/dpkg; fail "dpkg $*"; }; }
held() { [ "$(cat $VICTIM/pids.max)" = 50 ] && ls $PINS/*-egress >/dev/null 2>&1; }
free() { [ "$(cat $VICTIM/pids.max)" != 50 ]; }
version() { waveos-bpf version | grep -q "^waveos-bpf $1"; }

mkdir -p /var/lib/dpkg/info /var/lib/dpkg/updates /var/log /var/lib/other
touch /var/lib/dpkg/status /var/lib/dpkg/available /var/lib/other/file
mkdir $VICTIM && [ -e $VICTIM/pids.max ] || fail "no cgroup with the pids controller: $(cat /sys/fs/cgroup/cgroup.subtree_control)"
sleep 100000 &
echo $! >$VICTIM/cgroup.procs || fail "victim"

package -i /payload/packages/first.deb
version "$FIRST" || fail "not version $FIRST"
[ "$(property ActiveState waveos-bpf)" = active ] || fail "the package does not start the agent"
[ "$(systemctl is-enabled waveos-bpf)" = enabled ] || fail "the package does not enable the agent"
grep -q '^waveos:' /etc/group && grep -q '^waveos-spool:' /etc/passwd || fail "no group or user"
[ "$(stat -c '%a %G' /etc/waveos)" = "750 waveos" ] || fail "/etc/waveos: $(stat -c '%a %U %G' /etc/waveos)"
[ -f /usr/share/man/man8/waveos-bpf.8.gz ] || [ -d /usr/share/waveos-bpf/units ] || fail "files are missing"
[ -z "$(ls $PINS 2>/dev/null)" ] || fail "installed, it enforces: $(ls $PINS)"
said "version $FIRST installed, started, enforces nothing"

cat >/etc/waveos/waveos.yaml <<Y
budgets:
  - {name: small, cgroup: /victim, pids: {max: 50}, network: {egress: 50mbit}}
Y
systemctl restart waveos-bpf || fail "restart with a budget"
wait_for 60 held || fail "the budget is not in force: $(cat $VICTIM/pids.max) $(ls $PINS)"
said "a budget is in force"

# sampled all the time: no moment without it while the versions change
(while [ -e /run/sampling ] || [ ! -e /tmp/gap.started ]; do
	: >/tmp/gap.started
	held || echo "gap at $(cut -d ' ' -f 1 /proc/uptime)" >>/tmp/gap
	sleep 0.05
done) &
sampler=$!
: >/run/sampling
old=$(property MainPID waveos-bpf)
link=$(stat -c %i $PINS/*-egress)
package -i /payload/packages/second.deb
version "$SECOND" || fail "not version $SECOND"
other() { p=$(property MainPID waveos-bpf) && [ "$p" != "$old" ] && [ "$p" != 0 ]; }
wait_for 60 other || fail "the agent was not restarted"
[ "$(property ActiveState waveos-bpf)" = active ] || fail "no READY=1 after the upgrade"
wait_for 30 grep -rqs "\"waveos_version\": *\"$SECOND\"" /var/lib/waveos/runs || fail "the new version keeps no run"
rm /run/sampling
wait "$sampler"
[ ! -e /tmp/gap ] || fail "without the budget: $(cat /tmp/gap)"
held || fail "the budget is not in force after the upgrade"
said "upgraded to $SECOND: the budget held all the time (pin $link, now $(stat -c %i $PINS/*-egress))"

package -r waveos-bpf
[ "$(property ActiveState waveos-bpf)" != active ] || fail "removed, it runs"
free || fail "removed, its budget is still in force"
[ ! -e /sys/fs/bpf/waveos ] || fail "removed, its pins are there: $(ls -R /sys/fs/bpf/waveos | head)"
[ -d /var/lib/waveos/log ] || fail "a removal is no purge: the log is gone"
said "removed: nothing enforced, evidence kept"

package -P waveos-bpf
[ ! -e /var/lib/waveos ] && [ ! -e /run/waveos ] || fail "purged, state is left"
[ -e /etc/waveos/waveos.yaml ] || fail "purged, the owner's file is gone"
[ -e /var/lib/other/file ] || fail "purged, and another's file is gone"
grep -q . $VICTIM/cgroup.procs || fail "what it limited does not run"
said "purged: state gone, the owner's files are there"
finish 0
