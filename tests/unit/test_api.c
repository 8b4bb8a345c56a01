// SPDX-License-Identifier: GPL-2.0-only
/* What the web and the api worker say to each other, who a connection is, and what paths mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "user/api/api.h"
#include "user/core/cleanup.h"
#include "user/export/web.h"
#include "user/export/web_api.h"

/* Messages ------------------------------------------------------------------------------------- */

static struct wv_api_request a_request(void)
{
	return (struct wv_api_request){
		.kind = WV_API_REQUEST,
		.route = WV_API_EVENTS,
		.id = 0x1122334455667788ULL,
		.deadline_ns = 99,
		.number = 7,
		.has_body = true,
		.token = "wvt_x",
		.token_len = 5,
		.certificate = (const unsigned char *)"\x30\x00\x01",
		.certificate_len = 3,
		.n_params = 2,
		.params = {{"after", "12"}, {"cgroup", ""}},
	};
}

static void wire_request_comes_back_as_it_was(void **state)
{
	struct wv_api_request q = a_request(), back;
	char buf[512];
	ssize_t n = wv_api_request_encode(&q, buf, sizeof(buf));

	(void)state;
	assert_true(n > 0);
	assert_int_equal(wv_api_request_decode(buf, (size_t)n, &back), 0);
	assert_int_equal(back.kind, q.kind);
	assert_int_equal(back.route, q.route);
	assert_true(back.id == q.id && back.deadline_ns == q.deadline_ns);
	assert_true(back.number == q.number && back.has_body);
	assert_memory_equal(back.token, "wvt_x", 5);
	assert_memory_equal(back.certificate, q.certificate, 3);
	assert_int_equal(back.n_params, 2);
	assert_string_equal(wv_api_param(&back, "after"), "12");
	assert_string_equal(wv_api_param(&back, "cgroup"), "");
	assert_null(wv_api_param(&back, "before"));
}

static void wire_request_cut_anywhere_is_none(void **state)
{
	struct wv_api_request q = a_request(), back = {.id = 5};
	char buf[512];
	ssize_t n = wv_api_request_encode(&q, buf, sizeof(buf));

	(void)state;
	for (ssize_t cut = 0; cut < n; cut++) {
		assert_int_equal(wv_api_request_encode(&q, buf + 256, (size_t)cut), -EMSGSIZE);
		assert_int_equal(wv_api_request_decode(buf, (size_t)cut, &back), -EPROTO);
	}
	buf[n] = 0;
	assert_int_equal(wv_api_request_decode(buf, (size_t)n + 1, &back), -EPROTO);
	assert_int_equal(back.id, 5);
}

static void wire_request_with_any_changed_byte_is_none_or_within_its_limits(void **state)
{
	struct wv_api_request q = a_request(), back;
	char buf[512], other[512];
	ssize_t n = wv_api_request_encode(&q, buf, sizeof(buf));

	(void)state;
	for (ssize_t i = 0; i < n; i++)
		for (int v = 0; v < 256; v++) {
			memcpy(other, buf, sizeof(other));
			other[i] = (char)v;
			if (wv_api_request_decode(other, (size_t)n, &back) < 0)
				continue;
			assert_true(back.kind == WV_API_REQUEST ? back.route < WV_API_N
								: back.route < WV_MAY_N);
			assert_true(back.token >= other &&
				    back.token + back.token_len <= other + n);
			for (size_t p = 0; p < back.n_params; p++)
				assert_true(back.params[p].value + strlen(back.params[p].value) <
					    other + n);
		}
}

static void wire_request_out_of_bounds_is_not_encoded(void **state)
{
	char buf[WV_API_MESSAGE_MAX], key[WV_API_KEY_MAX + 2];
	struct wv_api_request q;

	(void)state;
	q = a_request();
	q.route = WV_API_N;
	assert_int_equal(wv_api_request_encode(&q, buf, sizeof(buf)), -EINVAL);
	q = a_request();
	q.kind = WV_API_ANSWER;
	assert_int_equal(wv_api_request_encode(&q, buf, sizeof(buf)), -EINVAL);
	q = a_request();
	memset(key, 'k', sizeof(key));
	key[sizeof(key) - 1] = '\0';
	q.params[0].key = key;
	assert_int_equal(wv_api_request_encode(&q, buf, sizeof(buf)), -EINVAL);
	q = a_request();
	q.token_len = WV_API_TOKEN_MAX + 1;
	assert_int_equal(wv_api_request_encode(&q, buf, sizeof(buf)), -EINVAL);
}

