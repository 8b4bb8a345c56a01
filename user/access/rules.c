// SPDX-License-Identifier: GPL-2.0-only
#include "user/access/rules.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/fields.h"
#include "user/core/log.h"

static int check_certificate(const struct wv_yaml *y, const yaml_node_t *node, const char *name)
{
	static const char *const kinds[] = {"CN:", "DNS:", "email:", "URI:"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strncmp(name, kinds[i], strlen(kinds[i])) == 0 && name[strlen(kinds[i])])
			return 0;
	return wv_yaml_error(y, wv_fields_node(y, node, "", "certificate") ?: node,
			     "certificate: expected CN:, DNS:, email: or URI: and a name");
}

static int check(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	struct wv_role_rule *rule = item;

	if (!rule->user[0] && !rule->group[0] && !rule->certificate[0])
		return wv_yaml_error(y, node, "expected user, group or certificate");
	if (rule->certificate[0] && check_certificate(y, node, rule->certificate) < 0)
		return -EINVAL;
	if (!wv_fields_node(y, node, "", "name"))
		snprintf(rule->name, sizeof(rule->name), "%s%.50s",
			 rule->user[0]	  ? "user:"
			 : rule->group[0] ? "group:"
					  : "",
			 rule->user[0]	  ? rule->user
			 : rule->group[0] ? rule->group
					  : rule->certificate);
	return 0;
}

int wv_roles_parse(struct wv_config *c, const struct wv_yaml *y, yaml_node_t *node)
{
	static const struct wv_role_rule blank;
	static const struct wv_list_parse how = {
		.list = "roles",
		.size = sizeof(struct wv_role_rule),
		.name_offset = offsetof(struct wv_role_rule, name),
		.blank = &blank,
		.check = check,
	};
	void *items;
	int r = wv_list_parse(y, node, &how, &items, &c->n_roles);

	if (r == 0)
		c->roles = items;
	return r;
}

static bool number(const char *text, uint32_t *ret)
{
	char *end;
	unsigned long n;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || n >= UINT32_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

int wv_group_number(const char *group, gid_t *ret)
{
	const struct group *g;

	if (number(group, ret))
		return 0;
	g = getgrnam(group);
	if (!g)
		return -ENOENT;
	*ret = g->gr_gid;
	return 0;
}

static int user_number(const char *user, uid_t *ret)
{
	const struct passwd *p;

	if (number(user, ret))
		return 0;
	p = getpwnam(user);
	if (!p)
		return -ENOENT;
	*ret = p->pw_uid;
	return 0;
}

int wv_role_ids_resolve(const struct wv_config *c, struct wv_role_ids *ret)
{
	struct wv_role_ids ids = {.uids = calloc(c->n_roles + 1, sizeof(uid_t)),
				  .gids = calloc(c->n_roles + 1, sizeof(gid_t)),
				  .n = c->n_roles};

	if (!ids.uids || !ids.gids) {
		wv_role_ids_done(&ids);
		return -ENOMEM;
	}
	for (size_t i = 0; i < ids.n; i++) {
		const struct wv_role_rule *rule = &c->roles[i];

		ids.uids[i] = (uid_t)-1;
		ids.gids[i] = (gid_t)-1;
		if ((rule->user[0] && user_number(rule->user, &ids.uids[i]) < 0) ||
		    (rule->group[0] && wv_group_number(rule->group, &ids.gids[i]) < 0))
			(void)wv_log_full(LOG_WARNING, 0, "access",
					  "roles: '%s': this machine knows no such %s, so the row "
					  "matches nobody until the agent starts again",
					  rule->name, rule->user[0] ? "user" : "group");
	}
	*ret = ids;
	return 0;
}

void wv_role_ids_done(struct wv_role_ids *ids)
{
	free(ids->uids);
	free(ids->gids);
	*ids = (struct wv_role_ids){0};
}

unsigned wv_roles_of_user(const struct wv_config *c, const struct wv_role_ids *ids, uid_t uid,
			  const gid_t *gids, size_t n_gids)
{
	unsigned roles = uid == 0 ? 1U << WV_USER_ADMIN : 0;

	for (size_t i = 0; i < ids->n && i < c->n_roles; i++) {
		bool is = ids->uids[i] != (uid_t)-1 && ids->uids[i] == uid;

		for (size_t k = 0; k < n_gids && !is && ids->gids[i] != (gid_t)-1; k++)
			is = gids[k] == ids->gids[i];
		if (is)
			roles |= 1U << c->roles[i].role;
	}
	return roles;
}

unsigned wv_roles_of_certificate(const struct wv_config *c, const char *name)
{
	unsigned roles = 0;

	for (size_t i = 0; i < c->n_roles; i++)
		if (c->roles[i].certificate[0] && strcmp(c->roles[i].certificate, name) == 0)
			roles |= 1U << c->roles[i].role;
	return roles;
}
