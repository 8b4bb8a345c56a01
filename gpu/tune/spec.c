// SPDX-License-Identifier: GPL-2.0-only
/* The reader of specifications. */
#include "gpu/tune/spec.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/fields.h"

static const char *const sections[] = {"job", "limits", "start", "knobs", "environment", NULL};

static int get_knob(const struct wv_yaml *y, const yaml_node_t *key, enum wv_tune_knob *ret)
{
	const char *names[WV_TUNE_KNOB_N + 1] = {NULL}, *name = wv_yaml_scalar(key), *near;

	if (name && wv_tune_knob_find(name, ret) == 0)
		return 0;
	for (int i = 0; i < WV_TUNE_KNOB_N; i++)
		names[i] = wv_tune_knobs[i].name;
	near = name ? wv_suggest(name, names) : NULL;
	return wv_yaml_error(y, key, "'%.60s' is no knob%s%s%s", name ?: "",
			     near ? "; did you mean '" : "", near ?: "",
			     near ? "'?" : " (docs/gpu-tune-spec.md lists them)");
}

static int get_value(const struct wv_yaml *y, const yaml_node_t *node, enum wv_tune_knob knob,
		     int32_t *ret)
{
	const char *text = wv_yaml_scalar(node);
	const struct wv_tune_knob_def *d = &wv_tune_knobs[knob];

	if (text && wv_tune_value_parse(knob, text, ret) == 0)
		return 0;
	return wv_yaml_error(y, node, "%s: expected %s, got '%.60s'", d->name,
			     d->kind == WV_TUNE_CHOICE ? d->choices
			     : d->kind == WV_TUNE_BOOL ? "true or false"
						       : "a whole number",
			     text ?: wv_yaml_kind(node));
}

static int each_pair(const struct wv_yaml *y, const yaml_node_t *map, const char *where,
		     int (*each)(const struct wv_yaml *y, const yaml_node_t *key,
				 const yaml_node_t *value, struct wv_tune_spec *s),
		     struct wv_tune_spec *s)
{
	int r = 0;

	if (!map || wv_yaml_is_null(map))
		return 0;
	if (map->type != YAML_MAPPING_NODE)
		return wv_yaml_error(y, map, "%s: expected a mapping (key: value), got %s", where,
				     wv_yaml_kind(map));
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start;
	     r == 0 && p < map->data.mapping.pairs.top; p++)
		r = each(y, yaml_document_get_node(y->doc, p->key),
			 yaml_document_get_node(y->doc, p->value), s);
	return r;
}

static int take_start(const struct wv_yaml *y, const yaml_node_t *key, const yaml_node_t *value,
		      struct wv_tune_spec *s)
{
	enum wv_tune_knob knob;
	int r = get_knob(y, key, &knob);

	if (r == 0 && s->space.start.value[knob] != WV_TUNE_UNSET)
		return wv_yaml_error(y, key, "key '%s' in section 'start' is given twice",
				     wv_tune_knobs[knob].name);
	return r < 0 ? r : get_value(y, value, knob, &s->space.start.value[knob]);
}

static int add_value(const struct wv_yaml *y, const yaml_node_t *node, enum wv_tune_knob knob,
		     struct wv_tune_spec *s)
{
	int32_t value;
	int r = get_value(y, node, knob, &value);

	if (r == 0)
		r = wv_tune_space_add(&s->space, knob, value);
	if (r == -ENOSPC)
		return wv_yaml_error(y, node, "%s: more than %d values", wv_tune_knobs[knob].name,
				     WV_TUNE_VALUES);
	return r;
}

/* A list of values, one value, or `default`: those of the table. */
static int take_knob(const struct wv_yaml *y, const yaml_node_t *key, const yaml_node_t *value,
		     struct wv_tune_spec *s)
{
	const char *text = wv_yaml_scalar(value);
	enum wv_tune_knob knob;
	int r = get_knob(y, key, &knob);

	if (r < 0)
		return r;
	if (knob == WV_TUNE_ACCUMULATE)
		return wv_yaml_error(y, key,
				     "batch.accumulate follows from job.global_batch and "
				     "batch.micro; list batch.micro");
	if (s->space.knob[knob].n)
		return wv_yaml_error(y, key, "key '%s' in section 'knobs' is given twice",
				     wv_tune_knobs[knob].name);
	if (text && strcmp(text, "default") == 0) {
		wv_tune_space_allow(&s->space, knob);
		return 0;
	}
	if (value->type != YAML_SEQUENCE_NODE)
		return add_value(y, value, knob, s);
	for (yaml_node_item_t *i = value->data.sequence.items.start;
	     r == 0 && i < value->data.sequence.items.top; i++)
		r = add_value(y, yaml_document_get_node(y->doc, *i), knob, s);
	return r;
}

