// SPDX-License-Identifier: GPL-2.0-only
/*
 * The evaluator: named cases, and random programs on random histories against a plain reference
 * that works on the tree and recomputes everything from the whole history of a cgroup.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/policy/vm.h"

#define S 1000000000ULL
#define GAP (10 * S)

static struct wv_expr_error error;

/* --- named cases: one lane or a few, figures by name */

struct bench {
	struct wv_program_set set;
	struct wv_vm vm;
	uint64_t figures[WV_SIG_N];
	struct wv_hist hists[WV_HIST_N];
	uint64_t now;
};

static void begin(struct bench *b, const char *const *texts, unsigned n, uint32_t max_lanes)
{
	memset(b, 0, sizeof(*b));
	assert_int_equal(wv_program_set_init(&b->set), 0);
	for (unsigned i = 0; i < n; i++)
		if (wv_program_add(&b->set, i, texts[i], &error) < 0)
			fail_msg("%s\n%u: %s", texts[i], error.offset, error.text);
	assert_int_equal(wv_program_finish(&b->set), 0);
	assert_int_equal(wv_vm_init(&b->vm, &b->set, max_lanes, GAP), 0);
	for (unsigned i = 0; i < n; i++)
		for (unsigned block = 0; block < b->vm.n_blocks; block++)
			wv_vm_set_scope(&b->vm, i, block, ~0ULL);
}

static void begin_one(struct bench *b, const char *text)
{
	begin(b, &text, 1, 64);
}

static void end(struct bench *b)
{
	wv_vm_done(&b->vm);
	wv_program_set_done(&b->set);
}

/* Program 0 on lane 3 after one more tick: 'T', 'F' or '?'. */
static char tick_key(struct bench *b, uint64_t ns, uint64_t key)
{
	struct wv_truth t;

	b->now += ns;
	assert_int_equal(wv_vm_begin(&b->vm, b->now), 0);
	wv_vm_set_lane(&b->vm, 3, key, 0, b->figures, b->hists);
	wv_vm_run(&b->vm);
	t = wv_vm_result(&b->vm, 0, 0);
	assert_int_equal(t.known_mask & ~8ULL, 0); /* lanes that are not there are unknown */
	assert_int_equal(t.true_mask & ~t.known_mask, 0);
	return t.known_mask & 8 ? t.true_mask & 8 ? 'T' : 'F' : '?';
}

static char tick(struct bench *b, uint64_t ns)
{
	return tick_key(b, ns, 33);
}

/* The left side of the only comparison. */
static double left(struct bench *b)
{
	struct wv_term t;

	assert_int_equal(wv_vm_explain(&b->vm, 0, 3, &t, 1), 1);
	return t.left;
}

static void vm_gauge_is_known_at_once_and_compared_in_base_units(void **state)
{
	struct bench b;

	(void)state;
	begin_one(&b, "mem_usage_bytes > 64M and tcp_srtt_us >= 300ms");
	b.figures[WV_SIG_MEM_USAGE] = 64ULL << 20;
	b.figures[WV_SIG_TCP_SRTT] = 300000;
	assert_int_equal(tick(&b, S), 'F');
	b.figures[WV_SIG_MEM_USAGE]++;
	assert_int_equal(tick(&b, S), 'T');
	b.figures[WV_SIG_TCP_SRTT]--;
	assert_int_equal(tick(&b, S), 'F');
	end(&b);
}

static void vm_every_time_equals_its_literal(void **state)
{
	char text[64];

	(void)state;
	for (unsigned us = 1; us < 3000; us += 13) {
		struct bench b;

		snprintf(text, sizeof(text), "tcp_srtt_us == %uus", us);
		begin_one(&b, text);
		b.figures[WV_SIG_TCP_SRTT] = us;
		assert_int_equal(tick(&b, S), 'T');
		end(&b);
	}
}

static void vm_rate_needs_two_samples_of_one_cgroup(void **state)
{
	struct bench b;

	(void)state;
	begin_one(&b, "rate(task_forks) > 99");
	assert_int_equal(tick(&b, S), '?');
	b.figures[WV_SIG_TASK_FORKS] += 100;
	assert_int_equal(tick(&b, S), 'T');
	b.figures[WV_SIG_TASK_FORKS] += 100;
	assert_int_equal(tick(&b, 2 * S), 'F');
	assert_true(left(&b) == 50);
	b.figures[WV_SIG_TASK_FORKS] -= 1; /* went back */
	assert_int_equal(tick(&b, S), '?');
	b.figures[WV_SIG_TASK_FORKS] += 1000;
	assert_int_equal(tick(&b, S), 'T');
	b.figures[WV_SIG_TASK_FORKS] += 10000;
	assert_int_equal(tick(&b, GAP + 1), '?'); /* gap */
	b.figures[WV_SIG_TASK_FORKS] += 10000;
	assert_int_equal(tick(&b, GAP), 'T');
	b.figures[WV_SIG_TASK_FORKS] += 10000;
	assert_int_equal(tick_key(&b, S, 34), '?'); /* another cgroup in the slot */
	b.figures[WV_SIG_TASK_FORKS] += 10000;
	assert_int_equal(tick_key(&b, S, 34), 'T');
	/* not there at one tick */
	b.now += S;
	assert_int_equal(wv_vm_begin(&b.vm, b.now), 0);
	wv_vm_run(&b.vm);
	assert_int_equal(wv_vm_result(&b.vm, 0, 0).known_mask, 0);
	b.figures[WV_SIG_TASK_FORKS] += 10000;
	assert_int_equal(tick_key(&b, S, 34), '?');
	end(&b);
}

static void vm_same_or_earlier_time_is_refused_and_changes_nothing(void **state)
{
	struct bench b;

	(void)state;
	begin_one(&b, "delta(task_forks) > 5");
	tick(&b, 5 * S);
	assert_int_equal(wv_vm_begin(&b.vm, 5 * S), -22);
	assert_int_equal(wv_vm_begin(&b.vm, 4 * S), -22);
	b.figures[WV_SIG_TASK_FORKS] += 6;
	assert_int_equal(tick(&b, S), 'T');
	end(&b);
}

