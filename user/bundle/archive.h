/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bundle's file: one zstd frame around a ustar archive with manifest.json, signatures.json (a
 * detached envelope), root.<n>.json (a chain of roots, MAY be none) and then files/<sha256> in the
 * order of the hashes, each once. Verified as it streams: only the bytes that were hashed are
 * handed out, and what is on disk under a path is never read twice. What is not asked for is
 * refused: other entries, other kinds of entry, other forms of tar, bytes before, between or after.
 */
#ifndef WV_BUNDLE_ARCHIVE_H
#define WV_BUNDLE_ARCHIVE_H

#include "user/bundle/manifest.h"
#include "user/bundle/trust.h"

#define WV_BUNDLE_ROOTS_MAX 64 /* in one archive */
/* 8 MiB: what a reader must hold of the past, and so all that one can be made to allocate */
#define WV_BUNDLE_WINDOW_LOG 23

struct wv_bundle_reader;
/*
 * Reads manifest, signatures and roots of an open file (MAY be a pipe; stays the caller's) and
 * checks them against trust at the time now_s: newer roots are taken (durable), then signatures to
 * the threshold, expiry, and the index in use. Returns 0 with a verified manifest (owned by the
 * reader), -EKEYREJECTED (signatures), -EKEYEXPIRED (manifest or root expired), -ESTALE (the index
 * names a newer one), -EBADMSG (no bundle), -EFBIG, -ENOMEM, -ENOPKG; error says more.
 */
int wv_bundle_read_open(struct wv_bundle_reader **ret, int fd, struct wv_trust *trust,
			uint64_t now_s, struct wv_manifest_error *error);
/* Without any check of signatures: for tools that sign or show. Nothing of it may be used. */
int wv_bundle_read_unverified(struct wv_bundle_reader **ret, int fd,
			      struct wv_manifest_error *error);
const struct wv_manifest *wv_bundle_read_manifest(const struct wv_bundle_reader *r);
/* Signatures as they came, for keeping beside the manifest. */
const char *wv_bundle_read_signatures(const struct wv_bundle_reader *r, size_t *ret_len);
/* Roots as they came, the oldest first; NULL after the last. */
const char *wv_bundle_read_root(const struct wv_bundle_reader *r, unsigned i, uint64_t *ret_version,
				size_t *ret_len);
/*
 * 1: *ret_file is the next content (of several files with the same one, the first by path); 0: all
 * came, and nothing came after them; or -errno (-EBADMSG: one is missing, unasked for, or of
 * another size). What was not read of the one before is passed over, and checked.
 */
int wv_bundle_read_next(struct wv_bundle_reader *r, const struct wv_bundle_file **ret_file);
/* Bytes of it: > 0, 0 at its end when the hash was right, -EBADMSG when it was not. */
ssize_t wv_bundle_read_bytes(struct wv_bundle_reader *r, void *buf, size_t size);
/* Why the last call failed, for people. */
const char *wv_bundle_read_error(const struct wv_bundle_reader *r);
void wv_bundle_read_close(struct wv_bundle_reader *r);

/* What the writer asks for: bytes of a content from offset on, in order; 0 at its end. */
typedef ssize_t (*wv_bundle_source_fn)(void *ctx, const struct wv_bundle_file *file, uint64_t off,
				       void *buf, size_t size);

struct wv_bundle_parts {
	const struct wv_manifest *manifest; /* parsed: its text is what is written */
	const char *signatures;		    /* detached envelope */
	size_t signatures_len;
	const char *const *roots; /* envelopes, the oldest first */
	const size_t *root_lens;
	const uint64_t *root_versions;
	unsigned n_roots;
	int level; /* of zstd, 1 to 19 */
};
/*
 * Writes a bundle to fd: the same parts give the same bytes (with the same libzstd). -EBADMSG if a
 * content is not what the manifest says, and what the source or the seam returned.
 */
int wv_bundle_write(const struct wv_io *io, int fd, const struct wv_bundle_parts *parts,
		    wv_bundle_source_fn source, void *ctx);

/* Contents of a manifest in the order of the archive, each once: pointers to its files, to be
 * freed. -ENOMEM. */
int wv_bundle_contents(const struct wv_manifest *m, const struct wv_bundle_file ***ret,
		       unsigned *ret_n);

#endif
