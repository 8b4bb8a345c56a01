/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How far an output, or the reading of a followed file, has come: small files that are replaced
 * atomically. A cursor may lag behind what was delivered (then it is delivered again), never lead.
 */
#ifndef WV_SPOOL_CURSOR_H
#define WV_SPOOL_CURSOR_H

#include "user/spool/reader.h"

/* delivered + dropped + damaged + dead + dropped_full = pos.seq - start_seq: the loss contract */
struct wv_cursor {
	struct wv_pos pos;
	uint64_t start_seq;    /* first record that this output was to get */
	uint64_t delivered;    /* records that the destination acknowledged */
	uint64_t dropped;      /* drop-oldest: removed before they were delivered */
	uint64_t dropped_full; /* drop-newest: the buffer was full, they never were in it */
	uint64_t damaged;      /* did not survive on disk */
	uint64_t dead;	       /* refused by the destination, in the dead letters */
	uint64_t rejected;     /* of those delivered: the answer said that it did not take them */
};

/* 0, -ENOENT, -EBADMSG if it is damaged, or -errno. */
int wv_cursor_load(struct wv_cursor *c, const struct wv_io *io, int dirfd, const char *name);
int wv_cursor_save(const struct wv_cursor *c, const struct wv_io *io, int dirfd, const char *name);

struct wv_follow {
	uint64_t device, inode, offset;
	/* CRC32C of the first bytes, at most 256 of those before offset: an inode that was given to
	 * another file is found out */
	uint64_t head_len, head_crc;
};
int wv_follow_load(struct wv_follow *c, const struct wv_io *io, int dirfd, const char *name);
int wv_follow_save(const struct wv_follow *c, const struct wv_io *io, int dirfd, const char *name);

#endif
