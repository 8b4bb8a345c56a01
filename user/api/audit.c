// SPDX-License-Identifier: GPL-2.0-only
#include "user/api/audit.h"

#include <errno.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/event.h"

static const char *const kinds[] = {
	[WV_CALLER_NOBODY] = "nobody",
	[WV_CALLER_LOOPBACK] = "loopback",
	[WV_CALLER_USER] = "user",
	[WV_CALLER_TOKEN] = "token",
	[WV_CALLER_CERTIFICATE] = "certificate",
};

void wv_audit_open(struct wv_audit *au, const struct wv_io *io, const struct wv_paths *paths,
		   const char *run_id)
{
	*au = (struct wv_audit){.io = io, .paths = paths, .run_id = run_id};
}

static int record(struct wv_audit *au, const char *type, struct json_object *fields,
		  uint64_t *ret_seq)
{
	int r = au->log ? 0 : wv_tlog_open_device(&au->log, au->io, au->paths);

	if (r == 0)
		r = wv_event(au->log, au->io, au->run_id, type, fields, true, ret_seq);
	else
		json_object_put(fields);
	if (r < 0) {
		au->failed++;
		(void)wv_log_errno(r, "api", "record '%s'", type);
	}
	return r;
}

static void add(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static struct json_object *about(const struct wv_caller *who, enum wv_permission p)
{
	struct json_object *o = json_object_new_object();
	char roles[WV_ROLES_TEXT];

	add(o, "identity", who->name);
	add(o, "kind", kinds[who->kind]);
	add(o, "roles", wv_roles_text(who->roles, roles));
	add(o, "peer", who->peer);
	add(o, "permission", wv_permissions[p].name);
	return o;
}

int wv_audit_granted(struct wv_audit *au, const struct wv_caller *who, enum wv_permission p,
		     const char *route, struct json_object *params, const char *body_sha256,
		     uint64_t *ret_seq)
{
	struct json_object *o = about(who, p);

	add(o, "route", route);
	json_object_object_add(o, "params", params);
	add(o, "body_sha256", body_sha256);
	return record(au, "access-granted", o, ret_seq);
}

void wv_audit_outcome(struct wv_audit *au, const struct wv_caller *who, enum wv_permission p,
		      uint64_t request, int exit_code, unsigned status, uint64_t took_ns)
{
	struct json_object *o = about(who, p);

	json_object_object_add(o, "request", json_object_new_uint64(request));
	json_object_object_add(o, "exit_code", json_object_new_int(exit_code));
	json_object_object_add(o, "status", json_object_new_int((int)status));
	json_object_object_add(o, "took_ns", json_object_new_uint64(took_ns));
	(void)record(au, "access-outcome", o, NULL);
}

/* Counting ------------------------------------------------------------------------------------ */

static void tell(struct wv_audit *au, struct wv_audit_row *row)
{
	struct json_object *o;
	int r;

	if (!row->count)
		return;
	o = about(&row->who, row->permission);
	if (row->denied)
		add(o, "reason", row->reason);
	json_object_object_add(o, "count", json_object_new_uint64(row->count));
	json_object_object_add(o, "first_wall_ns", json_object_new_uint64(row->first_wall_ns));
	json_object_object_add(o, "last_wall_ns", json_object_new_uint64(row->last_wall_ns));
	r = row->denied ? record(au, "access-denied", o, NULL) : record(au, "access-used", o, NULL);
	/* what could not be written stays counted, and is tried again */
	if (r == 0)
		row->count = 0;
	row->told_ns = au->io->mono_ns(au->io->ctx);
}

static bool same(const struct wv_audit_row *row, const struct wv_caller *who, enum wv_permission p,
		 bool denied, const char *reason)
{
	return row->used && row->denied == denied && row->permission == p &&
	       row->who.kind == who->kind && row->who.roles == who->roles &&
	       strcmp(row->who.name, who->name) == 0 && strcmp(row->who.peer, who->peer) == 0 &&
	       strcmp(row->reason, reason) == 0;
}

/* The row of this kind; made, in the place of the one that was told longest ago. */
static struct wv_audit_row *row_of(struct wv_audit *au, const struct wv_caller *who,
				   enum wv_permission p, bool denied, const char *reason)
{
	struct wv_audit_row *oldest = &au->rows[0];

	for (size_t i = 0; i < WV_AUDIT_ROWS; i++) {
		struct wv_audit_row *row = &au->rows[i];

		if (same(row, who, p, denied, reason))
			return row;
		if (oldest->used && (!row->used || row->told_ns < oldest->told_ns))
			oldest = row;
	}
	if (oldest->used)
		tell(au, oldest);
	*oldest = (struct wv_audit_row){.used = true, .denied = denied, .permission = p};
	oldest->who = *who;
	snprintf(oldest->reason, sizeof(oldest->reason), "%s", reason);
	return oldest;
}

static void count(struct wv_audit *au, struct wv_audit_row *row)
{
	row->last_wall_ns = au->io->wall_ns(au->io->ctx);
	if (!row->count++)
		row->first_wall_ns = row->last_wall_ns;
}

/* Whether a refusal of a new kind may be a record of its own now. */
static bool may_be_fresh(struct wv_audit *au, uint64_t now)
{
	if (!au->minute_ns || now - au->minute_ns >= 60000000000ULL) {
		au->minute_ns = now;
		au->fresh = 0;
	}
	return au->fresh < WV_AUDIT_NEW_PER_MINUTE;
}

void wv_audit_denied(struct wv_audit *au, const struct wv_caller *who, enum wv_permission p,
		     const char *reason)
{
	const struct wv_caller others = {.name = "others", .peer = "several"};
	uint64_t now = au->io->mono_ns(au->io->ctx);
	bool fresh = may_be_fresh(au, now);
	struct wv_audit_row *row;

	/* many kinds of refusals at once: who they are does not matter any more */
	row = row_of(au, fresh ? who : &others, p, true, fresh ? reason : "too many to tell apart");
	count(au, row);
	if (!row->told_ns && fresh) {
		au->fresh++;
		tell(au, row);
	} else if (!row->told_ns) {
		row->told_ns = now;
	}
}

void wv_audit_used(struct wv_audit *au, const struct wv_caller *who, enum wv_permission p)
{
	struct wv_audit_row *row = row_of(au, who, p, false, "");

	count(au, row);
	if (!row->told_ns)
		row->told_ns = au->io->mono_ns(au->io->ctx);
}

void wv_audit_flush(struct wv_audit *au, bool all)
{
	uint64_t now = au->io->mono_ns(au->io->ctx);

	for (size_t i = 0; i < WV_AUDIT_ROWS; i++) {
		struct wv_audit_row *row = &au->rows[i];
		uint64_t every = row->denied ? WV_AUDIT_DENIED_NS : WV_AUDIT_USED_NS;

		if (!row->used || (!all && now - row->told_ns < every))
			continue;
		if (row->count)
			tell(au, row);
		else
			row->used = false;
	}
}

void wv_audit_close(struct wv_audit *au)
{
	wv_audit_flush(au, true);
	if (au->log)
		wv_tlog_close(au->log);
	au->log = NULL;
}
