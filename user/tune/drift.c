// SPDX-License-Identifier: GPL-2.0-only
#include "user/tune/drift.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"

#define JSON_MAX (4U << 20)
#define WORDS 256

static struct json_object *read_json(int dir, const char *name)
{
	_cleanup_free_ char *text = NULL;

	if (wv_io_read_file(&wv_io_system, dir, name, JSON_MAX, &text, NULL) < 0)
		return NULL;
	return json_tokener_parse(text);
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
		       ? json_object_get_string(v)
		       : "";
}

static const char *last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_command(struct json_object *words, const char *const *cmdline, size_t n)
{
	size_t m =
		json_object_is_type(words, json_type_array) ? json_object_array_length(words) : 0;

	if (m == 0 || m > n)
		return false;
	for (size_t i = 0; i < m; i++) {
		const char *word = json_object_get_string(json_object_array_get_idx(words, i));
		const char *is = cmdline[n - m + i];

		if (!word || (!strchr(word, '{') && strcmp(i ? word : last_component(word),
							   i ? is : last_component(is)) != 0))
			return false;
	}
	return true;
}

static void join(struct json_object *words, char *to, size_t size)
{
	size_t len = 0;

	to[0] = '\0';
	for (size_t i = 0; i < json_object_array_length(words) && len < size; i++)
		len += (size_t)snprintf(
			to + len, size - len, "%s%s", i ? " " : "",
			json_object_get_string(json_object_array_get_idx(words, i)));
}

/* false: no finished tuning of this command. */
static bool look(const char *folder, const char *name, int dir, const char *const *cmdline,
		 size_t n, struct wv_tuned *ret)
{
	struct json_object *plan = read_json(dir, "preregistration.json"), *words = NULL;
	struct json_object *result = plan ? read_json(dir, "result.json") : NULL;
	bool is = result && json_object_object_get_ex(plan, "command", &words) &&
		  is_command(words, cmdline, n);

	if (is) {
		snprintf(ret->folder, sizeof(ret->folder), "%s/%s", folder, name);
		snprintf(ret->name, sizeof(ret->name), "%s", text_of(result, "name"));
		snprintf(ret->expected, sizeof(ret->expected), "%s",
			 text_of(result, "bottleneck_after"));
		join(words, ret->command, sizeof(ret->command));
	}
	json_object_put(plan);
	json_object_put(result);
	return is;
}

int wv_tuned_find(const char *folder, const char *cmdline, size_t len, struct wv_tuned *ret)
{
	_cleanup_closedir_ DIR *d = opendir(folder);
	const char *words[WORDS];
	time_t newest = 0;
	size_t n = 0;
	bool found = false;
	struct dirent *e;

	if (!d)
		return -errno;
	for (const char *p = cmdline; p < cmdline + len && n < WORDS;) {
		size_t left = (size_t)(cmdline + len - p), size = strnlen(p, left);

		if (size == left)
			break; /* the last one was cut off */
		words[n++] = p;
		p += size + 1;
	}
	while ((e = readdir(d))) {
		_cleanup_close_ int dir = -1;
		struct wv_tuned tuned = {0};
		struct stat st;

		if (e->d_name[0] == '.')
			continue;
		dir = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (dir < 0 || fstatat(dir, "result.json", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode) || (found && st.st_mtime <= newest) ||
		    !look(folder, e->d_name, dir, words, n, &tuned))
			continue;
		*ret = tuned;
		newest = st.st_mtime;
		found = true;
	}
	return found ? 0 : -ENOENT;
}
