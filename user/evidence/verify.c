// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order in which files are read makes it safe beside a writer: leaf hashes first, then
 * checkpoints, then lines, for a writer writes them the other way round.
 */
#include "user/evidence/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/evidence/verify_internal.h"

#define THREADS_MAX 8
/* a piece that a thread takes: large enough to be worth it, small enough to share fairly */
#define PART_BYTES (4U << 20)
/* how often files are listed anew because a segment was closed meanwhile */
#define TRIES 5

const char *const wv_finding_names[WV_FINDING_N] = {
	[WV_FINDING_ALTERED] = "altered",
	[WV_FINDING_INSERTED] = "inserted",
	[WV_FINDING_DROPPED] = "dropped",
	[WV_FINDING_REORDERED] = "reordered",
	[WV_FINDING_REPEATED] = "repeated",
	[WV_FINDING_TRUNCATED] = "truncated",
	[WV_FINDING_SEGMENT] = "segment-missing",
	[WV_FINDING_FORM] = "form",
	[WV_FINDING_UNREADABLE] = "unreadable",
	[WV_FINDING_HASHES] = "hash-altered",
	[WV_FINDING_REWRITTEN] = "rewritten",
	[WV_FINDING_CHECKPOINT] = "checkpoint",
	[WV_FINDING_BEGINNING] = "beginning-missing",
	[WV_FINDING_ROLLBACK] = "rollback",
	[WV_FINDING_ANCHOR] = "anchor",
};

void *wv_grow(void *list, size_t *room, size_t n, size_t size)
{
	void *more;

	if (n < *room)
		return list;
	more = reallocarray(list, *room * 2 + 16, size);
	if (more)
		*room = *room * 2 + 16;
	return more;
}

static void add_finding(struct wv_verify_report *r, enum wv_finding_kind kind, uint64_t first,
			uint64_t last, const char *format, va_list args)
{
	struct wv_finding *f;

	if (!r->findings)
		r->findings = calloc(WV_FINDINGS_MAX, sizeof(*r->findings));
	if (!r->findings || r->n_findings == WV_FINDINGS_MAX) {
		r->more++;
		return;
	}
	f = &r->findings[r->n_findings++];
	f->kind = kind;
	f->first = first;
	f->last = last;
	vsnprintf(f->text, sizeof(f->text), format, args);
}

void wv_verify_add(struct wv_verify_report *r, enum wv_finding_kind kind, uint64_t first,
		   uint64_t last, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_finding(r, kind, first, last, format, args);
	va_end(args);
}

void wv_verify_found(struct wv_verify *v, enum wv_finding_kind kind, uint64_t first, uint64_t last,
		     const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_finding(v->report, kind, first, last, format, args);
	va_end(args);
}

struct job {
	struct wv_verify *v;
	int (*fn)(struct wv_verify *v, size_t i);
	size_t n, next;
	int error;
};

static void *work(void *arg)
{
	struct job *j = arg;
	size_t i;
	int r;

	while ((i = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED)) < j->n) {
		r = j->fn(j->v, i);
		if (r < 0)
			__atomic_store_n(&j->error, r, __ATOMIC_RELAXED);
	}
	return NULL;
}

int wv_verify_parallel(struct wv_verify *v, size_t n, int (*fn)(struct wv_verify *v, size_t i))
{
	struct job j = {.v = v, .fn = fn, .n = n};
	pthread_t threads[THREADS_MAX];
	unsigned started = 0;

	/* this thread is one of them; where none can be started it does everything */
	while (started + 1 < v->threads && started + 1 < n &&
	       pthread_create(&threads[started], NULL, work, &j) == 0)
		started++;
	work(&j);
	while (started)
		pthread_join(threads[--started], NULL);
	return j.error;
}

