/* SPDX-License-Identifier: GPL-2.0-only */
/* The files that a bundle is built of: where they are, what they hold, how they will be called. */
#ifndef WV_BUNDLE_SPEC_FILES_H
#define WV_BUNDLE_SPEC_FILES_H

#include "user/bundle/manifest.h"
#include "user/core/paths.h"

struct wv_spec_files {
	struct wv_bundle_file *files;
	char **sources; /* as many */
	unsigned n, size;
	char at[WV_PATH_SIZE]; /* the file that the last error is about */
};

/*
 * Adds one plain file and hashes it. from is relative to folder ("" or with its slash) unless it is
 * absolute. mode 0: 0755 if its owner may execute it, else 0644. -ELOOP: a link; -EINVAL: no plain
 * file; -E2BIG: too many.
 */
int wv_spec_files_add(struct wv_spec_files *f, const char *folder, const char *from,
		      const char *path, uint32_t mode);
/* Adds all files below a folder under their paths in it; a link or a device is an error. */
int wv_spec_files_walk(struct wv_spec_files *f, const char *folder, const char *dir);
/* By path. -ENOMEM */
int wv_spec_files_sort(struct wv_spec_files *f);
/* The sources alone, NULL-terminated, for the caller to free. */
char **wv_spec_files_take(struct wv_spec_files *f);
void wv_spec_files_done(struct wv_spec_files *f);

#endif
