// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one program of the test images, statically linked. Without an argument it is the sandbox of a pod: it waits and
 * reaps. `hog CPUS MIB` keeps so many CPUs busy and grows by a mebibyte every tenth of a second up to so many.
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
	size_t used = 0;

	for (int i = 0; i < cpus; i++)
		if (fork() == 0)
			busy();
	printf("hog: %d processes, %zu MiB\n", cpus, mib);
	fflush(stdout);
	for (unsigned char turn = 1;; turn++) {
		used += p && used < mib << 20 ? 1 << 20 : 0;
		for (size_t at = 0; at < used; at += 4096)
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