static int read_leaves(struct wv_verify *v)
{
	_cleanup_close_ int fd = openat(v->dirfd, WV_TLOG_HASHES_NAME, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint64_t got = 0, size;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	v->n_leaves = (uint64_t)st.st_size / WV_HASH_SIZE;
	size = v->n_leaves * WV_HASH_SIZE;
	v->leaves = malloc(size + 1);
	if (!v->leaves)
		return -ENOMEM;
	while (got < size) {
		n = pread(fd, (char *)v->leaves + got, size - got, (off_t)got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		got += (uint64_t)n;
	}
	v->stored = v->room = v->n_leaves;
	return 0;
}

static int add_file(struct wv_verify *v, const char *name, uint64_t first, uint64_t last, bool zst)
{
	struct wv_verify_file *f = &v->files[v->n_files], *more;
	struct stat st;

	more = reallocarray(v->files, v->n_files + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	v->files = more;
	f = &v->files[v->n_files];
	*f = (struct wv_verify_file){.first = first, .last = last, .zst = zst};
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->skipped = last && last < v->o->from;
	if (fstatat(v->dirfd, name, &st, 0) < 0)
		return errno == ENOENT ? -EAGAIN : -errno;
	f->size = (uint64_t)st.st_size;
	v->n_files++;
	return 0;
}

/* What the first line of the open segment says to be, if that is later than `after`. */
static uint64_t open_first(struct wv_verify *v, uint64_t after)
{
	_cleanup_close_ int fd = openat(v->dirfd, WV_TLOG_OPEN_NAME, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *buf = malloc(WV_RECORD_MAX);
	char *newline;
	uint64_t seq;
	ssize_t n;

	n = fd < 0 || !buf ? -1 : pread(fd, buf, WV_RECORD_MAX, 0);
	newline = n > 0 ? memchr(buf, '\n', (size_t)n) : NULL;
	if (newline && wv_record_number(buf, (size_t)(newline - buf), "seq", &seq) == 0 &&
	    seq > after)
		return seq;
	return after;
}

/* -EAGAIN: a segment was closed or packed meanwhile. */
static int list_files(struct wv_verify *v)
{
	_cleanup_free_ struct wv_segment *s = NULL, *again = NULL;
	char name[WV_SEGMENT_NAME_SIZE];
	uint64_t next = 1;
	size_t n, k, i;
	int r;

	v->n_files = 0;
	r = wv_segments_list(&wv_io_system, v->dirfd, &s, &n);
	for (i = 0; i < n && r == 0; i++) {
		r = add_file(v, wv_segment_name(&s[i], !s[i].plain, name), s[i].first, s[i].last,
			     !s[i].plain);
		next = s[i].last + 1 > next ? s[i].last + 1 : next;
	}
	if (r < 0)
		return r;
	r = add_file(v, WV_TLOG_OPEN_NAME, open_first(v, next), 0, false);
	if (r < 0 && r != -EAGAIN)
		return r;
	r = wv_segments_list(&wv_io_system, v->dirfd, &again, &k);
	if (r == 0 && (k != n || (n && again[n - 1].last != s[n - 1].last)))
		r = -EAGAIN;
	return r;
}

static int make_parts(struct wv_verify *v)
{
	size_t room = 0, i;

	for (i = 0; i < v->n_files; i++) {
		struct wv_verify_file *f = &v->files[i];
		uint64_t step = f->zst ? UINT64_MAX : PART_BYTES, off = 0;

		f->part = v->n_parts;
		while (!f->skipped && off < f->size) {
			struct wv_part *more = wv_grow(v->parts, &room, v->n_parts, sizeof(*more));

			if (!more)
				return -ENOMEM;
			v->parts = more;
			v->parts[v->n_parts++] = (struct wv_part){
				.file = f,
				.off = off,
				.end = f->size - off < step ? f->size : off + step,
			};
			off = v->parts[v->n_parts - 1].end;
		}
		f->n_parts = v->n_parts - f->part;
	}
	return 0;
}

static int by_record(const void *a, const void *b)
{
	const struct wv_finding *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (int)x->kind - (int)y->kind;
}

static void free_parts(struct wv_verify *v)
{
	for (size_t i = 0; i < v->n_parts; i++) {
		free(v->parts[i].runs);
		free(v->parts[i].odd.list);
		free(v->parts[i].retired.list);
	}
	free(v->parts);
	v->parts = NULL;
	v->n_parts = 0;
}

/* Reads all lines. -EAGAIN: a file went away meanwhile, compressed or retired. */
static int read_lines(struct wv_verify *v)
{
	int r;

	free_parts(v);
	r = list_files(v);
	if (r == 0)
		r = make_parts(v);
	if (r == 0)
		r = wv_verify_parallel(v, v->n_parts, wv_verify_part);
	for (size_t i = 0; i < v->n_parts && r == 0; i++)
		if (v->parts[i].error == -ENOENT)
			r = -EAGAIN;
	return r;
}

static int run(struct wv_verify *v)
{
	int r, tries = 0;

	r = read_leaves(v);
	if (r == 0)
		r = wv_verify_claims(v);
	while (r == 0 && (r = read_lines(v)) == -EAGAIN && ++tries < TRIES)
		r = 0;
	if (r == 0 && !v->n_files && !v->n_claims && !v->n_leaves)
		r = -ENOENT;
	if (r == 0)
		r = wv_verify_order(v);
	if (r == 0)
		r = wv_verify_tree(v);
	v->report->leaves = v->n_leaves;
	if (v->report->n_findings)
		qsort(v->report->findings, v->report->n_findings, sizeof(*v->report->findings),
		      by_record);
	return r;
}

int wv_verify(const char *folder, const struct wv_verify_options *options,
	      struct wv_verify_report *ret)
{
	_cleanup_close_ int dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct wv_verify_report report = {0};
	struct wv_verify v = {.o = options, .report = &report, .dirfd = dirfd};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t i;
	int r;

	if (dirfd < 0)
		return -errno;
	if (!options->n_keys || options->n_keys > 64)
		return -EINVAL;
	v.threads = options->threads ? options->threads : cpus > 0 ? (unsigned)cpus : 1;
	if (v.threads > THREADS_MAX)
		v.threads = THREADS_MAX;
	r = run(&v);
	free_parts(&v);
	for (i = 0; i < ARRAY_SIZE(v.notes); i++)
		free(v.notes[i]);
	free(v.files);
	free(v.leaves);
	free(v.claims);
	free(v.replaced);
	if (r < 0)
		wv_verify_done(&report);
	else
		*ret = report;
	return r;
}

void wv_verify_done(struct wv_verify_report *r)
{
	free(r->findings);
	r->findings = NULL;
	r->n_findings = 0;
}