static void vm_unknown_decides_nothing_alone(void **state)
{
	static const struct {
		const char *text;
		char first; /* sample: the rate is not known, 1 > 0 is */
	} cases[] = {
		{"rate(task_forks) > 0 and task_threads > 0", '?'},
		{"rate(task_forks) > 0 and task_threads > 1", 'F'},
		{"task_threads > 0 or rate(task_forks) > 0", 'T'},
		{"task_threads > 1 or rate(task_forks) > 0", '?'},
		{"not rate(task_forks) > 0", '?'},
		{"not (rate(task_forks) > 0 and task_threads > 1)", 'T'},
		{"task_threads / task_zombies > 0", '?'}, /* divides by 0 */
		{"not task_threads / task_zombies > 0", '?'},
		{"5 / task_zombies > 0", '?'},
		{"ratio(task_threads, task_zombies) == 0", 'T'},
		{"ratio(5, task_zombies) == 0", 'T'},
		{"p99(io_latency) >= 0", '?'},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bench b;
		char got;

		begin_one(&b, cases[i].text);
		b.figures[WV_SIG_TASK_THREADS] = 1;
		got = tick(&b, S);
		if (got != cases[i].first)
			fail_msg("%s: %c", cases[i].text, got);
		end(&b);
	}
}

static void vm_too_large_a_product_is_unknown(void **state)
{
	char text[256] = "1";
	struct bench b;

	(void)state;
	for (int i = 0; i < 9; i++)
		strcat(text, " * task_threads");
	strcat(text, " > 1 and task_threads > 0");
	begin_one(&b, text);
	b.figures[WV_SIG_TASK_THREADS] = UINT64_MAX;
	assert_int_equal(tick(&b, S), '?');
	b.figures[WV_SIG_TASK_THREADS] = 2;
	assert_int_equal(tick(&b, S), 'T');
	end(&b);
}

static void vm_window_is_known_when_it_was_seen_whole(void **state)
{
	struct bench b;
	unsigned i;

	(void)state;
	begin_one(&b, "max(task_threads, 8s) > 5"); /* parts of one second */
	b.now = 100 * S;
	b.figures[WV_SIG_TASK_THREADS] = 9;
	assert_int_equal(tick(&b, S), '?');
	b.figures[WV_SIG_TASK_THREADS] = 1;
	for (i = 0; i < 8; i++)
		assert_int_equal(tick(&b, S), '?'); /* the first part may be cut short */
	assert_int_equal(tick(&b, S), 'F');	    /* the 9 is out */
	b.figures[WV_SIG_TASK_THREADS] = 7;
	assert_int_equal(tick(&b, S), 'T');
	b.figures[WV_SIG_TASK_THREADS] = 1;
	for (i = 0; i < 8; i++)
		assert_int_equal(tick(&b, S), 'T'); /* at least the window */
	assert_int_equal(tick(&b, S), 'F');	    /* at most an eighth more */
	end(&b);
}

static void vm_window_rate_is_change_over_time(void **state)
{
	struct bench b;

	(void)state;
	begin_one(&b, "rate(task_forks, 4s) > 0");
	for (unsigned i = 0; i < 12; i++) {
		tick(&b, S / 2);
		b.figures[WV_SIG_TASK_FORKS] += 10;
	}
	assert_int_equal(tick(&b, S / 2), 'T');
	assert_true(left(&b) == 20);
	end(&b);
}

static void vm_ewma_halves_in_its_half_life(void **state)
{
	struct bench b;

	(void)state;
	begin_one(&b, "ewma(task_threads, 10s) > 0");
	b.figures[WV_SIG_TASK_THREADS] = 64;
	tick(&b, S);
	assert_true(left(&b) == 64); /* the first sample is all there is */
	b.figures[WV_SIG_TASK_THREADS] = 0;
	for (unsigned i = 0; i < 10; i++)
		tick(&b, S);
	assert_true(fabs(left(&b) - 32) < 1e-12);
	tick(&b, 10 * S);
	assert_true(fabs(left(&b) - 16) < 1e-12);
	end(&b);
}

static void vm_decay_is_right_to_the_last_bits(void **state)
{
	(void)state;
	for (uint64_t dt = 1; dt < 100 * S; dt = dt * 3 / 2 + 1)
		for (uint64_t h = S / 1000; h < 1000 * S; h *= 7) {
			double right = -expm1(-log(2) * ((double)dt / (double)h)),
			       got = wv_vm_decay(dt, h);

			if (fabs(got - right) > 4e-16 * right + 1e-300)
				fail_msg("%lu %lu: %.17g, not %.17g", dt, h, got, right);
		}
	assert_true(wv_vm_decay(UINT64_MAX, 1) == 1);
}

static void vm_cusum_sums_excess_and_starts_over_when_reset(void **state)
{
	struct bench b;

	(void)state;
	begin_one(&b, "cusum(task_threads, 5, 1) > 10");
	b.figures[WV_SIG_TASK_THREADS] = 10;
	assert_int_equal(tick(&b, S), 'F'); /* begins */
	assert_true(left(&b) == 0);
	assert_int_equal(tick(&b, S), 'F');
	assert_true(left(&b) == 4);
	assert_int_equal(tick(&b, 2 * S), 'T');
	assert_true(left(&b) == 12);
	b.figures[WV_SIG_TASK_THREADS] = 0;
	assert_int_equal(tick(&b, S), 'F');
	assert_true(left(&b) == 6);
	tick(&b, 2 * S);
	assert_true(left(&b) == 0); /* never below */
	b.figures[WV_SIG_TASK_THREADS] = 10;
	tick(&b, S);
	assert_true(left(&b) == 4);
	wv_vm_reset(&b.vm, 0, 3);
	tick(&b, S);
	assert_true(left(&b) == 4);
	end(&b);
}

