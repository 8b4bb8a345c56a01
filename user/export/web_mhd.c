// SPDX-License-Identifier: GPL-2.0-only
#include "user/export/web_mhd.h"

#include <dlfcn.h>
#include <errno.h>

#include "user/core/log.h"

#define LIBRARY "libmicrohttpd.so.12"

int wv_mhd_load(struct wv_mhd *ret)
{
	static const char *const names[] = {
#define X(name) "MHD_" #name,
		WV_MHD_FUNCTIONS(X)
#undef X
	};
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	union {
		struct wv_mhd table;
		void *slot[ARRAY_SIZE(names)];
	} u;

	_Static_assert(sizeof(u.table) == sizeof(u.slot), "one pointer a function");
	if (!library)
		return wv_log_full(LOG_ERR, -ENOENT, "web", "%s", dlerror());
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		u.slot[i] = dlsym(library, names[i]);
		if (!u.slot[i])
			return wv_log_full(LOG_ERR, -ENOENT, "web", "%s lacks %s", LIBRARY,
					   names[i]);
	}
	*ret = u.table;
	return 0;
}
