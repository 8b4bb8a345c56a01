// SPDX-License-Identifier: GPL-2.0-only
#include "user/recover/recovery.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/policy/policy.h"
#include "waveos/wire.h"

#define FILE_MAX_BYTES (8 << 20)
#define SCHEMA_VERSION 1
#define BUDGETS_MAX 1024

struct wv_recovery *wv_recover_find(const struct wv_recover_state *s, uint64_t key,
				    const char *path)
{
	for (size_t i = 0; i < s->n; i++)
		if (((s->list[i]->key ^ key) & WV_KEY_V1) == 0 &&
		    strcmp(s->list[i]->path, path) == 0)
			return s->list[i];
	return NULL;
}

struct wv_recovery *wv_recover_add(struct wv_recover_state *s, uint64_t key, const char *path,
				   const char *domain)
{
	struct wv_recovery *r = wv_recover_find(s, key, path), **more;

	if (!r) {
		if (s->n == WV_RECOVERIES_MAX)
			return NULL;
		more = reallocarray(s->list, s->n + 1, sizeof(struct wv_recovery *));
		if (!more)
			return NULL;
		s->list = more;
		r = calloc(1, sizeof(*r));
		if (!r)
			return NULL;
		s->list[s->n++] = r;
		r->chain_index = WV_NONE;
		r->actor.fd = -1;
		snprintf(r->path, sizeof(r->path), "%s", path);
	}
	if (wv_recovery_is_over(r) || !r->domain[0])
		snprintf(r->domain, sizeof(r->domain), "%s", domain);
	r->key = key;
	return r;
}

bool wv_recovery_is_over(const struct wv_recovery *r)
{
	return r->run.state == WV_CHAIN_IDLE && !r->flight.id[0] && !r->holds && !r->n_pending;
}

static void recovery_free(struct wv_recovery *r)
{
	json_object_put(r->cause);
	free(r);
}

void wv_recover_sweep(struct wv_recover_state *s)
{
	for (size_t i = s->n; i-- > 0;) {
		if (!wv_recovery_is_over(s->list[i]) || s->list[i]->actor.pid)
			continue;
		recovery_free(s->list[i]);
		s->list[i] = s->list[--s->n];
		s->dirty = true;
	}
}

struct wv_restarts *wv_recover_budget(struct wv_recover_state *s, const char *domain)
{
	struct wv_domain_budget *more;

	for (size_t i = 0; i < s->n_budgets; i++)
		if (strcmp(s->budgets[i].domain, domain) == 0)
			return &s->budgets[i].restarts;
	if (s->n_budgets == BUDGETS_MAX)
		return NULL;
	more = reallocarray(s->budgets, s->n_budgets + 1, sizeof(*more));
	if (!more)
		return NULL;
	s->budgets = more;
	more = &s->budgets[s->n_budgets++];
	*more = (struct wv_domain_budget){0};
	snprintf(more->domain, sizeof(more->domain), "%s", domain);
	return &more->restarts;
}

int wv_recover_note_reboot(struct wv_recover_state *s, uint64_t wall_ns)
{
	size_t oldest = 0;

	for (size_t i = 1; i < WV_REBOOTS_MAX; i++)
		if (s->reboots_wall_ns[i] < s->reboots_wall_ns[oldest])
			oldest = i;
	/* a time ahead of now is of a clock that was set back: it counts */
	if (s->reboots_wall_ns[oldest] &&
	    (s->reboots_wall_ns[oldest] > wall_ns ||
	     wall_ns - s->reboots_wall_ns[oldest] < WV_REBOOT_WINDOW_NS))
		return -EBUSY;
	s->reboots_wall_ns[oldest] = wall_ns;
	s->dirty = true;
	return 0;
}

/* Text ------------------------------------------------------------------------------------------
 */

static void put_u64(struct json_object *o, const char *name, uint64_t v)
{
	json_object_object_add(o, name, json_object_new_uint64(v));
}

static void put_str(struct json_object *o, const char *name, const char *v)
{
	json_object_object_add(o, name, json_object_new_string(v));
}

static struct json_object *print_flight(const struct wv_flight *f)
{
	struct json_object *o = json_object_new_object();

	put_str(o, "id", f->id);
	put_str(o, "act", wv_act_names[f->step.act]);
	put_u64(o, "index", f->step.index);
	put_u64(o, "cpu_ppm", f->step.cpu_ppm);
	put_u64(o, "at", f->at);
	put_u64(o, "intent_boot_ns", f->intent_boot_ns);
	put_u64(o, "started_mono_ns", f->started_mono_ns);
	return o;
}

