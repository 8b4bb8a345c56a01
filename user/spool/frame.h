/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames, the unit of a segment: a header of 40 bytes, then the name of the input and some records.
 * Every record of a spool has a number; a frame says the first one and how many there are, so what
 * is missing between two frames is known exactly. Numbers are little-endian.
 *
 *   0 magic  4 len  8 seq  16 wall_ns  24 count  28 type  29 format  30 name_len  31 zero
 *   32 CRC32C of the payload  36 CRC32C of the 36 bytes before
 *
 * Both sums start from the segment's secret seed: text that looks like a frame, sent by somebody
 * who cannot read the disk, is not taken for one when the reader looks for the next frame after
 * damage.
 */
#ifndef WV_SPOOL_FRAME_H
#define WV_SPOOL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WV_FRAME_MAGIC 0x52465657U /* "WVFR" */
#define WV_FRAME_HEADER 40
#define WV_FRAME_NAME_MAX 31
/* of payload; a reader's buffer holds two of them */
#define WV_FRAME_MAX (512U << 10)
/* A record that is longer is cut into pieces. */
#define WV_SPOOL_RECORD_MAX (256U << 10)

enum wv_frame_type {
	WV_FRAME_LINES = 1,   /* each record ends with a newline */
	WV_FRAME_COUNTED = 2, /* each record after its length, 4 bytes */
	WV_FRAME_GAP = 3,     /* `count` records were dropped here; the payload says why */
};

/* What the bytes of a record are; text of the sender in any case. */
enum wv_record_format { WV_RECORD_RAW, WV_RECORD_SYSLOG };

struct wv_frame {
	uint64_t seq;	  /* number of its first record */
	uint64_t wall_ns; /* when they were received */
	uint32_t count;
	uint32_t len; /* of payload: name and records */
	uint8_t type, format, name_len;
	const uint8_t *payload; /* borrowed; NULL after wv_frame_peek() */
};

/* Writes the header to at[0..40), the payload stands behind it already. */
void wv_frame_seal(uint8_t *at, const struct wv_frame *f, uint32_t seed);
/* A header at p, which has WV_FRAME_HEADER bytes. 0, or -EBADMSG: it is none. */
int wv_frame_peek(const uint8_t *p, uint32_t seed, struct wv_frame *ret);
/* Whether the payload behind a header that was peeked is whole. */
bool wv_frame_payload_ok(const uint8_t *p, const struct wv_frame *f, uint32_t seed);

/* Goes over the records: *pos starts at 0. False at the end. Never reads beyond the payload. */
bool wv_frame_next(const struct wv_frame *f, size_t *pos, const char **ret_text, size_t *ret_len);
/* Newlines in text. */
uint32_t wv_count_lines(const void *text, size_t len);

#endif
