// SPDX-License-Identifier: GPL-2.0-only
/* All references of a configuration: settings, and keys of lists that have some. */
#include <stdio.h>
#include <string.h>

#include "user/alert/config.h"
#include "user/core/cleanup.h"
#include "user/core/fields.h"
#include "user/secret/secret.h"

typedef int (*each_fn)(void *ctx, const char *setting, const char *reference);

static int each_field(const char *list, size_t i, const void *item, each_fn each, void *ctx)
{
	char name[128];
	int r = 0;

	for (size_t k = 0; r == 0 && k < wv_fields_count; k++) {
		const struct wv_field *f = &wv_fields[k];
		const char *value = (const char *)item + f->offset;

		if (f->type != WV_SECRET || strcmp(f->list, list) != 0 || !*value)
			continue;
		snprintf(name, sizeof(name), "%s[%zu].%s%s%s", list, i, f->group,
			 *f->group ? "." : "", f->key);
		r = each(ctx, name, value);
	}
	return r;
}

int wv_secrets_each(const struct wv_config *c, each_fn each, void *ctx)
{
	char name[128];
	int r = 0;

	for (size_t i = 0; r == 0 && i < wv_settings_count; i++) {
		const struct wv_setting *s = &wv_settings_table[i];
		const char *value = (const char *)c + s->offset;

		if (s->type != WV_SECRET || !*value)
			continue;
		snprintf(name, sizeof(name), "%s.%s", s->section, s->key);
		r = each(ctx, name, value);
	}
	for (size_t i = 0; r == 0 && i < c->n_alerts; i++)
		r = each_field("alerts", i, &c->alerts[i], each, ctx);
	return r;
}
