// SPDX-License-Identifier: GPL-2.0-only
#include "user/rules/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "user/core/cleanup.h"

#define FILE_MAX_BYTES (32U << 20)

static struct json_object *state_json(const struct wv_engine_state *s, const struct wv_policy *p)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "rule", json_object_new_string(p->rules[s->rule].name));
	json_object_object_add(o, "cgroup_key", json_object_new_uint64(s->key));
	json_object_object_add(o, "acting", json_object_new_boolean(s->acting));
	json_object_object_add(o, "state",
			       json_object_new_string(wv_rule_state_names[s->state.state]));
	json_object_object_add(o, "since_ns", json_object_new_uint64(s->state.since_ns));
	json_object_object_add(o, "changed_ns", json_object_new_uint64(s->state.changed_ns));
	json_object_object_add(o, "timer_ns", json_object_new_uint64(s->state.timer_ns));
	json_object_object_add(o, "running", json_object_new_boolean(s->state.running));
	json_object_object_add(o, "backoff", json_object_new_int(s->state.backoff));
	return o;
}

/* Rules that acted and whose action budget counts it. */
static struct json_object *budgets_json(const struct wv_engine *e, const struct wv_policy *p)
{
	struct json_object *list = json_object_new_array();
	uint64_t times[WV_ENGINE_BUDGET_MAX];

	for (uint32_t i = 0; i < p->n_rules; i++) {
		size_t n = wv_engine_acted(e, i, times, WV_ENGINE_BUDGET_MAX);
		struct json_object *o, *acted;

		if (!n)
			continue;
		o = json_object_new_object();
		acted = json_object_new_array();
		for (size_t k = 0; k < n; k++)
			json_object_array_add(acted, json_object_new_uint64(times[k]));
		json_object_object_add(o, "rule", json_object_new_string(p->rules[i].name));
		json_object_object_add(o, "acted_mono_ns", acted);
		json_object_array_add(list, o);
	}
	return list;
}

struct json_object *wv_rules_states_json(const struct wv_engine *e, const struct wv_policy *p,
					 const char *boot_id)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	size_t n;
	const struct wv_engine_state *s = wv_engine_states(e, &n);

	for (size_t i = 0; i < n; i++)
		json_object_array_add(list, state_json(&s[i], p));
	json_object_object_add(o, "boot", json_object_new_string(boot_id));
	json_object_object_add(o, "states", list);
	json_object_object_add(o, "budgets", budgets_json(e, p));
	return o;
}

static uint64_t number(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

static const char *text(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) ?: "" : "";
}

/* Index of a name among n; n if it is none of them. */
static uint32_t rule_by_name(const struct wv_policy *p, const char *name)
{
	uint32_t i = 0;

	while (i < p->n_rules && strcmp(p->rules[i].name, name) != 0)
		i++;
	return i;
}

static uint8_t state_by_name(const char *name)
{
	uint8_t i = 0;

	while (i < WV_RULE_STATE_N && strcmp(wv_rule_state_names[i], name) != 0)
		i++;
	return i;
}

static bool put_state(struct wv_engine *e, const struct wv_policy *p, struct json_object *o,
		      int (*find)(void *ctx, uint64_t key), void *ctx)
{
	struct wv_engine_state s = {
		.rule = rule_by_name(p, text(o, "rule")),
		.key = number(o, "cgroup_key"),
		.acting = number(o, "acting"),
		.state = {.since_ns = number(o, "since_ns"),
			  .changed_ns = number(o, "changed_ns"),
			  .timer_ns = number(o, "timer_ns"),
			  .state = state_by_name(text(o, "state")),
			  .running = number(o, "running") != 0,
			  .backoff = (uint8_t)number(o, "backoff")},
	};
	int slot = find(ctx, s.key);

	if (slot < 0 || s.rule >= p->n_rules || s.state.state == WV_RULE_PENDING)
		return false;
	s.slot = (uint32_t)slot;
	return wv_engine_put(e, &s) == 0;
}

static void put_budgets(struct wv_engine *e, const struct wv_policy *p, struct json_object *o)
{
	struct json_object *list, *times;

	if (!json_object_object_get_ex(o, "budgets", &list) ||
	    !json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *b = json_object_array_get_idx(list, i);
		uint32_t rule = rule_by_name(p, text(b, "rule"));

		if (!json_object_object_get_ex(b, "acted_mono_ns", &times) ||
		    !json_object_is_type(times, json_type_array))
			continue;
		for (size_t k = 0; k < json_object_array_length(times); k++)
			wv_engine_put_acted(
				e, rule,
				json_object_get_uint64(json_object_array_get_idx(times, k)));
	}
}

size_t wv_rules_states_put(struct wv_engine *e, const struct wv_policy *p, struct json_object *o,
			   const char *boot_id, int (*find)(void *ctx, uint64_t key), void *ctx)
{
	struct json_object *list;
	size_t taken = 0;

	/* monotonic times and keys are of one boot */
	if (strcmp(text(o, "boot"), boot_id) != 0 ||
	    !json_object_object_get_ex(o, "states", &list) ||
	    !json_object_is_type(list, json_type_array))
		return 0;
	put_budgets(e, p, o);
	for (size_t i = 0; i < json_object_array_length(list); i++)
		taken += put_state(e, p, json_object_array_get_idx(list, i), find, ctx);
	return taken;
}

int wv_rules_save(const struct wv_io *io, const char *state, struct json_object *o)
{
	const char *bytes = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	int dir = io->open(io->ctx, AT_FDCWD, state, O_RDONLY | O_DIRECTORY, 0), r;

	if (dir < 0)
		return dir;
	r = wv_io_replace(io, dir, WV_RULES_FILE, bytes, strlen(bytes), 0640);
	(void)io->close(io->ctx, dir);
	return r;
}

struct json_object *wv_rules_load(const struct wv_io *io, const char *state)
{
	_cleanup_free_ char *bytes = NULL;
	int dir = io->open(io->ctx, AT_FDCWD, state, O_RDONLY | O_DIRECTORY, 0);
	size_t len;
	int r = dir < 0 ? dir
			: wv_io_read_file(io, dir, WV_RULES_FILE, FILE_MAX_BYTES, &bytes, &len);

	if (dir >= 0)
		(void)io->close(io->ctx, dir);
	return r < 0 ? NULL : json_tokener_parse(bytes);
}
