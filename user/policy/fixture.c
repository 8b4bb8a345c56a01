// SPDX-License-Identifier: GPL-2.0-only
#include "user/policy/fixture.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

#define STEPS_MAX 256
#define EXPECT_MAX 256
/* 1970 and boot are not special: any start does, as long as it is not 0 */
#define START_NS 1000000000000ULL
#define START_WALL_NS 1700000000000000000ULL

/* What a figure does from some step on. */
struct setting {
	uint32_t slot;
	int signal, hist;  /* one of them is -1 */
	double per_second; /* counters and histograms */
	uint64_t value;	   /* gauges; histograms: the observation, ns */
	unsigned step;
};

struct wv_fixture {
	char name[256], recorded[128];
	uint64_t tick_ns, steps[STEPS_MAX]; /* lengths */
	unsigned n_steps;
	struct setting *settings; /* by step */
	size_t n_settings;
	struct wv_expectation expected[EXPECT_MAX];
	size_t n_expected;
	struct wv_mode_expectation modes[EXPECT_MAX];
	size_t n_modes;
	struct wv_sample sample;
	/* of the run: what each figure does now, and the part of it that is below 1 */
	struct setting *now;
	double *rest;
	size_t n_now;
	unsigned step;
	uint64_t step_end_ns;
};

static uint32_t slot_of(const struct wv_fixture *f, const char *path)
{
	for (uint32_t i = 1; i < f->sample.used_rows; i++)
		if (strcmp(f->sample.rows[i].path, path) == 0)
			return i;
	return 0;
}

/* The cgroup and those above it. 0: no room. */
static uint32_t add_cgroup(struct wv_fixture *f, const char *path)
{
	uint32_t slot = slot_of(f, path), parent = 1;
	char above[WV_ROW_PATH_MAX];
	struct wv_row *row;

	if (slot)
		return slot;
	if (strcmp(path, "/") != 0) {
		snprintf(above, sizeof(above), "%s", path);
		*strrchr(above, '/') = '\0';
		parent = add_cgroup(f, *above ? above : "/");
	}
	slot = f->sample.used_rows;
	if (!parent || slot >= f->sample.max_rows)
		return 0;
	row = &f->sample.rows[slot];
	*row = (struct wv_row){.key = 0x1000 + slot,
			       .flags = WV_ROW_LIVE | WV_ROW_ACTIVE,
			       .parent_slot = parent,
			       .created_mono_ns = START_NS};
	row->path_len = (uint16_t)snprintf(row->path, sizeof(row->path), "%.255s", path);
	f->sample.used_rows++;
	return slot;
}

/* "12/s", "1.5G/s": a number in stored units a second. */
static bool parse_rate(const char *text, enum wv_scale scale, double *ret)
{
	char buf[64];
	size_t len = strlen(text);
	uint64_t v;
	char *end;

	if (len < 3 || len >= sizeof(buf) || strcmp(text + len - 2, "/s") != 0)
		return false;
	memcpy(buf, text, len - 2);
	buf[len - 2] = '\0';
	if (scale == WV_BYTES_SCALE && wv_parse_bytes(buf, &v) == 0) {
		*ret = (double)v;
		return true;
	}
	if ((scale == WV_NS || scale == WV_US) && wv_parse_duration(buf, &v) == 0) {
		*ret = (double)v / (scale == WV_US ? 1000 : 1);
		return true;
	}
	*ret = strtod(buf, &end);
	return !*end && isfinite(*ret) && *ret >= 0;
}

static bool parse_value(const char *text, enum wv_scale scale, uint64_t *ret)
{
	if (scale == WV_BYTES_SCALE)
		return wv_parse_bytes(text, ret) == 0;
	if (scale == WV_NS)
		return wv_parse_duration(text, ret) == 0;
	if (scale == WV_US)
		return wv_parse_duration_us(text, ret) == 0;
	return wv_parse_uint(text, ret) == 0;
}

/* "20ms 100/s": so many observations of so long a second. */
static bool parse_observations(const char *text, struct setting *s)
{
	char buf[64], *blank;

	snprintf(buf, sizeof(buf), "%s", text);
	blank = strchr(buf, ' ');
	if (!blank)
		return false;
	*blank = '\0';
	return wv_parse_duration(buf, &s->value) == 0 &&
	       parse_rate(blank + 1, WV_ONE, &s->per_second);
}