static void vm_quantiles_are_of_the_change_and_interpolated(void **state)
{
	struct bench b;

	(void)state;
	begin_one(&b, "quantile(io_latency, 50%) > 0");
	b.hists[WV_HIST_IO_LATENCY].bucket[20] = 1000000; /* long ago */
	tick(&b, S);
	b.hists[WV_HIST_IO_LATENCY].bucket[4] += 10; /* 8 to 16 us */
	b.hists[WV_HIST_IO_LATENCY].bucket[6] += 10; /* 32 to 64 us */
	tick(&b, S);
	assert_true(left(&b) == 16e-6);
	b.hists[WV_HIST_IO_LATENCY].bucket[6] += 10;
	tick(&b, S);
	assert_true(left(&b) == 48e-6);
	tick(&b, S);
	assert_true(left(&b) == 0); /* nothing happened */
	b.hists[WV_HIST_IO_LATENCY].bucket[WV_HIST_BUCKETS - 1]++;
	tick(&b, S);
	assert_true(left(&b) == 4.194304 * 1.5);
	end(&b);
}

static void vm_mean_and_count_of_a_histogram(void **state)
{
	struct bench b;

	(void)state;
	begin_one(&b, "mean(io_latency) == 2ms and count(io_latency) == 3");
	assert_int_equal(tick(&b, S), '?');
	b.hists[WV_HIST_IO_LATENCY].bucket[4] += 1;
	b.hists[WV_HIST_IO_LATENCY].bucket[5] += 2;
	b.hists[WV_HIST_IO_LATENCY].sum_ns += 6000000;
	assert_int_equal(tick(&b, S), 'T');
	assert_int_equal(tick(&b, S), 'F');
	end(&b);
}

static void vm_share_is_of_all_rows_or_of_the_root(void **state)
{
	static const char *const texts[] = {
		"share(task_processes) > 25%", "share(cpu_usage_ns) > 25%",
		"share(mem_usage_bytes) > 25%", "share(cpu_periods) > 25%"};
	struct bench b;

	(void)state;
	begin(&b, texts, 4, 128);
	for (unsigned t = 1; t <= 3; t++) {
		assert_int_equal(wv_vm_begin(&b.vm, t * S), 0);
		for (uint32_t lane = 0; lane < 128; lane += 32) { /* 1, 2, 3, 4 of 10 */
			uint64_t part = lane / 32 + 1;

			b.figures[WV_SIG_TASK_PROCESSES] = part;
			b.figures[WV_SIG_CPU_USAGE] = part * t * 1000;
			b.figures[WV_SIG_MEM_USAGE] = part == 1 ? 10 : part;
			b.figures[WV_SIG_CPU_PERIODS] = (part == 1 ? 10 : part) * t;
			wv_vm_set_lane(&b.vm, lane, lane, 0, b.figures, b.hists);
		}
		if (t < 3)
			wv_vm_set_root(&b.vm, 0);
		wv_vm_run(&b.vm);
		for (uint32_t p = 0; p < 4; p++) {
			uint64_t known = p == 1 || p == 3 ? (t > 1) : 1;

			if (p >= 2 && t == 3)
				known = 0; /* no root */
			assert_int_equal(wv_vm_result(&b.vm, p, 0).known_mask,
					 known * (1ULL << 32 | 1));
			assert_int_equal(wv_vm_result(&b.vm, p, 0).true_mask, p >= 2 ? known : 0);
			assert_int_equal(wv_vm_result(&b.vm, p, 1).true_mask,
					 known * (1ULL << 32 | 1));
		}
	}
	end(&b);
}

static void vm_age_and_delta_of_a_gauge(void **state)
{
	struct bench b;

	(void)state;
	begin_one(&b, "delta(task_threads) < -4 and age > 2s");
	b.figures[WV_SIG_TASK_THREADS] = 9;
	assert_int_equal(tick(&b, S), 'F'); /* too young, whatever the change is */
	assert_int_equal(tick(&b, 2 * S), 'F');
	b.figures[WV_SIG_TASK_THREADS] = 4;
	assert_int_equal(tick(&b, S), 'T');
	end(&b);
}

static void vm_state_starts_anew_when_a_lane_comes_into_scope(void **state)
{
	static const char *const texts[] = {"ewma(task_threads, 10s) >= 0",
					    "ewma(task_threads, 10s) >= 1"};
	struct bench b;

	(void)state;
	begin(&b, texts, 2, 64);
	wv_vm_set_scope(&b.vm, 0, 0, 8);
	wv_vm_set_scope(&b.vm, 1, 0, 4); /* the block is at work all the time */
	b.figures[WV_SIG_TASK_THREADS] = 64;
	assert_int_equal(tick(&b, S), 'T');
	wv_vm_set_scope(&b.vm, 0, 0, 0);
	assert_int_equal(tick(&b, S), '?');
	b.figures[WV_SIG_TASK_THREADS] = 32;
	tick(&b, S);
	wv_vm_set_scope(&b.vm, 0, 0, 8);
	assert_int_equal(tick(&b, S), 'T');
	assert_true(left(&b) == 32);
	/* another program keeps it up */
	wv_vm_set_scope(&b.vm, 1, 0, 12);
	b.figures[WV_SIG_TASK_THREADS] = 0;
	wv_vm_set_scope(&b.vm, 0, 0, 0);
	tick(&b, 10 * S);
	wv_vm_set_scope(&b.vm, 0, 0, 8);
	tick(&b, 10 * S);
	assert_true(fabs(left(&b) - 8) < 1e-12);
	end(&b);
}

static void vm_refuses_what_does_not_verify(void **state)
{
	struct wv_program_set set;
	struct wv_vm vm;

	(void)state;
	assert_int_equal(wv_program_set_init(&set), 0);
	assert_true(wv_program_add(&set, 0, "age > 1s", &error) >= 0);
	assert_int_equal(wv_program_finish(&set), 0);
	assert_int_equal(wv_vm_init(&vm, &set, WV_LANES_MAX + 1, GAP), -22);
	set.ops[0].dst = 7;
	assert_int_equal(wv_vm_init(&vm, &set, 64, GAP), -22);
	wv_program_set_done(&set);
}

/* --- random programs */

