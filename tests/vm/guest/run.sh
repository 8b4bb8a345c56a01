#!/bin/sh
# Runs every case of the payload in turn inside the guest and prints one line for each:
#   case <name> ok|skip|fail <reason>
# A failed case is followed by the end of its output. What a case leaves behind (processes, cgroups, pins,
# network devices) is removed before the next one starts.

export KERNEL_LABEL BIN CASE_DIR TMPDIR
. /payload/env
BIN=/payload/bin/waveos-bpf
TMPDIR=/tmp
DEFAULT_LIMIT=60

# Every process but init, this one and the kernel's threads (which have no program).
kill_strays() {
	for p in /proc/[0-9]*; do
		p=${p#/proc/}
		case $p in 1 | "$$") continue ;; esac
		readlink "/proc/$p/exe" >/dev/null 2>&1 || continue
		kill -9 "$p" 2>/dev/null
	done
}

# A cgroup can go once its processes are reaped, which takes a moment after the kill.
remove_cgroups() {
	for attempt in 1 2 3 4 5 6 7 8 9 10; do
		find /sys/fs/cgroup -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null
		[ -n "$(find /sys/fs/cgroup -mindepth 1 -type d)" ] || return 0
		usleep 100000
	done
	echo "run: cgroups left after $attempt attempts"
}

# A freeze that a case left behind would keep its processes from dying.
thaw_cgroups() {
	find /sys/fs/cgroup -mindepth 2 -name cgroup.freeze | while read -r f; do
		echo 0 >"$f"
	done 2>/dev/null
}

remove_links() {
	for d in /sys/class/net/*; do
		d=${d##*/}
		[ "$d" = lo ] || /payload/bin/ip link del "$d" 2>/dev/null
	done
	/payload/bin/tc qdisc del dev lo root 2>/dev/null
	/payload/bin/tc qdisc del dev lo clsact 2>/dev/null
}

clean_up() {
	thaw_cgroups
	kill_strays
	remove_cgroups
	remove_links
	find /sys/fs/bpf -mindepth 1 -delete 2>/dev/null
	# an agent with --root below CASE_DIR mounted a bpffs there
	awk -v d="$CASE_DIR/" 'index($2, d) == 1 {print $2}' /proc/mounts | while read -r m; do umount "$m"; done
	rm -rf "$CASE_DIR"
}

# "# limit: SECONDS" in a case's head sets its time limit.
case_limit() {
	limit=$(sed -n '1,10s/^# limit: *\([0-9][0-9]*\).*/\1/p' "$1")
	echo "${limit:-$DEFAULT_LIMIT}"
}

last_line() { grep -v '^ *$' "$1" | tail -n 1 | cut -c 1-200; }

run_case() {
	file=$1 name=$(basename "$1" .sh) out=/run/case.out
	CASE_DIR=/tmp/$name
	mkdir -p "$CASE_DIR"
	limit=$(case_limit "$file")
	start=$(cut -d ' ' -f 1 /proc/uptime)
	# The shell reports a killed child ("Killed") on its own standard error. A group with a redirection around the
	# subshell would do, but busybox 1.35 then loses the inner one.
	exec 3>&2 2>/dev/null
	(cd "$CASE_DIR" && exec timeout -s KILL "$limit" sh "$file") >"$out" 2>&1 </dev/null 3>&-
	status=$?
	exec 2>&3 3>&-
	took=$(awk -v a="$start" '{ printf "%.1f s", $1 - a }' /proc/uptime)
	case $status in
	0) echo "case $name ok ($took)" ;;
	77) echo "case $name skip $(last_line "$out")" ;;
	137) echo "case $name fail killed after its limit of $limit s" ;;
	*) echo "case $name fail exit $status: $(last_line "$out")" ;;
	esac
	case $status in
	0 | 77) [ -z "$VERBOSE" ] || sed 's/^/    | /' "$out" ;;
	*) tail -n 40 "$out" | sed 's/^/    | /' ;;
	esac
	clean_up
}

echo "guest $(uname -r)"
for file in /payload/cases/*.sh; do
	[ -f "$file" ] && run_case "$file"
done
echo "guest done after $(cut -d ' ' -f 1 /proc/uptime) s"
exit 0
