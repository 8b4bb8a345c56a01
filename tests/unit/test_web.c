// SPDX-License-Identifier: GPL-2.0-only
/* The web worker as a process of its own, on a snapshot that the test publishes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/export/web.h"

#define DEADLINE_MS 10000

struct web {
	struct wv_snapshot_map map;
	char dir[64];
	pid_t pid;
	uint16_t port;
	int control;
};

static uint64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static void publish(struct web *w, uint64_t tick, uint64_t mono)
{
	struct wv_sample s;

	assert_int_equal(wv_sample_init(&s, 64), 0);
	s.used_rows = 2;
	s.rows[1] = (struct wv_row){.key = 4, .flags = WV_ROW_LIVE, .path = "/"};
	s.rows[1].f.v[WV_SIG_CPU_USAGE] = tick * 1000000000ULL;
	s.seq = tick;
	s.mono_ns = mono;
	wv_snapshot_begin(&w->map);
	wv_snapshot_rows(&w->map, &s);
	w->map.head->tick_interval_ns = 1000000000ULL;
	wv_snapshot_end(&w->map);
	wv_sample_done(&s);
}

static void start(struct web *w)
{
	struct wv_config config = {.metrics_max_series = 20000};
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int dirfd, fd, pair[2];
	bool adopted;

	memset(w, 0, sizeof(*w));
	snprintf(w->dir, sizeof(w->dir), "/tmp/wv-web-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	dirfd = open(w->dir, O_DIRECTORY | O_RDONLY);
	assert_true(dirfd >= 0);
	assert_int_equal(wv_snapshot_create(&w->map, dirfd, 64, "boot", &adopted), 0);
	publish(w, 1, mono_ns());
	assert_int_equal(wv_web_listen("127.0.0.1:0", &fd), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	w->port = ntohs(a.sin_port);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	w->pid = fork();
	assert_true(w->pid >= 0);
	if (w->pid == 0) {
		close(pair[0]);
		_exit(wv_web_run(&config, &w->map,
				 &(struct wv_web_fds){
					 .tcp = fd, .local = -1, .control = pair[1], .api = -1}));
	}
	close(pair[1]);
	close(fd);
	close(dirfd);
	w->control = pair[0];
}

/* Lets the worker go; its exit status. */
static int stop(struct web *w)
{
	char file[96];
	int status = -1;

	close(w->control);
	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	wv_snapshot_close(&w->map);
	snprintf(file, sizeof(file), "%s/snapshot", w->dir);
	unlink(file);
	rmdir(w->dir);
	return status;
}

static int dial(const struct web *w)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(w->port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* Sends a request and reads until the server closes; the caller frees. */
static char *ask(const struct web *w, const char *request)
{
	size_t len = 0, cap = 1 << 20;
	char *text = malloc(cap);
	int fd = dial(w);
	ssize_t n = 1;

	assert_non_null(text);
	assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	while (n > 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
		n = read(fd, text + len, cap - len - 1);
		len += n > 0 ? (size_t)n : 0;
	}
	text[len] = '\0';
	close(fd);
	return text;
}

#define TAIL " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"

static void assert_answer(const struct web *w, const char *request, const char *status,
			  const char *part)
{
	char *text = ask(w, request);

	if (strncmp(text, status, strlen(status)) != 0 || !strstr(text, part))
		fail_msg("%s gave: %.300s", request, text);
	free(text);
}

static void web_serves_its_three_paths_and_refuses_the_rest(void **state)
{
	struct web w;

	(void)state;
	start(&w);
	assert_answer(&w, "GET /metrics" TAIL "\r\n", "HTTP/1.1 200 ",
		      "\nwaveos_cgroup_cpu_seconds_total{cgroup=\"/\"} 1\n");
	assert_answer(&w, "GET /metrics" TAIL "Accept: application/openmetrics-text\r\n\r\n",
		      "HTTP/1.1 200 ", "\n# EOF\n");
	assert_answer(&w, "GET /metrics?x=1" TAIL "\r\n", "HTTP/1.1 200 ", "version=0.0.4");
	assert_answer(&w, "GET /healthz" TAIL "\r\n", "HTTP/1.1 200 ", "\"status\":\"ok\"");
	assert_answer(&w, "GET /" TAIL "\r\n", "HTTP/1.1 200 ", "/healthz");
	assert_answer(&w, "GET /../etc/passwd" TAIL "\r\n", "HTTP/1.1 404 ", "");
	assert_answer(&w, "POST /metrics" TAIL "Content-Length: 0\r\n\r\n", "HTTP/1.1 405 ",
		      "GET, HEAD");
	assert_int_equal(stop(&w), 0);
}

static void web_head_has_no_body(void **state)
{
	struct web w;
	char *text;

	(void)state;
	start(&w);
	text = ask(&w, "HEAD /metrics" TAIL "\r\n");
	assert_memory_equal(text, "HTTP/1.1 200 ", 13);
	assert_string_equal(text + strlen(text) - 4, "\r\n\r\n");
	assert_null(strstr(text, "waveos_"));
	free(text);
	assert_int_equal(stop(&w), 0);
}

static void web_shows_the_newest_tick_and_says_when_it_is_old(void **state)
{
	struct web w;

	(void)state;
	start(&w);
	assert_answer(&w, "GET /metrics" TAIL "\r\n", "HTTP/1.1 200 ", "{cgroup=\"/\"} 1\n");
	publish(&w, 2, mono_ns());
	assert_answer(&w, "GET /metrics" TAIL "\r\n", "HTTP/1.1 200 ", "{cgroup=\"/\"} 2\n");
	publish(&w, 3, mono_ns() - 3500000000ULL);
	assert_answer(&w, "GET /healthz" TAIL "\r\n", "HTTP/1.1 503 ", "\"status\":\"stale\"");
	/* a core that stopped in the middle of writing */
	wv_snapshot_begin(&w.map);
	w.map.head->tick = 4;
	assert_answer(&w, "GET /metrics" TAIL "\r\n", "HTTP/1.1 503 ", "no sample");
	assert_int_equal(stop(&w), 0);
}

static void status_line(pid_t pid, const char *key, char ret[64])
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	assert_non_null(f);
	ret[0] = '\0';
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0)
			sscanf(line + strlen(key), " %63s", ret);
	fclose(f);
}

