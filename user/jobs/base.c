// SPDX-License-Identifier: GPL-2.0-only
/*
 * A line that stands for all before it, so that the journal can be begun anew: the whole state of
 * the fold. Pure. What is read is held to the invariants of the fold.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/jobs/jobs.h"

/* Row: (member of struct wv_job, its name), all whole numbers from 0. */
#define MEMBERS(X)                                                                                 \
	X(id, "id")                                                                                \
	X(gpus, "gpus")                                                                            \
	X(spec.estimate_ns, "estimate_ns")                                                         \
	X(spec.restart_ns, "restart_ns")                                                           \
	X(spec.user, "user")                                                                       \
	X(spec.gpus, "n_gpus")                                                                     \
	X(spec.preemptible, "preemptible")                                                         \
	X(queued_ns, "queued_ns")                                                                  \
	X(started_ns, "started_ns")                                                                \
	X(checkpoint_ns, "checkpoint_ns")                                                          \
	X(done_ns, "done_ns")                                                                      \
	X(lost_ns, "lost_ns")                                                                      \
	X(state, "state")                                                                          \
	X(starts, "starts")                                                                        \
	X(preemptions, "preemptions")                                                              \
	X(hold, "hold")

static void putp(struct json_object **o)
{
	json_object_put(*o);
}

static void add(struct json_object *o, const char *name, uint64_t value)
{
	json_object_object_add(o, name, json_object_new_uint64(value));
}

char *wv_jobs_base_line(const struct wv_jobs *s)
{
	_cleanup_(putp) struct json_object *o = json_object_new_object();
	struct json_object *usage = json_object_new_array(), *jobs = json_object_new_array();
	const char *text;

	json_object_object_add(o, "event", json_object_new_string("base"));
	add(o, "clock_ns", s->clock_ns);
	add(o, "next_id", s->next_id);
	json_object_object_add(o, "usage", usage);
	json_object_object_add(o, "jobs", jobs);
	for (unsigned i = 0; i < WV_JOBS_USERS; i++) {
		struct json_object *u;

		if (!s->usage[i].used)
			continue;
		u = json_object_new_object();
		add(u, "user", s->usage[i].user);
		json_object_object_add(u, "gpu_ns", json_object_new_double(s->usage[i].gpu_ns));
		json_object_array_add(usage, u);
	}
	for (unsigned i = 0; i < WV_JOBS_MAX; i++) {
		const struct wv_job *j = &s->job[i];
		struct json_object *job;

		if (j->state == WV_JOB_NONE)
			continue;
		job = json_object_new_object();
#define X(member, name) add(job, name, j->member);
		MEMBERS(X)
#undef X
		json_object_object_add(job, "priority", json_object_new_int(j->spec.priority));
		json_object_array_add(jobs, job);
	}
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	return text ? strdup(text) : NULL;
}

static bool get(struct json_object *o, const char *name, uint64_t *ret)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_int))
		return false;
	*ret = json_object_get_uint64(v);
	return true;
}

/* No GPU belongs to two, one that runs has as many as it asked for, one that waits has none. */
static bool is_sound(const struct wv_jobs *s, const struct wv_job *j)
{
	bool runs = j->state == WV_JOB_RUNNING || j->state == WV_JOB_PREEMPTING ||
		    j->state == WV_JOB_CANCELLING;

	return j->id && j->id < s->next_id && j->state > WV_JOB_NONE && j->state < WV_JOB_STATE_N &&
	       j->spec.gpus && j->spec.gpus <= WV_TOPO_GPUS && !(j->gpus & wv_jobs_used(s)) &&
	       !wv_jobs_find(s, j->id) &&
	       (unsigned)__builtin_popcountll(j->gpus) == (runs ? j->spec.gpus : 0);
}

static bool get_job(struct json_object *o, const struct wv_jobs *s, struct wv_job *ret)
{
	struct wv_job j = {0};
	uint64_t n;

#define X(member, name)                                                                            \
	if (!get(o, name, &n) || (j.member = (__typeof__(j.member))n, (uint64_t)j.member != n))    \
		return false;
	MEMBERS(X)
#undef X
	j.spec.priority = (int32_t)wv_job_number(o, "priority", 0);
	if (!is_sound(s, &j))
		return false;
	*ret = j;
	return true;
}

static struct json_object *list_of(struct json_object *o, const char *name, size_t max)
{
	struct json_object *list;

	return json_object_object_get_ex(o, name, &list) &&
			       json_object_is_type(list, json_type_array) &&
			       json_object_array_length(list) <= max
		       ? list
		       : NULL;
}

int wv_jobs_base_parse(const char *line, struct wv_jobs *s)
{
	_cleanup_(putp) struct json_object *o = json_tokener_parse(line);
	struct json_object *usage = list_of(o, "usage", WV_JOBS_USERS);
	struct json_object *jobs = list_of(o, "jobs", WV_JOBS_MAX), *v;
	_cleanup_free_ struct wv_jobs *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	wv_jobs_init(n, s->half_life_ns);
	if (strcmp(wv_job_text(o, "event"), "base") != 0 || !usage || !jobs ||
	    !get(o, "clock_ns", &n->clock_ns) || !get(o, "next_id", &n->next_id) || !n->next_id)
		return -EBADMSG;
	for (size_t i = 0; i < json_object_array_length(usage); i++) {
		struct json_object *u = json_object_array_get_idx(usage, i);

		n->usage[i].user = (uint32_t)wv_job_number(u, "user", 0);
		n->usage[i].used = 1;
		if (!json_object_object_get_ex(u, "gpu_ns", &v))
			return -EBADMSG;
		n->usage[i].gpu_ns = json_object_get_double(v);
	}
	for (size_t i = 0; i < json_object_array_length(jobs); i++)
		if (!get_job(json_object_array_get_idx(jobs, i), n, &n->job[i]))
			return -EBADMSG;
	*s = *n;
	return 0;
}
