// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one program of the test images, statically linked. Without an argument it is the sandbox of a pod: it waits and
 * reaps. `hog CPUS MIB` runs so many busy threads of execution and touches so much memory again and again.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal)
{
	(void)signal;
	_exit(0);
}

static void reap(int signal)
{
	(void)signal;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void busy(void)
{
	volatile unsigned long n = 0;

	for (;;)
		n++;
}

static void hog(int cpus, size_t mib)
{
	char *p = mib ? malloc(mib << 20) : NULL;

	for (int i = 0; i < cpus; i++)
		if (fork() == 0)
			busy();
	printf("hog: %d processes, %zu MiB\n", cpus, mib);
	fflush(stdout);
	for (unsigned char turn = 1;; turn++) {
		for (size_t at = 0; p && at < mib << 20; at += 4096)
			p[at] = (char)turn;
		usleep(100000);
	}
}

int main(int argc, char **argv)
{
	(void)signal(SIGTERM, end);
	(void)signal(SIGINT, end);
	(void)signal(SIGCHLD, reap);
	if (argc == 4 && strcmp(argv[1], "hog") == 0)
		hog(atoi(argv[2]), strtoul(argv[3], NULL, 10));
	for (;;)
		pause();
}
