/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Storms for the breaker tests. Each verb enters cgroup DIR in a child, prints one line, and is
 * bounded by itself: a bomb makes at most MAX attempts and ends after SECONDS, whatever holds it.
 *
 *   bomb DIR MAX SECONDS   every process forks again and again. Prints: born refused
 *   execs DIR N            N programs executed in turn. Prints: ran refused killed
 *   connects DIR N         N TCP connects over loopback in turn. Prints: done refused
 *   packets DIR N          N datagrams to an outside socket. Prints: sent refused received
 *   receive DIR N          N datagrams to a socket in DIR. Prints: received
 *   eat DIR                touches memory until it is killed; prints nothing
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct shared {
	atomic_ulong tried, born, refused, ran, killed, done;
} * shared;

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void enter(const char *dir)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		die(path);
	close(fd);
}

/* Runs fn in a child that is in the cgroup, and waits for it. */
static void inside(const char *dir, void (*fn)(unsigned long), unsigned long n)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		enter(dir);
		fn(n);
		_exit(0);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static unsigned long max_tries;
static double deadline;

static void bomb(unsigned long unused)
{
	(void)unused;
	(void)signal(SIGCHLD, SIG_IGN);
	while (atomic_fetch_add(&shared->tried, 1) < max_tries && now() < deadline) {
		pid_t pid = fork();

		if (pid == 0)
			atomic_fetch_add(&shared->born, 1);
		else if (pid < 0)
			atomic_fetch_add(&shared->refused, 1);
	}
}

static void execs(unsigned long n)
{
	char *const args[] = {"storm", "nothing", NULL};

	while (n--) {
		pid_t pid = fork();
		int status = 0;

		if (pid == 0) {
			execv("/proc/self/exe", args);
			_exit(errno == EPERM ? 77 : 78);
		}
		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			die("fork");
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			atomic_fetch_add(&shared->killed, 1);
		else if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
			atomic_fetch_add(&shared->refused, 1);
		else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			atomic_fetch_add(&shared->ran, 1);
	}
}

static struct sockaddr_in address = {.sin_family = AF_INET};

static int bound_socket(int type)
{
	struct timeval patience = {.tv_usec = 300000};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, type, 0), room = 4 << 20;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		die("socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void connects(unsigned long n)
{
	struct linger reset = {.l_onoff = 1};

	while (n--) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			atomic_fetch_add(&shared->done, 1);
		else if (errno == EPERM)
			atomic_fetch_add(&shared->refused, 1);
		close(fd);
	}
}

static void packets(unsigned long n)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	while (n--) {
		if (sendto(fd, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)) == 1)
			atomic_fetch_add(&shared->done, 1);
		else if (errno == EPERM)
			atomic_fetch_add(&shared->refused, 1);
	}
}

static unsigned long drain(int fd)
{
	unsigned long n = 0;
	char byte;

	while (recv(fd, &byte, 1, 0) == 1)
		n++;
	return n;
}

static void receive(unsigned long n)
{
	int in = bound_socket(SOCK_DGRAM);
	pid_t pid = fork();

	if (pid == 0) { /* a socket belongs to the cgroup in which it is made */
		enter(getenv("OUTSIDE"));
		packets(n);
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
	atomic_store(&shared->ran, drain(in));
}

static void eat(unsigned long unused)
{
	(void)unused;
	for (;;) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		if (p == MAP_FAILED)
			_exit(1);
	}
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "", *dir = argc > 2 ? argv[2] : "";
	unsigned long n = argc > 3 ? strtoul(argv[3], NULL, 10) : 0, received;
	int fd;

	if (strcmp(verb, "nothing") == 0)
		return 0;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		die("mmap");
	if (strcmp(verb, "bomb") == 0 && argc == 5) {
		struct timespec nap = {.tv_nsec = 10000000};

		max_tries = n;
		deadline = now() + atof(argv[4]);
		inside(dir, bomb, 0);
		while (now() < deadline && atomic_load(&shared->tried) < max_tries)
			nanosleep(&nap, NULL);
		printf("%lu %lu\n", shared->born, shared->refused);
	} else if (strcmp(verb, "execs") == 0 && argc == 4) {
		inside(dir, execs, n);
		printf("%lu %lu %lu\n", shared->ran, shared->refused, shared->killed);
	} else if (strcmp(verb, "connects") == 0 && argc == 4) {
		fd = bound_socket(SOCK_STREAM);
		if (listen(fd, 4096) < 0)
			die("listen");
		inside(dir, connects, n);
		printf("%lu %lu\n", shared->done, shared->refused);
	} else if (strcmp(verb, "packets") == 0 && argc == 4) {
		fd = bound_socket(SOCK_DGRAM);
		inside(dir, packets, n);
		received = drain(fd);
		printf("%lu %lu %lu\n", shared->done, shared->refused, received);
	} else if (strcmp(verb, "receive") == 0 && argc == 4) {
		inside(dir, receive, n);
		printf("%lu\n", shared->ran);
	} else if (strcmp(verb, "eat") == 0 && argc == 3) {
		inside(dir, eat, 0);
	} else {
		fprintf(stderr, "storm: see the head of storm.c\n");
		return 2;
	}
	return 0;
}
