// SPDX-License-Identifier: GPL-2.0-only
/* The policy in force, with what files say of its state: modes of domains, rules that are open. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "user/agent/policy_source.h"
#include "user/api/api.h"
#include "user/core/cleanup.h"
#include "user/flow/budget.h"
#include "user/policy/policy.h"
#include "user/rules/modes.h"
#include "user/rules/store.h"

#define ENV_MAX_BYTES 65536
#define SEVERITIES 3

static const char *const severities[SEVERITIES] = {"info", "warning", "critical"};

static void json_release(struct json_object **o)
{
	json_object_put(*o);
}

static void add(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static void add_u64(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

/* WAVEOS_MODE of <runtime>/domains/<name>.env; the first mode where there is no file. */
static void add_mode(const struct wv_api *a, struct json_object *o, const struct wv_policy *p,
		     const char *domain)
{
	char path[WV_PATH_SIZE + 32], file[WV_POLICY_NAME + 8];
	_cleanup_close_ int dir = -1;
	_cleanup_free_ char *text = NULL;
	const char *mode = NULL;
	size_t len;

	snprintf(path, sizeof(path), "%s/" WV_MODES_DIR, a->paths->runtime);
	snprintf(file, sizeof(file), "%s.env", domain);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0 && wv_io_read_file(a->io, dir, file, ENV_MAX_BYTES, &text, &len) == 0)
		mode = strstr(text, "WAVEOS_MODE=");
	if (mode) {
		mode += strlen("WAVEOS_MODE=");
		json_object_object_add(o, "mode",
				       json_object_new_string_len(mode, (int)strcspn(mode, "\n")));
	} else if (p->n_modes) {
		add(o, "mode", p->modes[0].name);
	}
}

static struct json_object *domains(const struct wv_api *a, const struct wv_policy *p)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < p->n_domains; i++) {
		struct json_object *o = json_object_new_object();

		add(o, "name", p->domains[i].name);
		add(o, "scope", p->domains[i].scope.cgroup);
		add_mode(a, o, p, p->domains[i].name);
		json_object_array_add(list, o);
	}
	return list;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) ?: "" : "";
}

/* Path of a cgroup in the published sample; NULL: it is gone. */
static const char *path_of(const struct wv_sample *s, uint64_t key)
{
	for (uint32_t i = 0; i < s->used_rows; i++)
		if (s->rows[i].key == key && (s->rows[i].flags & WV_ROW_LIVE))
			return s->rows[i].path;
	return NULL;
}

/* States of a rule in cgroups where it is not closed, out of rules.json. */
static struct json_object *rule_states(struct json_object *stored, const char *rule,
				       const struct wv_sample *sample)
{
	struct json_object *list = json_object_new_array(), *states;

	if (!json_object_object_get_ex(stored, "states", &states) ||
	    !json_object_is_type(states, json_type_array))
		return list;
	for (size_t i = 0; i < json_object_array_length(states); i++) {
		struct json_object *s = json_object_array_get_idx(states, i), *o, *key, *since;

		if (strcmp(text_of(s, "rule"), rule) != 0)
			continue;
		o = json_object_new_object();
		if (json_object_object_get_ex(s, "cgroup_key", &key)) {
			const char *path = path_of(sample, json_object_get_uint64(key));

			json_object_object_add(o, "cgroup_key", json_object_get(key));
			if (path)
				add(o, "cgroup", path);
		}
		if (json_object_object_get_ex(s, "since_ns", &since))
			json_object_object_add(o, "since_mono_ns", json_object_get(since));
		add(o, "state", text_of(s, "state"));
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *rules(const struct wv_api *a, const struct wv_policy *p)
{
	_cleanup_(json_release) struct json_object *stored = wv_rules_load(a->io, a->paths->state);
	struct json_object *list = json_object_new_array();
	struct wv_sample sample = {.used_rows = 0};
	struct wv_snapshot head;

	/* for paths only; without it there are keys */
	if (a->snapshot && wv_sample_init(&sample, a->snapshot->head->max_rows) == 0 &&
	    wv_snapshot_read(a->snapshot, &sample, &head) < 0)
		sample.used_rows = 0;
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct wv_rule *r = &p->rules[i];
		struct json_object *o = json_object_new_object(), *states, *acts;

		add(o, "name", r->name);
		add(o, "domain", r->domain);
		add(o, "if", r->condition);
		add_u64(o, "for_ns", r->for_ns);
		add(o, "clear", r->clear);
		add(o, "severity",
		    severities[r->severity >= 0 && r->severity < SEVERITIES ? r->severity : 0]);
		add(o, "route", r->route);
		acts = json_object_new_array();
		for (size_t k = 0; k < r->action_texts.n; k++)
			json_object_array_add(acts,
					      json_object_new_string(r->action_texts.list[k]));
		json_object_object_add(o, "then", acts);
		states = rule_states(stored, r->name, &sample);
		add(o, "state", json_object_array_length(states) ? "open" : "closed");
		json_object_object_add(o, "states", states);
		json_object_array_add(list, o);
	}
	wv_sample_done(&sample);
	return list;
}

static struct json_object *breakers(const struct wv_policy *p)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < p->n_breakers; i++) {
		const struct wv_breaker *b = &p->breakers[i];
		struct json_object *o = json_object_new_object();

		add(o, "name", b->name);
		add(o, "domain", b->domain);
		add(o, "kind", wv_breaker_kind_names[b->kind]);
		add(o, "action", b->action == WV_BREAKER_KILL ? "kill" : "deny");
		add_u64(o, "limit", b->limit);
		add_u64(o, "burst", b->burst);
		add_u64(o, "per_ns", b->per_ns);
		/* it is in the kernel's maps: records breaker-trip and breaker-close tell of it */
		json_object_object_add(o, "state", NULL);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *gates(const struct wv_policy *p)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < p->n_gates; i++) {
		struct json_object *o = json_object_new_object();

		add(o, "name", p->gates[i].name);
		add(o, "domain", p->gates[i].domain);
		add(o, "kind", wv_gate_kind_names[p->gates[i].kind]);
		add(o, "mode", p->gates[i].enforce ? "enforce" : "audit");
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *budgets(const struct wv_policy *p)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < p->n_budgets; i++) {
		struct json_object *o = json_object_new_object();

		add(o, "name", p->budgets[i].name);
		add(o, "cgroup", p->budgets[i].cgroup);
		json_object_array_add(list, o);
	}
	return list;
}

int wv_api_policy(const struct wv_api *a, const struct wv_api_ask *ask _unused_, FILE *out)
{
	_cleanup_(wv_policy_freep) struct wv_policy *p = NULL;
	_cleanup_(json_release) struct json_object *o = NULL;
	struct wv_config_error error = {.text = ""};
	struct json_object *modes;
	int r = wv_policy_accepted(&p, a->config, a->paths, &error);

	if (r < 0)
		return r;
	o = json_object_new_object();
	modes = json_object_new_array();
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	add(o, "name", p->name);
	add(o, "description", p->description);
	add(o, "file", p->source);
	add(o, "sha256", p->digest);
	for (size_t i = 0; i < p->n_modes; i++)
		json_object_array_add(modes, json_object_new_string(p->modes[i].name));
	json_object_object_add(o, "modes", modes);
	json_object_object_add(o, "domains", domains(a, p));
	json_object_object_add(o, "rules", rules(a, p));
	json_object_object_add(o, "breakers", breakers(p));
	json_object_object_add(o, "gates", gates(p));
	json_object_object_add(o, "budgets", budgets(p));
	fputs(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							JSON_C_TO_STRING_NOSLASHESCAPE),
	      out);
	return 200;
}
