// SPDX-License-Identifier: GPL-2.0-only
/* Caps on open files: what is durable, how processes are really seen, and letting go of all. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/enforce/journal.h"
#include "user/enforce/openfiles.h"
#include "user/recover/act.h"
#include "waveos/wire.h"

#define SCHEMA_VERSION 1
#define FILE_MAX_BYTES (16 << 20)

/* The text of the file -------------------------------------------------------------------------
 */

static void putp(struct json_object **o)
{
	json_object_put(*o);
}

static void add(struct json_object *o, const char *name, uint64_t v)
{
	if (v != WV_UNSET)
		json_object_object_add(o, name, json_object_new_uint64(v));
}

/* A number that may be missing where `optional`. */
static int get(struct json_object *o, const char *name, bool optional, uint64_t *ret)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, name, &v)) {
		*ret = WV_UNSET;
		return optional ? 0 : -EBADMSG;
	}
	if (!json_object_is_type(v, json_type_int))
		return -EBADMSG;
	*ret = json_object_get_uint64(v);
	return 0;
}

int wv_openfiles_save(struct wv_openfiles *o)
{
	_cleanup_(putp) struct json_object *root = json_object_new_object();
	struct json_object *caps = json_object_new_array(), *list = json_object_new_array();
	const char *text;
	int r;

	json_object_object_add(root, "schema_version", json_object_new_int(SCHEMA_VERSION));
	json_object_object_add(root, "boot_id", json_object_new_string(o->boot_id));
	json_object_object_add(root, "caps", caps);
	json_object_object_add(root, "processes", list);
	for (size_t i = 0; i < o->n_caps; i++) {
		struct json_object *c;

		if (o->caps[i].have == WV_UNSET) /* wanted, and given up before it was in force */
			continue;
		c = json_object_new_object();
		add(c, "key", o->caps[i].key);
		json_object_object_add(c, "folder", json_object_new_string(o->caps[i].folder));
		add(c, "have", o->caps[i].have);
		add(c, "was", o->caps[i].was);
		add(c, "usual", o->caps[i].usual);
		json_object_array_add(caps, c);
	}
	for (size_t i = 0; i < o->n_list; i++) {
		struct json_object *p = json_object_new_object();

		add(p, "pid", (uint64_t)o->list[i].pid);
		add(p, "start_ns", o->list[i].start_ns);
		add(p, "old", o->list[i].old);
		add(p, "ours", o->list[i].ours);
		add(p, "was", o->list[i].was);
		json_object_array_add(list, p);
	}
	text = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN);
	r = text ? wv_io_replace(o->io, o->dir, WV_OPENFILES_FILE, text, strlen(text), 0640)
		 : -ENOMEM;
	o->dirty = r < 0;
	return r;
}

static int parse_cap(struct wv_openfiles *o, struct json_object *j)
{
	struct json_object *folder;
	uint64_t key, have, was, usual;
	struct wv_openfiles_cap *c;
	int r = get(j, "key", false, &key);

	r = r ?: get(j, "have", false, &have);
	r = r ?: get(j, "was", true, &was);
	r = r ?: get(j, "usual", true, &usual);
	if (r < 0 || !json_object_object_get_ex(j, "folder", &folder) ||
	    !json_object_is_type(folder, json_type_string) ||
	    json_object_get_string_len(folder) >= WV_OPENFILES_PATH)
		return -EBADMSG;
	r = wv_openfiles_want(o, key, json_object_get_string(folder), have);
	if (r < 0)
		return r;
	c = wv_openfiles_find(o, key);
	c->have = have;
	c->was = was;
	c->usual = usual;
	c->due = false;
	return 0;
}

static int parse_process(struct json_object *j, struct wv_openfiles_process *ret)
{
	uint64_t pid;
	int r = get(j, "pid", false, &pid);

	r = r ?: get(j, "start_ns", false, &ret->start_ns);
	r = r ?: get(j, "old", false, &ret->old);
	r = r ?: get(j, "ours", false, &ret->ours);
	r = r ?: get(j, "was", true, &ret->was);
	if (r < 0 || pid < 2 || pid > INT_MAX)
		return -EBADMSG;
	ret->pid = (pid_t)pid;
	return 0;
}