static int check_template(const struct wv_yaml *y, const yaml_node_t *at, const char *text,
			  const struct wv_tune_spec *s)
{
	struct wv_tune_trial trial = {.point = s->space.start};
	_cleanup_free_ char *made = NULL;
	const char *knob = NULL;
	int r = wv_tune_spec_expand(text, &trial, &made, &knob);

	if (r == -ENODATA)
		return wv_yaml_error(y, at,
				     "{%s} has no value at the start: give one in section "
				     "'start'",
				     knob);
	return r;
}

static bool is_name(const char *s)
{
	static const char letters[] =
		"_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

	return *s && (*s < '0' || *s > '9') && strspn(s, letters) == strlen(s);
}

static int take_environment(const struct wv_yaml *y, const yaml_node_t *key,
			    const yaml_node_t *value, struct wv_tune_spec *s)
{
	const char *name = wv_yaml_scalar(key), *text = wv_yaml_scalar(value);

	if (!name || !is_name(name) || strncmp(name, "WAVEOS_", 7) == 0)
		return wv_yaml_error(y, key,
				     "'%.60s': expected the name of a variable that is not "
				     "the tuner's own (WAVEOS_*)",
				     name ?: "");
	if (!text)
		return wv_yaml_error(y, value, "%.60s: expected a text, got %s", name,
				     wv_yaml_kind(value));
	if (s->n_environment == WV_TUNE_ENVIRONMENT)
		return wv_yaml_error(y, key, "more than %d variables", WV_TUNE_ENVIRONMENT);
	s->environment[s->n_environment].name = wv_arena_strdup(&s->arena, name);
	s->environment[s->n_environment].value = wv_arena_strdup(&s->arena, text);
	if (!s->environment[s->n_environment].name || !s->environment[s->n_environment].value)
		return -ENOMEM;
	s->n_environment++;
	return 0;
}

/* A section by the rows of the table; what is not given has its defaults. */
static int take_fields(const struct wv_yaml *y, yaml_node_t *root, const char *section,
		       struct wv_tune_spec *s)
{
	yaml_node_t *node = wv_yaml_get(y, root, section);
	yaml_document_t empty;
	int r;

	if (node && !wv_yaml_is_null(node))
		return wv_fields_parse(y, node, section, s);
	if (!yaml_document_initialize(&empty, NULL, NULL, NULL, 1, 1))
		return -ENOMEM;
	r = yaml_document_add_mapping(&empty, NULL, YAML_ANY_MAPPING_STYLE);
	if (r) {
		struct wv_yaml none = {
			.name = y->name, .doc = &empty, .error = y->error, .arena = y->arena};

		r = wv_fields_parse(&none, yaml_document_get_root_node(&empty), section, s);
	} else {
		r = -ENOMEM;
	}
	yaml_document_delete(&empty);
	return r;
}

static void set_limits(struct wv_tune_spec *s)
{
	struct wv_tune_limits *l = &s->limits;

	*l = wv_tune_limits_default();
	l->trials = (uint32_t)s->trials;
	l->budget_ns = s->budget_ns;
	l->gain_ppm = (uint32_t)s->gain_permille * 1000;
	l->guard = s->guard;
	l->seed = s->seed;
	if (s->warmup_steps)
		l->warmup_steps = (uint32_t)s->warmup_steps;
	for (uint32_t i = 0; s->probe_steps && i < 3; i++)
		l->rung_steps[i] = (uint32_t)s->probe_steps << i;
	if (s->confirm_steps)
		l->confirm_steps = (uint32_t)s->confirm_steps;
	if (s->pairs_min)
		l->pairs_min = (uint32_t)s->pairs_min;
	if (s->pairs_max)
		l->pairs_max = (uint32_t)s->pairs_max;
	l->runs = l->trials + 2 * l->pairs_max;
	if (l->runs > WV_TUNE_RUNS)
		l->runs = WV_TUNE_RUNS;
}

static int check_whole(const struct wv_yaml *y, yaml_node_t *root, struct wv_tune_spec *s)
{
	const yaml_node_t *job = wv_yaml_get(y, root, "job"), *at = job ?: root;
	const char *wrong = wv_tune_space_close(&s->space);
	int r = 0;

	if (wrong)
		return wv_yaml_error(y, wv_yaml_get(y, root, "knobs") ?: root, "%s", wrong);
	set_limits(s);
	for (uint32_t i = 0; i < 3; i++)
		if (s->limits.rung_steps[i] + s->limits.warmup_steps > WV_TUNE_STEPS)
			return wv_yaml_error(y, root,
					     "limits.steps: a trial would have more than "
					     "%d steps; ask for fewer",
					     WV_TUNE_STEPS);
	if (s->limits.pairs_max < s->limits.pairs_min)
		return wv_yaml_error(y, root, "limits.pairs: max is below min");
	for (size_t i = 0; r == 0 && i < s->arguments.n; i++)
		r = check_template(y, at, s->arguments.list[i], s);
	for (size_t i = 0; r == 0 && i < s->n_environment; i++)
		r = check_template(y, wv_yaml_get(y, root, "environment"), s->environment[i].value,
				   s);
	return r;
}

