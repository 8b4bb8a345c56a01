// SPDX-License-Identifier: GPL-2.0-only
#include "user/policy/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/policy/program.h"

#define STATES_MAX 65536

#define X(id, text) text,
const char *const wv_withheld_names[WV_WITHHELD_N] = {WV_WITHHOLDINGS(X)};
#undef X

/* Times at which a rule acted, for its action budget. */
struct budget {
	uint64_t *times; /* ring of act_max; NULL: no budget */
	size_t next;
};

struct wv_engine {
	const struct wv_policy *policy;
	uint32_t max_rows, n_blocks;
	uint64_t max_gap_ns;
	struct wv_vm vm;
	struct wv_rule_states states;
	struct wv_rule_timing *timing;
	uint64_t *members, *members_last; /* [n_domains][n_blocks]: lanes of each domain */
	uint64_t *acting;		  /* [n_rules][n_blocks] */
	uint64_t *keys;			  /* [max_rows]: cgroup in each lane */
	uint64_t *cpu_ns, *cpu_delta_ns;  /* [max_rows]: own CPU time, and its change */
	uint64_t cpu_total_ns;
	struct budget *budgets;
	uint32_t *modes; /* by domain */
	struct wv_rule_transition *transitions;
	struct wv_rule_decision *decisions;
	size_t n_decisions;
	struct wv_engine_state *saved;
	size_t n_saved, room_saved;
	uint32_t used; /* lanes that were ever in use, and after */
	bool started;
};

static uint64_t *row_of(uint64_t *words, const struct wv_engine *e, uint32_t i)
{
	return words + (size_t)i * e->n_blocks;
}

static int init_parts(struct wv_engine *e)
{
	const struct wv_policy *p = e->policy;
	int r = wv_vm_init(&e->vm, p->programs, e->max_rows, e->max_gap_ns);

	if (r < 0)
		return r;
	for (size_t i = 0; i < p->n_rules; i++)
		e->timing[i] = (struct wv_rule_timing){
			.for_ns = p->rules[i].for_ns,
			.clear_for_ns = p->rules[i].clear_for_ns,
			.half_open_ns = p->rules[i].half_open_ns,
		};
	return wv_rule_states_init(&e->states, e->timing, (uint32_t)p->n_rules, e->max_rows,
				   e->max_gap_ns);
}

static int allocate(struct wv_engine *e)
{
	const struct wv_policy *p = e->policy;
	size_t domain_words = (p->n_domains + 1) * e->n_blocks;

	e->timing = calloc(p->n_rules + 1, sizeof(*e->timing));
	e->members = calloc(domain_words, sizeof(*e->members));
	e->members_last = calloc(domain_words, sizeof(*e->members_last));
	e->acting = calloc((p->n_rules + 1) * e->n_blocks, sizeof(*e->acting));
	e->keys = calloc(e->max_rows, sizeof(*e->keys));
	e->cpu_ns = calloc(e->max_rows, sizeof(*e->cpu_ns));
	e->cpu_delta_ns = calloc(e->max_rows, sizeof(*e->cpu_delta_ns));
	e->budgets = calloc(p->n_rules + 1, sizeof(*e->budgets));
	e->modes = calloc(p->n_domains + 1, sizeof(*e->modes));
	e->transitions = calloc(WV_ENGINE_DECISIONS, sizeof(*e->transitions));
	e->decisions = calloc(WV_ENGINE_DECISIONS, sizeof(*e->decisions));
	e->room_saved = p->n_rules * (size_t)e->max_rows;
	e->room_saved = e->room_saved > STATES_MAX ? STATES_MAX : e->room_saved;
	e->saved = calloc(e->room_saved + 1, sizeof(*e->saved));
	if (!e->timing || !e->members || !e->members_last || !e->acting || !e->keys || !e->cpu_ns ||
	    !e->cpu_delta_ns || !e->budgets || !e->modes || !e->transitions || !e->decisions ||
	    !e->saved)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_rules; i++) {
		if (p->rules[i].act_max > WV_ENGINE_BUDGET_MAX)
			continue;
		e->budgets[i].times = calloc(p->rules[i].act_max, sizeof(uint64_t));
		if (!e->budgets[i].times)
			return -ENOMEM;
	}
	return 0;
}

