// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "gpu/jobs/sched.h"

const char *const wv_job_event_names[WV_JOB_EVENT_N] = {
#define X(id, name) [WV_JOB_EV_##id] = name,
	WV_JOB_EVENTS(X)
#undef X
};

void wv_jobs_init(struct wv_jobs *s, uint64_t half_life_ns)
{
	memset(s, 0, sizeof(*s));
	s->next_id = 1;
	s->half_life_ns = half_life_ns;
}

static struct wv_job *find(struct wv_jobs *s, uint64_t id)
{
	for (unsigned i = 0; i < WV_JOBS_MAX; i++)
		if (s->job[i].state != WV_JOB_NONE && s->job[i].id == id)
			return &s->job[i];
	return NULL;
}

const struct wv_job *wv_jobs_find(const struct wv_jobs *s, uint64_t id)
{
	return find((struct wv_jobs *)s, id);
}

uint64_t wv_jobs_used(const struct wv_jobs *s)
{
	uint64_t used = 0;

	for (unsigned i = 0; i < WV_JOBS_MAX; i++)
		used |= s->job[i].gpus;
	return used;
}

void wv_jobs_checkpointed(struct wv_jobs *s, uint64_t id, uint64_t clock_ns)
{
	struct wv_job *j = find(s, id);

	if (j && j->gpus && clock_ns > j->checkpoint_ns)
		j->checkpoint_ns = clock_ns;
}

/* Of a user; where there is no room the one with the least usage is forgotten. */
static unsigned usage_of(struct wv_jobs *s, uint32_t user)
{
	unsigned least = 0;

	for (unsigned i = 0; i < WV_JOBS_USERS; i++) {
		if (s->usage[i].used && s->usage[i].user == user)
			return i;
		if (s->usage[least].used &&
		    (!s->usage[i].used || s->usage[i].gpu_ns < s->usage[least].gpu_ns))
			least = i;
	}
	s->usage[least].gpu_ns = 0;
	s->usage[least].user = user;
	s->usage[least].used = 1;
	return least;
}

/* Time passes: usage decays, and those that run add to theirs. */
static void advance(struct wv_jobs *s, uint64_t to)
{
	uint64_t dt = to > s->clock_ns ? to - s->clock_ns : 0;

	if (!dt)
		return;
	for (unsigned i = 0; s->half_life_ns && i < WV_JOBS_USERS; i++)
		s->usage[i].gpu_ns *= exp2(-(double)dt / (double)s->half_life_ns);
	for (unsigned i = 0; i < WV_JOBS_MAX; i++)
		if (s->job[i].gpus)
			s->usage[usage_of(s, s->job[i].spec.user)].gpu_ns +=
				(double)dt * s->job[i].spec.gpus;
	s->clock_ns = to;
}

static int submit(struct wv_jobs *s, const struct wv_job_event *e)
{
	unsigned i = 0;

	if (e->id != s->next_id || !e->spec.gpus || e->spec.gpus > WV_TOPO_GPUS)
		return -EINVAL;
	while (i < WV_JOBS_MAX && s->job[i].state != WV_JOB_NONE)
		i++;
	if (i == WV_JOBS_MAX)
		return -ENOSPC;
	advance(s, e->clock_ns);
	memset(&s->job[i], 0, sizeof(s->job[i]));
	s->job[i].id = s->next_id++;
	s->job[i].spec = e->spec;
	s->job[i].state = WV_JOB_QUEUED;
	s->job[i].queued_ns = s->clock_ns;
	return 0;
}

/* Gives its GPUs back. kept: what it did since the checkpoint is not lost. */
static void leave(struct wv_jobs *s, struct wv_job *j, bool kept, enum wv_job_state state)
{
	uint64_t until = kept ? s->clock_ns : j->checkpoint_ns;

	j->done_ns += until - j->started_ns;
	j->lost_ns += s->clock_ns - until;
	j->gpus = 0;
	j->state = state;
	j->queued_ns = s->clock_ns;
}

static bool fits(const struct wv_jobs *s, const struct wv_job *j, const struct wv_job_event *e)
{
	bool has = j->gpus != 0;

	switch (e->type) {
	case WV_JOB_EV_STARTED:
		return j->state == WV_JOB_QUEUED && !(e->gpus & wv_jobs_used(s)) &&
		       (unsigned)__builtin_popcountll(e->gpus) == j->spec.gpus;
	case WV_JOB_EV_PREEMPTING:
		return j->state == WV_JOB_RUNNING;
	case WV_JOB_EV_PREEMPTED:
		return j->state == WV_JOB_PREEMPTING;
	case WV_JOB_EV_RESUMED:
		return j->state == WV_JOB_HELD;
	case WV_JOB_EV_CANCELLING:
		return j->state == WV_JOB_RUNNING || j->state == WV_JOB_PREEMPTING;
	case WV_JOB_EV_CANCELLED:
		return !has || j->state == WV_JOB_CANCELLING;
	case WV_JOB_EV_ENDED:
	case WV_JOB_EV_LOST:
		return has;
	default:
		return false;
	}
}

int wv_jobs_fold(struct wv_jobs *s, const struct wv_job_event *e)
{
	struct wv_job *j;

	if (e->type == WV_JOB_EV_SUBMITTED)
		return submit(s, e);
	j = find(s, e->id);
	if (!j || !fits(s, j, e))
		return -EPROTO;
	advance(s, e->clock_ns);
	switch (e->type) {
	case WV_JOB_EV_STARTED:
		j->gpus = e->gpus;
		j->started_ns = j->checkpoint_ns = s->clock_ns;
		j->state = WV_JOB_RUNNING;
		j->starts++;
		break;
	case WV_JOB_EV_PREEMPTING:
		j->state = WV_JOB_PREEMPTING;
		j->hold = e->flag;
		break;
	case WV_JOB_EV_PREEMPTED:
		j->preemptions++;
		leave(s, j, e->flag, j->hold ? WV_JOB_HELD : WV_JOB_QUEUED);
		break;
	case WV_JOB_EV_RESUMED:
		j->state = WV_JOB_QUEUED;
		j->queued_ns = s->clock_ns;
		break;
	case WV_JOB_EV_CANCELLING:
		j->state = WV_JOB_CANCELLING;
		break;
	case WV_JOB_EV_LOST:
		if (e->flag && j->state != WV_JOB_CANCELLING) {
			leave(s, j, false,
			      j->state == WV_JOB_PREEMPTING && j->hold ? WV_JOB_HELD
								       : WV_JOB_QUEUED);
			break;
		}
		memset(j, 0, sizeof(*j));
		break;
	default: /* ended, cancelled */
		memset(j, 0, sizeof(*j));
	}
	return 0;
}
