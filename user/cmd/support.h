/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The support bundle: what a person who helps needs to see, in one .tar.zst, with what is nobody's
 * business taken out. Every part is redacted before it is written, and the manifest says what is in
 * it, what was left out and why, and how often something of each class was redacted.
 */
#ifndef WV_CMD_SUPPORT_H
#define WV_CMD_SUPPORT_H

#include <json-c/json.h>

#include "user/core/paths.h"
#include "user/evidence/pack_archive.h"
#include "user/evidence/redact.h"

struct wv_support {
	const struct wv_paths *paths;
	struct wv_redactor redactor;
	struct wv_tar *tar;
	struct json_object *parts, *missing; /* arrays of the manifest */
};

/* Makes FILE, which must not exist (mode 0600). An exit code; with json the manifest is printed. */
int wv_support_make(const struct wv_paths *paths, const char *file, bool json);

/* support_parts.c: adds all parts. 0, or -errno where the archive cannot be written. */
int wv_support_add_parts(struct wv_support *s);
/*
 * Adds one part: JSON (one document or one a line) by its members, any other text as it is, both
 * redacted. Takes no reference. 0 or -errno.
 */
int wv_support_add(struct wv_support *s, const char *name, const char *text, size_t len);
/* Tells in the manifest why a part is not there. */
void wv_support_missing(struct wv_support *s, const char *name, const char *why);

#endif
