// SPDX-License-Identifier: GPL-2.0-only
/* Verbs of the agent as answers. What a client says becomes operands behind `--` or the value of an
 * option in the same word, after it was checked: never an option of its own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/api/api.h"
#include "user/core/cleanup.h"

struct words {
	struct wv_api_verb *v;
	size_t n;
};

static void add(struct words *w, const char *word)
{
	if (w->n + 1 < WV_API_ARGV_MAX)
		w->v->argv[w->n++] = word;
}

bool wv_api_is_verb(enum wv_api_route route)
{
	switch (route) {
	case WV_API_STATUS:
	case WV_API_REPORT:
	case WV_API_PROOF:
	case WV_API_APPLY:
	case WV_API_DRY_RUN:
	case WV_API_ROLLBACK:
	case WV_API_EXPORT:
	case WV_API_RECOVER:
		return true;
	default:
		return false;
	}
}

/* Letters, digits, dots, dashes, underscores, not a dot or dash first: no path, no option. */
static bool is_name(const char *s)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	return *s && *s != '.' && *s != '-' && s[strspn(s, letters)] == '\0' && strlen(s) < 64;
}

static bool is_number(const char *s)
{
	return *s && s[strspn(s, "0123456789")] == '\0' && strlen(s) < 20;
}

static bool is_true(const struct wv_api_ask *ask, const char *key)
{
	const char *v = wv_api_ask_param(ask, key);

	return v && (strcmp(v, "1") == 0 || strcmp(v, "true") == 0 || !*v);
}

static void name_product(const struct wv_api *a, const struct wv_api_ask *ask,
			 struct wv_api_verb *v, const char *suffix)
{
	snprintf(v->product, sizeof(v->product), "%s/api/%016llx%s", a->paths->state,
		 (unsigned long long)ask->id, suffix);
}

static int report(const struct wv_api *a, const struct wv_api_ask *ask, struct words *w,
		  const char **why)
{
	const char *run = wv_api_ask_param(ask, "run") ?: "latest";
	const char *format = wv_api_ask_param(ask, "format") ?: "html";

	*why = "run: expected the id of a run, or latest";
	if (!is_name(run))
		return -EINVAL;
	add(w, "report");
	if (strcmp(format, "html") == 0) {
		name_product(a, ask, w->v, ".html");
		w->v->type = WV_API_HTML;
		add(w, "--html");
		add(w, w->v->product);
	} else if (strcmp(format, "json") == 0) {
		w->v->raw = true;
		add(w, "--json");
	} else if (strcmp(format, "markdown") == 0) {
		w->v->raw = true;
		w->v->type = WV_API_MARKDOWN;
	} else {
		*why = "format: expected html, markdown or json";
		return -EINVAL;
	}
	add(w, "--");
	add(w, run);
	return 0;
}

/* One of the ways in which `evidence export` is told which records. */
static int export_what(const struct wv_api_ask *ask, struct words *w)
{
	static const struct {
		const char *key, *option;
		bool number;
	} ways[] = {{"run", "--run", false},
		    {"since", "--since", false},
		    {"incident", "--incident", true},
		    {"from", "--from", true}};
	const char *to = wv_api_ask_param(ask, "to");
	int n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		const char *v = wv_api_ask_param(ask, ways[i].key);

		if (!v)
			continue;
		if (!(ways[i].number ? is_number(v) : is_name(v)))
			return -EINVAL;
		add(w, ways[i].option);
		add(w, v);
		n++;
	}
	if (to && !is_number(to))
		return -EINVAL;
	if (to) {
		add(w, "--to");
		add(w, to);
	}
	return n == 1 ? 0 : -EINVAL;
}

static int export(const struct wv_api *a, const struct wv_api_ask *ask, struct words *w,
		  const char **why)
{
	const char *profile = wv_api_ask_param(ask, "profile");

	add(w, "evidence");
	add(w, "export");
	*why = "expected exactly one of run=ID, since=TIME, incident=SEQ and from=SEQ (with "
	       "to=SEQ)";
	if (export_what(ask, w) < 0)
		return -EINVAL;
	*why = "profile: expected internal or external";
	if (profile && !is_name(profile))
		return -EINVAL;
	if (profile) {
		add(w, "--profile");
		add(w, profile);
	}
	name_product(a, ask, w->v, ".tar.zst");
	w->v->type = WV_API_ZSTD;
	add(w, "-o");
	add(w, w->v->product);
	return 0;
}