static void wire_answer_comes_back_and_cut_anywhere_is_none(void **state)
{
	struct wv_api_answer a = {.kind = WV_API_ANSWER,
				  .status = 429,
				  .id = 77,
				  .type = WV_API_ZSTD,
				  .retry_s = 6,
				  .ttl_ms = 5000,
				  .body = "hello",
				  .body_len = 5},
			     back;
	char buf[256];
	ssize_t n = wv_api_answer_encode(&a, buf, sizeof(buf));

	(void)state;
	assert_true(n > 0);
	assert_int_equal(wv_api_answer_decode(buf, (size_t)n, &back), 0);
	assert_int_equal(back.status, 429);
	assert_int_equal(back.retry_s, 6);
	assert_int_equal(back.ttl_ms, 5000);
	assert_memory_equal(back.body, "hello", 5);
	for (ssize_t cut = 0; cut < n; cut++)
		assert_int_equal(wv_api_answer_decode(buf, (size_t)cut, &back), -EPROTO);
	assert_int_equal(wv_api_answer_decode(buf, (size_t)n + 1, &back), -EPROTO);
	a.status = 99;
	assert_int_equal(wv_api_answer_encode(&a, buf, sizeof(buf)), -EINVAL);
	a = (struct wv_api_answer){.kind = WV_API_FORGET, .body = "x", .body_len = 1};
	assert_int_equal(wv_api_answer_encode(&a, buf, sizeof(buf)), -EINVAL);
}

static void wire_descriptors_beyond_two_or_of_a_long_message_are_closed(void **state)
{
	char big[2000] = {0}, small[100];
	int pair[2], fds[WV_API_FDS_MAX], before, after;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	before = dup(0);
	close(before);
	assert_int_equal(wv_api_send(pair[0], big, sizeof(big), pair, 2), 0);
	assert_int_equal(wv_api_receive(pair[1], small, sizeof(small), fds), -EPROTO);
	assert_int_equal(fds[0], -1);
	after = dup(0);
	assert_int_equal(after, before);
	close(after);
	assert_int_equal(wv_api_receive(pair[1], small, sizeof(small), fds), -EAGAIN);
	close(pair[0]);
	assert_int_equal(wv_api_receive(pair[1], small, sizeof(small), fds), 0);
	close(pair[1]);
}

