// SPDX-License-Identifier: GPL-2.0-only
#include "user/kube/json.h"

#include <limits.h>

#define DEPTH_MAX 64

static struct json_object *get(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *v;

	return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &v) &&
			       json_object_is_type(v, type)
		       ? v
		       : NULL;
}

struct json_object *wv_kube_parse(const char *text, size_t len)
{
	struct json_tokener *t = len <= INT_MAX ? json_tokener_new_ex(DEPTH_MAX) : NULL;
	struct json_object *o;

	if (!t)
		return NULL;
	o = json_tokener_parse_ex(t, text, (int)len);
	if (json_tokener_get_error(t) != json_tokener_success) {
		json_object_put(o);
		o = NULL;
	}
	json_tokener_free(t);
	return o;
}

const char *wv_kube_text(struct json_object *o, const char *key)
{
	struct json_object *v = get(o, key, json_type_string);

	return v ? json_object_get_string(v) : "";
}

int64_t wv_kube_int(struct json_object *o, const char *key)
{
	struct json_object *v = get(o, key, json_type_int);

	return v ? json_object_get_int64(v) : 0;
}

struct json_object *wv_kube_object(struct json_object *o, const char *key)
{
	return get(o, key, json_type_object);
}

struct json_object *wv_kube_list(struct json_object *o, const char *key)
{
	return get(o, key, json_type_array);
}
