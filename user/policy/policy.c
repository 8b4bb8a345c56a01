// SPDX-License-Identifier: GPL-2.0-only
/* Policy files: the document and its lists. What refers to something else is in policy_link.c. */
#include "user/policy/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "user/core/arena.h"
#include "user/core/cleanup.h"
#include "user/core/fields.h"
#include "user/core/io.h"
#include "user/core/sha256.h"
#include "user/flow/budget.h"
#include "user/policy/program.h"

#define FILE_MAX_BYTES (1U << 20)

#define WV_POLICY_LIST(name, doc) {#name, #name, doc},
const struct wv_policy_list_info wv_policy_lists[] = {
	{"budgets", "policy_budgets",
	 "Budgets of cgroups (docs/budgets.md), of a `domain` or of a `cgroup` pattern"},
#include "waveos/policy.def"
};
const size_t wv_policy_lists_count = ARRAY_SIZE(wv_policy_lists);

#define X(id, text, feature, argument) text,
const char *const wv_act_names[WV_ACT_N] = {WV_ACTS(X)};
#undef X
#define X(id, key, def, doc) #key,
const char *const wv_feature_names[WV_FEATURE_N] = {WV_FEATURES(X)};
#undef X
#define X(id, text) text,
const char *const wv_breaker_kind_names[WV_BREAKER_N] = {WV_BREAKER_KINDS(X)};
const char *const wv_gate_kind_names[WV_GATE_N] = {WV_GATE_KINDS(X)};
#undef X

/* The policy and what it points to, released at once. The policy is first. */
struct memory {
	struct wv_policy policy;
	struct wv_arena arena;
	struct wv_program_set programs;
};

struct wv_policy *wv_policy_new(void)
{
	static const bool defaults[WV_FEATURE_N] = {
#define X(id, key, def, doc) def,
		WV_FEATURES(X)
#undef X
	};
	struct memory *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	memcpy(m->policy.features, defaults, sizeof(defaults));
	m->policy.programs = &m->programs;
	return &m->policy;
}

void wv_policy_free(struct wv_policy *p)
{
	struct memory *m = (struct memory *)p;

	if (!p)
		return;
	wv_arena_done(&m->arena);
	wv_program_set_done(&m->programs);
	free(p->domains);
	free(p->modes);
	free(p->budgets);
	free(p->breakers);
	free(p->gates);
	free(p->priorities);
	free(p->rules);
	free(p->chains);
	free(p->services);
	free(m);
}

static int note_line(const struct wv_yaml *y _unused_, const yaml_node_t *node, unsigned *line)
{
	*line = (unsigned)node->start_mark.line + 1;
	return 0;
}

static int check_domain(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	struct wv_domain *d = item;
	const struct wv_scope *s = &d->scope;

	if (!*s->cgroup && !*s->unit && !*s->namespace && !*s->pod && !*s->container &&
	    !s->labels.n)
		return wv_yaml_error(y, node,
				     "domain '%s': scope is missing; expected scope: {cgroup: "
				     "/web.slice/*}, or unit, namespace, pod, container, labels",
				     d->name);
	for (size_t i = 0; i < s->labels.n; i++)
		if (!strchr(s->labels.list[i], '=') || s->labels.list[i][0] == '=')
			return wv_yaml_error(y, wv_fields_node(y, node, "scope", "labels"),
					     "scope.labels: expected key=value; got '%.60s'",
					     s->labels.list[i]);
	return note_line(y, node, &d->line);
}

static int check_mode(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	struct wv_mode *m = item;

	for (size_t i = 0; i < m->flags.n; i++)
		if (strspn(m->flags.list[i], "abcdefghijklmnopqrstuvwxyz0123456789-_") !=
		    strlen(m->flags.list[i]))
			return wv_yaml_error(y, wv_fields_node(y, node, "", "flags"),
					     "flags: expected lower-case letters, digits, - and _; "
					     "got '%.60s'",
					     m->flags.list[i]);
	return note_line(y, node, &m->line);
}

static int check_breaker(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	struct wv_breaker *b = item;

	if (!b->burst)
		b->burst = b->limit;
	if (b->per_ns / b->limit == 0)
		return wv_yaml_error(y, node,
				     "breaker '%s': more than one a nanosecond; expected a smaller "
				     "limit, or a longer per",
				     b->name);
	if (b->action == WV_BREAKER_KILL && b->kind >= WV_BREAKER_EGRESS_PACKETS &&
	    b->kind != WV_BREAKER_OOM_KILLS)
		return wv_yaml_error(y, wv_fields_node(y, node, "", "action"),
				     "action: packets have no task to kill; expected deny");
	return note_line(y, node, &b->line);
}

static int check_gate(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	struct wv_gate *g = item;

	if (!g->allow.n && !g->deny.n)
		return wv_yaml_error(y, node,
				     "gate '%s' says nothing; expected an allow or a deny list",
				     g->name);
	return note_line(y, node, &g->line);
}

