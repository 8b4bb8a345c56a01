#!/bin/bash
# Failed ends of processes against wait(2), their records, failed allocations and hardware errors.
. "$(dirname "$0")/lib.sh"

CC=${CC:-cc}
command -v "$CC" >/dev/null || skip "no C compiler for the test's own programs"
cat >"$TMP/ends.c" <<'C'
/* ends KIND N: makes N processes end in one way, prints what wait(2) told: signals, failures */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_barrier_t together;

static void *leave(void *status)
{
	pthread_barrier_wait(&together);
	syscall(SYS_exit, (long)status);
	return NULL;
}

static void *wait_here(void *arg)
{
	pause();
	return arg;
}

static void end(const char *kind)
{
	pthread_t t;

	prctl(PR_SET_NAME, "wv-ends");
	if (!strcmp(kind, "ok"))
		_exit(0);
	if (!strcmp(kind, "exit"))
		_exit(7);
	if (!strcmp(kind, "segv"))
		kill(getpid(), SIGSEGV);
	if (!strcmp(kind, "kill"))
		kill(getpid(), SIGKILL);
	if (!strcmp(kind, "group")) { /* one thread of five ends the process */
		for (int i = 0; i < 4; i++)
			pthread_create(&t, NULL, wait_here, NULL);
		_exit(9);
	}
	if (!strcmp(kind, "race")) { /* eight threads leave at once: two may be the last */
		pthread_barrier_init(&together, NULL, 8);
		for (int i = 0; i < 7; i++)
			pthread_create(&t, NULL, leave, (void *)5);
		leave((void *)5);
	}
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 1, signals = 0, failures = 0, status;

	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid)
			end(argv[1]);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 1;
		signals += WIFSIGNALED(status) != 0;
		failures += WIFEXITED(status) && WEXITSTATUS(status);
	}
	printf("%d %d\n", signals, failures);
	return 0;
}
C
cat >"$TMP/fire.c" <<'C'
/* fire PIN: runs a raw tracepoint program as mc_event would: type 1, no strings, 3 errors */
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	uint64_t args[12] = {[0] = 1, [3] = 3};
	union bpf_attr a;
	int fd;

	memset(&a, 0, sizeof(a));
	a.pathname = (uintptr_t)argv[argc - 1];
	fd = (int)syscall(SYS_bpf, BPF_OBJ_GET, &a, sizeof(a));
	memset(&a, 0, sizeof(a));
	a.test.prog_fd = (uint32_t)fd;
	a.test.ctx_in = (uintptr_t)args;
	a.test.ctx_size_in = sizeof(args);
	if (fd < 0 || syscall(SYS_bpf, BPF_PROG_TEST_RUN, &a, sizeof(a)) < 0) {
		perror("fire");
		return 1;
	}
	return 0;
}
C
"$CC" -O1 -o "$TMP/fire" "$TMP/fire.c" || fail "cannot compile the test's program"
"$CC" -O1 -pthread -o "$TMP/ends" "$TMP/ends.c" || fail "cannot compile the test's program"
ulimit -c 0

records() { cat "$(jq -r .run_dir "$TMP/status.json")"/events*.jsonl; }
status() { "$BIN" status --json --root "$ROOT" >"$TMP/status.json"; }
accounted() {
	status
	jq -e '[.events[] | select(.produced != .consumed + .dropped)] | length == 0' "$TMP/status.json" >/dev/null
}
signal_of() { # PATH NAME: the root's row is that of v2
	rows | jq --arg p "$1" --arg n "$2" '[.rows[] | select(.cgroup == $p and .hierarchy == "v2")][0].signals[$n]'
}
is() { [ "$(signal_of "$1" "$2")" = "$3" ]; }
loaded() { # FLAVOUR: that kind of hook is in use
	case $1 in
	btf) grep -q 'loaded BPF programs (BTF tracepoints' "$TMP/agent.log" ;;
	raw) grep -q 'loaded BPF programs (raw tracepoints' "$TMP/agent.log" ;;
	esac
}

