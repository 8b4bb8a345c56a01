// SPDX-License-Identifier: GPL-2.0-only
/* token: tokens of the API. The secret is printed once, on standard output, and kept nowhere. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/access/tokens.h"
#include "user/cmd/cmd.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/event.h"

#define EXPIRES_DEFAULT_NS (90ULL * 86400 * 1000000000)

struct arguments {
	struct wv_token token;
	const char *name;
	uint64_t expires_ns; /* 0: never */
	bool has_role;
};

/* What `record` needs beside the token. */
struct origin {
	const struct wv_paths *paths;
};

static int failed(const char *verb, const struct wv_paths *paths, int error)
{
	if (error == -EPROTO)
		fprintf(stderr,
			"waveos-bpf %s: %s/" WV_ACCESS_FOLDER "/" WV_TOKENS_NAME
			" is not what this program writes; no token counts. Move it away and "
			"create the tokens anew\n",
			verb, paths->state);
	else if (error == -EACCES || error == -EPERM)
		fprintf(stderr,
			"waveos-bpf %s: may not use %s/" WV_ACCESS_FOLDER
			": tokens are the administrator's; run it as root\n",
			verb, paths->state);
	else
		fprintf(stderr, "waveos-bpf %s: %s\n", verb, strerror(-error));
	return error == -EACCES || error == -EPERM ? WV_EXIT_DENIED : WV_EXIT_INTERNAL;
}

static int record(const struct wv_paths *paths, const char *type, const struct wv_token *t,
		  const char *by)
{
	struct json_object *o = json_object_new_object();

	wv_json_str(o, "token_id", t->id);
	wv_json_str(o, "name", t->name);
	wv_json_str(o, "role", wv_user_role_names[t->role]);
	if (strcmp(type, "token-created") == 0)
		wv_json_u64(o, "expires_wall_ns", t->expires_s * 1000000000ULL);
	wv_json_str(o, "by", by);
	return wv_event_device(&wv_io_system, paths, "", type, o);
}

static int announce(void *ctx, const struct wv_token *t)
{
	const struct origin *o = ctx;

	return record(o->paths, "token-created", t, t->by);
}

static const char *when(uint64_t s, char buf[32])
{
	time_t t = (time_t)s;
	struct tm tm;

	if (!s)
		return "never";
	gmtime_r(&t, &tm);
	strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf;
}

static struct json_object *token_json(const struct wv_token *t)
{
	struct json_object *o = json_object_new_object();

	wv_json_str(o, "id", t->id);
	wv_json_str(o, "name", t->name);
	wv_json_str(o, "role", wv_user_role_names[t->role]);
	wv_json_u64(o, "created_s", t->created_s);
	wv_json_u64(o, "expires_s", t->expires_s);
	wv_json_str(o, "by", t->by);
	return o;
}

/* create --------------------------------------------------------------------------------------- */

static const struct wv_option create_options[] = {
	{"name", 'n', "NAME", "who or what uses it, unique"},
	{"role", 'r', "ROLE", "viewer, operator, admin or auditor"},
	{"expires", 'e', "TIME", "how long it is valid: 12h, 90d (the default), or never"},
	{0},
};

static int set_create(void *ctx, const struct wv_option *o, const char *value)
{
	struct arguments *a = ctx;

	if (o == &create_options[0]) {
		if (!wv_token_name_ok(value)) {
			fprintf(stderr, "waveos-bpf token create: --name: expected letters, "
					"digits, '-', '_' and '.', at most 63\n");
			return WV_EXIT_USAGE;
		}
		snprintf(a->token.name, sizeof(a->token.name), "%s", value);
	} else if (o == &create_options[1]) {
		if (wv_user_role_parse(value, &a->token.role) < 0) {
			fprintf(stderr, "waveos-bpf token create: --role: expected viewer, "
					"operator, admin or auditor\n");
			return WV_EXIT_USAGE;
		}
		a->has_role = true;
	} else if (strcmp(value, "never") == 0) {
		a->expires_ns = 0;
	} else if (wv_parse_duration(value, &a->expires_ns) < 0 || a->expires_ns < 1000000000) {
		fprintf(stderr, "waveos-bpf token create: --expires: expected a time such as 12h "
				"or 90d, or never\n");
		return WV_EXIT_USAGE;
	}
	return 0;
}

static void print_created(const struct wv_cli *cli, const struct wv_token *t, const char *text)
{
	char buf[32];

	if (cli->json) {
		struct json_object *o = token_json(t);

		json_object_object_add(o, "schema_version", json_object_new_int(1));
		wv_json_str(o, "token", text);
		wv_json_print(o);
		json_object_put(o);
		return;
	}
	printf("%s\n", text);
	fprintf(stderr, "token %s (%s), role %s, expires %s. It is not shown again.\n", t->id,
		t->name, wv_user_role_names[t->role], when(t->expires_s, buf));
}

