/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bundles on this machine, below <state>/bundles:
 *
 *   <id>/manifest.json, signatures.json, files/<path of the manifest>   a whole bundle
 *   staging/<id>/            one that is being written; staging/.gone-<id>: one that is removed
 *   generations/<n>/<kind>/<name>   links to the files of the bundles that are active together
 *   current                  link to one generation: what is active, replaced by one rename
 *   lock                     flock'ed by whoever changes anything here
 *
 * A folder has the name of an id only when everything in it was synced. A bundle's files are its
 * own: equal files of two bundles are not linked, for whatever spoils a file of the trial (a
 * service that writes into its own files, a bad block) must not spoil the last known good. Only
 * struct wv_io is used, and no right that the caller does not have.
 */
#ifndef WV_BUNDLE_STORE_H
#define WV_BUNDLE_STORE_H

#include "user/bundle/manifest.h"
#include "user/core/io.h"
#include "user/core/paths.h"

#define WV_BUNDLES_DIR "bundles" /* in <state> */
#define WV_BUNDLE_MANIFEST "manifest.json"
#define WV_BUNDLE_SIGNATURES "signatures.json"
#define WV_BUNDLE_FILES "files"
#define WV_BUNDLES_CURRENT "current"
/* Bytes that staging leaves free, so that logs and records of the rest of the machine go on. */
#define WV_STORE_RESERVE_BYTES (16U << 20)

struct wv_store {
	const struct wv_io *io;
	int dir, lock; /* lock -1: only to look */
	uint64_t reserve_bytes;
};

/* -1 if there is no such kind */
int wv_bundle_kind_by_name(const char *name);

/* Opens <state>/bundles. change: makes it if need be and takes the lock, waiting for it; else
 * -ENOENT where no bundle ever was. */
int wv_store_open(struct wv_store *ret, const struct wv_io *io, const char *state, bool change);
void wv_store_close(struct wv_store *s);

/* store_stage.c ----------------------------------------------------------------------------------
 */

/* Where a bundle comes from: contents one after the other, as wv_bundle_read_next() gives them. */
struct wv_store_source {
	const struct wv_manifest *manifest; /* verified */
	const char *signatures;		    /* as they came, kept beside it */
	size_t signatures_len;
	int (*next)(void *ctx, const struct wv_bundle_file **ret_file);
	ssize_t (*read)(void *ctx, void *buf, size_t size);
	void *ctx;
};
struct wv_store_staged {
	uint64_t written_bytes, kept_bytes; /* kept: was whole here already */
	bool was_there;			    /* the whole bundle was */
};
/*
 * Writes a bundle and gives it its name. What an earlier try wrote whole is kept; a damaged bundle
 * is mended file by file. -ENOSPC: it does not fit beside the reserve, nothing of it is left;
 * -EBADMSG: the source's bytes are not the manifest's; other -errno: what was staged whole stays
 * for the next try.
 */
int wv_store_stage(struct wv_store *s, const struct wv_store_source *from,
		   struct wv_store_staged *ret);

/*
 * Space that a rollback can have on a full disk: kept while there is a trial, given back before the
 * rollback's records and links are written. Failing to keep it changes nothing else.
 */
#define WV_STORE_BALLAST "ballast"
#define WV_STORE_BALLAST_BYTES (256U << 10)
int wv_store_keep_ballast(struct wv_store *s);
int wv_store_drop_ballast(struct wv_store *s);

/* store_files.c ----------------------------------------------------------------------------------
 */

/* The manifest of a whole bundle: its bytes have the hash that is its id. -ENOENT, -EBADMSG;
 * release with wv_manifest_done(). */
int wv_store_manifest(const struct wv_store *s, const char *id, struct wv_manifest *ret);
/* Opens a file of a bundle and hashes what the descriptor gives: these are the bytes to use. */
int wv_store_open_file(const struct wv_store *s, const struct wv_manifest *m,
		       const struct wv_bundle_file *file, int *ret_fd);
/* Every file of a bundle is what the manifest says, and there is no other. -EBADMSG: bad (its path
 * in `bad`, which MAY be NULL). */
int wv_store_verify(const struct wv_store *s, const struct wv_manifest *m,
		    char bad[WV_BUNDLE_PATH_SIZE]);
/* Opens and hashes one file in a folder; for staging. 0, -ENOENT, -EBADMSG. */
int wv_store_check_file(const struct wv_io *io, int dir, const char *path,
			const struct wv_bundle_file *file, int *ret_fd);

/* store_switch.c ---------------------------------------------------------------------------------
 */

struct wv_store_link {
	enum wv_bundle_kind kind;
	const char *name, *id;
};
/* Makes exactly these bundles active, all at once. They must be whole. After -errno either the
 * former or the new set is. */
int wv_store_switch(struct wv_store *s, const struct wv_store_link *links, unsigned n);
/* Id of the active bundle. -ENOENT: none. */
int wv_store_current(const struct wv_store *s, enum wv_bundle_kind kind, const char *name,
		     char ret_id[WV_SHA256_HEX]);
/* The name of the first active bundle of a kind, in no order; for kinds that have one at a time. */
int wv_store_current_of(const struct wv_store *s, enum wv_bundle_kind kind,
			char ret_name[WV_BUNDLE_NAME_SIZE], char ret_id[WV_SHA256_HEX]);

/* store_clean.c ----------------------------------------------------------------------------------
 */

/* Removes a bundle: first its name, at once. 0 also where it is gone already. */
int wv_store_remove(struct wv_store *s, const char *id);
/* Ids of whole bundles. */
int wv_store_each(const struct wv_store *s, int (*each)(void *userdata, const char *id),
		  void *userdata);
/* Removes what a crash left: half-removed bundles, torn files, generations that are not current;
 * and, with staged set, what was staged in part. */
int wv_store_clean(struct wv_store *s, bool staged);
/* Bytes on disk of a bundle, as its manifest tells. */
uint64_t wv_bundle_bytes(const struct wv_manifest *m);

#endif