static int check_priority(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	struct wv_priority *p = item;

	if (p->nice_min == -20 && p->realtime_max == 99 && p->io_class == WV_IO_ANY)
		return wv_yaml_error(y, node,
				     "priority '%s' caps nothing; expected nice_min, realtime_max "
				     "or io_class",
				     p->name);
	return note_line(y, node, &p->line);
}

static int check_rule(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	return note_line(y, node, &((struct wv_rule *)item)->line);
}

static int check_chain(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	struct wv_chain *c = item;

	if (c->backoff_ns > c->backoff_max_ns)
		return wv_yaml_error(y, node, "chain '%s': backoff_max is below backoff", c->name);
	return note_line(y, node, &c->line);
}

static int check_service(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	struct wv_service *s = item;

	if (!s->command.n || s->command.list[0][0] != '/')
		return wv_yaml_error(y, wv_fields_node(y, node, "", "command") ?: node,
				     "command: expected the absolute path of a program first");
	if (!*s->cgroup)
		snprintf(s->cgroup, sizeof(s->cgroup), "/waveos/%s", s->name);
	return note_line(y, node, &s->line);
}

/* One row a list: how it is parsed and where it goes. */
#define LIST(list, type, member, check_item)                                                       \
	{                                                                                          \
		{#list, sizeof(type), offsetof(type, name), &(const type){.name = ""},             \
		 check_item},                                                                      \
			offsetof(struct wv_policy, member), offsetof(struct wv_policy, n_##member) \
	}
static const struct {
	struct wv_list_parse how;
	size_t items, n;
} lists[] = {
	LIST(domains, struct wv_domain, domains, check_domain),
	LIST(modes, struct wv_mode, modes, check_mode),
	LIST(breakers, struct wv_breaker, breakers, check_breaker),
	LIST(gates, struct wv_gate, gates, check_gate),
	LIST(priority, struct wv_priority, priorities, check_priority),
	LIST(rules, struct wv_rule, rules, check_rule),
	LIST(recovery, struct wv_chain, chains, check_chain),
	LIST(services, struct wv_service, services, check_service),
};
#undef LIST

static int parse_features(struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *map)
{
	const char *keys[WV_FEATURE_N + 1];
	int r;

	memcpy(keys, wv_feature_names, sizeof(wv_feature_names));
	keys[WV_FEATURE_N] = NULL;
	if (wv_yaml_is_null(map))
		return 0;
	r = wv_yaml_check_keys(y, map, "section 'features'", keys);
	for (int i = 0; r == 0 && i < WV_FEATURE_N; i++) {
		const yaml_node_t *node = wv_yaml_get(y, map, keys[i]);
		const char *text = node ? wv_yaml_scalar(node) : NULL;

		if (node && (!text || wv_parse_bool(text, &p->features[i]) < 0))
			return wv_yaml_error(y, node, "features.%s: expected true or false",
					     keys[i]);
	}
	return r;
}

/* A single text of the document itself. */
static int parse_text(const struct wv_yaml *y, const yaml_node_t *root, const char *key,
		      bool required, char *ret, size_t size)
{
	const yaml_node_t *node = wv_yaml_get(y, root, key);
	const char *text = node ? wv_yaml_scalar(node) : NULL;
	char expected[WV_EXPECTED_SIZE];

	if (!node && !required)
		return 0;
	if (!node)
		return wv_yaml_error(y, root, "%s is missing; expected %s: web-service", key, key);
	if (!text || !*text || wv_text_parse(WV_STRING, text, ret, size, expected) < 0)
		return wv_yaml_error(y, node, "%s: expected a text of 1 to %zu bytes", key,
				     size - 1);
	return 0;
}

static int parse_head(struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *root)
{
	const yaml_node_t *node = wv_yaml_get(y, root, "schema_version");
	const char *text = node ? wv_yaml_scalar(node) : NULL;
	uint64_t version = 0;
	int r;

	if (!node)
		return wv_yaml_error(y, root,
				     "schema_version is missing; expected "
				     "schema_version: 1");
	if (!text || wv_parse_uint(text, &version) < 0 || version != WV_POLICY_SCHEMA_VERSION)
		return wv_yaml_error(y, node, "schema_version: this agent reads version %d",
				     WV_POLICY_SCHEMA_VERSION);
	r = parse_text(y, root, "name", true, p->name, sizeof(p->name));
	r = r ?: parse_text(y, root, "description", false, p->description, sizeof(p->description));
	node = wv_yaml_get(y, root, "name");
	if (r == 0 && strspn(p->name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(p->name))
		return wv_yaml_error(y, node,
				     "name: expected lower-case letters, digits and dashes; "
				     "got '%.60s'",
				     p->name);
	return r;
}

static int default_modes(struct wv_policy *p)
{
	static const char *const names[] = {"normal", "degraded", "safe"};

	if (p->n_modes)
		return 0;
	p->modes = calloc(ARRAY_SIZE(names), sizeof(*p->modes));
	if (!p->modes)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		snprintf(p->modes[i].name, sizeof(p->modes[i].name), "%s", names[i]);
	p->n_modes = ARRAY_SIZE(names);
	return 0;
}

static int parse_lists(struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *root)
{
	yaml_node_t *budgets = wv_yaml_get(y, root, "budgets");
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(lists); i++) {
		yaml_node_t *node = wv_yaml_get(y, root, lists[i].how.list);

		if (!node || wv_yaml_is_null(node))
			continue;
		r = wv_list_parse(y, node, &lists[i].how, (void *)((char *)p + lists[i].items),
				  (size_t *)((char *)p + lists[i].n));
	}
	if (r == 0 && budgets && !wv_yaml_is_null(budgets))
		r = wv_budgets_parse_list(y, budgets, true, &p->budgets, &p->n_budgets);
	if (r == 0 && p->n_modes > WV_POLICY_MODES_MAX)
		return wv_yaml_error(y, wv_yaml_get(y, root, "modes"), "modes: at most %d",
				     WV_POLICY_MODES_MAX);
	return r ?: default_modes(p);
}

static int parse_document(struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *root)
{
	const char *keys[24] = {"schema_version", "name", "description", "features"},
		   **last = keys + 4;
	const yaml_node_t *features;
	int r;

	for (size_t i = 0; i < wv_policy_lists_count; i++)
		*last++ = wv_policy_lists[i].name;
	*last = NULL;
	r = wv_yaml_check_keys(y, root, "the policy", keys);
	r = r ?: parse_head(p, y, root);
	features = r == 0 ? wv_yaml_get(y, root, "features") : NULL;
	if (features)
		r = parse_features(p, y, features);
	r = r ?: parse_lists(p, y, root);
	return r ?: wv_policy_link(p, y, root);
}

int wv_policy_load_memory(struct wv_policy **ret, const char *name, const char *text, size_t len,
			  struct wv_config_error *ret_error)
{
	_cleanup_(wv_policy_freep) struct wv_policy *p = wv_policy_new();
	struct wv_yaml y = {.name = name, .error = ret_error};
	yaml_document_t doc;
	int r;

	ret_error->text[0] = '\0';
	if (!p)
		return -ENOMEM;
	y.arena = &((struct memory *)p)->arena;
	if (len > FILE_MAX_BYTES)
		return wv_config_fail(ret_error, "%.250s: larger than %u bytes", name,
				      FILE_MAX_BYTES);
	snprintf(p->source, sizeof(p->source), "%s", name);
	wv_sha256_hex(text, len, p->digest);
	r = wv_yaml_load(&y, &doc, text, len);
	if (r == -ENODATA)
		return wv_config_fail(
			ret_error, "%.250s: empty; expected schema_version, name and rules", name);
	if (r < 0)
		return r;
	p->text = wv_arena_alloc(y.arena, 1, len + 1);
	if (p->text)
		memcpy(p->text, text, len);
	p->text_len = len;
	r = p->text ? parse_document(p, &y, yaml_document_get_root_node(&doc)) : -ENOMEM;
	yaml_document_delete(&doc);
	if (r == 0)
		*ret = TAKE_PTR(p);
	return r;
}

int wv_policy_load(struct wv_policy **ret, const char *path, struct wv_config_error *ret_error)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = wv_config_read(path, &text, &len);

	if (r < 0) {
		(void)wv_config_fail(ret_error, "%.250s: %s", path, strerror(-r));
		return r;
	}
	return wv_policy_load_memory(ret, path, text, len, ret_error);
}

int wv_policy_add_budgets(struct wv_policy *p, const struct wv_budget *budgets, size_t n,
			  const char **ret_name)
{
	struct wv_budget *all;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < p->n_budgets; k++)
			if (strcmp(budgets[i].name, p->budgets[k].name) == 0) {
				*ret_name = budgets[i].name;
				return -EEXIST;
			}
	if (!n)
		return 0;
	all = calloc(n + p->n_budgets, sizeof(*all));
	if (!all)
		return -ENOMEM;
	memcpy(all, budgets, n * sizeof(*all));
	for (size_t k = 0; k < p->n_budgets; k++)
		all[n + k] = p->budgets[k];
	free(p->budgets);
	p->budgets = all;
	p->n_budgets += n;
	return 0;
}

enum wv_feature wv_act_feature(enum wv_act act)
{
	static const enum wv_feature features[WV_ACT_N] = {
#define X(id, text, feature, argument) feature,
		WV_ACTS(X)
#undef X
	};

	return features[act];
}
