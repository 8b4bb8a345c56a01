# shellcheck shell=bash
# shellcheck disable=SC2034 # rows.sh and document.sh use what is set here
# What the rows of the benchmark share: an agent of their own, cgroups of their own, quiet, statistics.
set -euo pipefail
: "${O:=build}"
BIN=$O/waveos-bpf
TOOLS=$O/bench
RESULTS=$O/bench/results
WORK=$(mktemp -d "${TMPDIR:-/tmp}/waveos-bench.XXXXXX")
ROOT=$WORK/root
PINS=$ROOT/sys/fs/bpf/waveos
PORT=$((20000 + $$ % 10000))
CGROUP2=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/self/mounts)
NAME=wvbench-$$
AGENT=
NCPU=$(nproc)
trap 'say "line $LINENO of ${BASH_SOURCE[0]##*/}: $BASH_COMMAND"' ERR
set -E
CLEANUPS=()

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
die() {
	say "FAIL: $*"
	if [ -s "$WORK/agent.log" ]; then tail -n 5 "$WORK/agent.log" >&2; fi
	exit 1
}

# at_exit COMMAND...: run at the end, last one first
at_exit() { CLEANUPS+=("$(printf '%q ' "$@")"); }
clean_up() {
	local status=$? i
	for ((i = ${#CLEANUPS[@]} - 1; i >= 0; i--)); do
		eval "${CLEANUPS[i]}" >/dev/null 2>&1 || true
	done
	agent_kill
	jobs -p | xargs -r kill 2>/dev/null || true
	"$BIN" detach --root "$ROOT" >/dev/null 2>&1 || true
	cgroups_remove
	umount "$ROOT/sys/fs/bpf" 2>/dev/null || true
	rm -rf "$WORK"
	exit "$status"
}

# nap SECONDS
nap() { read -rt "$1" <> <(:) || true; }
# wait_until SECONDS COMMAND...
wait_until() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt "$deadline" ] || return 1
		nap 0.05
	done
}

# --- agent

# agent_start [OPTIONS]: attach, and wait until all collectors are on
agent_start() {
	mkdir -p "$ROOT"
	: >"$WORK/agent.log"
	"$BIN" attach --root "$ROOT" --set "metrics.listen=127.0.0.1:$PORT" --set agent.log_format=text \
		"$@" 2>"$WORK/agent.log" &
	AGENT=$!
	wait_until 60 agent_ready || die "agent did not start"
}
agent_ready() {
	kill -0 "$AGENT" 2>/dev/null || die "agent ended at once"
	grep -q 'first figures' "$WORK/agent.log"
}
agent_stop() {
	[ -n "$AGENT" ] || return 0
	kill -TERM "$AGENT" 2>/dev/null || true
	wait "$AGENT" 2>/dev/null || true
	AGENT=
}
agent_kill() {
	[ -n "$AGENT" ] || return 0
	kill -KILL "$AGENT" 2>/dev/null || true
	wait "$AGENT" 2>/dev/null || true
	AGENT=
}
# status FILTER: of the agent's status, by jq
status() { "$BIN" status --json --root "$ROOT" | jq -r "$1"; }
tick_reached() { [ "$(status .tick)" -ge "$1" ]; }
# ticks N: waits for so many samples more
ticks() {
	local from
	from=$(status .tick)
	wait_until $((30 + 2 * $1)) tick_reached $((from + $1)) || die "the agent does not tick"
}
agent_pids() { status '.supervisor_pid, .core_pid, .web_pid'; }
# cpu_ticks PID...: user and system time so far, in clock ticks
cpu_ticks() {
	local p sum=0 line fields
	for p in "$@"; do
		line=$(cat "/proc/$p/stat" 2>/dev/null) || continue
		read -ra fields <<<"${line##*) }"
		sum=$((sum + fields[11] + fields[12]))
	done
	echo "$sum"
}

# --- cgroups of our own, below one of our own

cgroups_make() { # N
	local i
	[ -n "$CGROUP2" ] || die "no cgroup v2 file system is mounted"
	for ((i = 0; i < $1; i++)); do echo "$CGROUP2/$NAME/c$i"; done | xargs -r -n 200 mkdir -p
}
cgroups_remove() {
	if [ -n "$CGROUP2" ] && [ -d "$CGROUP2/$NAME" ]; then
		find "$CGROUP2/$NAME" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
		wait_until 5 rmdir "$CGROUP2/$NAME" 2>/dev/null || true
	fi
}
# cgroups_use N: in each some work, memory, a child and a TCP connection, so that no figure is zero
cgroups_use() {
	local i
	for ((i = 0; i < $1; i++)); do
		(
			echo "$BASHPID" >"$CGROUP2/$NAME/c$i/cgroup.procs"
			exec 3<>"/dev/tcp/127.0.0.1/$PORT"
			exec head -c 100000 /dev/zero
		) >/dev/null 2>&1 || true
	done
}
other_cgroups() { (find "$CGROUP2" -path "$CGROUP2/$NAME" -prune -o -type d -print 2>/dev/null || true) | wc -l; }
few_others() { [ "$(other_cgroups)" -lt 50 ]; }
known_cgroups() { [ "$(status .cgroups)" -ge "$1" ]; }

# --- quiet

# Jiffies that all CPUs were busy (all but idle and iowait), of which stolen by the hypervisor.
busy_jiffies() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9, $9 }' /proc/stat; }
# Programs on sched_switch that are not ours: another agent on this machine.
foreign_programs() {
	local own=0
	if [ -e "$PINS/progs/cpu_switch" ]; then own=1; fi
	echo $(($(bpftool --json prog show | jq '[.[] | select(.name == "cpu_switch")] | length') - own))
}
is_quiet() {
	local a b
	[ "$(foreign_programs)" -le 0 ] || return 1
	a=$(busy_jiffies)
	nap 0.4
	b=$(busy_jiffies)
	# fewer than a tenth of the CPUs' jiffies in that time
	[ $((${b% *} - ${a% *})) -le $((4 * NCPU)) ]
}
# wait_quiet: for the others on this machine to pause; at most QUIET_WAIT seconds, and QUIET_BUDGET in all
wait_quiet() {
	local begin=$SECONDS
	[ "$QUIET_LEFT" -gt 0 ] || return 0
	wait_until "${QUIET_WAIT:-20}" is_quiet || true
	QUIET_LEFT=$((QUIET_LEFT - (SECONDS - begin)))
}
QUIET_LEFT=${QUIET_BUDGET:-900}

