// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much a spool takes in and delivers while its destination is slow, then dead, then back.
 *
 *   spool_throughput WAVEOS-BPF FOLDER [SECONDS]
 *
 * A child sends records of 256 bytes to a UNIX socket as fast as it is let, for SECONDS (default
 * 8): in the first quarter the destination (HTTP, NDJSON) pauses before each answer, in the second
 * and third it is not there, then it answers at once. Each record has a number; the destination
 * keeps a bitmap of them. Prints figures as "name value".
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RECORD 256
#define RECORDS_MAX (16U << 20)
#define BODY_MAX (64U << 20)
#define SLOW_NS 50000000L

enum { SLOW, DEAD, BACK, STOP };

static struct shared {
	_Atomic uint64_t sent; /* records that the socket took */
	_Atomic uint64_t delivered, duplicates, foreign, bytes;
	_Atomic int mode;
} * shared;

static uint8_t *seen;
static int port;

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void nap(long ns)
{
	const struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	(void)nanosleep(&t, NULL);
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Destination ---------------------------------------------------------------------------------- */

static void count_lines(const char *p, size_t len)
{
	static const char key[] = "\"message\":\"id=";
	const char *end = p + len;

	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *id = memmem(p, (size_t)((newline ?: end) - p), key, sizeof(key) - 1);
		uint64_t n = id ? strtoull(id + sizeof(key) - 1, NULL, 16) : UINT64_MAX;

		if (n >= RECORDS_MAX)
			shared->foreign++;
		else if (seen[n / 8] & 1U << n % 8)
			shared->duplicates++;
		else {
			seen[n / 8] |= (uint8_t)(1U << n % 8);
			shared->delivered++;
		}
		p = newline ? newline + 1 : end;
	}
}

static int listen_on(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 8) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		die("destination");
	port = ntohs(a.sin_port);
	return fd;
}

/* One request: its body into buf. 0: the connection ended. */
static size_t read_request(int c, char *buf)
{
	size_t have = 0, want = 0, head = 0;

	while (!head || have < head + want) {
		ssize_t n = recv(c, buf + have, head ? head + want - have : 16384, 0);
		char *end;

		if (n <= 0)
			return 0;
		have += (size_t)n;
		buf[have] = '\0';
		if (head)
			continue;
		end = memmem(buf, have, "\r\n\r\n", 4);
		if (!end)
			continue;
		head = (size_t)(end - buf) + 4;
		want = strtoull(strcasestr(buf, "content-length:") + 15, NULL, 10);
		if (want > BODY_MAX)
			return 0;
	}
	memmove(buf, buf + head, want);
	return want;
}

static void serve(int fd, int mode, char *buf)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	size_t len;

	while (c >= 0 && shared->mode == mode && (len = read_request(c, buf))) {
		count_lines(buf, len);
		shared->bytes += len;
		if (mode == SLOW)
			nap(SLOW_NS);
		if (send(c, ok, sizeof(ok) - 1, MSG_NOSIGNAL) < 0)
			break;
	}
	if (c >= 0)
		close(c);
}

static void *destination(void *arg)
{
	char *buf = malloc(BODY_MAX + 65536);
	int fd = *(int *)arg;

	while (buf && shared->mode != STOP) {
		int mode = shared->mode;

		if (mode == DEAD) {
			if (fd >= 0)
				close(fd);
			fd = -1;
			nap(1000000);
			continue;
		}
		if (fd < 0)
			fd = listen_on();
		serve(fd, mode, buf);
	}
	free(buf);
	return NULL;
}

/* Source --------------------------------------------------------------------------------------- */

static int dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 4 << 20;

	snprintf(a.sun_path, sizeof(a.sun_path), "%.107s", path);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	for (int i = 0; i < 500; i++) {
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
			return fd;
		nap(10000000);
	}
	die("connect to the spool");
	return -1;
}

static void source(const char *path, double seconds)
{
	static char block[512 * RECORD];
	int fd = dial(path);
	double until = now_s() + seconds;
	uint64_t n = 0;

	memset(block, 'x', sizeof(block));
	for (size_t i = 0; i < sizeof(block); i += RECORD)
		block[i + RECORD - 1] = '\n';
	while (now_s() < until && n + 512 < RECORDS_MAX) {
		for (size_t i = 0; i < sizeof(block); i += RECORD) {
			char id[24];

			snprintf(id, sizeof(id), "id=%08llx ", (unsigned long long)n++);
			memcpy(block + i, id, 12);
		}
		for (size_t done = 0; done < sizeof(block);) {
			ssize_t k = send(fd, block + done, sizeof(block) - done, MSG_NOSIGNAL);

			if (k < 0)
				die("send");
			done += (size_t)k;
		}
		shared->sent = n;
	}
	close(fd);
	exit(0);
}

