/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads frames in order from the segments of a folder. Damage is stepped over: the next frame that
 * is whole is looked for, and as every frame says its number, what is missing is counted exactly.
 */
#ifndef WV_SPOOL_READER_H
#define WV_SPOOL_READER_H

#include "user/core/io.h"
#include "user/spool/frame.h"

/* A segment starts with two equal copies of 64 bytes, so that one damaged sector does not take it:
 *   0 "WVSPOOL\0"  8 version  12 seed  16 id  24 seq of the first record  32 wall_ns  40 zero
 *   60 CRC32C of the 60 bytes before */
#define WV_SPOOL_SEGMENT_HEADER 128
#define WV_SPOOL_SEGMENT_VERSION 1
#define WV_SPOOL_SEGMENT_NAME_SIZE 24

struct wv_spool_segment_header {
	uint64_t id, first_seq, wall_ns;
	uint32_t seed;
};

/* Where the next frame starts, and the number of the next record. */
struct wv_pos {
	uint64_t segment, offset, seq;
};

void wv_spool_segment_name(uint64_t id, char ret[WV_SPOOL_SEGMENT_NAME_SIZE]);
void wv_spool_segment_header_put(const struct wv_spool_segment_header *h,
				 uint8_t ret[WV_SPOOL_SEGMENT_HEADER]);
/* 0, -EBADMSG: both copies are damaged, -EPROTONOSUPPORT: of a newer version. */
int wv_spool_segment_header_get(const uint8_t buf[WV_SPOOL_SEGMENT_HEADER],
				struct wv_spool_segment_header *ret);

struct wv_reader {
	const struct wv_io *io;
	int dirfd; /* borrowed */
	struct wv_pos pos;
	int fd; /* of segment pos.segment, or -1 */
	uint32_t seed;
	bool headless; /* its header is damaged: nothing in it can be told from noise */
	bool sealed;   /* size is known */
	uint64_t size;
	uint8_t *buf;
	uint64_t buf_off; /* offset of buf[0] in the file */
	size_t buf_len;
	bool jumped; /* segments were removed before they were read */
	/* totals; the caller takes differences */
	uint64_t lost_damaged, lost_removed; /* records */
	uint64_t damaged_bytes;
};

/* 0 or -ENOMEM. Release with wv_reader_done(). */
int wv_reader_init(struct wv_reader *r, const struct wv_io *io, int dirfd, struct wv_pos from);
void wv_reader_done(struct wv_reader *r);
/* Goes on from another place. */
void wv_reader_seek(struct wv_reader *r, struct wv_pos to);
/*
 * The next frame before `limit`, which is the end of what may be read; oldest is the first segment
 * that exists. Returns 1, 0 when there is no more, or -errno of a read. The frame is valid until
 * the next call; where it starts is in *ret_at with the first record that is wanted of it (pos.seq
 * may lie within a frame), and pos is behind it. Frames that lie before pos.seq are skipped.
 */
int wv_reader_next(struct wv_reader *r, const struct wv_pos *limit, uint64_t oldest,
		   struct wv_frame *ret, struct wv_pos *ret_at);

#endif
