// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/report_data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/flow/sample.h"

#define MAX_FIELDS 512
#define META_MAX_BYTES (4U << 20)
/* config.def: record.keep_segments */
#define MAX_SEGMENTS 1000

static const struct {
	const char *name;
	bool own;
} columns[WV_REPORT_N] = {
#define X(id, name, own) {name, own},
	WV_REPORT_COLUMNS(X)
#undef X
};

static void *grow(void *list, uint32_t *cap, uint32_t n, size_t size)
{
	uint32_t want = *cap ? 2 * *cap : 64;
	void *p;

	if (n < *cap)
		return list;
	p = reallocarray(list, want, size);
	if (p)
		*cap = want;
	return p;
}

/* CSV ------------------------------------------------------------------------------------------ */

unsigned wv_report_split(char *line, char **fields, unsigned max)
{
	unsigned n = 0;
	char *at = line;

	while (n < max) {
		char *to = at;

		fields[n++] = at;
		if (*at == '"') {
			/* quoted: a doubled quote stands for one */
			for (at++; *at && !(*at == '"' && at[1] != '"'); at++) {
				at += *at == '"';
				*to++ = *at;
			}
			at += *at == '"';
		} else {
			at += strcspn(at, ",\r\n");
			to = at;
		}
		if (*at != ',') {
			*to = '\0';
			break;
		}
		at++;
		*to = '\0';
	}
	return n;
}

/* Where the fields stand in this file, by its header. */
struct layout {
	int mono, wall, cgroup, key;
	int column[WV_REPORT_N];
	unsigned n;
};

