// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests over a real connection to a stub of an API server: a child of the test that answers what
 * the test scripted, byte by byte, however wrong it is. (The real API server: tests/k8s/e2e.sh.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
// after these
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/kube/client.h"
#include "user/kube/watch.h"

static struct {
	char server[64], token[64];
	int listener, heard; /* what the stub was asked */
	pid_t stub;
	struct wv_kube_client *client;
	struct wv_kube_request q;
	char got[65536], error[256];
	long status;
	size_t len;
	int limit; /* bytes after which take() wants no more; 0: all */
	bool over;
} t;

static int take(void *ctx _unused_, long status _unused_, const char *bytes, size_t len)
{
	assert_true(t.len + len < sizeof(t.got));
	memcpy(t.got + t.len, bytes, len);
	t.len += len;
	return t.limit && t.len >= (size_t)t.limit ? -ECANCELED : 0;
}

static void over(void *ctx _unused_, long status, const char *error,
		 uint64_t retry_after_s _unused_)
{
	t.status = status;
	snprintf(t.error, sizeof(t.error), "%s", error ?: "");
	t.over = true;
}

static int setup(void **state _unused_)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);

	memset(&t, 0, sizeof(t));
	t.listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(t.listener, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(t.listener, 8), 0);
	assert_int_equal(getsockname(t.listener, (struct sockaddr *)&a, &n), 0);
	snprintf(t.server, sizeof(t.server), "http://127.0.0.1:%d", ntohs(a.sin_port));
	t.q = (struct wv_kube_request){.take = take, .over = over};
	t.heard = -1;
	snprintf(t.token, sizeof(t.token), "/tmp/kube-token-%d", getpid());
	(void)unlink(t.token);
	return 0;
}

static int teardown(void **state _unused_)
{
	wv_kube_client_close(t.client);
	if (t.stub > 0) {
		kill(t.stub, SIGKILL);
		(void)waitpid(t.stub, NULL, 0);
	}
	close(t.listener);
	if (t.heard >= 0)
		close(t.heard);
	(void)unlink(t.token);
	return 0;
}

static void nap(long ms)
{
	const struct timespec ts = {.tv_nsec = ms * 1000000};

	(void)nanosleep(&ts, NULL);
}

/* Answers each connection with the next of these texts (NULL: with nothing, and keeps it open);
 * piece: bytes at a time with a millisecond between, 0: all at once. */
static void serve(const char *const answers[], size_t piece)
{
	int pair[2];

	assert_int_equal(pipe(pair), 0);
	t.stub = fork();
	if (t.stub) {
		close(pair[1]);
		t.heard = pair[0];
		return;
	}
	for (size_t i = 0; answers[i] || i == 0; i++) {
		char request[4096];
		int fd = accept(t.listener, NULL, NULL);
		ssize_t n = recv(fd, request, sizeof(request), 0);

		if (n > 0 && write(pair[1], request, (size_t)n) != n)
			_exit(1);
		if (!answers[i])
			break;
		for (size_t at = 0; at < strlen(answers[i]);) {
			size_t left = strlen(answers[i]) - at,
			       some = piece && piece < left ? piece : left;

			if (send(fd, answers[i] + at, some, MSG_NOSIGNAL) < 0)
				break;
			at += some;
			if (piece)
				nap(1);
		}
		close(fd);
	}
	for (;;)
		pause();
}

static void open_client(const char *token)
{
	const struct wv_kube_client_options o = {.server = t.server, .token = token, .ca = ""};
	int r = wv_kube_client_open(&t.client, &o);

	if (r == -ENOPKG)
		skip();
	assert_int_equal(r, 0);
}

static void run(const char *path, const char *body, unsigned timeout_s)
{
	t.over = false;
	t.len = 0;
	assert_int_equal(wv_kube_request(t.client, &t.q, path, body, timeout_s), 0);
	for (int i = 0; i < 2000 && !t.over; i++)
		assert_int_equal(wv_kube_client_turn(t.client, NULL, 0, 100), 0);
	assert_true(t.over);
	t.got[t.len] = '\0';
}

static void heard(char *ret, size_t size)
{
	ssize_t n = read(t.heard, ret, size - 1);

	assert_true(n > 0);
	ret[n] = '\0';
}

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
#define CHUNKED HEAD "Transfer-Encoding: chunked\r\n\r\n"

