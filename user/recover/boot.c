// SPDX-License-Identifier: GPL-2.0-only
#include "user/recover/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/recover/recovery.h"

#define MARKER "orderly"
#define SEEN "pstore-seen"
#define LINE_MAX_BYTES (64 << 10)
#define PSTORE_HEAD 4096
#define PSTORE_FILES_MAX 256

const char *const wv_boot_reason_names[] = {
#define X(id, text) [WV_BOOT_##id] = text,
	WV_BOOT_REASONS(X)
#undef X
};

enum wv_boot_reason wv_boot_classify(const struct wv_boot_evidence *e)
{
	if (e->same_boot)
		return e->marker || e->last_run == WV_LAST_RUN_CLOSED ? WV_BOOT_ORDERLY
								      : WV_BOOT_AGENT_CRASH;
	/* the kernel's own last words tell more than the watchdog that came after them */
	if (e->pstore_panic)
		return WV_BOOT_PANIC;
	if (e->watchdog_flags & WDIOF_CARDRESET)
		return e->pstore_oops ? WV_BOOT_OOPS : WV_BOOT_WATCHDOG;
	if (e->marker)
		return WV_BOOT_ORDERLY;
	if (e->pstore_oops)
		return WV_BOOT_OOPS;
	return e->last_run == WV_LAST_RUN_NONE ? WV_BOOT_FIRST : WV_BOOT_POWER_ON;
}

/* The orderly marker ----------------------------------------------------------------------------
 */

static int open_folder(const struct wv_io *io, const char *path)
{
	return io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

int wv_marker_write(const struct wv_io *io, const char *state, const char *boot_id, const char *why,
		    const char *id)
{
	struct json_object *o;
	int dir = open_folder(io, state), r;
	const char *text;

	if (dir < 0)
		return dir;
	o = json_object_new_object();
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(o, "why", json_object_new_string(why));
	json_object_object_add(o, "boot_id", json_object_new_string(boot_id));
	json_object_object_add(o, "action", json_object_new_string(id));
	json_object_object_add(o, "wall_ns", json_object_new_uint64(io->wall_ns(io->ctx)));
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	r = wv_io_replace(io, dir, MARKER, text, strlen(text), 0640);
	json_object_put(o);
	(void)io->close(io->ctx, dir);
	return r;
}

void wv_marker_remove(const struct wv_io *io, const char *state)
{
	int dir = open_folder(io, state);

	if (dir < 0)
		return;
	if (io->unlink(io->ctx, dir, MARKER) == 0)
		(void)wv_io_sync_dir(io, dir);
	(void)io->close(io->ctx, dir);
}

static void copy_text(struct json_object *o, const char *name, char *ret, size_t size)
{
	struct json_object *v;

	if (json_object_object_get_ex(o, name, &v) && json_object_get_string(v))
		snprintf(ret, size, "%s", json_object_get_string(v));
}

static void gather_marker(const struct wv_io *io, const char *state, struct wv_boot_evidence *e)
{
	_cleanup_free_ char *text = NULL;
	int dir = open_folder(io, state);
	struct json_object *o;

	if (dir < 0)
		return;
	if (wv_io_read_file(io, dir, MARKER, LINE_MAX_BYTES, &text, NULL) == 0) {
		e->marker = true;
		o = json_tokener_parse(text);
		copy_text(o, "why", e->marker_why, sizeof(e->marker_why));
		copy_text(o, "action", e->marker_id, sizeof(e->marker_id));
		json_object_put(o);
	}
	(void)io->close(io->ctx, dir);
}

/* The run before --------------------------------------------------------------------------------
 */

/* The last whole line of a file. 0 or -errno. */
static int last_line(const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	ssize_t n;
	char *end, *start;
	off_t at;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	at = st.st_size > (off_t)size - 1 ? st.st_size - (off_t)size + 1 : 0;
	n = pread(fd, buf, size - 1, at);
	if (n <= 0)
		return n < 0 ? -errno : -ENODATA;
	end = memrchr(buf, '\n', (size_t)n); /* what follows was torn off */
	if (!end)
		return -ENODATA;
	*end = '\0';
	start = strrchr(buf, '\n');
	if (start)
		memmove(buf, start + 1, strlen(start + 1) + 1);
	return 0;
}

/* Names of runs begin with their time: the greatest is the latest. */
static bool latest_run(const char *runs, const char *own, char *ret, size_t size)
{
	_cleanup_closedir_ DIR *d = opendir(runs);
	struct dirent *e;

	ret[0] = '\0';
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && (!own || strcmp(e->d_name, own) != 0) &&
		    strlen(e->d_name) < size && strcmp(e->d_name, ret) > 0)
			snprintf(ret, size, "%.*s", (int)size - 1, e->d_name);
	return ret[0];
}

static void gather_last_run(const struct wv_boot_places *places, struct wv_boot_evidence *e)
{
	_cleanup_free_ char *line = malloc(LINE_MAX_BYTES);
	char path[WV_PATH_SIZE + 128];
	struct json_object *o, *v;

	snprintf(path, sizeof(path), "%.500s/runs", places->state);
	if (!line || !latest_run(path, places->own_run, e->last_run_id, sizeof(e->last_run_id)))
		return;
	e->last_run = WV_LAST_RUN_OPEN;
	snprintf(path, sizeof(path), "%.500s/runs/%s/events.jsonl", places->state, e->last_run_id);
	if (last_line(path, line, LINE_MAX_BYTES) < 0)
		return;
	o = json_tokener_parse(line);
	copy_text(o, "type", e->last_record, sizeof(e->last_record));
	copy_text(o, "boot_id", e->last_boot_id, sizeof(e->last_boot_id));
	if (json_object_object_get_ex(o, "wall_ns", &v))
		e->last_wall_ns = json_object_get_uint64(v);
	json_object_put(o);
	if (strcmp(e->last_record, "run-closed") == 0)
		e->last_run = WV_LAST_RUN_CLOSED;
	e->same_boot = strcmp(e->last_boot_id, places->boot_id) == 0;
}

