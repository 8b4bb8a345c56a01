// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long a breaker takes from the start that is one too many (the kernel's own time of the trip)
 * to the death of who did it (sched_process_exit), and load for the cost of a verdict.
 *
 *   breaker latency DEATH.bpf.o STATES CGROUP fork|exec N BUSY
 *     STATES: pin of the map with the state of the one breaker at CGROUP; BUSY: processes that do
 *     nothing but use CPU time meanwhile. Prints one JSON object, nanoseconds.
 *   breaker load CGROUP fork|exec|connect N
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "waveos/breaker.h"

#define MAX_BUSY 64
#define MAX_TRIALS 100000
/* The breaker of the measurement is open and half open for 10 ms each. */
#define RECOVER_NS 30000000

static void die(const char *what)
{
	fprintf(stderr, "breaker: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void enter(const char *cgroup)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		die(path);
	close(fd);
}

static void fork_once(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
}

/* Forks or executes until it is killed; never more than 100 times. */
static void breach(const char *kind, int left)
{
	char count[12], name[] = "breaker", verb[] = "again";
	char *const args[] = {name, verb, count, NULL};

	if (strcmp(kind, "fork") == 0) {
		while (left--)
			fork_once();
		_exit(1);
	}
	snprintf(count, sizeof(count), "%d", left);
	execv("/proc/self/exe", args);
	_exit(1);
}

/* State of the breaker: the map has one. */
static struct wv_breaker_machine read_state(int fd)
{
	struct wv_breaker_state st = {.pad = 0};
	static __u32 place = 1;

	/* the first that was ever asked; until then any does */
	for (__u32 i = place; i < WV_BREAKER_PLACES; i++) {
		if (bpf_map_lookup_elem(fd, &i, &st) < 0)
			die("read the breaker's state");
		if (st.m.epoch) {
			place = i;
			break;
		}
	}
	return st.m;
}

static pid_t spin(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (volatile unsigned long i = 0;; i++)
		;
}

/* One trial. Returns 0 and the time, or -1 when the process was not killed. */
static int trial(int deaths, int states, const char *cgroup, const char *kind,
		 unsigned long long *ret_ns)
{
	unsigned long long at = 0, before = read_state(states).trips;
	struct wv_breaker_machine m;
	int status, go[2];
	char byte = 0;
	pid_t pid;
	__u32 key;

	if (pipe(go) < 0)
		die("pipe");
	pid = fork();
	if (pid == 0) {
		enter(cgroup);
		(void)signal(SIGCHLD, SIG_IGN);
		/* asleep until it is registered: it starts its slice of CPU time with the storm */
		(void)!read(go[0], &byte, 1);
		breach(kind, 100);
	}
	key = (__u32)pid;
	if (pid < 0 || bpf_map_update_elem(deaths, &key, &at, BPF_ANY) < 0)
		die("register");
	(void)!write(go[1], &byte, 1);
	close(go[0]);
	close(go[1]);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) ||
	    bpf_map_lookup_elem(deaths, &key, &at) < 0 || !at)
		return -1;
	(void)bpf_map_delete_elem(deaths, &key);
	m = read_state(states);
	if (m.trips == before)
		return -1;
	*ret_ns = at - m.trip_ns;
	return 0;
}

static int by_size(const void *a, const void *b)
{
	unsigned long long x = *(const unsigned long long *)a, y = *(const unsigned long long *)b;

	return x < y ? -1 : x > y;
}

static int latency(int argc, char **argv)
{
	struct timespec recover = {.tv_nsec = RECOVER_NS};
	static unsigned long long trip[MAX_TRIALS];
	struct bpf_object *obj = bpf_object__open_file(argv[2], NULL);
	int states = bpf_obj_get(argv[3]), n = atoi(argv[6]), busy = atoi(argv[7]), done = 0;
	pid_t spinners[MAX_BUSY];
	struct bpf_program *prog;
	int deaths;

	(void)argc;
	if (!obj || bpf_object__load(obj) < 0 || states < 0 || n > MAX_TRIALS || busy > MAX_BUSY)
		die("open");
	prog = bpf_object__next_program(obj, NULL);
	deaths = bpf_object__find_map_fd_by_name(obj, "deaths");
	if (!prog || !bpf_program__attach(prog) || deaths < 0)
		die("attach");
	for (int i = 0; i < busy; i++)
		spinners[i] = spin();
	for (int i = 0; i < n; i++) {
		if (trial(deaths, states, argv[4], argv[5], &trip[done]) == 0)
			done++;
		nanosleep(&recover, NULL);
	}
	for (int i = 0; i < busy; i++)
		kill(spinners[i], SIGKILL);
	if (!done)
		die("nothing was killed");
	qsort(trip, (size_t)done, sizeof(trip[0]), by_size);
	printf("{\"kind\": \"%s\", \"busy\": %d, \"trials\": %d, \"killed\": %d, \"p50_ns\": %llu, "
	       "\"p99_ns\": %llu, \"max_ns\": %llu}\n",
	       argv[5], busy, n, done, trip[done / 2], trip[(done - 1) * 99 / 100], trip[done - 1]);
	return 0;
}

static void connect_once(int listener, const struct sockaddr_in *to)
{
	struct linger reset = {.l_onoff = 1};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0)
		close(accept(listener, NULL, NULL));
	close(fd);
}

static int load(char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	socklen_t len = sizeof(to);
	char name[] = "breaker", verb[] = "nothing", *const args[] = {name, verb, NULL};
	int n = atoi(argv[4]), listener = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&to, len) < 0 || listen(listener, 4096) < 0 ||
	    getsockname(listener, (struct sockaddr *)&to, &len) < 0)
		die("listen");
	enter(argv[2]);
	for (int i = 0; i < n; i++) {
		pid_t pid;

		if (strcmp(argv[3], "connect") == 0) {
			connect_once(listener, &to);
			continue;
		}
		pid = vfork();
		if (pid == 0) {
			if (strcmp(argv[3], "exec") == 0)
				execv("/proc/self/exe", args);
			_exit(0);
		}
		(void)waitpid(pid, NULL, 0);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "nothing") == 0)
		return 0;
	if (argc > 2 && strcmp(argv[1], "again") == 0)
		breach("exec", atoi(argv[2]) - 1);
	if (argc == 8 && strcmp(argv[1], "latency") == 0)
		return latency(argc, argv);
	if (argc == 5 && strcmp(argv[1], "load") == 0)
		return load(argv);
	fprintf(stderr, "breaker: see the head of tests/bench/breaker.c\n");
	return 2;
}