#define TICKS 40
#define LANES 80 /* one block and a part of another */
#define RULES 10
#define ROUNDS 40
#define GOLDEN 0xf6124cf95b67b74bULL

static uint64_t seed;

static uint64_t draw(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 11) % n;
}

struct history {
	uint64_t now[TICKS];
	bool live[LANES][TICKS], in_scope[LANES][TICKS];
	uint64_t key[LANES][TICKS], created[LANES][TICKS];
	uint64_t figures[LANES][TICKS][WV_SIG_N];
	struct wv_hist hists[LANES][TICKS][WV_HIST_N];
};

static const int used[] = {WV_SIG_TASK_PROCESSES, WV_SIG_TASK_THREADS, WV_SIG_MEM_USAGE,
			   WV_SIG_TASK_FORKS,	  WV_SIG_CPU_USAGE,    WV_SIG_CPU_PERIODS};

static void put(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(char *text, const char *format, ...)
{
	size_t n = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + n, WV_EXPR_TEXT_MAX + 1 - n, format, args);
	va_end(args);
}

/* One draw a call: the order of arguments is the compiler's. */
static const char *const literals[8] = {"0", "1", "2", "3.5", "0.1", "70%", "5", "8"};

/* A plain number. */
static void random_number(char *text, unsigned depth)
{
	static const char *const leaves[] = {
		"task_processes",
		"task_threads",
		"mem_usage_bytes / 1B",
		"age / 1s",
		"rate(task_forks) / 1/s",
		"rate(cpu_usage_ns)",
		"delta(task_forks)",
		"delta(cpu_periods)",
		"share(task_processes)",
		"share(task_forks)",
		"share(mem_usage_bytes)",
		"share(cpu_periods)",
		"count(io_latency)",
		"p50(io_latency) / 1us",
		"quantile(io_latency, 99.9%) / 1us",
		"mean(io_latency) / 1us",
		"rate(task_forks, 3s) / 1/s",
		"delta(task_forks, 2s)",
		"delta(task_threads, 5s)",
		"slope(task_threads) / 1/s",
		"slope(task_threads, 4s) / 1/s",
		"rate(cpu_usage_ns, 700ms)",
	};
	static const char *const calls[] = {"avg", "min",   "max",	"ewma",	 "cusum",
					    "abs", "least", "greatest", "ratio", "delta"};
	unsigned c;

	if (!depth || !draw(4)) {
		put(text, "%s", leaves[draw(sizeof(leaves) / sizeof(*leaves))]);
		return;
	}
	if (draw(2)) { /* a sum or the like, with a literal on either side or none */
		unsigned side = (unsigned)draw(3);

		put(text, "(");
		if (side == 1)
			put(text, "%lu", draw(5));
		else
			random_number(text, depth - 1);
		put(text, " %c ", "+-*/"[draw(4)]);
		if (side == 2)
			put(text, "%s", literals[draw(8)]);
		else
			random_number(text, depth - 1);
		put(text, ")");
		return;
	}
	c = (unsigned)draw(10);
	put(text, "%s(", calls[c]);
	random_number(text, depth - 1);
	if (c < 3)
		put(text, ", %lums)", draw(6) * 1000 + 300);
	else if (c == 3)
		put(text, ", %lus)", draw(20) + 1);
	else if (c == 4)
		put(text, ", %s, 10%%)", literals[draw(8)]);
	else if (c == 6 || c == 7) {
		put(text, ", %lu, ", draw(6));
		random_number(text, depth - 1);
		put(text, ")");
	} else if (c == 8) {
		put(text, ", ");
		random_number(text, depth - 1);
		put(text, ")");
	} else {
		put(text, ")");
	}
}

static void random_condition(char *text, unsigned depth)
{
	static const char *const compare[] = {">", ">=", "<", "<=", "==", "!="};
	uint64_t i = draw(8);

	if (depth && draw(2)) {
		put(text, draw(3) ? "(" : "not (");
		random_condition(text, depth - 1);
		put(text, draw(2) ? " and " : " or ");
		random_condition(text, depth - 1);
		put(text, ")");
		return;
	}
	if (!draw(5)) {
		put(text, "%s %s ", literals[i], compare[draw(6)]);
		random_number(text, 2);
		return;
	}
	random_number(text, 2);
	put(text, " %s ", compare[draw(6)]);
	if (draw(2))
		put(text, "%lu", draw(10));
	else
		random_number(text, 1);
}

static void random_history(struct history *h)
{
	memset(h, 0, sizeof(*h));
	for (unsigned t = 0; t < TICKS; t++) {
		uint64_t dt = draw(30) ? S / 4 + draw(3 * S) : GAP + 1 + draw(5 * S);

		h->now[t] = (t ? h->now[t - 1] : draw(1000) * S) + (draw(3) ? S : dt);
	}
	for (unsigned l = 0; l < LANES; l++) {
		bool scope = draw(8) != 0;

		for (unsigned t = 0; t < TICKS; t++) {
			uint64_t *f = h->figures[l][t];

			if (!draw(25))
				scope = !scope;
			h->in_scope[l][t] = scope;
			h->live[l][t] = draw(25) != 0 && l != 7;
			h->key[l][t] = t && draw(25) ? h->key[l][t - 1] : draw(1000);
			h->created[l][t] = draw(3) * S + h->now[0];
			if (t) {
				memcpy(f, h->figures[l][t - 1], sizeof(h->figures[l][t]));
				memcpy(h->hists[l][t], h->hists[l][t - 1], sizeof(h->hists[l][t]));
			}
			for (unsigned s = 0; s < sizeof(used) / sizeof(*used); s++) {
				uint64_t v = draw(8), huge = !draw(60) ? draw(UINT64_MAX) : 0;

				if (wv_signal_is_counter((enum wv_signal)used[s]))
					f[used[s]] = draw(40) ? f[used[s]] + v * 100 : huge;
				else
					f[used[s]] = huge ? huge : v;
			}
			for (unsigned n = (unsigned)draw(4); n; n--) {
				unsigned b = (unsigned)draw(WV_HIST_BUCKETS);

				h->hists[l][t][WV_HIST_IO_LATENCY].bucket[b] += draw(5);
				h->hists[l][t][WV_HIST_IO_LATENCY].sum_ns += draw(9999);
			}
			if (!draw(60))
				memset(&h->hists[l][t][WV_HIST_IO_LATENCY], 0,
				       sizeof(struct wv_hist));
		}
	}
}

