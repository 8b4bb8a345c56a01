// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/samples_format.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/samples.h"

/* flags of a row in a frame */
#define ROW_NEW 1  /* key, parent, level, creation and path follow */
#define ROW_GONE 2 /* the row is no more */

static bool room_for(struct wv_frame *f, size_t more)
{
	unsigned char *bigger;
	size_t room = f->room ?: 4096;

	if (f->failed || f->len + more <= f->room)
		return !f->failed;
	while (room < f->len + more)
		room *= 2;
	bigger = realloc(f->bytes, room);
	f->failed = !bigger;
	if (!bigger)
		return false;
	f->bytes = bigger;
	f->room = room;
	return true;
}

size_t wv_varint_put(unsigned char buf[10], uint64_t v)
{
	size_t n = 0;

	while (v >= 0x80) {
		buf[n++] = (unsigned char)(v | 0x80);
		v >>= 7;
	}
	buf[n++] = (unsigned char)v;
	return n;
}

size_t wv_varint_get(const unsigned char *buf, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len && i < 10; i++) {
		v |= (uint64_t)(buf[i] & 0x7f) << (7 * i);
		if (!(buf[i] & 0x80)) {
			*ret = v;
			return i + 1;
		}
	}
	return 0;
}

/* Small differences of either sign become small numbers. */
static uint64_t zigzag(uint64_t difference)
{
	return difference << 1 ^ -(difference >> 63);
}

static uint64_t unzigzag(uint64_t v)
{
	return v >> 1 ^ -(v & 1);
}

void wv_frame_start(struct wv_frame *f, unsigned char type)
{
	f->len = 0;
	f->failed = false;
	if (room_for(f, 1))
		f->bytes[f->len++] = type;
}

void wv_frame_u64(struct wv_frame *f, uint64_t v)
{
	if (room_for(f, 10))
		f->len += wv_varint_put(f->bytes + f->len, v);
}

void wv_frame_bytes(struct wv_frame *f, const void *buf, size_t len)
{
	if (!room_for(f, len))
		return;
	memcpy(f->bytes + f->len, buf, len);
	f->len += len;
}

int wv_samples_state_init(struct wv_samples_state *s, uint32_t max_rows)
{
	*s = (struct wv_samples_state){.max_rows = max_rows};
	s->rows = calloc(max_rows, sizeof(*s->rows));
	return s->rows ? 0 : -ENOMEM;
}

void wv_samples_state_clear(struct wv_samples_state *s)
{
	for (uint32_t i = 0; i < s->used_rows; i++)
		s->rows[i] = (struct wv_samples_row){0};
	s->seq = s->mono_ns = s->wall_ns = 0;
	s->used_rows = 0;
}

void wv_samples_state_done(struct wv_samples_state *s)
{
	free(s->rows);
	s->rows = NULL;
}

void wv_samples_fields(const struct wv_sample *s, uint32_t slot, uint64_t ret[WV_SAMPLES_FIELDS])
{
	const struct wv_row *row = &s->rows[slot];
	bool base = row->flags & WV_ROW_BASE;
	uint64_t buf[WV_SIG_N], *at = ret + WV_SIG_N;

	memcpy(ret, wv_sample_own(s, slot, buf), WV_SIG_N * sizeof(*ret));
	for (int i = 0; i < WV_HIST_N; i++) {
		const struct wv_hist *h = &row->f.hist[i], *b = &s->base[slot].hist[i];

		for (int k = 0; k < WV_HIST_BUCKETS; k++)
			*at++ = h->bucket[k] - (base ? b->bucket[k] : 0);
		*at++ = h->sum_ns - (base ? b->sum_ns : 0);
	}
}

static void encode_row(struct wv_samples_row *last, const struct wv_sample *s, uint32_t slot,
		       struct wv_frame *f)
{
	const struct wv_row *row = &s->rows[slot];
	bool fresh = last->key != row->key;
	uint64_t fields[WV_SAMPLES_FIELDS];
	uint32_t next = 0;

