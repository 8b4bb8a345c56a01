// SPDX-License-Identifier: GPL-2.0-only
/* What the agent itself uses of active bundles. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/install.h"
#include "user/core/cleanup.h"

int wv_bundle_use(const struct wv_paths *paths, enum wv_bundle_kind kind,
		  char ret_path[WV_PATH_SIZE], char ret_sha256[WV_SHA256_HEX])
{
	const char *file = kind == WV_BUNDLE_POLICY ? WV_BUNDLE_POLICY_FILE : WV_BUNDLE_CONFIG_FILE;
	char name[WV_BUNDLE_NAME_SIZE], id[WV_SHA256_HEX];
	struct wv_manifest m;
	struct wv_store s;
	int r = wv_store_open(&s, &wv_io_system, paths->state, false);

	if (r < 0)
		return r;
	r = wv_store_current_of(&s, kind, name, id);
	r = r ?: wv_store_manifest(&s, id, &m);
	wv_store_close(&s);
	if (r < 0)
		return r;
	r = -ENOENT;
	for (unsigned i = 0; r < 0 && i < m.n_files; i++) {
		if (strcmp(m.files[i].path, file) != 0)
			continue;
		/* by id, not by `current`: a switch in between would be another file */
		if (snprintf(ret_path, WV_PATH_SIZE,
			     "%s/" WV_BUNDLES_DIR "/%s/" WV_BUNDLE_FILES "/%s", paths->state, id,
			     file) >= WV_PATH_SIZE) {
			r = -ENAMETOOLONG;
			break;
		}
		memcpy(ret_sha256, m.files[i].sha256, WV_SHA256_HEX);
		r = 0;
	}
	wv_manifest_done(&m);
	return r;
}

int wv_bundle_take_back(const struct wv_paths *paths, enum wv_bundle_kind kind, const char *cause)
{
	char name[WV_BUNDLE_NAME_SIZE];
	struct wv_bundles b;
	bool found = false;
	int r = wv_bundles_open(&b, &wv_io_system, paths, "", true);

	if (r < 0)
		return r;
	for (unsigned i = 0; !found && i < b.states.n; i++)
		if (b.states.slots[i].kind == kind &&
		    wv_bundle_in(&b.states.slots[i], WV_BUNDLE_TRIAL)) {
			snprintf(name, sizeof(name), "%s", b.states.slots[i].name);
			found = true;
		}
	if (found)
		r = wv_bundles_roll_back(&b, kind, name, cause, false);
	wv_bundles_close(&b);
	return r < 0 ? r : found;
}