# --- figures

declare -A R
# keep KEY VALUE: a figure of the row that is measured
keep() {
	R[$1]=$2
	printf '%s %s\n' "$1" "$2" >>"$RESULTS/$ROW.new"
	say "  $1 = $2"
}
# med, low, high, p95: of numbers on standard input, one a line
quantile() { # PERMILLE
	sort -g | awk -v q="$1" '{ v[NR] = $1 }
		END { if (!NR) exit 1
		      p = 1 + (NR - 1) * q / 1000; i = int(p); f = p - i
		      printf "%.10g\n", i < NR ? v[i] * (1 - f) + v[i + 1] * f : v[i] }'
}
# keep_spread KEY FORMAT <numbers: median KEY, quartiles KEY_low and KEY_high, KEY_min, KEY_max, how many KEY_n
keep_spread() {
	local numbers name
	numbers=$(cat)
	for name in :500 _low:250 _high:750 _min:0 _max:1000; do
		# shellcheck disable=SC2059 # the format is an argument
		keep "$1${name%:*}" "$(printf "$2" "$(quantile "${name#*:}" <<<"$numbers")")"
	done
	keep "$1_n" "$(wc -l <<<"$numbers")"
}
calc() { awk "BEGIN { printf \"${2:-%.10g}\", $1 }"; }
