// SPDX-License-Identifier: GPL-2.0-only
/*
 * The queue of GPU jobs: rules one by one, and simulations of random mixes on every fixture. In a
 * simulation with crashes the state is folded anew from the journal after every single record, and
 * decided again. With WV_SIM_TABLE=1 it prints how the orders compare (docs/gpu-jobs.md).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "gpu/jobs/sched.h"
#include "tests/unit/topo_fixture.h"

#define SEC 1000000000ULL
#define JOBS 200
#define EVENTS 8192

static const struct wv_jobs_rules rules = {.starve_ns = 40000 * SEC,
					   .grace_ns = 30 * SEC,
					   .min_run_ns = 60 * SEC,
					   .preempt_wait_ns = 60 * SEC,
					   .preemptions = 3,
					   .reservations = 1};

/* A simulation -----------------------------------------------------------------------------------
 */

struct plan {
	uint64_t at, ns; /* it is submitted; it takes on the GPUs, checkpoints included */
	struct wv_job_spec spec;
	uint64_t left, end, ended; /* end: of this start, or of its preemption; 0: none */
};

struct sim {
	const struct wv_topo *t;
	struct wv_jobs_rules rules;
	struct wv_jobs jobs, again;
	struct plan plan[JOBS];
	struct wv_job_event journal[EVENTS];
	unsigned n_events, submitted, ended, preempted;
	bool crashes;
	uint64_t now, busy; /* GPU-ns */
};

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void check(const struct sim *s)
{
	uint64_t used = 0;

	for (unsigned i = 0; i < WV_JOBS_MAX; i++) {
		const struct wv_job *j = &s->jobs.job[i];

		assert_int_equal(used & j->gpus, 0);
		used |= j->gpus;
		if (j->gpus)
			assert_int_equal(__builtin_popcountll(j->gpus), j->spec.gpus);
	}
	assert_int_equal(used >> (s->t->n - 1) >> 1, 0);
}

/* A record: then, maybe, a crash, after which only the journal is left. */
static void record(struct sim *s, const struct wv_job_event *e)
{
	assert_true(s->n_events < EVENTS);
	s->journal[s->n_events++] = *e;
	assert_int_equal(wv_jobs_fold(&s->jobs, e), 0);
	if (s->crashes) {
		wv_jobs_init(&s->again, 3600 * SEC);
		for (unsigned i = 0; i < s->n_events; i++)
			assert_int_equal(wv_jobs_fold(&s->again, &s->journal[i]), 0);
		assert_memory_equal(&s->again, &s->jobs, sizeof(s->jobs));
	}
	check(s);
}

static struct wv_job_event event(const struct sim *s, uint32_t type, uint64_t id)
{
	struct wv_job_event e;

	memset(&e, 0, sizeof(e));
	e.type = type;
	e.id = id;
	e.clock_ns = s->now;
	return e;
}

static void enact(struct sim *s, const struct wv_job_event *e)
{
	struct plan *p = &s->plan[e->id - 1];

	if (e->type == WV_JOB_EV_STARTED) {
		p->end = s->now + p->left;
	} else {
		p->left = p->end - s->now + p->spec.restart_ns;
		p->end = s->now + 20 * SEC;
		s->preempted++;
	}
}

static void decide(struct sim *s)
{
	struct wv_job_event list[16];
	unsigned n;

	while ((n = wv_jobs_decide(&s->jobs, s->t, UINT64_MAX, &s->rules, s->now, list,
				   s->crashes ? 1 + s->n_events % 3 : 16)))
		for (unsigned i = 0; i < (s->crashes ? 1 : n); i++) {
			record(s, &list[i]);
			enact(s, &list[i]);
		}
}

static void finish(struct sim *s, unsigned i)
{
	const struct wv_job *j = wv_jobs_find(&s->jobs, i + 1);
	struct wv_job_event e = event(s, WV_JOB_EV_ENDED, i + 1);

	assert_non_null(j);
	if (j->state == WV_JOB_PREEMPTING) {
		e.type = WV_JOB_EV_PREEMPTED;
		e.flag = 1;
	} else {
		s->plan[i].ended = s->now;
		s->ended++;
		s->busy += s->plan[i].ns * s->plan[i].spec.gpus;
	}
	s->plan[i].end = 0;
	record(s, &e);
}

/* The next thing that happens by itself. */
static void step(struct sim *s)
{
	uint64_t next = s->submitted < JOBS ? s->plan[s->submitted].at : UINT64_MAX;
	unsigned who = JOBS;

	for (unsigned i = 0; i < JOBS; i++)
		if (s->plan[i].end && s->plan[i].end <= next) {
			next = s->plan[i].end;
			who = i;
		}
	assert_true(next < UINT64_MAX); /* else a job is lost */
	s->now = next;
	if (who < JOBS) {
		finish(s, who);
	} else {
		struct wv_job_event e = event(s, WV_JOB_EV_SUBMITTED, s->submitted + 1);

		e.spec = s->plan[s->submitted++].spec;
		record(s, &e);
	}
	decide(s);
}

