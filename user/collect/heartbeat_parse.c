// SPDX-License-Identifier: GPL-2.0-only
/* Heartbeats of the configuration. */
#include <stddef.h>
#include <string.h>

#include "user/core/fields.h"
#include "user/flow/heartbeat.h"

static int check(const struct wv_yaml *y, const yaml_node_t *node, void *item)
{
	struct wv_heartbeat *h = item;

	if (wv_fields_node(y, node, "", "name"))
		return 0;
	if (strlen(h->file) >= sizeof(h->name))
		return wv_yaml_error(y, node,
				     "name is missing; expected one, as the file's path "
				     "is longer than 63 bytes");
	memcpy(h->name, h->file, sizeof(h->name));
	return 0;
}

int wv_heartbeats_parse(struct wv_config *c, const struct wv_yaml *y, yaml_node_t *node)
{
	static const struct wv_heartbeat blank;
	static const struct wv_list_parse how = {
		.list = "heartbeats",
		.size = sizeof(struct wv_heartbeat),
		.name_offset = offsetof(struct wv_heartbeat, name),
		.blank = &blank,
		.check = check,
	};
	void *items;
	int r = wv_list_parse(y, node, &how, &items, &c->n_heartbeats);

	if (r == 0)
		c->heartbeats = items;
	return r;
}
