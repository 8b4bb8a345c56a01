/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Redaction by data class (redact.def). Secrets and credentials are masked wherever text enters a
 * record or an artifact; the other classes when evidence leaves the machine. Pure, but for the key
 * of the hashes.
 */
#ifndef WV_EVIDENCE_REDACT_H
#define WV_EVIDENCE_REDACT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "user/core/io.h"

struct wv_config;

enum wv_data_class {
#define WV_DATA_CLASS(id, ...) WV_CLASS_##id,
#include "waveos/redact.def"
	WV_CLASS_N
};
#define WV_CLASS_SECRETS 2 /* the first so many are never written */
enum wv_redact_action { WV_REDACT_KEEP, WV_REDACT_MASK, WV_REDACT_HASH, WV_REDACT_REMOVE };
enum wv_redact_profile { WV_PROFILE_INTERNAL, WV_PROFILE_EXTERNAL, WV_PROFILE_N };
extern const char *const wv_class_names[WV_CLASS_N];
extern const char *const wv_profile_names[WV_PROFILE_N];

struct wv_redactor {
	enum wv_redact_action action[WV_CLASS_N];
	unsigned char key[32];	    /* of the hashes */
	char host[65];		    /* the host name; "" if it is kept */
	uint64_t found[WV_CLASS_N]; /* so often something of the class was taken out */
};

/* For what the agent writes: secrets and credentials are masked, the rest is kept. */
void wv_redactor_records(struct wv_redactor *r);
/* For a pack: the profile's actions, and what the settings say instead. 0 or -errno (no random). */
int wv_redactor_init(struct wv_redactor *r, const struct wv_io *io, const struct wv_config *config,
		     enum wv_redact_profile profile);

/*
 * One text. name: of the member that it stands in, or NULL. 1: *ret (to be freed) is what may be
 * written; 0: as it is; or -ENOMEM.
 */
int wv_redact_text(struct wv_redactor *r, const char *name, const char *text, char **ret);
/* All texts of an object, in place. How many changed, or -ENOMEM. */
int wv_redact_json(struct wv_redactor *r, struct json_object *o);

/* redact_detect.c: finders for one token without white space. Length of what is to be taken out at
 * *ret_at, 0 if there is nothing. */
size_t wv_find_secret(const char *token, size_t len, size_t *ret_at);
size_t wv_find_userinfo(const char *token, size_t len, size_t *ret_at);
size_t wv_find_email(const char *token, size_t len, size_t *ret_at);
size_t wv_find_address(const char *token, size_t len, size_t *ret_at);
size_t wv_find_home(const char *token, size_t len, size_t *ret_at);
/* Whether a value with this name is a credential; the class of a member by its name, or -1. */
bool wv_names_credential(const char *name, size_t len);
int wv_class_by_name(const char *name);

#endif
