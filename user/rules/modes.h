/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What applications can read of their domain: <runtime>/domains/<name>.env, lines KEY=value that a
 * shell and systemd's EnvironmentFile= take: WAVEOS_MODE, WAVEOS_FLAGS, and WAVEOS_FLAG_<NAME>=1
 * for each flag of the mode. Replaced atomically, so a reader sees the old or the new text and
 * inotify tells of it.
 */
#ifndef WV_RULES_MODES_H
#define WV_RULES_MODES_H

#include "user/core/io.h"
#include "user/flow/policy.h"

#define WV_MODES_DIR "domains" /* in <runtime> */

/* Writes the file of one domain. 0 or -errno. */
int wv_modes_write(const struct wv_io *io, const char *runtime, const struct wv_policy *policy,
		   uint32_t domain, uint32_t mode);
/* The file's text into buf. Returns its length, which may be larger than size (then it was cut). */
size_t wv_modes_text(const struct wv_policy *policy, uint32_t domain, uint32_t mode, char *buf,
		     size_t size);
/* Removes files of domains that the policy has not. */
void wv_modes_tidy(const struct wv_io *io, const char *runtime, const struct wv_policy *policy);

#endif
