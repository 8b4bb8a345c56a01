/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Canonical JSON: RFC 8785 (members sorted, no white space, shortest escapes and numbers), with one
 * difference: integers are written exactly, also those over 2^53, for times in nanoseconds are
 * such.
 */
#ifndef WV_EVIDENCE_CANONICAL_H
#define WV_EVIDENCE_CANONICAL_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

/* Text without newline, to be freed. -EINVAL for what JSON cannot say (NaN, infinity), -ENOMEM.
 * Strings that are not UTF-8 get U+FFFD for each bad byte. */
int wv_canonical(struct json_object *o, char **ret, size_t *ret_len);
/* 0 if these bytes are one value in canonical form; -EBADMSG if they are JSON but another form,
 * -EPROTO if they are no JSON (duplicate members, bad UTF-8, a NUL in a name, over 64 levels
 * included). */
int wv_canonical_check(const char *text, size_t len);

/* What is looked up in the same pass, of a record that is an object. */
struct wv_record_head {
	uint64_t seq;	  /* 0: none, or no whole number */
	const char *type; /* as it stands in the text, without quotes; NULL: none */
	size_t type_len;
};
/* The same, and *ret is filled as far as the text could be read, also on failure. */
int wv_canonical_record(const char *text, size_t len, struct wv_record_head *ret);

#endif