static void request_shows_the_token_as_it_is_now(void **state _unused_)
{
	static const char *const answers[] = {HEAD "\r\n{}", HEAD "\r\n{}", HEAD "\r\n{}", NULL};
	static const char *const tokens[] = {"first\n", "second"};
	char text[4096], line[64];

	serve(answers, 0);
	open_client(t.token);
	for (size_t i = 0; i < 2; i++) {
		int fd = open(t.token, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_int_equal(write(fd, tokens[i], strlen(tokens[i])), strlen(tokens[i]));
		close(fd);
		run("/api", NULL, 5);
		heard(text, sizeof(text));
		snprintf(line, sizeof(line), "Authorization: Bearer %.*s\r\n",
			 (int)strcspn(tokens[i], "\n"), tokens[i]);
		assert_non_null(strstr(text, line));
	}
	(void)unlink(t.token);
	run("/api", NULL, 5); /* the server says what it thinks of that */
	heard(text, sizeof(text));
	assert_null(strstr(text, "Authorization"));
}

static void request_patches_with_a_merge_patch(void **state _unused_)
{
	static const char *const answers[] = {
		"HTTP/1.1 409 Conflict\r\nConnection: close\r\n\r\n{}", NULL};
	char text[4096];

	serve(answers, 0);
	open_client("");
	run("/apis/x/status", "{\"status\":{}}", 5);
	heard(text, sizeof(text));
	assert_int_equal(strncmp(text, "PATCH /apis/x/status HTTP/1.1\r\n", 31), 0);
	assert_non_null(strstr(text, "Content-Type: application/merge-patch+json\r\n"));
	assert_non_null(strstr(text, "\r\n\r\n{\"status\":{}}"));
	assert_int_equal(t.status, 409);
	assert_string_equal(t.error, "");
}

static void answer_in_pieces_comes_whole(void **state _unused_)
{
	static const char *const answers[] = {CHUNKED "5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n", NULL};

	serve(answers, 1);
	open_client("");
	run("/api", NULL, 10);
	assert_string_equal(t.got, "{\"a\":1}");
	assert_int_equal(t.status, 200);
}

static void answer_whose_chunk_is_cut_is_an_error(void **state _unused_)
{
	static const char *const answers[] = {CHUNKED "20\r\n{\"type\":\"ADDED\"}", NULL};

	serve(answers, 0);
	open_client("");
	run("/api", NULL, 5);
	assert_string_equal(t.got, "{\"type\":\"ADDED\"}");
	assert_int_equal(t.status, 200);
	assert_string_not_equal(t.error, "");
}

static void answer_that_never_comes_is_given_up(void **state _unused_)
{
	static const char *const answers[] = {NULL};

	serve(answers, 0);
	open_client("");
	run("/api", NULL, 1);
	assert_int_equal(t.status, 0);
	assert_non_null(strstr(t.error, "timed out"));
}

static void answer_that_is_not_wanted_is_ended(void **state _unused_)
{
	static const char *const answers[] = {HEAD "\r\n{\"a\":1}{\"b\":2}", NULL};

	serve(answers, 1);
	open_client("");
	t.limit = 3;
	run("/api", NULL, 5);
	assert_int_equal(t.len, 3);
	assert_string_not_equal(t.error, "");
}

static void redirect_is_not_followed(void **state _unused_)
{
	static const char *const answers[] = {
		"HTTP/1.1 302 Found\r\nLocation: /other\r\nConnection: close\r\n\r\n", NULL};

	serve(answers, 0);
	open_client("");
	run("/api", NULL, 5);
	assert_int_equal(t.status, 302);
}

static void server_that_is_away_is_an_error(void **state _unused_)
{
	close(t.listener);
	t.listener = open("/dev/null", O_RDONLY);
	open_client("");
	run("/api", NULL, 5);
	assert_int_equal(t.status, 0);
	assert_string_not_equal(t.error, "");
}

static void plain_http_is_for_loopback_only(void **state _unused_)
{
	static const char *const wrong[] = {"http://10.0.0.1", "http://127.0.0.1.example.org",
					    "ftp://127.0.0.1", "127.0.0.1", ""};
	struct wv_kube_client *c = NULL;

	open_client(""); /* or skipped */
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		const struct wv_kube_client_options o = {.server = wrong[i], .token = "", .ca = ""};

		assert_int_equal(wv_kube_client_open(&c, &o), -EINVAL);
	}
}

/* A stream that never ends: events come as they happen. */
static void count_object(void *ctx, struct json_object *o _unused_)
{
	(*(int *)ctx)++;
}

static void nothing(void *ctx _unused_)
{
}

static int to_watch(void *ctx, long status, const char *bytes, size_t len)
{
	return wv_kube_watch_take(ctx, status, bytes, len);
}

static void watch_tells_events_while_the_stream_is_open(void **state _unused_)
{
	static const struct wv_kube_watch_fns fns = {nothing, count_object, count_object, nothing};
	static const char *const answers[] = {
		CHUNKED "40\r\n{\"type\":\"ADDED\",\"object\":{}}{\"type\":\"ADDED\",\"object\":{}}"
			"      ",
		NULL};
	int objects = 0;
	struct wv_kube_watch w = {
		.name = "pods", .path = "/p", .query = "", .fns = &fns, .ctx = &objects};
	char path[WV_KUBE_PATH_SIZE];

	serve(answers, 1);
	open_client("");
	wv_kube_watch_init(&w);
	w.watching = true;
	assert_true(wv_kube_watch_due(&w, 0, 0, path));
	t.q.take = to_watch;
	t.q.ctx = &w;
	assert_int_equal(wv_kube_request(t.client, &t.q, path, NULL, 5), 0);
	for (int i = 0; i < 2000 && objects < 2; i++)
		assert_int_equal(wv_kube_client_turn(t.client, NULL, 0, 50), 0);
	if (objects != 2)
		fail_msg("%d: %s, %s", objects, w.why, t.error);
	wv_kube_watch_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(request_shows_the_token_as_it_is_now),
		T(request_patches_with_a_merge_patch),
		T(answer_in_pieces_comes_whole),
		T(answer_whose_chunk_is_cut_is_an_error),
		T(answer_that_never_comes_is_given_up),
		T(answer_that_is_not_wanted_is_ended),
		T(redirect_is_not_followed),
		T(server_that_is_away_is_an_error),
		T(plain_http_is_for_loopback_only),
		T(watch_tells_events_while_the_stream_is_open),
#undef T
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
