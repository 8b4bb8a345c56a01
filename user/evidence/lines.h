/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file of lines that only grows at its end. What was acknowledged is whole; a line that a crash
 * or a full disk tore is cut off before anything is written after it.
 */
#ifndef WV_EVIDENCE_LINES_H
#define WV_EVIDENCE_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "user/core/io.h"

struct wv_lines {
	const struct wv_io *io;
	int fd;		  /* -1: not open */
	uint64_t len;	  /* bytes that are whole lines */
	uint64_t flushed; /* of them, what is known to be on disk */
	bool torn;	  /* bytes after len may be in the file */
	bool refused;	  /* the last fsync failed */
};

/*
 * Opens dirfd/name for reading and appending, creating it. What a crash tore is cut off: what
 * follows the last newline, and everything from a line with a NUL on (a block that never reached
 * the disk reads as zeros). *ret_cut says how many bytes that was. The name is not durable before
 * the caller synced the folder. On failure l is closed.
 */
int wv_lines_open(struct wv_lines *l, const struct wv_io *io, int dirfd, const char *name,
		  mode_t mode, uint64_t *ret_cut);
/* Appends whole lines: all of them or, on failure, none. durable: fsync, too. */
int wv_lines_append(struct wv_lines *l, const void *buf, size_t len, bool durable);
/* Cuts back to a length that was reached before, durably. */
int wv_lines_cut(struct wv_lines *l, uint64_t len);
/* The last line without its newline, into buf. -ENODATA if there is none, -EFBIG if it does not
 * fit. */
int wv_lines_last(const struct wv_lines *l, char *buf, size_t size);
/* 1 if there is one line or none, 0 if there are more, or -errno. */
int wv_lines_is_single(const struct wv_lines *l);
/* The first len bytes of the file. -ENODATA if there are fewer. */
int wv_lines_head(const struct wv_lines *l, char *buf, size_t len);
int wv_lines_sync(struct wv_lines *l);
void wv_lines_close(struct wv_lines *l);

#endif
