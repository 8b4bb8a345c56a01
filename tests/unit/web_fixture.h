/* SPDX-License-Identifier: GPL-2.0-only */
/* The web worker as a process of its own, on a snapshot that the test publishes. Include it after
 * cmocka.h. */
#ifndef TESTS_WEB_FIXTURE_H
#define TESTS_WEB_FIXTURE_H

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

static _unused_ uint64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static _unused_ void publish(struct web *w, uint64_t tick, uint64_t mono)
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

static _unused_ void start(struct web *w)
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
static _unused_ int stop(struct web *w)
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

static _unused_ int dial(const struct web *w)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(w->port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* Sends a request and reads until the server closes; the caller frees. */
static _unused_ char *ask(const struct web *w, const char *request)
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

static _unused_ void assert_answer(const struct web *w, const char *request, const char *status,
				   const char *part)
{
	char *text = ask(w, request);

	if (strncmp(text, status, strlen(status)) != 0 || !strstr(text, part))
		fail_msg("%s gave: %.300s", request, text);
	free(text);
}

#endif
