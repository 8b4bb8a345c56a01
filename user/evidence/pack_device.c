// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/pack_device.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/event.h"

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

/* The audit trail: a pack is a transformation of what the log has. */
static int record_made(struct wv_tlog *log, const struct wv_io *io,
		       const struct wv_pack_order *order, const struct wv_pack_range *g,
		       const struct wv_pack_result *res)
{
	struct json_object *o = json_object_new_object();
	const char *slash = strrchr(order->output, '/');

	/* the folder may be a person's */
	add_text(o, "file", slash ? slash + 1 : order->output);
	add_text(o, "sha256", res->sha256);
	json_object_object_add(o, "bytes", json_object_new_uint64(res->bytes));
	json_object_object_add(o, "first_seq", json_object_new_uint64(g->first_seq));
	json_object_object_add(o, "last_seq", json_object_new_uint64(g->last_seq));
	json_object_object_add(o, "redacted", json_object_new_uint64(res->redacted));
	add_text(o, "profile", wv_profile_names[order->profile]);
	add_text(o, "reason", order->reason);
	if (order->rule)
		add_text(o, "rule", order->rule);
	if (order->cgroup)
		add_text(o, "cgroup", order->cgroup);
	return wv_event(log, io, g->run_id, "pack-made", o, true, NULL);
}

static int find(const struct wv_io *io, const struct wv_paths *paths,
		const struct wv_pack_order *order, struct wv_pack_range *ret,
		struct wv_pack_result *res)
{
	int r = wv_pack_find(io, paths->state, order->query, ret);

	if (r == -ENOENT)
		snprintf(res->error, sizeof(res->error), "no record of the log in %.160s/log is so",
			 paths->state);
	else if (r == -ENODATA)
		snprintf(res->error, sizeof(res->error),
			 "these records are not in the log any more");
	else if (r < 0)
		snprintf(res->error, sizeof(res->error), "the log in %.120s/log cannot be read: %s",
			 paths->state, strerror(-r));
	return r;
}

int wv_pack_export(const struct wv_io *io, const struct wv_paths *paths,
		   const struct wv_config *config, const struct wv_pack_order *order,
		   struct wv_pack_range *ret_range, struct wv_pack_result *ret)
{
	char run[2 * WV_PATH_SIZE] = "", name[WV_KEY_NAME_SIZE];
	struct wv_secret_key key;
	struct wv_tlog *log;
	int r;

	*ret = (struct wv_pack_result){0};
	r = find(io, paths, order, ret_range, ret);
	if (r < 0)
		return r;
	r = wv_tlog_open_device(&log, io, paths);
	if (r < 0) {
		snprintf(ret->error, sizeof(ret->error),
			 "the log in %.120s/log cannot be opened: %s", paths->state, strerror(-r));
		return r;
	}
	r = wv_tlog_checkpoint(log);
	r = r ?: wv_device_key(io, paths, false, &key, name);
	if (r < 0) {
		snprintf(ret->error, sizeof(ret->error), "the log cannot be signed: %s",
			 strerror(-r));
		wv_tlog_close(log);
		return r;
	}
	if (ret_range->run_id[0])
		snprintf(run, sizeof(run), "%s/runs/%s", paths->state, ret_range->run_id);
	r = wv_pack_make(&(struct wv_pack_options){.io = io,
						   .paths = paths,
						   .config = config,
						   .key = &key,
						   .key_name = name,
						   .first_seq = ret_range->first_seq,
						   .last_seq = ret_range->last_seq,
						   .run = run,
						   .reason = order->reason,
						   .profile = order->profile,
						   .summary = order->summary},
			 order->output, ret);
	if (r == 0 && record_made(log, io, order, ret_range, ret) < 0)
		(void)wv_log_warn(0, "pack", "%s is made, but the log cannot say so",
				  order->output);
	wv_secret_key_wipe(&key);
	wv_tlog_close(log);
	return r;
}
