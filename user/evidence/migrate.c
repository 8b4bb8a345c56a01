// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/migrate.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/artifacts.h"
#include "user/evidence/canonical.h"

#define FILE_MAX (1ULL << 30)
#define EVENTS_CURRENT 2

static int fail(struct wv_migration *m, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(m->error, sizeof(m->error), format, ap);
	va_end(ap);
	return error;
}

static unsigned version_of(struct json_object *o)
{
	struct json_object *v;

	return json_object_is_type(o, json_type_object) &&
			       json_object_object_get_ex(o, "schema_version", &v) &&
			       json_object_is_type(v, json_type_int) && json_object_get_int64(v) > 0
		       ? (unsigned)json_object_get_int64(v)
		       : 0;
}

/* Steps of a record, by the version that they lead from. */
static int record_1_to_2(struct json_object *o)
{
	/* members are sorted by whoever writes the line; numbers count within the run, as they did
	 */
	return json_object_object_add(o, "schema_version", json_object_new_int(2)) ? -ENOMEM : 0;
}
static int (*const record_steps[EVENTS_CURRENT])(struct json_object *o) = {[1] = record_1_to_2};

/* One line of the log; *ret is its new text, to be freed. */
static int migrate_record(struct wv_migration *m, const char *line, uint64_t number,
			  struct wv_migrated *what, char **ret)
{
	struct json_object *o = json_tokener_parse(line);
	unsigned version = version_of(o), from = version;
	size_t len;
	int r = 0;

	if (!version)
		r = fail(m, -EBADMSG, "%s: line %" PRIu64 " is no record", what->file, number);
	else if (version > EVENTS_CURRENT)
		r = fail(m, -EPROTO,
			 "%s: line %" PRIu64 " is of schema_version %u, this program knows %d",
			 what->file, number, version, EVENTS_CURRENT);
	for (; r == 0 && version < EVENTS_CURRENT; version++)
		r = record_steps[version](o);
	if (r == 0)
		r = wv_canonical(o, ret, &len);
	json_object_put(o);
	if (r == 0 && (!what->from || from < what->from))
		what->from = from;
	return r;
}

static int migrate_events(struct wv_migration *m, char *text, size_t len, struct wv_migrated *what,
			  char **ret, size_t *ret_len)
{
	FILE *f = open_memstream(ret, ret_len);
	int r = f ? 0 : -ENOMEM;
	char *end;

	for (char *at = text; r == 0 && at < text + len; at = end + 1) {
		_cleanup_free_ char *line = NULL;

		end = memchr(at, '\n', (size_t)(text + len - at));
		if (!end) {
			what->cut_bytes = (uint64_t)(text + len - at);
			break;
		}
		*end = '\0';
		r = migrate_record(m, at, ++what->records, what, &line);
		if (r == 0)
			fprintf(f, "%s\n", line);
	}
	if (f && fclose(f) != 0)
		r = -ENOMEM;
	what->from = what->from ?: EVENTS_CURRENT;
	what->to = EVENTS_CURRENT;
	return r;
}

/* Artifacts that have had one version so far: only that is looked at. */
static int check_json(struct wv_migration *m, const char *text, struct wv_migrated *what)
{
	struct json_object *o = json_tokener_parse(text);
	unsigned version = version_of(o);

	json_object_put(o);
	if (!version)
		return fail(m, -EBADMSG, "%s is no artifact: it has no schema_version", what->file);
	if (version > WV_SCHEMA_VERSION)
		return fail(m, -EPROTO, "%s is of schema_version %u, this program knows %d",
			    what->file, version, WV_SCHEMA_VERSION);
	what->from = what->to = version;
	return 0;
}

static int write_new(struct wv_migration *m, struct wv_migrated *what, const char *old,
		     size_t old_len, const char *new, size_t len)
{
	bool in_place = m->to_dir == m->from_dir;
	char kept[64] = "";
	int r;

	if (in_place && what->from == what->to)
		return m->tell ? m->tell(m->ctx, what) : 0;
	if (in_place)
		snprintf(kept, sizeof(kept), "%s.v%u", what->file, what->from);
	what->kept = kept;
	r = m->tell ? m->tell(m->ctx, what) : 0;
	/* the original has its other name before the new one takes its place; a crash in between
	 * leaves both, and the next try makes the same again */
	if (r == 0 && in_place)
		r = wv_io_replace(m->io, m->from_dir, kept, old, old_len, WV_ARTIFACT_MODE);
	if (r == 0)
		r = wv_io_replace(m->io, m->to_dir, what->file, new, len, WV_ARTIFACT_MODE);
	return r;
}

static int migrate_file(struct wv_migration *m, const char *name)
{
	struct wv_migrated what = {.file = name, .kept = ""};
	_cleanup_free_ char *text = NULL, *old = NULL, *new = NULL;
	size_t len, new_len = 0;
	int r = wv_io_read_file(m->io, m->from_dir, name, FILE_MAX, &text, &len);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return fail(m, r, "%s: %s", name, strerror(-r));
	wv_sha256_hex(text, len, what.from_sha256);
	if (strcmp(name, WV_EVENTS_NAME) == 0) {
		old = malloc(len + 1);
		if (!old)
			return -ENOMEM;
		memcpy(old, text, len + 1);
		r = migrate_events(m, text, len, &what, &new, &new_len);
	} else {
		r = check_json(m, text, &what);
	}
	if (r < 0)
		return r;
	wv_sha256_hex(new ?: text, new ? new_len : len, what.to_sha256);
	r = write_new(m, &what, old ?: text, len, new ?: text, new ? new_len : len);
	return r < 0 && !m->error[0] ? fail(m, r, "%s: %s", name, strerror(-r)) : r;
}

/* The rest is copied to another folder as it is. */
static int copy_other(void *userdata, const char *name)
{
	static const char *const known[] = {WV_EVENTS_NAME, WV_META_NAME, WV_EXPLAIN_NAME};
	struct wv_migration *m = userdata;
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(name, known[i]) == 0)
			return 0;
	r = wv_io_read_file(m->io, m->from_dir, name, FILE_MAX, &text, &len);
	if (r == -EISDIR)
		return 0;
	r = r ?: wv_io_replace(m->io, m->to_dir, name, text, len, WV_ARTIFACT_MODE);
	return r < 0 ? fail(m, r, "%.200s: %s", name, strerror(-r)) : 0;
}

int wv_migrate_run(struct wv_migration *m)
{
	static const char *const files[] = {WV_META_NAME, WV_EXPLAIN_NAME, WV_EVENTS_NAME};
	int r = 0;

	m->error[0] = '\0';
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++)
		r = migrate_file(m, files[i]);
	if (r == 0 && m->to_dir != m->from_dir)
		r = m->io->list(m->io->ctx, m->from_dir, copy_other, m);
	return r;
}