static struct sim *simulate(const struct wv_topo *t, const struct wv_jobs_rules *with,
			    uint64_t seed, bool crashes)
{
	struct sim *s = calloc(1, sizeof(*s));
	uint64_t at = 0;

	assert_non_null(s);
	s->t = t;
	s->rules = *with;
	s->crashes = crashes;
	wv_jobs_init(&s->jobs, 3600 * SEC);
	for (unsigned i = 0; i < JOBS; i++) {
		struct plan *p = &s->plan[i];

		at += next_random(&seed) % (1600 / t->n) * SEC;
		p->at = at;
		p->ns = p->left = (60 + next_random(&seed) % 3600) * SEC;
		p->spec.gpus = 1U << next_random(&seed) % 4;
		if (p->spec.gpus > t->n)
			p->spec.gpus = t->n;
		p->spec.user = (uint32_t)(next_random(&seed) % 5);
		p->spec.priority = next_random(&seed) % 10 == 0;
		p->spec.preemptible = next_random(&seed) % 4 != 0;
		if (!with->reservations) /* FIFO: nobody is anything special */
			p->spec.user = (uint32_t)(p->spec.priority = 0);
		p->spec.restart_ns = 20 * SEC;
		/* people say up to twice as much, a tenth of them nothing, a tenth too little */
		p->spec.estimate_ns = p->ns + next_random(&seed) % p->ns;
		if (next_random(&seed) % 10 == 0)
			p->spec.estimate_ns = next_random(&seed) % 2 ? 0 : p->ns / 2;
	}
	while (s->ended < JOBS)
		step(s);
	return s;
}

static const char *const names[] = {"hgx-h100",	     "pcie-4", "dgx1-v100",
				    "workstation-2", "single", "mig-a100"};

static void simulation_crash_after_every_record_loses_nothing(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct wv_topo *t = topo_fixture(names[i]);

		for (uint64_t seed = 1; seed <= 3; seed++) {
			struct sim *s = simulate(t, &rules, seed * 7919, true);

			assert_int_equal(s->ended, JOBS);
			assert_int_equal(wv_jobs_used(&s->jobs), 0);
			free(s);
		}
		free(t);
	}
}

static double mean_hours(const struct sim *s)
{
	double sum = 0;

	for (unsigned i = 0; i < JOBS; i++)
		sum += (double)(s->plan[i].ended - s->plan[i].at) / (3600.0 * SEC);
	return sum / JOBS;
}

static void simulation_backfill_is_better_than_strict_order(void **state)
{
	static const struct {
		const char *name;
		unsigned reservations, preemptions;
	} orders[] = {{"FIFO", 0, 0},
		      {"EASY", 1, 0},
		      {"conservative", 32, 0},
		      {"EASY, preemption", 1, 3}};

	(void)state;
	for (unsigned f = 0; f < 3; f++) {
		struct wv_topo *t = topo_fixture(names[f]);
		double hours[4] = {0}, use[4] = {0};

		for (unsigned o = 0; o < 4; o++) {
			struct wv_jobs_rules with = rules;

			with.reservations = orders[o].reservations;
			with.preemptions = orders[o].preemptions;
			for (uint64_t seed = 1; seed <= 10; seed++) {
				struct sim *s = simulate(t, &with, seed * 104729, false);

				hours[o] += mean_hours(s) / 10;
				use[o] += (double)s->busy / (double)s->now / t->n / 10;
				free(s);
			}
			if (getenv("WV_SIM_TABLE"))
				printf("| %s | %s | %.2f | %.1f %% |\n", names[f], orders[o].name,
				       hours[o], 100 * use[o]);
		}
		assert_true(hours[1] < hours[0] && use[1] > use[0]);
		assert_true(hours[2] < hours[0]);
		free(t);
	}
}

/* Rules one by one -------------------------------------------------------------------------------
 */

static struct sim *queue(const char *name)
{
	struct sim *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->t = topo_fixture(name);
	s->rules = rules;
	wv_jobs_init(&s->jobs, 3600 * SEC);
	return s;
}

static void queue_free(struct sim *s)
{
	free((void *)s->t);
	free(s);
}

static uint64_t submit(struct sim *s, unsigned gpus, uint64_t seconds, int priority, uint32_t user)
{
	struct wv_job_event e = event(s, WV_JOB_EV_SUBMITTED, s->jobs.next_id);

	e.spec.gpus = gpus;
	e.spec.estimate_ns = seconds * SEC;
	e.spec.priority = priority;
	e.spec.user = user;
	e.spec.preemptible = 1;
	record(s, &e);
	decide(s);
	return e.id;
}

static enum wv_job_state state_of(const struct sim *s, uint64_t id)
{
	const struct wv_job *j = wv_jobs_find(&s->jobs, id);

	return j ? (enum wv_job_state)j->state : WV_JOB_NONE;
}

