// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load for the verdicts of gates, and what they add to a system call:
 *
 *   gate_cost connect SECONDS      connects datagram sockets (nothing is sent) to 127.0.0.1:7001
 *   gate_cost exec SECONDS PROGRAM  runs a program again and again
 * Prints how often, and nanoseconds each.
 */
#include <arpa/inet.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int one_connect(int fd)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(7001),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	return connect(fd, (const struct sockaddr *)&to, sizeof(to));
}

static int one_exec(char *program)
{
	char *argv[] = {program, NULL}, *envp[] = {NULL};
	int status;
	pid_t pid;

	if (posix_spawn(&pid, program, NULL, NULL, argv, envp) != 0)
		return -1;
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), chunk, r = 0;
	double seconds, begin;
	unsigned long n = 0;

	if (argc < 3 || fd < 0)
		return 2;
	seconds = atof(argv[2]);
	chunk = strcmp(argv[1], "exec") == 0 ? 1 : 1000;
	begin = now_s();
	while (r == 0 && now_s() - begin < seconds) {
		for (int i = 0; r == 0 && i < chunk; i++)
			r = argc > 3 ? one_exec(argv[3]) : one_connect(fd);
		n += (unsigned long)chunk;
	}
	if (r < 0)
		perror("gate_cost");
	printf("%lu %.1f\n", n, (now_s() - begin) * 1e9 / (double)n);
	return r < 0;
}