int wv_engine_new(struct wv_engine **ret, const struct wv_policy *policy, uint32_t max_rows,
		  uint64_t max_gap_ns)
{
	struct wv_engine *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	e->policy = policy;
	e->max_rows = max_rows;
	e->n_blocks = (max_rows + WV_BLOCK_LANES - 1) / WV_BLOCK_LANES;
	e->max_gap_ns = max_gap_ns;
	r = allocate(e);
	r = r ?: init_parts(e);
	if (r < 0) {
		wv_engine_free(e);
		return r;
	}
	*ret = e;
	return 0;
}

void wv_engine_free(struct wv_engine *e)
{
	if (!e)
		return;
	wv_rule_states_done(&e->states);
	wv_vm_done(&e->vm);
	for (size_t i = 0; e->budgets && i < e->policy->n_rules; i++)
		free(e->budgets[i].times);
	free(e->timing);
	free(e->members);
	free(e->members_last);
	free(e->acting);
	free(e->keys);
	free(e->cpu_ns);
	free(e->cpu_delta_ns);
	free(e->budgets);
	free(e->modes);
	free(e->transitions);
	free(e->decisions);
	free(e->saved);
	free(e);
}

/* Inputs ----------------------------------------------------------------------------------------
 */

/* The cgroup in a lane is another one, or none: its breakers are closed without a decision. */
static void forget(struct wv_engine *e, uint32_t lane)
{
	wv_rule_states_forget(&e->states, lane);
	for (uint32_t i = 0; i < e->policy->n_rules; i++)
		row_of(e->acting, e, i)[lane / 64] &= ~(1ULL << lane % 64);
}

/* Own histograms: without what dead children left. */
static const struct wv_hist *own_hists(const struct wv_sample *s, uint32_t slot,
				       struct wv_hist buf[WV_HIST_N])
{
	const struct wv_row *row = &s->rows[slot];

	if (!(row->flags & WV_ROW_BASE))
		return row->f.hist;
	for (int i = 0; i < WV_HIST_N; i++) {
		const struct wv_hist *h = &row->f.hist[i], *b = &s->base[slot].hist[i];

		for (int k = 0; k < WV_HIST_BUCKETS; k++)
			buf[i].bucket[k] = h->bucket[k] - b->bucket[k];
		buf[i].sum_ns = h->sum_ns - b->sum_ns;
	}
	return buf;
}

static void take_lane(struct wv_engine *e, const struct wv_sample *s, uint32_t slot,
		      uint32_t domain)
{
	const struct wv_row *row = &s->rows[slot];
	struct wv_hist hists[WV_HIST_N];
	uint64_t buf[WV_SIG_N];
	const uint64_t *own = wv_sample_own(s, slot, buf);
	uint64_t cpu = own[WV_SIG_CPU_USAGE];
	bool same = e->keys[slot] == row->key;

	if (!same && e->keys[slot])
		forget(e, slot);
	e->keys[slot] = row->key;
	e->cpu_delta_ns[slot] = same && cpu > e->cpu_ns[slot] ? cpu - e->cpu_ns[slot] : 0;
	e->cpu_ns[slot] = cpu;
	e->cpu_total_ns += e->cpu_delta_ns[slot];
	wv_vm_set_lane(&e->vm, slot, row->key, row->created_mono_ns, own,
		       own_hists(s, slot, hists));
	if (row->level == 0 && strcmp(row->path, "/") == 0)
		wv_vm_set_root(&e->vm, slot);
	if (domain != WV_NONE)
		row_of(e->members, e, domain)[slot / 64] |= 1ULL << slot % 64;
}

static void take_sample(struct wv_engine *e, const struct wv_sample *s, struct wv_domains *domains)
{
	uint64_t *last = e->members;

	e->members = e->members_last;
	e->members_last = last;
	memset(e->members, 0, e->policy->n_domains * e->n_blocks * sizeof(*e->members));
	e->cpu_total_ns = 0;
	if (s->used_rows > e->used)
		e->used = s->used_rows < e->max_rows ? s->used_rows : e->max_rows;
	for (uint32_t slot = 1; slot < e->used; slot++) {
		bool live = slot < s->used_rows && (s->rows[slot].flags & WV_ROW_LIVE) &&
			    !(s->rows[slot].flags & WV_ROW_GONE);

		if (live)
			take_lane(e, s, slot, wv_domains_of(domains, s, slot));
		else if (e->keys[slot]) {
			forget(e, slot);
			e->keys[slot] = 0;
		}
	}
}

