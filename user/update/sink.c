// SPDX-License-Identifier: GPL-2.0-only
/* The sink of this machine: what was verified is staged and put on trial; the rest of its life is
 * user/bundle/lifecycle.h's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/lifecycle.h"
#include "user/update/update.h"

static int newest(void *ctx, enum wv_bundle_kind kind, const char *name, uint64_t *ret)
{
	const struct wv_bundle_slot *slot;
	struct wv_bundles b;
	int r = wv_bundles_open(&b, &wv_io_system, ctx, "", false);

	*ret = 0;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	slot = wv_bundle_slot(&b.states, kind, name);
	if (slot)
		*ret = slot->highest;
	wv_bundles_close(&b);
	return 0;
}

static int next_content(void *ctx, const struct wv_bundle_file **ret_file)
{
	return wv_bundle_read_next(ctx, ret_file);
}

static ssize_t read_content(void *ctx, void *buf, size_t size)
{
	return wv_bundle_read_bytes(ctx, buf, size);
}

static int install(void *ctx, struct wv_bundle_reader *r, struct wv_manifest_error *error)
{
	const struct wv_manifest *m = wv_bundle_read_manifest(r);
	struct wv_store_source from = {
		.manifest = m, .next = next_content, .read = read_content, .ctx = r};
	struct wv_store_staged staged;
	struct wv_bundles b;
	int n = wv_bundles_open(&b, &wv_io_system, ctx, "", true);

	if (n < 0)
		return n;
	from.signatures = wv_bundle_read_signatures(r, &from.signatures_len);
	n = wv_bundles_stage(&b, &from, &staged);
	if (n == -EBADMSG)
		snprintf(error->text, sizeof(error->text), "%s", wv_bundle_read_error(r));
	if (n == 0)
		n = wv_bundles_activate(&b, m->kind, m->name, m->id);
	wv_bundles_close(&b);
	return n;
}

struct wv_update_sink wv_update_sink_here(const struct wv_paths *paths)
{
	return (struct wv_update_sink){
		.newest = newest, .install = install, .ctx = (void *)(uintptr_t)paths};
}
