// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two tables, of the last complete walk and of this one. A task that is in both with the same
 * number of context switches has not run in between: it is in the same sleep.
 */
#include "user/collect/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS (2 * WV_STUCK_MAX)

struct sleeper {
	uint64_t start, switches, first_ns;
	uint32_t pid; /* 0: free */
	bool told;
};

struct table {
	uint32_t n;
	struct sleeper sleepers[BUCKETS];
};

struct wv_stuck {
	struct table *last, *now;
	uint64_t untracked;
	struct table tables[2];
};

int wv_stuck_new(struct wv_stuck **ret)
{
	struct wv_stuck *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->last = &s->tables[0];
	s->now = &s->tables[1];
	*ret = s;
	return 0;
}

void wv_stuck_free(struct wv_stuck *s)
{
	free(s);
}

uint64_t wv_stuck_untracked(const struct wv_stuck *s)
{
	return s->untracked;
}

void wv_stuck_begin(struct wv_stuck *s)
{
	if (s->now->n)
		memset(s->now, 0, sizeof(*s->now));
}

void wv_stuck_end(struct wv_stuck *s)
{
	struct table *t = s->last;

	s->last = s->now;
	s->now = t;
}

/* Place of a pid, or the free one where it belongs. There always is one: tables are half full at
 * most. */
static struct sleeper *place(struct table *t, uint32_t pid)
{
	uint32_t i = pid * 2654435761u % BUCKETS;

	while (t->sleepers[i].pid && t->sleepers[i].pid != pid)
		i = (i + 1) % BUCKETS;
	return &t->sleepers[i];
}

struct wv_stuck_age wv_stuck_see(struct wv_stuck *s, const struct wv_dtask *t, uint64_t limit_ns,
				 uint64_t now_ns)
{
	const struct sleeper *before = place(s->last, t->pid);
	struct sleeper *sl = place(s->now, t->pid);
	struct wv_stuck_age age = {0};

	if (!sl->pid && s->now->n >= WV_STUCK_MAX) {
		s->untracked++;
		return age;
	}
	if (!sl->pid)
		s->now->n++;
	*sl = (struct sleeper){
		.pid = t->pid, .start = t->start, .switches = t->switches, .first_ns = now_ns};
	if (before->pid != t->pid || before->start != t->start || before->switches != t->switches)
		return age;
	sl->first_ns = before->first_ns;
	sl->told = before->told;
	age.ns = now_ns > sl->first_ns ? now_ns - sl->first_ns : 0;
	age.crossed = age.ns >= limit_ns && !sl->told;
	sl->told |= age.crossed;
	return age;
}

bool wv_cadence_due(struct wv_cadence *c)
{
	if (!c->skip)
		return true;
	c->skip--;
	return false;
}

void wv_cadence_spent(struct wv_cadence *c, uint64_t cost_ns, uint64_t budget_ns)
{
	uint64_t every;

	c->cost_ns = c->cost_ns ? (3 * c->cost_ns + cost_ns) / 4 : cost_ns;
	every = budget_ns ? (c->cost_ns + budget_ns - 1) / budget_ns : 1;
	if (every > WV_WALK_EVERY_MAX)
		every = WV_WALK_EVERY_MAX;
	c->every = every ? (uint32_t)every : 1;
	c->skip = c->every - 1;
}