/* A cgroup that belongs to another domain now is no longer of any concern to the rules of the old
 * one. */
static void forget_leavers(struct wv_engine *e)
{
	for (uint32_t d = 0; e->started && d < e->policy->n_domains; d++)
		for (uint32_t b = 0; b < e->n_blocks; b++)
			for (uint64_t left = row_of(e->members_last, e, d)[b] &
					     ~row_of(e->members, e, d)[b];
			     left; left &= left - 1)
				forget(e, b * 64 + (unsigned)__builtin_ctzll(left));
}

/* Rules look at the cgroups of their domain only. */
static void set_scopes(struct wv_engine *e)
{
	for (uint32_t i = 0; i < e->policy->n_rules; i++) {
		const struct wv_rule *rule = &e->policy->rules[i];
		const uint64_t *now = row_of(e->members, e, rule->domain_index);
		const uint64_t *last = row_of(e->members_last, e, rule->domain_index);

		for (uint32_t b = 0; b < e->n_blocks; b++) {
			if (e->started && now[b] == last[b])
				continue;
			wv_vm_set_scope(&e->vm, rule->condition_program, b, now[b]);
			if (rule->clear_program != WV_NONE)
				wv_vm_set_scope(&e->vm, rule->clear_program, b, now[b]);
		}
	}
	e->started = true;
}

/* Limits on acting ------------------------------------------------------------------------------
 */

static bool budget_is_spent(const struct wv_engine *e, uint32_t rule, uint64_t now_ns)
{
	const struct budget *b = &e->budgets[rule];
	uint64_t oldest;

	if (!b->times)
		return false;
	oldest = b->times[b->next]; /* of the last act_max times */
	return oldest && now_ns - oldest < e->policy->rules[rule].act_per_ns;
}

static void spend(struct wv_engine *e, uint32_t rule, uint64_t now_ns)
{
	struct budget *b = &e->budgets[rule];

	if (!b->times)
		return;
	b->times[b->next] = now_ns;
	b->next = (b->next + 1) % e->policy->rules[rule].act_max;
}

/* Whether the rule may act on one more cgroup. */
static enum wv_withheld may_act(const struct wv_engine *e, uint32_t rule, uint32_t lane,
				uint64_t now_ns)
{
	const struct wv_rule *r = &e->policy->rules[rule];
	const uint64_t *acting = row_of(e->acting, e, rule);
	uint64_t n = 0, cpu_ns = e->cpu_delta_ns[lane];

	for (uint32_t b = 0; b < e->n_blocks; b++)
		for (uint64_t left = acting[b]; left; left &= left - 1) {
			n++;
			cpu_ns += e->cpu_delta_ns[b * 64 + (unsigned)__builtin_ctzll(left)];
		}
	if (n >= r->blast_domains)
		return WV_WITHHELD_BLAST_DOMAINS;
	/* 128 bits: permille of nanoseconds of many CPUs over a long gap */
	if (r->blast_share_permille < 1000 &&
	    (unsigned __int128)cpu_ns * 1000 >
		    (unsigned __int128)e->cpu_total_ns * r->blast_share_permille)
		return WV_WITHHELD_BLAST_SHARE;
	return budget_is_spent(e, rule, now_ns) ? WV_WITHHELD_ACTION_BUDGET : WV_WITHHELD_NO;
}

static void set_acting(struct wv_engine *e, uint32_t rule, uint32_t lane, bool acting)
{
	uint64_t *word = &row_of(e->acting, e, rule)[lane / 64], bit = 1ULL << lane % 64;

	*word = acting ? *word | bit : *word & ~bit;
}

bool wv_engine_acting(const struct wv_engine *e, uint32_t rule, uint32_t slot)
{
	return row_of(e->acting, e, rule)[slot / 64] & 1ULL << slot % 64;
}

uint32_t wv_engine_open(const struct wv_engine *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < e->policy->n_rules; i++)
		for (uint32_t b = 0; b < e->n_blocks; b++)
			for (uint64_t left = wv_rule_states_busy(&e->states, i, b); left;
			     left &= left - 1) {
				uint32_t lane = b * 64 + (unsigned)__builtin_ctzll(left);

				n += wv_rule_states_get(&e->states, i, lane).state == WV_RULE_OPEN;
			}
	return n;
}