static int create(struct wv_cli *cli, int argc, char **argv)
{
	struct arguments a = {.expires_ns = EXPIRES_DEFAULT_NS};
	struct origin origin = {.paths = &cli->paths};
	char text[WV_TOKEN_TEXT_SIZE] = "";
	int r = wv_cli_parse(cli, argc, argv,
			     "token create --name NAME --role ROLE [--expires TIME]",
			     "  waveos-bpf token create --name prometheus --role viewer >token\n"
			     "  waveos-bpf token create --name ci --role operator --expires 12h\n",
			     create_options, set_create, &a);

	if (r < 0)
		return -r;
	if (argc != r || !a.token.name[0] || !a.has_role) {
		fprintf(stderr, "waveos-bpf token create: wants --name and --role\n");
		return WV_EXIT_USAGE;
	}
	snprintf(a.token.by, sizeof(a.token.by), "uid:%u", getuid());
	if (a.expires_ns)
		a.token.expires_s = (wv_view_wall_ns() + a.expires_ns) / 1000000000ULL;
	r = wv_token_create(&wv_io_system, &cli->paths, &a.token, text, announce, &origin);
	if (r == -EEXIST || r == -ENOSPC) {
		fprintf(stderr, "waveos-bpf token create: %s\n",
			r == -EEXIST ? "there is a token of that name; `token revoke` ends it"
				     : "there are too many tokens; `token list` shows them");
		return WV_EXIT_FINDING;
	}
	if (r < 0)
		return failed("token create", &cli->paths, r);
	print_created(cli, &a.token, text);
	OPENSSL_cleanse(text, sizeof(text));
	return WV_EXIT_OK;
}

/* list ----------------------------------------------------------------------------------------- */

static int no_option(void *ctx _unused_, const struct wv_option *o _unused_,
		     const char *value _unused_)
{
	return WV_EXIT_USAGE;
}

static int list(struct wv_cli *cli, int argc, char **argv)
{
	struct json_object *o, *rows;
	struct wv_tokens t = {0};
	char buf[32];
	int r = wv_cli_parse(cli, argc, argv, "token list [--json]", "  waveos-bpf token list\n",
			     NULL, no_option, NULL);

	if (r < 0)
		return -r;
	r = wv_tokens_load(&wv_io_system, &cli->paths, &t);
	if (r < 0)
		return failed("token list", &cli->paths, r);
	if (cli->json) {
		o = json_object_new_object();
		rows = json_object_new_array();
		for (size_t i = 0; i < t.n; i++)
			json_object_array_add(rows, token_json(&t.list[i]));
		json_object_object_add(o, "schema_version", json_object_new_int(1));
		json_object_object_add(o, "tokens", rows);
		wv_json_print(o);
		json_object_put(o);
	} else {
		for (size_t i = 0; i < t.n; i++)
			printf("%s  %-24s %-9s expires %-20s made by %s\n", t.list[i].id,
			       t.list[i].name, wv_user_role_names[t.list[i].role],
			       when(t.list[i].expires_s, buf), t.list[i].by);
		if (!t.n)
			printf("no tokens\n");
	}
	wv_tokens_done(&t);
	return WV_EXIT_OK;
}

/* revoke --------------------------------------------------------------------------------------- */

static int end_token(struct wv_cli *cli, int argc, char **argv)
{
	struct wv_token t;
	char by[32];
	int r = wv_cli_parse(cli, argc, argv, "token revoke NAME|ID",
			     "  waveos-bpf token revoke ci\n", NULL, no_option, NULL);

	if (r < 0)
		return -r;
	if (argc != r + 1) {
		fprintf(stderr, "waveos-bpf token revoke: wants a name or an id\n");
		return WV_EXIT_USAGE;
	}
	/* first the file, then the record: a full disk must not keep a token alive */
	r = wv_token_revoke(&wv_io_system, &cli->paths, argv[r], &t);
	if (r == -ENOENT) {
		fprintf(stderr, "waveos-bpf token revoke: there is no such token; `token list` "
				"shows all\n");
		return WV_EXIT_FINDING;
	}
	if (r < 0)
		return failed("token revoke", &cli->paths, r);
	snprintf(by, sizeof(by), "uid:%u", getuid());
	r = record(&cli->paths, "token-revoked", &t, by);
	if (r < 0) {
		fprintf(stderr, "waveos-bpf token revoke: %s is revoked, but not recorded: %s\n",
			t.name, strerror(-r));
		return WV_EXIT_INTERNAL;
	}
	printf("revoked: %s (%s)\n", t.id, t.name);
	return WV_EXIT_OK;
}

static const struct wv_subverb subverbs[] = {
	{"create", "a new token, printed once", create},
	{"list", "tokens, without their secrets", list},
	{"revoke", "ends a token, at once", end_token},
	{0},
};

int wv_cmd_token(struct wv_cli *cli, int argc, char **argv)
{
	return wv_cli_dispatch("token", subverbs,
			       "  waveos-bpf token create --name prometheus --role viewer >token\n"
			       "  waveos-bpf token revoke prometheus\n",
			       cli, argc, argv);
}