static int hist_by_name(const char *name)
{
	for (int i = 0; i < WV_HIST_N; i++)
		if (strcmp(wv_hists[i].name, name) == 0)
			return i;
	return -1;
}

static int unknown_figure(const struct wv_yaml *y, const yaml_node_t *at, const char *name)
{
	const char *names[WV_SIG_N + WV_HIST_N + 1], *near;
	size_t n = 0;

	for (int i = 0; i < WV_SIG_N; i++)
		names[n++] = wv_signals[i].name;
	for (int i = 0; i < WV_HIST_N; i++)
		names[n++] = wv_hists[i].name;
	names[n] = NULL;
	near = wv_suggest(name, names);
	return wv_yaml_error(y, at, "no signal or histogram is named '%.60s'%s%s%s", name,
			     near ? "; did you mean '" : "", near ?: "", near ? "'?" : "");
}

static int parse_figure(const struct wv_yaml *y, const yaml_node_t *at, const char *name,
			const char *text, struct setting *s)
{
	s->signal = wv_signal_by_name(name);
	s->hist = s->signal < 0 ? hist_by_name(name) : -1;
	if (s->hist >= 0)
		return parse_observations(text, s)
			       ? 0
			       : wv_yaml_error(y, at,
					       "%s: expected a duration and a rate, such as "
					       "20ms 100/s",
					       name);
	if (s->signal < 0)
		return unknown_figure(y, at, name);
	if (wv_signal_is_counter((enum wv_signal)s->signal))
		return parse_rate(text, wv_signals[s->signal].scale, &s->per_second)
			       ? 0
			       : wv_yaml_error(
					 y, at,
					 "%s is a counter: expected its change a second, such "
					 "as 10/s, 1M/s or 200ms/s",
					 name);
	return parse_value(text, wv_signals[s->signal].scale, &s->value)
		       ? 0
		       : wv_yaml_error(y, at, "%s: expected a value such as 10, 64M or 5ms", name);
}