static void decide_gang_waits_and_only_short_jobs_pass_it(void **state)
{
	struct sim *s = queue("pcie-4");
	uint64_t a = submit(s, 2, 1000, 0, 1), gang = submit(s, 4, 1000, 0, 1);
	uint64_t lengthy = submit(s, 1, 2000, 0, 1), brief = submit(s, 1, 500, 0, 1);

	(void)state;
	assert_int_equal(state_of(s, a), WV_JOB_RUNNING);
	assert_int_equal(state_of(s, gang), WV_JOB_QUEUED);
	assert_int_equal(state_of(s, lengthy), WV_JOB_QUEUED);
	assert_int_equal(state_of(s, brief), WV_JOB_RUNNING);
	queue_free(s);
}

static void decide_higher_priority_preempts_the_cheapest(void **state)
{
	struct sim *s = queue("pcie-4");
	uint64_t old = submit(s, 2, 9000, 0, 1), fresh, urgent;

	(void)state;
	s->now = 5000 * SEC;
	fresh = submit(s, 2, 9000, 0, 1);
	s->now = 5100 * SEC;
	urgent = submit(s, 2, 100, 5, 2);
	assert_int_equal(state_of(s, old), WV_JOB_RUNNING);
	assert_int_equal(state_of(s, fresh), WV_JOB_PREEMPTING);
	s->now = 5120 * SEC;
	finish(s, (unsigned)fresh - 1);
	decide(s);
	assert_int_equal(state_of(s, urgent), WV_JOB_RUNNING);
	assert_int_equal(wv_jobs_find(&s->jobs, fresh)->done_ns, 120 * SEC);
	queue_free(s);
}

static void decide_user_with_less_usage_goes_first(void **state)
{
	struct sim *s = queue("single");
	uint64_t a = submit(s, 1, 100, 0, 1), b = submit(s, 1, 100, 0, 1);
	uint64_t c = submit(s, 1, 100, 0, 2);

	(void)state;
	s->now = 100 * SEC;
	finish(s, (unsigned)a - 1);
	decide(s);
	assert_int_equal(state_of(s, b), WV_JOB_QUEUED);
	assert_int_equal(state_of(s, c), WV_JOB_RUNNING);
	queue_free(s);
}

static void decide_starved_job_goes_before_higher_priority(void **state)
{
	struct sim *s = queue("single");
	uint64_t a = submit(s, 1, 100, 9, 1), low = submit(s, 1, 100, 0, 1), high;

	(void)state;
	s->now = 50000 * SEC;
	high = submit(s, 1, 100, 9, 1);
	finish(s, (unsigned)a - 1);
	decide(s);
	assert_int_equal(state_of(s, low), WV_JOB_RUNNING);
	assert_int_equal(state_of(s, high), WV_JOB_QUEUED);
	queue_free(s);
}

static void decide_quota_holds_one_user_and_nobody_else(void **state)
{
	struct sim *s = queue("pcie-4");
	uint64_t a, b, c;

	(void)state;
	s->rules.user_gpus = 2;
	a = submit(s, 2, 100, 0, 1);
	b = submit(s, 1, 100, 0, 1);
	c = submit(s, 2, 100, 0, 2);
	assert_int_equal(state_of(s, a), WV_JOB_RUNNING);
	assert_int_equal(state_of(s, b), WV_JOB_QUEUED);
	assert_int_equal(state_of(s, c), WV_JOB_RUNNING);
	queue_free(s);
}

static void fold_event_that_does_not_fit_changes_nothing(void **state)
{
	struct sim *s = queue("pcie-4");
	uint64_t a = submit(s, 2, 100, 0, 1), b = submit(s, 4, 100, 0, 1);
	struct wv_jobs *before = malloc(sizeof(*before));

	(void)state;
	*before = s->jobs;
	for (uint32_t type = 0; type <= WV_JOB_EVENT_N; type++)
		for (uint64_t id = 0; id < 5; id++) {
			struct wv_job_event e = event(s, type, id);

			e.gpus = 15; /* some of them are a's */
			s->now++;
			if (wv_jobs_fold(&s->jobs, &e) < 0)
				assert_memory_equal(before, &s->jobs, sizeof(*before));
			s->jobs = *before;
		}
	assert_int_equal(state_of(s, a), WV_JOB_RUNNING);
	assert_int_equal(state_of(s, b), WV_JOB_QUEUED);
	/* GPUs of another job; fewer than asked for; none that there are */
	for (uint64_t gpus = 0; gpus < 16; gpus++) {
		struct wv_job_event e = event(s, WV_JOB_EV_STARTED, b);

		e.gpus = gpus;
		assert_int_equal(wv_jobs_fold(&s->jobs, &e), -EPROTO);
	}
	free(before);
	queue_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decide_gang_waits_and_only_short_jobs_pass_it),
		cmocka_unit_test(decide_higher_priority_preempts_the_cheapest),
		cmocka_unit_test(decide_user_with_less_usage_goes_first),
		cmocka_unit_test(decide_starved_job_goes_before_higher_priority),
		cmocka_unit_test(decide_quota_holds_one_user_and_nobody_else),
		cmocka_unit_test(fold_event_that_does_not_fit_changes_nothing),
		cmocka_unit_test(simulation_crash_after_every_record_loses_nothing),
		cmocka_unit_test(simulation_backfill_is_better_than_strict_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
