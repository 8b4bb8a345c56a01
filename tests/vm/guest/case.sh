# Words for cases: ". /payload/case.sh" in their first line after the head. POSIX sh under busybox.

set -u

# busybox sh runs its own applets before it looks at PATH, and its ip and tc know little. Behind timeout, xargs or
# in_cgroup a function is not seen: name /payload/bin/ip there.
ip() { /payload/bin/ip "$@"; }
tc() { /payload/bin/tc "$@"; }

skip() { echo "$*"; exit 77; }
fail() { echo "$*"; exit 1; }

# need PROGRAM...: skips when the guest lacks one.
need() {
	for n in "$@"; do
		command -v "$n" >/dev/null 2>&1 || skip "no $n in the guest"
	done
}

# need_module NAME: loads it, or skips; one that is built in is fine.
need_module() { modprobe -q "$1" || [ -d "/sys/module/$1" ] || skip "this kernel has no module $1"; }

# kernel_at_least 6.1: for expectations only; a feature is better probed than guessed from a version.
kernel_at_least() { [ "$(printf '%s\n%s\n' "$1" "$(uname -r)" | sort -V | head -n 1)" = "$1" ]; }

# wait_for SECONDS COMMAND...: polls until the command succeeds; fails when the time is over.
wait_for() {
	deadline=$(($(cut -d . -f 1 /proc/uptime) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(cut -d . -f 1 /proc/uptime)" -lt "$deadline" ] || return 1
		usleep 100000
	done
}

# new_cgroup NAME: makes it below the root with every controller, prints its path.
new_cgroup() {
	mkdir -p "/sys/fs/cgroup/$1"
	echo "/sys/fs/cgroup/$1"
}

# in_cgroup PATH COMMAND...: runs the command inside it (use "in_cgroup ... &" for a load).
in_cgroup() (
	dir=$1
	shift
	# $$ is the parent's number here; a fresh sh knows its own.
	# shellcheck disable=SC2016
	exec sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$dir" "$@"
)

# lsm_has NAME: that security module is active, so that its hooks are called at all.
lsm_has() {
	case ,$(cat /sys/kernel/security/lsm), in
	*,"$1",*) return 0 ;;
	esac
	return 1
}
