/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who may sign what, after The Update Framework (TUF 1.0.31, sections 5 and 6): a root names keys,
 * and for each role (root, app, config, policy, cert, index) which of them and how many must sign.
 * A new root must be signed to the threshold of the old and of the new one. The root in use, the
 * newest index and the floor of time are kept in <state>/trust, through the I/O seam.
 */
#ifndef WV_BUNDLE_TRUST_H
#define WV_BUNDLE_TRUST_H

#include "user/bundle/manifest.h"
#include "user/core/paths.h"
#include "user/evidence/sign.h"

struct wv_trust;

/* Opens <state>/trust; -ENOENT: no root was ever pinned (wv_trust_pin). */
int wv_trust_open(struct wv_trust **ret, const struct wv_io *io, const struct wv_paths *paths);
/* Trust on first use: the first root, given by the owner. -EEXIST if there is one. */
int wv_trust_pin(const struct wv_io *io, const struct wv_paths *paths, const char *root, size_t len,
		 struct wv_manifest_error *error);
/* A next root, version by version; durable when it returns 0. -EKEYREJECTED, -EKEYEXPIRED */
int wv_trust_update(struct wv_trust *t, const char *root, size_t len, uint64_t now_s,
		    struct wv_manifest_error *error);
/* The wall clock, but never before what was seen signed (freeze by a clock that was set back). */
uint64_t wv_trust_now_s(struct wv_trust *t);
void wv_trust_close(struct wv_trust *t);

#endif
