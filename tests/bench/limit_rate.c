// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a limit lets pass: UDP over the loopback device of a network namespace of its own, offered
 * well above the rate, or as one train back to back.
 *
 *   limit_rate egress|ingress CGROUP_DIR STATE_MAP RATE BURST PAYLOAD OFFERED AMOUNT
 *
 * PAYLOAD and BURST in bytes, RATE and OFFERED in bytes a second. AMOUNT: for so many seconds;
 * where OFFERED is 0, so many bytes back to back.
 *
 * The sender (egress) or the receiver (ingress) is in the cgroup. The sender runs at a real-time
 * priority: neighbours must not thin out what it offers. As they do all the same, it also keeps an
 * exact bucket of that rate and burst, full at the first packet, and asks it at each send: what
 * that lets pass is the most that any limit could have let pass of what was offered.
 *
 * Prints "key value" lines: seconds from the first send to the last, least and most that may lie
 * between their two moments in the limit, what was sent, what passed and was dropped by the
 * kernel's own counters of the limit, the exact bucket's figure, what the receiver got, and packets
 * lost at its socket. Bytes are those of IP packets, as the limit counts.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "waveos/limit.h"

#define NS 1000000000LL
#define HEADERS 28 /* IP and UDP */
#define PORT 9999
/* a sender that is ahead of what is due sleeps this long */
#define NAP_NS 200000L

/* What the sender tells. */
struct sent {
	unsigned long long bytes;
	long long ns, gap_ns;	     /* first send to the last; the longest time between two */
	long long least_ns, most_ns; /* end of the first to start of the last; and the reverse */
	double exact;		     /* bytes that an exact bucket lets pass */
};

/* The arguments that the sender needs. */
struct load {
	double rate, burst, offered, amount;
	size_t payload;
	const char *cgroup; /* NULL: stays outside */
};

static char data[65536];

static long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS + ts.tv_nsec;
}

static int enter(const char *cgroup)
{
	char path[512];
	int fd, r;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	r = write(fd, "0", 1) == 1 ? 0 : -1;
	close(fd);
	return r;
}

static int namespace_make(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd, r;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r = ioctl(fd, SIOCSIFFLAGS, &lo);
	close(fd);
	return r;
}

static struct sockaddr_in address(void)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(PORT),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Sends `amount` bytes back to back (offered 0), or for `amount` seconds at the offered rate. */
static struct sent send_all(int fd, const struct load *l)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	const double packet = (double)(l->payload + HEADERS);
	long long start = now_ns(), last = start, now = start, first_end = 0;
	double tokens = l->burst;
	struct sent s = {0};

	for (;; now = now_ns()) {
		if (l->offered > 0 ? now - start >= (long long)(l->amount * NS)
				   : (double)s.bytes >= l->amount)
			return s;
		if (l->offered > 0 && (double)s.bytes > (double)(now - start) / NS * l->offered) {
			nanosleep(&nap, NULL);
			continue;
		}
		tokens += (double)(now - last) / NS * l->rate;
		tokens = tokens > l->burst ? l->burst : tokens;
		if (tokens >= packet) {
			tokens -= packet;
			s.exact += packet;
		}
		if (now - last > s.gap_ns)
			s.gap_ns = now - last;
		last = now;
		if (send(fd, data, l->payload, 0) >= 0) /* a dropped one is sent, too */
			s.bytes += l->payload + HEADERS;
		s.ns = now - start;
		s.most_ns = now_ns() - start;
		if (!first_end)
			first_end = s.most_ns;
		s.least_ns = s.ns > first_end ? s.ns - first_end : 0;
	}
}

/* One packet, so that the first one of the measurement takes no longer than others; then the bucket
 * fills again. */
static int warm_up(int fd, const struct load *l)
{
	double fill_s = 1.1 * (double)(l->payload + HEADERS) / l->rate + 0.02;
	struct timespec nap = {.tv_sec = (time_t)fill_s,
			       .tv_nsec = (long)((fill_s - (double)(time_t)fill_s) * NS)};

	if (send(fd, data, l->payload, 0) < 0)
		return -1;
	return nanosleep(&nap, NULL);
}

