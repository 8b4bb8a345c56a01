/* SPDX-License-Identifier: GPL-2.0-only */
/* What this device is, for the constraints of manifests. */
#ifndef WV_BUNDLE_TARGET_H
#define WV_BUNDLE_TARGET_H

#include "user/bundle/manifest.h"
#include "user/evidence/sign.h"

struct wv_bundle_here {
	struct wv_bundle_target target; /* points into this; apps is the caller's to set */
	char device[WV_KEY_NAME_SIZE], arch[16];
};

/* environment: dev, staging or prod; kept. create: makes the device's key if there is none; else
 * the device has no name then, and only "*" fits. 0 or -errno. */
int wv_bundle_here(struct wv_bundle_here *ret, const struct wv_io *io, const struct wv_paths *paths,
		   const char *environment, bool create);

#endif