static void wire_body_that_is_not_sealed_or_no_memory_file_is_refused(void **state)
{
	uint64_t bytes = 0;
	int fd = wv_api_body_open(), file = open("/proc/self/exe", O_RDONLY), pipes[2];

	(void)state;
	assert_int_equal(write(fd, "abc", 3), 3);
	assert_int_equal(wv_api_body_check(fd, 10, &bytes), -EPROTO);
	assert_int_equal(wv_api_body_seal(fd), 0);
	assert_int_equal(wv_api_body_check(fd, 10, &bytes), 0);
	assert_int_equal(bytes, 3);
	assert_int_equal(wv_api_body_check(fd, 2, &bytes), -EPROTO);
	assert_int_equal(write(fd, "d", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(wv_api_body_check(file, 1 << 30, &bytes), -EPROTO);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(wv_api_body_check(pipes[0], 1 << 30, &bytes), -EPROTO);
	assert_int_equal(wv_api_body_check(-1, 1 << 30, &bytes), -EPROTO);
	close(pipes[0]);
	close(pipes[1]);
	close(file);
	close(fd);
}

/* Who a connection is -------------------------------------------------------------------------- */

struct peers {
	struct wv_api a;
	struct wv_paths paths;
	struct wv_config config;
	char dir[48], socket[WV_PATH_SIZE + 16];
	int local; /* listening at api.sock */
};

static void open_peers(struct peers *p)
{
	memset(p, 0, sizeof(*p));
	snprintf(p->dir, sizeof(p->dir), "/tmp/wv-api-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(wv_paths_init(&p->paths, p->dir), 0);
	assert_int_equal(wv_config_init(&p->config), 0);
	assert_int_equal(wv_io_mkdirs(&wv_io_system, p->paths.runtime, 0755), 0);
	snprintf(p->socket, sizeof(p->socket), "%s/" WV_API_SOCKET, p->paths.runtime);
	assert_int_equal(wv_web_listen_local(p->socket, "", &p->local), 0);
	p->a.paths = &p->paths;
	p->a.config = &p->config;
	p->a.io = &wv_io_system;
}

static void close_peers(struct peers *p)
{
	char command[96];

	close(p->local);
	wv_tokens_done(&p->a.tokens);
	wv_config_done(&p->config);
	snprintf(command, sizeof(command), "rm -rf %s", p->dir);
	assert_int_equal(system(command), 0);
}

static enum wv_api_refusal identify(struct peers *p, int fd, const char *token,
				    struct wv_caller *who)
{
	struct wv_api_request q = {.token = token, .token_len = strlen(token)};
	unsigned retry;
	const char *why;

	return wv_api_identify(&p->a, fd, &q, who, &retry, &why);
}

static void peer_of_the_unix_socket_is_its_user(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct wv_caller who;
	struct peers p;
	char name[32];
	int client, fd;

	(void)state;
	open_peers(&p);
	snprintf(un.sun_path, sizeof(un.sun_path), "%.107s", p.socket);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&un, sizeof(un)), 0);
	fd = accept(p.local, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(identify(&p, fd, "", &who), WV_API_KNOWN);
	snprintf(name, sizeof(name), "uid:%u", getuid());
	assert_string_equal(who.name, name);
	assert_int_equal(who.kind, WV_CALLER_USER);
	assert_int_equal(who.roles, getuid() == 0 ? 1U << WV_USER_ADMIN : 0);
	/* a token that is shown counts, and not the user behind it */
	assert_int_equal(identify(&p, fd, "wvt_wrong", &who), WV_API_WRONG);
	assert_int_equal(who.roles, 0);
	close(client);
	close(fd);
	close_peers(&p);
}

/* What a web worker that was taken over has at hand: each of these has root as its peer. */
static void peer_that_is_no_connection_of_a_client_is_suspicious(void **state)
{
	int pair[2], seq[2], pipes[2];
	struct wv_caller who;
	struct peers p;

	(void)state;
	open_peers(&p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, seq), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(identify(&p, pair[0], "", &who), WV_API_SUSPICIOUS);
	assert_int_equal(who.roles, 0);
	assert_int_equal(identify(&p, seq[0], "", &who), WV_API_SUSPICIOUS);
	assert_int_equal(identify(&p, pipes[0], "", &who), WV_API_SUSPICIOUS);
	assert_int_equal(identify(&p, p.local, "", &who), WV_API_SUSPICIOUS);
	assert_int_equal(identify(&p, -1, "", &who), WV_API_SUSPICIOUS);
	assert_int_equal(who.roles, 0);
	for (int i = 0; i < 2; i++) {
		close(pair[i]);
		close(seq[i]);
		close(pipes[i]);
	}
	close_peers(&p);
}

/* A connection over loopback; the accepted end. */
static int dial(int *ret_client)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int listening, fd;

	assert_int_equal(wv_web_listen("127.0.0.1:0", &listening), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&a, &len), 0);
	*ret_client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(*ret_client, (struct sockaddr *)&a, sizeof(a)), 0);
	fd = accept(listening, NULL, NULL);
	assert_true(fd >= 0);
	close(listening);
	return fd;
}

static void peer_on_loopback_is_a_viewer_until_access_is_configured(void **state)
{
	struct wv_token t = {.name = "x", .role = WV_USER_ADMIN, .by = "uid:0"};
	char text[WV_TOKEN_TEXT_SIZE];
	struct wv_caller who;
	struct peers p;
	int client, fd;

	(void)state;
	open_peers(&p);
	fd = dial(&client);
	assert_int_equal(identify(&p, fd, "", &who), WV_API_KNOWN);
	assert_int_equal(who.kind, WV_CALLER_LOOPBACK);
	assert_int_equal(who.roles, 1U << WV_USER_VIEWER);
	assert_string_equal(who.peer, "127.0.0.1");
	/* a token exists: now who has none is nobody */
	assert_int_equal(wv_token_create(&wv_io_system, &p.paths, &t, text, NULL, NULL), 0);
	assert_int_equal(identify(&p, fd, "", &who), WV_API_KNOWN);
	assert_int_equal(who.kind, WV_CALLER_NOBODY);
	assert_int_equal(who.roles, 0);
	assert_int_equal(identify(&p, fd, text, &who), WV_API_KNOWN);
	assert_string_equal(who.name, "token:x");
	assert_int_equal(who.roles, 1U << WV_USER_ADMIN);
	p.config.access_loopback = 1; /* viewer */
	assert_int_equal(identify(&p, fd, "", &who), WV_API_KNOWN);
	assert_int_equal(who.roles, 1U << WV_USER_VIEWER);
	p.config.access_loopback = 2; /* none */
	assert_int_equal(identify(&p, fd, "", &who), WV_API_KNOWN);
	assert_int_equal(who.roles, 0);
	close(client);
	close(fd);
	close_peers(&p);
}

