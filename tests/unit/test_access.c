// SPDX-License-Identifier: GPL-2.0-only
/* Roles and permissions, tokens, limits of failures, rows of `roles`, certificates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/access/certificate.h"
#include "user/access/limiter.h"
#include "user/access/tokens.h"
#include "user/core/cleanup.h"

/* Who may what, written down a second time: viewer, operator, admin, auditor. */
static const struct {
	const char *permission, *may;
} matrix[] = {
	{"whoami", "yyyy"},	     {"read-live", "yyyy"},	 {"read-policy", "yyyy"},
	{"read-runs", "yyyy"},	     {"read-events", "yyyy"},	 {"read-audit", "nnyy"},
	{"evidence-export", "nnyy"}, {"policy-dry-run", "nyyn"}, {"policy-apply", "nyyn"},
	{"bundle-rollback", "nyyn"}, {"recover", "nyyn"},	 {"bundle-install", "nnyn"},
	{"agent-run", "nnyn"},	     {"tokens", "nnyn"},
};

static void access_every_role_and_permission_is_as_the_matrix_says(void **state)
{
	(void)state;
	assert_int_equal(ARRAY_SIZE(matrix), WV_MAY_N);
	assert_int_equal(WV_USER_N, 4);
	for (int p = 0; p < WV_MAY_N; p++) {
		assert_string_equal(wv_permissions[p].name, matrix[p].permission);
		assert_false(wv_access_allows(0, (enum wv_permission)p));
		for (int r = 0; r < WV_USER_N; r++)
			assert_int_equal(wv_access_allows(1U << r, (enum wv_permission)p),
					 matrix[p].may[r] == 'y');
	}
	/* every set of roles may what one of them may */
	for (unsigned set = 0; set < 1U << WV_USER_N; set++)
		for (int p = 0; p < WV_MAY_N; p++) {
			bool any = false;

			for (int r = 0; r < WV_USER_N; r++)
				any |= (set & 1U << r) && matrix[p].may[r] == 'y';
			assert_int_equal(wv_access_allows(set, (enum wv_permission)p), any);
		}
	assert_false(wv_access_allows(~0U, WV_MAY_N));
}

static void access_what_changes_something_is_recorded_each_time(void **state)
{
	(void)state;
	for (int i = 0; i < WV_API_N; i++) {
		bool post = strcmp(wv_api_routes[i].method, "POST") == 0;

		assert_int_equal(wv_permissions[wv_api_routes[i].permission].each, post);
		assert_true(wv_api_routes[i].seconds > 0);
		assert_int_equal(strncmp(wv_api_routes[i].path, "/api/v1/", 8), 0);
	}
	/* a viewer changes nothing, and an auditor nothing but by exporting */
	for (int p = 0; p < WV_MAY_N; p++)
		if (wv_permissions[p].each) {
			assert_false(wv_access_allows(1U << WV_USER_VIEWER, (enum wv_permission)p));
			if (p != WV_MAY_EVIDENCE_EXPORT)
				assert_false(wv_access_allows(1U << WV_USER_AUDITOR,
							      (enum wv_permission)p));
		}
}

static void access_verbs_are_found_with_their_sub_verb(void **state)
{
	(void)state;
	assert_null(wv_guarded_verb_find("policy", "check"));
	assert_null(wv_guarded_verb_find("policy", NULL));
	assert_int_equal(wv_guarded_verb_find("policy", "apply")->permission, WV_MAY_POLICY_APPLY);
	assert_int_equal(wv_guarded_verb_find("report", "latest")->permission, WV_MAY_READ_RUNS);
	assert_int_equal(wv_guarded_verb_find("detach", NULL)->route, WV_API_NONE);
}

