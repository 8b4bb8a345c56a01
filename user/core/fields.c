// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/fields.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "gpu/tune/spec.h"
#include "user/access/rules.h"
#include "user/alert/config.h"
#include "user/core/arena.h"
#include "user/core/cleanup.h"
#include "user/flow/budget.h"
#include "user/flow/heartbeat.h"
#include "user/flow/policy.h"
#include "user/flow/proxy.h"
#include "user/flow/sample.h"
#include "user/spool/config.h"

#define WV_STRUCT_budgets struct wv_budget
#define WV_STRUCT_policy_budgets struct wv_budget
#define WV_STRUCT_heartbeats struct wv_heartbeat
#define WV_STRUCT_proxies struct wv_proxy
#define WV_STRUCT_roles struct wv_role_rule
#define WV_STRUCT_spools struct wv_spool_config
#define WV_STRUCT_spool_inputs struct wv_spool_input_config
#define WV_STRUCT_spool_outputs struct wv_spool_output_config
#define WV_STRUCT_alerts struct wv_alert_sink_config
#define WV_STRUCT_alert_routes struct wv_alert_route_config
#define WV_STRUCT_domains struct wv_domain
#define WV_STRUCT_modes struct wv_mode
#define WV_STRUCT_breakers struct wv_breaker
#define WV_STRUCT_gates struct wv_gate
#define WV_STRUCT_priority struct wv_priority
#define WV_STRUCT_rules struct wv_rule
#define WV_STRUCT_recovery struct wv_chain
#define WV_STRUCT_services struct wv_service
#define WV_STRUCT_job struct wv_tune_spec
#define WV_STRUCT_limits struct wv_tune_spec