static int field(char **names, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

static int read_header(struct layout *l, char *line)
{
	char *names[MAX_FIELDS];

	l->n = wv_report_split(line, names, MAX_FIELDS);
	l->mono = field(names, l->n, "mono_ns");
	l->wall = field(names, l->n, "wall_ns");
	l->cgroup = field(names, l->n, "cgroup");
	l->key = field(names, l->n, "key");
	for (unsigned i = 0; i < WV_REPORT_N; i++)
		l->column[i] = field(names, l->n, columns[i].name);
	return l->mono < 0 || l->wall < 0 || l->cgroup < 0 ? -EPROTO : 0;
}

/* Open-addressing table: path and key -> index of the newest cgroup with them, plus 1. */
struct index {
	uint32_t *slots, mask, n;
};

static uint64_t hash_of(const char *path, uint64_t key)
{
	uint64_t h = 0xcbf29ce484222325ULL ^ key;

	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 0x100000001b3ULL;
	return h ^ (h >> 32);
}

static uint32_t *slot_of(const struct wv_report *r, const struct index *x, const char *path,
			 uint64_t key)
{
	uint32_t at = (uint32_t)hash_of(path, key) & x->mask;

	while (x->slots[at]) {
		const struct wv_report_cgroup *c = &r->cgroups[x->slots[at] - 1];

		if (c->key == key && strcmp(c->path, path) == 0)
			break;
		at = (at + 1) & x->mask;
	}
	return &x->slots[at];
}

static int index_grow(const struct wv_report *r, struct index *x)
{
	struct index bigger = {.mask = x->mask ? 2 * x->mask + 1 : 255, .n = x->n};

	if (x->mask && x->n < x->mask / 2)
		return 0;
	bigger.slots = calloc(bigger.mask + 1, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (uint32_t i = 0; x->mask && i <= x->mask; i++)
		if (x->slots[i]) {
			const struct wv_report_cgroup *c = &r->cgroups[x->slots[i] - 1];

			*slot_of(r, &bigger, c->path, c->key) = x->slots[i];
		}
	free(x->slots);
	*x = bigger;
	return 0;
}

/* The cgroup that a row of sample t belongs to: the one that was there in t-1, or a new one. */
static struct wv_report_cgroup *cgroup_at(struct wv_report *r, struct index *x, const char *path,
					  uint64_t key, uint32_t t)
{
	struct wv_report_cgroup *c, *list;
	uint32_t *slot;

	if (index_grow(r, x) < 0)
		return NULL;
	slot = slot_of(r, x, path, key);
	if (*slot) {
		c = &r->cgroups[*slot - 1];
		if (c->first + c->n == t)
			return c;
	}
	list = grow(r->cgroups, &r->cap_cgroups, r->n_cgroups, sizeof(*list));
	if (!list)
		return NULL;
	r->cgroups = list;
	c = &r->cgroups[r->n_cgroups];
	*c = (struct wv_report_cgroup){.path = strdup(path), .key = key, .first = t};
	if (!c->path)
		return NULL;
	x->n += !*slot;
	*slot = ++r->n_cgroups;
	return c;
}

static int add_sample(struct wv_report *r, uint64_t mono, uint64_t wall)
{
	uint32_t cap = r->cap_samples;
	uint64_t *p;

	if (r->n_samples && r->mono[r->n_samples - 1] == mono)
		return 0;
	p = grow(r->mono, &cap, r->n_samples, sizeof(*p));
	if (!p)
		return -ENOMEM;
	r->mono = p;
	p = grow(r->wall, &r->cap_samples, r->n_samples, sizeof(*p));
	if (!p)
		return -ENOMEM;
	r->wall = p;
	r->mono[r->n_samples] = mono;
	r->wall[r->n_samples++] = wall;
	return 0;
}

static int add_row(struct wv_report *r, struct index *x, const struct layout *l, char **f)
{
	uint64_t mono = strtoull(f[l->mono], NULL, 10), key = 0;
	struct wv_report_cgroup *c;
	struct wv_report_row *rows;
	int e;

	/* samples stand in order of time; anything else is damage */
	if (!mono || (r->n_samples && mono < r->mono[r->n_samples - 1])) {
		r->bad_lines++;
		return 0;
	}
	e = add_sample(r, mono, strtoull(f[l->wall], NULL, 10));
	if (e < 0)
		return e;
	if (l->key >= 0)
		key = strtoull(f[l->key], NULL, 10);
	c = cgroup_at(r, x, f[l->cgroup], key, r->n_samples - 1);
	if (!c)
		return -ENOMEM;
	rows = grow(c->rows, &c->cap, c->n, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	c->rows = rows;
	for (unsigned i = 0; i < WV_REPORT_N; i++)
		rows[c->n].v[i] = l->column[i] >= 0 ? strtoull(f[l->column[i]], NULL, 10) : 0;
	c->n++;
	return 0;
}

static int load_csv(struct wv_report *r, struct index *x, int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), e = 0;
	_cleanup_fclose_ FILE *f = fd >= 0 ? fdopen(fd, "re") : NULL;
	_cleanup_free_ char *line = NULL;
	char *fields[MAX_FIELDS];
	struct layout l;
	size_t size = 0;
	ssize_t len;

	if (!f)
		return -errno;
	len = getline(&line, &size, f);
	if (len <= 0)
		return 0;
	e = read_header(&l, line);
	while (e == 0 && (len = getline(&line, &size, f)) > 0) {
		/* a line without its end was being written */
		if (line[len - 1] != '\n' || wv_report_split(line, fields, MAX_FIELDS) != l.n)
			r->bad_lines++;
		else
			e = add_row(r, x, &l, fields);
	}
	return e;
}

static int load_metrics(struct wv_report *r, int dirfd)
{
	struct index x = {0};
	unsigned oldest = 0;
	char name[32];
	int e = 0;

	for (unsigned i = 1; i <= MAX_SEGMENTS; i++) {
		snprintf(name, sizeof(name), "metrics.%u.csv", i);
		if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			oldest = i;
	}
	for (unsigned i = oldest; i > 0 && e == 0; i--) {
		snprintf(name, sizeof(name), "metrics.%u.csv", i);
		e = load_csv(r, &x, dirfd, name);
		e = e == -ENOENT ? 0 : e;
	}
	if (e == 0)
		e = load_csv(r, &x, dirfd, "metrics.csv");
	e = e == -ENOENT ? 0 : e;
	/* of a run that goes on, or whose agent died */
	if (e == 0)
		e = load_csv(r, &x, dirfd, ".metrics.csv.tmp");
	free(x.slots);
	return e == -ENOENT ? 0 : e;
}

/* What removed children left ------------------------------------------------------------------- */

static int by_path(const void *a, const void *b, void *ctx)
{
	const struct wv_report *r = ctx;
	const struct wv_report_cgroup *x = &r->cgroups[*(const uint32_t *)a];
	const struct wv_report_cgroup *y = &r->cgroups[*(const uint32_t *)b];
	int d = strcmp(x->path, y->path);

	return d ? d : (x->first > y->first) - (x->first < y->first);
}

/* The cgroup of this path and hierarchy that was there in sample t, or NULL. */
static struct wv_report_cgroup *find(struct wv_report *r, const uint32_t *order, const char *path,
				     uint64_t v1, uint32_t t)
{
	uint32_t low = 0, high = r->n_cgroups;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (strcmp(r->cgroups[order[mid]].path, path) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < r->n_cgroups && strcmp(r->cgroups[order[low]].path, path) == 0; low++) {
		struct wv_report_cgroup *c = &r->cgroups[order[low]];

		if ((c->key & WV_KEY_V1) == v1 && c->first <= t && t - c->first < c->n)
			return c;
	}
	return NULL;
}

/* Nearest ancestor that outlived c. */
static struct wv_report_cgroup *heir(struct wv_report *r, const uint32_t *order,
				     const struct wv_report_cgroup *c)
{
	_cleanup_free_ char *path = strdup(c->path);
	struct wv_report_cgroup *found = NULL;
	char *slash;

	while (path && !found && (slash = strrchr(path, '/')) && path[1]) {
		if (slash == path)
			path[1] = '\0';
		else
			*slash = '\0';
		found = find(r, order, path, c->key & WV_KEY_V1, c->first + c->n);
	}
	return found;
}

static int take_off_removed(struct wv_report *r)
{
	_cleanup_free_ uint32_t *order = calloc(r->n_cgroups + 1, sizeof(*order));

	if (!order)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->n_cgroups; i++)
		order[i] = i;
	qsort_r(order, r->n_cgroups, sizeof(*order), by_path, r);
	for (uint32_t i = 0; i < r->n_cgroups; i++) {
		const struct wv_report_cgroup *c = &r->cgroups[i];
		struct wv_report_cgroup *h =
			c->first + c->n < r->n_samples ? heir(r, order, c) : NULL;

		if (!h)
			continue;
		if (!h->left)
			h->left = calloc(h->n, sizeof(*h->left));
		if (!h->left)
			return -ENOMEM;
		for (unsigned k = 0; k < WV_REPORT_N; k++)
			h->left[c->first + c->n - h->first].v[k] += c->rows[c->n - 1].v[k];
	}
	for (uint32_t i = 0; i < r->n_cgroups; i++) {
		struct wv_report_cgroup *c = &r->cgroups[i];
		struct wv_report_row sum = {0};

		for (uint32_t j = 0; c->left && j < c->n; j++)
			for (unsigned k = 0; k < WV_REPORT_N; k++) {
				sum.v[k] += c->left[j].v[k];
				if (columns[k].own)
					c->rows[j].v[k] -= sum.v[k] < c->rows[j].v[k]
								   ? sum.v[k]
								   : c->rows[j].v[k];
			}
		free(c->left);
		c->left = NULL;
	}
	return 0;
}

int wv_report_load(struct wv_report *r, const char *dir)
{
	_cleanup_close_ int dirfd = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t len;
	int e, events;

	if (dirfd < 0)
		return -errno;
	snprintf(r->dir, sizeof(r->dir), "%s", dir);
	r->decisions = json_object_new_array();
	r->notable = json_object_new_array();
	r->outcomes = json_object_new_array();
	r->drift = json_object_new_array();
	r->counts = json_object_new_object();
	if (wv_io_read_file(&wv_io_system, dirfd, "run_meta.json", META_MAX_BYTES, &text, &len) ==
	    0)
		r->meta = json_tokener_parse(text);
	events = wv_report_load_records(r, dirfd);
	e = load_metrics(r, dirfd);
	if (e == 0)
		e = take_off_removed(r);
	if (e == 0 && events < 0 && !r->n_samples)
		e = events;
	return e;
}

void wv_report_done(struct wv_report *r)
{
	for (uint32_t i = 0; i < r->n_cgroups; i++) {
		free(r->cgroups[i].path);
		free(r->cgroups[i].rows);
		free(r->cgroups[i].left);
	}
	free(r->cgroups);
	free(r->mono);
	free(r->wall);
	json_object_put(r->meta);
	json_object_put(r->decisions);
	json_object_put(r->notable);
	json_object_put(r->outcomes);
	json_object_put(r->drift);
	json_object_put(r->counts);
	*r = (struct wv_report){0};
}

/* Figures -------------------------------------------------------------------------------------- */

double wv_report_rate(const struct wv_report *r, const struct wv_report_cgroup *c, uint32_t i,
		      enum wv_report_column column)
{
	uint32_t t = c->first + i;
	uint64_t v = c->rows[i].v[column], before = i ? c->rows[i - 1].v[column] : 0;
	double s;

	if (t == 0 || v < before)
		return 0;
	s = (double)(r->mono[t] - r->mono[t - 1]) / 1e9;
	return s > 0 ? (double)(v - before) / s : 0;
}

uint64_t wv_report_total(const struct wv_report *r, const struct wv_report_cgroup *c,
			 enum wv_report_column column)
{
	bool gauge =
		column == WV_REPORT_MEM || column == WV_REPORT_RSS || column == WV_REPORT_RUNQ_P99;
	uint64_t first = c->rows[0].v[column], last = c->rows[c->n - 1].v[column], max = 0;

	if (!gauge) {
		/* counters of an adopted set began before this run */
		if (r->adopted && c->first == 0)
			return last > first ? last - first : 0;
		return last;
	}
	if (column == WV_REPORT_RUNQ_P99)
		return last;
	for (uint32_t i = 0; i < c->n; i++)
		max = c->rows[i].v[column] > max ? c->rows[i].v[column] : max;
	return max;
}

struct rank {
	uint64_t value;
	uint32_t index;
};

static int by_value(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	if (x->value != y->value)
		return x->value > y->value ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

unsigned wv_report_rank(const struct wv_report *r, enum wv_report_column a, enum wv_report_column b,
			unsigned max, uint32_t *ret)
{
	_cleanup_free_ struct rank *list = calloc(r->n_cgroups + 1, sizeof(*list));
	unsigned n = 0;

	if (!list)
		return 0;
	for (uint32_t i = 0; i < r->n_cgroups; i++) {
		list[i].index = i;
		list[i].value = wv_report_total(r, &r->cgroups[i], a);
		if (a != b)
			list[i].value += wv_report_total(r, &r->cgroups[i], b);
	}
	qsort(list, r->n_cgroups, sizeof(*list), by_value);
	for (uint32_t i = 0; i < r->n_cgroups && n < max && list[i].value; i++)
		ret[n++] = list[i].index;
	return n;
}

static struct json_object *meta_member(const struct wv_report *r, const char *object,
				       const char *key)
{
	struct json_object *o = r->meta, *v = NULL;

	if (!o || (object && !json_object_object_get_ex(o, object, &o)))
		return NULL;
	return json_object_object_get_ex(o, key, &v) ? v : NULL;
}

const char *wv_report_meta(const struct wv_report *r, const char *object, const char *key)
{
	struct json_object *v = meta_member(r, object, key);

	return v ? json_object_get_string(v) : "";
}

uint64_t wv_report_meta_u64(const struct wv_report *r, const char *object, const char *key)
{
	struct json_object *v = meta_member(r, object, key);

	return v ? json_object_get_uint64(v) : 0;
}
