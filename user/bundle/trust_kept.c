// SPDX-License-Identifier: GPL-2.0-only
/*
 * Three files, each replaced atomically, none of which is believed without the one before it:
 *   root.json   the root in use
 *   index.json  the newest index; forgotten when the root in use does not bear it any more
 *   time.json   a floor of time for each role; forgotten when the role is another one
 * Several processes may use them: who writes takes the lock, looks again, and never goes back.
 */
#include "user/bundle/trust_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/bundle/strict.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/canonical.h"

#define TIME_FILE "time.json"
#define LOCK_FILE "lock"
#define TIME_MAX 4096

/* Time --------------------------------------------------------------------------------------- */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t wv_trust_time_for(const struct wv_trust *t, enum wv_role role, uint64_t now_s)
{
	now_s = later(now_s, t->root.created_s);
	now_s = later(now_s, t->floor_s[WV_ROLE_INDEX]);
	return later(now_s, t->floor_s[role]);
}

uint64_t wv_trust_now_s(struct wv_trust *t)
{
	return wv_trust_time_for(t, WV_ROLE_ROOT, t->io->wall_ns(t->io->ctx) / 1000000000ULL);
}

struct floor_row {
	char role[WV_SHA256_HEX]; /* digest */
	uint64_t created_s;
};

static bool is_hash(const char *text)
{
	return wv_strict_is_hex(text, WV_SHA256_HEX - 1);
}

static const struct wv_strict_field floor_fields[] = {
	{"created", WV_STRICT_UINT, WV_STRICT_AT(struct floor_row, created_s), .min = 1,
	 .max = WV_BUNDLE_TIME_MAX_S},
	{"role", WV_STRICT_TEXT, WV_STRICT_AT(struct floor_row, role), .ok = is_hash,
	 .want = "64 hex digits"},
	{0},
};

/* Only the floors of roles that are still the same. */
static int read_floors(struct wv_trust *t)
{
	struct wv_manifest_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	struct json_object *o, *v;
	size_t len;
	int r = wv_io_read_file(t->io, t->dir, TIME_FILE, TIME_MAX, &text, &len);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = wv_strict_parse(text, len, TIME_MAX, &o, &error);
	if (r < 0) /* it holds nothing that is needed, and is written anew */
		return r == -ENOMEM ? r : wv_log_warn(0, "trust", TIME_FILE ": %s", error.text);
	for (int role = 0; role < WV_ROLES; role++) {
		struct floor_row row;
		char digest[WV_SHA256_HEX];

		wv_root_role_digest(&t->root, (enum wv_role)role, digest);
		if (json_object_object_get_ex(o, wv_role_names[role], &v) &&
		    wv_strict_read(v, TIME_FILE, floor_fields, &row, &error) == 0 &&
		    strcmp(row.role, digest) == 0)
			t->floor_s[role] = later(t->floor_s[role], row.created_s);
	}
	json_object_put(o);
	return 0;
}

int wv_trust_write_floors(struct wv_trust *t)
{
	struct json_object *o = json_object_new_object();
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = o ? 0 : -ENOMEM;

	for (int role = 0; role < WV_ROLES && r == 0; role++) {
		struct json_object *v;
		char digest[WV_SHA256_HEX];

		if (!t->floor_s[role])
			continue;
		wv_root_role_digest(&t->root, (enum wv_role)role, digest);
		v = json_object_new_object();
		json_object_object_add(v, "created", json_object_new_uint64(t->floor_s[role]));
		json_object_object_add(v, "role", json_object_new_string(digest));
		json_object_object_add(o, wv_role_names[role], v);
	}
	if (r == 0)
		r = wv_canonical(o, &text, &len);
	if (r == 0)
		r = wv_io_replace(t->io, t->dir, TIME_FILE, text, len, 0644);
	json_object_put(o);
	return r;
}

/* Reading what is kept ----------------------------------------------------------------------- */

int wv_trust_take_root(struct wv_trust *t, const struct wv_root *old, const char *text, size_t len,
		       struct wv_manifest_error *error)
{
	_cleanup_free_ struct wv_root *next = calloc(1, sizeof(*next));
	struct wv_root *was = &t->root;
	char digest[2][WV_SHA256_HEX];
	int r = next ? wv_root_open(old, text, len, next, error) : -ENOMEM;

	if (r < 0)
		return r;
	for (int role = 0; old && role < WV_ROLES; role++) {
		wv_root_role_digest(was, (enum wv_role)role, digest[0]);
		wv_root_role_digest(next, (enum wv_role)role, digest[1]);
		if (strcmp(digest[0], digest[1]) != 0)
			t->floor_s[role] = 0;
	}
	t->root = *next;
	return 0;
}

static int read_root(struct wv_trust *t)
{
	struct wv_manifest_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = wv_io_read_file(t->io, t->dir, ROOT_FILE, WV_ROOT_MAX, &text, &len);

	if (r < 0)
		return r;
	r = wv_trust_take_root(t, NULL, text, len, &error);
	if (r < 0 && r != -ENOMEM) {
		(void)wv_log_full(LOG_ERR, 0, "trust", ROOT_FILE ": %s", error.text);
		return -EBADMSG;
	}
	return r;
}

