// SPDX-License-Identifier: GPL-2.0-only
/* metrics.csv: a row a cgroup every record.interval, as the signals are stored; docs/artifacts.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/artifacts.h"

#define CHUNK (64U << 10)
/* path twice its length (quotes), 21 bytes a number */
#define ROW_MAX (2 * WV_ROW_PATH_MAX + 21 * (8 + WV_SIG_N + 4 * WV_HIST_N))

static const char lead[] = "schema_version,seq,mono_ns,wall_ns,cgroup,key";

char *wv_csv_header(void)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fputs(lead, f);
	for (int i = 0; i < WV_SIG_N; i++)
		fprintf(f, ",%s", wv_signals[i].name);
	for (int i = 0; i < WV_HIST_N; i++)
		fprintf(f, ",%s_count,%s_sum_ns,%s_p50_ns,%s_p99_ns", wv_hists[i].name,
			wv_hists[i].name, wv_hists[i].name, wv_hists[i].name);
	fputc('\n', f);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

const char *wv_csv_segment_name(unsigned i, char buf[32])
{
	if (i == 0)
		snprintf(buf, 32, "%s", WV_CSV_NAME);
	else
		snprintf(buf, 32, "metrics.%u.csv", i);
	return buf;
}

static bool exists(const struct wv_io *io, int dirfd, const char *name)
{
	int fd = io->open(io->ctx, dirfd, name, O_RDONLY | O_NOFOLLOW, 0);

	if (fd >= 0)
		(void)io->close(io->ctx, fd);
	/* what cannot be looked at is taken to be there: nothing is overwritten by mistake */
	return fd != -ENOENT;
}

/*
 * Moves every segment one further, up to the first gap (the oldest one gives way if there is none).
 * A crash or a failure on the way leaves a gap, which the next time fills.
 */
static int shift_segments(const struct wv_io *io, int dirfd, unsigned keep)
{
	char from[32], to[32];
	unsigned gap = 1;

	while (gap < keep && exists(io, dirfd, wv_csv_segment_name(gap, from)))
		gap++;
	for (unsigned i = gap; i-- > 0;) {
		int r = io->rename(io->ctx, dirfd, wv_csv_segment_name(i, from),
				   wv_csv_segment_name(i + 1, to));

		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

int wv_csv_complete(struct wv_csv *c, int dirfd, unsigned keep)
{
	const struct wv_io *io = c->lines.io;
	int r = wv_lines_is_single(&c->lines);

	if (r < 0)
		return r;
	if (r) {
		wv_lines_close(&c->lines);
		r = io->unlink(io->ctx, dirfd, WV_CSV_TEMPORARY);
		return r == -ENOENT ? 0 : r;
	}
	r = wv_lines_sync(&c->lines);
	if (r == 0)
		r = shift_segments(io, dirfd, keep);
	if (r == 0)
		r = io->rename(io->ctx, dirfd, WV_CSV_TEMPORARY, WV_CSV_NAME);
	if (r < 0)
		return r;
	wv_lines_close(&c->lines);
	c->rows = 0;
	/* an error of the folder shows again when run_meta.json follows; the segment has its name
	 */
	(void)wv_io_sync_dir(io, dirfd);
	return 1;
}

/* A temporary that begins with another header is no segment of this build: it goes. */
static int check_header(struct wv_csv *c, const char *header)
{
	size_t len = strlen(header);
	_cleanup_free_ char *found = malloc(len + 1);
	int r;

	if (!found)
		return -ENOMEM;
	r = wv_lines_head(&c->lines, found, len);
	if (r == 0 && memcmp(found, header, len) == 0)
		return 0;
	if (r < 0 && r != -ENODATA)
		return r;
	r = wv_lines_cut(&c->lines, 0);
	return r < 0 ? r : wv_lines_append(&c->lines, header, len, false);
}

int wv_csv_open(struct wv_csv *c, const struct wv_io *io, int dirfd)
{
	_cleanup_free_ char *header = wv_csv_header();
	int r;

	if (!header)
		return -ENOMEM;
	r = wv_lines_open(&c->lines, io, dirfd, WV_CSV_TEMPORARY, WV_ARTIFACT_MODE, NULL);
	if (r < 0)
		return r;
	c->rows = 0;
	r = check_header(c, header);
	if (r < 0)
		wv_lines_close(&c->lines);
	return r;
}

static char *put_u64(char *p, uint64_t v)
{
	char digits[20];
	unsigned n = 0;

	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	while (n)
		*p++ = digits[--n];
	return p;
}

static char *put(char *p, uint64_t v)
{
	*p++ = ',';
	return put_u64(p, v);
}

/* RFC 4180: quoted only where it must be; control characters and broken UTF-8 became '?'. */
static char *put_text(char *p, const char *text)
{
	char clean[WV_ROW_PATH_MAX];
	bool quote;

	snprintf(clean, sizeof(clean), "%s", text);
	wv_make_printable(clean);
	quote = strpbrk(clean, ",\"") != NULL;
	*p++ = ',';
	if (quote)
		*p++ = '"';
	for (const char *s = clean; *s; s++) {
		if (*s == '"')
			*p++ = '"';
		*p++ = *s;
	}
	if (quote)
		*p++ = '"';
	return p;
}

/* The last bucket has no upper bound: its lower one stands for it. */
static uint64_t quantile(const struct wv_hist *h, double q)
{
	uint64_t ns = wv_hist_quantile_ns(h, q);

	return ns == UINT64_MAX ? wv_hist_bound_ns(WV_HIST_BUCKETS - 2) : ns;
}

static char *put_row(char *p, const struct wv_sample *s, const struct wv_row *row)
{
	p = put_u64(p, WV_SCHEMA_VERSION);
	p = put(p, s->seq);
	p = put(p, s->mono_ns);
	p = put(p, s->wall_ns);
	p = put_text(p, row->path);
	p = put(p, row->key);
	for (int i = 0; i < WV_SIG_N; i++)
		p = put(p, row->f.v[i]);
	for (int i = 0; i < WV_HIST_N; i++) {
		const struct wv_hist *h = &row->f.hist[i];
		uint64_t count = wv_hist_count(h);

		p = put(p, count);
		p = put(p, h->sum_ns);
		p = put(p, count ? quantile(h, 0.5) : 0);
		p = put(p, count ? quantile(h, 0.99) : 0);
	}
	*p++ = '\n';
	return p;
}

int wv_csv_append(struct wv_csv *c, const struct wv_sample *s, uint64_t *ret_rows)
{
	char buf[CHUNK + ROW_MAX];
	uint64_t start = c->lines.len, rows = 0;
	char *p = buf;
	int r = 0;

	for (uint32_t slot = 0; r == 0 && slot < s->used_rows; slot++) {
		if (!(s->rows[slot].flags & WV_ROW_LIVE))
			continue;
		p = put_row(p, s, &s->rows[slot]);
		rows++;
		if (p - buf < (ptrdiff_t)CHUNK)
			continue;
		r = wv_lines_append(&c->lines, buf, (size_t)(p - buf), false);
		p = buf;
	}
	if (r == 0 && p > buf)
		r = wv_lines_append(&c->lines, buf, (size_t)(p - buf), false);
	if (r < 0) {
		(void)wv_lines_cut(&c->lines, start);
		return r;
	}
	c->rows += rows;
	*ret_rows = rows;
	return 0;
}
