// SPDX-License-Identifier: GPL-2.0-only
/*
 * The breakers. Which state follows is rule_machine.def alone; here are the timers, the back-off
 * and the loop over those lanes of a word that are not both closed and quiet.
 */
#include "user/policy/rule_state.h"

#include <errno.h>
#include <sys/mman.h>

const struct wv_rule_transition_row wv_rule_machine[WV_RULE_STATE_N][WV_EVENT_N] = {
#define WV_MACHINE(state, event, next, timer)                                                      \
	[WV_RULE_##state][WV_EVENT_##event] = {WV_RULE_##next, WV_TIMER_##timer},
#include "user/policy/rule_machine.def"
};

const char *const wv_rule_state_names[WV_RULE_STATE_N] = {
#define X(id, text) [WV_RULE_##id] = text,
	WV_RULE_STATES(X)
#undef X
};

int wv_rule_states_init(struct wv_rule_states *s, const struct wv_rule_timing *timing,
			uint32_t n_rules, uint32_t max_lanes, uint64_t max_gap_ns)
{
	size_t words, states;

	*s = (struct wv_rule_states){0};
	if (n_rules > WV_RULES_MAX || max_lanes > WV_LANES_MAX)
		return -EINVAL;
	s->n_blocks = (max_lanes + 63) / 64;
	states = (size_t)n_rules * s->n_blocks * 64 * sizeof(*s->states);
	words = ((size_t)n_rules * s->n_blocks + n_rules) * sizeof(uint64_t);
	s->bytes = states + words + sizeof(uint64_t);
	/* zeroed, and only what is used takes memory: breakers that open are few */
	s->memory = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->memory == MAP_FAILED) {
		*s = (struct wv_rule_states){0};
		return -ENOMEM;
	}
	s->states = s->memory;
	s->busy = (uint64_t *)((char *)s->memory + states);
	s->last_ns = s->busy + (size_t)n_rules * s->n_blocks;
	s->n_rules = n_rules;
	s->n_lanes = s->n_blocks * 64;
	s->max_gap_ns = max_gap_ns;
	s->timing = timing;
	return 0;
}

void wv_rule_states_done(struct wv_rule_states *s)
{
	if (s->memory)
		munmap(s->memory, s->bytes);
	*s = (struct wv_rule_states){0};
}

static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* half_open times the back-off. */
static uint64_t trial(const struct wv_rule_timing *t, const struct wv_rule_state *st)
{
	uint64_t ns;

	return __builtin_mul_overflow(t->half_open_ns, st->backoff ? st->backoff : 1, &ns)
		       ? UINT64_MAX
		       : ns;
}

static bool elapsed(const struct wv_rule_timing *t, const struct wv_rule_state *st, uint64_t now_ns)
{
	uint64_t end, backed_off;

	if (!st->running)
		return false;
	switch (st->state) {
	case WV_RULE_PENDING:
		return now_ns >= add(st->timer_ns, t->for_ns);
	case WV_RULE_OPEN:
		end = add(st->timer_ns, t->clear_for_ns);
		backed_off = st->backoff > 1 ? add(st->changed_ns, trial(t, st)) : 0;
		return now_ns >= end && now_ns >= backed_off;
	case WV_RULE_HALF_OPEN:
		return now_ns >= add(st->timer_ns, trial(t, st));
	default:
		return true;
	}
}

/* The back-off goes with the trips: again during a trial doubles it, after long enough without one
 * it is 1. */
static void back_off(const struct wv_rule_timing *t, struct wv_rule_state *st, uint8_t next,
		     uint64_t now_ns)
{
	if (st->state == WV_RULE_HALF_OPEN && next == WV_RULE_OPEN)
		st->backoff = !st->backoff			      ? 2
			      : st->backoff * 2 > WV_RULE_BACKOFF_MAX ? WV_RULE_BACKOFF_MAX
								      : st->backoff * 2;
	else if (st->state == WV_RULE_CLOSED && st->backoff > 1 &&
		 now_ns >= add(st->changed_ns, trial(t, st)))
		st->backoff = 1;
}

static void take(const struct wv_rule_timing *t, struct wv_rule_state *st, enum wv_rule_event event,
		 uint64_t now_ns)
{
	const struct wv_rule_transition_row *row = &wv_rule_machine[st->state][event];

	if (row->next != st->state) {
		back_off(t, st, row->next, now_ns);
		/* when the condition that trips began to hold */
		if (st->state == WV_RULE_CLOSED ||
		    (st->state == WV_RULE_HALF_OPEN && row->next == WV_RULE_OPEN))
			st->since_ns = now_ns;
		st->changed_ns = now_ns;
		st->state = row->next;
	}
	switch (row->timer) {
	case WV_TIMER_START:
		if (!st->running)
			st->timer_ns = now_ns;
		st->running = true;
		break;
	case WV_TIMER_RESTART:
		st->timer_ns = now_ns;
		st->running = true;
		break;
	case WV_TIMER_STOP:
		st->running = false;
		break;
	default:
		break;
	}
}

