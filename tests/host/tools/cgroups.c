/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Load for the scale tests. Each verb prints one line and ends with 0, or says what failed.
 *
 *   make DIR FIRST LAST                DIR/g<FIRST> ... DIR/g<LAST>
 *   remove DIR FIRST LAST
 *   run DIR FIRST LAST CPU_US          one process in each that uses so much CPU time
 *   churn DIR N JOBS CPU_US [RATE]     N times: make, run, remove; RATE a second at most, as fast
 * as JOBS processes can without. DIR/<job>/ has the cgroups of each where JOBS > 1 flood DIR N JOBS
 * N processes in DIR that exit with 1 spin DIR                           one process in DIR that
 * uses CPU time until it is killed
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what, const char *path)
{
	fprintf(stderr, "%s %s: %s\n", what, path, strerror(errno));
	exit(1);
}

/* What this process used, its start included. */
static long cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000L + ts.tv_nsec / 1000;
}

static void use_cpu(long us)
{
	while (cpu_us() < us)
		;
}

/* A child that is in the cgroup from its first instruction on; before 5.7 it moves there. */
static pid_t fork_into(const char *dir)
{
	struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char path[4096];
	pid_t pid;

	if (fd < 0)
		die("open", dir);
	args.cgroup = (unsigned)fd;
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	close(fd);
	if (pid >= 0 || (errno != ENOSYS && errno != E2BIG && errno != EINVAL && errno != EPERM))
		return pid;
	pid = fork();
	if (pid)
		return pid;
	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, "0", 1) != 1)
		_exit(9);
	close(fd);
	return 0;
}

static void reap(pid_t pid, int want)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("wait", "child");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != want) {
		fprintf(stderr, "child: status %#x\n", (unsigned)status);
		exit(1);
	}
}

static void run_one(const char *dir, long us)
{
	pid_t pid = fork_into(dir);

	if (pid < 0)
		die("fork into", dir);
	if (!pid) {
		use_cpu(us);
		_exit(0);
	}
	reap(pid, 0);
}

static void remove_one(const char *dir)
{
	static const struct timespec pause = {.tv_nsec = 100000};

	/* a reaped task may need a moment to leave */
	for (int i = 0; rmdir(dir) < 0; i++) {
		if (errno != EBUSY || i > 50000)
			die("rmdir", dir);
		nanosleep(&pause, NULL);
	}
}

/* Waits until the i-th of all jobs is due at `rate` a second; late ones are not made up for in a
 * burst. */
static void pace(long rate, int jobs, struct timespec *due)
{
	struct timespec now;
	long gap = rate ? 1000000000L / rate * jobs : 0;

	if (!rate)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec > due->tv_sec || (now.tv_sec == due->tv_sec && now.tv_nsec > due->tv_nsec))
		*due = now;
	else
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, due, NULL);
	due->tv_nsec += gap;
	due->tv_sec += due->tv_nsec / 1000000000L;
	due->tv_nsec %= 1000000000L;
}

static void churn(const char *dir, long n, int job, int jobs, long us, long rate)
{
	struct timespec due = {0};
	char path[4096];
	int len = jobs > 1 ? snprintf(path, sizeof(path), "%s/%d", dir, job)
			   : snprintf(path, sizeof(path), "%s", dir);

	if (jobs > 1 && mkdir(path, 0755) < 0)
		die("mkdir", path);
	for (long i = job; i < n; i += jobs) {
		pace(rate, jobs, &due);
		snprintf(path + len, sizeof(path) - (size_t)len, "/c%ld", i);
		if (mkdir(path, 0755) < 0)
			die("mkdir", path);
		run_one(path, us);
		remove_one(path);
	}
	path[len] = '\0';
	if (jobs > 1)
		remove_one(path);
}

static void flood(const char *dir, long n, int job, int jobs)
{
	for (long i = job; i < n; i += jobs) {
		pid_t pid = fork_into(dir);

		if (!pid)
			_exit(1);
		reap(pid, 1);
	}
}

static void spin(const char *dir)
{
	pid_t pid = fork_into(dir);

	if (pid < 0)
		die("fork into", dir);
	for (;;)
		if (pid)
			pause();
}

static long range(const char *verb, char **argv)
{
	long first = atol(argv[3]), last = atol(argv[4]);
	char path[4096];

	for (long i = first; i <= last; i++) {
		snprintf(path, sizeof(path), "%s/g%ld", argv[2], i);
		if (!strcmp(verb, "make") && mkdir(path, 0755) < 0)
			die("mkdir", path);
		else if (!strcmp(verb, "run"))
			run_one(path, atol(argv[5]));
		else if (!strcmp(verb, "remove"))
			remove_one(path);
	}
	return last - first + 1;
}

static long parallel(const char *verb, int argc, char **argv)
{
	long n = atol(argv[3]);
	int jobs = atoi(argv[4]);
	pid_t pids[64];

	if (jobs < 1 || jobs > 64) {
		fprintf(stderr, "1 to 64 jobs\n");
		exit(2);
	}
	for (int j = 0; j < jobs; j++) {
		pids[j] = fork();
		if (pids[j])
			continue;
		if (!strcmp(verb, "churn"))
			churn(argv[2], n, j, jobs, argc > 5 ? atol(argv[5]) : 0,
			      argc > 6 ? atol(argv[6]) : 0);
		else
			flood(argv[2], n, j, jobs);
		exit(0);
	}
	for (int j = 0; j < jobs; j++)
		reap(pids[j], 0);
	return n;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";
	struct timespec a, b;
	double s;
	long n;

	clock_gettime(CLOCK_MONOTONIC, &a);
	if (!strcmp(verb, "spin"))
		spin(argv[2]);
	if (argc >= 5 && (!strcmp(verb, "churn") || !strcmp(verb, "flood")))
		n = parallel(verb, argc, argv);
	else if (argc >= 5 + !strcmp(verb, "run") &&
		 (!strcmp(verb, "make") || !strcmp(verb, "remove") || !strcmp(verb, "run")))
		n = range(verb, argv);
	else
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &b);
	s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("%s: %ld in %.2f s, %.0f/s\n", verb, n, s, (double)n / s);
	return 0;
}