/* Decisions -------------------------------------------------------------------------------------
 */

static struct wv_rule_decision *decide(struct wv_engine *e, const struct wv_sample *s,
				       uint32_t rule, uint32_t lane)
{
	struct wv_rule_decision *d = &e->decisions[e->n_decisions++];

	*d = (struct wv_rule_decision){
		.rule = rule,
		.slot = lane,
		.key = e->keys[lane],
		.tick = s->seq,
		.mono_ns = s->mono_ns,
	};
	return d;
}

static void take_transition(struct wv_engine *e, const struct wv_sample *s,
			    const struct wv_rule_transition *t)
{
	struct wv_rule_decision *d;

	if (t->to == WV_RULE_PENDING || t->from == WV_RULE_PENDING ? t->to != WV_RULE_OPEN : false)
		return; /* nothing was decided yet */
	d = decide(e, s, t->rule, t->lane);
	d->from = t->from;
	d->to = t->to;
	d->since_ns = t->since_ns;
	set_acting(e, t->rule, t->lane, false);
	if (t->to != WV_RULE_OPEN)
		return;
	d->withheld = may_act(e, t->rule, t->lane, s->mono_ns);
	if (d->withheld != WV_WITHHELD_NO)
		return;
	set_acting(e, t->rule, t->lane, true);
	spend(e, t->rule, s->mono_ns);
}

/* Open breakers that were withheld may act when others closed or the budget has filled again. */
static void retry_withheld(struct wv_engine *e, const struct wv_sample *s, uint32_t rule)
{
	for (uint32_t b = 0; b < e->n_blocks; b++)
		for (uint64_t left = wv_rule_states_busy(&e->states, rule, b) &
				     ~row_of(e->acting, e, rule)[b];
		     left && e->n_decisions < WV_ENGINE_DECISIONS; left &= left - 1) {
			uint32_t lane = b * 64 + (unsigned)__builtin_ctzll(left);
			struct wv_rule_state st = wv_rule_states_get(&e->states, rule, lane);
			struct wv_rule_decision *d;

			if (st.state != WV_RULE_OPEN || st.changed_ns == s->mono_ns ||
			    may_act(e, rule, lane, s->mono_ns) != WV_WITHHELD_NO)
				continue;
			d = decide(e, s, rule, lane);
			d->from = d->to = WV_RULE_OPEN;
			d->since_ns = st.since_ns;
			set_acting(e, rule, lane, true);
			spend(e, rule, s->mono_ns);
		}
}

static void step_rule(struct wv_engine *e, const struct wv_sample *s, uint32_t i)
{
	const struct wv_rule *rule = &e->policy->rules[i];
	struct wv_rule_transitions t = {.list = e->transitions,
					.max = WV_ENGINE_DECISIONS - e->n_decisions};

	wv_rule_states_step(
		&e->states, i, wv_vm_results(&e->vm, rule->condition_program),
		rule->clear_program == WV_NONE ? NULL : wv_vm_results(&e->vm, rule->clear_program),
		e->n_blocks, s->mono_ns, &t);
	for (size_t k = 0; k < t.n; k++)
		take_transition(e, s, &t.list[k]);
	retry_withheld(e, s, i);
}

static void set_modes(struct wv_engine *e)
{
	memset(e->modes, 0, e->policy->n_domains * sizeof(*e->modes));
	for (uint32_t i = 0; i < e->policy->n_rules; i++) {
		const struct wv_rule *rule = &e->policy->rules[i];
		const uint64_t *acting = row_of(e->acting, e, i);
		bool any = false;

		for (uint32_t b = 0; b < e->n_blocks && !any; b++)
			any = acting[b];
		for (size_t k = 0; any && k < rule->actions.n; k++)
			if (rule->actions.list[k].act == WV_ACT_MODE &&
			    rule->actions.list[k].index > e->modes[rule->domain_index])
				e->modes[rule->domain_index] = rule->actions.list[k].index;
	}
}

