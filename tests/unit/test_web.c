// SPDX-License-Identifier: GPL-2.0-only
/* The web worker as a process of its own, on a snapshot that the test publishes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include "tests/unit/web_fixture.h"

static void web_serves_its_paths_and_refuses_the_rest(void **state)
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
		cmocka_unit_test(web_serves_its_paths_and_refuses_the_rest),
		cmocka_unit_test(web_head_has_no_body),
		cmocka_unit_test(web_shows_the_newest_tick_and_says_when_it_is_old),
		cmocka_unit_test(web_process_has_no_rights_and_one_thread),
		cmocka_unit_test(web_connections_over_the_bound_wait_for_others_to_end),
		cmocka_unit_test(listen_address_that_is_wrong_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