static pid_t start_spool(const char *bin, const char *folder, char socket_path[256])
{
	char config[300];
	FILE *f;
	pid_t pid;

	(void)mkdir(folder, 0700);
	snprintf(socket_path, 256, "%.200s/in.sock", folder);
	snprintf(config, sizeof(config), "%.200s/spool.yaml", folder);
	f = fopen(config, "w");
	if (!f)
		die(config);
	fprintf(f,
		"spools:\n  - {name: bench, dir: %s/spool, buffer: 8G, segment: 64M}\n"
		"spool_inputs:\n  - {name: in, spool: bench, type: unix-stream, path: %s}\n"
		"spool_outputs:\n  - {name: out, spool: bench, type: http, url: "
		"'http://127.0.0.1:%d/', "
		"batch: 4M, retry_max: 500ms, timeout: 5s}\n",
		folder, socket_path, port);
	fclose(f);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(bin, bin, "spool", "run", "--config", config, "--root", folder,
		      "--keep-rights", NULL);
		_exit(127);
	}
	return pid;
}

static double cpu_s(const struct rusage *u)
{
	return (double)u->ru_utime.tv_sec + (double)u->ru_utime.tv_usec / 1e6 +
	       (double)u->ru_stime.tv_sec + (double)u->ru_stime.tv_usec / 1e6;
}

static void phase(const char *name, int mode, double seconds)
{
	uint64_t sent = shared->sent, delivered = shared->delivered;
	double start = now_s(), took;

	shared->mode = mode;
	while (now_s() - start < seconds)
		nap(5000000);
	took = now_s() - start;
	printf("spool_%s_in %.0f\n", name, (double)(shared->sent - sent) * RECORD / took / 1e6);
	printf("spool_%s_out %.0f\n", name,
	       (double)(shared->delivered - delivered) * RECORD / took / 1e6);
}

int main(int argc, char **argv)
{
	double seconds = argc > 3 ? atof(argv[3]) : 8, start, taken, done;
	char socket_path[256];
	struct rusage usage = {0};
	pid_t spool, sender;
	pthread_t thread;
	uint64_t before;
	int fd;

	if (argc < 3)
		return 2;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	seen = calloc(RECORDS_MAX / 8, 1);
	if (shared == MAP_FAILED || !seen)
		return 1;
	/* below the range of ports that connect() gives itself: who tries a dead port of that range
	 * often enough connects to itself */
	port = 20000 + getpid() % 10000;
	fd = listen_on();
	spool = start_spool(argv[1], argv[2], socket_path);
	if (pthread_create(&thread, NULL, destination, &fd) != 0)
		return 1;
	start = now_s();
	sender = fork();
	if (sender == 0) {
		close(fd); /* it must be able to be dead */
		source(socket_path, seconds);
	}
	phase("slow", SLOW, seconds / 4);
	phase("dead", DEAD, seconds / 2);
	phase("back", BACK, seconds / 4);
	(void)waitpid(sender, NULL, 0);
	taken = now_s();
	before = shared->delivered;
	while (shared->delivered < shared->sent && now_s() - taken < 60)
		nap(5000000);
	done = now_s();
	(void)kill(spool, SIGTERM);
	(void)wait4(spool, NULL, 0, &usage);
	printf("spool_records %llu\n", (unsigned long long)shared->sent);
	printf("spool_in %.0f\n", (double)shared->sent * RECORD / (taken - start) / 1e6);
	if (done - taken > 0.05)
		printf("spool_drain %.0f\n",
		       (double)(shared->delivered - before) * RECORD / (done - taken) / 1e6);
	printf("spool_through %.0f\n", (double)shared->delivered * RECORD / (done - start) / 1e6);
	printf("spool_lost %lld\n", (long long)(shared->sent - shared->delivered));
	printf("spool_duplicates %llu\n", (unsigned long long)shared->duplicates);
	printf("spool_foreign %llu\n", (unsigned long long)shared->foreign);
	printf("spool_cpu_s %.1f\nspool_rss_mb %.0f\n", cpu_s(&usage),
	       (double)usage.ru_maxrss / 1024);
	return 0; /* the thread may wait in accept() */
}