static void assert_status(pid_t pid, const char *key, const char *want)
{
	char got[64];

	status_line(pid, key, got);
	if (strcmp(got, want) != 0)
		fail_msg("%s %s, not %s", key, got, want);
}

static void web_process_has_no_rights_and_one_thread(void **state)
{
	struct web w;

	(void)state;
	start(&w);
	/* it answers, so the sandbox is closed and serving works in it */
	assert_answer(&w, "GET /metrics" TAIL "\r\n", "HTTP/1.1 200 ", "waveos_");
	assert_status(w.pid, "CapEff:", "0000000000000000");
	assert_status(w.pid, "CapPrm:", "0000000000000000");
	assert_status(w.pid, "CapInh:", "0000000000000000");
	assert_status(w.pid, "CapAmb:", "0000000000000000");
	assert_status(w.pid, "Seccomp:", "2");
	assert_status(w.pid, "NoNewPrivs:", "1");
	assert_status(w.pid, "Threads:", "1");
	if (geteuid() == 0) {
		assert_status(w.pid, "CapBnd:", "0000000000000000");
		assert_status(w.pid, "Uid:", "65534");
	}
	assert_int_equal(kill(w.pid, SIGTERM), 0);
	assert_int_equal(stop(&w), 0);
}

static void web_connections_over_the_bound_wait_for_others_to_end(void **state)
{
	int fds[16];
	struct web w;

	(void)state;
	start(&w);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = dial(&w);
	for (int probe = 0; probe < 4; probe++) {
		struct pollfd p = {.fd = dial(&w), .events = POLLIN};
		char c;

		/* closed at once, without an answer */
		assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
		assert_true(read(p.fd, &c, 1) <= 0);
		close(p.fd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	assert_int_equal(stop(&w), 0);
}

static void listen_address_that_is_wrong_is_refused(void **state)
{
	int fd = -7, second = -7;
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	char again[32];

	(void)state;
	assert_int_equal(wv_web_listen("9850", &fd), -EINVAL);
	assert_int_equal(wv_web_listen(":9850", &fd), -EINVAL);
	assert_int_equal(wv_web_listen("localhost:9850", &fd), -EINVAL);
	assert_int_equal(wv_web_listen("::1:9850", &fd), -EINVAL);
	assert_int_equal(wv_web_listen("127.0.0.1:99999999", &fd), -EINVAL);
	assert_int_equal(wv_web_listen("127.0.0.1:x", &fd), -EINVAL);
	assert_int_equal(fd, -7);
	assert_int_equal(wv_web_listen("127.0.0.1:0", &fd), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	snprintf(again, sizeof(again), "127.0.0.1:%u", ntohs(a.sin_port));
	assert_int_equal(wv_web_listen(again, &second), -EADDRINUSE);
	assert_int_equal(second, -7);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(web_serves_its_three_paths_and_refuses_the_rest),
		cmocka_unit_test(web_head_has_no_body),
		cmocka_unit_test(web_shows_the_newest_tick_and_says_when_it_is_old),
		cmocka_unit_test(web_process_has_no_rights_and_one_thread),
		cmocka_unit_test(web_connections_over_the_bound_wait_for_others_to_end),
		cmocka_unit_test(listen_address_that_is_wrong_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