static void peer_with_wrong_tokens_is_limited_and_a_right_one_never(void **state)
{
	struct wv_token t = {.name = "x", .role = WV_USER_VIEWER, .by = "uid:0"};
	char text[WV_TOKEN_TEXT_SIZE];
	struct wv_caller who;
	struct peers p;
	int client, fd;

	(void)state;
	open_peers(&p);
	fd = dial(&client);
	assert_int_equal(wv_token_create(&wv_io_system, &p.paths, &t, text, NULL, NULL), 0);
	for (int i = 0; i < WV_LIMITER_BURST; i++)
		assert_int_equal(identify(&p, fd, "wvt_wrong", &who), WV_API_WRONG);
	assert_int_equal(identify(&p, fd, "wvt_wrong", &who), WV_API_LIMITED);
	assert_int_equal(identify(&p, fd, text, &who), WV_API_KNOWN);
	assert_int_equal(who.roles, 1U << WV_USER_VIEWER);
	close(client);
	close(fd);
	close_peers(&p);
}

/* Paths and headers ---------------------------------------------------------------------------- */

static void web_path_gives_route_and_number(void **state)
{
	static const struct {
		const char *method, *path;
		int route;
		uint64_t number;
	} cases[] = {
		{"GET", "/api/v1/events", WV_API_EVENTS, 0},
		{"GET", "/api/v1/events/12/proof", WV_API_PROOF, 12},
		{"GET", "/api/v1/events/18446744073709551619/proof", -1, 0},
		{"GET", "/api/v1/events/12", -1, 0},
		{"GET", "/api/v1/events/0/proof", -1, 0},
		{"GET", "/api/v1/events/-1/proof", -1, 0},
		{"GET", "/api/v1/events/12/proof/", -1, 0},
		{"GET", "/api/v1/events/", -1, 0},
		{"GET", "/api/v1/policy/apply", -1, 0},
		{"POST", "/api/v1/policy/apply", WV_API_APPLY, 0},
		{"POST", "/api/v1/policy", -1, 0},
		{"GET", "/api/v1", -1, 0},
		{"GET", "", -1, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum wv_api_route route = WV_API_NONE;
		uint64_t number = 0;
		bool found = wv_web_api_route(cases[i].method, cases[i].path, &route, &number);

		assert_int_equal(found, cases[i].route >= 0);
		if (found) {
			assert_int_equal(route, cases[i].route);
			assert_true(number == cases[i].number);
		}
	}
}

static void web_bearer_takes_one_word_only(void **state)
{
	size_t n = 0;

	(void)state;
	assert_string_equal(wv_web_bearer("Bearer abc", &n), "abc");
	assert_int_equal(n, 3);
	assert_non_null(wv_web_bearer("bearer  abc ", &n));
	assert_int_equal(n, 3);
	assert_null(wv_web_bearer("Bearer", &n));
	assert_null(wv_web_bearer("Bearer ", &n));
	assert_null(wv_web_bearer("Bearer a b", &n));
	assert_null(wv_web_bearer("Bearerabc", &n));
	assert_null(wv_web_bearer("Basic abc", &n));
	assert_null(wv_web_bearer("", &n));
}

static void web_host_and_origin_of_others_are_told_apart(void **state)
{
	(void)state;
	assert_true(wv_web_host_is_literal("127.0.0.1:9850"));
	assert_true(wv_web_host_is_literal("localhost"));
	assert_true(wv_web_host_is_literal("LOCALHOST:1"));
	assert_true(wv_web_host_is_literal("[::1]:9850"));
	assert_false(wv_web_host_is_literal("evil.example:9850"));
	assert_false(wv_web_host_is_literal("localhost.evil.example"));
	assert_false(wv_web_host_is_literal("127.0.0.1.evil.example"));
	assert_false(wv_web_host_is_literal("[::1"));
	assert_false(wv_web_host_is_literal(""));
	assert_false(wv_web_host_is_literal(NULL));
	assert_true(wv_web_origin_is_own("https://node:9850", "node:9850"));
	assert_false(wv_web_origin_is_own("https://evil.example", "node:9850"));
	assert_false(wv_web_origin_is_own("null", "node:9850"));
	assert_false(wv_web_origin_is_own("https://", ""));
}

/* Verbs ---------------------------------------------------------------------------------------- */

static struct wv_api_ask an_ask(enum wv_api_route route, const char *key, const char *value)
{
	struct wv_api_ask ask = {.route = route, .body = -1, .n_params = key ? 1 : 0};

	if (key) {
		snprintf(ask.params[0].key, sizeof(ask.params[0].key), "%s", key);
		snprintf(ask.params[0].value, sizeof(ask.params[0].value), "%s", value);
	}
	return ask;
}

static void verbs_take_nothing_that_could_be_an_option_or_a_path(void **state)
{
	static const struct {
		enum wv_api_route route;
		const char *key, *value;
	} bad[] = {
		{WV_API_REPORT, "run", "--html"},
		{WV_API_REPORT, "run", "../../etc/passwd"},
		{WV_API_REPORT, "run", "."},
		{WV_API_REPORT, "format", "pdf"},
		{WV_API_EXPORT, "run", "-o/etc/passwd"},
		{WV_API_EXPORT, "since", "10m x"},
		{WV_API_EXPORT, "incident", "1;reboot"},
		{WV_API_ROLLBACK, "bundle", "--root=/x"},
		{WV_API_ROLLBACK, "bundle", ""},
		{WV_API_RECOVER, "cgroup", "--well"},
		{WV_API_RECOVER, "cgroup", "/a"},
		{WV_API_APPLY, "force", "1"},
		{WV_API_PROOF, NULL, NULL},
	};
	struct wv_api a = {.paths = NULL};
	struct wv_paths paths;
	const char *why;

	(void)state;
	assert_int_equal(wv_paths_init(&paths, "/r"), 0);
	a.paths = &paths;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct wv_api_ask ask = an_ask(bad[i].route, bad[i].key, bad[i].value);
		struct wv_api_verb v;

		assert_int_equal(wv_api_verb_of(&a, &ask, &v, &why), -EINVAL);
	}
}

