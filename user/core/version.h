/* SPDX-License-Identifier: GPL-2.0-only */
/* The three names that stand in every artifact: what runs, under which policy, from which bundle.
 */
#ifndef WV_CORE_VERSION_H
#define WV_CORE_VERSION_H

#include <stddef.h>

struct wv_config;
struct wv_policy;

struct wv_version {
	char waveos[32]; /* semantic version of this build */
	char policy[80]; /* "<name>@<first 12 hex digits of the SHA-256>" of the policy; where none
			    is declared "config@..." of the configuration's bytes */
	char bundle_id[72]; /* hex SHA-256 of the running executable, until bundles exist; "" if
			       unreadable */
};

/*
 * Fills the triple. config and policy may be NULL (defaults, none). The first call of a process
 * reads the whole executable: some milliseconds. Returns 0, or -errno where it cannot be read (the
 * rest is filled).
 */
int wv_version_get(const struct wv_config *config, const struct wv_policy *policy,
		   struct wv_version *ret);

#define WV_SHA256_HEX 65
/* Lower-case hex SHA-256 of these bytes. 0 or -EIO if the library refuses. */
int wv_sha256_hex(const void *buf, size_t len, char ret[WV_SHA256_HEX]);

#endif