static int add_setting(struct wv_fixture *f, const struct setting *s)
{
	struct setting *bigger = reallocarray(f->settings, f->n_settings + 1, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	f->settings = bigger;
	bigger[f->n_settings++] = *s;
	return 0;
}

/* {signal: value, ...} of one cgroup */
static int parse_figures(struct wv_fixture *f, const struct wv_yaml *y, const yaml_node_t *map,
			 struct setting s)
{
	int r = 0;

	if (map->type != YAML_MAPPING_NODE)
		return wv_yaml_error(y, map, "expected signals and values: {mem_usage_bytes: 64M}");
	for (const yaml_node_pair_t *p = map->data.mapping.pairs.start;
	     r == 0 && p < map->data.mapping.pairs.top; p++) {
		const yaml_node_t *key = yaml_document_get_node(y->doc, p->key);
		const yaml_node_t *value = yaml_document_get_node(y->doc, p->value);
		const char *name = wv_yaml_scalar(key), *text = wv_yaml_scalar(value);

		if (!name || !text)
			return wv_yaml_error(y, key, "expected a signal and a value");
		r = parse_figure(y, value, name, text, &s);
		if (r == 0)
			r = add_setting(f, &s);
	}
	return r;
}

/* {path: {...}, ...} */
static int parse_set(struct wv_fixture *f, const struct wv_yaml *y, const yaml_node_t *map)
{
	int r = 0;

	if (map->type != YAML_MAPPING_NODE)
		return wv_yaml_error(y, map, "set: expected cgroups and their signals");
	for (const yaml_node_pair_t *p = map->data.mapping.pairs.start;
	     r == 0 && p < map->data.mapping.pairs.top; p++) {
		const yaml_node_t *key = yaml_document_get_node(y->doc, p->key);
		const char *path = wv_yaml_scalar(key);
		char clean[WV_ROW_PATH_MAX], expected[WV_EXPECTED_SIZE];
		struct setting s = {.step = f->n_steps};

		if (!path || wv_text_parse(WV_CGROUP, path, clean, sizeof(clean), expected) < 0)
			return wv_yaml_error(y, key, "expected the path of a cgroup");
		s.slot = add_cgroup(f, clean);
		if (!s.slot)
			return wv_yaml_error(y, key, "more than %d cgroups", WV_FIXTURE_CGROUPS);
		r = parse_figures(f, y, yaml_document_get_node(y->doc, p->value), s);
	}
	return r;
}

static int parse_time(const struct wv_yaml *y, const yaml_node_t *map, const char *key,
		      uint64_t tick_ns, uint64_t *ret)
{
	const yaml_node_t *node = wv_yaml_get(y, map, key);
	const char *text = node ? wv_yaml_scalar(node) : NULL;

	if (!text || wv_parse_duration(text, ret) < 0)
		return wv_yaml_error(y, node ?: map, "%s: expected a duration, such as 10s", key);
	if (*ret % tick_ns)
		return wv_yaml_error(y, node, "%s: expected a multiple of the tick", key);
	return 0;
}

static int parse_steps(struct wv_fixture *f, const struct wv_yaml *y, const yaml_node_t *list)
{
	static const char *const keys[] = {"for", "set", NULL};
	int r = 0;

	if (!list || list->type != YAML_SEQUENCE_NODE)
		return wv_yaml_error(y, list ?: yaml_document_get_root_node(y->doc),
				     "steps: expected a list of {for, set}");
	for (const yaml_node_item_t *i = list->data.sequence.items.start;
	     r == 0 && i < list->data.sequence.items.top; i++) {
		const yaml_node_t *item = yaml_document_get_node(y->doc, *i);
		const yaml_node_t *set;

		if (f->n_steps == STEPS_MAX)
			return wv_yaml_error(y, item, "more than %d steps", STEPS_MAX);
		r = wv_yaml_check_keys(y, item, "a step", keys);
		r = r ?: parse_time(y, item, "for", f->tick_ns, &f->steps[f->n_steps]);
		set = r == 0 ? wv_yaml_get(y, item, "set") : NULL;
		if (set)
			r = parse_set(f, y, set);
		f->n_steps++;
	}
	return r;
}

static int parse_word(const struct wv_yaml *y, const yaml_node_t *map, const char *key, char *ret,
		      size_t size)
{
	const yaml_node_t *node = wv_yaml_get(y, map, key);
	const char *text = node ? wv_yaml_scalar(node) : NULL;

	if (!text || strlen(text) >= size)
		return wv_yaml_error(y, node ?: map, "%s: expected a name", key);
	snprintf(ret, size, "%s", text);
	return 0;
}

static int parse_to(const struct wv_yaml *y, const yaml_node_t *item, struct wv_expectation *e)
{
	char to[32];
	int r = parse_word(y, item, "to", to, sizeof(to));

	if (r < 0)
		return r;
	for (e->to = 0; e->to < WV_RULE_STATE_N; e->to++)
		if (strcmp(to, wv_rule_state_names[e->to]) == 0)
			return 0;
	return wv_yaml_error(y, wv_yaml_get(y, item, "to"),
			     "to: expected open, half-open or closed; got '%.30s'", to);
}

static int parse_expected(struct wv_fixture *f, const struct wv_yaml *y, const yaml_node_t *item)
{
	static const char *const keys[] = {"at", "rule", "cgroup", "to", "withheld", NULL};
	struct wv_expectation *e = &f->expected[f->n_expected];
	const yaml_node_t *withheld;
	int r;

	if (f->n_expected == EXPECT_MAX)
		return wv_yaml_error(y, item, "more than %d expectations", EXPECT_MAX);
	e->line = (unsigned)item->start_mark.line + 1;
	r = wv_yaml_check_keys(y, item, "an expectation", keys);
	r = r ?: parse_time(y, item, "at", f->tick_ns, &e->at_ns);
	r = r ?: parse_word(y, item, "rule", e->rule, sizeof(e->rule));
	r = r ?: parse_word(y, item, "cgroup", e->cgroup, sizeof(e->cgroup));
	r = r ?: parse_to(y, item, e);
	withheld = r == 0 ? wv_yaml_get(y, item, "withheld") : NULL;
	if (withheld && (!wv_yaml_scalar(withheld) ||
			 wv_parse_bool(wv_yaml_scalar(withheld), &e->withheld) < 0))
		return wv_yaml_error(y, withheld, "withheld: expected true or false");
	f->n_expected++;
	return r;
}

static int parse_mode(struct wv_fixture *f, const struct wv_yaml *y, const yaml_node_t *item)
{
	static const char *const keys[] = {"at", "domain", "mode", NULL};
	struct wv_mode_expectation *e = &f->modes[f->n_modes];
	int r;

	if (f->n_modes == EXPECT_MAX)
		return wv_yaml_error(y, item, "more than %d expectations", EXPECT_MAX);
	e->line = (unsigned)item->start_mark.line + 1;
	r = wv_yaml_check_keys(y, item, "a mode expectation", keys);
	r = r ?: parse_time(y, item, "at", f->tick_ns, &e->at_ns);
	r = r ?: parse_word(y, item, "domain", e->domain, sizeof(e->domain));
	r = r ?: parse_word(y, item, "mode", e->mode, sizeof(e->mode));
	f->n_modes++;
	return r;
}

static int parse_list(struct wv_fixture *f, const struct wv_yaml *y, const yaml_node_t *list,
		      const char *name,
		      int (*parse)(struct wv_fixture *, const struct wv_yaml *,
				   const yaml_node_t *))
{
	int r = 0;

	if (!list || wv_yaml_is_null(list))
		return 0;
	if (list->type != YAML_SEQUENCE_NODE)
		return wv_yaml_error(y, list, "%s: expected a list", name);
	for (const yaml_node_item_t *i = list->data.sequence.items.start;
	     r == 0 && i < list->data.sequence.items.top; i++)
		r = parse(f, y, yaml_document_get_node(y->doc, *i));
	return r;
}

/* Steps, or a folder with recorded samples. */
static int parse_source(struct wv_fixture *f, const struct wv_yaml *y, const yaml_node_t *root)
{
	const yaml_node_t *recorded = wv_yaml_get(y, root, "recorded");
	int r;

	if (!recorded)
		return parse_steps(f, y, wv_yaml_get(y, root, "steps"));
	if (wv_yaml_get(y, root, "steps"))
		return wv_yaml_error(y, recorded, "recorded: expected either this or steps");
	r = parse_word(y, root, "recorded", f->recorded, sizeof(f->recorded));
	if (r == 0 && (f->recorded[0] == '/' || strstr(f->recorded, "..")))
		return wv_yaml_error(y, recorded, "recorded: expected a folder beside the fixture");
	return r;
}

static int parse_document(struct wv_fixture *f, const struct wv_yaml *y, const yaml_node_t *root)
{
	static const char *const keys[] = {"description", "tick",  "steps", "recorded",
					   "expect",	  "modes", NULL};
	int r = wv_yaml_check_keys(y, root, "the fixture", keys);

	f->tick_ns = 1000000000;
	if (r == 0 && wv_yaml_get(y, root, "tick"))
		r = parse_time(y, root, "tick", 1, &f->tick_ns);
	if (r == 0 && !f->tick_ns)
		return wv_yaml_error(y, wv_yaml_get(y, root, "tick"),
				     "tick: expected more than 0s");
	if (r == 0 && !add_cgroup(f, "/"))
		return -ENOMEM;
	r = r ?: parse_source(f, y, root);
	r = r ?: parse_list(f, y, wv_yaml_get(y, root, "expect"), "expect", parse_expected);
	return r ?: parse_list(f, y, wv_yaml_get(y, root, "modes"), "modes", parse_mode);
}

int wv_fixture_load_memory(struct wv_fixture **ret, const char *name, const char *text, size_t len,
			   struct wv_config_error *ret_error)
{
	struct wv_yaml y = {.name = name, .error = ret_error};
	struct wv_fixture *f = calloc(1, sizeof(*f));
	yaml_document_t doc;
	int r = f ? wv_sample_init(&f->sample, WV_FIXTURE_CGROUPS + 2) : -ENOMEM;

	ret_error->text[0] = '\0';
	if (r == 0) {
		f->sample.used_rows = 1;
		snprintf(f->name, sizeof(f->name), "%s", name);
		r = wv_yaml_load(&y, &doc, text, len);
	}
	if (r == -ENODATA)
		r = wv_config_fail(ret_error, "%.250s: empty; expected steps and expect", name);
	else if (r == 0) {
		r = parse_document(f, &y, yaml_document_get_root_node(&doc));
		yaml_document_delete(&doc);
	}
	if (r == 0) {
		f->now = calloc(f->n_settings + 1, sizeof(*f->now));
		f->rest = calloc(f->n_settings + 1, sizeof(*f->rest));
		r = f->now && f->rest ? 0 : -ENOMEM;
	}
	if (r < 0) {
		wv_fixture_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

int wv_fixture_load(struct wv_fixture **ret, const char *path, struct wv_config_error *ret_error)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = wv_config_read(path, &text, &len);

	if (r < 0) {
		(void)wv_config_fail(ret_error, "%.250s: %s", path, strerror(-r));
		return r;
	}
	return wv_fixture_load_memory(ret, path, text, len, ret_error);
}

void wv_fixture_free(struct wv_fixture *f)
{
	if (!f)
		return;
	wv_sample_done(&f->sample);
	free(f->settings);
	free(f->now);
	free(f->rest);
	free(f);
}

const struct wv_expectation *wv_fixture_expected(const struct wv_fixture *f, size_t *ret_n)
{
	*ret_n = f->n_expected;
	return f->expected;
}

const struct wv_mode_expectation *wv_fixture_modes(const struct wv_fixture *f, size_t *ret_n)
{
	*ret_n = f->n_modes;
	return f->modes;
}

uint64_t wv_fixture_tick_ns(const struct wv_fixture *f)
{
	return f->tick_ns;
}

const char *wv_fixture_recorded(const struct wv_fixture *f)
{
	return f->recorded;
}

/* A step begins: its figures replace what they did before. */
static void begin_step(struct wv_fixture *f)
{
	for (size_t i = 0; i < f->n_settings; i++) {
		const struct setting *s = &f->settings[i];
		size_t k = 0;

		if (s->step != f->step)
			continue;
		while (k < f->n_now && (f->now[k].slot != s->slot ||
					f->now[k].signal != s->signal || f->now[k].hist != s->hist))
			k++;
		if (k == f->n_now)
			f->rest[f->n_now++] = 0;
		f->now[k] = *s;
	}
}

static uint64_t whole(double *rest, double more)
{
	uint64_t n;

	*rest += more;
	n = (uint64_t)*rest;
	*rest -= (double)n;
	return n;
}

static unsigned bucket_of(uint64_t ns)
{
	unsigned b = 0;

	while (b < WV_HIST_BUCKETS - 1 && ns >= wv_hist_bound_ns(b))
		b++;
	return b;
}

static void advance(struct wv_fixture *f, size_t i, double seconds)
{
	const struct setting *s = &f->now[i];
	struct wv_row *row = &f->sample.rows[s->slot];
	uint64_t n;

	if (s->signal >= 0 && !wv_signal_is_counter((enum wv_signal)s->signal)) {
		row->f.v[s->signal] = s->value;
		return;
	}
	n = whole(&f->rest[i], s->per_second * seconds);
	if (s->signal >= 0) {
		row->f.v[s->signal] += n;
		return;
	}
	row->f.hist[s->hist].bucket[bucket_of(s->value)] += n;
	row->f.hist[s->hist].sum_ns += n * s->value;
}

const struct wv_sample *wv_fixture_next(struct wv_fixture *f)
{
	struct wv_sample *s = &f->sample;
	bool first = s->seq == 0;

	if (first) {
		s->mono_ns = f->step_end_ns = START_NS;
		s->wall_ns = START_WALL_NS;
	} else {
		s->mono_ns += f->tick_ns;
		s->wall_ns += f->tick_ns;
	}
	/* the sample at the end of a step still shows that step */
	while (f->step < f->n_steps && (first || s->mono_ns > f->step_end_ns)) {
		begin_step(f);
		f->step_end_ns += f->steps[f->step++];
		first = false;
	}
	if (s->mono_ns > f->step_end_ns)
		return NULL;
	s->seq++;
	for (size_t i = 0; i < f->n_now; i++)
		advance(f, i, s->seq == 1 ? 0 : (double)f->tick_ns / 1e9);
	return s;
}
