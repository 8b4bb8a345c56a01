// SPDX-License-Identifier: GPL-2.0-only
/* JSON artifacts of a run, and what is done about the folders of other runs. */
#include "user/evidence/artifacts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/redact.h"

#define JSON_FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
#define EXPLAIN_FILE_MAX (4U << 20)

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

struct json_object *wv_artifact_new(const char *run_id, const char *boot_id,
				    const struct wv_version *version)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	json_object_object_add(o, "schema_version", json_object_new_int(WV_SCHEMA_VERSION));
	add_text(o, "waveos_version", version->waveos);
	add_text(o, "policy_version", version->policy);
	add_text(o, "bundle_id", version->bundle_id);
	add_text(o, "run_id", run_id);
	add_text(o, "boot_id", boot_id);
	return o;
}

int wv_artifact_write(const struct wv_io *io, int dirfd, const char *name, struct json_object *o)
{
	_cleanup_free_ char *text = NULL;
	struct wv_redactor filter;
	const char *made;

	wv_redactor_records(&filter);
	if (wv_redact_json(&filter, o) < 0)
		return -ENOMEM;
	made = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!made || asprintf(&text, "%s\n", made) < 0)
		return -ENOMEM;
	/* names of cgroups and hosts may have any bytes; a line of the layout at a time */
	for (char *line = text, *end; *line; line = end) {
		char newline = *(end = strchrnul(line, '\n'));

		*end = '\0';
		wv_make_printable(line);
		*end = newline;
		end += newline != '\0';
	}
	return wv_io_replace(io, dirfd, name, text, strlen(text), WV_ARTIFACT_MODE);
}

static void drop_oldest(struct wv_explain *e)
{
	e->bytes -= strlen(e->texts[e->first]);
	free(e->texts[e->first]);
	e->texts[e->first] = NULL;
	e->first = (e->first + 1) % WV_EXPLAIN_MAX;
	e->n--;
	e->omitted++;
}

int wv_explain_add(struct wv_explain *e, struct json_object *decision)
{
	const char *text = json_object_to_json_string_ext(decision, JSON_FLAGS);
	char *copy = text ? strdup(text) : NULL;

	json_object_put(decision);
	if (!copy)
		return -ENOMEM;
	if (strlen(copy) > WV_EXPLAIN_BYTES_MAX) {
		free(copy);
		e->omitted++;
		return -EMSGSIZE;
	}
	while (e->n == WV_EXPLAIN_MAX || e->bytes + strlen(copy) > WV_EXPLAIN_BYTES_MAX)
		drop_oldest(e);
	e->texts[(e->first + e->n) % WV_EXPLAIN_MAX] = copy;
	e->n++;
	e->bytes += strlen(copy);
	e->dirty = true;
	return 0;
}

void wv_explain_load(struct wv_explain *e, const struct wv_io *io, int dirfd)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *o, *list, *omitted;

	if (wv_io_read_file(io, dirfd, WV_EXPLAIN_NAME, EXPLAIN_FILE_MAX, &text, NULL) < 0)
		return;
	o = json_tokener_parse(text);
	if (json_object_object_get_ex(o, "decisions", &list) &&
	    json_object_is_type(list, json_type_array))
		for (size_t i = 0; i < json_object_array_length(list); i++)
			(void)wv_explain_add(e,
					     json_object_get(json_object_array_get_idx(list, i)));
	if (json_object_object_get_ex(o, "omitted", &omitted))
		e->omitted += json_object_get_uint64(omitted);
	json_object_put(o);
	e->dirty = false;
}

