/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Presses against an egress budget and a connect breaker of a cgroup without a pause, and proves
 * of all that passes that they allowed it.
 *
 *   press DIR BITS BURST OPEN_MS PROBES FIRST
 *
 * Datagrams go from a socket in DIR to one outside. Each send is between two looks at the clock, so
 * for any two datagrams that arrived the budget must cover what is between them: at most
 * BURST + BITS / 8 * (after the last - before the first) bytes, whatever the scheduler does. Every
 * window is checked that way. Of connects at most FIRST pass before the first refusal, later at
 * most PROBES in a row, and none within OPEN_MS of the refusal that came first.
 *
 * SIGUSR1: no agent lives from now on; SIGUSR2: one does. SIGTERM: prints what it saw as JSON, ends
 * with 1 if anything passed that may not.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD 1000
#define WIRE (PAYLOAD + 28) /* with the headers of UDP and IP */
#define RING 4096	    /* datagrams on their way */
#define SEND_EVERY_NS 500000L
#define SENDS_A_CONNECT 10

static volatile sig_atomic_t over, dead;

static struct {
	double rate; /* bytes a nanosecond */
	double burst;
	int64_t open_ns;
	unsigned probes, first;
} may;

static struct {
	uint64_t sent, passed, windows_over, connects, refused, early, too_many;
	uint64_t passed_dead, refused_dead, trips, trips_dead;
	double most; /* bytes in the fullest window beyond what flowed in: at most BURST */
} saw = {.most = -1e30};

static int64_t start_ns;

static void die(const char *what)
{
	fprintf(stderr, "press: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void on_signal(int sig)
{
	if (sig == SIGTERM)
		over = 1;
	else
		dead = sig == SIGUSR1;
}

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec - start_ns;
}

static int bound_socket(int type, struct sockaddr_in *address)
{
	socklen_t len = sizeof(*address);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), room = 4 << 20;

	*address = (struct sockaddr_in){.sin_family = AF_INET};
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)address, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)address, &len) < 0)
		die("socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	return fd;
}

static void enter(const char *dir)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		die(path);
	close(fd);
}

/* A datagram arrived that was sent between the two times: closes all windows that end with it. */
static void arrived(int64_t before, int64_t after)
{
	static double bytes, least = 1e30;
	double begin = bytes - may.rate * (double)before, used;

	if (begin < least)
		least = begin;
	bytes += WIRE;
	used = bytes - may.rate * (double)after - least;
	if (used > saw.most)
		saw.most = used;
	saw.passed++;
	saw.passed_dead += (uint64_t)dead;
	if (used <= may.burst + 1) /* the burst is rounded up to a nanosecond */
		return;
	if (!saw.windows_over++)
		fprintf(stderr, "press: a window holds %.0f bytes beyond the rate, burst %.0f\n",
			used, may.burst);
}

static void try_connect(const struct sockaddr_in *to)
{
	static int64_t refused_ns = -1; /* when the first refusal after a pass was asked for */
	static unsigned in_a_row;
	static bool tripped;
	struct linger reset = {.l_onoff = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int64_t before = now();
	bool refused;

	if (fd < 0)
		die("socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	refused = connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno == EPERM;
	close(fd);
	if (refused) {
		saw.refused++;
		saw.refused_dead += (uint64_t)dead;
		if (refused_ns < 0) {
			refused_ns = before;
			saw.trips++;
			saw.trips_dead += (uint64_t)dead;
		}
		in_a_row = 0;
		tripped = true;
		return;
	}
	saw.connects++;
	if (refused_ns >= 0 && now() - refused_ns < may.open_ns && !saw.early++)
		fprintf(stderr, "press: a connect passed %ld us after a trip\n",
			(long)(now() - refused_ns) / 1000);
	refused_ns = -1;
	if (++in_a_row > (tripped ? may.probes : may.first) && !saw.too_many++)
		fprintf(stderr, "press: %u connects passed in a row\n", in_a_row);
}

static void report(void)
{
	double s = (double)now() / 1e9;

	printf("{\"seconds\":%.1f,\"sent\":%lu,\"passed\":%lu,\"windows_over\":%lu,"
	       "\"fullest\":%.0f,\"used\":%.3f,\"connects\":%lu,\"refused\":%lu,\"early\":%lu,"
	       "\"too_many\":%lu,\"trips\":%lu,\"passed_dead\":%lu,\"refused_dead\":%lu,"
	       "\"trips_dead\":%lu}\n",
	       s, saw.sent, saw.passed, saw.windows_over, saw.most,
	       (double)saw.passed * WIRE / (may.rate * s * 1e9), saw.connects, saw.refused,
	       saw.early, saw.too_many, saw.trips, saw.passed_dead, saw.refused_dead,
	       saw.trips_dead);
}

int main(int argc, char **argv)
{
	static int64_t before[RING], after[RING];
	struct timespec pause = {.tv_nsec = SEND_EVERY_NS};
	struct sigaction act = {.sa_handler = on_signal};
	struct sockaddr_in to, listener;
	char packet[PAYLOAD] = {0};
	int in, out, accepting;
	uint64_t seq;
	cpu_set_t cpu;

	if (argc != 7)
		return 2;
	may.rate = atof(argv[2]) / 8e9;
	may.burst = atof(argv[3]);
	may.open_ns = atol(argv[4]) * 1000000L;
	may.probes = (unsigned)atoi(argv[5]);
	may.first = (unsigned)atoi(argv[6]);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGUSR1, &act, NULL);
	sigaction(SIGUSR2, &act, NULL);
	/* on one CPU loopback keeps the order */
	CPU_ZERO(&cpu);
	CPU_SET(sched_getcpu(), &cpu);
	(void)sched_setaffinity(0, sizeof(cpu), &cpu);
	in = bound_socket(SOCK_DGRAM, &to);
	accepting = bound_socket(SOCK_STREAM, &listener);
	if (listen(accepting, 4096) < 0)
		die("listen");
	enter(argv[1]);
	out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (out < 0)
		die("socket");
	start_ns = now();
	while (!over) {
		seq = saw.sent++;
		memcpy(packet, &seq, sizeof(seq));
		before[seq % RING] = now();
		(void)sendto(out, packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to));
		after[seq % RING] = now();
		while (recv(in, &seq, sizeof(seq), 0) == (ssize_t)sizeof(seq))
			arrived(before[seq % RING], after[seq % RING]);
		if (saw.sent % SENDS_A_CONNECT == 0) {
			int fd;

			try_connect(&listener);
			while ((fd = accept(accepting, NULL, NULL)) >= 0)
				close(fd);
		}
		nanosleep(&pause, NULL);
	}
	report();
	return saw.windows_over || saw.early || saw.too_many;
}
