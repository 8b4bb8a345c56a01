/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Records of access in the device's log. What changes something is recorded before it is done, each
 * time. Refusals are recorded at once, the first of a kind; the same again within a minute, and
 * reads always, are counted and the counts become records: a client cannot flood the log.
 */
#ifndef WV_API_AUDIT_H
#define WV_API_AUDIT_H

#include <json-c/json.h>

#include "user/access/access.h"
#include "user/core/paths.h"
#include "user/evidence/tlog.h"

#define WV_AUDIT_ROWS 64
#define WV_AUDIT_DENIED_NS 60000000000ULL /* between two records of the same refusal */
#define WV_AUDIT_USED_NS 300000000000ULL  /* between two records of the same reads */
#define WV_AUDIT_NEW_PER_MINUTE 60	  /* records of new refusals */

struct wv_audit_row {
	bool used, denied;
	struct wv_caller who;
	enum wv_permission permission;
	char reason[48];
	uint64_t count; /* since the last record */
	uint64_t first_wall_ns, last_wall_ns, told_ns;
};

struct wv_audit {
	const struct wv_io *io;
	const struct wv_paths *paths;
	const char *run_id;
	struct wv_tlog *log; /* opened by the first record */
	struct wv_audit_row rows[WV_AUDIT_ROWS];
	uint64_t minute_ns; /* begin of the minute in which `fresh` counts */
	unsigned fresh;
	uint64_t failed; /* records that could not be written */
};

void wv_audit_open(struct wv_audit *au, const struct wv_io *io, const struct wv_paths *paths,
		   const char *run_id);
/* Writes what is counted, and lets the log go. */
void wv_audit_close(struct wv_audit *au);

/* Before it is done; durable. On -errno it must not be done. params: {"key=value", ...}, taken
 * over. *ret_seq names the request in its outcome. */
int wv_audit_granted(struct wv_audit *au, const struct wv_caller *who, enum wv_permission p,
		     const char *route, struct json_object *params, const char *body_sha256,
		     uint64_t *ret_seq);
void wv_audit_outcome(struct wv_audit *au, const struct wv_caller *who, enum wv_permission p,
		      uint64_t request, int exit_code, unsigned status, uint64_t took_ns);
void wv_audit_denied(struct wv_audit *au, const struct wv_caller *who, enum wv_permission p,
		     const char *reason);
void wv_audit_used(struct wv_audit *au, const struct wv_caller *who, enum wv_permission p);
/* Records of the counts that are due, or (all) of all. */
void wv_audit_flush(struct wv_audit *au, bool all);

#endif