/* The reference. One value of each node at each tick, of one lane. */
struct ref {
	double num[TICKS];
	bool known[TICKS], truth[TICKS];
};

struct reference {
	const struct history *h;
	unsigned lane;
	bool cont[TICKS]; /* the same cgroup as at the last tick, which was not too long ago */
	bool cont_scope[TICKS]; /* ... and in scope then and now */
	struct ref nodes[WV_EXPR_NODES];
};

static double divisor_of(int signal)
{
	return wv_signals[signal].scale == WV_NS   ? 1e9
	       : wv_signals[signal].scale == WV_US ? 1e6
						   : 1;
}

static bool ref_delta(const struct reference *r, unsigned lane, int signal, unsigned t,
		      const bool *cont, uint64_t *ret)
{
	if (!cont[t])
		return false;
	*ret = r->h->figures[lane][t][signal] - r->h->figures[lane][t - 1][signal];
	return *ret < 1ULL << 63;
}

static void ref_cont(const struct history *h, unsigned lane, bool *ret)
{
	for (unsigned t = 0; t < TICKS; t++)
		ret[t] = t && h->live[lane][t] && h->live[lane][t - 1] &&
			 h->key[lane][t] == h->key[lane][t - 1] && h->now[t] - h->now[t - 1] <= GAP;
}

static void ref_share(const struct reference *r, int signal, struct ref *v)
{
	bool tree = wv_signals[signal].kind == WV_TREE_COUNTER ||
		    wv_signals[signal].kind == WV_TREE_GAUGE,
	     counter = wv_signal_is_counter((enum wv_signal)signal);

	for (unsigned t = 0; t < TICKS; t++) {
		uint64_t total = 0, d = 0, own = r->h->figures[r->lane][t][signal];
		bool known = !tree;

		for (unsigned l = 0; l < LANES; l++) {
			bool cont[TICKS], there;

			if (tree && l != 0)
				continue;
			ref_cont(r->h, l, cont);
			d = r->h->figures[l][t][signal];
			there = counter ? ref_delta(r, l, signal, t, cont, &d) : r->h->live[l][t];
			if (there)
				total += d;
			known |= there;
		}
		v->known[t] = known && (counter ? ref_delta(r, r->lane, signal, t, r->cont, &own)
						: r->h->live[r->lane][t]);
		v->num[t] = (double)own / (total ? (double)total : 1);
	}
}

static void ref_hist(const struct reference *r, const struct wv_expr_node *n, double q,
		     struct ref *v)
{
	for (unsigned t = 0; t < TICKS; t++) {
		const struct wv_hist *now = &r->h->hists[r->lane][t][WV_HIST_IO_LATENCY], *last;
		double count = 0, below = 0;
		bool known = r->cont[t], found = false;

		if (!known)
			continue;
		last = &r->h->hists[r->lane][t - 1][WV_HIST_IO_LATENCY];
		for (unsigned b = 0; b < WV_HIST_BUCKETS; b++) {
			known &= now->bucket[b] >= last->bucket[b];
			count += (double)(now->bucket[b] - last->bucket[b]);
		}
		v->known[t] = known && now->sum_ns >= last->sum_ns;
		if (n->fn == WV_FN_COUNT)
			v->num[t] = count;
		else if (n->fn == WV_FN_MEAN)
			v->num[t] =
				count > 0 ? (double)(now->sum_ns - last->sum_ns) / 1e9 / count : 0;
		if (n->fn == WV_FN_COUNT || n->fn == WV_FN_MEAN || !v->known[t])
			continue;
		for (unsigned b = 0; b < WV_HIST_BUCKETS && count > 0 && !found; b++) {
			double in = (double)(now->bucket[b] - last->bucket[b]),
			       from = b ? (double)(1000ULL << (b - 1)) : 0,
			       to = (double)(1000ULL << b);

			found = below + in >= q * count;
			if (found)
				v->num[t] = (from + (to - from) * ((q * count - below) / in)) / 1e9;
			below += in;
		}
	}
}

/* Sums and extremes of x over the parts of a window, in the order that is promised. */
static void ref_window(const struct reference *r, const struct ref *x, double window, int fn,
		       bool per_second, struct ref *v)
{
	uint64_t ns = (uint64_t)(window * 1e9 + 0.5), pane = (ns + 7) / 8;
	bool least = fn == WV_FN_MIN, sum = fn != WV_FN_MIN && fn != WV_FN_MAX;

	for (unsigned t = 0; t < TICKS; t++) {
		double none = sum ? 0 : least ? 1.7976931348623157e308 : -1.7976931348623157e308;
		double part[9], closed;
		uint64_t p = r->h->now[t] / pane, first = p > 8 ? p - 8 : 0, count = 0, time = 0;

		for (unsigned i = 0; i < 9; i++)
			part[i] = none;
		v->known[t] = p >= 8;
		for (unsigned j = 0; j <= t; j++) {
			uint64_t q = r->h->now[j] / pane, dt;
			double *to = &part[q == p ? 8 : q % 8];

			if (q < first)
				continue;
			dt = j ? r->h->now[j] - r->h->now[j - 1] : 0;
			count++;
			time += dt <= GAP ? dt : 0;
			v->known[t] &= x->known[j] && r->cont[j] && r->h->in_scope[r->lane][j];
			if (sum)
				*to += x->num[j];
			else if (least ? x->num[j] < *to : x->num[j] > *to)
				*to = x->num[j];
		}
		closed = part[0];
		for (unsigned i = 1; i <= 8; i++) {
			if (sum)
				closed += part[i];
			else if (least ? part[i] < closed : part[i] > closed)
				closed = part[i];
		}
		v->num[t] = closed / (fn == WV_FN_AVG ? (double)count
				      : per_second    ? (double)time / 1e9
						      : 1);
	}
}

