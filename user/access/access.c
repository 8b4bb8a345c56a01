// SPDX-License-Identifier: GPL-2.0-only
#include "user/access/access.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"

/* letters and words of the rows */
enum {
	V = 1U << WV_USER_VIEWER,
	O = 1U << WV_USER_OPERATOR,
	A = 1U << WV_USER_ADMIN,
	U = 1U << WV_USER_AUDITOR,
};
enum { SUM, EACH };

const char *const wv_user_role_names[] = {
#define WV_ROLE(ID, name, doc) #name,
#include "waveos/permissions.def"
};
const char *const wv_user_role_docs[] = {
#define WV_ROLE(ID, name, doc) doc,
#include "waveos/permissions.def"
};

const struct wv_permission_info wv_permissions[] = {
#define WV_PERMISSION(ID, name, roles, audit, doc) {name, roles, (audit) == EACH, doc},
#include "waveos/permissions.def"
};

const struct wv_api_route_info wv_api_routes[] = {
#define WV_API_ROUTE(ID, method, path, permission, seconds, doc)                                   \
	{#method, path, WV_MAY_##permission, seconds, doc},
#include "waveos/permissions.def"
};

const struct wv_guarded_verb wv_guarded_verbs[] = {
#define WV_GUARDED_VERB(verb, sub, permission, route)                                              \
	{verb, sub, WV_MAY_##permission, WV_API_##route},
#include "waveos/permissions.def"
};
const size_t wv_guarded_verbs_count = ARRAY_SIZE(wv_guarded_verbs);

bool wv_access_allows(unsigned roles, enum wv_permission p)
{
	return (unsigned)p < WV_MAY_N && (roles & wv_permissions[p].roles);
}

int wv_user_role_parse(const char *name, enum wv_user_role *ret)
{
	for (int i = 0; i < WV_USER_N; i++)
		if (strcmp(wv_user_role_names[i], name) == 0) {
			*ret = (enum wv_user_role)i;
			return 0;
		}
	return -EINVAL;
}

const char *wv_roles_text(unsigned roles, char buf[WV_ROLES_TEXT])
{
	size_t len = 0;

	buf[0] = '\0';
	for (int i = 0; i < WV_USER_N; i++)
		if (roles & 1U << i)
			len += (size_t)snprintf(buf + len, WV_ROLES_TEXT - len, "%s%s",
						len ? "," : "", wv_user_role_names[i]);
	return buf;
}

const struct wv_guarded_verb *wv_guarded_verb_find(const char *verb, const char *sub)
{
	for (size_t i = 0; i < wv_guarded_verbs_count; i++) {
		const struct wv_guarded_verb *g = &wv_guarded_verbs[i];

		if (strcmp(g->verb, verb) == 0 && (!g->sub[0] || (sub && strcmp(g->sub, sub) == 0)))
			return g;
	}
	return NULL;
}

bool wv_access_is_audit(const char *type, size_t len)
{
	static const char *const prefixes[] = {"access-", "token-"};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (len > strlen(prefixes[i]) &&
		    memcmp(type, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}
