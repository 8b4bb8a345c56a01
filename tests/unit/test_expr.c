// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "user/flow/sample.h"
#include "user/policy/expr.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void expr_right_conditions_parse(void **state)
{
	static const char *const texts[] = {
		"mem_usage_bytes > 64M",
		"mem_usage_bytes>1000000",
		"rate(net_tx_bytes) > 10M",
		"rate(net_tx_bytes) > 10M/s",
		"rate(tcp_retransmits) > 100/s",
		"rate(tcp_retransmits) > 100",
		"rate(tcp_retransmits) > 0",
		"rate(cpu_usage_ns) > 150%",
		"rate(cpu_usage_ns) >= 1.5",
		"rate(cpu_usage_ns) > 1500ms", /* in a second, as budgets write it */
		"ratio(rate(tcp_retransmits), rate(net_tx_packets)) > 5%",
		"rate(cpu_run_delay_ns) / rate(cpu_switch_voluntary) > 1ms",
		"avg(mem_usage_bytes, 10m) > 1.2 * avg(mem_usage_bytes, 1h)",
		"slope(mem_usage_bytes, 5m) > 1M and age > 1h",
		"not (p99(io_latency) > 100ms or mean(io_latency) > 20ms)",
		"quantile(runq_latency, 95%) > 10ms and count(runq_latency) > 100",
		"cusum(rate(psi_io_some_us), 5%, 1%) > 2",
		"cusum(rate(net_tx_bytes), 10M, 1M) > 100M",
		"share(cpu_usage_ns) > 50%",
		"least(task_processes, task_threads, 100) >= 10",
		"greatest(0, task_processes) > 1",
		"-task_processes < -(3 * 2)",
		"abs(delta(mem_usage_bytes)) > 1G",
		"delta(task_forks, 10s) > 100",
		"1M < mem_usage_bytes",
		"tcp_srtt_us > 200ms",
		"\n task_processes\t> 1 ",
		"io_inflight / task_threads > 0.5",
		"1 / age > 0 and ewma(rate(task_forks), 30s) > 5",
	};
	struct wv_expr_error error;
	struct wv_expr e;

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		if (wv_expr_parse(&e, texts[i], &error) < 0)
			fail_msg("%s\n%u: %s", texts[i], error.offset, error.text);
}

