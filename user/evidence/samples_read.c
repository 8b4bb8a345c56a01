// SPDX-License-Identifier: GPL-2.0-only
/* Reads back what samples.c wrote: all segments of a run, oldest first. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "user/core/cleanup.h"
#include "user/evidence/samples.h"
#include "user/evidence/samples_format.h"

#define SEGMENTS_MAX 1024
#define FILE_MAX_BYTES (1U << 30)

struct wv_samples_reader {
	int dirfd;
	unsigned next; /* segments still to read: next - 1 is the next; the temporary is last */
	bool temporary, inflating;
	char *file; /* of the segment that is read */
	z_stream z;
	unsigned char *plain; /* inflated, not yet taken */
	size_t from, to, room;
	struct wv_samples_map map;
	struct wv_samples_state last;
	struct wv_sample sample;
	char text[128];
};

static void end_segment(struct wv_samples_reader *r)
{
	if (r->inflating)
		(void)inflateEnd(&r->z);
	r->inflating = false;
	free(r->file);
	free(r->map.field);
	r->file = NULL;
	r->map.field = NULL;
	r->from = r->to = 0;
}

/* 1: a segment is open; 0: there is none left; or -errno. */
static int start_segment(struct wv_samples_reader *r)
{
	char name[32];
	size_t len;
	long head;
	int e;

	end_segment(r);
	if (r->next)
		wv_samples_segment_name(--r->next, name);
	else if (!r->temporary)
		return 0;
	else
		snprintf(name, sizeof(name), "%s", WV_SAMPLES_TEMPORARY);
	if (strcmp(name, WV_SAMPLES_TEMPORARY) == 0)
		r->temporary = false;
	e = wv_io_read_file(&wv_io_system, r->dirfd, name, FILE_MAX_BYTES, &r->file, &len);
	if (e < 0)
		return e == -ENOENT ? start_segment(r) : e;
	head = wv_samples_header_parse(r->file, len, &r->map);
	if (head < 0)
		return (int)head;
	r->z = (z_stream){.next_in = (unsigned char *)r->file + head,
			  .avail_in = (unsigned)(len - (size_t)head)};
	if (inflateInit(&r->z) != Z_OK)
		return -ENOMEM;
	r->inflating = true;
	wv_samples_state_clear(&r->last);
	for (uint32_t i = 0; i < r->sample.used_rows; i++)
		r->sample.rows[i].flags = 0;
	r->sample.used_rows = 0;
	return 1;
}

/* Inflates until `want` bytes are there to be taken; false: the segment ends before. */
static bool need(struct wv_samples_reader *r, size_t want)
{
	while (r->to - r->from < want) {
		size_t before = r->to;
		int e;

		if (r->from) {
			memmove(r->plain, r->plain + r->from, r->to - r->from);
			r->to -= r->from;
			r->from = 0;
			before = r->to;
		}
		if (r->room < want + 65536) {
			unsigned char *bigger = realloc(r->plain, want + 131072);

			if (!bigger)
				return false;
			r->plain = bigger;
			r->room = want + 131072;
		}
		r->z.next_out = r->plain + r->to;
		r->z.avail_out = (unsigned)(r->room - r->to);
		e = inflate(&r->z, Z_SYNC_FLUSH);
		r->to = r->room - r->z.avail_out;
		if ((e != Z_OK && e != Z_STREAM_END && e != Z_BUF_ERROR) || r->to == before)
			return r->to - r->from >= want;
	}
	return true;
}

/* Length of the next frame; 0: the segment ends (torn or not). */
static size_t frame_length(struct wv_samples_reader *r)
{
	uint64_t len = 0;
	size_t n;

	for (size_t want = 1; want <= 10; want++) {
		if (!need(r, want))
			return 0;
		n = wv_varint_get(r->plain + r->from, want, &len);
		if (!n)
			continue;
		r->from += n;
		return len && len <= WV_SAMPLES_FRAME_MAX && need(r, len) ? len : 0;
	}
	return 0;
}

int wv_samples_read(struct wv_samples_reader *r, const struct wv_sample **ret_sample,
		    const char **ret_text)
{
	const unsigned char *frame;
	size_t len;
	int e;

	while (!r->inflating || !(len = frame_length(r))) {
		e = start_segment(r);
		if (e <= 0)
			return e;
	}
	frame = r->plain + r->from;
	r->from += len;
	if (frame[0] != 'T') {
		snprintf(r->text, sizeof(r->text), "%.*s", (int)(len - 1), frame + 1);
		*ret_text = r->text;
		return frame[0];
	}
	e = wv_samples_decode(&r->last, &r->sample, &r->map, frame + 1, len - 1);
	*ret_sample = &r->sample;
	return e < 0 ? e : 'T';
}

int wv_samples_read_open(struct wv_samples_reader **ret, int dirfd, uint32_t max_rows)
{
	struct wv_samples_reader *r = calloc(1, sizeof(*r));
	char name[32];
	int e;

	if (!r)
		return -ENOMEM;
	r->dirfd = dirfd;
	r->temporary = faccessat(dirfd, WV_SAMPLES_TEMPORARY, R_OK, 0) == 0;
	while (r->next < SEGMENTS_MAX &&
	       faccessat(dirfd, wv_samples_segment_name(r->next, name), R_OK, 0) == 0)
		r->next++;
	e = r->next || r->temporary ? wv_sample_init(&r->sample, max_rows) : -ENOENT;
	if (e == 0)
		e = wv_samples_state_init(&r->last, max_rows);
	if (e < 0) {
		wv_samples_read_close(r);
		return e;
	}
	*ret = r;
	return 0;
}

void wv_samples_read_close(struct wv_samples_reader *r)
{
	if (!r)
		return;
	end_segment(r);
	wv_samples_state_done(&r->last);
	wv_sample_done(&r->sample);
	free(r->plain);
	free(r);
}
