#!/bin/sh
# Runs under systemd as PID 1, as waveos-vm.service. The machine is reset once by its watchdog: the disk remembers.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec </dev/null >/dev/ttyS1 2>&1
STATE=/var/lib/waveos
[ -e /dev/watchdog0 ] && HW=1 || HW=

finish() {
	printf '\nWAVEOS-VM-EXIT %s\n' "$1"
	stty -F /dev/ttyS1 sane
	sync
	systemctl poweroff -ff
	exit
}
fail() {
	echo "FAIL: $*"
	systemctl status waveos-bpf victim shop --no-pager -l 2>&1 | tail -n 30
	journalctl -b --no-pager -u waveos-bpf 2>/dev/null | tail -n 30
	events | grep -E '"(boot|watchdog|action|action-outcome|recovery|request)"' | tail -n 20
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
events() { cat $STATE/runs/*/events.jsonl; }
has() { events | grep -E "$1" | grep -qE "$2"; }
property() { systemctl show -P "$1" "$2"; }
said() { echo "ok   $*  ($(cut -d ' ' -f 1 /proc/uptime) s)"; }

second_boot() {
	systemctl start waveos-bpf || fail "the agent does not start after the reset"
	wait_for 30 has '"type":"boot"' '"reason":"watchdog"' || fail "the reset reason is not captured"
	has '"type":"boot"' '"watchdog_bootstatus":32.*"reason":"watchdog"' || fail "no bootstatus as evidence"
	said "watchdog reset captured after the reboot"
	finish 0
}

# An application that is a unit: taken by the hook, confirmed by its health, and back when it is ill.
bundles() {
	[ -d /payload/bundles ] || { echo "skip bundles: no libarchive where this was made"; return; }
	waveos-bpf bundle root pin /payload/bundles/root.json || fail "root pin"
	runs() { tr '\0' ' ' <"/proc/$(property MainPID shop)/cmdline" | grep -q "sleep 10000$1"; }
	for n in 1 2; do
		waveos-bpf bundle install --wait --timeout 120s /payload/bundles/shop-$n.wvb || fail "bundle $n"
		wait_for 10 runs $n || fail "shop $n does not run"
		said "bundle $n of a unit: restarted by its hook, confirmed"
	done
	waveos-bpf bundle install --wait --timeout 120s /payload/bundles/shop-3.wvb
	[ $? = 1 ] || fail "bundle 3 is not rolled back"
	wait_for 30 runs 2 || fail "shop 2 does not run after the rollback"
	said "bundle of a unit that is ill: rolled back"
}

first_boot() {
	[ "$(cat /proc/1/comm)" = systemd ] || fail "systemd is not PID 1"
	systemctl start waveos-bpf || fail "the unit does not start"
	[ "$(property ActiveState waveos-bpf)" = active ] || fail "no READY=1"
	[ "$(property StatusErrno waveos-bpf)" = 0 ] || fail "status"
	said "unit started, READY=1"

	# a unit that runs is restarted through systemd, and the job is waited for
	systemctl start victim || fail "victim"
	old=$(property MainPID victim)
	wait_for 30 test -d /sys/fs/cgroup/system.slice/victim.service
	waveos-bpf recover --step restart /system.slice/victim.service || fail "recover"
	wait_for 60 has '"action-outcome"' '"act":"restart".*"outcome":"done"' || fail "no restart"
	new=$(property MainPID victim)
	[ "$new" != "$old" ] && [ "$new" != 0 ] || fail "victim was not restarted: $old $new"
	said "running unit restarted"

	# an induced crash: systemd itself leaves it failed, its cgroup is gone; the chain brings it back
	kill -KILL "$new"
	down() { [ "$(property ActiveState victim)" = failed ]; }
	wait_for 30 down || fail "victim is not down"
	waveos-bpf recover /system.slice/victim.service back || fail "recover"
	up() { [ "$(property ActiveState victim)" = active ]; }
	wait_for 60 up || fail "a crashed unit is not back"
	wait_for 30 has '"recovery"' '"chain":"back".*"event":"started"' || fail "the chain is not recorded"
	said "crashed unit brought back by its chain"

	# a unit that does not exist is a failure that systemd explains
	waveos-bpf recover --step restart /system.slice/nosuch.service || fail "recover"
	wait_for 30 has '"action-outcome"' 'nosuch.*"outcome":"failed"' || fail "a restart of nothing is not told as failed"
	said "restart of an unknown unit told as failed"

	bundles
	# systemd's watchdog: a supervisor that stands still is replaced
	old=$(property MainPID waveos-bpf)
	kill -STOP "$old"
	other() { p=$(property MainPID waveos-bpf) && [ "$p" != "$old" ] && [ "$p" != 0 ]; }
	wait_for 90 other || fail "systemd's watchdog did not replace a stopped agent"
	wait_for 60 has '"type":"boot"' '"reason":"agent crash"' || fail "an agent crash is not told"
	said "stopped agent replaced by systemd's watchdog, told as agent crash"

	# an orderly end leaves a marker, and the next start says so
	systemctl restart waveos-bpf || fail "restart"
	wait_for 60 has '"type":"boot"' '"reason":"orderly"' || fail "an orderly end is not told"
	said "orderly restart told"

	[ -n "$HW" ] || { echo "skip hardware watchdog: none in this kernel"; finish 0; }
	has '"type":"watchdog"' '"device":"/dev/watchdog0".*"timeout_s":40' || fail "the watchdog is not owned"
	# no systemd to help: the machine has to be reset
	mkdir -p /run/systemd/system/waveos-bpf.service.d
	printf '[Service]\nWatchdogSec=0\nRestart=no\nExecStart=\nExecStart=/usr/sbin/waveos-bpf attach --config /payload/short.yaml\n' >/run/systemd/system/waveos-bpf.service.d/zz.conf
	systemctl daemon-reload
	systemctl restart waveos-bpf || fail "restart"
	: >$STATE/second-boot
	sync
	said "waiting for the hardware watchdog"
	kill -STOP "$(property MainPID waveos-bpf)"
	sleep 60
	fail "the hardware watchdog did not reset the machine"
}

if [ -e $STATE/second-boot ]; then second_boot; else first_boot; fi
