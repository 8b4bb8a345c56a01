// SPDX-License-Identifier: GPL-2.0-only
/*
 * The manifest: time, machine, versions, commit, environment and files. Of the environment only
 * what bears on speed is taken, by name: the rest may hold secrets.
 */
#include "user/tune/manifest.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "user/core/cleanup.h"
#include "user/core/version.h"
#include "user/tune/folder.h"

/* A larger file is named by its size alone: hashing it would take longer than the tuning. */
#define HASHED_MAX (4ULL << 30)

extern char **environ;

static void add(struct json_object *o, const char *key, struct json_object *v)
{
	(void)json_object_object_add(o, key, v);
}

static bool is_told(const char *variable)
{
	static const char *const prefixes[] = {"CUDA_",	 "NCCL_",    "OMP_",   "MKL_",
					       "TORCH_", "PYTORCH_", "NVIDIA_"};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

static struct json_object *environment(void)
{
	struct json_object *o = json_object_new_object();

	for (char **e = environ; o && e && *e; e++) {
		_cleanup_free_ char *name = is_told(*e) ? strdup(*e) : NULL;
		char *value = name ? strchr(name, '=') : NULL;

		if (!value)
			continue;
		*value = '\0';
		add(o, name, json_object_new_string(value + 1));
	}
	return o;
}

/* The first line that a command says; NULL: it failed. The command is a constant. */
static struct json_object *said_by(const char *command)
{
	FILE *f = popen(command, "re"); // NOLINT(cert-env33-c): no part of it comes from outside
	char line[128] = "";
	bool any = f && fgets(line, sizeof(line), f);

	if (!f || pclose(f) != 0)
		return NULL;
	line[strcspn(line, "\n")] = '\0';
	return any ? json_object_new_string(line) : json_object_new_string("");
}

static struct json_object *file_json(const char *path, const struct stat *st)
{
	struct json_object *o = json_object_new_object();
	_cleanup_close_ int fd = -1;
	char hex[WV_SHA256_HEX], buf[65536];
	struct wv_sha256 sum;
	ssize_t n;

	if (!o)
		return NULL;
	add(o, "path", json_object_new_string(path));
	add(o, "bytes", json_object_new_uint64((uint64_t)st->st_size));
	if ((uint64_t)st->st_size > HASHED_MAX)
		return o;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	wv_sha256_init(&sum);
	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		wv_sha256_add(&sum, buf, (size_t)n);
	wv_sha256_end(&sum, hex);
	add(o, "sha256", fd >= 0 && hex[0] ? json_object_new_string(hex) : NULL);
	return o;
}

static void add_file(struct json_object *list, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
		(void)json_object_array_add(list, file_json(path, &st));
}

struct json_object *wv_tune_manifest(const struct wv_tuning *t)
{
	struct json_object *o = json_object_new_object(), *files = json_object_new_array(), *v;
	struct wv_version version;
	struct utsname u;
	char cwd[512];

	if (!o || !files) {
		json_object_put(o);
		json_object_put(files);
		return NULL;
	}
	(void)wv_version_get(NULL, NULL, &version);
	add(o, "time_unix_ns", json_object_new_uint64(t->io->wall_ns(t->io->ctx)));
	add(o, "waveos_version", json_object_new_string(version.waveos));
	add(o, "waveos_executable", json_object_new_string(version.bundle_id));
	if (uname(&u) == 0) {
		add(o, "kernel", json_object_new_string(u.release));
		add(o, "machine", json_object_new_string(u.machine));
	}
	if (getcwd(cwd, sizeof(cwd)))
		add(o, "folder", json_object_new_string(cwd));
	v = said_by("git rev-parse HEAD 2>/dev/null");
	add(o, "git_commit", v);
	if (v) {
		struct json_object *dirty = said_by(
			"git status --porcelain --untracked-files=no 2>/dev/null | head -n 1");

		add(o, "git_clean",
		    json_object_new_boolean(dirty && json_object_get_string_len(dirty) == 0));
		json_object_put(dirty);
	}
	add(o, "environment", environment());
	for (char **a = t->argv; *a; a++)
		add_file(files, *a);
	for (size_t i = 0; i < t->spec.data.n; i++)
		add_file(files, t->spec.data.list[i]);
	add(o, "files", files);
	return o;
}
