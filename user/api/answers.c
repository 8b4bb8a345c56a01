// SPDX-License-Identifier: GPL-2.0-only
/* Records of the log, and runs: read in the process of a job. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/api/api.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/tlog.h"

#define EVENTS_DEFAULT 100
#define EVENTS_MAX 1000
#define EVENTS_BYTES (16U << 20)
/* records that are looked through from the end, when only some types are wanted: then ten times as
 * many, and so on */
#define FIRST_WINDOW 2000
#define RUNS_MAX 1000
#define META_MAX_BYTES (1U << 20)

static void json_release(struct json_object **o)
{
	json_object_put(*o);
}

int wv_api_fail(FILE *out, int status, const char *code, const char *message)
{
	_cleanup_(json_release) struct json_object *o = json_object_new_object();
	struct json_object *error = json_object_new_object();

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(error, "code", json_object_new_string(code));
	json_object_object_add(error, "message", json_object_new_string(message));
	json_object_object_add(o, "error", error);
	fputs(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), out);
	return status;
}

/* Events -------------------------------------------------------------------------------------- */

struct query {
	uint64_t after, before, limit; /* after < seq < before */
	bool has_after, audit;
	const char *types, *cgroup;
};

struct found {
	char **lines; /* ring of `limit` */
	size_t n, next, bytes;
	uint64_t first, last; /* that were looked at */
};

static void found_done(struct found *f)
{
	for (size_t i = 0; f->lines && i < EVENTS_MAX; i++)
		free(f->lines[i]);
	free(f->lines);
	*f = (struct found){0};
}

/* Whether a JSON text (with its quotes) stands in a list with commas; "x*" is a prefix. */
static bool is_listed(const char *list, const char *text, size_t len)
{
	while (*list) {
		size_t n = strcspn(list, ",");
		bool prefix = n && list[n - 1] == '*';

		if (prefix ? len - 2 >= n - 1 && memcmp(list, text + 1, n - 1) == 0
			   : n == len - 2 && memcmp(list, text + 1, n) == 0)
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

/* The cgroup itself or one below it. */
static bool is_in(const char *cgroup, const char *text, size_t len)
{
	size_t n = strlen(cgroup);

	if (n && cgroup[n - 1] == '/')
		n--;
	return len - 2 >= n && memcmp(text + 1, cgroup, n) == 0 &&
	       (len - 2 == n || text[1 + n] == '/');
}

static bool is_wanted(const struct query *q, const char *line, size_t len)
{
	const char *text;
	size_t n;

	if (wv_record_member(line, len, "type", &text, &n) < 0 || n < 2)
		return !q->types && !q->cgroup && q->audit;
	if (!q->audit && wv_access_is_audit(text + 1, n - 2))
		return false;
	if (q->types && !is_listed(q->types, text, n))
		return false;
	return !q->cgroup || (wv_record_member(line, len, "cgroup", &text, &n) == 0 && n >= 2 &&
			      is_in(q->cgroup, text, n));
}

static int keep(const struct query *q, struct found *f, const char *line, size_t len)
{
	char *copy = strndup(line, len);

	if (!copy)
		return -ENOMEM;
	if (f->lines[f->next])
		f->bytes -= strlen(f->lines[f->next]);
	free(f->lines[f->next]);
	f->lines[f->next] = copy;
	f->bytes += len;
	f->next = (f->next + 1) % q->limit;
	f->n += f->n < q->limit;
	return 0;
}

/* Records from `from` on: the oldest `limit` (after) or the newest. */
static int scan(const struct wv_api *a, const struct query *q, uint64_t from, struct found *f)
{
	struct wv_tlog_reader *reader;
	const char *line;
	uint64_t seq;
	size_t len;
	int r = wv_tlog_read_open(&reader, a->io, a->paths->state, from);

	if (r < 0)
		return r;
	while ((r = wv_tlog_read(reader, &seq, &line, &len)) == 1 && seq < q->before) {
		if (!f->first)
			f->first = seq;
		f->last = seq;
		if (is_wanted(q, line, len))
			r = keep(q, f, line, len);
		if (r < 0 || (q->has_after && (f->n == q->limit || f->bytes > EVENTS_BYTES)))
			break;
	}
	wv_tlog_read_close(reader);
	return r < 0 ? r : 0;
}

/* Records there ever were: as many as there are leaf hashes. */
static uint64_t count_records(const struct wv_api *a)
{
	char path[WV_PATH_SIZE + 32];
	struct stat st;

	snprintf(path, sizeof(path), "%s/" WV_TLOG_FOLDER "/" WV_TLOG_HASHES_NAME, a->paths->state);
	return stat(path, &st) == 0 ? (uint64_t)st.st_size / WV_HASH_SIZE : 0;
}

static int search(const struct wv_api *a, struct query *q, struct found *f)
{
	uint64_t total = count_records(a), end = q->before <= total ? q->before - 1 : total;
	uint64_t window = q->types || q->cgroup || !q->audit ? FIRST_WINDOW : q->limit;
	int r;

	if (q->has_after)
		return q->after >= total ? 0 : scan(a, q, q->after + 1, f);
	for (;;) {
		uint64_t from = end > window ? end - window + 1 : 1;

		found_done(f);
		f->lines = calloc(EVENTS_MAX, sizeof(*f->lines));
		if (!f->lines)
			return -ENOMEM;
		r = scan(a, q, from, f);
		if (r < 0 || from == 1 || f->n == q->limit)
			return r;
		window *= 10;
	}
}

static bool take_number(const struct wv_api_ask *ask, const char *key, uint64_t *ret, bool *given)
{
	const char *v = wv_api_ask_param(ask, key);

	if (given)
		*given = v != NULL;
	return !v || wv_parse_uint(v, ret) == 0;
}

/* A line of the log is JSON, unless somebody altered it: then it must not alter the answer. */
static void put_line(FILE *out, const char *line)
{
	_cleanup_(json_release) struct json_object *o = json_tokener_parse(line);

	if (o)
		fputs(line, out);
	else
		fputs("{\"damaged\":true}", out);
}

int wv_api_events(const struct wv_api *a, const struct wv_api_ask *ask, FILE *out)
{
	_cleanup_(found_done) struct found f = {0};
	struct query q = {.before = UINT64_MAX,
			  .limit = EVENTS_DEFAULT,
			  .audit = wv_access_allows(ask->who.roles, WV_MAY_READ_AUDIT),
			  .types = wv_api_ask_param(ask, "type"),
			  .cgroup = wv_api_ask_param(ask, "cgroup")};
	int r;

	if (!take_number(ask, "after", &q.after, &q.has_after) ||
	    !take_number(ask, "before", &q.before, NULL) || !q.before ||
	    !take_number(ask, "limit", &q.limit, NULL) || !q.limit || q.limit > EVENTS_MAX)
		return wv_api_fail(out, 400, "bad-request",
				   "after, before: numbers of records; limit: 1 to 1000");
	f.lines = calloc(EVENTS_MAX, sizeof(*f.lines));
	r = f.lines ? search(a, &q, &f) : -ENOMEM;
	if (r < 0 && r != -ENOENT)
		return r;
	if (!f.last)
		f.last = q.has_after ? q.after : 0;
	fprintf(out,
		"{\"schema_version\":1,\"first\":%" PRIu64 ",\"last\":%" PRIu64 ",\"events\":[",
		f.first, f.last);
	for (size_t i = 0; i < f.n; i++) {
		if (i)
			fputc(',', out);
		put_line(out, f.lines[(f.next + q.limit - f.n + i) % q.limit]);
	}
	fputs("]}", out);
	return 200;
}

/* Runs ---------------------------------------------------------------------------------------- */

static int newest_first(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*b)->d_name, (*a)->d_name);
}