static struct json_object *print_recovery(const struct wv_recovery *r)
{
	struct json_object *o = json_object_new_object();

	put_u64(o, "key", r->key);
	put_str(o, "cgroup", r->path);
	put_str(o, "domain", r->domain);
	put_str(o, "chain", r->chain);
	put_str(o, "state", wv_chain_state_names[r->run.state]);
	put_u64(o, "step", r->run.step);
	put_u64(o, "next", r->run.next);
	put_u64(o, "taken", r->run.taken);
	put_u64(o, "loops", r->run.loops);
	put_u64(o, "due_ns", r->run.due_ns);
	put_u64(o, "holds", r->holds);
	put_u64(o, "throttle_ppm", r->throttle_ppm);
	put_str(o, "mode", r->mode);
	if (r->flight.id[0])
		json_object_object_add(o, "flight", print_flight(&r->flight));
	if (r->cause)
		json_object_object_add(o, "cause", json_object_get(r->cause));
	return o;
}

static struct json_object *print_budget(const struct wv_domain_budget *b)
{
	struct json_object *o = json_object_new_object(), *times = json_object_new_array();
	const struct wv_restarts *r = &b->restarts;

	put_str(o, "domain", b->domain);
	/* oldest first */
	for (uint32_t i = 0; i < r->n; i++)
		json_object_array_add(
			times,
			json_object_new_uint64(r->times_ns[(r->next + WV_RESTARTS_MAX - r->n + i) %
							   WV_RESTARTS_MAX]));
	json_object_object_add(o, "restarts_mono_ns", times);
	return o;
}

char *wv_recover_state_print(const struct wv_recover_state *s)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct json_object *budgets = json_object_new_array(), *reboots = json_object_new_array();
	char *text;

	json_object_object_add(o, "schema_version", json_object_new_int(SCHEMA_VERSION));
	put_str(o, "boot_id", s->boot_id);
	put_u64(o, "actions", s->actions);
	for (size_t i = 0; i < s->n; i++)
		if (!wv_recovery_is_over(s->list[i]))
			json_object_array_add(list, print_recovery(s->list[i]));
	for (size_t i = 0; i < s->n_budgets; i++)
		json_object_array_add(budgets, print_budget(&s->budgets[i]));
	for (size_t i = 0; i < WV_REBOOTS_MAX; i++)
		if (s->reboots_wall_ns[i])
			json_object_array_add(reboots,
					      json_object_new_uint64(s->reboots_wall_ns[i]));
	json_object_object_add(o, "recoveries", list);
	json_object_object_add(o, "budgets", budgets);
	json_object_object_add(o, "reboots_wall_ns", reboots);
	text = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
								JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return text;
}

int wv_recover_state_save(struct wv_recover_state *s)
{
	_cleanup_free_ char *text = wv_recover_state_print(s);
	int r;

	if (!text)
		return -ENOMEM;
	if (s->dir < 0)
		return -EBADF;
	r = wv_io_replace(s->io, s->dir, WV_RECOVER_FILE, text, strlen(text), 0640);
	s->dirty = r < 0;
	return r;
}

static uint64_t get_u64(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) ? json_object_get_uint64(v) : 0;
}

static const char *get_str(struct json_object *o, const char *name)
{
	struct json_object *v;
	const char *text = json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : "";

	return text ?: "";
}

static struct json_object *get_list(struct json_object *o, const char *name, size_t *ret_n)
{
	struct json_object *v;

	*ret_n = 0;
	if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_array))
		return NULL;
	*ret_n = json_object_array_length(v);
	return v;
}

