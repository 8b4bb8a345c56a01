/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * .tar.zst by libarchive, loaded when first used. Written the same for the same files: owner root,
 * time 0, the order that the caller gives.
 */
#ifndef WV_EVIDENCE_PACK_ARCHIVE_H
#define WV_EVIDENCE_PACK_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "user/core/io.h"

struct wv_tar;

/* Writes to an open file, which the caller closes. -ENOPKG: no libarchive, said in the log. */
int wv_tar_write_open(struct wv_tar **ret, const struct wv_io *io, int fd);
int wv_tar_write(struct wv_tar *t, const char *name, const void *data, size_t len);
/* Ends the archive; frees t on any result. */
int wv_tar_write_close(struct wv_tar *t);

/* Reads from an open file. -EBADMSG: no such archive. */
int wv_tar_read_open(struct wv_tar **ret, int fd);
/* 1: the next plain file; *ret_name is valid until the next call. 0 at the end; -EBADMSG for damage
 * and for anything that is no plain file (*ret_name tells which). */
int wv_tar_read_next(struct wv_tar *t, const char **ret_name);
/* Bytes of it, 0 at its end, or -EBADMSG. */
ssize_t wv_tar_read(struct wv_tar *t, void *buf, size_t size);
void wv_tar_read_close(struct wv_tar *t);

#endif
