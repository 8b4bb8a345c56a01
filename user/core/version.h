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
	char bundle_id[72]; /* of the installed bundle that the executable is a file of; else hex
			       SHA-256 of the executable itself; "" if unreadable */
};

/* Begins to read the executable, beside what else the start does; MAY be called before the first
 * wv_version_get(), which then waits for it. */
void wv_version_begin(void);
/*
 * Fills the triple. config and policy may be NULL (defaults, none). The first call of a process
 * reads the whole executable: some milliseconds. Returns 0, or -errno where it cannot be read (the
 * rest is filled).
 */
int wv_version_get(const struct wv_config *config, const struct wv_policy *policy,
		   struct wv_version *ret);

#endif
