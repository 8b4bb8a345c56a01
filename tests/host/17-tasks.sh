#!/bin/bash
# Starts, ends, threads, zombies, D state, crash loops, heartbeats: exact, for nothing else runs in the cgroup.
. "$(dirname "$0")/lib.sh"

CC=${CC:-cc}
command -v "$CC" >/dev/null || skip "no C compiler for the test's own programs"
cat >"$TMP/tasks.c" <<'C'
/* tasks KIND N: does something that the walk or the hooks must see. KIND ending in - stays until killed. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *wait_here(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void threads(int n)
{
	pthread_attr_t a;
	pthread_t t;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 32768);
	for (int i = 0; i < n; i++)
		if (pthread_create(&t, &a, wait_here, NULL))
			_exit(1);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";
	int n = argc > 2 ? atoi(argv[2]) : 1;

	if (!strcmp(kind, "fork") || !strcmp(kind, "exec")) {
		for (int i = 0; i < n; i++) {
			pid_t pid = fork();

			if (!pid && kind[0] == 'e')
				execl(argv[0], argv[0], NULL);
			if (!pid)
				_exit(0);
			if (pid < 0 || waitpid(pid, NULL, 0) != pid)
				return 1;
		}
		return 0;
	}
	if (!strcmp(kind, "fail")) {
		for (int i = 0; i < n; i++) {
			if (!fork())
				_exit(3);
			wait(NULL);
		}
		return 0;
	}
	if (!strcmp(kind, "threads-"))
		threads(n);
	if (!strcmp(kind, "leader-")) { /* the first thread is gone, n others stay */
		threads(n);
		syscall(SYS_exit, 0);
	}
	if (!strcmp(kind, "zombies-"))
		for (int i = 0; i < n; i++)
			if (!fork())
				_exit(0);
	if (!strcmp(kind, "dstate-")) /* the parent of vfork() waits uninterruptibly for its child */
		if (!vfork())
			for (;;)
				pause();
	if (strchr(kind, '-'))
		wait_here(NULL);
	return 0;
}
C
"$CC" -O1 -pthread -o "$TMP/tasks" "$TMP/tasks.c" || fail "cannot compile the test's program"

status() { "$BIN" status --json --root "$ROOT" >"$TMP/status.json"; }
records() { cat "$(jq -r .run_dir "$TMP/status.json")"/events*.jsonl; }
loaded() { # FLAVOUR: that kind of hook is in use
	case $1 in
	btf) grep -q 'loaded BPF programs (BTF tracepoints' "$TMP/agent.log" ;;
	raw) grep -q 'loaded BPF programs (raw tracepoints' "$TMP/agent.log" ;;
	esac
}
record_count() { # TYPE CGROUP
	records | jq -s --arg t "$1" --arg p "$2" 'map(select(.type == $t and .cgroup == $p)) | length'
}
signals() { # PATH: all signals of a cgroup in the last sample
	rows | jq -c --arg p "$1" '[.rows[] | select(.cgroup == $p and .hierarchy == "v2")][0].signals'
}
all_are() { # PATH NAME=VALUE...: in one sample
	local path=$1 want='true' pair
	shift
	for pair in "$@"; do want="$want and .${pair%=*} == ${pair#*=}"; done
	signals "$path" | jq -e "$want" >/dev/null
}
expect() { # WHAT PATH NAME=VALUE...
	local what=$1
	shift
	wait_until 8 all_are "$@" || fail "$what: want $*, have $(signals "$1" |
		jq -c 'with_entries(select(.key | test("^task_|^err_|runnable")))')"
	echo "$what: $*"
}
accounted() {
	status
	jq -e '[.events[] | select(.produced != .consumed + .dropped)] | length == 0' "$TMP/status.json" >/dev/null
}
background() { # DIR COMMAND...: starts it in the cgroup
	(
		echo "$BASHPID" >"$1/cgroup.procs"
		shift
		exec "$@"
	) >/dev/null 2>&1 &
	disown
}
# cgroup.kill does not reach a process whose first thread is gone
kill_all() { xargs -r kill -9 <"$1/cgroup.procs"; }
empty() {
	kill_all "$1" 2>/dev/null || true
	grep -qx 'populated 0' "$1/cgroup.events"
}
stop_all() { # DIR
	wait_until 5 empty "$1" || fail "processes stay in $1"
}
remove() { # DIR
	stop_all "$1"
	wait_until 5 rmdir "$1"
}