check_ends() { # FLAVOUR
	local name=wvtest-err-$1-$$ dir signals=0 failures=0 kind n s f
	dir=$(cgroup_make "$name")
	at_exit cgroup_remove "$dir"
	for kind in ok:50 exit:200 segv:100 kill:50 group:50 race:300; do
		n=${kind#*:}
		read -r s f < <(cgroup_run "$dir" "$TMP/ends" "${kind%:*}" "$n")
		[ "$kind" = ok:50 ] || [ $((s + f)) = "$n" ] || fail "$kind: wait told $s and $f"
		signals=$((signals + s))
		failures=$((failures + f))
	done
	wait_until 5 is "/$name" err_fatal_signals "$signals" ||
		fail "$1: $(signal_of "/$name" err_fatal_signals) fatal signals, wait told $signals"
	wait_until 5 is "/$name" err_exits_nonzero "$failures" ||
		fail "$1: $(signal_of "/$name" err_exits_nonzero) non-zero exits, wait told $failures"
	wait_until 5 accounted || fail "events: produced is not consumed + dropped: $(jq -c .events "$TMP/status.json")"
	echo "$1: $signals fatal signals and $failures non-zero exits, as wait told"
	# the records: bounded, and what is left out is counted
	records | jq -es --arg p "/$name" 'map(select(.type == "fatal-signal" and .cgroup == $p and .comm == "wv-ends"
		and .signal == 11 and .core_dumped == false)) | length > 0' >/dev/null || fail "no record of SIGSEGV"
	records | jq -es --arg p "/$name" 'map(select(.type == "exit-nonzero" and .cgroup == $p and .status == 7)) |
		length > 0' >/dev/null || fail "no record of exit status 7"
	n=$(records | grep -c '"type":"exit-nonzero"' || true)
	[ "$n" -le 40 ] || fail "$n records of non-zero exits: they are not bounded"
}

# A failed allocation cannot be had on purpose without harm; the kernel's own line in its log can.
check_allocs() {
	local name=wvtest-alloc-$$ dir uses
	uses=$("$BIN" doctor --json --root "$ROOT" |
		jq -r '[.. | objects | select(.name? == "allocation failures")][0].uses')
	if [ "$uses" != console ]; then
		echo "allocation failures: source is '$uses', not tested here"
		return
	fi
	dir=$(cgroup_make "$name")
	at_exit cgroup_remove "$dir"
	cgroup_run "$dir" sh -c 'echo "<7>wvtest: page allocation stalls for 0ms, order:0" >/dev/kmsg
		echo "<7>wvtest: page allocation failure: order:3, mode:0xcc0(GFP_KERNEL)" >/dev/kmsg
		echo "<7>wvtest: vmalloc error: size 4096, page order 0" >/dev/kmsg
		echo "<7>wvtest: vmalloc: allocation failure: 4096 bytes" >/dev/kmsg'
	wait_until 5 is "/$name" err_alloc_failures 3 ||
		fail "$(signal_of "/$name" err_alloc_failures) allocation failures, 3 in the log"
	records | jq -es --arg p "/$name" 'map(select(.type == "alloc-failure" and .cgroup == $p and
		(.message | test("order:3")))) | length == 1' >/dev/null || fail "no record of the allocation failure"
	echo "allocation failures: the three of the log, not the line that is none"
}

# Hardware errors: the program is run by hand, as its tracepoint would, with 3 errors in one report.
check_hardware() {
	local prog=$ROOT/sys/fs/bpf/waveos/progs/error_hw_mc root_before
	if [ ! -e "$prog" ]; then
		echo "hardware errors: this kernel has no tracepoint mc_event, not tested here"
		return
	fi
	root_before=$(signal_of / err_hardware)
	"$TMP/fire" "$prog" || fail "error_hw_mc does not run"
	wait_until 5 is / err_hardware $((root_before + 3)) || fail "$(signal_of / err_hardware) hardware errors, not 3 more"
	rows | jq -e '[.. | objects | select(.facet? == "hwerr" and .source? == "mc_event" and .errors >= 3)] | length > 0' \
		>/dev/null || fail "no facet mc_event"
	records | jq -es 'map(select(.type == "hw-error" and .source == "mc_event" and .count == 3 and
		.detail == "0x1")) | length == 1' >/dev/null || fail "no record of the hardware error"
	echo "hardware errors: 3 in the root row, a facet and a record"
}

tested=0
for flavour in btf raw; do
	ROOT=$TMP/root-$flavour
	agent_start --set agent.tick=200ms --set "collect.hooks=$flavour"
	status
	if loaded "$flavour"; then
		tested=$((tested + 1))
		check_ends "$flavour"
		if [ "$flavour" = btf ]; then check_allocs; fi
		# only raw tracepoints can be run by hand
		if [ "$flavour" = raw ]; then check_hardware; fi
	else
		echo "$flavour hooks do not work here"
	fi
	agent_stop
	"$BIN" detach --root "$ROOT" >/dev/null
done
[ "$tested" -gt 0 ] || skip "this kernel takes no tracepoint programs"
