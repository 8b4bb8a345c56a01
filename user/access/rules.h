/* SPDX-License-Identifier: GPL-2.0-only */
/* The list `roles` of the configuration: which users, groups and certificates have which role. */
#ifndef WV_ACCESS_RULES_H
#define WV_ACCESS_RULES_H

#include <sys/types.h>

#include "user/access/access.h"
#include "user/core/config.h"

/* At least one of user, group and certificate is not "": whoever is any of them has the role. */
struct wv_role_rule {
	char name[64];
	char user[64], group[64];
	char certificate[256];
	int role;
};

/* A rule's user or group as numbers, looked up once: a name service may be slow. */
struct wv_role_ids {
	uid_t *uids; /* by rule; (uid_t)-1: none, or unknown to this machine */
	gid_t *gids;
	size_t n;
};
/* 0 or -ENOMEM; unknown names are logged and match nobody. */
int wv_role_ids_resolve(const struct wv_config *c, struct wv_role_ids *ret);
void wv_role_ids_done(struct wv_role_ids *ids);

/* Roles of a local user with these groups: the rows', and admin for root. */
unsigned wv_roles_of_user(const struct wv_config *c, const struct wv_role_ids *ids, uid_t uid,
			  const gid_t *gids, size_t n_gids);
/* Roles of a certificate with this name ("DNS:host"). */
unsigned wv_roles_of_certificate(const struct wv_config *c, const char *name);

/* A group's number by name or digits. 0 or -ENOENT. */
int wv_group_number(const char *group, gid_t *ret);

#endif
