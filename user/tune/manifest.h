/* SPDX-License-Identifier: GPL-2.0-only */
/* What a tuning was made of and on: for whoever wants to repeat it. */
#ifndef WV_TUNE_MANIFEST_H
#define WV_TUNE_MANIFEST_H

struct wv_tuning;
struct json_object;

/* The caller's. Hashes the files that the specification and the command name. NULL: no memory. */
struct json_object *wv_tune_manifest(const struct wv_tuning *t);

#endif
