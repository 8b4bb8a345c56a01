// SPDX-License-Identifier: GPL-2.0-only
/* Figures of a recorded run out of its metrics.csv files, oldest first. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "user/api/api.h"
#include "user/cmd/cmd.h"
#include "user/cmd/report_data.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"

#define FIELDS_MAX 512
#define COLUMNS_MAX 32
#define ROWS_MAX 20000
#define SEGMENTS_MAX 1000 /* config.def: record.keep_segments */

struct query {
	const char *cgroup; /* NULL: all */
	uint64_t from, to;  /* wall clock */
	char names[WV_API_VALUE_MAX + 1];
	const char *columns[COLUMNS_MAX];
	size_t n;
};

struct table {
	const struct query *q;
	FILE *out;
	uint64_t rows;
	bool cut;
	/* of the file that is being read */
	int wall, cgroup, column[COLUMNS_MAX];
};

static int field(char **names, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

static bool read_header(struct table *t, char *line)
{
	char *names[FIELDS_MAX];
	unsigned n = wv_report_split(line, names, FIELDS_MAX);

	t->wall = field(names, n, "wall_ns");
	t->cgroup = field(names, n, "cgroup");
	for (size_t i = 0; i < t->q->n; i++)
		t->column[i] = field(names, n, t->q->columns[i]);
	return t->wall >= 0 && t->cgroup >= 0;
}

/* Figures are integers; anything else becomes null, and texts are quoted. */
static void put_value(FILE *out, const char *text)
{
	struct json_object *s;

	if (*text && strlen(text) < 20 && text[strspn(text, "0123456789")] == '\0') {
		fputs(text, out);
		return;
	}
	s = json_object_new_string(text);
	fputs(json_object_to_json_string_ext(s, JSON_C_TO_STRING_PLAIN), out);
	json_object_put(s);
}

static void put_row(struct table *t, char **f, unsigned n, const char *wall)
{
	fprintf(t->out, "%s[%s", t->rows++ ? "," : "", wall);
	if (!t->q->cgroup) {
		fputc(',', t->out);
		put_value(t->out, f[t->cgroup]);
	}
	for (size_t i = 0; i < t->q->n; i++) {
		fputc(',', t->out);
		if (t->column[i] >= 0 && (unsigned)t->column[i] < n)
			put_value(t->out, f[t->column[i]]);
		else
			fputs("null", t->out);
	}
	fputc(']', t->out);
}

static void read_row(struct table *t, char *line)
{
	char *f[FIELDS_MAX];
	unsigned n = wv_report_split(line, f, FIELDS_MAX);
	uint64_t wall;

	if (n <= (unsigned)t->wall || n <= (unsigned)t->cgroup ||
	    wv_parse_uint(f[t->wall], &wall) < 0 || wall < t->q->from || wall > t->q->to ||
	    (t->q->cgroup && strcmp(f[t->cgroup], t->q->cgroup) != 0))
		return;
	if (t->rows >= ROWS_MAX)
		t->cut = true;
	else
		put_row(t, f, n, f[t->wall]);
}

static int read_file(struct table *t, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!f)
		return -errno;
	if (getline(&line, &size, f) <= 0 || !read_header(t, line))
		return 0;
	while (!t->cut && getline(&line, &size, f) > 0)
		read_row(t, line);
	return 0;
}

static void read_all(struct table *t, int dir)
{
	char name[32];
	unsigned i = 1;

	for (; i <= SEGMENTS_MAX; i++) {
		snprintf(name, sizeof(name), "metrics.%u.csv", i);
		if (faccessat(dir, name, F_OK, 0) < 0)
			break;
	}
	while (--i) {
		snprintf(name, sizeof(name), "metrics.%u.csv", i);
		(void)read_file(t, dir, name);
	}
	(void)read_file(t, dir, "metrics.csv");
	(void)read_file(t, dir, ".metrics.csv.tmp");
}

static bool parse(const struct wv_api_ask *ask, struct query *q)
{
	const char *from = wv_api_ask_param(ask, "from"), *to = wv_api_ask_param(ask, "to");
	const char *columns = wv_api_ask_param(ask, "columns");
	char *at;

	*q = (struct query){.cgroup = wv_api_ask_param(ask, "cgroup"), .to = UINT64_MAX};
	if ((from && wv_parse_uint(from, &q->from) < 0) || (to && wv_parse_uint(to, &q->to) < 0))
		return false;
	snprintf(q->names, sizeof(q->names), "%s",
		 columns && *columns ? columns : "cpu_usage_ns,mem_usage_bytes");
	for (char *word = strtok_r(q->names, ",", &at); word; word = strtok_r(NULL, ",", &at)) {
		if (q->n == COLUMNS_MAX || word[strspn(word, "abcdefghijklmnopqrstuvwxyz"
							     "0123456789_")])
			return false;
		q->columns[q->n++] = word;
	}
	return true;
}

/* No path: a run is named by its id. */
static bool is_run(const char *run)
{
	return *run && *run != '.' && !strchr(run, '/');
}

int wv_api_history(const struct wv_api *a, const struct wv_api_ask *ask, FILE *out)
{
	const char *run = wv_api_ask_param(ask, "run") ?: "latest", *id;
	char folder[2 * WV_PATH_SIZE];
	_cleanup_close_ int dir = -1;
	struct query q;
	struct table t = {.q = &q, .out = out};

	if (!is_run(run) || !parse(ask, &q))
		return wv_api_fail(out, 400, "bad-request",
				   "run: an id or latest; from, to: nanoseconds since 1970; "
				   "columns: names of metrics.csv, at most 32");
	if (wv_find_run(a->paths, run, folder, sizeof(folder)) == 0)
		dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return wv_api_fail(out, 404, "not-found", "no such run");
	id = strrchr(folder, '/') + 1;
	fputs("{\"schema_version\":1,\"run\":", out);
	put_value(out, id);
	fprintf(out, ",\"columns\":[\"wall_ns\"%s", q.cgroup ? "" : ",\"cgroup\"");
	for (size_t i = 0; i < q.n; i++)
		fprintf(out, ",\"%s\"", q.columns[i]);
	fputs("],\"rows\":[", out);
	read_all(&t, dir);
	fprintf(out, "],\"truncated\":%s}", t.cut ? "true" : "false");
	return 200;
}
