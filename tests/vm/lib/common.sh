# shellcheck shell=bash
# Shared by the scripts in tests/vm and by vmlinux/regenerate.sh: messages, the cache folder and its lock.
# Source it; it runs nothing by itself.

VM_CACHE=${WAVEOS_VM_CACHE:-$HOME/.cache/waveos-vm}

log() { printf '%s\n' "$*" >&2; }
die() { log "${0##*/}: $*"; exit 2; }
# 77 is the exit status that the whole project reads as "skipped".
skip_all() { log "${0##*/}: skipped: $*"; exit 77; }

# Two runs may share one cache: whoever writes to it holds this lock (file descriptor 9).
cache_lock() {
	mkdir -p "$VM_CACHE"
	exec 9>"$VM_CACHE/lock"
	flock 9
}

cache_unlock() { exec 9>&-; }

# tool_path NAME: on PATH, or among the packages that fetch.sh unpacked.
tool_path() {
	local name=$1 dir
	if command -v "$name" >/dev/null 2>&1; then
		command -v "$name"
		return 0
	fi
	for dir in usr/bin bin usr/sbin sbin; do
		if [[ -x $VM_CACHE/tools/$dir/$name ]]; then
			printf '%s\n' "$VM_CACHE/tools/$dir/$name"
			return 0
		fi
	done
	return 1
}

# Libraries of the unpacked packages come after the machine's own ones only for programs that need them,
# so the search path is set per command, never exported.
tools_libs() { printf '%s\n' "$VM_CACHE/tools/usr/lib/$(uname -m)-linux-gnu:$VM_CACHE/tools/lib/$(uname -m)-linux-gnu"; }

run_tool() {
	local path
	path=$(tool_path "$1") || die "needs the program $1"
	shift
	case $path in
	"$VM_CACHE"/*) LD_LIBRARY_PATH=$(tools_libs) "$path" "$@" ;;
	*) "$path" "$@" ;;
	esac
}
