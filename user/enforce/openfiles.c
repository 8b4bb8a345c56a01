// SPDX-License-Identifier: GPL-2.0-only
#include "user/enforce/openfiles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

/* Ancestors that are asked for a former limit. */
#define MAX_GENERATIONS 16

/* A process under at least one cap. */
struct seen {
	pid_t pid;
	uint64_t want, had; /* the tightest of its caps, now and before this pass */
	uint32_t cap;	    /* that has it: its results are counted there */
	uint32_t inherit;   /* cap whose limit it may have inherited */
};

/* What is to be done with a process. */
struct step {
	struct wv_openfiles_process to; /* as it is listed afterwards */
	uint64_t target;
	uint32_t cap; /* UINT32_MAX: under none */
	bool again, keep;
};

struct pass {
	struct wv_openfiles *o;
	struct seen *seen;
	size_t n_seen, room_seen;
	struct step *steps;
	size_t n_steps, room_steps;
	uint32_t cap; /* that is listed */
	bool blind;   /* a cgroup could not be listed */
};

/* Room for one more in a growing array. 0 or -ENOMEM. */
static int grow(void **array, size_t n, size_t *room, size_t size)
{
	size_t more = *room ? *room * 2 : 64;
	void *p;

	if (n < *room)
		return 0;
	p = reallocarray(*array, more, size);
	if (!p)
		return -ENOMEM;
	*array = p;
	*room = more;
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

static struct wv_openfiles_process *listed(const struct wv_openfiles *o, pid_t pid)
{
	_Static_assert(offsetof(struct wv_openfiles_process, pid) == 0, "key of by_pid");
	return o->n_list ? bsearch(&pid, o->list, o->n_list, sizeof(o->list[0]), by_pid) : NULL;
}

static int see(void *arg, pid_t pid)
{
	struct pass *p = arg;
	const struct wv_openfiles_cap *cap = &p->o->caps[p->cap];
	int r;

	if (pid == p->o->own[0] || pid == p->o->own[1])
		return 0;
	r = grow((void **)&p->seen, p->n_seen, &p->room_seen, sizeof(*p->seen));
	if (r == 0)
		p->seen[p->n_seen++] = (struct seen){pid, cap->want, cap->have, p->cap, p->cap};
	return r;
}

/* One entry a process: the tightest of its caps. */
static void merge_seen(struct pass *p)
{
	size_t n = 0;

	if (p->n_seen)
		qsort(p->seen, p->n_seen, sizeof(*p->seen), by_pid);
	for (size_t i = 0; i < p->n_seen; i++) {
		struct seen *last = n ? &p->seen[n - 1] : NULL, s = p->seen[i];

		if (!last || last->pid != s.pid) {
			p->seen[n++] = s;
			continue;
		}
		if (s.want < last->want) {
			last->want = s.want;
			last->cap = s.cap;
		}
		if (s.had < last->had) {
			last->had = s.had;
			last->inherit = s.inherit;
		}
	}
	p->n_seen = n;
}

static int look(struct pass *p)
{
	const struct wv_processes *ps = p->o->processes;

	for (p->cap = 0; p->cap < p->o->n_caps; p->cap++) {
		struct wv_openfiles_cap *cap = &p->o->caps[p->cap];
		int r = ps->list(ps->ctx, cap->key, cap->folder, see, p);

		cap->result = (struct wv_openfiles_result){0};
		if (r == -ENOMEM)
			return r;
		if (r == -ENOENT) {
			cap->want = WV_UNSET;
		} else if (r < 0) {
			cap->result.error = r;
			p->blind = true;
		}
	}
	merge_seen(p);
	return 0;
}

/* Whether a limit is what we set, or were about to change when the last pass ended early. */
static bool is_listed_as(const struct wv_openfiles_process *l, uint64_t soft)
{
	return soft == l->ours || soft == l->was;
}

static bool is_inherited(const struct pass *p, const struct seen *s, uint64_t soft)
{
	const struct wv_openfiles_cap *cap = &p->o->caps[s->inherit];

	return soft != WV_UNSET && (soft == s->had || soft == cap->was);
}

/* What a process had that inherited its limit: as its nearest listed ancestor, else as usual. */
static uint64_t inherited_from(const struct pass *p, const struct seen *s, uint64_t soft)
{
	const struct wv_processes *ps = p->o->processes;
	uint64_t usual = p->o->caps[s->inherit].usual;
	pid_t pid = s->pid;

	for (int i = 0; i < MAX_GENERATIONS && (pid = ps->parent(ps->ctx, pid)) > 1; i++) {
		const struct wv_openfiles_process *l = listed(p->o, pid);

		if (l && is_listed_as(l, soft))
			return l->old;
	}
	return usual != WV_UNSET && usual > soft ? usual : soft;
}

static int add_step(struct pass *p, const struct step *step)
{
	int r = grow((void **)&p->steps, p->n_steps, &p->room_steps, sizeof(*p->steps));

	if (r == 0)
		p->steps[p->n_steps++] = *step;
	return r;
}

/* What is to be done with one process that is under a cap, or was until now. */
static int plan_seen(struct pass *p, const struct seen *s)
{
	const struct wv_processes *ps = p->o->processes;
	struct wv_openfiles_result *result = &p->o->caps[s->cap].result;
	const struct wv_openfiles_process *l = listed(p->o, s->pid);
	bool ours, fresh = s->want != s->had || p->o->caps[s->cap].was != WV_UNSET;
	struct rlimit now;
	struct step step;
	uint64_t base, soft;
	int r = ps->get(ps->ctx, s->pid, &now);

	if (r < 0) {
		result->refused += r != -ESRCH;
		return 0;
	}
	soft = now.rlim_cur;
	/* in order: what most processes are in most passes, told without another system call */
	if (soft <= s->want && !fresh) {
		result->fine++;
		return 0;
	}
	step = (struct step){.to = {.pid = s->pid, .start_ns = ps->start_ns(ps->ctx, s->pid)},
			     .cap = s->cap};
	if (!step.to.start_ns)
		return 0;
	if (l && l->start_ns != step.to.start_ns) /* a later process of that number */
		l = NULL;
	ours = l ? is_listed_as(l, soft) : is_inherited(p, s, soft);
	base = soft;
	if (ours)
		base = l ? l->old : inherited_from(p, s, soft);
	else if (l && soft > s->want && l->old > soft) /* raised again, but not to what it had */
		base = l->old;
	step.target = base < s->want ? base : s->want;
	if (step.target > now.rlim_max)
		step.target = now.rlim_max;
	step.to.old = base;
	step.to.ours = step.target;
	step.to.was = soft;
	step.again = l && !ours && soft > s->want;
	/* one whose own limit is just this is listed, too: so its children are known to be right */
	step.keep = s->want != WV_UNSET && (step.target < base || step.target == s->want);
	if (step.target == soft && (!step.keep || l)) {
		result->fine++;
		if (!l || step.keep)
			return 0;
	}
	return add_step(p, &step);
}

/* Listed processes that are under no cap any more: moved away, or ended. */
static int plan_rest(struct pass *p)
{
	const struct wv_processes *ps = p->o->processes;
	int r = 0;

	for (size_t i = 0, at = 0; r == 0 && i < p->o->n_list; i++) {
		const struct wv_openfiles_process *l = &p->o->list[i];
		struct step step = {.to = *l, .target = l->old, .cap = UINT32_MAX};
		struct rlimit now;

		while (at < p->n_seen && p->seen[at].pid < l->pid)
			at++;
		if (at < p->n_seen && p->seen[at].pid == l->pid)
			continue;
		if (ps->start_ns(ps->ctx, l->pid) != l->start_ns ||
		    ps->get(ps->ctx, l->pid, &now) < 0 || !is_listed_as(l, now.rlim_cur))
			step.target = WV_UNSET; /* only to be forgotten */
		else if (step.target > now.rlim_max)
			step.target = now.rlim_max;
		r = add_step(p, &step);
	}
	return r;
}

/* Lists who is about to be lowered. Returns whether anything is new; -ENOMEM. */
static int note_lowered(struct pass *p)
{
	struct wv_openfiles *o = p->o;
	struct wv_openfiles_process *more =
		reallocarray(o->list, o->n_list + p->n_steps + 1, sizeof(*more));
	size_t n = o->n_list;
	bool any = false;

	if (!more)
		return -ENOMEM;
	o->list = more;
	for (size_t i = 0; i < p->n_steps; i++) {
		struct step *s = &p->steps[i];
		/* of those that were there: what is added is not sorted in yet */
		struct wv_openfiles_process *l = listed(o, s->to.pid);

		if (!s->keep)
			continue;
		if (!l && n >= WV_OPENFILES_PROCESSES_MAX) {
			o->caps[s->cap].result.error = -ENOSPC;
			s->cap = UINT32_MAX;
			s->target = WV_UNSET;
			continue;
		}
		if (s->to.old > s->to.ours)
			o->caps[s->cap].usual = s->to.old;
		if (l)
			*l = s->to;
		else
			o->list[n++] = s->to;
		any = true;
	}
	o->n_list = n;
	if (n)
		qsort(o->list, n, sizeof(*o->list), by_pid);
	return any;
}

static void unlist(struct wv_openfiles *o, pid_t pid)
{
	struct wv_openfiles_process *l = listed(o, pid);

	if (!l)
		return;
	memmove(l, l + 1, (size_t)(o->list + o->n_list - (l + 1)) * sizeof(*l));
	o->n_list--;
	o->dirty = true;
}

static void take_step(struct pass *p, const struct step *s)
{
	const struct wv_processes *ps = p->o->processes;
	struct wv_openfiles_result none = {0};
	struct wv_openfiles_result *result =
		s->cap == UINT32_MAX ? &none : &p->o->caps[s->cap].result;
	struct rlimit now;
	int r = 0;

	if (s->target != WV_UNSET) {
		r = ps->get(ps->ctx, s->to.pid, &now);
		if (r == 0 && now.rlim_cur != s->target) {
			bool lower = s->target < now.rlim_cur;

			now.rlim_cur = s->target;
			r = ps->set(ps->ctx, s->to.pid, &now);
			result->lowered += r == 0 && lower;
			result->again += r == 0 && lower && s->again;
			result->restored += r == 0 && !lower;
		}
		result->refused += r < 0 && r != -ESRCH;
	}
	if (!s->keep || r < 0) {
		unlist(p->o, s->to.pid);
	} else {
		struct wv_openfiles_process *l = listed(p->o, s->to.pid);

		/* not worth a save: a stale one is the process's former limit all the same */
		if (l)
			l->was = WV_UNSET;
	}
}

static void release(struct pass *p)
{
	free(p->seen);
	free(p->steps);
}

/* A cap that goes is known until the sweep: a crash in between must find it. */
static void note_caps(struct wv_openfiles *o)
{
	for (size_t i = 0; i < o->n_caps; i++) {
		struct wv_openfiles_cap *cap = &o->caps[i];

		if (cap->want == WV_UNSET || cap->have == cap->want)
			continue;
		if (cap->was == WV_UNSET)
			cap->was = cap->have;
		cap->have = cap->want;
		o->dirty = true;
	}
}

int wv_openfiles_pass(struct wv_openfiles *o)
{
	_cleanup_(release) struct pass p = {.o = o};
	int r = look(&p);

	for (size_t i = 0; r == 0 && i < p.n_seen; i++)
		r = plan_seen(&p, &p.seen[i]);
	if (r == 0 && !p.blind)
		r = plan_rest(&p);
	if (r < 0)
		return r;
	r = note_lowered(&p);
	if (r < 0)
		return r;
	o->dirty |= r;
	note_caps(o);
	r = o->dirty ? wv_openfiles_save(o) : 0;
	if (r < 0) /* all that was noted says what was before: the next pass goes on from there */
		return r;
	for (size_t i = 0; i < p.n_steps; i++)
		take_step(&p, &p.steps[i]);
	for (size_t i = 0; i < o->n_caps; i++)
		o->caps[i].was = WV_UNSET;
	return 0;
}

int wv_openfiles_sweep(struct wv_openfiles *o)
{
	for (size_t i = o->n_caps; i-- > 0;) {
		if (o->caps[i].want != WV_UNSET || o->caps[i].result.error)
			continue;
		o->caps[i] = o->caps[--o->n_caps];
		o->dirty = true;
	}
	return o->dirty ? wv_openfiles_save(o) : 0;
}

struct wv_openfiles_cap *wv_openfiles_find(const struct wv_openfiles *o, uint64_t key)
{
	for (size_t i = 0; i < o->n_caps; i++)
		if (o->caps[i].key == key)
			return &o->caps[i];
	return NULL;
}

int wv_openfiles_want(struct wv_openfiles *o, uint64_t key, const char *folder, uint64_t cap)
{
	struct wv_openfiles_cap *c = wv_openfiles_find(o, key);

	if (!c) {
		struct wv_openfiles_cap *more;

		if (cap == WV_UNSET)
			return 0;
		if (o->n_caps == WV_OPENFILES_CAPS_MAX)
			return -ENOSPC;
		more = reallocarray(o->caps, o->n_caps + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		o->caps = more;
		c = &o->caps[o->n_caps++];
		*c = (struct wv_openfiles_cap){
			.key = key, .have = WV_UNSET, .was = WV_UNSET, .usual = WV_UNSET};
		snprintf(c->folder, sizeof(c->folder), "%s", folder);
	}
	c->want = cap;
	c->due = true;
	return 0;
}

void wv_openfiles_forget(struct wv_openfiles *o, uint64_t key)
{
	struct wv_openfiles_cap *c = wv_openfiles_find(o, key);

	if (!c)
		return;
	*c = o->caps[--o->n_caps];
	o->dirty = true;
}

void wv_openfiles_close(struct wv_openfiles *o)
{
	if (o->dir >= 0)
		(void)o->io->close(o->io->ctx, o->dir);
	free(o->caps);
	free(o->list);
	*o = (struct wv_openfiles){.dir = -1};
}
