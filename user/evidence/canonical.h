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

/* Text without newline, to be freed. -EINVAL for what JSON cannot say (NaN, infinity), -ENOMEM.
 * Strings that are not UTF-8 get U+FFFD for each bad byte. */
int wv_canonical(struct json_object *o, char **ret, size_t *ret_len);
/* 0 if these bytes are one value in canonical form; -EBADMSG if they are JSON but another form,
 * -EPROTO if they are no JSON (duplicate members, bad UTF-8, over 64 levels included). */
int wv_canonical_check(const char *text, size_t len);

#endif