static int sender(const struct load *load, int go, int tell)
{
	const struct sched_param first = {.sched_priority = 1};
	struct sockaddr_in to = address();
	struct sent s;
	char c;
	int fd;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sched_setscheduler(0, SCHED_RR, &first);
	if ((load->cgroup && enter(load->cgroup) < 0) || read(go, &c, 1) != 1)
		return 1;
	/* a socket belongs to the cgroup in which it is made */
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 ||
	    warm_up(fd, load) < 0)
		return 1;
	s = send_all(fd, load);
	return write(tell, &s, sizeof(s)) == sizeof(s) ? 0 : 1;
}

static int receiver_open(void)
{
	struct timeval patience = {.tv_usec = 200000};
	struct sockaddr_in at = address();
	int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 1 << 30;

	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	return fd;
}

/* Counts until the sender has ended and nothing comes any more. */
static unsigned long long receive_all(int fd, pid_t pid)
{
	unsigned long long got = 0;
	bool over = false;
	char c;

	for (;;) {
		ssize_t n = recv(fd, &c, 1, MSG_TRUNC); /* its length, without copying it */

		if (n >= 0)
			got += (unsigned long long)n + HEADERS;
		else if (over)
			return got;
		else
			over = waitpid(pid, NULL, WNOHANG) != 0;
	}
}

static int limit_read(const char *map, const char *cgroup, bool egress,
		      struct wv_limit_direction *ret)
{
	struct wv_limit_state state;
	struct stat st;
	__u64 key;
	int fd = bpf_obj_get(map);

	if (fd < 0 || stat(cgroup, &st) < 0)
		return -1;
	key = st.st_ino;
	if (bpf_map_lookup_elem_flags(fd, &key, &state, BPF_F_LOCK) < 0)
		return -1;
	close(fd);
	*ret = egress ? state.egress : state.ingress;
	return 0;
}

static void report(const struct sent *s, const struct wv_limit_direction *before,
		   const struct wv_limit_direction *after, unsigned long long got,
		   unsigned long long lost)
{
	printf("least %.6f\nmost %.6f\n", (double)s->least_ns / NS, (double)s->most_ns / NS);
	printf("seconds %.6f\nsent %llu\ngap_ms %.3f\nexact %.0f\npassed %llu\ndropped %llu\n"
	       "got %llu\nlost %llu\n",
	       (double)s->ns / NS, s->bytes, (double)s->gap_ns / 1e6, s->exact,
	       (unsigned long long)(after->bytes - before->bytes),
	       (unsigned long long)(after->drop_bytes - before->drop_bytes), got, lost);
}

int main(int argc, char **argv)
{
	struct wv_limit_direction before, after;
	__u32 memory[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(memory);
	unsigned long long got, lost;
	int go[2], tell[2], fd;
	struct load load;
	struct sent s;
	bool egress;
	pid_t pid;

	if (argc != 9)
		return 2;
	egress = strcmp(argv[1], "egress") == 0;
	load = (struct load){.rate = atof(argv[4]),
			     .burst = atof(argv[5]),
			     .payload = strtoul(argv[6], NULL, 10),
			     .offered = atof(argv[7]),
			     .amount = atof(argv[8]),
			     .cgroup = egress ? argv[2] : NULL};
	if (namespace_make() < 0 || limit_read(argv[3], argv[2], egress, &before) < 0 ||
	    pipe(go) < 0 || pipe(tell) < 0)
		return 1;
	pid = fork();
	if (pid == 0)
		_exit(sender(&load, go[0], tell[1]));
	if (!egress && enter(argv[2]) < 0)
		return 1;
	fd = receiver_open();
	if (fd < 0 || write(go[1], "", 1) != 1)
		return 1;
	close(tell[1]); /* a sender that failed tells nothing, and is not waited for */
	got = receive_all(fd, pid);
	if (read(tell[0], &s, sizeof(s)) != sizeof(s) ||
	    limit_read(argv[3], argv[2], egress, &after) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &len) < 0)
		return 1;
	/* the socket counts what the limit refused at it as well */
	lost = memory[SK_MEMINFO_DROPS];
	if (!egress)
		lost -= after.drop_packets - before.drop_packets;
	after.bytes -= load.payload + HEADERS; /* the one that warmed up */
	got -= load.payload + HEADERS;
	report(&s, &before, &after, got, lost);
	return 0;
}
