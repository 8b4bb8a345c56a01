/* SPDX-License-Identifier: GPL-2.0-only */
/* Members of JSON that somebody else wrote: what is not of the wanted kind is not there. */
#ifndef WV_KUBE_JSON_H
#define WV_KUBE_JSON_H

#include <json-c/json.h>
#include <stdint.h>

/* One whole document of at most 64 levels; NULL if it is none. */
struct json_object *wv_kube_parse(const char *text, size_t len);
/* "" where there is none. Valid while o is. */
const char *wv_kube_text(struct json_object *o, const char *key);
int64_t wv_kube_int(struct json_object *o, const char *key);
/* An object or a list, borrowed; NULL where there is none. */
struct json_object *wv_kube_object(struct json_object *o, const char *key);
struct json_object *wv_kube_list(struct json_object *o, const char *key);

static inline void wv_kube_putp(struct json_object **o)
{
	json_object_put(*o);
}

#endif
