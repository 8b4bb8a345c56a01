# shellcheck shell=bash
# What host tests share. Source it first: . "$(dirname "$0")/lib.sh"
# BIN is the binary; TMP a folder of this test alone. The agent under test runs with its own --root, so
# that it never meets an agent of the machine.
set -euo pipefail
: "${BIN:?path of waveos-bpf}" "${TMP:=$(mktemp -d)}"
ROOT=$TMP/root
AGENT=
CGROUP2=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/self/mounts)
CLEANUPS=()

fail() {
	echo "FAIL: $*" >&2
	if [ -s "$TMP/agent.log" ]; then
		echo "--- agent log:" >&2
		tail -n 20 "$TMP/agent.log" >&2
	fi
	exit 1
}
skip() {
	echo "$*"
	exit 77
}

# at_exit COMMAND...: run when the test ends, last one first
at_exit() {
	CLEANUPS+=("$(printf '%q ' "$@")")
}
cleanup() {
	local status=$? i
	for ((i = ${#CLEANUPS[@]} - 1; i >= 0; i--)); do
		eval "${CLEANUPS[i]}" >/dev/null 2>&1 || true
	done
	agent_kill
	"$BIN" detach --root "$ROOT" >/dev/null 2>&1 || true
	exit "$status"
}
trap cleanup EXIT

# wait_until SECONDS COMMAND...: polls until the command succeeds
wait_until() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt "$deadline" ] || return 1
		read -rt 0.05 <> <(:) || true
	done
}

# agent_start [OPTIONS]: starts attach in the background and waits for its first figures
agent_start() {
	mkdir -p "$ROOT"
	rm -f "$TMP/agent.log"
	"$BIN" attach --root "$ROOT" --set metrics.listen= --set agent.log_format=text "$@" 2>"$TMP/agent.log" &
	AGENT=$!
	wait_until 20 agent_ready || fail "agent did not start"
}
agent_ready() {
	kill -0 "$AGENT" 2>/dev/null || fail "agent ended at once"
	grep -qs 'first figures' "$TMP/agent.log"
}
agent_stop() {
	[ -n "$AGENT" ] || return 0
	kill -TERM "$AGENT" 2>/dev/null || true
	wait "$AGENT" || fail "agent ended with status $?"
	AGENT=
}
agent_kill() {
	[ -n "$AGENT" ] || return 0
	kill -KILL "$AGENT" 2>/dev/null || true
	wait "$AGENT" 2>/dev/null || true
	AGENT=
}

# cgroup_make NAME: makes a v2 cgroup for this test and prints its folder
cgroup_make() {
	[ -n "$CGROUP2" ] || skip "no cgroup v2 file system is mounted"
	mkdir "$CGROUP2/$1" || fail "cannot make cgroup $1"
	echo "$CGROUP2/$1"
}
# cgroup_remove DIR: kills what is in it and removes it
cgroup_remove() {
	[ -d "$1" ] || return 0
	if [ -e "$1/cgroup.kill" ]; then echo 1 >"$1/cgroup.kill"; else xargs -r kill -9 <"$1/cgroup.procs" || true; fi
	wait_until 5 rmdir "$1" 2>/dev/null || true
}
# cgroup_run DIR COMMAND...: runs a command in that cgroup and waits for it
cgroup_run() (
	echo "$BASHPID" >"$1/cgroup.procs"
	shift
	exec "$@"
)

# rows: the published rows as JSON, one tick after now
rows() {
	"$BIN" top --once --json --root "$ROOT"
}
# figure PATH NAME: one cumulative figure of a v2 cgroup, from the published snapshot
figure() {
	rows | jq --arg p "$1" --arg n "$2" \
		'[.rows[] | select(.cgroup == $p and .hierarchy != "v1") | .signals[$n]][0] // 0'
}
# known PATH: whether the agent has a row of that cgroup
known() {
	rows | jq -e --arg p "$1" 'any(.rows[]; .cgroup == $p)' >/dev/null
}
unknown() {
	! known "$1"
}

# within A B PERCENT: |a - b| <= percent of b
within() {
	awk -v a="$1" -v b="$2" -v p="$3" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(d <= b * p / 100) }'
}
