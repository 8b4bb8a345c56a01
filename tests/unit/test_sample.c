// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "bpf/lib/hist.h"
#include "user/flow/sample.h"

static void hist_bucket_every_boundary_agrees_with_bounds(void **state)
{
	(void)state;
	for (unsigned b = 0; b + 1 < WV_HIST_BUCKETS; b++) {
		uint64_t bound = wv_hist_bound_ns(b);

		assert_int_equal(wv_hist_bucket(bound - 1), b);
		assert_int_equal(wv_hist_bucket(bound), b + 1);
	}
	assert_int_equal(wv_hist_bucket(0), 0);
	assert_int_equal(wv_hist_bucket(UINT64_MAX), WV_HIST_BUCKETS - 1);
	assert_int_equal(wv_hist_bound_ns(WV_HIST_BUCKETS - 1), UINT64_MAX);
}

static void hist_quantile_of_known_counts_is_the_holding_bucket(void **state)
{
	struct wv_hist h = {0};

	(void)state;
	assert_int_equal(wv_hist_quantile_ns(&h, 0.99), 0);
	h.bucket[3] = 98;
	h.bucket[10] = 2;
	assert_int_equal(wv_hist_count(&h), 100);
	assert_int_equal(wv_hist_quantile_ns(&h, 0.5), wv_hist_bound_ns(3));
	assert_int_equal(wv_hist_quantile_ns(&h, 0.98), wv_hist_bound_ns(3));
	assert_int_equal(wv_hist_quantile_ns(&h, 0.99), wv_hist_bound_ns(10));
}

static void make(struct wv_sample *s)
{
	assert_int_equal(wv_sample_init(s, 8), 0);
	s->used_rows = 4;
	for (unsigned i = 0; i < 4; i++)
		s->rows[i].flags = WV_ROW_LIVE;
}

static void sample_fold_keeps_own_counters_and_leaves_tree_signals(void **state)
{
	uint64_t buckets[WV_HIST_BUCKETS] = {[5] = 7}, own[WV_SIG_N];
	struct wv_sample s;

	(void)state;
	make(&s);
	wv_sample_set(&s, 1, WV_SIG_CPU_USAGE, 100);
	wv_sample_set(&s, 2, WV_SIG_CPU_USAGE, 30);
	wv_sample_set(&s, 2, WV_SIG_TASK_THREADS, 5);
	wv_sample_set(&s, 2, WV_SIG_PSI_CPU_SOME, 9);
	wv_sample_set_hist(&s, 2, WV_HIST_RUNQ_LATENCY, buckets, 700);
	wv_sample_fold(&s, 2, 1);
	assert_int_equal(s.rows[1].f.v[WV_SIG_CPU_USAGE], 130);
	assert_int_equal(s.rows[1].f.v[WV_SIG_TASK_THREADS], 0);
	assert_int_equal(s.rows[1].f.v[WV_SIG_PSI_CPU_SOME], 0);
	/* the collector's next absolute figure does not undo it */
	wv_sample_set(&s, 1, WV_SIG_CPU_USAGE, 110);
	assert_int_equal(s.rows[1].f.v[WV_SIG_CPU_USAGE], 140);
	memset(buckets, 0, sizeof(buckets));
	wv_sample_set_hist(&s, 1, WV_HIST_RUNQ_LATENCY, buckets, 0);
	assert_int_equal(s.rows[1].f.hist[WV_HIST_RUNQ_LATENCY].bucket[5], 7);
	assert_int_equal(s.rows[1].f.hist[WV_HIST_RUNQ_LATENCY].sum_ns, 700);
	/* a rate is taken of the row's own figures: it does not jump when a child goes */
	assert_int_equal(wv_sample_own(&s, 1, own)[WV_SIG_CPU_USAGE], 110);
	assert_ptr_equal(wv_sample_own(&s, 2, own), s.rows[2].f.v);
	/* a grandchild's figures reach the grandparent through the child's own */
	wv_sample_fold(&s, 1, 3);
	assert_int_equal(s.rows[3].f.v[WV_SIG_CPU_USAGE], 140);
	wv_sample_done(&s);
}

static void sample_set_of_a_dead_or_foreign_slot_does_nothing(void **state)
{
	struct wv_sample s;

	(void)state;
	make(&s);
	wv_sample_set(&s, 6, WV_SIG_CPU_USAGE, 1);
	wv_sample_set(&s, 4000000, WV_SIG_CPU_USAGE, 1);
	assert_int_equal(s.rows[6].f.v[WV_SIG_CPU_USAGE], 0);
	wv_sample_fold(&s, 1, 7); /* nobody there to take it */
	assert_int_equal(s.base[7].v[WV_SIG_CPU_USAGE], 0);
	wv_sample_done(&s);
}

static void sample_facets_over_the_ceiling_are_refused(void **state)
{
	struct wv_sample s;
	struct wv_facet_row *f;

	(void)state;
	make(&s);
	f = wv_sample_add_facet(&s, WV_FACET_DROP, 1, "a label that is far longer than fits");
	assert_non_null(f);
	assert_int_equal(strlen(f->label), WV_FACET_LABEL - 1);
	for (unsigned i = 1; i < WV_FACET_ROWS; i++)
		assert_non_null(wv_sample_add_facet(&s, WV_FACET_DROP, 1, "x"));
	assert_null(wv_sample_add_facet(&s, WV_FACET_DROP, 1, "x"));
	wv_sample_done(&s);
}

static void signals_have_unique_names_and_metrics_by_labels(void **state)
{
	(void)state;
	for (int i = 0; i < WV_SIG_N; i++) {
		bool counter = wv_signal_is_counter((enum wv_signal)i);
		size_t len = strlen(wv_signals[i].metric);
		bool total = len > 6 && strcmp(wv_signals[i].metric + len - 6, "_total") == 0;

		assert_int_equal(wv_signal_by_name(wv_signals[i].name), i);
		if (counter != total)
			fail_msg("%s: counters and only they end in _total", wv_signals[i].metric);
		for (int j = 0; j < i; j++)
			if (strcmp(wv_signals[i].metric, wv_signals[j].metric) == 0 &&
			    strcmp(wv_signals[i].labels, wv_signals[j].labels) == 0)
				fail_msg("%s and %s are the same series", wv_signals[i].name,
					 wv_signals[j].name);
	}
	assert_int_equal(wv_signal_by_name("no such signal"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hist_bucket_every_boundary_agrees_with_bounds),
		cmocka_unit_test(hist_quantile_of_known_counts_is_the_holding_bucket),
		cmocka_unit_test(sample_fold_keeps_own_counters_and_leaves_tree_signals),
		cmocka_unit_test(sample_set_of_a_dead_or_foreign_slot_does_nothing),
		cmocka_unit_test(sample_facets_over_the_ceiling_are_refused),
		cmocka_unit_test(signals_have_unique_names_and_metrics_by_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