#define WV_FIELD_ROW(list, group, key, type, member, def, min, max, example, doc)                  \
	{#list,                                                                                    \
	 group,                                                                                    \
	 key,                                                                                      \
	 WV_##type,                                                                                \
	 offsetof(WV_STRUCT_##list, member),                                                       \
	 sizeof(((WV_STRUCT_##list *)0)->member),                                                  \
	 def,                                                                                      \
	 min,                                                                                      \
	 max,                                                                                      \
	 example,                                                                                  \
	 doc},
/* clang-format off */
const struct wv_field wv_fields[] = {
#define WV_FIELD WV_FIELD_ROW
#include "waveos/lists.def"
#define WV_FIELD WV_FIELD_ROW
#include "waveos/policy.def"
#define WV_FIELD WV_FIELD_ROW
#include "gpu/tune/spec.def"
};
/* clang-format on */
const size_t wv_fields_count = ARRAY_SIZE(wv_fields);

bool wv_field_is_of(const struct wv_field *f, const char *list)
{
	if (strcmp(f->list, list) == 0)
		return true;
	return strcmp(list, "policy_budgets") == 0 && strcmp(f->list, "budgets") == 0 &&
	       strcmp(f->key, "cgroup") != 0;
}

size_t wv_field_groups(const char *list, const char *groups[WV_GROUPS_MAX])
{
	size_t n = 0;

	groups[n++] = "";
	for (size_t i = 0; i < wv_fields_count; i++) {
		const struct wv_field *f = &wv_fields[i];

		if (wv_field_is_of(f, list) && strcmp(f->group, groups[n - 1]) != 0 && *f->group &&
		    n + 1 < WV_GROUPS_MAX)
			groups[n++] = f->group;
	}
	groups[n] = NULL;
	return n;
}

static bool is_of(const struct wv_field *f, const char *list, const char *group)
{
	return wv_field_is_of(f, list) && strcmp(f->group, group) == 0;
}

/* "cpu.quota" or "cgroup" */
static void field_name(const struct wv_field *f, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s%s", f->group, *f->group ? "." : "", f->key);
}

/* How a level of this signal is written: times as durations, bytes as sizes, the rest as numbers.
 */
static int parse_level(enum wv_signal signal, const char *text, double *ret,
		       char expected[WV_EXPECTED_SIZE])
{
	enum wv_scale scale = wv_signals[signal].scale;
	uint64_t v;
	char *end;
	double d;
	int r;

	if (scale == WV_NS || scale == WV_US) {
		r = scale == WV_NS ? wv_parse_duration(text, &v) : wv_parse_duration_us(text, &v);
		snprintf(expected, WV_EXPECTED_SIZE,
			 "expected a duration, such as 100ms, as %s is a time",
			 wv_signals[signal].name);
	} else if (scale == WV_BYTES_SCALE) {
		r = wv_parse_bytes(text, &v);
		snprintf(expected, WV_EXPECTED_SIZE, "expected a size, such as 64M, as %s is one",
			 wv_signals[signal].name);
	} else {
		snprintf(expected, WV_EXPECTED_SIZE, "expected a number that is not negative");
		/* no hexadecimal, infinity or NaN */
		if (!*text || strspn(text, "0123456789.") != strlen(text))
			return -EINVAL;
		d = strtod(text, &end);
		if (*end || end == text || !isfinite(d))
			return -EINVAL;
		*ret = d;
		return 0;
	}
	if (r < 0)
		return -EINVAL;
	*ret = (double)v;
	return 0;
}

static int parse_signal(const char *text, int *ret, char expected[WV_EXPECTED_SIZE])
{
	const char *names[WV_SIG_N + 1] = {NULL}, *near;
	int signal = wv_signal_by_name(text);

	if (signal >= 0) {
		*ret = signal;
		return 0;
	}
	for (int i = 0; i < WV_SIG_N; i++)
		names[i] = wv_signals[i].name;
	near = wv_suggest(text, names);
	snprintf(expected, WV_EXPECTED_SIZE, "expected a signal (docs/signals.md)%s%s%s",
		 near ? "; did you mean '" : "", near ?: "", near ? "'?" : "");
	return -EINVAL;
}

/* The signal of the group that holds a level, or -1 if that is missing or wrong (told elsewhere).
 */
static int signal_of(const struct wv_yaml *y, const yaml_node_t *group)
{
	const yaml_node_t *node = group ? wv_yaml_get(y, group, "signal") : NULL;
	const char *text = node ? wv_yaml_scalar(node) : NULL;

	return text ? wv_signal_by_name(text) : -1;
}

/* [-]digits within [min, max] */
static int parse_int(const struct wv_field *f, const char *text, int64_t *ret,
		     char expected[WV_EXPECTED_SIZE])
{
	bool negative = *text == '-';
	uint64_t v;
	int64_t n;

	snprintf(expected, WV_EXPECTED_SIZE, "expected a whole number from %s to %s", f->min,
		 f->max);
	if (wv_parse_uint(text + negative, &v) < 0 || v > INT32_MAX)
		return -EINVAL;
	n = negative ? -(int64_t)v : (int64_t)v;
	if (n < strtoll(f->min, NULL, 10) || n > strtoll(f->max, NULL, 10))
		return -EINVAL;
	*ret = n;
	return 0;
}

static int store(const struct wv_field *f, int signal, const char *text, void *member,
		 char expected[WV_EXPECTED_SIZE])
{
	uint64_t v;
	int r;

	switch (f->type) {
	case WV_STRING:
	case WV_SECRET:
	case WV_CGROUP:
	case WV_PATTERN:
	case WV_PATH:
	case WV_DEVICE:
		return wv_text_parse(f->type, text, member, f->size, expected);
	case WV_SIGNAL_NAME:
		return parse_signal(text, member, expected);
	case WV_LEVEL:
		return signal < 0 ? 0 : parse_level((enum wv_signal)signal, text, member, expected);
	default:
		break;
	}
	if (f->type == WV_INT)
		return parse_int(f, text, member, expected);
	r = wv_value_parse(f->type, f->min, f->max, f->example, text, &v, expected);
	if (r < 0)
		return r;
	if (f->type == WV_BOOL)
		*(bool *)member = v;
	else if (f->type == WV_CHOICE)
		*(int *)member = (int)v;
	else
		*(uint64_t *)member = v;
	return 0;
}

#define STRING_MAX_BYTES 4096

/* One text of a list; printable, not empty. */
static int parse_string(const struct wv_yaml *y, const yaml_node_t *node, const char *name,
			char **ret)
{
	const char *text = wv_yaml_scalar(node);
	char expected[WV_EXPECTED_SIZE];
	char *copy;

	if (!text || !*text)
		return wv_yaml_error(y, node, "%s: expected a text, got %s", name,
				     text ? "an empty one" : wv_yaml_kind(node));
	copy = wv_arena_alloc(y->arena, 1, strlen(text) + 1);
	if (!copy)
		return -ENOMEM;
	if (strlen(text) >= STRING_MAX_BYTES ||
	    wv_text_parse(WV_STRING, text, copy, strlen(text) + 1, expected) < 0)
		return wv_yaml_error(y, node,
				     "%s: expected a text of at most %d bytes without control "
				     "characters",
				     name, STRING_MAX_BYTES - 1);
	*ret = copy;
	return 0;
}

/* A list of texts, or a single one. */
static int parse_strings(const struct wv_yaml *y, const yaml_node_t *node, const struct wv_field *f,
			 const char *name, struct wv_strings *ret)
{
	bool list = node->type == YAML_SEQUENCE_NODE;
	size_t n = list ? (size_t)(node->data.sequence.items.top - node->data.sequence.items.start)
			: 1;
	int r = 0;

	if (wv_yaml_is_null(node))
		return 0;
	if (n > strtoul(f->max, NULL, 10))
		return wv_yaml_error(y, node, "%s: expected at most %s texts, got %zu", name,
				     f->max, n);
	ret->list = n ? wv_arena_alloc(y->arena, n, sizeof(char *)) : NULL;
	if (n && !ret->list)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = parse_string(
			y,
			list ? yaml_document_get_node(y->doc, node->data.sequence.items.start[i])
			     : node,
			name, &ret->list[i]);
	ret->n = n;
	return r;
}

static int parse_field(const struct wv_yaml *y, const yaml_node_t *map, const struct wv_field *f,
		       void *item)
{
	const yaml_node_t *node = map ? wv_yaml_get(y, map, f->key) : NULL;
	char expected[WV_EXPECTED_SIZE] = "", got[WV_EXPECTED_SIZE], name[64];
	void *member = (char *)item + f->offset;
	const char *text;

	if (!node)
		return *f->def && !wv_field_is_required(f) ? store(f, -1, f->def, member, expected)
							   : 0;
	field_name(f, name, sizeof(name));
	if (f->type == WV_STRINGS)
		return parse_strings(y, node, f, name, member);
	text = wv_yaml_scalar(node);
	if (!text)
		return wv_yaml_error(y, node, "%s: expected a single value (%s), got %s", name,
				     wv_value_name(f->type), wv_yaml_kind(node));
	if (store(f, signal_of(y, map), text, member, expected) < 0)
		return wv_yaml_error(y, node, "%s: %s%s", name, expected,
				     wv_value_got(f->type, text, got));
	return 0;
}

/* Keys of one group of an item; map is NULL if the group was not given. */
static int parse_group(const struct wv_yaml *y, const yaml_node_t *node, const yaml_node_t *map,
		       const char *list, const char *group, void *item)
{
	char name[64];
	int r;

	for (size_t i = 0; i < wv_fields_count; i++) {
		const struct wv_field *f = &wv_fields[i];

		if (!is_of(f, list, group))
			continue;
		if (map && wv_field_is_required(f) && !wv_yaml_get(y, map, f->key)) {
			field_name(f, name, sizeof(name));
			return wv_yaml_error(y, map ?: node, "%s is missing; expected %s: %s", name,
					     f->key, f->example);
		}
		r = parse_field(y, map, f, item);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_group_keys(const struct wv_yaml *y, const yaml_node_t *map, const char *list,
			    const char *group, const char *const groups[])
{
	const char *keys[32];
	char where[64];
	size_t n = 0;

	for (size_t i = 0; i < wv_fields_count && n + 1 < ARRAY_SIZE(keys); i++)
		if (is_of(&wv_fields[i], list, group))
			keys[n++] = wv_fields[i].key;
	for (size_t i = 1; !*group && groups[i] && n + 1 < ARRAY_SIZE(keys); i++)
		keys[n++] = groups[i];
	keys[n] = NULL;
	snprintf(where, sizeof(where), "%s '%s'", *group ? "section" : "an item of",
		 *group ? group : list);
	return wv_yaml_check_keys(y, map, where, keys);
}

int wv_fields_parse(const struct wv_yaml *y, const yaml_node_t *node, const char *list, void *item)
{
	const char *groups[WV_GROUPS_MAX];
	size_t n = wv_field_groups(list, groups);
	int r = check_group_keys(y, node, list, "", groups);

	for (size_t i = 0; r == 0 && i < n; i++) {
		const yaml_node_t *map = *groups[i] ? wv_yaml_get(y, node, groups[i]) : node;

		if (map && *groups[i])
			r = check_group_keys(y, map, list, groups[i], groups);
		if (r == 0)
			r = parse_group(y, node, map, list, groups[i], item);
	}
	return r;
}

const yaml_node_t *wv_fields_node(const struct wv_yaml *y, const yaml_node_t *item,
				  const char *group, const char *key)
{
	const yaml_node_t *map = *group ? wv_yaml_get(y, item, group) : item;

	return map && key ? wv_yaml_get(y, map, key) : map;
}

static int check_name(const struct wv_yaml *y, const yaml_node_t *node,
		      const struct wv_list_parse *how, const char *items, size_t n)
{
	const char *name = items + n * how->size + how->name_offset;

	if (!*name)
		return wv_yaml_error(y, node, "name: must not be empty");
	for (size_t i = 0; i < n; i++)
		if (strcmp(items + i * how->size + how->name_offset, name) == 0)
			return wv_yaml_error(y, node,
					     "name '%s' is taken by another item of '%s'; give "
					     "each a name of its own",
					     name, how->list);
	return 0;
}

int wv_list_parse(const struct wv_yaml *y, const yaml_node_t *node, const struct wv_list_parse *how,
		  void **ret_items, size_t *ret_n)
{
	const yaml_node_item_t *at;
	size_t n = 0, count;
	char *items;
	int r = 0;

	if (node->type != YAML_SEQUENCE_NODE)
		return wv_yaml_error(y, node, "%s: expected a list (- key: value), got %s",
				     how->list, wv_yaml_kind(node));
	count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	if (count > WV_LIST_ITEMS_MAX)
		return wv_yaml_error(y, node, "%s: at most %d items, got %zu", how->list,
				     WV_LIST_ITEMS_MAX, count);
	items = count ? calloc(count, how->size) : NULL;
	if (count && !items)
		return -ENOMEM;
	at = node->data.sequence.items.start;
	for (; r == 0 && n < count; n++) {
		const yaml_node_t *map = yaml_document_get_node(y->doc, at[n]);
		void *item = memcpy(items + n * how->size, how->blank, how->size);

		r = wv_fields_parse(y, map, how->list, item);
		if (r == 0 && how->check)
			r = how->check(y, map, item);
		if (r == 0)
			r = check_name(y, map, how, items, n);
	}
	if (r < 0) {
		free(items);
		return r;
	}
	*ret_items = items;
	*ret_n = count;
	return 0;
}
