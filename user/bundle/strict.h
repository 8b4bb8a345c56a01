/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading signed JSON strictly, by tables: canonical bytes only, each member is of a row, each row
 * is there unless it is optional, each value is in its bounds. Pure.
 */
#ifndef WV_BUNDLE_STRICT_H
#define WV_BUNDLE_STRICT_H

#include <json-c/json.h>

#include "user/bundle/manifest.h"

enum wv_strict_type {
	WV_STRICT_TEXT,	  /* char[size] */
	WV_STRICT_UINT,	  /* uint64_t */
	WV_STRICT_UINT32, /* uint32_t */
	WV_STRICT_BOOL,	  /* bool */
	WV_STRICT_CHOICE, /* int: index in choices */
	WV_STRICT_LIST,	  /* struct json_object *, borrowed; min to max elements */
	WV_STRICT_OBJECT, /* struct json_object *, borrowed */
};

/* JSON of others (JavaScript, jq) is exact up to here, so that nothing signed means two things. */
#define WV_STRICT_UINT_MAX ((1ULL << 53) - 1)

struct wv_strict_field {
	const char *name;
	enum wv_strict_type type;
	bool optional; /* then what it fills stays as it was */
	size_t offset, size;
	uint64_t min, max;	      /* of numbers and lengths of lists */
	const char *const *choices;   /* NULL-terminated */
	bool (*ok)(const char *text); /* TEXT; NULL: any that is not empty */
	const char *want;	      /* what ok() wants, for the message */
};

#define WV_STRICT_AT(owner, member)                                                                \
	.offset = offsetof(owner, member), .size = sizeof(((owner *)0)->member)

/* One canonical JSON object of at most max bytes; *ret is to be put. -EBADMSG, -EFBIG, -ENOMEM. */
int wv_strict_parse(const char *text, size_t len, size_t max, struct json_object **ret,
		    struct wv_manifest_error *error);
/* Fills `to` by rows up to {NULL}. where: how messages call the object. 0 or -EBADMSG. */
int wv_strict_read(struct json_object *o, const char *where, const struct wv_strict_field *fields,
		   void *to, struct wv_manifest_error *error);
/* The text of one element, or NULL if it is none or has a NUL in it. */
const char *wv_strict_string(struct json_object *o);
/* Index of a name in a NULL-terminated list, or -1. */
int wv_strict_choice(const char *name, const char *const *choices);
/* n lower-case hex digits and nothing else. */
bool wv_strict_is_hex(const char *text, size_t n);

#endif
