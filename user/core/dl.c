// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/dl.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "user/core/log.h"

int wv_dl_load(const char *soname, const char *package, const struct wv_dl_symbol *symbols)
{
	/* never closed: libraries like these have threads and handlers of their own */
	void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!library)
		return wv_log_errno(-ENOPKG, "dl", "%s cannot be loaded; install the package %s",
				    soname, package);
	for (const struct wv_dl_symbol *s = symbols; s->name; s++) {
		void *p = dlsym(library, s->name);

		if (!p)
			return wv_log_errno(-ENOEXEC, "dl", "%s of package %s has no %s: too old",
					    soname, package, s->name);
		memcpy(s->to, &p, sizeof(p));
	}
	return 0;
}
