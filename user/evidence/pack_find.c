// SPDX-License-Identifier: GPL-2.0-only
/* Which records a pack is to have. The log is read once, from its oldest record on. */
#include <errno.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/pack.h"
#include "user/evidence/tlog.h"

struct record {
	uint64_t seq, mono_ns, wall_ns;
	char boot_id[40], run_id[64];
};

/* Text of a member; canonical lines have no blanks, and none of these values has an escape. */
static void text_member(const char *line, const char *quoted, char *ret, size_t size)
{
	const char *p = strstr(line, quoted), *end;

	*ret = '\0';
	if (!p)
		return;
	p += strlen(quoted);
	end = strchr(p, '"');
	if (end && (size_t)(end - p) < size)
		snprintf(ret, size, "%.*s", (int)(end - p), p);
}

static void parse(const char *line, size_t len, uint64_t seq, struct record *ret)
{
	*ret = (struct record){.seq = seq};
	(void)wv_record_number(line, len, "mono_ns", &ret->mono_ns);
	(void)wv_record_number(line, len, "wall_ns", &ret->wall_ns);
	text_member(line, "\"boot_id\":\"", ret->boot_id, sizeof(ret->boot_id));
	text_member(line, "\"run_id\":\"", ret->run_id, sizeof(ret->run_id));
}

static bool wanted(const struct wv_pack_query *q, const struct record *r,
		   const struct record *center)
{
	if (q->run_id)
		return strcmp(q->run_id, r->run_id) == 0;
	if (q->since_wall_ns)
		return r->wall_ns >= q->since_wall_ns;
	if (!q->incident && !q->at_boot_id)
		return r->seq >= q->from && (!q->to || r->seq <= q->to);
	/* monotonic times compare within a boot only */
	if (strcmp(r->boot_id, center->boot_id) != 0)
		return false;
	return r->mono_ns + q->before_ns >= center->mono_ns &&
	       r->mono_ns <= center->mono_ns + q->after_ns;
}

/* The record that an incident is told by. */
static int find_center(const struct wv_io *io, const char *state, uint64_t seq, struct record *ret)
{
	struct wv_tlog_reader *reader;
	uint64_t got = 0;
	const char *line;
	size_t len;
	int r = wv_tlog_read_open(&reader, io, state, seq);

	if (r < 0)
		return r;
	r = wv_tlog_read(reader, &got, &line, &len);
	if (r > 0 && got == seq)
		parse(line, len, got, ret);
	else if (r >= 0)
		r = r ? -ENODATA : -ENOENT;
	wv_tlog_read_close(reader);
	return r < 0 ? r : 0;
}

int wv_pack_find(const struct wv_io *io, const char *state, const struct wv_pack_query *q,
		 struct wv_pack_range *ret)
{
	struct wv_pack_range range = {0};
	struct wv_tlog_reader *reader;
	struct record center = {.mono_ns = q->at_mono_ns}, rec;
	const char *line;
	uint64_t seq;
	size_t len;
	int r = q->incident ? find_center(io, state, q->incident, &center) : 0;

	if (r < 0)
		return r;
	if (q->at_boot_id)
		snprintf(center.boot_id, sizeof(center.boot_id), "%s", q->at_boot_id);
	r = wv_tlog_read_open(&reader, io, state, q->from ?: 1);
	if (r < 0)
		return r;
	while ((r = wv_tlog_read(reader, &seq, &line, &len)) > 0) {
		if (!range.first_seq && q->from && seq > q->from) {
			r = -ENODATA;
			break;
		}
		if (q->to && seq > q->to)
			break;
		parse(line, len, seq, &rec);
		if (!wanted(q, &rec, &center))
			continue;
		range.first_seq = range.first_seq ?: seq;
		range.last_seq = seq;
		if (rec.run_id[0])
			snprintf(range.run_id, sizeof(range.run_id), "%s", rec.run_id);
	}
	wv_tlog_read_close(reader);
	if (r < 0)
		return r;
	if (!range.first_seq)
		return -ENOENT;
	*ret = range;
	return 0;
}