static void access_roles_have_names_and_back(void **state)
{
	char buf[WV_ROLES_TEXT];
	enum wv_user_role r = WV_USER_N;

	(void)state;
	for (int i = 0; i < WV_USER_N; i++) {
		assert_int_equal(wv_user_role_parse(wv_user_role_names[i], &r), 0);
		assert_int_equal(r, i);
	}
	assert_int_equal(wv_user_role_parse("root", &r), -EINVAL);
	assert_string_equal(wv_roles_text(0, buf), "");
	assert_string_equal(wv_roles_text(0xf, buf), "viewer,operator,admin,auditor");
	assert_true(wv_access_is_audit("access-denied", 13));
	assert_true(wv_access_is_audit("token-created", 13));
	assert_false(wv_access_is_audit("access-", 7));
	assert_false(wv_access_is_audit("decision", 8));
}

/* Tokens --------------------------------------------------------------------------------------- */

static uint64_t wall_s;
static uint64_t fake_wall(void *ctx)
{
	(void)ctx;
	return wall_s * 1000000000ULL;
}

struct place {
	struct wv_paths paths;
	struct wv_io io;
	char dir[64];
};

static void make(struct place *p)
{
	snprintf(p->dir, sizeof(p->dir), "/tmp/wv-access-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(wv_paths_init(&p->paths, p->dir), 0);
	p->io = wv_io_system;
	p->io.wall_ns = fake_wall;
	wall_s = 1000000;
}

static void unmake(struct place *p)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", p->dir);
	assert_int_equal(system(command), 0);
}

static struct wv_token spec(const char *name, enum wv_user_role role, uint64_t expires_s)
{
	struct wv_token t = {.role = role, .expires_s = expires_s, .by = "uid:0"};

	snprintf(t.name, sizeof(t.name), "%s", name);
	return t;
}

static int count_announced(void *ctx, const struct wv_token *t)
{
	assert_true(t->created_s > 0);
	++*(int *)ctx;
	return 0;
}

static void token_created_found_expired_and_revoked(void **state)
{
	struct wv_token t = spec("ci", WV_USER_OPERATOR, 1000100), gone;
	char text[WV_TOKEN_TEXT_SIZE];
	const struct wv_token *found;
	struct wv_tokens all;
	struct place p;
	const char *why;
	int announced = 0;

	(void)state;
	make(&p);
	assert_int_equal(wv_token_create(&p.io, &p.paths, &t, text, count_announced, &announced),
			 0);
	assert_int_equal(announced, 1);
	assert_int_equal(strlen(text), WV_TOKEN_TEXT_SIZE - 1);
	assert_int_equal(wv_tokens_load(&p.io, &p.paths, &all), 0);
	found = wv_tokens_find(&all, text, strlen(text), 1000099, &why);
	assert_non_null(found);
	assert_string_equal(found->name, "ci");
	assert_int_equal(found->role, WV_USER_OPERATOR);
	assert_null(wv_tokens_find(&all, text, strlen(text), 1000100, &why));
	assert_string_equal(why, "expired");
	wv_tokens_done(&all);

	assert_int_equal(wv_token_revoke(&p.io, &p.paths, "nobody", &gone), -ENOENT);
	assert_int_equal(wv_token_revoke(&p.io, &p.paths, "ci", &gone), 0);
	assert_string_equal(gone.id, t.id);
	assert_int_equal(wv_tokens_load(&p.io, &p.paths, &all), 0);
	assert_null(wv_tokens_find(&all, text, strlen(text), 1000001, &why));
	assert_string_equal(why, "unknown");
	wv_tokens_done(&all);
	unmake(&p);
}