static void expr_wrong_conditions_say_where_and_what(void **state)
{
	static const struct {
		const char *text;
		unsigned offset;
		const char *says;
	} wrong[] = {
		{"", 0, "expected a signal"},
		{"mem_usage_bytes", 0, "expected a comparison"},
		{"mem_usage_bytes >", 17, "expected a signal, a number"},
		{"mem_usage_byte > 1", 0, "did you mean 'mem_usage_bytes'?"},
		{"rat(task_forks) > 1", 0, "did you mean 'rate'?"},
		{"1 < task_forks", 4, "write rate(task_forks)"},
		{"avg(task_forks, 1s) > 1", 4, "it only grows"},
		{"io_latency > 1ms", 0, "write p99(io_latency)"},
		{"rate(mem_usage_bytes) > 1", 5, "is no counter"},
		{"p99(task_processes) > 1s", 4, "is no histogram"},
		{"share(1 + task_processes) > 1", 6, "is no signal"},
		{"p99(io_latency) > 64M", 18, "seconds, such as 100ms"},
		{"mem_usage_bytes > 10s", 18, "bytes, such as 64M"},
		{"mem_usage_bytes > 5%", 18, "bytes, such as 64M"},
		{"rate(tcp_retransmits) > 5%", 24, "a number a second"},
		{"task_processes + age > 1", 17, "is seconds"},
		{"ratio(io_inflight, task_threads) > 100ms", 35, "a plain number"},
		{"task_processes > 1 > 0", 19, "'and' between two comparisons"},
		{"task_processes > 1 && age > 1s", 19, "write 'and'"},
		{"task_processes > 1 || age > 1s", 19, "write 'or'"},
		{"!task_processes > 1", 0, "write 'not'"},
		{"task_processes = 1", 15, "write '=='"},
		{"task_processes > .5", 17, "such as 0.5"},
		{"task_processes > 10 s", 20, "expected an operator or the end"},
		{"age > 10sec", 8, "unknown unit 'sec'"},
		{"age > 1h30m", 7, "unknown unit 'h30m'"},
		{"task_processes > 12345678901234567890", 17, "number too long"},
		{"mem_usage_bytes > 9000T", 18, "too large"},
		{"(task_processes > 1", 19, "expected ')'"},
		{"task_processes > 1)", 18, "expected an operator or the end"},
		{"rate > 1", 0, "expected rate(counter"},
		{"avg(task_processes) > 1", 18, "avg(x, window)"},
		{"avg(task_processes, 1s, 2s) > 1", 22, "avg(x, window)"},
		{"abs() > 1", 4, "abs(x)"},
		{"avg(task_processes, 5) > 1", 20, "expected a duration"},
		{"avg(task_processes, 2d) > 1", 20, "at most 1d"},
		{"avg(task_processes, age) > 1", 20, "is no window"},
		{"min(task_processes, task_threads) > 1", 20, "least(a, b)"},
		{"ewma(task_processes, 0s) > 1", 21, "is no half-life"},
		{"quantile(io_latency, 99) > 1s", 21, "95%"},
		{"cusum(task_processes, age, 1) > 1", 22, "a number as written"},
		{"cusum(task_processes, 1s, 1) > 1", 22, "is seconds"},
		{"abs(5) > 1", 4, "expected a signal"},
		{"delta(5s) > 0", 6, "expected a signal"},
		{"slope(5s, 1s) > 0", 6, "expected a signal"},
		{"least(1, 2) > 1", 0, "only numbers"},
		{"1 > 0", 0, "compares numbers as written"},
		{"task_processes / 0 > 1", 0, "divides by zero"},
		{"task_processes > 1 / 0", 17, "divides by zero"},
		{"ratio(task_processes, 5) > 1", 22, "divide by it with /"},
		{"task_processes and age > 1s", 0, "expected a comparison"},
		{"(age > 1s) + 1 > 2", 1, "expected a number"},
		{"not task_processes > 1 > 2", 23, "'and' between"},
		{"age > 1s $", 9, "unexpected character '$'"},
		{"age > 1s \xc3\xa9", 9, "unexpected character"},
		{"((((((((((((((((age > 1s))))))))))))))))", 16, "nested too deeply"},
		{"----------------- age > 1s", 16, "nested too deeply"},
	};
	struct wv_expr_error error;
	struct wv_expr e;

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		memset(&error, 0, sizeof(error));
		if (wv_expr_parse(&e, wrong[i].text, &error) == 0)
			fail_msg("'%s' parses", wrong[i].text);
		if (error.offset != wrong[i].offset || !strstr(error.text, wrong[i].says))
			fail_msg("'%s'\n%u: %s\nexpected at %u: %s", wrong[i].text, error.offset,
				 error.text, wrong[i].offset, wrong[i].says);
	}
}

static void expr_every_name_of_the_tables_is_known(void **state)
{
	struct wv_expr_error error;
	char text[128];
	struct wv_expr e;

	(void)state;
	for (int i = 0; i < WV_SIG_N; i++) {
		bool counter = wv_signal_is_counter((enum wv_signal)i);

		snprintf(text, sizeof(text), "%s%s%s > 0", counter ? "rate(" : "",
			 wv_signals[i].name, counter ? ")" : "");
		if (wv_expr_parse(&e, text, &error) < 0)
			fail_msg("%s: %s", text, error.text);
	}
	for (int i = 0; i < WV_HIST_N; i++) {
		snprintf(text, sizeof(text), "p50(%s) > p90(%s)", wv_hists[i].name,
			 wv_hists[i].name);
		if (wv_expr_parse(&e, text, &error) < 0)
			fail_msg("%s: %s", text, error.text);
	}
}

