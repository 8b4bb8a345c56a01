/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What this device trusts, after The Update Framework (TUF 1.0.31, section 5): the root in use, the
 * newest index and floors of time, kept in <state>/trust through the I/O seam. A root or index that
 * was taken is durable when the call returns, and an older one is never taken again.
 *
 * Time: an object is judged at the later of the clock and the floors. A floor is the time at which
 * something signed was made: one for each role, moved only by what that role signed, and by index
 * and root for all. So a clock that is set back revives nothing; a clock that ran ahead leaves no
 * trace, for it moves no floor; and a floor that a signer set too far ahead goes away when the
 * role's keys change (for the root: with the next root).
 */
#ifndef WV_BUNDLE_TRUST_H
#define WV_BUNDLE_TRUST_H

#include "user/bundle/index.h"
#include "user/bundle/manifest.h"
#include "user/bundle/root.h"
#include "user/core/paths.h"
#include "user/evidence/sign.h"

#define WV_TRUST_DIR "trust" /* below the state folder */

struct wv_trust;

/* Opens <state>/trust; -ENOENT: no root was ever pinned (wv_trust_pin). -EBADMSG: the root that is
 * kept there is none. Paths are copied, io is kept. */
int wv_trust_open(struct wv_trust **ret, const struct wv_io *io, const struct wv_paths *paths);
/* The same, but what it learns stays in memory: for looking only. */
int wv_trust_open_to_look(struct wv_trust **ret, const struct wv_io *io,
			  const struct wv_paths *paths);
/* Trust in a root from elsewhere (an envelope), in memory only. -EBADMSG, -EKEYREJECTED */
int wv_trust_of_root(struct wv_trust **ret, const struct wv_io *io, const char *root, size_t len,
		     struct wv_manifest_error *error);
/* Trust on first use: the first root, given by the owner. -EEXIST if there is one. */
int wv_trust_pin(const struct wv_io *io, const struct wv_paths *paths, const char *root, size_t len,
		 struct wv_manifest_error *error);
/*
 * A next root, version by version; durable when it returns 0, also if the root is expired (the one
 * after it may not be). 0 for the one in use. -ESTALE: an older one. -EKEYREJECTED, -EBADMSG.
 */
int wv_trust_update(struct wv_trust *t, const char *root, size_t len,
		    struct wv_manifest_error *error);
/*
 * Whether a manifest may be used: signatures of its kind's role to the threshold of the root in
 * use, root and manifest not expired, and not older than, or another one than, the index in use
 * names. 0 or -EKEYREJECTED (signatures), -EKEYEXPIRED, -ESTALE (the index knows a newer one).
 */
int wv_trust_check(struct wv_trust *t, const struct wv_manifest *m, const struct wv_dsse *d,
		   uint64_t now_s, struct wv_manifest_error *error);
/* A manifest that wv_trust_check() took moves the floor of its role; durable. */
int wv_trust_learn(struct wv_trust *t, const struct wv_manifest *m);
/*
 * An index (an envelope) for the channel. 1: it is newer than the one in use, and durable; 0: it is
 * the one in use. -EKEYREJECTED (signatures; another channel), -EKEYEXPIRED, -ESTALE (older, or it
 * takes a counter back), -EBADMSG.
 */
int wv_trust_take_index(struct wv_trust *t, const char *text, size_t len, const char *channel,
			uint64_t now_s, struct wv_manifest_error *error);
/* The index in use, which may have expired since; NULL if there is none. Valid until the next call.
 */
const struct wv_bundle_index *wv_trust_index(const struct wv_trust *t);
const struct wv_root *wv_trust_root(const struct wv_trust *t);
/* -EKEYEXPIRED if the root in use has expired at that time. */
int wv_trust_check_root(const struct wv_trust *t, uint64_t now_s, struct wv_manifest_error *error);
/* The wall clock, but never before what was seen signed (freeze by a clock that was set back). */
uint64_t wv_trust_now_s(struct wv_trust *t);
void wv_trust_close(struct wv_trust *t);

#endif
