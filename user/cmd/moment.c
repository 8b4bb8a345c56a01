// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/moment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/cmd/report_data.h"
#include "user/core/cgroup_index.h"
#include "user/core/cleanup.h"
#include "user/evidence/samples.h"

#define MAX_ROWS 16385
#define MAX_FIELDS 512
#define MAX_SEGMENTS 1000
#define MAX_RUNS 1024

/* metrics.csv ---------------------------------------------------------------------------------- */

/* Which column has what: -1 where there is none. */
struct layout {
	int seq, mono, wall, cgroup, key;
	int signal[WV_SIG_N], count[WV_HIST_N], p99[WV_HIST_N];
	unsigned n;
};

struct loading {
	struct wv_moment *r;
	struct wv_index index; /* key -> slot, the same in both samples */
	uint32_t slots;
	uint64_t wall_ns; /* asked for */
	bool past;	  /* a sample after it was met */
};

static int column(char **fields, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(fields[i], name) == 0)
			return (int)i;
	return -1;
}

static int read_header(struct layout *l, char *line)
{
	char *fields[MAX_FIELDS], name[80];

	l->n = wv_report_split(line, fields, MAX_FIELDS);
	l->seq = column(fields, l->n, "seq");
	l->mono = column(fields, l->n, "mono_ns");
	l->wall = column(fields, l->n, "wall_ns");
	l->cgroup = column(fields, l->n, "cgroup");
	l->key = column(fields, l->n, "key");
	for (int i = 0; i < WV_SIG_N; i++)
		l->signal[i] = column(fields, l->n, wv_signals[i].name);
	for (int i = 0; i < WV_HIST_N; i++) {
		snprintf(name, sizeof(name), "%s_count", wv_hists[i].name);
		l->count[i] = column(fields, l->n, name);
		snprintf(name, sizeof(name), "%s_p99_ns", wv_hists[i].name);
		l->p99[i] = column(fields, l->n, name);
	}
	return l->seq < 0 || l->mono < 0 || l->wall < 0 || l->cgroup < 0 || l->key < 0 ? -EBADMSG
										       : 0;
}

static uint64_t number(char **fields, int at)
{
	return at < 0 ? 0 : strtoull(fields[at], NULL, 10);
}

/* A new sample begins: what was `now` is the one before it. */
static void begin_sample(struct wv_moment *r, uint64_t seq, uint64_t mono, uint64_t wall)
{
	struct wv_sample swap = r->before;

	r->has_before = r->now.seq != 0;
	r->before = r->now;
	r->now = swap;
	for (uint32_t i = 0; i < r->now.used_rows; i++)
		r->now.rows[i].flags = 0;
	r->now.used_rows = r->now.n_facets = 0;
	r->now.seq = seq;
	r->now.mono_ns = mono;
	r->now.wall_ns = wall;
}

/* All of a CSV's observations so far, in the bucket that holds their 99th percentile: the only one
 * that it tells. */
static void store_hist(struct wv_hist *h, uint64_t count, uint64_t p99_ns)
{
	unsigned b = 0;

	*h = (struct wv_hist){0};
	while (b < WV_HIST_BUCKETS - 1 && wv_hist_bound_ns(b) < p99_ns)
		b++;
	h->bucket[b] = count;
}

static int add_row(struct loading *x, const struct layout *l, char **fields)
{
	struct wv_moment *r = x->r;
	uint64_t key = number(fields, l->key), seq = number(fields, l->seq);
	uint64_t wall = number(fields, l->wall);
	struct wv_row *row;
	int slot = 0;

	if (!r->oldest_wall_ns || wall < r->oldest_wall_ns)
		r->oldest_wall_ns = wall;
	if (wall > x->wall_ns) {
		r->next_wall_ns = wall;
		x->past = true;
		return 0;
	}
	if (seq != r->now.seq)
		begin_sample(r, seq, number(fields, l->mono), wall);
	if (key)
		slot = wv_index_find(&x->index, key);
	if (slot < 0) {
		slot = (int)x->slots;
		if (x->slots >= MAX_ROWS || wv_index_put(&x->index, key, x->slots) < 0)
			return -E2BIG;
		x->slots++;
	}
	row = &r->now.rows[slot];
	*row = (struct wv_row){.key = key,
			       .flags = WV_ROW_LIVE,
			       /* counted from the sample before, where it is not in that */
			       .created_mono_ns =
				       r->has_before ? r->before.mono_ns : r->now.mono_ns};
	if (r->has_before && (uint32_t)slot < r->before.used_rows &&
	    (r->before.rows[slot].flags & WV_ROW_LIVE))
		row->created_mono_ns = r->before.rows[slot].created_mono_ns;
	snprintf(row->path, sizeof(row->path), "%s", fields[l->cgroup]);
	row->path_len = (uint16_t)strlen(row->path);
	for (int i = 0; i < WV_SIG_N; i++)
		row->f.v[i] = number(fields, l->signal[i]);
	for (int i = 0; i < WV_HIST_N; i++)
		store_hist(&row->f.hist[i], number(fields, l->count[i]), number(fields, l->p99[i]));
	if ((uint32_t)slot >= r->now.used_rows)
		r->now.used_rows = (uint32_t)slot + 1;
	return 0;
}

