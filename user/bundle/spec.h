/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a bundle is built from: a YAML file with what people decide (kind, name, counter, for whom,
 * hooks, health), and files of this machine. docs/bundles.md has the keys.
 */
#ifndef WV_BUNDLE_SPEC_H
#define WV_BUNDLE_SPEC_H

#include "user/bundle/archive.h"
#include "user/core/config.h"

struct wv_bundle_spec {
	struct wv_manifest manifest; /* as it was parsed from its own text */
	char **sources;		     /* path on this machine, one for each of its files */
	int open;		     /* used by wv_bundle_spec_source() */
};

/*
 * Reads spec (YAML) and hashes its files. Paths in it are relative to its folder. tree (MAY be
 * NULL): all files below this folder, besides those that it names. now_s: when the bundle is made.
 * -EINVAL, or another -errno; error says what and where. Release with wv_bundle_spec_done().
 */
int wv_bundle_spec_load(const char *spec, const char *tree, uint64_t now_s,
			struct wv_bundle_spec *ret, struct wv_config_error *error);
/* For wv_bundle_write(), with the spec as ctx. */
ssize_t wv_bundle_spec_source(void *ctx, const struct wv_bundle_file *file, uint64_t off, void *buf,
			      size_t size);
void wv_bundle_spec_done(struct wv_bundle_spec *s);

#endif
