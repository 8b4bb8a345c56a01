/* SPDX-License-Identifier: GPL-2.0-only */
/* Between the parts of trust: trust.c judges and takes, trust_kept.c reads and writes. */
#ifndef WV_BUNDLE_TRUST_INTERNAL_H
#define WV_BUNDLE_TRUST_INTERNAL_H

#include "user/bundle/trust.h"

#define ROOT_FILE "root.json"
#define INDEX_FILE "index.json"

struct wv_trust {
	const struct wv_io *io;
	int dir;   /* -1: nothing is kept */
	bool look; /* nothing is written */
	struct wv_root root;
	struct wv_bundle_index index;
	char index_sha256[WV_SHA256_HEX]; /* "" without an index */
	uint64_t floor_s[WV_ROLES];	  /* 0: none */
};

/* now_s, or the floor of a role, whichever is later. */
uint64_t wv_trust_time_for(const struct wv_trust *t, enum wv_role role, uint64_t now_s);
/* The root in use becomes this one: any (old NULL), or one that follows old. */
int wv_trust_take_root(struct wv_trust *t, const struct wv_root *old, const char *text, size_t len,
		       struct wv_manifest_error *error);
/* An envelope whose signatures are those of the role index of the root in use. */
int wv_trust_open_index(const struct wv_trust *t, const char *text, size_t len,
			struct wv_bundle_index *ret, char sha256[WV_SHA256_HEX],
			struct wv_manifest_error *error);
int wv_trust_read_index(struct wv_trust *t);
void wv_trust_forget_index(struct wv_trust *t);
int wv_trust_write_floors(struct wv_trust *t);
/* Below the state folder; create: made if need be. */
int wv_trust_open_dir(const struct wv_io *io, const struct wv_paths *paths, bool create);
/* A descriptor: the lock is given back by close. */
int wv_trust_lock_dir(const struct wv_io *io, int dir);
/* Locks, and takes in what another process took meanwhile. *ret_fd is -1 where nothing is kept. */
int wv_trust_begin_write(struct wv_trust *t, int *ret_fd);
void wv_trust_end_write(struct wv_trust *t, int fd);

#endif