static int recover(const struct wv_api_ask *ask, struct words *w, const char **why)
{
	const char *cgroup = wv_api_ask_param(ask, "cgroup");
	const char *chain = wv_api_ask_param(ask, "chain"), *step = wv_api_ask_param(ask, "step");
	bool well = is_true(ask, "well");

	*why = "expected cgroup=PATH, and one of chain=NAME, step=ACTION and well=1";
	if (!cgroup || *cgroup != '/' || (chain != NULL) + (step != NULL) + well != 1)
		return -EINVAL;
	add(w, "recover");
	if (step) {
		/* an action begins with its name */
		if (*step < 'a' || *step > 'z')
			return -EINVAL;
		add(w, "--step");
		add(w, step);
	}
	if (well)
		add(w, "--well");
	add(w, "--");
	add(w, cgroup);
	if (chain)
		add(w, chain);
	return 0;
}

static int policy(const struct wv_api_ask *ask, struct words *w, const char **why)
{
	*why = "the body is the policy (YAML); there is none";
	if (ask->body < 0)
		return -EINVAL;
	add(w, "policy");
	add(w, "apply");
	if (ask->route == WV_API_DRY_RUN)
		add(w, "--dry-run");
	if (is_true(ask, "force"))
		add(w, "--force");
	add(w, "--");
	add(w, "/dev/stdin");
	return 0;
}

static int rollback(const struct wv_api_ask *ask, struct words *w, const char **why)
{
	const char *bundle = wv_api_ask_param(ask, "bundle");

	*why = "expected bundle=KIND/NAME";
	if (!bundle || *bundle < 'a' || *bundle > 'z')
		return -EINVAL;
	add(w, "bundle");
	add(w, "rollback");
	if (is_true(ask, "to_nothing"))
		add(w, "--to-nothing");
	add(w, "--json");
	add(w, "--");
	add(w, bundle);
	return 0;
}

static int prove(const struct wv_api_ask *ask, struct words *w, const char **why)
{
	*why = "expected the number of a record";
	if (!ask->number)
		return -EINVAL;
	snprintf(w->v->text, sizeof(w->v->text), "%llu", (unsigned long long)ask->number);
	w->v->raw = true;
	add(w, "evidence");
	add(w, "prove");
	add(w, w->v->text);
	return 0;
}

int wv_api_verb_of(const struct wv_api *a, const struct wv_api_ask *ask, struct wv_api_verb *ret,
		   const char **ret_why)
{
	struct words w = {.v = ret};
	int r = 0;

	*ret = (struct wv_api_verb){.raw = false};
	add(&w, "waveos-bpf");
	switch (ask->route) {
	case WV_API_STATUS:
		add(&w, "status");
		if (strcmp(wv_api_ask_param(ask, "format") ?: "json", "text") == 0)
			ret->type = WV_API_TEXT;
		else
			add(&w, "--json");
		ret->raw = true;
		break;
	case WV_API_REPORT:
		r = report(a, ask, &w, ret_why);
		break;
	case WV_API_PROOF:
		r = prove(ask, &w, ret_why);
		break;
	case WV_API_ROLLBACK:
		r = rollback(ask, &w, ret_why);
		break;
	case WV_API_EXPORT:
		r = export(a, ask, &w, ret_why);
		break;
	case WV_API_RECOVER:
		r = recover(ask, &w, ret_why);
		break;
	default:
		r = policy(ask, &w, ret_why);
		break;
	}
	if (r < 0)
		return r;
	/* before operands: options behind `--` would be operands, too */
	if (a->paths->root[0]) {
		size_t at = 1;

		while (at < w.n && strcmp(ret->argv[at], "--") != 0)
			at++;
		if (w.n + 2 >= WV_API_ARGV_MAX)
			return -EINVAL;
		memmove(&ret->argv[at + 2], &ret->argv[at], (w.n - at) * sizeof(ret->argv[0]));
		ret->argv[at] = "--root";
		ret->argv[at + 1] = a->paths->root;
		w.n += 2;
	}
	ret->argv[w.n] = NULL;
	return 0;
}
