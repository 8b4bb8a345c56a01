// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long a service is away when it crashes: from SIGKILL until it answers on its socket again.
 *   service_restart serve SOCKET            the service
 *   service_restart measure SOCKET N        kills it N times, prints microseconds: median p99 worst
 * The answer carries the process id, so that an old one cannot be taken for a new one.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return a;
}

static int serve(const char *path)
{
	struct sockaddr_un a = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), client;
	pid_t pid = getpid();

	(void)unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0)
		return 1;
	while ((client = accept(fd, NULL, NULL)) >= 0) {
		(void)!write(client, &pid, sizeof(pid));
		close(client);
	}
	return 1;
}

/* Process id of who answers; 0: nobody. */
static pid_t ask(const char *path)
{
	struct sockaddr_un a = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t pid = 0;

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    read(fd, &pid, sizeof(pid)) != sizeof(pid))
		pid = 0;
	close(fd);
	return pid;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int measure(const char *path, size_t n)
{
	const struct timespec step = {.tv_nsec = 50000}, rest = {.tv_nsec = 20000000};
	uint64_t *took = calloc(n, sizeof(*took));
	pid_t pid = ask(path), next;

	if (!took || !pid)
		return 1;
	for (size_t i = 0; i < n; i++) {
		uint64_t start = now_ns();

		if (kill(pid, SIGKILL) < 0)
			return 1;
		while ((next = ask(path)) == 0 || next == pid) {
			if (now_ns() - start > 10000000000ULL)
				return 1;
			(void)nanosleep(&step, NULL);
		}
		took[i] = now_ns() - start;
		pid = next;
		(void)nanosleep(&rest, NULL); /* not a loop of crashes, but one after another */
	}
	qsort(took, n, sizeof(*took), by_size);
	printf("%.0f %.0f %.0f\n", (double)took[n / 2] / 1e3, (double)took[n - 1 - n / 100] / 1e3,
	       (double)took[n - 1] / 1e3);
	free(took);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2]);
	if (argc == 4 && strcmp(argv[1], "measure") == 0)
		return measure(argv[2], strtoul(argv[3], NULL, 10));
	fprintf(stderr, "usage: service_restart serve SOCKET | measure SOCKET N\n");
	return 2;
}
