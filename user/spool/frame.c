// SPDX-License-Identifier: GPL-2.0-only
#include "user/spool/frame.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "user/spool/crc32c.h"

static void put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, 4);
}

static void put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, 8);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

void wv_frame_seal(uint8_t *at, const struct wv_frame *f, uint32_t seed)
{
	put32(at, WV_FRAME_MAGIC);
	put32(at + 4, f->len);
	put64(at + 8, f->seq);
	put64(at + 16, f->wall_ns);
	put32(at + 24, f->count);
	at[28] = f->type;
	at[29] = f->format;
	at[30] = f->name_len;
	at[31] = 0;
	put32(at + 32, wv_crc32c(seed, at + WV_FRAME_HEADER, f->len));
	put32(at + 36, wv_crc32c(seed, at, 36));
}

int wv_frame_peek(const uint8_t *p, uint32_t seed, struct wv_frame *ret)
{
	struct wv_frame f;

	if (get32(p) != WV_FRAME_MAGIC || get32(p + 36) != wv_crc32c(seed, p, 36))
		return -EBADMSG;
	f = (struct wv_frame){
		.len = get32(p + 4),
		.seq = get64(p + 8),
		.wall_ns = get64(p + 16),
		.count = get32(p + 24),
		.type = p[28],
		.format = p[29],
		.name_len = p[30],
	};
	if (f.len > WV_FRAME_MAX || f.name_len > f.len || f.name_len > WV_FRAME_NAME_MAX ||
	    f.type < WV_FRAME_LINES || f.type > WV_FRAME_GAP || !f.count || p[31] ||
	    f.seq + f.count < f.seq)
		return -EBADMSG;
	*ret = f;
	return 0;
}

bool wv_frame_payload_ok(const uint8_t *p, const struct wv_frame *f, uint32_t seed)
{
	return get32(p + 32) == wv_crc32c(seed, p + WV_FRAME_HEADER, f->len);
}

bool wv_frame_next(const struct wv_frame *f, size_t *pos, const char **ret_text, size_t *ret_len)
{
	const uint8_t *p = f->payload + f->name_len + *pos;
	size_t left = f->len - f->name_len - *pos, len;
	const uint8_t *newline;

	if (f->type == WV_FRAME_LINES) {
		if (!left)
			return false;
		newline = memchr(p, '\n', left);
		len = newline ? (size_t)(newline - p) : left;
		*ret_text = (const char *)p;
		*ret_len = len;
		*pos += len + (newline != NULL);
		return true;
	}
	if (f->type != WV_FRAME_COUNTED || left < 4)
		return false;
	len = get32(p);
	if (len > left - 4)
		return false;
	*ret_text = (const char *)p + 4;
	*ret_len = len;
	*pos += 4 + len;
	return true;
}

uint32_t wv_count_lines(const void *text, size_t len)
{
	const char *p = text, *end = p + len;
	uint32_t n = 0;

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
		n++;
		p++;
	}
	return n;
}
