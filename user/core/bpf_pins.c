// SPDX-License-Identifier: GPL-2.0-only
/* Pins: names on a bpffs that keep maps, programs and links alive without the agent. */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "user/core/bpf_set.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"

#define BPF_FS_MAGIC_NUMBER 0xcafe4a11
#define MANIFEST "pins.json"
#define MANIFEST_VERSION 1

static const char *const pin_dirs[] = {"chunks", "maps",     "progs", "links",
				       "limits", "breakers", "gates", "isolate"};

int wv_things_find(const struct wv_things *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->list[i].name, name) == 0)
			return t->list[i].fd;
	return -1;
}

int wv_things_add(struct wv_things *t, const char *name, int fd)
{
	if (t->n >= WV_MAX_THINGS || strlen(name) >= WV_NAME_MAX) {
		close(fd);
		return -E2BIG;
	}
	memcpy(t->list[t->n].name, name, strlen(name) + 1);
	t->list[t->n++].fd = fd;
	return 0;
}

void wv_things_close(struct wv_things *t)
{
	for (size_t i = 0; i < t->n; i++)
		wv_closep(&t->list[i].fd);
	t->n = 0;
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC_NUMBER;
}

int wv_pins_prepare(const struct wv_paths *paths)
{
	char dir[WV_PATH_SIZE + 32];
	int r;

	if (!is_bpffs(paths->bpffs)) {
		/* /sys/fs/bpf exists wherever sysfs has it and cannot be made where it does not */
		if (access(paths->bpffs, F_OK) < 0) {
			r = wv_io_mkdirs(&wv_io_system, paths->bpffs, 0755);
			if (r < 0)
				return r;
		}
		if (mount("bpf", paths->bpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC,
			  "mode=0700") < 0)
			return -errno;
	}
	if (mkdir(paths->pins, 0700) < 0 && errno != EEXIST)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(pin_dirs); i++) {
		snprintf(dir, sizeof(dir), "%s/%s", paths->pins, pin_dirs[i]);
		if (mkdir(dir, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static void pin_path(char *buf, size_t size, const struct wv_paths *paths, const char *dir,
		     const char *name)
{
	snprintf(buf, size, "%s/%s/%s", paths->pins, dir, name);
}

int wv_pins_put(const struct wv_paths *paths, const char *dir, const char *name, int fd)
{
	char path[WV_PATH_SIZE * 2], fresh[WV_PATH_SIZE * 2];

	pin_path(path, sizeof(path), paths, dir, name);
	/* bpffs refuses names with dots */
	snprintf(fresh, sizeof(fresh), "%s/%s/%s__new", paths->pins, dir, name);
	(void)unlink(fresh);
	if (bpf_obj_pin(fd, fresh) < 0)
		return -errno;
	if (rename(fresh, path) < 0) {
		int r = -errno;

		(void)unlink(fresh);
		return r;
	}
	return 0;
}

int wv_pins_open_all(const struct wv_paths *paths, const char *dir, struct wv_things *t)
{
	_cleanup_closedir_ DIR *d = NULL;
	char path[WV_PATH_SIZE * 2];
	struct dirent *e;
	int r, fd;

	pin_path(path, sizeof(path), paths, dir, "");
	d = opendir(path);
	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		pin_path(path, sizeof(path), paths, dir, e->d_name);
		fd = bpf_obj_get(path);
		if (fd < 0)
			return -errno;
		r = wv_things_add(t, e->d_name, fd);
		if (r < 0)
			return r;
	}
	return 0;
}

int wv_pins_sweep(const struct wv_paths *paths, const char *dir, const struct wv_things *keep)
{
	_cleanup_closedir_ DIR *d = NULL;
	char path[WV_PATH_SIZE * 2];
	struct dirent *e;
	int r = 0;

	pin_path(path, sizeof(path), paths, dir, "");
	d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.' || (keep && wv_things_find(keep, e->d_name) >= 0))
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) < 0)
			r = -errno;
	}
	return r;
}