	wv_samples_fields(s, slot, fields);
	if (!fresh && memcmp(fields, last->fields, sizeof(fields)) == 0)
		return;
	if (fresh)
		*last = (struct wv_samples_row){.key = row->key};
	wv_frame_u64(f, (uint64_t)slot + 1);
	wv_frame_u64(f, fresh ? ROW_NEW : 0);
	if (fresh) {
		wv_frame_u64(f, row->key);
		wv_frame_u64(f, row->parent_slot);
		wv_frame_u64(f, row->level);
		wv_frame_u64(f, row->created_mono_ns);
		wv_frame_u64(f, strlen(row->path));
		wv_frame_bytes(f, row->path, strlen(row->path));
	}
	for (uint32_t i = 0; i < WV_SAMPLES_FIELDS; i++) {
		if (fields[i] == last->fields[i])
			continue;
		wv_frame_u64(f, i - next + 1);
		wv_frame_u64(f, zigzag(fields[i] - last->fields[i]));
		last->fields[i] = fields[i];
		next = i + 1;
	}
	wv_frame_u64(f, 0);
}

void wv_samples_encode(struct wv_samples_state *last, const struct wv_sample *s, struct wv_frame *f)
{
	uint32_t n = s->used_rows > last->used_rows ? s->used_rows : last->used_rows;

	wv_frame_start(f, 'T');
	wv_frame_u64(f, zigzag(s->seq - last->seq));
	wv_frame_u64(f, zigzag(s->mono_ns - last->mono_ns));
	wv_frame_u64(f, zigzag(s->wall_ns - last->wall_ns));
	last->seq = s->seq;
	last->mono_ns = s->mono_ns;
	last->wall_ns = s->wall_ns;
	for (uint32_t slot = 1; slot < n && slot < last->max_rows; slot++) {
		bool live = slot < s->used_rows && (s->rows[slot].flags & WV_ROW_LIVE) &&
			    !(s->rows[slot].flags & WV_ROW_GONE);

		if (live) {
			encode_row(&last->rows[slot], s, slot, f);
		} else if (last->rows[slot].key) {
			wv_frame_u64(f, (uint64_t)slot + 1);
			wv_frame_u64(f, ROW_GONE);
			last->rows[slot] = (struct wv_samples_row){0};
		}
	}
	wv_frame_u64(f, 0);
	last->used_rows = n < last->max_rows ? n : last->max_rows;
}

/* Header ----------------------------------------------------------------------------------------
 */

char *wv_samples_header(void)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fprintf(f, WV_SAMPLES_MAGIC "buckets %d\nsignals", WV_HIST_BUCKETS);
	for (int i = 0; i < WV_SIG_N; i++)
		fprintf(f, " %s", wv_signals[i].name);
	fprintf(f, "\nhistograms");
	for (int i = 0; i < WV_HIST_N; i++)
		fprintf(f, " %s", wv_hists[i].name);
	fprintf(f, "\n\n");
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int hist_by_name(const char *name)
{
	for (int i = 0; i < WV_HIST_N; i++)
		if (strcmp(wv_hists[i].name, name) == 0)
			return i;
	return -1;
}

static int map_add(struct wv_samples_map *m, uint32_t first, uint32_t count)
{
	uint32_t *bigger = reallocarray(m->field, m->n + count, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	m->field = bigger;
	for (uint32_t i = 0; i < count; i++)
		bigger[m->n++] = first == UINT32_MAX ? UINT32_MAX : first + i;
	return 0;
}

/* One line of names. */
static int map_names(struct wv_samples_map *m, char *line, bool hists)
{
	char *save = NULL;
	int r = 0;

	for (char *name = strtok_r(line, " ", &save); r == 0 && name;
	     name = strtok_r(NULL, " ", &save)) {
		int at = hists ? hist_by_name(name) : wv_signal_by_name(name);
		uint32_t first = at < 0	 ? UINT32_MAX
				 : hists ? (uint32_t)(WV_SIG_N + at * (WV_HIST_BUCKETS + 1))
					 : (uint32_t)at;

		r = map_add(m, first, hists ? WV_HIST_BUCKETS + 1 : 1);
	}
	return r;
}

long wv_samples_header_parse(const char *text, size_t len, struct wv_samples_map *ret)
{
	const char *end = memmem(text, len, "\n\n", 2);
	_cleanup_free_ char *copy = end ? strndup(text, (size_t)(end - text)) : NULL;
	char *save = NULL, *line;
	int r = -EBADMSG, buckets = 0;

	if (!copy || strncmp(text, WV_SAMPLES_MAGIC, strlen(WV_SAMPLES_MAGIC)) != 0)
		return -EBADMSG;
	*ret = (struct wv_samples_map){0};
	for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "buckets ", 8) == 0)
			buckets = atoi(line + 8);
		else if (strncmp(line, "signals ", 8) == 0)
			r = map_names(ret, line + 8, false);
		else if (strncmp(line, "histograms ", 11) == 0 && r == 0)
			r = map_names(ret, line + 11, true);
	}
	if (r == 0 && buckets == WV_HIST_BUCKETS)
		return end + 2 - text;
	free(ret->field);
	ret->field = NULL;
	return r < 0 ? r : -EBADMSG;
}

