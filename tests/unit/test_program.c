// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/policy/program.h"

static struct wv_expr_error error;

static int add(struct wv_program_set *s, uint32_t owner, const char *text)
{
	int r = wv_program_add(s, owner, text, &error);

	if (r < 0)
		fail_msg("%s\n%u: %s", text, error.offset, error.text);
	return r;
}

static struct wv_program_cost finish(struct wv_program_set *s)
{
	struct wv_program_cost cost;
	char why[128] = "";

	assert_int_equal(wv_program_finish(s), 0);
	if (wv_program_verify(s, &cost, why, sizeof(why)) < 0)
		fail_msg("%s", why);
	return cost;
}

static unsigned count(const struct wv_program_set *s, enum wv_opcode code)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < s->n_ops; i++)
		n += s->ops[i].code == code;
	return n;
}

static void program_common_parts_stand_once(void **state)
{
	struct wv_program_set s;

	(void)state;
	assert_int_equal(wv_program_set_init(&s), 0);
	assert_int_equal(add(&s, 0, "ewma(rate(task_forks), 5s) > 10"), 0);
	assert_int_equal(add(&s, 1, "ewma(rate(task_forks), 5s) > 20"), 1);
	assert_int_equal(add(&s, 2, "task_processes + task_threads > 20"), 2);
	assert_int_equal(add(&s, 3, "20 < task_threads + task_processes"), 3);
	assert_int_equal(add(&s, 4, "ewma(rate(task_forks), 6s) > 20"), 4);
	finish(&s);
	assert_int_equal(s.n_columns, 3);
	assert_int_equal(count(&s, WV_OP_EWMA), 2);
	assert_int_equal(count(&s, WV_OP_ADD), 1);
	assert_int_equal(count(&s, WV_OP_GTK), 4);
	assert_int_equal(count(&s, WV_OP_OUT), 5);
	assert_int_equal(s.n_state, 2);
	wv_program_set_done(&s);
}

static void program_cusum_is_shared_within_a_rule_only(void **state)
{
	struct wv_program_set s;

	(void)state;
	assert_int_equal(wv_program_set_init(&s), 0);
	add(&s, 1, "cusum(task_processes, 5, 1) > 10");
	add(&s, 1, "cusum(task_processes, 5, 1) < 2");
	assert_int_equal(count(&s, WV_OP_CUSUM), 1);
	add(&s, 2, "cusum(task_processes, 5, 1) > 10");
	assert_int_equal(count(&s, WV_OP_CUSUM), 2);
	finish(&s);
	wv_program_set_done(&s);
}

static void program_text_compiles_to_the_same_operations(void **state)
{
	static const char *const texts[] = {
		"rate(net_tx_bytes) > 10M and not task_processes < 5",
		"age > 5s or (task_processes > 1 and task_threads != 7) or task_zombies == 3",
		"(8 - task_processes) * 3 - (task_threads - 2) / (4 / task_zombies) >= 1",
		"slope(mem_rss_bytes, 10s) > 5 and slope(mem_rss_bytes) < 1 and "
		"delta(mem_rss_bytes) > 1",
		"delta(task_forks) > 5 and delta(task_forks, 3s) > 1 and delta(mem_rss_bytes, 2s) "
		"> 1",
		"rate(task_forks, 1m) > 1 and min(age, 5s) < 1s and max(age, 5s) > 1s",
		"p99(io_latency) > 1ms and mean(io_latency) > 1ms and count(io_latency) > 1",
		"least(task_processes, task_threads, 4) > 1 and greatest(task_zombies, 4) > 1",
		"ratio(1, task_processes) > 5% and ratio(task_threads, task_processes) > 1",
		"abs(task_processes - task_threads) > 1 and share(cpu_usage_ns) > 50%",
		"cusum(task_processes, 4, 1) > 1 and ewma(task_processes, 1500ms) > 2",
		"avg(avg(task_processes, 1s) - 1, 2s) > 1 and not (age > 1s or age > 2s)",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		char buf[WV_EXPR_TEXT_MAX + 1];
		struct wv_program_set s;
		uint32_t n;

		assert_int_equal(wv_program_set_init(&s), 0);
		add(&s, 0, texts[i]);
		n = s.n_ops;
		wv_program_text(&s, s.programs[0].out, buf, sizeof(buf));
		/* dimensions are not printed: only what compares plain numbers comes back whole */
		if (wv_program_add(&s, 0, buf, &error) >= 0)
			assert_int_equal(s.n_ops, n + 1); /* its OUT */
		else if (!strstr(error.text, "such as"))
			fail_msg("%s\n%s\n%u: %s", texts[i], buf, error.offset, error.text);
		finish(&s);
		wv_program_set_done(&s);
	}
}