/* Index of a name in a list, or -1. */
static int index_of(const char *const *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

static bool parse_flight(struct json_object *o, struct wv_flight *f)
{
	int act = index_of(wv_act_names, WV_ACT_N, get_str(o, "act"));

	if (act < 0)
		return false;
	snprintf(f->id, sizeof(f->id), "%s", get_str(o, "id"));
	f->step = (struct wv_step){.act = (enum wv_act)act,
				   .index = (uint32_t)get_u64(o, "index"),
				   .cpu_ppm = get_u64(o, "cpu_ppm")};
	f->at = (uint32_t)get_u64(o, "at");
	f->intent_boot_ns = get_u64(o, "intent_boot_ns");
	f->started_mono_ns = get_u64(o, "started_mono_ns");
	f->resumed = true;
	return true;
}

static int parse_recovery(struct wv_recover_state *s, struct json_object *o)
{
	int state = index_of(wv_chain_state_names, WV_CHAIN_STATE_N, get_str(o, "state"));
	struct wv_recovery *r;
	struct json_object *v;

	if (state < 0 || state == WV_CHAIN_CHOOSING || !get_str(o, "cgroup")[0])
		return -EBADMSG;
	r = wv_recover_add(s, get_u64(o, "key"), get_str(o, "cgroup"), get_str(o, "domain"));
	if (!r)
		return -ENOMEM;
	snprintf(r->chain, sizeof(r->chain), "%s", get_str(o, "chain"));
	r->run = (struct wv_chain_run){.state = (enum wv_chain_state)state,
				       .step = (uint32_t)get_u64(o, "step"),
				       .next = (uint32_t)get_u64(o, "next"),
				       .taken = (uint32_t)get_u64(o, "taken"),
				       .loops = (uint32_t)get_u64(o, "loops"),
				       .due_ns = get_u64(o, "due_ns")};
	r->holds = (uint32_t)get_u64(o, "holds");
	r->throttle_ppm = get_u64(o, "throttle_ppm");
	snprintf(r->mode, sizeof(r->mode), "%s", get_str(o, "mode"));
	if (json_object_object_get_ex(o, "flight", &v) && !parse_flight(v, &r->flight))
		return -EBADMSG;
	if (json_object_object_get_ex(o, "cause", &v))
		r->cause = json_object_get(v);
	return 0;
}

static void parse_budgets(struct wv_recover_state *s, struct json_object *o)
{
	size_t n, m;
	struct json_object *list = get_list(o, "budgets", &n);

	for (size_t i = 0; i < n; i++) {
		struct json_object *b = json_object_array_get_idx(list, i);
		struct wv_restarts *r = wv_recover_budget(s, get_str(b, "domain"));
		struct json_object *times = get_list(b, "restarts_mono_ns", &m);

		for (size_t k = 0; r && k < m; k++)
			wv_restarts_note(
				r, json_object_get_uint64(json_object_array_get_idx(times, k)));
	}
}

/* What is left of another boot: that a reboot has come about. */
static void parse_former_boot(struct wv_recover_state *s, struct json_object *o)
{
	size_t n;
	struct json_object *list = get_list(o, "recoveries", &n), *v;

	s->dirty = true;
	for (size_t i = 0; i < n; i++)
		if (json_object_object_get_ex(json_object_array_get_idx(list, i), "flight", &v) &&
		    strcmp(get_str(v, "act"), wv_act_names[WV_ACT_REBOOT]) == 0)
			snprintf(s->rebooted_id, sizeof(s->rebooted_id), "%s", get_str(v, "id"));
}

static int parse(struct wv_recover_state *s, const char *text)
{
	struct json_object *o = json_tokener_parse(text), *list;
	size_t n;
	int r = 0;

	if (!o || get_u64(o, "schema_version") != SCHEMA_VERSION) {
		json_object_put(o);
		return -EBADMSG;
	}
	s->actions = get_u64(o, "actions");
	list = get_list(o, "reboots_wall_ns", &n);
	for (size_t i = 0; i < n && i < WV_REBOOTS_MAX; i++)
		s->reboots_wall_ns[i] = json_object_get_uint64(json_object_array_get_idx(list, i));
	if (strcmp(get_str(o, "boot_id"), s->boot_id) != 0) {
		parse_former_boot(s, o);
	} else {
		parse_budgets(s, o);
		list = get_list(o, "recoveries", &n);
		for (size_t i = 0; r == 0 && i < n; i++)
			r = parse_recovery(s, json_object_array_get_idx(list, i));
	}
	json_object_put(o);
	return r;
}

int wv_recover_state_open(struct wv_recover_state *s, const struct wv_io *io, const char *state,
			  const char *boot_id)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	int r;

	*s = (struct wv_recover_state){.io = io, .dir = -1};
	snprintf(s->boot_id, sizeof(s->boot_id), "%s", boot_id);
	if (snprintf(path, sizeof(path), "%s/" WV_RECOVER_DIR, state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	r = wv_io_mkdirs(io, path, 0750);
	if (r < 0)
		return r;
	s->dir = io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (s->dir < 0)
		return s->dir;
	r = wv_io_read_file(io, s->dir, WV_RECOVER_FILE, FILE_MAX_BYTES, &text, NULL);
	if (r == 0)
		r = parse(s, text);
	else if (r == -ENOENT)
		r = 0;
	if (r < 0)
		wv_recover_state_close(s);
	return r;
}

void wv_recover_state_close(struct wv_recover_state *s)
{
	if (s->dir >= 0)
		(void)s->io->close(s->io->ctx, s->dir);
	for (size_t i = 0; i < s->n; i++)
		recovery_free(s->list[i]);
	free(s->list);
	free(s->budgets);
	*s = (struct wv_recover_state){.dir = -1};
}