int wv_explain_write(struct wv_explain *e, const struct wv_io *io, int dirfd, const char *run_id,
		     const char *boot_id, const struct wv_version *version)
{
	struct json_object *o = wv_artifact_new(run_id, boot_id, version);
	struct json_object *list = json_object_new_array();
	int r;

	for (unsigned i = 0; i < e->n; i++)
		json_object_array_add(
			list, json_tokener_parse(e->texts[(e->first + i) % WV_EXPLAIN_MAX]));
	json_object_object_add(o, "omitted", json_object_new_uint64(e->omitted));
	json_object_object_add(o, "decisions", list);
	r = wv_artifact_write(io, dirfd, WV_EXPLAIN_NAME, o);
	json_object_put(o);
	if (r == 0)
		e->dirty = false;
	return r;
}

void wv_explain_done(struct wv_explain *e)
{
	while (e->n)
		drop_oldest(e);
}

/* One folder of a run that is not ours: what a killed agent was writing becomes a segment. */
static void complete_run(const struct wv_io *io, int dirfd, unsigned keep_segments)
{
	struct stat st;
	struct wv_csv csv = {0};

	if (fstatat(dirfd, WV_CSV_TEMPORARY, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return;
	/* its header may be another version's: it is kept as it is */
	if (wv_lines_open(&csv.lines, io, dirfd, WV_CSV_TEMPORARY, WV_ARTIFACT_MODE, NULL) < 0)
		return;
	(void)wv_csv_complete(&csv, dirfd, keep_segments);
	wv_lines_close(&csv.lines);
}

struct run {
	char name[NAME_MAX + 1];
	struct timespec changed;
};

/* A folder is a run's if it has one of the files that every run has. */
static bool stat_run(int dirfd, struct timespec *ret)
{
	struct stat st;

	if (fstatat(dirfd, WV_META_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
	    fstatat(dirfd, WV_EVENTS_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	*ret = st.st_mtim;
	return true;
}

static int open_run(int runs_fd, const char *name)
{
	return openat(runs_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Only plain files go, and no folder is entered: what someone else put there keeps the folder
 * alive. */
static void remove_run(const struct wv_io *io, int runs_fd, const char *name)
{
	int fd = open_run(runs_fd, name);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			(void)io->unlink(io->ctx, dirfd(d), e->d_name);
	(void)unlinkat(runs_fd, name, AT_REMOVEDIR);
}

static int newest_first(const void *a, const void *b)
{
	const struct timespec *x = &((const struct run *)a)->changed;
	const struct timespec *y = &((const struct run *)b)->changed;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? 1 : -1;
	return (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

/* Runs but our own; completes each. Returns their number, *ret_runs to be freed. */
static size_t list_runs(const struct wv_io *io, DIR *d, const char *own, unsigned keep_segments,
			struct run **ret_runs)
{
	struct run *runs = NULL;
	struct dirent *e;
	size_t n = 0;

	while ((e = readdir(d))) {
		struct run run, *more;
		int fd;

		if (e->d_name[0] == '.' || strcmp(e->d_name, own) == 0)
			continue;
		fd = open_run(dirfd(d), e->d_name);
		if (fd < 0)
			continue;
		if (stat_run(fd, &run.changed)) {
			complete_run(io, fd, keep_segments);
			snprintf(run.name, sizeof(run.name), "%s", e->d_name);
			more = realloc(runs, (n + 1) * sizeof(*runs));
			if (more) {
				runs = more;
				runs[n++] = run;
			}
		}
		close(fd);
	}
	*ret_runs = runs;
	return n;
}

void wv_runs_tidy(const struct wv_io *io, int runs_fd, const char *own, unsigned keep,
		  unsigned keep_segments)
{
	_cleanup_free_ struct run *runs = NULL;
	_cleanup_closedir_ DIR *d = NULL;
	int fd = dup(runs_fd);
	size_t n;

	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	rewinddir(d);
	n = list_runs(io, d, own, keep_segments, &runs);
	if (n)
		qsort(runs, n, sizeof(*runs), newest_first);
	/* our own run is one of those that are kept */
	for (size_t i = keep ? keep - 1 : 0; i < n; i++)
		remove_run(io, runs_fd, runs[i].name);
}