static void program_text_is_readable(void **state)
{
	static const char *const pairs[][2] = {
		{"10M < rate(net_tx_bytes) and not age < 2m",
		 "rate(net_tx_bytes) > 10485760 and not age < 120"},
		{"(1 + task_processes) * 2 - 3 > 4", "(task_processes + 1) * 2 - 3 > 4"},
		{"8 / (task_processes / 2) > (task_threads - task_zombies) - 1",
		 "8 / (task_processes / 2) > task_threads - task_zombies - 1"},
		{"rate(task_forks, 1m) > 5", "rate(task_forks, 60s) > 5"},
		{"delta(mem_rss_bytes) > 5", "delta(mem_rss_bytes) > 5"},
		{"slope(mem_rss_bytes) > 5", "slope(mem_rss_bytes) > 5"},
		{"p90(io_latency) > 5ms", "quantile(io_latency, 0.9) > 0.005"},
		{"not (age > 1s or age > 2s)", "not (age > 1 or age > 2)"},
	};
	char buf[256], tiny[8];

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		struct wv_program_set s;

		assert_int_equal(wv_program_set_init(&s), 0);
		add(&s, 0, pairs[i][0]);
		assert_string_equal(wv_program_text(&s, s.programs[0].out, buf, sizeof(buf)),
				    pairs[i][1]);
		assert_int_equal(strlen(wv_program_text(&s, s.programs[0].out, tiny, sizeof(tiny))),
				 7);
		wv_program_set_done(&s);
	}
}

static void program_error_leaves_the_set_as_it_was(void **state)
{
	struct wv_program_set s;
	uint32_t n_ops, n_columns, n_state;
	char text[WV_EXPR_TEXT_MAX + 1] = "";

	(void)state;
	assert_int_equal(wv_program_set_init(&s), 0);
	add(&s, 0, "ewma(task_processes, 5s) > 10");
	n_ops = s.n_ops;
	n_columns = s.n_columns;
	n_state = s.n_state;
	assert_true(wv_program_add(&s, 0, "task_threads >", &error) < 0);
	/* 66 different comparisons: more operations than a program may have */
	for (unsigned i = 0; i < 33; i++)
		sprintf(text + strlen(text), "%sage>%us", i ? " or " : "", i + 1);
	assert_true(wv_program_add(&s, 0, text, &error) < 0);
	assert_non_null(strstr(error.text, "at most 64 operations"));
	assert_int_equal(s.n_ops, n_ops);
	assert_int_equal(s.n_columns, n_columns);
	assert_int_equal(s.n_state, n_state);
	assert_int_equal(s.n_programs, 1);
	assert_int_equal(add(&s, 0, "age > 1s"), 1);
	assert_int_equal(s.n_ops, n_ops + 3);
	assert_int_equal(add(&s, 0, "ewma(task_processes, 5s) > 10"), 2);
	assert_int_equal(s.n_ops, n_ops + 4);
	finish(&s);
	wv_program_set_done(&s);
}

static void program_as_many_as_there_may_be(void **state)
{
	struct wv_program_set s;
	struct wv_program_cost cost;
	char text[128];

	(void)state;
	assert_int_equal(wv_program_set_init(&s), 0);
	for (unsigned i = 0; i < WV_PROGRAMS_MAX; i++) {
		snprintf(text, sizeof(text), "delta(task_forks) * %u - task_threads > %u",
			 i % 7 + 2, i);
		add(&s, i / 2, text);
	}
	assert_int_equal(wv_program_add(&s, 0, "age > 1s", &error), -7 /* E2BIG */);
	cost = finish(&s);
	assert_int_equal(cost.n_programs, WV_PROGRAMS_MAX);
	assert_true(cost.n_registers < 64);
	assert_true(cost.ps_per_lane > 2048 * 600);
	wv_program_set_done(&s);
}

static void program_too_much_state_is_refused(void **state)
{
	struct wv_program_set s;
	char text[128];
	unsigned i;

	(void)state;
	assert_int_equal(wv_program_set_init(&s), 0);
	for (i = 1; i < WV_PROGRAMS_MAX; i++) {
		snprintf(text, sizeof(text), "avg(task_processes, %us) > 1", i);
		if (wv_program_add(&s, 0, text, &error) < 0)
			break;
	}
	assert_int_equal(i, WV_STATE_MAX / 10 + 1);
	assert_non_null(strstr(error.text, "state"));
	finish(&s);
	wv_program_set_done(&s);
}

static struct wv_program_set sample_set(void)
{
	struct wv_program_set s;

	assert_int_equal(wv_program_set_init(&s), 0);
	add(&s, 0, "ewma(rate(task_forks), 5s) * task_processes > 10 and age > 1m");
	add(&s, 0, "avg(task_threads, 10s) < 5 or not p99(io_latency) > 1ms");
	add(&s, 1, "cusum(ratio(task_threads, task_processes), 5, 1) + 1 > task_processes");
	finish(&s);
	return s;
}

