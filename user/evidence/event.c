// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/event.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"

#define SCHEMA_VERSION 1

/*
 * How a log is kept that nobody set up otherwise. A segment is small enough to be compressed in a
 * second and large enough that a year of a quiet machine is a few hundred files; what is not yet
 * under a checkpoint is at most a minute or a thousand records.
 */
#define SEGMENT_BYTES (64ULL << 20)
#define SEGMENT_NS (24 * 3600 * 1000000000ULL)
#define CHECKPOINT_RECORDS 1000
#define CHECKPOINT_NS (60 * 1000000000ULL)
#define COMPRESS_LEVEL 3

static const char *const common[] = {"boot_id", "mono_ns", "run_id", "schema_version",
				     "seq",	"type",	   "wall_ns"};

static int add(struct json_object *o, const char *key, struct json_object *value)
{
	if (value && json_object_object_add(o, key, value) == 0)
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

static int boot_id(char ret[SD_ID128_UUID_STRING_MAX])
{
	sd_id128_t id;
	int r = sd_id128_get_boot(&id);

	if (r >= 0)
		sd_id128_to_uuid_string(id, ret);
	return r < 0 ? r : 0;
}

static int add_common(struct json_object *o, const struct wv_io *io, const char *run_id,
		      const char *type)
{
	char boot[SD_ID128_UUID_STRING_MAX];
	size_t i;
	int r;

	if (!json_object_is_type(o, json_type_object))
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(common); i++)
		if (json_object_object_get_ex(o, common[i], NULL))
			return -EINVAL;
	r = boot_id(boot);
	if (r == 0)
		r = add(o, "boot_id", json_object_new_string(boot));
	if (r == 0)
		r = add(o, "mono_ns", json_object_new_uint64(io->mono_ns(io->ctx)));
	if (r == 0)
		r = add(o, "run_id", json_object_new_string(run_id));
	if (r == 0)
		r = add(o, "schema_version", json_object_new_int(SCHEMA_VERSION));
	if (r == 0)
		r = add(o, "type", json_object_new_string(type));
	if (r == 0)
		r = add(o, "wall_ns", json_object_new_uint64(io->wall_ns(io->ctx)));
	return r;
}

static ssize_t compose(void *ctx, uint64_t seq, char *buf, size_t room)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *o = ctx;
	size_t len = 0;
	int r;

	r = add(o, "seq", json_object_new_uint64(seq));
	if (r == 0)
		r = wv_canonical(o, &text, &len);
	if (r < 0)
		return r;
	if (len > room)
		return -EMSGSIZE;
	memcpy(buf, text, len);
	return (ssize_t)len;
}

int wv_event(struct wv_tlog *l, const struct wv_io *io, const char *run_id, const char *type,
	     struct json_object *fields, bool durable, uint64_t *ret_seq)
{
	struct json_object *o = fields ? fields : json_object_new_object();
	uint64_t seq = 0;
	int r;

	if (!o)
		return -ENOMEM;
	r = add_common(o, io, run_id, type);
	if (r == 0)
		r = wv_tlog_append(l, compose, o, &seq);
	json_object_put(o);
	if (r == 0 && durable)
		r = wv_tlog_commit(l);
	if (r < 0)
		return r;
	if (ret_seq)
		*ret_seq = seq;
	return 0;
}

int wv_tlog_open_device(struct wv_tlog **ret, const struct wv_io *io, const struct wv_paths *paths)
{
	/* the log keeps a pointer to it; a process is of one device */
	static struct wv_secret_key key;
	char name[WV_KEY_NAME_SIZE];
	struct wv_tlog_options options = {
		.key = &key,
		.name = name,
		.segment_bytes = SEGMENT_BYTES,
		.segment_ns = SEGMENT_NS,
		.checkpoint_records = CHECKPOINT_RECORDS,
		.checkpoint_ns = CHECKPOINT_NS,
		.compress_level = COMPRESS_LEVEL,
	};
	int r;

	r = wv_device_key(io, paths, true, &key, name);
	return r < 0 ? r : wv_tlog_open(ret, io, paths->state, &options, NULL);
}
