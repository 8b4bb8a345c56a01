// SPDX-License-Identifier: GPL-2.0-only
#include "user/spool/cursor.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/spool/crc32c.h"

/* 8 bytes that name kind and version, words, CRC32C; all little-endian */
#define WORDS_MAX 10

static const char output_magic[8] = "WVCURS1", follow_magic[8] = "WVFOLL1";

static int save(const struct wv_io *io, int dirfd, const char *name, const char kind[8],
		const uint64_t *words, size_t n)
{
	uint8_t buf[8 + 8 * WORDS_MAX + 4];
	uint32_t crc;

	memcpy(buf, kind, 8);
	for (size_t i = 0; i < n; i++) {
		uint64_t v = htole64(words[i]);

		memcpy(buf + 8 + 8 * i, &v, 8);
	}
	crc = htole32(wv_crc32c(0, buf, 8 + 8 * n));
	memcpy(buf + 8 + 8 * n, &crc, 4);
	return wv_io_replace(io, dirfd, name, buf, 8 + 8 * n + 4, 0600);
}

static int load(const struct wv_io *io, int dirfd, const char *name, const char kind[8],
		uint64_t *words, size_t n)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	uint32_t crc;
	int r = wv_io_read_file(io, dirfd, name, 4096, &text, &len);

	if (r < 0)
		return r == -EFBIG ? -EBADMSG : r;
	if (len != 8 + 8 * n + 4 || memcmp(text, kind, 8) != 0)
		return -EBADMSG;
	memcpy(&crc, text + 8 + 8 * n, 4);
	if (le32toh(crc) != wv_crc32c(0, text, 8 + 8 * n))
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		memcpy(&words[i], text + 8 + 8 * i, 8);
		words[i] = le64toh(words[i]);
	}
	return 0;
}

int wv_cursor_save(const struct wv_cursor *c, const struct wv_io *io, int dirfd, const char *name)
{
	const uint64_t words[] = {c->pos.segment, c->pos.offset,  c->pos.seq, c->start_seq,
				  c->delivered,	  c->dropped,	  c->damaged, c->dead,
				  c->rejected,	  c->dropped_full};

	return save(io, dirfd, name, output_magic, words, ARRAY_SIZE(words));
}

int wv_cursor_load(struct wv_cursor *c, const struct wv_io *io, int dirfd, const char *name)
{
	uint64_t w[WORDS_MAX];
	int r = load(io, dirfd, name, output_magic, w, WORDS_MAX);

	if (r < 0)
		return r;
	*c = (struct wv_cursor){.pos = {w[0], w[1], w[2]},
				.start_seq = w[3],
				.delivered = w[4],
				.dropped = w[5],
				.damaged = w[6],
				.dead = w[7],
				.rejected = w[8],
				.dropped_full = w[9]};
	return 0;
}

int wv_follow_save(const struct wv_follow *c, const struct wv_io *io, int dirfd, const char *name)
{
	const uint64_t words[] = {c->device, c->inode, c->offset, c->head_len, c->head_crc};

	return save(io, dirfd, name, follow_magic, words, ARRAY_SIZE(words));
}

int wv_follow_load(struct wv_follow *c, const struct wv_io *io, int dirfd, const char *name)
{
	uint64_t w[5];
	int r = load(io, dirfd, name, follow_magic, w, ARRAY_SIZE(w));

	if (r == 0)
		*c = (struct wv_follow){w[0], w[1], w[2], w[3], w[4]};
	return r;
}