const char *wv_samples_segment_name(unsigned i, char buf[32])
{
	if (i == 0)
		snprintf(buf, 32, "%s", WV_SAMPLES_NAME);
	else
		snprintf(buf, 32, "samples.%u.wvs", i);
	return buf;
}

/* Decoding --------------------------------------------------------------------------------------
 */

struct cursor {
	const unsigned char *at;
	size_t left;
	bool bad;
};

static uint64_t take(struct cursor *c)
{
	uint64_t v = 0;
	size_t n = wv_varint_get(c->at, c->left, &v);

	c->bad |= !n;
	c->at += n;
	c->left -= n;
	return v;
}

static void take_path(struct cursor *c, char path[WV_ROW_PATH_MAX])
{
	uint64_t len = take(c);

	if (len >= WV_ROW_PATH_MAX || len > c->left) {
		c->bad = true;
		return;
	}
	memcpy(path, c->at, len);
	path[len] = '\0';
	c->at += len;
	c->left -= len;
}

static void store(struct wv_row *row, uint32_t field, uint64_t v)
{
	uint32_t h, k;

	if (field < WV_SIG_N) {
		row->f.v[field] = v;
		return;
	}
	h = (field - WV_SIG_N) / (WV_HIST_BUCKETS + 1);
	k = (field - WV_SIG_N) % (WV_HIST_BUCKETS + 1);
	if (k < WV_HIST_BUCKETS)
		row->f.hist[h].bucket[k] = v;
	else
		row->f.hist[h].sum_ns = v;
}

static void decode_fields(struct cursor *c, struct wv_samples_row *last, struct wv_row *row,
			  const struct wv_samples_map *map)
{
	uint64_t gap, at, next = 0;

	while (!c->bad && (gap = take(c)) != 0) {
		uint64_t difference = unzigzag(take(c));
		uint32_t field;

		at = next + gap - 1;
		if (gap > map->n || at >= map->n) {
			c->bad = true;
			return;
		}
		next = at + 1;
		field = map->field[at];
		if (field == UINT32_MAX)
			continue;
		last->fields[field] += difference;
		store(row, field, last->fields[field]);
	}
}

static void decode_row(struct cursor *c, struct wv_samples_state *last, struct wv_sample *s,
		       const struct wv_samples_map *map, uint32_t slot)
{
	struct wv_samples_row *was = &last->rows[slot];
	struct wv_row *row = &s->rows[slot];
	uint64_t flags = take(c);

	if (flags & ROW_GONE) {
		*was = (struct wv_samples_row){0};
		row->flags = 0;
		return;
	}
	if (flags & ROW_NEW) {
		*row = (struct wv_row){.flags = WV_ROW_LIVE};
		*was = (struct wv_samples_row){0};
		was->key = row->key = take(c);
		row->parent_slot = (uint32_t)take(c);
		row->level = (uint16_t)take(c);
		row->created_mono_ns = take(c);
		take_path(c, row->path);
		row->path_len = (uint16_t)strlen(row->path);
		c->bad |= row->parent_slot >= s->max_rows;
	}
	c->bad |= !was->key;
	decode_fields(c, was, row, map);
}

int wv_samples_decode(struct wv_samples_state *last, struct wv_sample *s,
		      const struct wv_samples_map *map, const unsigned char *buf, size_t len)
{
	struct cursor c = {.at = buf, .left = len};
	uint64_t slot;

	s->seq = last->seq += unzigzag(take(&c));
	s->mono_ns = last->mono_ns += unzigzag(take(&c));
	s->wall_ns = last->wall_ns += unzigzag(take(&c));
	while (!c.bad && (slot = take(&c)) != 0) {
		if (--slot >= s->max_rows || slot == WV_SLOT_OTHER)
			return -EBADMSG;
		if (slot >= s->used_rows)
			s->used_rows = (uint32_t)slot + 1;
		if (slot >= last->used_rows)
			last->used_rows = (uint32_t)slot + 1;
		decode_row(&c, last, s, map, (uint32_t)slot);
	}
	return c.bad || c.left ? -EBADMSG : 0;
}