static enum wv_rule_event event_of(struct wv_truth t, uint64_t bit, enum wv_rule_event yes)
{
	if (!(t.known_mask & bit))
		return yes + 2;
	return t.true_mask & bit ? yes : yes + 1;
}

/* One lane, all events of one tick. */
static void step_lane(const struct wv_rule_timing *t, struct wv_rule_state *st,
		      enum wv_rule_event clear, enum wv_rule_event condition, bool gap,
		      uint64_t now_ns)
{
	if (gap) {
		take(t, st, WV_EVENT_CLEAR_UNKNOWN, now_ns);
		take(t, st, WV_EVENT_UNKNOWN, now_ns);
	}
	take(t, st, clear, now_ns);
	take(t, st, condition, now_ns);
	/* at most twice: a trial may be of no length */
	for (unsigned i = 0; i < WV_RULE_STATE_N && elapsed(t, st, now_ns); i++)
		take(t, st, WV_EVENT_ELAPSED, now_ns);
}

static void step_word(struct wv_rule_states *s, uint32_t rule, uint32_t block,
		      struct wv_truth condition, struct wv_truth clear, bool gap, uint64_t now_ns,
		      struct wv_rule_transitions *ret)
{
	uint64_t *busy = &s->busy[(size_t)rule * s->n_blocks + block];

	for (uint64_t left = *busy | (condition.true_mask & condition.known_mask); left;
	     left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		uint32_t lane = block * 64 + i;
		struct wv_rule_state *st = &s->states[(size_t)rule * s->n_lanes + lane],
				     after = *st;

		step_lane(&s->timing[rule], &after, event_of(clear, 1ULL << i, WV_EVENT_CLEAR_TRUE),
			  event_of(condition, 1ULL << i, WV_EVENT_TRUE), gap, now_ns);
		if (after.state != st->state) {
			if (ret->n >= ret->max) {
				ret->overflow++;
				continue;
			}
			ret->list[ret->n++] = (struct wv_rule_transition){
				.rule = rule,
				.lane = lane,
				.from = st->state,
				.to = after.state,
				.since_ns = after.since_ns,
			};
		}
		*st = after;
		if (after.state == WV_RULE_CLOSED)
			*busy &= ~(1ULL << i);
		else
			*busy |= 1ULL << i;
	}
}

void wv_rule_states_step(struct wv_rule_states *s, uint32_t rule, const struct wv_truth *condition,
			 const struct wv_truth *clear, uint32_t n, uint64_t now_ns,
			 struct wv_rule_transitions *ret)
{
	bool gap;

	if (rule >= s->n_rules)
		return;
	gap = s->last_ns[rule] && now_ns - s->last_ns[rule] > s->max_gap_ns;
	s->last_ns[rule] = now_ns;
	for (uint32_t block = 0; block < n && block < s->n_blocks; block++) {
		uint64_t busy = s->busy[(size_t)rule * s->n_blocks + block];
		struct wv_truth c = condition[block];

		if (busy | (c.true_mask & c.known_mask))
			step_word(s, rule, block, c,
				  clear ? clear[block]
					: (struct wv_truth){c.known_mask & ~c.true_mask,
							    c.known_mask},
				  gap, now_ns, ret);
	}
}

struct wv_rule_state wv_rule_states_get(const struct wv_rule_states *s, uint32_t rule,
					uint32_t lane)
{
	if (rule >= s->n_rules || lane >= s->n_lanes)
		return (struct wv_rule_state){0};
	return s->states[(size_t)rule * s->n_lanes + lane];
}

int wv_rule_states_put(struct wv_rule_states *s, uint32_t rule, uint32_t lane,
		       const struct wv_rule_state *state)
{
	uint64_t *busy;

	if (rule >= s->n_rules || lane >= s->n_lanes || state->state >= WV_RULE_STATE_N ||
	    state->backoff > WV_RULE_BACKOFF_MAX || state->running > 1)
		return -EINVAL;
	s->states[(size_t)rule * s->n_lanes + lane] = *state;
	busy = &s->busy[(size_t)rule * s->n_blocks + lane / 64];
	if (state->state == WV_RULE_CLOSED)
		*busy &= ~(1ULL << lane % 64);
	else
		*busy |= 1ULL << lane % 64;
	return 0;
}

void wv_rule_states_forget(struct wv_rule_states *s, uint32_t lane)
{
	if (lane >= s->n_lanes)
		return;
	for (uint32_t rule = 0; rule < s->n_rules; rule++) {
		struct wv_rule_state *st = &s->states[(size_t)rule * s->n_lanes + lane];

		/* reading a page that was never written costs no memory */
		if (st->state || st->changed_ns)
			*st = (struct wv_rule_state){0};
		s->busy[(size_t)rule * s->n_blocks + lane / 64] &= ~(1ULL << lane % 64);
	}
}
