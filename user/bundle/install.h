/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a bundle's file to a trial: who signed it, whether it is for this device, whether it is
 * newer than anything seen, whether it fits on the disk; then staged and made active. Nothing on
 * this machine changes before all of that is known, and the switch is one rename (store.h).
 */
#ifndef WV_BUNDLE_INSTALL_H
#define WV_BUNDLE_INSTALL_H

#include "user/bundle/lifecycle.h"

struct wv_install_options {
	const char *environment; /* dev, staging, prod */
	const char *run_id;	 /* of the agent; "" or NULL outside of one */
	bool again;		 /* also one that was rolled back before */
	uint64_t reserve_bytes;	 /* left free on the disk; 0: WV_STORE_RESERVE_BYTES */
};

struct wv_installed {
	enum wv_bundle_kind kind;
	char name[WV_BUNDLE_NAME_SIZE], id[WV_SHA256_HEX], version[32];
	uint64_t counter;
	struct wv_store_staged staged;
	bool known; /* the rest is filled */
};

/*
 * Installs the bundle that fd gives (MAY be a pipe). 0: it is in trial. Else nothing is in use that
 * was not before, and error says why: -EKEYREJECTED, -EKEYEXPIRED (signatures, expiry, or
 * no root is pinned); -EXDEV it is for others; -ESTALE older than what was seen; -EALREADY it is
 * in use; -EEXIST it was rolled back before (see again); -EBUSY another one of its name is in
 * trial, or another policy or configuration is in use; -ENOSPC; -EBADMSG; -errno. *ret is filled as
 * far as it got.
 */
int wv_bundle_install(const struct wv_io *io, const struct wv_paths *paths, int fd,
		      const struct wv_install_options *options, struct wv_installed *ret,
		      struct wv_manifest_error *error);

/* The same for a bundle that is being read: it was verified against trust, and no content of it was
 * taken yet. */
struct wv_bundle_reader;
struct wv_trust;
int wv_bundle_install_read(const struct wv_io *io, const struct wv_paths *paths,
			   struct wv_bundle_reader *reader, struct wv_trust *trust,
			   const struct wv_install_options *options, struct wv_installed *ret,
			   struct wv_manifest_error *error);

/* use.c ------------------------------------------------------------------------------------------
 */

/* Files that the agent itself takes from an active bundle. */
#define WV_BUNDLE_POLICY_FILE "policy.yaml"
#define WV_BUNDLE_CONFIG_FILE "waveos.yaml"

/*
 * Path of the file that the active policy or config bundle has for the agent, and the SHA-256 that
 * the bytes read from it must have: whoever reads it compares, so that what is used is what was
 * signed. -ENOENT: no such bundle is active.
 */
int wv_bundle_use(const struct wv_paths *paths, enum wv_bundle_kind kind,
		  char ret_path[WV_PATH_SIZE], char ret_sha256[WV_SHA256_HEX]);
/*
 * Rolls back what is in trial of a kind: who uses it cannot. 1: done; 0: nothing of it is in trial;
 * -errno.
 */
int wv_bundle_take_back(const struct wv_paths *paths, enum wv_bundle_kind kind, const char *cause);
/* worker.c: the agent's bundle worker. ------------------------------------------------------------
 */

struct wv_worker_context;
/* Runs trials; returns its exit status. */
int wv_bundle_run(const struct wv_worker_context *ctx);
/* Whether there is or may be anything to watch: a bundle was installed once, or a root is pinned.
 */
bool wv_bundle_wanted(const struct wv_paths *paths);

#endif