static void expr_numbers_are_the_nearest_doubles(void **state)
{
	static const struct {
		const char *text;
		double value;
		int seconds, bytes;
	} numbers[] = {
		{"0", 0, 0, 0},
		{"1.5", 1.5, 0, 0},
		{"5%", 0.05, 0, 0},
		{"12.5%", 0.125, 0, 0},
		{"300ms", 0.3, 1, 0},
		{"100us", 1e-4, 1, 0},
		{"7ns", 7e-9, 1, 0},
		{"0.1s", 0.1, 1, 0},
		{"90m", 5400, 1, 0},
		{"2h", 7200, 1, 0},
		{"1d", 86400, 1, 0},
		{"64M", 67108864, 0, 1},
		{"1.5GiB", 1610612736, 0, 1},
		{"10B", 10, 0, 1},
		{"10M/s", 10485760, -1, 1},
		{"100/s", 100, -1, 0},
		{"3ms/s", 0.003, 0, 0},
		{"0.000000001", 1e-9, 0, 0},
	};
	struct wv_expr_error error;
	struct wv_dim dim;
	bool percent;
	double v;

	(void)state;
	for (size_t i = 0; i < COUNT(numbers); i++) {
		int r = wv_expr_number(numbers[i].text, &v, &dim, &percent, &error);

		if (r != (int)strlen(numbers[i].text) || v != numbers[i].value ||
		    dim.seconds != numbers[i].seconds || dim.bytes != numbers[i].bytes)
			fail_msg("%s: %d %.17g s^%d B^%d", numbers[i].text, r, v, dim.seconds,
				 dim.bytes);
	}
	/* what is not a unit of time after the stroke is a division */
	assert_int_equal(wv_expr_number("10/share", &v, &dim, &percent, &error), 2);
}

static void expr_precedence_is_as_written_with_brackets(void **state)
{
	static const char *const pairs[][2] = {
		{"age > 1s or age > 2s and age > 3s", "age > 1s or (age > 2s and age > 3s)"},
		{"not age > 1s and age > 2s", "(not (age > 1s)) and age > 2s"},
		{"1 + 2 * task_processes > 3", "(1 + (2 * task_processes)) > 3"},
		{"8 / task_processes / 2 > 1", "((8 / task_processes) / 2) > 1"},
		{"8 - task_processes - 2 > 1", "((8 - task_processes) - 2) > 1"},
	};
	struct wv_expr_error error;
	struct wv_expr a, b;

	(void)state;
	for (size_t i = 0; i < COUNT(pairs); i++) {
		assert_int_equal(wv_expr_parse(&a, pairs[i][0], &error), 0);
		assert_int_equal(wv_expr_parse(&b, pairs[i][1], &error), 0);
		assert_int_equal(a.n_nodes, b.n_nodes);
		for (unsigned n = 0; n < a.n_nodes; n++) {
			assert_int_equal(a.nodes[n].kind, b.nodes[n].kind);
			assert_memory_equal(a.nodes[n].args, b.nodes[n].args, WV_EXPR_ARGS);
		}
	}
}

static void expr_too_long_is_refused(void **state)
{
	char text[WV_EXPR_TEXT_MAX + 16];
	struct wv_expr_error error;
	struct wv_expr e;

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "age>1s", 6);
	text[WV_EXPR_TEXT_MAX] = '\0';
	assert_int_equal(wv_expr_parse(&e, text, &error), 0);
	text[WV_EXPR_TEXT_MAX] = ' ';
	text[WV_EXPR_TEXT_MAX + 1] = '\0';
	assert_true(wv_expr_parse(&e, text, &error) < 0);
	/* more words than a tree has nodes */
	strcpy(text, "age");
	for (unsigned i = 0; i < WV_EXPR_NODES / 2; i++)
		strcat(text, "+age");
	strcat(text, ">1s");
	assert_true(wv_expr_parse(&e, text, &error) < 0);
	assert_non_null(strstr(error.text, "too long"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expr_right_conditions_parse),
		cmocka_unit_test(expr_wrong_conditions_say_where_and_what),
		cmocka_unit_test(expr_every_name_of_the_tables_is_known),
		cmocka_unit_test(expr_numbers_are_the_nearest_doubles),
		cmocka_unit_test(expr_precedence_is_as_written_with_brackets),
		cmocka_unit_test(expr_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
