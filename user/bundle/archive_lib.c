// SPDX-License-Identifier: GPL-2.0-only
#include "user/bundle/archive_lib.h"

#include <stdbool.h>
#include <stddef.h>

#include "user/core/dl.h"

int wv_archive_lib(const struct wv_archive_lib **ret)
{
	static struct wv_archive_lib lib;
	static const struct wv_dl_symbol symbols[] = {
#define WV_SYMBOL(name) {#name, &lib.name},
		WV_ARCHIVE_FUNCTIONS(WV_SYMBOL)
#undef WV_SYMBOL
			{NULL, NULL},
	};
	static bool loaded;
	int r = loaded ? 0 : wv_dl_load("libarchive.so.13", "libarchive13", symbols);

	if (r < 0)
		return r;
	loaded = true;
	*ret = &lib;
	return 0;
}