static int parse(struct wv_openfiles *o, const char *text)
{
	_cleanup_(putp) struct json_object *root = json_tokener_parse(text);
	struct json_object *caps, *list, *boot;
	uint64_t version;
	int r = 0;

	if (!json_object_is_type(root, json_type_object) ||
	    get(root, "schema_version", false, &version) < 0 || version != SCHEMA_VERSION ||
	    !json_object_object_get_ex(root, "boot_id", &boot) ||
	    !json_object_is_type(boot, json_type_string) ||
	    !json_object_object_get_ex(root, "caps", &caps) ||
	    !json_object_is_type(caps, json_type_array) ||
	    !json_object_object_get_ex(root, "processes", &list) ||
	    !json_object_is_type(list, json_type_array))
		return -EBADMSG;
	/* processes do not survive a boot */
	if (strcmp(json_object_get_string(boot), o->boot_id) != 0)
		return 0;
	for (size_t i = 0; r == 0 && i < json_object_array_length(caps); i++)
		r = parse_cap(o, json_object_array_get_idx(caps, i));
	if (r < 0)
		return r;
	o->list = calloc(json_object_array_length(list) + 1, sizeof(*o->list));
	if (!o->list)
		return -ENOMEM;
	for (; r == 0 && o->n_list < json_object_array_length(list); o->n_list++) {
		struct wv_openfiles_process *p = &o->list[o->n_list];

		r = parse_process(json_object_array_get_idx(list, o->n_list), p);
		if (r == 0 && o->n_list && p[-1].pid >= p->pid)
			r = -EBADMSG; /* it is written in order, and looked up so */
	}
	return r;
}

int wv_openfiles_load(struct wv_openfiles *o, const char *state)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	int r;

	if (snprintf(path, sizeof(path), "%s/" WV_JOURNAL_DIR, state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	r = wv_io_mkdirs(o->io, path, 0750);
	if (r < 0)
		return r;
	o->dir = o->io->open(o->io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (o->dir < 0)
		return o->dir;
	r = wv_io_read_file(o->io, o->dir, WV_OPENFILES_FILE, FILE_MAX_BYTES, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return parse(o, text);
}

int wv_openfiles_open(struct wv_openfiles *o, const struct wv_io *io,
		      const struct wv_processes *processes, const char *state, const char *boot_id)
{
	int r;

	*o = (struct wv_openfiles){.io = io, .processes = processes, .dir = -1};
	snprintf(o->boot_id, sizeof(o->boot_id), "%s", boot_id);
	r = wv_openfiles_load(o, state);
	if (r < 0)
		wv_openfiles_close(o);
	return r;
}

int wv_openfiles_revert(const struct wv_io *io, const struct wv_processes *processes,
			const char *state, const char *boot_id, FILE *report)
{
	char path[PATH_MAX];
	struct wv_openfiles o;
	int r;

	/* opening would make the folder; where there is none there is nothing to restore */
	snprintf(path, sizeof(path), "%s/" WV_JOURNAL_DIR "/" WV_OPENFILES_FILE, state);
	if (access(path, F_OK) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	r = wv_openfiles_open(&o, io, processes, state, boot_id);
	if (r < 0) {
		if (report)
			fprintf(report, "%s cannot be read: %s\n", path, strerror(-r));
		return r;
	}
	for (size_t i = 0; i < o.n_caps; i++)
		o.caps[i].want = WV_UNSET;
	r = wv_openfiles_pass(&o);
	for (size_t i = 0; r == 0 && i < o.n_caps; i++) {
		const struct wv_openfiles_result *result = &o.caps[i].result;

		if (report && (result->restored || result->refused))
			fprintf(report,
				"restored the limit of open files of %u process(es) in %s%s\n",
				result->restored, o.caps[i].folder,
				result->refused ? " (not of all: denied)" : "");
	}
	r = r ?: wv_openfiles_sweep(&o);
	wv_openfiles_close(&o);
	return r;
}

/* Real processes -------------------------------------------------------------------------------
 */

static int system_list(void *ctx _unused_, uint64_t key, const char *folder,
		       int (*fn)(void *arg, pid_t pid), void *arg)
{
	struct stat st;

	if (stat(folder, &st) < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	if (st.st_ino != (key & ~WV_KEY_V1)) /* a later one of the same name */
		return -ENOENT;
	return wv_act_processes(folder, fn, arg);
}

static int system_get(void *ctx _unused_, pid_t pid, struct rlimit *ret)
{
	return prlimit(pid, RLIMIT_NOFILE, NULL, ret) < 0 ? -errno : 0;
}

static int system_set(void *ctx _unused_, pid_t pid, const struct rlimit *limit)
{
	return prlimit(pid, RLIMIT_NOFILE, limit, NULL) < 0 ? -errno : 0;
}

static uint64_t system_start_ns(void *ctx _unused_, pid_t pid)
{
	return wv_process_start_ns(pid);
}

static pid_t system_parent(void *ctx _unused_, pid_t pid)
{
	return wv_process_parent(pid);
}

const struct wv_processes wv_processes_system = {
	.list = system_list,
	.get = system_get,
	.set = system_set,
	.start_ns = system_start_ns,
	.parent = system_parent,
};
