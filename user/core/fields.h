/* SPDX-License-Identifier: GPL-2.0-only */
/* Items of the configuration's lists, parsed by the rows of include/waveos/lists.def. */
#ifndef WV_CORE_FIELDS_H
#define WV_CORE_FIELDS_H

#include "user/core/config.h"

struct wv_field {
	const char *list, *group, *key;
	enum wv_setting_type type;
	size_t offset, size; /* of the member in the list's struct */
	const char *def, *min, *max, *example, *doc;
};
extern const struct wv_field wv_fields[];
extern const size_t wv_fields_count;

/* Whether a row is a key of this list. `policy_budgets` has the rows of `budgets` but for its own.
 */
bool wv_field_is_of(const struct wv_field *f, const char *list);

#define WV_LIST_ITEMS_MAX 1024

static inline bool wv_field_is_required(const struct wv_field *f)
{
	return f->def[0] == '!';
}

/* Groups of a list's items in table order, NULL-terminated; the first is "". Returns their number.
 */
#define WV_GROUPS_MAX 12
size_t wv_field_groups(const char *list, const char *groups[WV_GROUPS_MAX]);

/*
 * Fills an item (defaults included; what else is absent stays as the caller made it) from a
 * mapping. Unknown, repeated and missing keys and wrong values are errors with a place. SIGNAL_NAME
 * is stored as int; a LEVEL is stored as double in the unit of the signal named in the same group.
 */
int wv_fields_parse(const struct wv_yaml *y, const yaml_node_t *node, const char *list, void *item);
/* Node of a key of an item, or NULL if it was not given. */
const yaml_node_t *wv_fields_node(const struct wv_yaml *y, const yaml_node_t *item,
				  const char *group, const char *key);

/*
 * Parses every item of a list into a new array of structs of `size` bytes: `blank` is what an item
 * starts as, `check` (may be NULL) sees each item after its fields and sets the name where none was
 * given. Names must differ. On success *ret_items is malloc'ed, NULL if there are none.
 */
struct wv_list_parse {
	const char *list;
	size_t size, name_offset;
	const void *blank;
	int (*check)(const struct wv_yaml *y, const yaml_node_t *node, void *item);
};
int wv_list_parse(const struct wv_yaml *y, const yaml_node_t *node, const struct wv_list_parse *how,
		  void **ret_items, size_t *ret_n);

#endif