/* Every field of every operation, set to what it may not be. */
static void program_verify_refuses_what_is_out_of_bounds(void **state)
{
	struct wv_program_set s = sample_set();
	char why[128];

	(void)state;
#define REFUSED(field, value)                                                                      \
	do {                                                                                       \
		__typeof__(field) was = (field);                                                   \
		(field) = (value);                                                                 \
		*why = '\0';                                                                       \
		if (wv_program_verify(&s, NULL, why, sizeof(why)) == 0)                            \
			fail_msg("%s = %s passes", #field, #value);                                \
		assert_true(*why);                                                                 \
		(field) = was;                                                                     \
		assert_int_equal(wv_program_verify(&s, NULL, why, sizeof(why)), 0);                \
	} while (0)
	for (uint32_t i = 0; i < s.n_ops; i++) {
		REFUSED(s.ops[i].code, WV_OP_N);
		REFUSED(s.ops[i].dst, 60000);
		REFUSED(s.ops[i].a, (uint16_t)i);
		REFUSED(s.ops[i].b, (uint16_t)i);
		REFUSED(s.ops[i].a, 60000);
		REFUSED(s.ops[i].state, s.n_state);
		REFUSED(s.ops[i].k, __builtin_nan(""));
		REFUSED(s.ops[i].k, __builtin_inf());
		REFUSED(s.ops[i].ns, WV_WINDOW_MAX_NS + 1);
	}
	for (uint32_t i = 0; i < s.n_programs; i++) {
		REFUSED(s.programs[i].out, 0);
		REFUSED(s.programs[i].out, 60000);
		REFUSED(s.programs[i].n_refs, 0);
		REFUSED(s.programs[i].n_refs, (uint16_t)(s.programs[i].n_refs - 1));
		REFUSED(s.programs[i].n_refs, WV_PROGRAM_OPS + 1);
		REFUSED(s.programs[i].first_ref, s.n_refs);
		REFUSED(s.programs[i].first_ref, UINT32_MAX);
	}
	for (uint32_t i = 0; i < s.n_refs; i++)
		REFUSED(s.refs[i], 60000);
	for (uint32_t i = 0; i < s.n_columns; i++) {
		REFUSED(s.columns[i].kind, WV_COLUMN_N);
		REFUSED(s.columns[i].index, WV_SIG_N);
	}
	REFUSED(s.n_numbers, 0);
	REFUSED(s.n_truths, 0);
	REFUSED(s.n_state, s.n_state + 1);
	REFUSED(s.n_state, s.n_state - 1);
	REFUSED(s.n_ops, WV_OPS_MAX + 1);
	REFUSED(s.n_programs, WV_PROGRAMS_MAX + 1);
	REFUSED(s.n_numbers, WV_REGISTERS_MAX + 1);
	wv_program_set_done(&s);
}

static void program_verify_sees_a_value_that_was_written_over(void **state)
{
	struct wv_program_set s;
	char why[128] = "";

	(void)state;
	assert_int_equal(wv_program_set_init(&s), 0);
	add(&s, 0, "(task_processes + task_threads) * (task_zombies - task_threads) > 1");
	finish(&s);
	for (uint32_t i = 0; i < s.n_ops; i++)
		if (s.ops[i].code == WV_OP_SUB)
			s.ops[i].dst = 0; /* where the sum is */
	assert_true(wv_program_verify(&s, NULL, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "no longer in its register"));
	wv_program_set_done(&s);
}

static void program_value_used_twice_by_one_operation_keeps_registers_apart(void **state)
{
	struct wv_program_set s;

	(void)state;
	assert_int_equal(wv_program_set_init(&s), 0);
	add(&s, 0,
	    "abs(task_processes) * abs(task_processes) + "
	    "abs(task_threads) * (abs(task_zombies) + abs(task_dstate)) > 1");
	finish(&s); /* verifies */
	wv_program_set_done(&s);
}

static void program_print_shows_every_operation(void **state)
{
	struct wv_program_set s = sample_set();
	char *text = NULL;
	size_t size, lines = 0;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	assert_non_null(f);
	wv_program_print(&s, f);
	fclose(f);
	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	assert_int_equal(lines, s.n_ops + s.n_programs);
	assert_non_null(strstr(text, "EWMA c0 5s"));
	assert_non_null(strstr(
		text, "p1: avg(task_threads, 10s) < 5 or not quantile(io_latency, 0.99) > 0.001"));
	free(text);
	wv_program_set_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(program_common_parts_stand_once),
		cmocka_unit_test(program_cusum_is_shared_within_a_rule_only),
		cmocka_unit_test(program_text_compiles_to_the_same_operations),
		cmocka_unit_test(program_text_is_readable),
		cmocka_unit_test(program_error_leaves_the_set_as_it_was),
		cmocka_unit_test(program_as_many_as_there_may_be),
		cmocka_unit_test(program_too_much_state_is_refused),
		cmocka_unit_test(program_verify_refuses_what_is_out_of_bounds),
		cmocka_unit_test(program_verify_sees_a_value_that_was_written_over),
		cmocka_unit_test(program_value_used_twice_by_one_operation_keeps_registers_apart),
		cmocka_unit_test(program_print_shows_every_operation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
