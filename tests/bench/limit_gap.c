// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether an egress limit ever lets go. A sender inside of a cgroup offers UDP over loopback well
 * above its limit; the receiver outside notes when the kernel took in each packet, and at the end
 * looks for the 100 ms in which the most passed.
 *
 *   limit_gap CGROUP_DIR RATE_BYTES BURST_BYTES OFFERED_BYTES SECONDS
 * RATE and OFFERED a second. Prints one JSON object. Sizes are those of IP packets, as the limit
 * counts.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL
#define WINDOW_NS 100000000LL
#define PAYLOAD 1400
#define PACKET (PAYLOAD + 28) /* IP and UDP headers */
/* the sender wakes this often and sends what is due */
#define PACE_NS 1000000LL

static long long clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
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

/* A socket belongs to the cgroup in which it is made. */
static int send_forever(const char *cgroup, const struct sockaddr_in *to, double offered)
{
	struct timespec nap = {.tv_nsec = PACE_NS};
	long long start, sent = 0, due;
	static char payload[PAYLOAD];
	int fd;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (enter(cgroup) < 0)
		return 1;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
		return 1;
	start = clock_ns(CLOCK_MONOTONIC);
	for (;; nanosleep(&nap, NULL)) {
		due = (long long)((double)(clock_ns(CLOCK_MONOTONIC) - start) / NS * offered);
		for (; sent < due; sent += PACKET)
			(void)!send(fd, payload, PAYLOAD,
				    0); /* refused: dropped, that is the test */
	}
}

static int open_receiver(struct sockaddr_in *ret)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1, room = 8 << 20;
	struct timeval patience = {.tv_usec = 200000};
	socklen_t len = sizeof(*ret);

	*ret = (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd < 0 || bind(fd, (struct sockaddr *)ret, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)ret, &len) < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return -1;
	return fd;
}

/* Time at which the kernel took the packet in; 0 if none came. *overflow: lost at this socket so
 * far */
static long long receive(int fd, unsigned *overflow)
{
	char payload[PAYLOAD], control[256];
	struct iovec iov = {.iov_base = payload, .iov_len = sizeof(payload)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	long long when = 0;
	struct timespec ts;

	if (recvmsg(fd, &msg, 0) <= 0)
		return 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SO_TIMESTAMPNS) {
			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			when = ts.tv_sec * NS + ts.tv_nsec;
		} else if (c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(overflow, CMSG_DATA(c), sizeof(*overflow));
		}
	}
	return when;
}

static void report(const long long *at, size_t n, double rate, double burst, unsigned overflow)
{
	long long most = 0, silence = 0;
	/* one packet more: a window's edges may each cut one */
	double ceiling = rate * (double)WINDOW_NS / NS + burst + PACKET;
	size_t over = 0;

	for (size_t i = 0, first = 0; i < n; i++) {
		while (at[i] - at[first] >= WINDOW_NS)
			first++;
		if ((long long)(i - first + 1) * PACKET > most)
			most = (long long)(i - first + 1) * PACKET;
		over += (double)(i - first + 1) * PACKET > ceiling;
		if (i && at[i] - at[i - 1] > silence)
			silence = at[i] - at[i - 1];
	}
	printf("{\"packets\": %zu, \"bytes\": %zu, \"seconds\": %.3f, \"most_in_window\": %lld, "
	       "\"ceiling\": %.0f, \"windows_over\": %zu, \"silence_ns\": %lld, \"lost_here\": "
	       "%u}\n",
	       n, n * PACKET, n ? (double)(at[n - 1] - at[0]) / NS : 0, most, ceiling, over,
	       silence, overflow);
}

int main(int argc, char **argv)
{
	long long end, *at, when;
	struct sockaddr_in to;
	unsigned overflow = 0;
	size_t n = 0, room;
	pid_t sender;
	int fd;

	if (argc != 6)
		return 2;
	/* room for everything that is offered: more cannot come */
	room = (size_t)(atof(argv[4]) * (atof(argv[5]) + 5) / PACKET) + 1000;
	at = calloc(room, sizeof(*at));
	fd = open_receiver(&to);
	if (!at || fd < 0)
		return 1;
	sender = fork();
	if (sender == 0)
		_exit(send_forever(argv[1], &to, atof(argv[4])));
	end = clock_ns(CLOCK_MONOTONIC) + (long long)(atof(argv[5]) * NS);
	while (clock_ns(CLOCK_MONOTONIC) < end && n < room) {
		when = receive(fd, &overflow);
		if (when)
			at[n++] = when;
	}
	kill(sender, SIGKILL);
	(void)waitpid(sender, NULL, 0);
	report(at, n, atof(argv[2]), atof(argv[3]), overflow);
	free(at);
	return 0;
}