static int is_run(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void copy_member(struct json_object *from, struct json_object *to, const char *key,
			const char *as)
{
	struct json_object *v = NULL;

	(void)json_object_object_get_ex(from, key, &v);
	json_object_object_add(to, as, json_object_get(v));
}

static struct json_object *run_json(int runs, const char *name)
{
	_cleanup_close_ int dir = openat(runs, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	_cleanup_(json_release) struct json_object *meta = NULL;
	struct json_object *o, *counts = NULL, *records = NULL;
	size_t len;

	if (dir < 0)
		return NULL;
	if (wv_io_read_file(&wv_io_system, dir, "run_meta.json", META_MAX_BYTES, &text, &len) == 0)
		meta = json_tokener_parse(text);
	o = json_object_new_object();
	json_object_object_add(o, "run_id", json_object_new_string(name));
	copy_member(meta, o, "started_wall_ns", "begin_wall_ns");
	copy_member(meta, o, "ended_wall_ns", "end_wall_ns");
	copy_member(meta, o, "waveos_version", "waveos_version");
	copy_member(meta, o, "policy_version", "policy_version");
	if (json_object_object_get_ex(meta, "counts", &counts))
		(void)json_object_object_get_ex(counts, "records", &records);
	json_object_object_add(o, "records", json_object_get(records));
	return o;
}

int wv_api_runs(const struct wv_api *a, const struct wv_api_ask *ask _unused_, FILE *out)
{
	_cleanup_(json_release) struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();
	char path[WV_PATH_SIZE + 16];
	_cleanup_close_ int runs = -1;
	struct dirent **names = NULL;
	int n;

	snprintf(path, sizeof(path), "%s/runs", a->paths->state);
	runs = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	n = runs < 0 ? 0 : scandir(path, &names, is_run, newest_first);
	for (int i = 0; i < n; i++) {
		struct json_object *run = i < RUNS_MAX ? run_json(runs, names[i]->d_name) : NULL;

		if (run)
			json_object_array_add(list, run);
		free(names[i]);
	}
	free(names);
	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(o, "current", json_object_new_string(a->run_id));
	json_object_object_add(o, "runs", list);
	fputs(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							JSON_C_TO_STRING_NOSLASHESCAPE),
	      out);
	return 200;
}
