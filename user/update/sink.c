// SPDX-License-Identifier: GPL-2.0-only
/* The sink of this machine: user/bundle/install.h and what it remembers. */
#include <errno.h>

#include "user/bundle/install.h"
#include "user/update/update.h"

static int newest(void *ctx, enum wv_bundle_kind kind, const char *name, uint64_t *ret)
{
	const struct wv_updater *u = ctx;
	const struct wv_bundle_slot *slot;
	struct wv_bundles b;
	int r = wv_bundles_open(&b, u->io, u->paths, "", false);

	*ret = 0;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	slot = wv_bundle_slot(&b.states, kind, name);
	if (slot)
		*ret = slot->highest;
	/* one that was staged and not activated, as by a power cut, is still to be installed */
	for (unsigned i = 0; slot && i < slot->n; i++)
		if (slot->entries[i].counter == slot->highest &&
		    slot->entries[i].state == WV_BUNDLE_STAGED)
			*ret = slot->highest - 1;
	wv_bundles_close(&b);
	return 0;
}

static int install(void *ctx, struct wv_bundle_reader *r, struct wv_trust *trust,
		   struct wv_manifest_error *error)
{
	const struct wv_updater *u = ctx;
	const struct wv_install_options options = {
		.environment = wv_bundle_environments[u->config->update_environment]};
	struct wv_installed installed;

	return wv_bundle_install_read(u->io, u->paths, r, trust, &options, &installed, error);
}

struct wv_update_sink wv_update_sink_here(struct wv_updater *u)
{
	return (struct wv_update_sink){.newest = newest, .install = install, .ctx = u};
}