static int load_csv(struct loading *x, int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), e;
	_cleanup_fclose_ FILE *f = fd >= 0 ? fdopen(fd, "re") : NULL;
	_cleanup_free_ char *line = NULL;
	char *fields[MAX_FIELDS];
	struct layout l;
	size_t size = 0;
	ssize_t len;

	if (!f)
		return -errno;
	if (getline(&line, &size, f) <= 0)
		return 0;
	e = read_header(&l, line);
	while (e == 0 && !x->past && (len = getline(&line, &size, f)) > 0)
		/* a line without its end was being written */
		if (line[len - 1] == '\n' && wv_report_split(line, fields, MAX_FIELDS) == l.n)
			e = add_row(x, &l, fields);
	return e;
}

/* Levels and parents, which a CSV tells by its paths only. */
static void link_parents(struct wv_sample *s)
{
	for (uint32_t i = 1; i < s->used_rows; i++) {
		struct wv_row *row = &s->rows[i];
		const char *cut = strrchr(row->path, '/');
		size_t len = !cut || strcmp(row->path, "/") == 0 ? 0 : (size_t)(cut - row->path);

		for (const char *p = row->path; len && *p; p++)
			row->level += *p == '/';
		for (uint32_t p = 1; cut && row->path[1] && p < s->used_rows; p++) {
			const struct wv_row *up = &s->rows[p];

			if (!(up->flags & WV_ROW_LIVE) || (up->key ^ row->key) & WV_KEY_V1 ||
			    (len ? strlen(up->path) != len || strncmp(up->path, row->path, len) != 0
				 : strcmp(up->path, "/") != 0))
				continue;
			row->parent_slot = p;
			row->parent_key = up->key;
		}
	}
}

int wv_moment_from_csv(struct wv_moment *r, int dirfd, uint64_t wall_ns)
{
	struct loading x = {.r = r, .slots = 1, .wall_ns = wall_ns};
	unsigned oldest = 0;
	char name[32];
	int e = wv_index_init(&x.index, MAX_ROWS);

	for (unsigned i = 1; e == 0 && i <= MAX_SEGMENTS; i++) {
		snprintf(name, sizeof(name), "metrics.%u.csv", i);
		if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			oldest = i;
	}
	r->source = "metrics.csv";
	for (unsigned i = oldest; i > 0 && e == 0 && !x.past; i--) {
		snprintf(name, sizeof(name), "metrics.%u.csv", i);
		e = load_csv(&x, dirfd, name);
		e = e == -ENOENT ? 0 : e;
	}
	if (e == 0 && !x.past)
		e = load_csv(&x, dirfd, "metrics.csv");
	e = e == -ENOENT ? 0 : e;
	/* of a run that goes on, or whose agent died */
	if (e == 0 && !x.past)
		e = load_csv(&x, dirfd, ".metrics.csv.tmp");
	wv_index_done(&x.index);
	if (e < 0 && e != -ENOENT)
		return e;
	if (!r->now.seq)
		return 0;
	link_parents(&r->now);
	return 1;
}

/* samples.wvs ---------------------------------------------------------------------------------- */

static void copy_sample(struct wv_sample *to, const struct wv_sample *from)
{
	to->mono_ns = from->mono_ns;
	to->wall_ns = from->wall_ns;
	to->seq = from->seq;
	to->used_rows = from->used_rows;
	memcpy(to->rows, from->rows, from->used_rows * sizeof(*to->rows));
	memcpy(to->base, from->base, from->used_rows * sizeof(*to->base));
}

