/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The segments of a spool: append-only files of frames, the last one is written to. One thread owns
 * a store; readers get positions that it has said are durable.
 *
 * Invariants: only the last segment can have a torn end, as a segment is synced before the next one
 * is made; a record's number is never given twice; what wv_spool_store_sync() acknowledged is on
 * disk.
 */
#ifndef WV_SPOOL_STORE_H
#define WV_SPOOL_STORE_H

#include "user/spool/reader.h"

struct wv_spool_segment {
	uint64_t id, bytes;
};

struct wv_spool_store {
	const struct wv_io *io;
	int dirfd; /* borrowed */
	uint64_t segment_bytes;
	struct wv_spool_segment *segments; /* oldest first; the last one is active if fd >= 0 */
	size_t n_segments, cap_segments;
	int fd;
	uint32_t seed;
	uint64_t next_seq;
	uint64_t used; /* bytes of all segments */
	bool torn;     /* the active one could not be cut back: nothing more goes into it */
	struct wv_pos durable;
	/* found at the start */
	uint64_t cut_bytes, damaged_bytes, lost_records;
};

/*
 * Opens the store of a folder and brings its last segment to its last whole frame. 0,
 * -EPROTONOSUPPORT if it is of a newer version, or -errno; on failure s is closed.
 */
int wv_spool_store_open(struct wv_spool_store *s, const struct wv_io *io, int dirfd,
			uint64_t segment_bytes);
void wv_spool_store_close(struct wv_spool_store *s);

/*
 * Appends one frame. buf has room for the header, then payload; f says what it is, its seq is set.
 * All of it or nothing is appended; -errno (-ENOSPC ...) if nothing was. Not durable before
 * wv_spool_store_sync().
 */
int wv_spool_store_append(struct wv_spool_store *s, struct wv_frame *f, uint8_t *buf);
/*
 * Makes all that was appended durable. After a failure nobody knows what of it reached the disk: it
 * is taken back, and the caller, who still has it, appends it again.
 */
int wv_spool_store_sync(struct wv_spool_store *s);
/* The oldest segment, or the next one to be made if there is none. */
uint64_t wv_spool_store_oldest(const struct wv_spool_store *s);
/* Removes the segments before this one; the active one stays. Returns how many, or -errno. */
int wv_spool_store_trim(struct wv_spool_store *s, uint64_t before);
/* Removes the oldest segment but the active one. -ENOENT if there is none. */
int wv_spool_store_drop_oldest(struct wv_spool_store *s);
/* Numbers go on from here: somebody has seen all before. */
void wv_spool_store_not_before(struct wv_spool_store *s, uint64_t seq);

#endif
