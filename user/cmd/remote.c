// SPDX-License-Identifier: GPL-2.0-only
/*
 * Verbs over <runtime>/api.sock, for members of a role who may not read the agent's files. Options
 * of the verb become parameters of the route; what the API has no parameter for is left to the verb
 * itself, which then says what right is missing.
 */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "user/api/api.h"
#include "user/cmd/audit_print.h"
#include "user/cmd/guard.h"
#include "user/cmd/remote_http.h"
#include "user/core/cleanup.h"

#define URL_MAX 8192

struct call {
	const struct wv_guarded_verb *g;
	struct wv_remote *http;
	char url[URL_MAX];
	enum wv_api_route route;
	const char *output; /* file, NULL: standard output */
	const char *upload; /* file that is the body */
	char name[48];	    /* of the verb, for messages */
	bool json, tail;
};

static void json_release(struct json_object **o)
{
	json_object_put(*o);
}

static void param(struct call *c, const char *key, const char *value)
{
	size_t n = strlen(c->url);
	char *escaped = wv_remote_escape(c->http, value);

	snprintf(c->url + n, sizeof(c->url) - n, "%s%s=%s", strchr(c->url, '?') ? "&" : "?", key,
		 escaped ?: "");
	wv_remote_free(c->http, escaped);
}

/* Options of all verbs that are served: what they are called in the API; "" are handled by name. */
enum { WITH = 1, WITHOUT = 0 };
static const struct {
	enum wv_api_route route;
	const char *option;
	int argument;
	char letter;
	const char *key, *value; /* value: where the option takes none */
} rows[] = {
	{WV_API_REPORT, "html", WITH, 0, "output", NULL},
	{WV_API_REPORT, "markdown", WITH, 'm', "output", NULL},
	{WV_API_EXPORT, "run", WITH, 0, "run", NULL},
	{WV_API_EXPORT, "from", WITH, 0, "from", NULL},
	{WV_API_EXPORT, "to", WITH, 0, "to", NULL},
	{WV_API_EXPORT, "incident", WITH, 0, "incident", NULL},
	{WV_API_EXPORT, "since", WITH, 0, "since", NULL},
	{WV_API_EXPORT, "profile", WITH, 0, "profile", NULL},
	{WV_API_EXPORT, "output", WITH, 'o', "output", NULL},
	{WV_API_PROOF, "output", WITH, 'o', "output", NULL},
	{WV_API_APPLY, "dry-run", WITHOUT, 'n', "dry_run", "1"},
	{WV_API_APPLY, "force", WITHOUT, 'f', "force", "1"},
	{WV_API_ROLLBACK, "to-nothing", WITHOUT, 0, "to_nothing", "1"},
	{WV_API_RECOVER, "step", WITH, 's', "step", NULL},
	{WV_API_RECOVER, "well", WITHOUT, 'w', "well", "1"},
	{WV_API_EVENTS, "limit", WITH, 'n', "limit", NULL},
	{WV_API_EVENTS, "type", WITH, 't', "type", NULL},
	{WV_API_N, "json", WITHOUT, 0, "json", "1"},
	{WV_API_N, "root", WITH, 0, "root", NULL},
};

static void take_option(struct call *c, size_t row, const char *value)
{
	const char *key = rows[row].key;

	if (strcmp(key, "output") == 0) {
		c->output = value;
		if (c->route == WV_API_REPORT)
			param(c, "format", rows[row].letter == 'm' ? "markdown" : "html");
	} else if (strcmp(key, "dry_run") == 0) {
		/* another route: the body and the other parameters are the same */
		c->route = WV_API_DRY_RUN;
	} else if (strcmp(key, "json") == 0) {
		c->json = true;
	} else if (strcmp(key, "root") != 0) {
		param(c, key, value ?: rows[row].value);
	}
}

/* Index of the first operand, or -EOPNOTSUPP: an option that the API does not know. */
static int take_options(struct call *c, int argc, char **argv)
{
	struct option longs[ARRAY_SIZE(rows) + 1] = {{NULL, 0, NULL, 0}};
	char letters[2 * ARRAY_SIZE(rows) + 1] = "";
	size_t n = 0;
	int v;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].route != c->route && rows[i].route != WV_API_N)
			continue;
		longs[n++] = (struct option){rows[i].option, rows[i].argument, NULL, 256 + (int)i};
		if (rows[i].letter)
			sprintf(letters + strlen(letters), "%c%s", rows[i].letter,
				rows[i].argument ? ":" : "");
	}
	optind = 0;
	opterr = 0;
	while ((v = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		size_t row = v >= 256 ? (size_t)v - 256 : 0;

		if (v == '?' || v == ':')
			return -EOPNOTSUPP;
		while (v < 256 && (rows[row].letter != v || rows[row].route != c->g->route))
			row++;
		take_option(c, row, optarg);
	}
	return optind;
}

static int take_operands(struct call *c, int n, char **operands)
{
	static const struct {
		enum wv_api_route route;
		const char *first, *second; /* keys of the operands */
	} wanted[] = {{WV_API_REPORT, "run", NULL},
		      {WV_API_ROLLBACK, "bundle", NULL},
		      {WV_API_RECOVER, "cgroup", "chain"}};

	if (c->route == WV_API_PROOF && n == 1) {
		snprintf(c->url + strlen(c->url), 64, "%.20s/proof", operands[0]);
		return 0;
	}
	if ((c->route == WV_API_APPLY || c->route == WV_API_DRY_RUN) && n == 1) {
		c->upload = operands[0];
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (wanted[i].route != c->route || n < 1 || n > 1 + !!wanted[i].second)
			continue;
		param(c, wanted[i].first, operands[0]);
		if (n > 1)
			param(c, wanted[i].second, operands[1]);
		return 0;
	}
	return n ? -EOPNOTSUPP : 0;
}