/* Copies the frames with these numbers; a copy of every frame would cost more than reading them. */
static int take_frames(struct wv_moment *r, int dirfd, uint64_t before_seq, uint64_t now_seq)
{
	struct wv_samples_reader *reader;
	const struct wv_sample *s;
	const char *text;
	int e = wv_samples_read_open(&reader, dirfd, MAX_ROWS);

	if (e < 0)
		return e;
	while ((e = wv_samples_read(reader, &s, &text)) > 0) {
		if (e != 'T')
			continue;
		if (before_seq && s->seq == before_seq) {
			copy_sample(&r->before, s);
			r->has_before = true;
		}
		if (s->seq == now_seq) {
			copy_sample(&r->now, s);
			break;
		}
	}
	wv_samples_read_close(reader);
	return e < 0 ? e : r->now.seq == now_seq;
}

int wv_moment_from_samples(struct wv_moment *r, int dirfd, uint64_t wall_ns)
{
	struct wv_samples_reader *reader;
	uint64_t now_seq = 0, before_seq = 0;
	const struct wv_sample *s;
	const char *text;
	int e = wv_samples_read_open(&reader, dirfd, MAX_ROWS);

	if (e < 0)
		return e == -ENOENT ? 0 : e;
	while ((e = wv_samples_read(reader, &s, &text)) > 0) {
		if (e != 'T')
			continue;
		if (!r->oldest_wall_ns || s->wall_ns < r->oldest_wall_ns)
			r->oldest_wall_ns = s->wall_ns;
		if (s->wall_ns > wall_ns) {
			r->next_wall_ns = s->wall_ns;
			break;
		}
		before_seq = now_seq;
		now_seq = s->seq;
	}
	wv_samples_read_close(reader);
	r->source = "samples.wvs";
	/* what a torn end hides is not needed where the time was met before it */
	return now_seq ? take_frames(r, dirfd, before_seq, now_seq) : e < 0 ? e : 0;
}

/* Runs ----------------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)b, *(char *const *)a);
}

/* Names begin with the time of their start: newest first. */
static int list_runs(const char *folder, char *names[MAX_RUNS], size_t *ret_n)
{
	_cleanup_closedir_ DIR *d = opendir(folder);
	struct dirent *e;
	size_t n = 0;

	if (!d)
		return -errno;
	while (n < MAX_RUNS && (e = readdir(d)))
		if (e->d_name[0] != '.') {
			names[n] = strdup(e->d_name);
			n += names[n] != NULL;
		}
	qsort(names, n, sizeof(*names), compare_names);
	*ret_n = n;
	return 0;
}

static int read_run(struct wv_moment *r, const char *folder, const char *name, uint64_t wall_ns)
{
	char path[WV_PATH_SIZE + 300];
	_cleanup_close_ int fd = -1;
	uint64_t oldest = r->oldest_wall_ns;
	int e;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	snprintf(r->run_id, sizeof(r->run_id), "%.127s", name);
	/* what follows is of another run than what was met before */
	r->next_wall_ns = 0;
	e = wv_moment_from_samples(r, fd, wall_ns);
	if (e <= 0) {
		r->oldest_wall_ns = oldest;
		e = wv_moment_from_csv(r, fd, wall_ns);
	}
	return e;
}

int wv_moment_read(struct wv_moment *r, const struct wv_paths *paths, uint64_t wall_ns)
{
	char folder[WV_PATH_SIZE + 8], *names[MAX_RUNS] = {NULL};
	size_t n = 0;
	int e;

	*r = (struct wv_moment){0};
	snprintf(folder, sizeof(folder), "%s/runs", paths->state);
	e = list_runs(folder, names, &n);
	if (e == 0)
		e = wv_sample_init(&r->now, MAX_ROWS);
	if (e == 0)
		e = wv_sample_init(&r->before, MAX_ROWS);
	for (size_t i = 0; e == 0 && i < n; i++)
		e = read_run(r, folder, names[i], wall_ns);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	return e < 0 ? e : e == 0 ? -ENOENT : 0;
}

void wv_moment_done(struct wv_moment *r)
{
	wv_sample_done(&r->now);
	wv_sample_done(&r->before);
}