static void token_secret_is_not_in_its_file_and_the_file_is_private(void **state)
{
	struct wv_token t = spec("ci", WV_USER_VIEWER, 0);
	_cleanup_free_ char *content = NULL;
	char text[WV_TOKEN_TEXT_SIZE], path[WV_PATH_SIZE + 32];
	struct place p;
	struct stat st;
	size_t len;
	int dir;

	(void)state;
	make(&p);
	assert_int_equal(wv_token_create(&p.io, &p.paths, &t, text, NULL, NULL), 0);
	snprintf(path, sizeof(path), "%s/access", p.paths.state);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	dir = open(path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(fstatat(dir, "tokens", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(wv_io_read_file(&wv_io_system, dir, "tokens", 1 << 20, &content, &len), 0);
	assert_null(strstr(content, text + 4 + WV_TOKEN_ID + 1));
	assert_non_null(strstr(content, t.id));
	close(dir);
	unmake(&p);
}

static int refuse_it(void *ctx, const struct wv_token *t)
{
	(void)ctx;
	(void)t;
	return -ENOSPC;
}

static void token_that_cannot_be_announced_is_not_valid(void **state)
{
	struct wv_token t = spec("ci", WV_USER_ADMIN, 0);
	char text[WV_TOKEN_TEXT_SIZE];
	struct wv_tokens all;
	struct place p;

	(void)state;
	make(&p);
	assert_int_equal(wv_token_create(&p.io, &p.paths, &t, text, refuse_it, NULL), -ENOSPC);
	assert_int_equal(text[0], '\0');
	assert_int_equal(wv_tokens_load(&p.io, &p.paths, &all), 0);
	assert_int_equal(all.n, 0);
	unmake(&p);
}

static void token_names_are_unique_until_the_old_one_is_over(void **state)
{
	struct wv_token t = spec("ci", WV_USER_ADMIN, 1000050);
	char text[WV_TOKEN_TEXT_SIZE];
	struct wv_tokens all;
	struct place p;

	(void)state;
	make(&p);
	assert_int_equal(wv_token_create(&p.io, &p.paths, &t, text, NULL, NULL), 0);
	assert_int_equal(wv_token_create(&p.io, &p.paths, &t, text, NULL, NULL), -EEXIST);
	wall_s = 1000050;
	t.expires_s = 0;
	assert_int_equal(wv_token_create(&p.io, &p.paths, &t, text, NULL, NULL), 0);
	assert_int_equal(wv_tokens_load(&p.io, &p.paths, &all), 0);
	assert_int_equal(all.n, 1);
	wv_tokens_done(&all);
	assert_false(wv_token_name_ok(""));
	assert_false(wv_token_name_ok("a b"));
	assert_false(wv_token_name_ok("0123456789ab"));
	assert_true(wv_token_name_ok("0123456789abc"));
	unmake(&p);
}

static void token_with_any_changed_byte_is_none(void **state)
{
	struct wv_token t = spec("ci", WV_USER_VIEWER, 0);
	char text[WV_TOKEN_TEXT_SIZE], other[WV_TOKEN_TEXT_SIZE];
	struct wv_tokens all;
	struct place p;
	const char *why;

	(void)state;
	make(&p);
	assert_int_equal(wv_token_create(&p.io, &p.paths, &t, text, NULL, NULL), 0);
	assert_int_equal(wv_tokens_load(&p.io, &p.paths, &all), 0);
	for (size_t i = 0; i < strlen(text); i++)
		for (int bit = 0; bit < 8; bit++) {
			memcpy(other, text, sizeof(other));
			other[i] = (char)(other[i] ^ 1 << bit);
			assert_null(wv_tokens_find(&all, other, strlen(text), 1, &why));
		}
	for (size_t n = 0; n < strlen(text); n++)
		assert_null(wv_tokens_find(&all, text, n, 1, &why));
	wv_tokens_done(&all);
	unmake(&p);
}

static void tokens_file_that_is_damaged_counts_for_nothing(void **state)
{
	static const char good[] =
		"{\"schema_version\":1,\"tokens\":[{\"id\":\"0123456789ab\",\"name\":\"x\","
		"\"role\":\"viewer\",\"sha256\":\"00000000000000000000000000000000000000000000000"
		"00000000000000000\",\"created_s\":1,\"expires_s\":0,\"by\":\"uid:0\"}]}";
	struct wv_tokens all = {0};
	char text[sizeof(good)];

	(void)state;
	assert_int_equal(wv_tokens_parse(good, strlen(good), &all), 0);
	assert_int_equal(all.n, 1);
	wv_tokens_done(&all);
	for (size_t n = 0; n < strlen(good); n++)
		assert_int_equal(wv_tokens_parse(good, n, &all), -EPROTO);
	memcpy(text, good, sizeof(text));
	memcpy(strstr(text, "viewer"), "owners", 6);
	assert_int_equal(wv_tokens_parse(text, strlen(text), &all), -EPROTO);
	memcpy(text, good, sizeof(text));
	memcpy(strstr(text, "0123456789ab"), "0123456789aB", 12);
	assert_int_equal(wv_tokens_parse(text, strlen(text), &all), -EPROTO);
}

/* Limits --------------------------------------------------------------------------------------- */

static void limiter_refuses_after_the_burst_and_lets_go_with_time(void **state)
{
	struct wv_limiter *l = calloc(1, sizeof(*l));
	uint64_t now = 1000000000000ULL;
	unsigned wait;

	(void)state;
	for (int i = 0; i < WV_LIMITER_BURST; i++)
		assert_int_equal(wv_limiter_fail(l, "192.0.2.1", now), 0);
	wait = wv_limiter_fail(l, "192.0.2.1", now);
	assert_true(wait > 0 && wait <= WV_LIMITER_REFILL_NS / 1000000000);
	assert_int_equal(wv_limiter_fail(l, "192.0.2.2", now), 0);
	now += WV_LIMITER_REFILL_NS;
	assert_int_equal(wv_limiter_fail(l, "192.0.2.1", now), 0);
	assert_true(wv_limiter_fail(l, "192.0.2.1", now) > 0);
	assert_int_equal(l->limited, 2);
	now += WV_LIMITER_BURST * WV_LIMITER_REFILL_NS;
	for (int i = 0; i < WV_LIMITER_BURST; i++)
		assert_int_equal(wv_limiter_fail(l, "192.0.2.1", now), 0);
	assert_true(wv_limiter_fail(l, "192.0.2.1", now) > 0);
	free(l);
}

static void limiter_full_of_peers_keeps_the_worst(void **state)
{
	struct wv_limiter *l = calloc(1, sizeof(*l));
	uint64_t now = 1000000000000ULL;
	char peer[32];

	(void)state;
	for (int i = 0; i <= WV_LIMITER_BURST; i++)
		(void)wv_limiter_fail(l, "192.0.2.1", now);
	for (int i = 0; i < 3 * WV_LIMITER_PEERS; i++) {
		snprintf(peer, sizeof(peer), "198.51.100.%d", i);
		assert_int_equal(wv_limiter_fail(l, peer, now), 0);
	}
	assert_true(wv_limiter_fail(l, "192.0.2.1", now) > 0);
	free(l);
}

/* Rows of roles -------------------------------------------------------------------------------- */

static int load(struct wv_config *c, const char *text, struct wv_config_error *error)
{
	assert_int_equal(wv_config_init(c), 0);
	return wv_config_load_memory(c, "f.yaml", text, strlen(text), error);
}

static void roles_rows_name_users_groups_and_certificates(void **state)
{
	static const char text[] = "roles:\n"
				   "- {user: '4001', role: viewer}\n"
				   "- {group: '4100', role: operator}\n"
				   "- {name: both, user: '4002', group: '4100', role: auditor}\n"
				   "- {user: no-such-user-here, role: admin}\n"
				   "- {certificate: 'DNS:grafana.example', role: viewer}\n";
	const gid_t ops[] = {7, 4100}, others[] = {7};
	struct wv_config_error error;
	struct wv_role_ids ids;
	struct wv_config c;

	(void)state;
	assert_int_equal(load(&c, text, &error), 0);
	assert_int_equal(c.n_roles, 5);
	assert_string_equal(c.roles[0].name, "user:4001");
	assert_int_equal(wv_role_ids_resolve(&c, &ids), 0);
	assert_int_equal(wv_roles_of_user(&c, &ids, 4001, others, 1), 1U << WV_USER_VIEWER);
	assert_int_equal(wv_roles_of_user(&c, &ids, 4001, ops, 2),
			 1U << WV_USER_VIEWER | 1U << WV_USER_OPERATOR | 1U << WV_USER_AUDITOR);
	assert_int_equal(wv_roles_of_user(&c, &ids, 4009, others, 1), 0);
	assert_int_equal(wv_roles_of_user(&c, &ids, 0, others, 1), 1U << WV_USER_ADMIN);
	/* a name that is not there must not match an id that is not there */
	assert_int_equal(wv_roles_of_user(&c, &ids, (uid_t)-1, NULL, 0), 0);
	assert_int_equal(wv_roles_of_certificate(&c, "DNS:grafana.example"), 1U << WV_USER_VIEWER);
	assert_int_equal(wv_roles_of_certificate(&c, "CN:grafana.example"), 0);
	assert_int_equal(wv_roles_of_certificate(&c, ""), 0);
	wv_role_ids_done(&ids);
	wv_config_done(&c);
}

static void roles_row_without_a_subject_or_role_is_refused(void **state)
{
	static const char *const bad[] = {
		"roles: [{role: viewer}]\n",
		"roles: [{user: alice}]\n",
		"roles: [{user: alice, role: owner}]\n",
		"roles: [{certificate: grafana, role: viewer}]\n",
		"roles: [{certificate: 'DNS:', role: viewer}]\n",
	};
	struct wv_config_error error;
	struct wv_config c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(load(&c, bad[i], &error), -EINVAL);
		assert_non_null(strstr(error.text, "f.yaml:1:"));
		wv_config_done(&c);
	}
}

/* Addresses ------------------------------------------------------------------------------------ */

static void listening_elsewhere_without_tls_is_refused(void **state)
{
	static const struct {
		const char *listen;
		bool plain;
		int result;
	} cases[] = {
		{"", false, 0},
		{"127.0.0.1:9850", false, 0},
		{"127.9.9.9:9850", false, 0},
		{"[::1]:9850", false, 0},
		{"0.0.0.0:9850", false, -EINVAL},
		{"[::]:9850", false, -EINVAL},
		{"192.0.2.1:9850", false, -EINVAL},
		{"[2001:db8::1]:9850", false, -EINVAL},
		{"localhost:9850", false, -EINVAL},
		{"0.0.0.0:9850", true, 0},
	};
	struct wv_config c;
	char why[512];

	(void)state;
	assert_int_equal(wv_config_init(&c), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(c.metrics_listen, sizeof(c.metrics_listen), "%s", cases[i].listen);
		c.access_plain_metrics = cases[i].plain;
		why[0] = '\0';
		assert_int_equal(wv_access_check(&c, why, sizeof(why)), cases[i].result);
		if (cases[i].result < 0)
			assert_non_null(strstr(why, "access.tls_cert"));
	}
	c.access_plain_metrics = false;
	snprintf(c.access_tls_cert, sizeof(c.access_tls_cert), "/nowhere.pem");
	assert_int_equal(wv_access_check(&c, why, sizeof(why)), -EINVAL);
	snprintf(c.access_tls_key, sizeof(c.access_tls_key), "/nowhere.key");
	assert_int_equal(wv_access_check(&c, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "/nowhere.pem"));
	wv_config_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(access_every_role_and_permission_is_as_the_matrix_says),
		cmocka_unit_test(access_what_changes_something_is_recorded_each_time),
		cmocka_unit_test(access_verbs_are_found_with_their_sub_verb),
		cmocka_unit_test(access_roles_have_names_and_back),
		cmocka_unit_test(token_created_found_expired_and_revoked),
		cmocka_unit_test(token_secret_is_not_in_its_file_and_the_file_is_private),
		cmocka_unit_test(token_that_cannot_be_announced_is_not_valid),
		cmocka_unit_test(token_names_are_unique_until_the_old_one_is_over),
		cmocka_unit_test(token_with_any_changed_byte_is_none),
		cmocka_unit_test(tokens_file_that_is_damaged_counts_for_nothing),
		cmocka_unit_test(limiter_refuses_after_the_burst_and_lets_go_with_time),
		cmocka_unit_test(limiter_full_of_peers_keeps_the_worst),
		cmocka_unit_test(roles_rows_name_users_groups_and_certificates),
		cmocka_unit_test(roles_row_without_a_subject_or_role_is_refused),
		cmocka_unit_test(listening_elsewhere_without_tls_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