/* What a restart takes over. */
static void save(struct wv_engine *e)
{
	e->n_saved = 0;
	for (uint32_t i = 0; i < e->policy->n_rules; i++)
		for (uint32_t b = 0; b < e->n_blocks; b++)
			for (uint64_t left = wv_rule_states_busy(&e->states, i, b);
			     left && e->n_saved < e->room_saved; left &= left - 1) {
				uint32_t lane = b * 64 + (unsigned)__builtin_ctzll(left);
				struct wv_rule_state st = wv_rule_states_get(&e->states, i, lane);

				if (st.state == WV_RULE_PENDING)
					continue;
				e->saved[e->n_saved++] = (struct wv_engine_state){
					.rule = i,
					.slot = lane,
					.key = e->keys[lane],
					.acting = wv_engine_acting(e, i, lane),
					.state = st,
				};
			}
}

/* What a condition remembers of an event that is over (cusum) must not trip the rule again. Not
 * done at once, so that decisions can be explained. */
static void reset_closed(struct wv_engine *e)
{
	for (size_t i = 0; i < e->n_decisions; i++) {
		const struct wv_rule_decision *d = &e->decisions[i];
		const struct wv_rule *rule = &e->policy->rules[d->rule];

		if (d->to != WV_RULE_CLOSED)
			continue;
		wv_vm_reset(&e->vm, rule->condition_program, d->slot);
		if (rule->clear_program != WV_NONE)
			wv_vm_reset(&e->vm, rule->clear_program, d->slot);
	}
}

size_t wv_engine_tick(struct wv_engine *e, const struct wv_sample *s, struct wv_domains *domains,
		      const struct wv_rule_decision **ret)
{
	reset_closed(e);
	e->n_decisions = 0;
	*ret = e->decisions;
	if (wv_vm_begin(&e->vm, s->mono_ns) < 0)
		return 0;
	take_sample(e, s, domains);
	forget_leavers(e);
	set_scopes(e);
	wv_vm_run(&e->vm);
	for (uint32_t i = 0; i < e->policy->n_rules; i++)
		step_rule(e, s, i);
	set_modes(e);
	if (e->n_decisions)
		save(e);
	return e->n_decisions;
}

uint32_t wv_engine_mode(const struct wv_engine *e, uint32_t domain)
{
	return domain < e->policy->n_domains ? e->modes[domain] : 0;
}

unsigned wv_engine_explain(const struct wv_engine *e, const struct wv_rule_decision *d,
			   struct wv_term *ret, unsigned max)
{
	const struct wv_rule *rule = &e->policy->rules[d->rule];
	uint32_t program = d->to != WV_RULE_OPEN && rule->clear_program != WV_NONE
				   ? rule->clear_program
				   : rule->condition_program;

	return wv_vm_explain(&e->vm, program, d->slot, ret, max);
}

/* Restarts --------------------------------------------------------------------------------------
 */

const struct wv_engine_state *wv_engine_states(const struct wv_engine *e, size_t *ret_n)
{
	*ret_n = e->n_saved;
	return e->saved;
}

int wv_engine_put(struct wv_engine *e, const struct wv_engine_state *state)
{
	int r;

	if (state->slot >= e->max_rows || state->slot == WV_SLOT_OTHER)
		return -EINVAL;
	r = wv_rule_states_put(&e->states, state->rule, state->slot, &state->state);
	if (r < 0)
		return r;
	e->keys[state->slot] = state->key;
	if (state->slot >= e->used)
		e->used = state->slot + 1;
	set_acting(e, state->rule, state->slot,
		   state->acting && state->state.state == WV_RULE_OPEN);
	if (e->n_saved < e->room_saved)
		e->saved[e->n_saved++] = *state;
	set_modes(e);
	return 0;
}

size_t wv_engine_acted(const struct wv_engine *e, uint32_t rule, uint64_t *ret, size_t max)
{
	const struct budget *b = &e->budgets[rule];
	uint64_t size = e->policy->rules[rule].act_max;
	size_t n = 0;

	for (uint64_t i = 0; b->times && i < size; i++) {
		uint64_t t = b->times[(b->next + i) % size];

		if (t && n < max)
			ret[n++] = t;
	}
	return n;
}

void wv_engine_put_acted(struct wv_engine *e, uint32_t rule, uint64_t mono_ns)
{
	if (rule < e->policy->n_rules)
		spend(e, rule, mono_ns);
}