static double ref_seconds(const struct reference *r, unsigned t)
{
	return t ? (double)(r->h->now[t] - r->h->now[t - 1]) / 1e9 : 0;
}

static void ref_change(const struct reference *r, const struct wv_expr_node *x,
		       const struct ref *xv, struct ref *v)
{
	bool counter = x->kind == WV_EXPR_SIGNAL && wv_signal_is_counter((enum wv_signal)x->index);

	for (unsigned t = 0; t < TICKS; t++) {
		uint64_t d = 0;

		if (counter) {
			v->known[t] = ref_delta(r, r->lane, x->index, t, r->cont, &d);
			v->num[t] = (double)d / divisor_of(x->index);
		} else if (t) {
			v->known[t] = xv->known[t] && xv->known[t - 1] && r->cont_scope[t];
			v->num[t] = xv->num[t] - xv->num[t - 1];
		}
	}
}

static void ref_call(struct reference *r, const struct wv_expr *e, const struct wv_expr_node *n,
		     struct ref *v)
{
	const struct wv_expr_node *x = &e->nodes[n->args[0]], *y = &e->nodes[n->args[1]];
	const struct ref *xv = &r->nodes[n->args[0]], *yv = &r->nodes[n->args[1]];
	struct ref change = {0};
	double s = 0, k;

	switch (n->fn) {
	case WV_FN_RATE:
	case WV_FN_DELTA:
	case WV_FN_SLOPE:
		ref_change(r, x, xv, &change);
		if (n->n_args == 2) {
			ref_window(r, &change, y->value, n->fn, n->fn != WV_FN_DELTA, v);
			return;
		}
		for (unsigned t = 0; t < TICKS; t++) {
			v->known[t] = change.known[t];
			v->num[t] = change.num[t];
			if (n->fn == WV_FN_SLOPE)
				v->num[t] /= ref_seconds(r, t);
			if (n->fn == WV_FN_RATE && v->known[t]) {
				uint64_t d = 0;

				ref_delta(r, r->lane, x->index, t, r->cont, &d);
				v->num[t] = (double)d * (1e9 / divisor_of(x->index)) /
					    (double)(r->h->now[t] - r->h->now[t - 1]);
			}
		}
		return;
	case WV_FN_AVG:
	case WV_FN_MIN:
	case WV_FN_MAX:
		ref_window(r, xv, y->value, n->fn, false, v);
		return;
	case WV_FN_EWMA:
	case WV_FN_CUSUM:
		k = y->value + e->nodes[n->args[2]].value;
		for (unsigned t = 0; t < TICKS; t++) {
			bool goes_on = r->cont_scope[t] && t && v->known[t - 1];

			v->known[t] = xv->known[t];
			if (n->fn == WV_FN_EWMA) {
				double a = t ? wv_vm_decay(r->h->now[t] - r->h->now[t - 1],
							   (uint64_t)(y->value * 1e9 + 0.5))
					     : 0;

				s = goes_on ? s + a * (xv->num[t] - s) : xv->num[t];
			} else {
				s = goes_on ? s + (xv->num[t] - k) * ref_seconds(r, t) : 0;
				s = s > 0 ? s : 0;
			}
			v->num[t] = s;
		}
		return;
	case WV_FN_SHARE:
		ref_share(r, x->index, v);
		return;
	case WV_FN_P50:
	case WV_FN_QUANTILE:
	case WV_FN_MEAN:
	case WV_FN_COUNT:
		ref_hist(r, n, n->fn == WV_FN_P50 ? 0.5 : y->value, v);
		return;
	default:
		break;
	}
	for (unsigned t = 0; t < TICKS; t++) {
		v->num[t] = xv->num[t];
		v->known[t] = xv->known[t];
		if (n->fn == WV_FN_ABS) {
			v->num[t] = fabs(xv->num[t]);
		} else if (n->fn == WV_FN_RATIO) {
			v->num[t] = yv->num[t] == 0 ? 0 : xv->num[t] / yv->num[t];
			v->known[t] &= yv->known[t] && fabs(v->num[t]) <= WV_NUMBER_LIMIT;
		}
		for (unsigned i = 1; i < n->n_args && n->fn != WV_FN_RATIO; i++) {
			const struct ref *o = &r->nodes[n->args[i]];

			v->known[t] &= o->known[t];
			if (n->fn == WV_FN_LEAST ? o->num[t] < v->num[t] : o->num[t] > v->num[t])
				v->num[t] = o->num[t];
		}
	}
}

static void ref_two(const struct wv_expr_node *n, unsigned t, const struct ref *a,
		    const struct ref *b, struct ref *v)
{
	double x = a->num[t], y = b->num[t];
	bool p = a->truth[t], q = b->truth[t], pk = a->known[t], qk = b->known[t];

	v->known[t] = pk && qk;
	switch (n->kind) {
	case WV_EXPR_ADD:
		v->num[t] = x + y;
		break;
	case WV_EXPR_SUB:
		v->num[t] = x - y;
		break;
	case WV_EXPR_MUL:
	case WV_EXPR_DIV:
		v->num[t] = n->kind == WV_EXPR_MUL ? x * y : x / y;
		v->known[t] &= fabs(v->num[t]) <= WV_NUMBER_LIMIT;
		break;
	case WV_EXPR_GT:
		v->truth[t] = x > y;
		break;
	case WV_EXPR_GE:
		v->truth[t] = x >= y;
		break;
	case WV_EXPR_LT:
		v->truth[t] = x < y;
		break;
	case WV_EXPR_LE:
		v->truth[t] = x <= y;
		break;
	case WV_EXPR_EQ:
		v->truth[t] = x == y;
		break;
	case WV_EXPR_NE:
		v->truth[t] = x != y;
		break;
	case WV_EXPR_AND:
		v->known[t] = (pk && qk) || (pk && !p) || (qk && !q);
		v->truth[t] = pk && qk && p && q;
		break;
	default: /* OR */
		v->known[t] = (pk && qk) || (pk && p) || (qk && q);
		v->truth[t] = (pk && p) || (qk && q);
	}
}