static int take_all(const struct wv_yaml *y, yaml_node_t *root, struct wv_tune_spec *s,
		    uint32_t cpus)
{
	int r = wv_yaml_check_keys(y, root, "the specification", sections);

	if (r == 0 && !wv_yaml_get(y, root, "knobs"))
		return wv_yaml_error(y, root,
				     "'knobs' is missing: which knobs may be turned, such "
				     "as \"loader.workers: default\"");
	if (r == 0)
		r = take_fields(y, root, "job", s);
	if (r == 0)
		r = take_fields(y, root, "limits", s);
	if (r < 0)
		return r;
	s->space.global_batch = (uint32_t)s->global_batch;
	s->space.world = (uint32_t)s->world;
	s->space.cpus = s->cpus ? (uint32_t)s->cpus : cpus;
	s->space.memory_limit_bytes = s->device_memory;
	r = each_pair(y, wv_yaml_get(y, root, "start"), "start", take_start, s);
	if (r == 0)
		r = each_pair(y, wv_yaml_get(y, root, "knobs"), "knobs", take_knob, s);
	if (r == 0)
		r = each_pair(y, wv_yaml_get(y, root, "environment"), "environment",
			      take_environment, s);
	return r < 0 ? r : check_whole(y, root, s);
}

int wv_tune_spec_parse(struct wv_tune_spec *ret, const char *name, const char *text, size_t len,
		       uint32_t cpus, struct wv_config_error *ret_error)
{
	struct wv_tune_spec s = {0};
	struct wv_yaml y = {.name = name, .error = ret_error, .arena = &s.arena};
	yaml_document_t doc;
	int r;

	ret_error->text[0] = '\0';
	r = wv_yaml_load(&y, &doc, text, len);
	if (r == -ENODATA)
		return wv_config_fail(ret_error,
				      "%.250s: empty; expected sections job, limits, start, knobs, "
				      "environment",
				      name);
	if (r < 0)
		return *ret_error->text
			       ? r
			       : wv_config_fail(ret_error, "%.250s: %s", name, strerror(-r));
	wv_tune_space_init(&s.space);
	r = take_all(&y, yaml_document_get_root_node(&doc), &s, cpus);
	yaml_document_delete(&doc);
	if (r < 0) {
		wv_tune_spec_done(&s);
		return *ret_error->text
			       ? r
			       : wv_config_fail(ret_error, "%.250s: %s", name, strerror(-r));
	}
	*ret = s;
	return 0;
}

void wv_tune_spec_done(struct wv_tune_spec *s)
{
	wv_arena_done(&s->arena);
}

/* The text for what stands in braces; NULL: nothing of ours. */
static const char *value_of(const char *word, const struct wv_tune_trial *t, char *buf, size_t size,
			    const char **ret_missing)
{
	enum wv_tune_knob knob;

	if (strcmp(word, "seed") == 0 || strcmp(word, "steps") == 0) {
		snprintf(buf, size, "%" PRIu64, word[1] == 'e' ? t->seed : (uint64_t)t->steps);
		return buf;
	}
	if (wv_tune_knob_find(word, &knob) < 0)
		return NULL;
	if (t->point.value[knob] == WV_TUNE_UNSET)
		*ret_missing = wv_tune_knobs[knob].name;
	return wv_tune_value_text(knob, t->point.value[knob], buf, size);
}

int wv_tune_spec_expand(const char *template, const struct wv_tune_trial *trial, char **ret,
			const char **ret_knob)
{
	_cleanup_free_ char *made = NULL;
	const char *missing = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&made, &size);

	if (!f)
		return -ENOMEM;
	for (const char *p = template; *p; p++) {
		size_t n = *p == '{' ? strcspn(p + 1, "{}") : 0;
		char word[32], buf[32];
		const char *value = NULL;

		if (n && n < sizeof(word) && p[n + 1] == '}') {
			memcpy(word, p + 1, n);
			word[n] = '\0';
			value = value_of(word, trial, buf, sizeof(buf), &missing);
		}
		if (value) {
			fputs(value, f);
			p += n + 1;
		} else {
			fputc(*p, f);
		}
	}
	if (fclose(f) != 0)
		return -ENOMEM;
	if (missing) {
		if (ret_knob)
			*ret_knob = missing;
		return -ENODATA;
	}
	*ret = TAKE_PTR(made);
	return 0;
}