int wv_bpf_unpin_all(const struct wv_paths *paths)
{
	char path[WV_PATH_SIZE * 2];
	int r = 0, s;

	if (access(paths->pins, F_OK) < 0)
		return 0;
	for (size_t i = ARRAY_SIZE(pin_dirs); i-- > 0;) { /* links before programs before maps */
		s = wv_pins_sweep(paths, pin_dirs[i], NULL);
		if (s < 0)
			r = s;
		pin_path(path, sizeof(path), paths, pin_dirs[i], "");
		(void)rmdir(path);
	}
	/* under the unit it is a mount of its own in what may not be written: it stays, empty */
	if (rmdir(paths->pins) < 0 && errno != ENOENT && errno != EROFS && errno != EBUSY && r == 0)
		r = -errno;
	snprintf(path, sizeof(path), "%s/" MANIFEST, paths->runtime);
	(void)unlink(path);
	/* a bpffs that the agent mounted below its own --root goes with it; the system's stays */
	if (r == 0 && paths->root[0] && is_bpffs(paths->bpffs))
		(void)umount2(paths->bpffs, 0);
	return r;
}

int wv_manifest_write(const struct wv_bpf *bpf, const char *boot_id)
{
	struct json_object *m = json_object_new_object(), *objects = json_object_new_array();
	_cleanup_close_ int dir = open(bpf->paths.runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *text;
	int r;

	if (dir < 0 || !m || !objects) {
		r = dir < 0 ? -errno : -ENOMEM;
		json_object_put(m);
		json_object_put(objects);
		return r;
	}
	json_object_object_add(m, "schema_version", json_object_new_int(MANIFEST_VERSION));
	json_object_object_add(m, "build_id", json_object_new_string(bpf->build_id));
	json_object_object_add(m, "boot_id", json_object_new_string(boot_id));
	json_object_object_add(m, "generation", json_object_new_uint64(bpf->generation));
	for (size_t i = 0; i < bpf->n_objects; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "name", json_object_new_string(bpf->objects[i].name));
		json_object_object_add(o, "loaded",
				       json_object_new_boolean(bpf->objects[i].loaded));
		json_object_object_add(o, "reason", json_object_new_string(bpf->objects[i].reason));
		json_object_array_add(objects, o);
	}
	json_object_object_add(m, "objects", objects);
	text = json_object_to_json_string_ext(m, JSON_C_TO_STRING_PRETTY);
	r = wv_io_replace(&wv_io_system, dir, MANIFEST, text, strlen(text), 0640);
	json_object_put(m);
	return r;
}

static void manifest_objects(struct wv_bpf *bpf, struct json_object *list)
{
	for (size_t i = 0; i < json_object_array_length(list) && i < WV_MAX_OBJECTS; i++) {
		struct json_object *o = json_object_array_get_idx(list, i), *v;
		struct wv_object_state *state = &bpf->objects[i];

		*state = (struct wv_object_state){0};
		if (json_object_object_get_ex(o, "name", &v))
			snprintf(state->name, sizeof(state->name), "%s", json_object_get_string(v));
		if (json_object_object_get_ex(o, "loaded", &v))
			state->loaded = json_object_get_boolean(v);
		if (json_object_object_get_ex(o, "reason", &v))
			snprintf(state->reason, sizeof(state->reason), "%s",
				 json_object_get_string(v));
		bpf->n_objects = i + 1;
	}
}

/* The manifest, if it is of this boot; else NULL. */
static struct json_object *manifest_read(const struct wv_bpf *bpf, const char *boot_id)
{
	struct json_object *m, *boot;
	char path[WV_PATH_SIZE * 2];

	snprintf(path, sizeof(path), "%s/" MANIFEST, bpf->paths.runtime);
	m = json_object_from_file(path);
	if (m && json_object_object_get_ex(m, "boot_id", &boot) &&
	    strcmp(json_object_get_string(boot), boot_id) == 0)
		return m;
	json_object_put(m);
	return NULL;
}

bool wv_manifest_of_boot(const struct wv_bpf *bpf, const char *boot_id)
{
	struct json_object *m = manifest_read(bpf, boot_id);

	json_object_put(m);
	return m != NULL;
}

int wv_manifest_match(struct wv_bpf *bpf, const char *boot_id)
{
	struct json_object *m = manifest_read(bpf, boot_id), *build, *generation, *objects;
	int r = -ESTALE;

	if (!m)
		return -ENOENT;
	if (json_object_object_get_ex(m, "build_id", &build) &&
	    json_object_object_get_ex(m, "generation", &generation) &&
	    json_object_object_get_ex(m, "objects", &objects) &&
	    json_object_is_type(objects, json_type_array)) {
		bpf->generation = json_object_get_uint64(generation);
		if (strcmp(json_object_get_string(build), bpf->build_id) == 0) {
			manifest_objects(bpf, objects);
			r = 0;
		}
	}
	json_object_put(m);
	return r;
}