/* An envelope whose signatures are those of the role index of the root in use. */
int wv_trust_open_index(const struct wv_trust *t, const char *text, size_t len,
			struct wv_bundle_index *ret, char sha256[WV_SHA256_HEX],
			struct wv_manifest_error *error)
{
	struct wv_dsse d;
	int r = wv_dsse_parse(text, len, WV_TYPE_INDEX, false, &d, error);

	if (r < 0)
		return r;
	r = wv_root_check(&t->root, WV_ROLE_INDEX, &d, WV_TYPE_INDEX, d.payload, d.len, error);
	if (r == 0)
		r = wv_bundle_index_parse(d.payload, d.len, ret, error);
	if (r == 0)
		wv_sha256_hex(d.payload, d.len, sha256);
	wv_dsse_done(&d);
	return r;
}

void wv_trust_forget_index(struct wv_trust *t)
{
	wv_bundle_index_done(&t->index);
	t->index_sha256[0] = '\0';
}

/* One that the root in use does not bear is as if there were none: its signer's key is gone, and
 * with it the version that it may have driven up (TUF, section 5.3.11). */
int wv_trust_read_index(struct wv_trust *t)
{
	struct wv_manifest_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = wv_io_read_file(t->io, t->dir, INDEX_FILE, WV_BUNDLE_INDEX_MAX, &text, &len);

	wv_trust_forget_index(t);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = wv_trust_open_index(t, text, len, &t->index, t->index_sha256, &error);
	return r == -ENOMEM ? r : 0;
}

static int read_all(struct wv_trust *t)
{
	int r = read_root(t);

	memset(t->floor_s, 0, sizeof(t->floor_s));
	if (r == 0)
		r = wv_trust_read_index(t);
	return r < 0 ? r : read_floors(t);
}

/* Also the folder's name is on disk before anything in it is said to be kept. */
static int make_dir(const struct wv_io *io, const char *state, const char *path)
{
	int fd, r = wv_io_mkdirs(io, path, 0755);

	if (r < 0)
		return r;
	fd = io->open(io->ctx, AT_FDCWD, state, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	r = io->fsync(io->ctx, fd);
	(void)io->close(io->ctx, fd);
	return r;
}

int wv_trust_open_dir(const struct wv_io *io, const struct wv_paths *paths, bool create)
{
	char path[WV_PATH_SIZE + sizeof("/" WV_TRUST_DIR)];
	int r;

	snprintf(path, sizeof(path), "%s/" WV_TRUST_DIR, paths->state);
	r = create ? make_dir(io, paths->state, path) : 0;
	return r < 0 ? r : io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

static int trust_new(struct wv_trust **ret, const struct wv_io *io, int dir, bool look)
{
	struct wv_trust *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->io = io;
	t->dir = dir;
	t->look = look;
	*ret = t;
	return 0;
}

static int open_kept(struct wv_trust **ret, const struct wv_io *io, const struct wv_paths *paths,
		     bool look)
{
	struct wv_trust *t = NULL;
	int dir = wv_trust_open_dir(io, paths, false), r;

	if (dir < 0)
		return dir;
	r = trust_new(&t, io, dir, look);
	if (r < 0) {
		(void)io->close(io->ctx, dir);
		return r;
	}
	r = read_all(t);
	if (r < 0) {
		wv_trust_close(t);
		return r;
	}
	*ret = t;
	return 0;
}

int wv_trust_open(struct wv_trust **ret, const struct wv_io *io, const struct wv_paths *paths)
{
	return open_kept(ret, io, paths, false);
}

int wv_trust_open_to_look(struct wv_trust **ret, const struct wv_io *io,
			  const struct wv_paths *paths)
{
	return open_kept(ret, io, paths, true);
}

int wv_trust_of_root(struct wv_trust **ret, const struct wv_io *io, const char *root, size_t len,
		     struct wv_manifest_error *error)
{
	struct wv_trust *t;
	int r = trust_new(&t, io, -1, true);

	if (r < 0)
		return r;
	r = wv_trust_take_root(t, NULL, root, len, error);
	if (r < 0) {
		wv_trust_close(t);
		return r;
	}
	*ret = t;
	return 0;
}

void wv_trust_close(struct wv_trust *t)
{
	if (!t)
		return;
	wv_trust_forget_index(t);
	if (t->dir >= 0)
		(void)t->io->close(t->io->ctx, t->dir);
	free(t);
}

/* Writing ------------------------------------------------------------------------------------ */

/* The lock is a descriptor: given back by close. */
int wv_trust_lock_dir(const struct wv_io *io, int dir)
{
	int fd = io->open(io->ctx, dir, LOCK_FILE, O_RDWR | O_CREAT, 0644), r;

	if (fd < 0)
		return fd;
	r = io->lock(io->ctx, fd, true);
	if (r < 0) {
		(void)io->close(io->ctx, fd);
		return r;
	}
	return fd;
}

/* *ret_fd is -1 where nothing is kept. What another process took meanwhile is known after it. */
int wv_trust_begin_write(struct wv_trust *t, int *ret_fd)
{
	int fd, r;

	*ret_fd = -1;
	if (t->look)
		return 0;
	fd = wv_trust_lock_dir(t->io, t->dir);
	r = fd < 0 ? fd : read_all(t);
	if (r == 0)
		*ret_fd = fd;
	else if (fd >= 0)
		(void)t->io->close(t->io->ctx, fd);
	return r;
}

void wv_trust_end_write(struct wv_trust *t, int fd)
{
	if (fd >= 0)
		(void)t->io->close(t->io->ctx, fd);
}
