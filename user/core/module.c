// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/module.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

#define WV_MODULE(name) extern const struct wv_module wv_module_##name;
#include "waveos/modules.def"
#undef WV_MODULE

const struct wv_module *const wv_modules[] = {
#define WV_MODULE(name) &wv_module_##name,
#include "waveos/modules.def"
#undef WV_MODULE
};
_Static_assert(ARRAY_SIZE(wv_modules) <= WV_MAX_MODULES, "raise WV_MAX_MODULES");
const size_t wv_modules_count = ARRAY_SIZE(wv_modules);

const struct wv_module *wv_module_by_name(const char *name)
{
	for (size_t i = 0; i < wv_modules_count; i++)
		if (strcmp(wv_modules[i]->name, name) == 0)
			return wv_modules[i];
	return NULL;
}

int wv_capability_add(struct wv_capabilities *c, const char *module, const char *name,
		      enum wv_capability_state state, const char *uses, const char *reason)
{
	struct wv_capability *bigger = realloc(c->list, (c->n + 1) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	c->list = bigger;
	bigger = &c->list[c->n++];
	*bigger = (struct wv_capability){.module = module, .state = state};
	snprintf(bigger->name, sizeof(bigger->name), "%s", name);
	snprintf(bigger->uses, sizeof(bigger->uses), "%s", uses ?: "");
	snprintf(bigger->reason, sizeof(bigger->reason), "%s", reason ?: "");
	return 0;
}
