/* SPDX-License-Identifier: GPL-2.0-only */
/* What lifecycle.c and its recovery share. */
#ifndef WV_BUNDLE_LIFECYCLE_INTERNAL_H
#define WV_BUNDLE_LIFECYCLE_INTERNAL_H

#include "user/bundle/lifecycle.h"

/* Durable in the log, then folded; -EINVAL, and nothing written, where the table refuses it. */
int wv_bundles_emit(struct wv_bundles *b, struct wv_bundle_record *record);
struct wv_bundle_record wv_bundles_record(const struct wv_bundle_slot *slot,
					  const struct wv_bundle_entry *e,
					  enum wv_bundle_deed_id deed, enum wv_bundle_phase phase);
/* Makes active what the states say; with changed, another one in that slot ("": none). */
int wv_bundles_switch(struct wv_bundles *b, const struct wv_bundle_slot *changed, const char *id);
/* Manifest and files of a bundle: 0; -EBADMSG with the bad path, -errno. */
int wv_bundles_check(struct wv_bundles *b, const char *id, char bad[WV_BUNDLE_PATH_SIZE]);
/* A bundle-state record where the last one is far behind. */
int wv_bundles_refresh(struct wv_bundles *b);

#endif