/* Watchdogs and pstore --------------------------------------------------------------------------
 */

static void gather_watchdogs(const char *class, struct wv_boot_evidence *e)
{
	_cleanup_closedir_ DIR *d = opendir(class);
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		_cleanup_fclose_ FILE *f = NULL;
		char path[400];
		unsigned flags;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%.100s/%s/bootstatus", class, entry->d_name);
		f = fopen(path, "re");
		if (!f || fscanf(f, "%i", (int *)&flags) != 1)
			continue;
		if (!e->watchdog[0] || (flags && !e->watchdog_flags))
			snprintf(e->watchdog, sizeof(e->watchdog), "%.63s", entry->d_name);
		e->watchdog_flags |= flags;
	}
}

/* "<name> <size> <mtime>\n": tells a file from a later one of its name */
static int describe(int dir, const char *name, char *buf, size_t size)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return -ENOENT;
	snprintf(buf, size, "%.200s %lld %lld.%09ld\n", name, (long long)st.st_size,
		 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	return 0;
}

static void read_pstore(int dir, const char *name, struct wv_boot_evidence *e)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char head[PSTORE_HEAD + 1];
	ssize_t n = fd < 0 ? -1 : read(fd, head, PSTORE_HEAD);
	const char *panic, *oops;

	e->pstore_files++;
	if (!e->pstore_first[0])
		snprintf(e->pstore_first, sizeof(e->pstore_first), "%.63s", name);
	if (n <= 0)
		return;
	head[n] = '\0';
	panic = strstr(head, "Panic#");
	oops = strstr(head, "Oops#");
	e->pstore_panic |= panic != NULL;
	e->pstore_oops |= oops != NULL;
	if (!e->pstore_line[0] && (panic || oops))
		snprintf(e->pstore_line, sizeof(e->pstore_line), "%.*s",
			 (int)strcspn(panic ?: oops, "\n"), panic ?: oops);
}

static void gather_pstore(const struct wv_io *io, const struct wv_boot_places *places,
			  struct wv_boot_evidence *e)
{
	_cleanup_closedir_ DIR *d = opendir(places->pstore);
	_cleanup_free_ char *seen = NULL, *now = calloc(PSTORE_FILES_MAX, 256);
	char path[WV_PATH_SIZE + 32], line[256];
	struct dirent *entry;
	int state;

	snprintf(path, sizeof(path), "%.500s/" WV_RECOVER_DIR, places->state);
	(void)wv_io_mkdirs(io, path, 0750);
	state = open_folder(io, path);
	if (state >= 0)
		(void)wv_io_read_file(io, state, SEEN, PSTORE_FILES_MAX * 256, &seen, NULL);
	for (int i = 0; now && d && i < PSTORE_FILES_MAX && (entry = readdir(d));) {
		if (describe(dirfd(d), entry->d_name, line, sizeof(line)) < 0)
			continue;
		i++;
		strcat(now, line);
		if (!seen || !strstr(seen, line))
			read_pstore(dirfd(d), entry->d_name, e);
	}
	if (state >= 0 && now && strcmp(now, seen ?: "") != 0)
		(void)wv_io_replace(io, state, SEEN, now, strlen(now), 0640);
	if (state >= 0)
		(void)io->close(io->ctx, state);
}

void wv_boot_gather(const struct wv_io *io, const struct wv_boot_places *places,
		    struct wv_boot_evidence *ret)
{
	*ret = (struct wv_boot_evidence){0};
	gather_marker(io, places->state, ret);
	gather_last_run(places, ret);
	gather_watchdogs(places->watchdog_class, ret);
	gather_pstore(io, places, ret);
}

static void add_text(struct json_object *o, const char *name, const char *text)
{
	if (text[0])
		json_object_object_add(o, name, json_object_new_string(text));
}

struct json_object *wv_boot_json(const struct wv_boot_evidence *e, enum wv_boot_reason reason)
{
	static const char *const runs[] = {"none", "closed", "open"};
	struct json_object *o = json_object_new_object(), *v = json_object_new_object();

	json_object_object_add(o, "reason", json_object_new_string(wv_boot_reason_names[reason]));
	json_object_object_add(v, "same_boot", json_object_new_boolean(e->same_boot));
	json_object_object_add(v, "orderly_marker", json_object_new_boolean(e->marker));
	add_text(v, "orderly_why", e->marker_why);
	add_text(v, "orderly_action", e->marker_id);
	json_object_object_add(v, "last_run", json_object_new_string(runs[e->last_run]));
	add_text(v, "last_run_id", e->last_run_id);
	add_text(v, "last_boot_id", e->last_boot_id);
	add_text(v, "last_record", e->last_record);
	if (e->last_wall_ns)
		json_object_object_add(v, "last_record_wall_ns",
				       json_object_new_uint64(e->last_wall_ns));
	add_text(v, "watchdog", e->watchdog);
	json_object_object_add(v, "watchdog_bootstatus", json_object_new_int64(e->watchdog_flags));
	json_object_object_add(v, "pstore_new_files", json_object_new_int64(e->pstore_files));
	add_text(v, "pstore_first", e->pstore_first);
	add_text(v, "pstore_line", e->pstore_line);
	json_object_object_add(o, "evidence", v);
	return o;
}
