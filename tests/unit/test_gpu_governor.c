// SPDX-License-Identifier: GPL-2.0-only
/* The governor on made-up step times: with noise, drift and outliers it finds what profiling costs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "gpu/governor.h"
#include "user/core/cleanup.h"

#define SECOND 1000000000ULL
#define STEP 100000000ULL

static uint64_t random_state;

static double uniform(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (double)(random_state >> 11) / 9007199254740992.0;
}

/* Irwin-Hall: mean 0, deviation 1 */
static double normal(void)
{
	double sum = -6;

	for (unsigned i = 0; i < 12; i++)
		sum += uniform();
	return sum;
}

struct series {
	struct wv_governor g;
	uint64_t now, steps;
	int level;
	double cost[4], noise, drift; /* by level; of a step; a step */
	unsigned verdicts, offs;
};

static void start(struct series *s, int level)
{
	s->now = 5000 * SECOND;
	s->level = level;
	wv_governor_init(&s->g, level, s->now);
}

/* Runs to the next verdict. False: none came in so many steps. */
static bool verdict(struct series *s, unsigned most)
{
	bool told = false;

	while (!told && most--) {
		double t = (1 + s->cost[s->level]) * (1 + s->noise * normal()) *
			   (1 + s->drift * (double)s->steps++);

		if (uniform() < 0.01)
			t *= 4; /* a checkpoint, an evaluation */
		s->now += (uint64_t)(t * STEP);
		s->level = wv_governor_step(&s->g, s->now, (uint64_t)(t * STEP), &told);
		s->offs += !s->level;
		assert_in_range(s->level, 0, s->g.wanted);
	}
	s->verdicts += told;
	return told;
}

static void governor_of_a_cheap_profiler_keeps_the_level(void **state _unused_)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < 200; i++) {
		struct series s = {.cost = {0, 0.002, 0.003}, .noise = 0.01, .drift = 1e-6};

		random_state = 88172645463325252ULL + i;
		start(&s, 2);
		assert_true(verdict(&s, 100000));
		wrong += s.g.level != 2;
		assert_true(s.offs > 0);
	}
	assert_in_range(wrong, 0, 4);
}

static void governor_of_a_costly_profiler_steps_down(void **state _unused_)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < 200; i++) {
		struct series s = {.cost = {0, 0.002, 0.03}, .noise = 0.01, .drift = -1e-6};

		random_state = 1181783497276652981ULL + i;
		start(&s, 2);
		assert_true(verdict(&s, 100000));
		wrong += s.g.level != 1;
		assert_true(s.g.on_ns > s.g.off_ns);
		assert_true(s.g.cost_ppm > 15000 && s.g.cost_ppm < 45000);
	}
	assert_in_range(wrong, 0, 4);
}

static void governor_tries_again_and_waits_longer_each_time(void **state _unused_)
{
	struct series s = {.cost = {0, 0.002, 0.05}, .noise = 0.005};
	uint64_t last = 0, rest;

	random_state = 88172645463325252ULL;
	start(&s, 2);
	for (unsigned i = 0; i < 5; i++) {
		assert_true(verdict(&s, 1000000));
		assert_int_equal(s.g.level, 1);
		rest = s.g.until - s.now;
		assert_true(rest > last);
		last = rest;
	}
	/* the program changed: the level comes back and stays */
	s.cost[2] = 0.001;
	assert_true(verdict(&s, 1000000));
	assert_int_equal(s.g.level, 2);
}

static void governor_of_level_zero_never_switches_anything_on(void **state _unused_)
{
	struct series s = {.noise = 0.01};

	random_state = 88172645463325252ULL;
	start(&s, 0);
	assert_false(verdict(&s, 20000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(governor_of_a_cheap_profiler_keeps_the_level),
		cmocka_unit_test(governor_of_a_costly_profiler_steps_down),
		cmocka_unit_test(governor_tries_again_and_waits_longer_each_time),
		cmocka_unit_test(governor_of_level_zero_never_switches_anything_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
