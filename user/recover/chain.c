// SPDX-License-Identifier: GPL-2.0-only
#include "user/recover/chain.h"

#include <errno.h>
#include <string.h>

#include "user/policy/policy.h"

const char *const wv_chain_state_names[] = {
#define X(id, text, doc) [WV_CHAIN_##id] = text,
	WV_CHAIN_STATES(X)
#undef X
};

const char *const wv_chain_event_names[] = {
#define X(id, text) [WV_CHAIN_EV_##id] = text,
	WV_CHAIN_EVENTS(X)
#undef X
};

const char *const wv_chain_skip_texts[] = {
	[WV_SKIP_NONE] = "",
	[WV_SKIP_FEATURE] = "its feature is off in the policy",
	[WV_SKIP_BUDGET] = "the domain's restart budget is used up",
	[WV_SKIP_NESTED] = "a chain does not start another chain",
};

struct row {
	bool possible;
	enum wv_chain_state next;
	enum wv_chain_action action;
};

static const struct row rows[WV_CHAIN_STATE_N][WV_CHAIN_EV_N] = {
#define X(state, event, next, action)                                                              \
	[WV_CHAIN_##state][WV_CHAIN_EV_##event] = {true, WV_CHAIN_##next, WV_CHAIN_DO_##action},
	WV_CHAIN_ROWS(X)
#undef X
};

uint64_t wv_restarts_left(const struct wv_restarts *r, uint64_t max, uint64_t window_ns,
			  uint64_t now_ns)
{
	uint64_t used = 0;

	if (!window_ns)
		return UINT64_MAX;
	if (max > WV_RESTARTS_MAX)
		max = WV_RESTARTS_MAX;
	for (uint32_t i = 0; i < r->n; i++)
		/* a time ahead of now is of a clock that was set anew: it counts */
		used += r->times_ns[i] > now_ns || now_ns - r->times_ns[i] < window_ns;
	return used < max ? max - used : 0;
}

void wv_restarts_note(struct wv_restarts *r, uint64_t now_ns)
{
	r->times_ns[r->next] = now_ns;
	r->next = (r->next + 1) % WV_RESTARTS_MAX;
	if (r->n < WV_RESTARTS_MAX)
		r->n++;
}

uint64_t wv_chain_backoff(const struct wv_chain *chain, uint32_t taken, uint64_t random)
{
	uint64_t max = chain->backoff_max_ns, pause = chain->backoff_ns, jitter;

	if (max < pause)
		max = pause;
	if (!taken)
		return 0;
	for (uint32_t i = 1; i < taken && pause < max; i++)
		pause = pause > max / 2 ? max : pause * 2;
	jitter = (uint64_t)((unsigned __int128)pause * chain->jitter_permille / 1000);
	return pause + (jitter ? random % (jitter + 1) : 0);
}

static enum wv_chain_skip skip_reason(const struct wv_step *step, const struct wv_chain_env *env)
{
	enum wv_feature feature = wv_act_feature(step->act);

	if (step->act == WV_ACT_RECOVER)
		return WV_SKIP_NESTED;
	if (feature != WV_FEATURE_N && !env->features[feature])
		return WV_SKIP_FEATURE;
	if (step->act == WV_ACT_RESTART && env->budget &&
	    !wv_restarts_left(env->budget, env->max_restarts, env->restart_window_ns, env->now_ns))
		return WV_SKIP_BUDGET;
	return WV_SKIP_NONE;
}

/* The next step that may be taken, from run->next on; what is passed over is noted. */
static enum wv_chain_event choose(struct wv_chain_run *run, const struct wv_chain_env *env,
				  struct wv_chain_out *out)
{
	size_t n = env->chain->steps.n;

	if (n > WV_CHAIN_STEPS_MAX)
		n = WV_CHAIN_STEPS_MAX;
	while (run->next < n) {
		uint32_t i = run->next++;

		out->skipped[i] = skip_reason(&env->chain->steps.list[i], env);
		if (out->skipped[i] != WV_SKIP_NONE)
			continue;
		run->step = i;
		return WV_CHAIN_EV_STEP;
	}
	return WV_CHAIN_EV_LAST;
}

static uint64_t wait_ns(const struct wv_chain_run *run, const struct wv_chain_env *env)
{
	const struct wv_step *step =
		run->step < env->chain->steps.n ? &env->chain->steps.list[run->step] : NULL;

	return step && step->has_wait ? step->wait_ns : WV_CHAIN_WAIT_NS;
}

/* Does a row's action. Returns the internal event that it raises, or WV_CHAIN_EV_N. */
static enum wv_chain_event perform(enum wv_chain_action action, struct wv_chain_run *run,
				   const struct wv_chain_env *env, struct wv_chain_out *out)
{
	switch (action) {
	case WV_CHAIN_DO_BEGIN:
		*run = (struct wv_chain_run){.state = run->state,
					     .due_ns = env->now_ns + WV_CHAIN_HELD_NS};
		break;
	case WV_CHAIN_DO_ESCALATE:
		run->loops++;
		return choose(run, env, out);
	case WV_CHAIN_DO_CHOOSE:
		return choose(run, env, out);
	case WV_CHAIN_DO_PAUSE:
		out->pause_ns = wv_chain_backoff(env->chain, run->taken, env->random);
		run->due_ns = env->now_ns + out->pause_ns;
		break;
	case WV_CHAIN_DO_ACT:
		run->taken++;
		run->due_ns = 0; /* whoever acts has a deadline of its own */
		break;
	case WV_CHAIN_DO_WATCH:
		run->due_ns = env->now_ns + wait_ns(run, env);
		break;
	case WV_CHAIN_DO_COOL:
	case WV_CHAIN_DO_GIVE_UP:
		run->due_ns = env->now_ns + env->chain->cool_down_ns;
		break;
	case WV_CHAIN_DO_END:
		*run = (struct wv_chain_run){.state = run->state};
		break;
	default:
		break;
	}
	return WV_CHAIN_EV_N;
}

bool wv_chain_possible(enum wv_chain_state state, enum wv_chain_event event)
{
	return state < WV_CHAIN_STATE_N && event < WV_CHAIN_EV_N && rows[state][event].possible;
}

int wv_chain_step(struct wv_chain_run *run, enum wv_chain_event event,
		  const struct wv_chain_env *env, struct wv_chain_out *out)
{
	*out = (struct wv_chain_out){.from = run->state};
	if (!wv_chain_possible(run->state, event))
		return -EINVAL;
	while (event < WV_CHAIN_EV_N) {
		const struct row *row = &rows[run->state][event];

		run->state = row->next;
		out->action = row->action;
		event = perform(row->action, run, env, out);
	}
	out->step = run->step;
	return 0;
}
