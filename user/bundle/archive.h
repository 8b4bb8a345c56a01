/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bundle's file: .tar.zst with manifest.json, signatures.json, root.<n>.json (chain of roots) and
 * then files/<sha256>, each once. Verified as it streams: only the bytes that were hashed are
 * handed out, and what is on disk under a path is never read twice.
 */
#ifndef WV_BUNDLE_ARCHIVE_H
#define WV_BUNDLE_ARCHIVE_H

#include "user/bundle/manifest.h"
#include "user/bundle/trust.h"

struct wv_bundle_reader;
/*
 * Reads manifest, signatures and roots of an open file (MAY be a pipe) and checks them against
 * trust at the time now_s: signatures to the threshold, expiry. Returns 0 with a verified manifest
 * (owned by the reader), -EKEYREJECTED (signatures), -EKEYEXPIRED (manifest or root expired),
 * -EBADMSG (no bundle), -EFBIG, -ENOMEM; error says more.
 */
int wv_bundle_read_open(struct wv_bundle_reader **ret, int fd, struct wv_trust *trust,
			uint64_t now_s, struct wv_manifest_error *error);
const struct wv_manifest *wv_bundle_read_manifest(const struct wv_bundle_reader *r);
/* Roots and signatures as they came, for keeping beside the manifest. */
const char *wv_bundle_read_signatures(const struct wv_bundle_reader *r, size_t *ret_len);
/* 1: *ret_file is the next content; 0: all files of the manifest came; or -errno (-EBADMSG: one is
 * missing, unasked for, or too long). */
int wv_bundle_read_next(struct wv_bundle_reader *r, const struct wv_bundle_file **ret_file);
/* Bytes of it: > 0, 0 at its end when the hash was right, -EBADMSG when it was not. */
ssize_t wv_bundle_read_bytes(struct wv_bundle_reader *r, void *buf, size_t size);
void wv_bundle_read_close(struct wv_bundle_reader *r);

#endif
