/* SPDX-License-Identifier: GPL-2.0-only */
/* Roles and permissions: the rows of include/waveos/permissions.def, and who somebody is. */
#ifndef WV_ACCESS_ACCESS_H
#define WV_ACCESS_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum wv_user_role {
#define WV_ROLE(ID, ...) WV_USER_##ID,
#include "waveos/permissions.def"
	WV_USER_N
};

enum wv_permission {
#define WV_PERMISSION(ID, ...) WV_MAY_##ID,
#include "waveos/permissions.def"
	WV_MAY_N
};

enum wv_api_route {
#define WV_API_ROUTE(ID, ...) WV_API_##ID,
#include "waveos/permissions.def"
	WV_API_N,
	WV_API_NONE = WV_API_N,
};

extern const char *const wv_user_role_names[WV_USER_N], *const wv_user_role_docs[WV_USER_N];

struct wv_permission_info {
	const char *name;
	unsigned roles; /* bit wv_role */
	bool each;	/* every use is a record of its own */
	const char *doc;
};
extern const struct wv_permission_info wv_permissions[WV_MAY_N];

struct wv_api_route_info {
	const char *method, *path;
	enum wv_permission permission;
	unsigned seconds; /* that an answer may take */
	const char *doc;
};
extern const struct wv_api_route_info wv_api_routes[WV_API_N];

struct wv_guarded_verb {
	const char *verb, *sub; /* sub "": the verb has none */
	enum wv_permission permission;
	enum wv_api_route route; /* WV_API_NONE: direct access only */
};
extern const struct wv_guarded_verb wv_guarded_verbs[];
extern const size_t wv_guarded_verbs_count;

/* Who asks, as the api worker established it. */
enum wv_caller_kind {
	WV_CALLER_NOBODY,   /* no credential that counts */
	WV_CALLER_LOOPBACK, /* this machine, no credential */
	WV_CALLER_USER,	    /* peer of the UNIX socket */
	WV_CALLER_TOKEN,
	WV_CALLER_CERTIFICATE,
};
struct wv_caller {
	enum wv_caller_kind kind;
	unsigned roles; /* bits; several rows may name one identity */
	char name[160]; /* "uid:1000", "token:ci", "certificate:CN:x", "loopback", "nobody" */
	char peer[64];	/* address without port, or "uid:1000" */
};

/* Whether any of the roles has the permission. */
bool wv_access_allows(unsigned roles, enum wv_permission p);
/* 0, or -EINVAL for what is no role. */
int wv_user_role_parse(const char *name, enum wv_user_role *ret);
/* "viewer,auditor" in table order; "" for none. */
#define WV_ROLES_TEXT 48
const char *wv_roles_text(unsigned roles, char buf[WV_ROLES_TEXT]);
/* The row of a verb, NULL if it is not guarded. sub may be NULL. */
const struct wv_guarded_verb *wv_guarded_verb_find(const char *verb, const char *sub);
/* docs/api.md. */
void wv_access_print_doc(FILE *f);
/* Whether a type of record tells who did what (read-audit). */
bool wv_access_is_audit(const char *type, size_t len);

#endif