/* Answers ------------------------------------------------------------------------------------- */

static const char *text_at(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) ?: "" : "";
}

static int exit_of_status(long status)
{
	return status == 401 || status == 403	? WV_EXIT_DENIED
	       : status == 400			? WV_EXIT_USAGE
	       : status == 404 || status == 422 ? WV_EXIT_FINDING
						: WV_EXIT_INTERNAL;
}

static int say_error(const struct call *c, const struct wv_remote_answer *a)
{
	_cleanup_(json_release) struct json_object *o = json_tokener_parse(a->data ?: "");
	struct json_object *error, *code;

	if (json_object_object_get_ex(o, "exit_code", &code)) {
		fputs(text_at(o, "stdout"), stdout);
		fputs(text_at(o, "stderr"), stderr);
		return json_object_get_int(code);
	}
	if (json_object_object_get_ex(o, "error", &error))
		fprintf(stderr, "waveos-bpf %s: %s\n", c->name, text_at(error, "message"));
	else
		fprintf(stderr, "waveos-bpf %s: the agent answered %ld\n", c->name, a->status);
	return exit_of_status(a->status);
}

static int write_file(const struct call *c, const struct wv_remote_answer *a)
{
	_cleanup_fclose_ FILE *f = fopen(c->output, "we");

	if (f && fwrite(a->data, 1, a->len, f) == a->len && fflush(f) == 0)
		return WV_EXIT_OK;
	fprintf(stderr, "waveos-bpf %s: %s: %s\n", c->name, c->output, strerror(errno));
	return errno == EACCES ? WV_EXIT_DENIED : WV_EXIT_INTERNAL;
}

static void print_events(const struct call *c, const struct wv_remote_answer *a)
{
	_cleanup_(json_release) struct json_object *o = json_tokener_parse(a->data);
	struct json_object *list;

	if (!json_object_object_get_ex(o, "events", &list))
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++)
		wv_audit_print(json_object_to_json_string_ext(
				       json_object_array_get_idx(list, i),
				       JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			       c->json || strcmp(c->g->verb, "audit") != 0);
}

static int show(const struct call *c, const struct wv_remote_answer *a)
{
	_cleanup_(json_release) struct json_object *o = NULL;
	struct json_object *code;

	if (a->status >= 400)
		return say_error(c, a);
	if (c->output)
		return write_file(c, a);
	if (c->route == WV_API_EVENTS) {
		print_events(c, a);
		return WV_EXIT_OK;
	}
	if (a->is_json)
		o = json_tokener_parse(a->data ?: "");
	if (json_object_object_get_ex(o, "exit_code", &code)) {
		fputs(text_at(o, "stdout"), stdout);
		fputs(text_at(o, "stderr"), stderr);
		return json_object_get_int(code);
	}
	if (fwrite(a->data ?: "", 1, a->len, stdout) != a->len)
		return WV_EXIT_INTERNAL;
	return WV_EXIT_OK;
}

static int prepare(struct call *c, int argc, char **argv)
{
	const char *path = wv_api_routes[c->route].path;
	int at;

	snprintf(c->url, sizeof(c->url), "http://localhost%s", path);
	at = take_options(c, argc, argv);
	if (at >= 0 && c->route == WV_API_DRY_RUN) {
		char query[URL_MAX / 2];

		snprintf(query, sizeof(query), "%s", strchr(c->url, '?') ?: "");
		snprintf(c->url, sizeof(c->url), "http://localhost%s%s",
			 wv_api_routes[c->route].path, query);
	}
	if (at >= 0 && c->route == WV_API_REPORT && !c->output)
		param(c, "format", c->json ? "json" : "markdown");
	if (at >= 0 && c->route == WV_API_STATUS && !c->json)
		param(c, "format", "text");
	if (at >= 0 && strcmp(c->g->verb, "audit") == 0)
		param(c, "type", "access-*,token-*");
	return at < 0 ? at : take_operands(c, argc - at, argv + at);
}

int wv_remote_verb(const struct wv_paths *paths, const struct wv_guarded_verb *g, int argc,
		   char **argv)
{
	struct call c = {.g = g, .route = g->route};
	struct wv_remote_answer a = {.data = NULL};
	char socket[WV_PATH_SIZE + 16];
	int r;

	snprintf(c.name, sizeof(c.name), "%s%s%s", g->verb, g->sub[0] ? " " : "", g->sub);
	snprintf(socket, sizeof(socket), "%s/" WV_API_SOCKET, paths->runtime);
	r = wv_remote_open(&c.http, socket);
	if (r < 0)
		return WV_EXIT_UNSUPPORTED;
	r = prepare(&c, argc - (g->sub[0] != '\0'), argv + (g->sub[0] != '\0'));
	if (r == 0 && c.route == WV_API_EXPORT && !c.output) {
		fprintf(stderr, "waveos-bpf %s: wants -o FILE\n", c.name);
		r = WV_EXIT_USAGE;
	} else if (r == 0) {
		r = wv_remote_ask(c.http, wv_api_routes[c.route].method, c.url, c.upload, &a);
		if (r < 0)
			fprintf(stderr, "waveos-bpf %s: %s: %s\n", c.name, socket,
				wv_remote_why(c.http));
		r = r == -EACCES ? WV_EXIT_DENIED : r < 0 ? WV_EXIT_INTERNAL : show(&c, &a);
	}
	free(a.data);
	wv_remote_close(c.http);
	return r;
}
