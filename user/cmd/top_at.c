// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/top_at.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/cmd/cmd.h"
#include "user/cmd/moment.h"
#include "user/cmd/top_print.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"

#define SECOND 1000000000ULL

int wv_top_parse_at(const char *text, uint64_t now_wall_ns, uint64_t *ret_wall_ns)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	uint64_t span;

	if (end && (!*end || strcmp(end, "Z") == 0)) {
		*ret_wall_ns = (uint64_t)timegm(&tm) * SECOND;
		return 0;
	}
	if (wv_parse_duration(text[0] == '-' ? text + 1 : text, &span) < 0 || span > now_wall_ns)
		return -EINVAL;
	*ret_wall_ns = now_wall_ns - span;
	return 0;
}

static const char *utc(uint64_t wall_ns, char buf[40])
{
	time_t s = (time_t)(wall_ns / SECOND);
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(buf, 40, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf;
}

/* How far the sample is from what was asked for, and whether that is a gap in the records. */
static void print_head(const struct wv_moment *r, uint64_t wall_ns, uint64_t interval_ns)
{
	uint64_t behind = wall_ns - r->now.wall_ns, now = wv_view_wall_ns();
	char at[40], age[WV_WORD], word[WV_WORD];

	printf("at %s, %s ago: run %s, %s, tick %llu, ", utc(r->now.wall_ns, at),
	       wv_word_span(age, now > r->now.wall_ns ? now - r->now.wall_ns : 0), r->run_id,
	       r->source, (unsigned long long)r->now.seq);
	if (r->has_before)
		printf("rates over %s\n", wv_word_span(word, interval_ns));
	else
		printf("the first sample of the run, so no rates\n");
	if (behind < SECOND)
		return;
	printf("the sample is %s older than asked for; ", wv_word_span(word, behind));
	if (r->next_wall_ns)
		printf("the next one is of %s\n", utc(r->next_wall_ns, at));
	else
		printf("the run has none after it\n");
}

static struct json_object *at_json(const struct wv_moment *r, uint64_t wall_ns)
{
	struct json_object *o = json_object_new_object();

	wv_json_u64(o, "asked_wall_ns", wall_ns);
	wv_json_str(o, "source", r->source);
	wv_json_u64(o, "behind_ns", wall_ns - r->now.wall_ns);
	json_object_object_add(o, "next_wall_ns",
			       r->next_wall_ns ? json_object_new_uint64(r->next_wall_ns) : NULL);
	return o;
}

static int explain(const struct wv_paths *paths, const struct wv_moment *r, int error)
{
	char at[40];

	if (error == -EACCES || error == -EPERM) {
		fprintf(stderr, "waveos-bpf top: may not read %s/runs: run it as root\n",
			paths->state);
		return WV_EXIT_DENIED;
	}
	if (error == -ENOENT && r->oldest_wall_ns)
		fprintf(stderr,
			"waveos-bpf top: nothing is recorded that is as old; the oldest sample is "
			"of "
			"%s\n",
			utc(r->oldest_wall_ns, at));
	else if (error == -ENOENT)
		fprintf(stderr,
			"waveos-bpf top: nothing is recorded in %s/runs; a running agent records "
			"every record.interval\n",
			paths->state);
	else
		fprintf(stderr, "waveos-bpf top: recorded runs: %s\n", strerror(-error));
	return WV_EXIT_FINDING;
}

int wv_top_at(const struct wv_paths *paths, const struct wv_top_options *o, uint64_t wall_ns,
	      unsigned limit, bool json)
{
	struct wv_snapshot head = {.tick_interval_ns = 0}, before_head = {.tick_interval_ns = 0};
	struct wv_sample *before = NULL;
	struct json_object *more;
	struct wv_moment r;
	struct wv_top t = {0};
	int e = wv_moment_read(&r, paths, wall_ns);

	if (e == 0) {
		before = r.has_before ? &r.before : NULL;
		e = wv_top_build(&t, &r.now, before);
	}
	if (e == 0)
		e = wv_top_arrange(&t, o, &(struct wv_top_folds){0});
	if (e == 0 && json) {
		snprintf(head.run_id, sizeof(head.run_id), "%.63s", r.run_id);
		more = json_object_new_object();
		json_object_object_add(more, "at", at_json(&r, wall_ns));
		wv_top_print_json(&t, &head, before ? &before_head : NULL, limit, more);
	} else if (e == 0) {
		print_head(&r, wall_ns, t.interval_ns);
		wv_top_print_lines(&t, o, limit);
	}
	wv_top_done(&t);
	if (e < 0)
		e = explain(paths, &r, e);
	wv_moment_done(&r);
	return e ?: ferror(stdout) ? WV_EXIT_INTERNAL : WV_EXIT_OK;
}
