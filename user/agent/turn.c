// SPDX-License-Identifier: GPL-2.0-only
#include "user/agent/turn.h"

#include "user/core/cgroup_index.h"

static uint64_t now(const struct wv_turn_clock *t)
{
	return t->io->mono_ns(t->io->ctx);
}

/* Since *from, which becomes now. */
static uint64_t lap(const struct wv_turn_clock *t, uint64_t *from)
{
	uint64_t n = now(t), passed = n - *from;

	*from = n;
	return passed;
}

static uint64_t all_events(const struct wv_self *self)
{
	uint64_t n = 0;

	for (int i = 0; i < WV_EV_N; i++)
		n += self->events_consumed[i];
	return n;
}

static void count(struct wv_turn_clock *t, const struct wv_self *self)
{
	t->decisions = self->decisions;
	t->actions = self->actions;
	t->action_failures = self->action_failures;
	t->events = all_events(self);
	t->records = self->records_written;
}

void wv_turn_clock_init(struct wv_turn_clock *t, const struct wv_io *io, struct wv_turns *turns,
			const struct wv_self *self)
{
	*t = (struct wv_turn_clock){.io = io, .turns = turns};
	count(t, self);
}

void wv_turn_begins(struct wv_turn_clock *t, const struct wv_sample *sample, uint64_t set_for_ns)
{
	uint64_t start = sample->mono_ns;

	if (!t->turns)
		return;
	t->turn = (struct wv_turn){
		.start_mono_ns = start,
		.start_wall_ns = sample->wall_ns,
		.late_ns = set_for_ns && start > set_for_ns ? start - set_for_ns : 0,
	};
	t->stage_ns = start;
}

void wv_turn_stage(struct wv_turn_clock *t, enum wv_turn_stage stage)
{
	if (!t->turns)
		return;
	t->turn.stage_ns[stage] = lap(t, &t->stage_ns);
	t->module_ns = t->stage_ns;
}

static void module_done(struct wv_turn_clock *t, uint32_t *list, size_t i)
{
	uint64_t passed;

	if (!t->turns || i >= WV_TURN_MODULES)
		return;
	passed = lap(t, &t->module_ns);
	list[i] = passed < UINT32_MAX ? (uint32_t)passed : UINT32_MAX;
}

void wv_turn_sensed(struct wv_turn_clock *t, size_t i)
{
	module_done(t, t->turn.sense_ns, i);
}

void wv_turn_decided(struct wv_turn_clock *t, size_t i)
{
	module_done(t, t->turn.decide_ns, i);
}

void wv_turn_sync_begins(struct wv_turn_clock *t)
{
	if (t->turns)
		t->sync_ns = now(t);
}

void wv_turn_sync_ends(struct wv_turn_clock *t)
{
	if (t->turns)
		t->turn.sync_ns += now(t) - t->sync_ns;
}

void wv_turn_ends(struct wv_turn_clock *t, const struct wv_self *self, const struct wv_agent *agent)
{
	struct wv_turn *n = &t->turn;

	if (!t->turns)
		return;
	n->decisions = (uint32_t)(self->decisions - t->decisions);
	n->actions = (uint32_t)(self->actions - t->actions);
	n->action_failures = (uint32_t)(self->action_failures - t->action_failures);
	n->events = all_events(self) - t->events;
	/* a core that starts counts its records anew */
	n->records = self->records_written - (self->records_written < t->records ? 0 : t->records);
	n->tick = agent->sample.seq;
	n->cgroups = agent->cgroups ? agent->cgroups->live : 0;
	wv_turns_write(t->turns, n);
	count(t, self);
}
