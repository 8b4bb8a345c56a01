// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who starts and who is preempted. Waiting jobs are gone through by rank; each gets the earliest
 * time at which enough GPUs are expected to be free for as long as it is expected to run. If that
 * is now, it starts; else it may be given a reservation, which those after it must not delay.
 * Counts of GPUs are reserved, not certain GPUs: any set does, and the best one is chosen when it
 * starts.
 */
#include <stdlib.h>
#include <string.h>

#include "gpu/jobs/sched.h"

#define UNKNOWN_NS (365ULL * 86400 * 1000000000) /* without an estimate: it may be long */
#define FAR (UINT64_MAX / 2)
#define SPANS (WV_TOPO_GPUS + 64)

struct span {
	uint64_t begin, end;
	unsigned gpus;
};

struct plan {
	const struct wv_jobs *s;
	const struct wv_topo *t;
	const struct wv_jobs_rules *rules;
	uint64_t now, usable, free; /* sets of GPUs */
	unsigned total, n_spans, reserved;
	struct span span[SPANS];
	struct wv_job_event *ret;
	unsigned n, max;
};

struct candidate {
	const struct wv_job *job;
	double usage;
	bool starved;
};

static int compare(const void *x, const void *y)
{
	const struct candidate *a = x, *b = y;

	if (a->starved != b->starved)
		return a->starved ? -1 : 1;
	if (a->starved && a->job->queued_ns != b->job->queued_ns)
		return a->job->queued_ns < b->job->queued_ns ? -1 : 1;
	if (a->job->spec.priority != b->job->spec.priority)
		return a->job->spec.priority > b->job->spec.priority ? -1 : 1;
	if (a->usage < b->usage || a->usage > b->usage)
		return a->usage < b->usage ? -1 : 1;
	return a->job->id < b->job->id ? -1 : 1;
}

static unsigned rank(const struct plan *p, struct candidate *list)
{
	const struct wv_jobs *s = p->s;
	unsigned n = 0;

	for (unsigned i = 0; i < WV_JOBS_MAX; i++) {
		const struct wv_job *j = &s->job[i];

		if (j->state != WV_JOB_QUEUED || j->spec.gpus > p->total)
			continue;
		list[n] = (struct candidate){.job = j};
		list[n].starved = p->rules->starve_ns && p->now > j->queued_ns &&
				  p->now - j->queued_ns > p->rules->starve_ns;
		for (unsigned u = 0; u < WV_JOBS_USERS; u++)
			if (s->usage[u].used && s->usage[u].user == j->spec.user)
				list[n].usage = s->usage[u].gpu_ns;
		n++;
	}
	qsort(list, n, sizeof(*list), compare);
	return n;
}

/* How long it will still run, as it says. */
static uint64_t length(const struct wv_job *j)
{
	uint64_t all = j->spec.estimate_ns ?: UNKNOWN_NS;

	all = all < UNKNOWN_NS ? all : UNKNOWN_NS;
	return all > j->done_ns ? all - j->done_ns : 1;
}

static void add_span(struct plan *p, uint64_t begin, uint64_t end, unsigned gpus)
{
	if (p->n_spans < SPANS)
		p->span[p->n_spans++] = (struct span){begin, end, gpus};
}

static unsigned taken_at(const struct plan *p, uint64_t at)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->n_spans; i++)
		if (p->span[i].begin <= at && at < p->span[i].end)
			n += p->span[i].gpus;
	return n;
}

/* What is taken changes only where a span begins or ends. */
static bool is_free(const struct plan *p, uint64_t at, uint64_t length_ns, unsigned gpus)
{
	if (taken_at(p, at) + gpus > p->total)
		return false;
	for (unsigned i = 0; i < p->n_spans; i++)
		if (p->span[i].begin > at && p->span[i].begin < at + length_ns &&
		    taken_at(p, p->span[i].begin) + gpus > p->total)
			return false;
	return true;
}

static uint64_t earliest(const struct plan *p, const struct wv_job *j)
{
	uint64_t best = is_free(p, p->now, length(j), j->spec.gpus) ? p->now : FAR;

	for (unsigned i = 0; i < p->n_spans; i++)
		if (p->span[i].end < best && p->span[i].end > p->now &&
		    is_free(p, p->span[i].end, length(j), j->spec.gpus))
			best = p->span[i].end;
	return best;
}

static void emit(struct plan *p, uint32_t type, uint64_t id, uint64_t gpus)
{
	struct wv_job_event *e = &p->ret[p->n++];

	memset(e, 0, sizeof(*e));
	e->clock_ns = p->now;
	e->type = type;
	e->id = id;
	e->gpus = gpus;
}

static bool start(struct plan *p, const struct wv_job *j)
{
	struct wv_placement place;

	if (p->n == p->max || wv_topo_place(p->t, p->free, j->spec.gpus, &place) < 0)
		return false;
	emit(p, WV_JOB_EV_STARTED, j->id, place.gpus);
	p->free &= ~place.gpus;
	add_span(p, p->now, p->now + length(j), j->spec.gpus);
	return true;
}