static void ref_node(struct reference *r, const struct wv_expr *e, unsigned i)
{
	const struct wv_expr_node *n = &e->nodes[i];
	struct ref *v = &r->nodes[i];

	memset(v, 0, sizeof(*v));
	if (n->kind == WV_EXPR_CALL) {
		ref_call(r, e, n, v);
		return;
	}
	for (unsigned t = 0; t < TICKS; t++) {
		if (n->constant) {
			v->num[t] = n->value;
			v->known[t] = true;
		} else if (n->kind == WV_EXPR_SIGNAL) {
			v->num[t] =
				(double)r->h->figures[r->lane][t][n->index] / divisor_of(n->index);
			v->known[t] = r->h->live[r->lane][t];
		} else if (n->kind == WV_EXPR_AGE) {
			uint64_t from = r->h->created[r->lane][t];

			v->num[t] = r->h->now[t] > from ? (double)(r->h->now[t] - from) / 1e9 : 0;
			v->known[t] = r->h->live[r->lane][t];
		} else if (n->kind == WV_EXPR_NOT) {
			v->known[t] = r->nodes[n->args[0]].known[t];
			v->truth[t] = !r->nodes[n->args[0]].truth[t];
		} else if (n->kind == WV_EXPR_NEG) {
			v->known[t] = r->nodes[n->args[0]].known[t];
			v->num[t] = 0 - r->nodes[n->args[0]].num[t];
		} else if (n->n_args == 2) {
			ref_two(n, t, &r->nodes[n->args[0]], &r->nodes[n->args[1]], v);
		}
	}
}

static bool same_number(double a, double b, bool b_known)
{
	return b_known ? memcmp(&a, &b, sizeof(a)) == 0 || (a == 0 && b == 0) : isnan(a);
}

/* Each comparison that the evaluator explains is one of the tree's, with the same numbers. */
static void check_terms(const struct reference *r, const struct wv_expr *e, unsigned t,
			const struct wv_term *terms, unsigned n, const char *text)
{
	for (unsigned i = 0; i < n; i++) {
		bool found = false;

		for (unsigned k = 0; k < e->n_nodes && !found; k++) {
			const struct wv_expr_node *node = &e->nodes[k];
			const struct ref *a = &r->nodes[node->args[0]],
					 *b = &r->nodes[node->args[1]];

			if (node->kind < WV_EXPR_GT || node->kind > WV_EXPR_NE)
				continue;
			found = (same_number(terms[i].left, a->num[t], a->known[t]) &&
				 same_number(terms[i].right, b->num[t], b->known[t])) ||
				(same_number(terms[i].left, b->num[t], b->known[t]) &&
				 same_number(terms[i].right, a->num[t], a->known[t]));
			found &= terms[i].known == r->nodes[k].known[t] &&
				 terms[i].holds == (r->nodes[k].known[t] && r->nodes[k].truth[t]);
		}
		if (!found)
			fail_msg("%s\nlane %u tick %u: %.17g, %.17g", text, r->lane, t,
				 terms[i].left, terms[i].right);
	}
}

struct outcome {
	struct wv_truth result;
	struct wv_term terms[8];
	unsigned n_terms;
};

static void run_tick(struct wv_vm *vm, const struct history *h, unsigned t, unsigned n_rules)
{
	for (unsigned block = 0; block < vm->n_blocks; block++) {
		uint64_t mask = 0;

		for (unsigned l = block * 64; l < block * 64 + 64 && l < LANES; l++)
			mask |= (uint64_t)h->in_scope[l][t] << l % 64;
		for (uint32_t p = 0; p < n_rules; p++)
			wv_vm_set_scope(vm, p, block, mask);
	}
	assert_int_equal(wv_vm_begin(vm, h->now[t]), 0);
	for (unsigned l = 0; l < LANES; l++)
		if (h->live[l][t])
			wv_vm_set_lane(vm, l, h->key[l][t], h->created[l][t], h->figures[l][t],
				       h->hists[l][t]);
	wv_vm_set_root(vm, 0);
	wv_vm_run(vm);
}

static void check_rule(struct reference *r, const char *text, unsigned rule,
		       const struct outcome *outcomes)
{
	static struct wv_expr e;

	assert_int_equal(wv_expr_parse(&e, text, &error), 0);
	for (unsigned i = 0; i < e.n_nodes; i++)
		ref_node(r, &e, i);
	for (unsigned t = 0; t < TICKS; t++) {
		const struct outcome *o = &outcomes[(t * RULES + rule) * LANES + r->lane];
		bool scope = r->h->in_scope[r->lane][t], known = scope && r->nodes[e.root].known[t];

		if ((o->result.known_mask != 0) != known ||
		    (o->result.true_mask != 0) != (known && r->nodes[e.root].truth[t]))
			fail_msg("%s\nlane %u tick %u: known %d true %d, expected %d %d", text,
				 r->lane, t, o->result.known_mask != 0, o->result.true_mask != 0,
				 known, r->nodes[e.root].truth[t]);
		/* what is not in scope is warm or not, as its neighbours are */
		if (scope)
			check_terms(r, &e, t, o->terms, o->n_terms, text);
	}
}

static void random_set(struct wv_program_set *set, char (*texts)[WV_EXPR_TEXT_MAX + 1])
{
	assert_int_equal(wv_program_set_init(set), 0);
	for (unsigned i = 0; i < RULES; i++) {
		do {
			*texts[i] = '\0';
			random_condition(texts[i], 2);
		} while (wv_program_add(set, i, texts[i], &error) < 0);
	}
	assert_int_equal(wv_program_finish(set), 0);
}

