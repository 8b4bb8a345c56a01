// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/pack_due.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/sha256.h"

#define PREFIX "due-"
#define DUE_MAX_BYTES 4096
#define DUE_VERSION 1

static int open_folder(const struct wv_io *io, const char *state, bool make)
{
	char path[WV_PATH_SIZE + 8];
	int r;

	snprintf(path, sizeof(path), "%s/packs", state);
	r = make ? wv_io_mkdirs(io, path, 0750) : 0;
	return r < 0 ? r : io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) ?: "" : "";
}

static uint64_t u64_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

/* One file for a rule and cgroup. */
static void name_of(const struct wv_pack_due *d, char ret[64])
{
	char hex[WV_SHA256_HEX], both[sizeof(d->rule) + sizeof(d->cgroup)];

	snprintf(both, sizeof(both), "%s\n%s", d->rule, d->cgroup);
	wv_sha256_hex(both, strlen(both), hex);
	snprintf(ret, 64, PREFIX "%.16s.json", hex);
}

static int count(void *userdata, const char *name)
{
	*(unsigned *)userdata += strncmp(name, PREFIX, strlen(PREFIX)) == 0;
	return 0;
}

int wv_pack_due_add(const struct wv_io *io, const char *state, const struct wv_pack_due *d)
{
	int dir = open_folder(io, state, true), fd, r;
	struct json_object *o;
	unsigned n = 0;
	const char *text;
	char name[64];

	if (dir < 0)
		return dir;
	name_of(d, name);
	fd = io->open(io->ctx, dir, name, O_RDONLY | O_NOFOLLOW, 0);
	if (fd >= 0)
		(void)io->close(io->ctx, fd);
	r = fd >= 0 ? -EEXIST : io->list(io->ctx, dir, count, &n);
	if (r == 0 && n >= WV_PACK_DUE_MAX)
		r = -ENOSPC;
	if (r == 0) {
		o = json_object_new_object();
		json_object_object_add(o, "schema_version", json_object_new_int(DUE_VERSION));
		json_object_object_add(o, "boot_id", json_object_new_string(d->boot_id));
		json_object_object_add(o, "rule", json_object_new_string(d->rule));
		json_object_object_add(o, "cgroup", json_object_new_string(d->cgroup));
		json_object_object_add(o, "at_mono_ns", json_object_new_uint64(d->at_mono_ns));
		json_object_object_add(o, "before_ns", json_object_new_uint64(d->before_ns));
		json_object_object_add(o, "after_ns", json_object_new_uint64(d->after_ns));
		text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
		r = text ? wv_io_replace(io, dir, name, text, strlen(text), 0640) : -ENOMEM;
		json_object_put(o);
	}
	(void)io->close(io->ctx, dir);
	return r;
}

struct search {
	const struct wv_io *io;
	const char *boot_id;
	int dir;
	uint64_t now, soonest;
	struct wv_pack_due found;
	char bad[64]; /* a file that is none */
};

static bool parse(struct search *s, const char *name, struct wv_pack_due *ret)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *o;
	bool ok;

	if (wv_io_read_file(s->io, s->dir, name, DUE_MAX_BYTES, &text, NULL) < 0)
		return false;
	o = json_tokener_parse(text);
	ok = json_object_is_type(o, json_type_object) && u64_of(o, "schema_version") == DUE_VERSION;
	if (ok) {
		*ret = (struct wv_pack_due){.at_mono_ns = u64_of(o, "at_mono_ns"),
					    .before_ns = u64_of(o, "before_ns"),
					    .after_ns = u64_of(o, "after_ns")};
		snprintf(ret->name, sizeof(ret->name), "%s", name);
		snprintf(ret->boot_id, sizeof(ret->boot_id), "%s", text_of(o, "boot_id"));
		snprintf(ret->rule, sizeof(ret->rule), "%s", text_of(o, "rule"));
		snprintf(ret->cgroup, sizeof(ret->cgroup), "%s", text_of(o, "cgroup"));
	}
	json_object_put(o);
	return ok;
}

static int look(void *userdata, const char *name)
{
	struct search *s = userdata;
	struct wv_pack_due d;
	uint64_t at;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || strlen(name) >= sizeof(d.name))
		return 0;
	if (!parse(s, name, &d)) {
		snprintf(s->bad, sizeof(s->bad), "%s", name);
		return 0;
	}
	at = strcmp(d.boot_id, s->boot_id) == 0 ? d.at_mono_ns + d.after_ns : 1;
	if (!s->soonest || at < s->soonest) {
		s->soonest = at;
		s->found = d;
	}
	return 0;
}

int wv_pack_due_next(const struct wv_io *io, const char *state, const char *boot_id,
		     struct wv_pack_due *ret, uint64_t *ret_ns)
{
	struct search s = {.io = io, .boot_id = boot_id, .now = io->mono_ns(io->ctx)};
	int r;

	*ret_ns = 0;
	s.dir = open_folder(io, state, false);
	if (s.dir < 0)
		return s.dir == -ENOENT ? 0 : s.dir;
	r = io->list(io->ctx, s.dir, look, &s);
	if (s.bad[0])
		(void)io->unlink(io->ctx, s.dir, s.bad);
	(void)io->close(io->ctx, s.dir);
	if (r < 0)
		return r;
	*ret_ns = s.soonest;
	if (!s.soonest || s.soonest > s.now)
		return 0;
	*ret = s.found;
	return 1;
}

void wv_pack_due_remove(const struct wv_io *io, const char *state, const char *name)
{
	int dir = open_folder(io, state, false);

	if (dir < 0)
		return;
	(void)io->unlink(io->ctx, dir, name);
	(void)wv_io_sync_dir(io, dir);
	(void)io->close(io->ctx, dir);
}