static bool over_quota(const struct plan *p, const struct wv_job *j)
{
	unsigned n = j->spec.gpus;

	if (!p->rules->user_gpus)
		return false;
	for (unsigned i = 0; i < WV_JOBS_MAX; i++)
		if (p->s->job[i].gpus && p->s->job[i].spec.user == j->spec.user)
			n += p->s->job[i].spec.gpus;
	for (unsigned i = 0; i < p->n; i++) {
		const struct wv_job *other = wv_jobs_find(p->s, p->ret[i].id);

		if (p->ret[i].type == WV_JOB_EV_STARTED && other->spec.user == j->spec.user)
			n += other->spec.gpus;
	}
	return n > p->rules->user_gpus;
}

static bool may_be_preempted(const struct plan *p, const struct wv_job *j,
			     const struct wv_job *head)
{
	return j->state == WV_JOB_RUNNING && j->spec.preemptible &&
	       j->spec.priority < head->spec.priority && (j->gpus & p->usable) == j->gpus &&
	       j->preemptions < p->rules->preemptions &&
	       p->now >= j->started_ns + p->rules->min_run_ns;
}

/* What preempting it costs, in GPU-nanoseconds. */
static double loss_of(const struct plan *p, const struct wv_job *j)
{
	uint64_t since = p->now > j->checkpoint_ns ? p->now - j->checkpoint_ns : 0;

	return (double)j->spec.gpus * ((double)since + (double)j->spec.restart_ns);
}

/* The set of jobs with the least loss that makes room for `head`; exact, by the number of GPUs. */
static bool preempt(struct plan *p, const struct wv_job *head)
{
	unsigned have = (unsigned)__builtin_popcountll(p->free), need, n = 0;
	const struct wv_job *list[WV_TOPO_GPUS];
	double best[WV_TOPO_GPUS + 1];
	uint64_t chosen[WV_TOPO_GPUS + 1] = {0};

	for (unsigned i = 0; i < WV_JOBS_MAX; i++) {
		const struct wv_job *j = &p->s->job[i];

		if (j->state == WV_JOB_PREEMPTING || j->state == WV_JOB_CANCELLING)
			have += j->spec.gpus; /* is about to come */
		else if (n < WV_TOPO_GPUS && may_be_preempted(p, j, head))
			list[n++] = j;
	}
	if (have >= head->spec.gpus)
		return false;
	need = head->spec.gpus - have;
	for (unsigned g = 0; g <= need; g++)
		best[g] = g ? -1 : 0; /* -1: cannot be */
	for (unsigned i = 0; i < n; i++)
		for (unsigned g = need; g > 0; g--) {
			unsigned from = g > list[i]->spec.gpus ? g - list[i]->spec.gpus : 0;
			double with = best[from] + loss_of(p, list[i]);

			if (best[from] >= 0 && (best[g] < 0 || with < best[g])) {
				best[g] = with;
				chosen[g] = chosen[from] | 1ULL << i;
			}
		}
	for (unsigned i = 0; best[need] >= 0 && i < n && p->n < p->max; i++)
		if (chosen[need] >> i & 1)
			emit(p, WV_JOB_EV_PREEMPTING, list[i]->id, 0);
	return best[need] >= 0;
}

/* Expected ends of those that have GPUs. One that is over its estimate is about to end. */
static void take_running(struct plan *p)
{
	for (unsigned i = 0; i < WV_JOBS_MAX; i++) {
		const struct wv_job *j = &p->s->job[i];
		uint64_t end = j->state == WV_JOB_RUNNING ? j->started_ns + length(j)
							  : p->now + p->rules->grace_ns;

		if (j->gpus)
			add_span(p, 0, end > p->now ? end : p->now + 1,
				 (unsigned)__builtin_popcountll(j->gpus & p->usable));
	}
}

unsigned wv_jobs_decide(const struct wv_jobs *s, const struct wv_topo *t, uint64_t usable,
			const struct wv_jobs_rules *rules, uint64_t now_ns,
			struct wv_job_event *ret, unsigned max)
{
	struct plan p = {.s = s, .t = t, .rules = rules, .ret = ret, .max = max};
	struct candidate list[WV_JOBS_MAX];
	unsigned n;

	p.now = now_ns > s->clock_ns ? now_ns : s->clock_ns;
	p.usable = t->n < 64 ? usable & ((1ULL << t->n) - 1) : usable;
	p.free = p.usable & ~wv_jobs_used(s);
	p.total = (unsigned)__builtin_popcountll(p.usable);
	take_running(&p);
	n = rank(&p, list);
	for (unsigned i = 0; i < n; i++) {
		const struct wv_job *j = list[i].job;
		uint64_t at;

		if (over_quota(&p, j))
			continue; /* its own affair: it holds nobody up */
		at = earliest(&p, j);
		if (at == p.now && start(&p, j))
			continue;
		if (!rules->reservations)
			break;
		if (p.reserved == rules->reservations || p.reserved == 64)
			continue;
		if (!p.reserved++ && at > p.now + rules->preempt_wait_ns && preempt(&p, j))
			at = p.now + rules->grace_ns;
		if (at < FAR)
			add_span(&p, at, at + length(j), j->spec.gpus);
	}
	return p.n;
}