check_starts() { # FLAVOUR: every fork, exec and exit of the cgroup, to the last one
	local name=wvtest-start-$1-$$ dir
	dir=$(cgroup_make "$name")
	at_exit remove "$dir"
	cgroup_run "$dir" "$TMP/tasks" fork 200
	expect "$1: 200 forks" "/$name" task_forks=200 task_execs=1 task_exits=201
	cgroup_run "$dir" "$TMP/tasks" exec 200
	expect "$1: 200 forks with exec" "/$name" task_forks=400 task_execs=202 task_exits=402
	cgroup_run "$dir" "$TMP/tasks" exec 2000
	expect "$1: churn of 2000" "/$name" task_forks=2400 task_execs=2203 task_exits=2403
	background "$dir" "$TMP/tasks" threads- 30
	expect "$1: threads start" "/$name" task_forks=2430 task_execs=2204 task_exits=2403
	stop_all "$dir"
	expect "$1: threads end" "/$name" task_forks=2430 task_execs=2204 task_exits=2434
	wait_until 5 accounted || fail "events: produced is not consumed + dropped: $(jq -c .events "$TMP/status.json")"
}

check_walk() { # FLAVOUR
	local name=wvtest-walk-$$ dir=$CGROUP2/wvtest-walk-$$
	background "$dir" "$TMP/tasks" threads- 50
	expect "$1: threads" "/$name" task_processes=1 task_threads=51 task_zombies=0 cpu_runnable=0
	background "$dir" "$TMP/tasks" leader- 4
	expect "$1: dead leader" "/$name" task_processes=2 task_threads=55 task_zombies=0
	background "$dir" "$TMP/tasks" zombies- 10
	expect "$1: zombies" "/$name" task_processes=3 task_threads=56 task_zombies=10
	background "$dir" "$TMP/tasks" dstate- 1
	expect "$1: D state" "/$name" task_processes=5 task_threads=58 task_dstate=1 task_dstate_long=1
	status
	[ "$(record_count task-hung "/$name")" = 1 ] || fail "$(record_count task-hung "/$name") records task-hung, not 1"
	background "$dir" timeout 20 sh -c 'while :; do :; done'
	expect "$1: runnable" "/$name" cpu_runnable=1
	stop_all "$dir"
	expect "$1: empty again" "/$name" task_processes=0 task_threads=0 task_zombies=0 task_dstate=0 \
		task_dstate_long=0 cpu_runnable=0
}

check_crash_loop() { # FLAVOUR
	local name=wvtest-crash-$1-$$ dir
	dir=$(cgroup_make "$name")
	at_exit remove "$dir"
	cgroup_run "$dir" "$TMP/tasks" fail 4
	expect "$1: four failed exits" "/$name" err_exits_nonzero=4 task_crash_loops=0
	cgroup_run "$dir" "$TMP/tasks" fail 20
	expect "$1: a crash loop" "/$name" err_exits_nonzero=24 task_crash_loops=1
	status
	[ "$(record_count crash-loop "/$name")" = 1 ] || fail "$(record_count crash-loop "/$name") records crash-loop, not 1"
}

check_heartbeat() { # FLAVOUR
	touched() {
		touch "$TMP/alive-$1" && status
		[ "$(records | grep -c heartbeat-back || true)" -ge 1 ]
	}
	missed() { [ "$(signals "/wvtest-hb-$$" | jq .task_heartbeats_missed)" -ge 2 ]; }
	wait_until 10 missed || fail "$1: no missed heartbeat"
	status
	[ "$(record_count heartbeat-missed "/wvtest-hb-$$")" = 1 ] || fail "$1: not one record heartbeat-missed"
	wait_until 5 touched "$1" || fail "$1: no record heartbeat-back"
}

# made before the agent starts: where no hook tells of new cgroups it finds them late
for name in hb walk; do
	dir=$(cgroup_make "wvtest-$name-$$")
	at_exit remove "$dir"
done
tested=0
for flavour in btf raw files; do
	ROOT=$TMP/root-$flavour
	touch "$TMP/alive-$flavour"
	cat >"$TMP/config.yaml" <<CONFIG
agent: {tick: 200ms}
collect: {hooks: $flavour}
task: {hung_after: 1s}
heartbeats:
  - {name: test-$flavour, file: $TMP/alive-$flavour, cgroup: /wvtest-hb-$$, every: 1s}
CONFIG
	agent_start --config "$TMP/config.yaml"
	status
	if [ "$flavour" != files ] && ! loaded "$flavour"; then
		echo "$flavour hooks do not work here"
	else
		tested=$((tested + 1))
		check_walk "$flavour"
		if [ "$flavour" != files ]; then
			check_starts "$flavour"
			check_crash_loop "$flavour"
		fi
		check_heartbeat "$flavour"
	fi
	agent_stop
	"$BIN" detach --root "$ROOT" >/dev/null
done
[ "$tested" -gt 0 ] || fail "nothing was tested"
