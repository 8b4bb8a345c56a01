// SPDX-License-Identifier: GPL-2.0-only
/* The records of a run: decisions, what was done, failures by kind, counts. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/report_data.h"
#include "user/core/cleanup.h"

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "";
}

static bool is_notable(const char *type)
{
	static const char *const types[] = {"oom-kill",	  "fatal-signal",     "alloc-failure",
					    "io-error",	  "hw-error",	      "task-hung",
					    "crash-loop", "heartbeat-missed", "core-start",
					    "limit-trip", "accept-overflow"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

static bool same_kind(struct json_object *a, struct json_object *b)
{
	static const char *const keys[] = {"type", "cgroup", "comm"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(text_of(a, keys[i]), text_of(b, keys[i])) != 0)
			return false;
	return true;
}

/* One entry a kind, with how often; the first 50 kinds. */
static void take_notable(struct wv_report *r, struct json_object *o)
{
	size_t n = json_object_array_length(r->notable);

	for (size_t i = 0; i < n; i++) {
		struct json_object *first = json_object_array_get_idx(r->notable, i), *times;

		if (!same_kind(first, o))
			continue;
		if (json_object_object_get_ex(first, WV_REPORT_TIMES, &times))
			(void)json_object_int_inc(times, 1);
		return;
	}
	if (n == WV_REPORT_NOTABLE)
		return;
	json_object_object_add(o, WV_REPORT_TIMES, json_object_new_int64(1));
	json_object_array_add(r->notable, json_object_get(o));
}

static void take_record(struct wv_report *r, struct json_object *o)
{
	const char *type = text_of(o, "type");
	struct json_object *n = NULL, *again = NULL;

	(void)json_object_object_get_ex(r->counts, type, &n);
	json_object_object_add(r->counts, type,
			       json_object_new_int64(n ? json_object_get_int64(n) + 1 : 1));
	if (strcmp(type, "core-start") == 0) {
		struct json_object *adopted;

		if (json_object_object_get_ex(o, "adopted", &adopted) &&
		    json_object_get_boolean(adopted))
			r->adopted = true;
		/* the first one is the start of the run; others are restarts */
		if (!json_object_object_get_ex(o, "core_restarts", &again) ||
		    json_object_get_int64(again) == 0)
			return;
	}
	if (strcmp(type, "decision") == 0)
		json_object_array_add(r->decisions, json_object_get(o));
	else if (strcmp(type, "outcome") == 0)
		json_object_array_add(r->outcomes, json_object_get(o));
	else if (strcmp(type, "config-drift") == 0)
		json_object_array_add(r->drift, json_object_get(o));
	else if (is_notable(type))
		take_notable(r, o);
}

int wv_report_load_records(struct wv_report *r, int dirfd)
{
	int fd = openat(dirfd, "events.jsonl", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_fclose_ FILE *f = fd >= 0 ? fdopen(fd, "re") : NULL;
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	ssize_t len;

	if (!f)
		return -errno;
	while ((len = getline(&line, &size, f)) > 0) {
		struct json_object *o = json_tokener_parse(line);

		if (o && json_object_is_type(o, json_type_object))
			take_record(r, o);
		else
			r->bad_lines++;
		json_object_put(o);
	}
	return 0;
}