static void vm_random_programs_equal_the_reference(void **state)
{
	static char texts[RULES][WV_EXPR_TEXT_MAX + 1];
	struct history *h = malloc(sizeof(*h));
	struct reference *r = malloc(sizeof(*r));
	struct outcome *outcomes = calloc((size_t)TICKS * RULES * LANES, sizeof(*outcomes));
	size_t known = 0, holds = 0;

	(void)state;
	assert_true(h && r && outcomes);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct wv_program_set set;
		struct wv_vm vm, wide;

		seed = 88172645463325252ULL + round;
		random_set(&set, texts);
		random_history(h);
		assert_int_equal(wv_vm_init(&vm, &set, LANES, GAP), 0);
		assert_int_equal(wv_vm_init(&wide, &set, LANES, GAP), 0);
		vm.run_block = wv_vm_run_block;
		for (unsigned t = 0; t < TICKS; t++) {
			run_tick(&vm, h, t, RULES);
			run_tick(&wide, h, t, RULES);
			assert_memory_equal(vm.results, wide.results,
					    RULES * vm.n_blocks * sizeof(*vm.results));
			for (unsigned i = 0; i < RULES * LANES; i++) {
				unsigned p = i / LANES, l = i % LANES;
				struct outcome *o = &outcomes[(t * RULES + p) * LANES + l], w;
				struct wv_truth m = wv_vm_result(&vm, p, l / 64);

				o->result = (struct wv_truth){m.true_mask >> l % 64 & 1,
							      m.known_mask >> l % 64 & 1};
				known += o->result.known_mask;
				holds += o->result.true_mask;
				o->n_terms = wv_vm_explain(&vm, p, l, o->terms, 8);
				if (!h->in_scope[l][t])
					continue;
				w.n_terms = wv_vm_explain(&wide, p, l, w.terms, 8);
				assert_int_equal(w.n_terms, o->n_terms);
				for (unsigned k = 0; k < w.n_terms; k++)
					assert_true(same_number(w.terms[k].left, o->terms[k].left,
								!isnan(o->terms[k].left)));
			}
		}
		for (unsigned l = 0; l < LANES; l++) {
			r->h = h;
			r->lane = l;
			ref_cont(h, l, r->cont);
			for (unsigned t = 0; t < TICKS; t++)
				r->cont_scope[t] =
					r->cont[t] && h->in_scope[l][t] && h->in_scope[l][t - 1];
			for (unsigned p = 0; p < RULES; p++)
				check_rule(r, texts[p], p, outcomes);
		}
		wv_vm_done(&vm);
		wv_vm_done(&wide);
		wv_program_set_done(&set);
	}
	/* the test is of something */
	assert_true(known > (size_t)ROUNDS * TICKS * RULES * LANES / 4);
	assert_true(holds > known / 10 && holds < known / 10 * 9);
	free(h);
	free(r);
	free(outcomes);
}

static uint64_t digest(uint64_t h, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++, v >>= 8)
		h = (h ^ (v & 0xff)) * 0x100000001b3ULL;
	return h;
}

/*
 * What this machine and compiler come to is what every other one came to. If the language or the
 * evaluator is changed on purpose, replays of old records change with it: say so, and take the new
 * value.
 */
static void vm_results_are_the_same_bits_everywhere(void **state)
{
	static char texts[RULES][WV_EXPR_TEXT_MAX + 1];
	struct history *h = malloc(sizeof(*h));
	uint64_t sum = 0xcbf29ce484222325ULL;

	(void)state;
	assert_non_null(h);
	for (unsigned round = 0; round < 4; round++) {
		struct wv_program_set set;
		struct wv_term terms[8];
		struct wv_vm vm;

		seed = 362436069 + round;
		random_set(&set, texts);
		random_history(h);
		assert_int_equal(wv_vm_init(&vm, &set, LANES, GAP), 0);
		for (unsigned t = 0; t < TICKS; t++) {
			run_tick(&vm, h, t, RULES);
			for (unsigned i = 0; i < RULES * LANES; i++) {
				unsigned p = i / LANES, l = i % LANES, n;

				n = h->in_scope[l][t] ? wv_vm_explain(&vm, p, l, terms, 8) : 0;
				for (unsigned k = 0; k < n; k++) {
					uint64_t bits;

					memcpy(&bits, &terms[k].left, sizeof(bits));
					/* which NaN it is, and the sign of 0, differ */
					if (isnan(terms[k].left) || terms[k].left == 0)
						bits = terms[k].known;
					sum = digest(sum, bits);
				}
			}
			for (unsigned i = 0; i < RULES * vm.n_blocks; i++) {
				sum = digest(sum, vm.results[i].true_mask);
				sum = digest(sum, vm.results[i].known_mask);
			}
		}
		wv_vm_done(&vm);
		wv_program_set_done(&set);
	}
	free(h);
	if (sum != GOLDEN)
		fail_msg("0x%016lxULL", sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vm_gauge_is_known_at_once_and_compared_in_base_units),
		cmocka_unit_test(vm_every_time_equals_its_literal),
		cmocka_unit_test(vm_rate_needs_two_samples_of_one_cgroup),
		cmocka_unit_test(vm_same_or_earlier_time_is_refused_and_changes_nothing),
		cmocka_unit_test(vm_unknown_decides_nothing_alone),
		cmocka_unit_test(vm_too_large_a_product_is_unknown),
		cmocka_unit_test(vm_window_is_known_when_it_was_seen_whole),
		cmocka_unit_test(vm_window_rate_is_change_over_time),
		cmocka_unit_test(vm_ewma_halves_in_its_half_life),
		cmocka_unit_test(vm_decay_is_right_to_the_last_bits),
		cmocka_unit_test(vm_cusum_sums_excess_and_starts_over_when_reset),
		cmocka_unit_test(vm_quantiles_are_of_the_change_and_interpolated),
		cmocka_unit_test(vm_mean_and_count_of_a_histogram),
		cmocka_unit_test(vm_share_is_of_all_rows_or_of_the_root),
		cmocka_unit_test(vm_age_and_delta_of_a_gauge),
		cmocka_unit_test(vm_state_starts_anew_when_a_lane_comes_into_scope),
		cmocka_unit_test(vm_refuses_what_does_not_verify),
		cmocka_unit_test(vm_random_programs_equal_the_reference),
		cmocka_unit_test(vm_results_are_the_same_bits_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
