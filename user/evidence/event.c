// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/event.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/artifacts.h"
#include "user/evidence/canonical.h"
#include "user/evidence/redact.h"

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

int wv_event_common(struct json_object *o, const struct wv_io *io, const char *run_id,
		    const char *type)
{
	char boot[SD_ID128_UUID_STRING_MAX];
	struct wv_redactor filter;
	size_t i;
	int r;

	if (!json_object_is_type(o, json_type_object))
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(common); i++)
		if (json_object_object_get_ex(o, common[i], NULL))
			return -EINVAL;
	/* free text comes in here: secrets go no further */
	wv_redactor_records(&filter);
	r = wv_redact_json(&filter, o);
	if (r >= 0)
		r = boot_id(boot);
	if (r == 0)
		r = add(o, "boot_id", json_object_new_string(boot));
	if (r == 0)
		r = add(o, "mono_ns", json_object_new_uint64(io->mono_ns(io->ctx)));
	if (r == 0)
		r = add(o, "run_id", json_object_new_string(run_id));
	if (r == 0)
		r = add(o, "schema_version", json_object_new_int(WV_EVENT_SCHEMA_VERSION));
	if (r == 0)
		r = add(o, "type", json_object_new_string(type));
	if (r == 0)
		r = add(o, "wall_ns", json_object_new_uint64(io->wall_ns(io->ctx)));
	return r;
}

ssize_t wv_event_compose(void *ctx, uint64_t seq, char *buf, size_t room)
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
	r = wv_event_common(o, io, run_id, type);
	if (r == 0)
		r = wv_tlog_append(l, wv_event_compose, o, &seq);
	json_object_put(o);
	if (r == 0 && durable)
		r = wv_tlog_commit(l);
	if (r < 0)
		return r;
	if (ret_seq)
		*ret_seq = seq;
	return 0;
}

void wv_tlog_options_of(const struct wv_config *c, struct wv_tlog_options *ret)
{
	*ret = (struct wv_tlog_options){
		.segment_bytes = c->evidence_segment_size,
		.segment_ns = c->evidence_segment_age,
		.checkpoint_records = c->evidence_checkpoint_records,
		.checkpoint_ns = c->evidence_checkpoint_every,
		.compress_level = (int)c->evidence_compress,
	};
}

int wv_tlog_open_device(struct wv_tlog **ret, const struct wv_io *io, const struct wv_paths *paths)
{
	/* the log keeps a pointer to it; a process is of one device */
	static struct wv_secret_key key;
	char name[WV_KEY_NAME_SIZE];
	struct wv_config_error error = {.text = ""};
	struct wv_tlog_options options;
	struct wv_config config;
	int r = wv_config_init(&config);

	if (r < 0)
		return r;
	/* a file that is wrong is told by those whose settings it has; here defaults will do */
	(void)wv_config_load(&config, paths->config, &error);
	wv_tlog_options_of(&config, &options);
	wv_config_done(&config);
	r = wv_device_key(io, paths, true, &key, name);
	if (r < 0)
		return r;
	options.key = &key;
	options.name = name;
	return wv_tlog_open(ret, io, paths->state, &options, NULL);
}

int wv_event_device(const struct wv_io *io, const struct wv_paths *paths, const char *run_id,
		    const char *type, struct json_object *fields)
{
	struct wv_tlog *log;
	int r = wv_tlog_open_device(&log, io, paths);

	if (r < 0) {
		json_object_put(fields);
		return r;
	}
	r = wv_event(log, io, run_id, type, fields, true, NULL);
	wv_tlog_close(log);
	return r;
}