static void verbs_put_operands_behind_the_end_of_options(void **state)
{
	struct wv_api_ask ask = an_ask(WV_API_RECOVER, "cgroup", "/batch.slice");
	struct wv_api a = {.paths = NULL};
	struct wv_api_verb v;
	struct wv_paths paths;
	const char *why;
	size_t n = 0, end = 0;

	(void)state;
	assert_int_equal(wv_paths_init(&paths, "/r"), 0);
	a.paths = &paths;
	ask.n_params = 2;
	snprintf(ask.params[1].key, sizeof(ask.params[1].key), "chain");
	snprintf(ask.params[1].value, sizeof(ask.params[1].value), "--step=kill");
	assert_int_equal(wv_api_verb_of(&a, &ask, &v, &why), 0);
	for (; v.argv[n]; n++)
		if (strcmp(v.argv[n], "--") == 0)
			end = n;
	assert_true(end > 0);
	assert_string_equal(v.argv[end + 1], "/batch.slice");
	assert_string_equal(v.argv[end + 2], "--step=kill");
	assert_string_equal(v.argv[end - 2], "--root");
	assert_string_equal(v.argv[end - 1], "/r");
	assert_int_equal(n, end + 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wire_request_comes_back_as_it_was),
		cmocka_unit_test(wire_request_cut_anywhere_is_none),
		cmocka_unit_test(wire_request_with_any_changed_byte_is_none_or_within_its_limits),
		cmocka_unit_test(wire_request_out_of_bounds_is_not_encoded),
		cmocka_unit_test(wire_answer_comes_back_and_cut_anywhere_is_none),
		cmocka_unit_test(wire_descriptors_beyond_two_or_of_a_long_message_are_closed),
		cmocka_unit_test(wire_body_that_is_not_sealed_or_no_memory_file_is_refused),
		cmocka_unit_test(peer_of_the_unix_socket_is_its_user),
		cmocka_unit_test(peer_that_is_no_connection_of_a_client_is_suspicious),
		cmocka_unit_test(peer_on_loopback_is_a_viewer_until_access_is_configured),
		cmocka_unit_test(peer_with_wrong_tokens_is_limited_and_a_right_one_never),
		cmocka_unit_test(web_path_gives_route_and_number),
		cmocka_unit_test(web_bearer_takes_one_word_only),
		cmocka_unit_test(web_host_and_origin_of_others_are_told_apart),
		cmocka_unit_test(verbs_take_nothing_that_could_be_an_option_or_a_path),
		cmocka_unit_test(verbs_put_operands_behind_the_end_of_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
