// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/guard.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "user/api/api.h"
#include "user/api/audit.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/tlog.h"

#define WORD_MAX 200

/* Options that a verb parses later are looked for here only in so far as they say where and whether
 * anything is done. */
static bool has_word(int argc, char **argv, const char *a, const char *b)
{
	for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], a) == 0 || (b && strcmp(argv[i], b) == 0))
			return true;
	return false;
}

static void find_root(struct wv_paths *paths, int argc, char **argv)
{
	for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--root") == 0 && i + 1 < argc)
			(void)wv_paths_init(paths, argv[i + 1]);
		else if (strncmp(argv[i], "--root=", 7) == 0)
			(void)wv_paths_init(paths, argv[i] + 7);
	}
}

/* Who it is behind sudo and su: the user who logged in, where the kernel knows. */
static void name_caller(struct wv_caller *ret)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/loginuid", "re");
	unsigned login = UINT32_MAX;

	*ret = (struct wv_caller){
		.kind = WV_CALLER_USER, .roles = 1U << WV_USER_ADMIN, .peer = "local"};
	snprintf(ret->name, sizeof(ret->name), "uid:%u", getuid());
	if (f && fscanf(f, "%u", &login) == 1 && login != UINT32_MAX && login != getuid())
		snprintf(ret->peer, sizeof(ret->peer), "local, login uid:%u", login);
}

/* What root does here needs no leave, but a record. Where it cannot be written, a rollback has to
 * be possible all the same: it is said, and gone on. */
static void record(const struct wv_paths *paths, const struct wv_guarded_verb *g, int argc,
		   char **argv)
{
	struct json_object *params = json_object_new_array();
	char folder[WV_PATH_SIZE + 16], route[48];
	struct wv_caller who;
	struct wv_audit au;
	uint64_t seq;
	int r;

	/* the first attach makes the log; until then there is nothing that could be put in force */
	snprintf(folder, sizeof(folder), "%s/" WV_TLOG_FOLDER, paths->state);
	if (access(folder, F_OK) < 0) {
		json_object_put(params);
		return;
	}
	for (int i = 2; i < argc; i++) {
		char word[WORD_MAX + 1];

		snprintf(word, sizeof(word), "%s", argv[i]);
		wv_make_printable(word);
		json_object_array_add(params, json_object_new_string(word));
	}
	name_caller(&who);
	snprintf(route, sizeof(route), "%s%s%s", g->verb, g->sub[0] ? " " : "", g->sub);
	wv_audit_open(&au, &wv_io_system, paths, "");
	r = wv_audit_granted(&au, &who, g->permission, route, params, "", &seq);
	wv_audit_close(&au);
	if (r < 0)
		fprintf(stderr, "waveos-bpf %s: goes on without a record of it\n", route);
}

static bool is_recorded(const struct wv_guarded_verb *g, int argc, char **argv)
{
	/* tokens have records of their own, and a start has run-opened and core-start */
	return wv_permissions[g->permission].each && g->permission != WV_MAY_TOKENS &&
	       strcmp(g->verb, "attach") != 0 && !getenv(WV_GUARD_ENVIRONMENT) &&
	       !has_word(argc, argv, "--help", "-h") && !has_word(argc, argv, "--dry-run", "-n");
}

bool wv_guard_verb(const struct wv_cli *cli, int argc, char **argv, int *ret_exit)
{
	const struct wv_guarded_verb *g = wv_guarded_verb_find(argv[1], argc > 2 ? argv[2] : NULL);
	struct wv_paths paths = cli->paths;
	char path[WV_PATH_SIZE + 16];
	int r;

	if (!g)
		return false;
	find_root(&paths, argc, argv);
	if (geteuid() == 0) {
		if (is_recorded(g, argc, argv))
			record(&paths, g, argc, argv);
		return false;
	}
	snprintf(path, sizeof(path), "%s/" WV_API_SOCKET, paths.runtime);
	if (g->route == WV_API_NONE || access(paths.state, R_OK | X_OK) == 0 ||
	    access(path, F_OK) < 0 || has_word(argc, argv, "--help", "-h"))
		return false;
	r = wv_remote_verb(&paths, g, argc - 1, argv + 1);
	if (r == -EOPNOTSUPP)
		return false;
	*ret_exit = r;
	return true;
}
