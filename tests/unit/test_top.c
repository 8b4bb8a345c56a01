// SPDX-License-Identifier: GPL-2.0-only
/* The model behind `top`: rates, subtree sums, order, filter, folding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/cmd/top_screen.h"
#include "user/core/cleanup.h"

struct fixture {
	struct wv_sample before, now;
	struct wv_top t;
	struct wv_top_options o;
	struct wv_top_folds folds;
};

static void add(struct wv_sample *s, uint32_t slot, uint32_t parent, unsigned level,
		const char *path)
{
	struct wv_row *r = &s->rows[slot];

	*r = (struct wv_row){.key = 100 + slot,
			     .parent_key = 100 + parent,
			     .parent_slot = parent,
			     .level = (uint16_t)level,
			     .flags = WV_ROW_LIVE,
			     .created_mono_ns = 1000000000};
	snprintf(r->path, sizeof(r->path), "%s", path);
	s->used_rows = s->used_rows > slot ? s->used_rows : slot + 1;
}

/* / with /a (/a/x, /a/y) and /b; one second between the samples */
static int fixture_begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct wv_sample *s[2];

	if (!f || wv_sample_init(&f->before, 16) < 0 || wv_sample_init(&f->now, 16) < 0)
		return -1;
	s[0] = &f->before;
	s[1] = &f->now;
	for (unsigned i = 0; i < 2; i++) {
		s[i]->mono_ns = (2 + i) * 1000000000ULL;
		add(s[i], 1, 1, 0, "/");
		add(s[i], 2, 1, 1, "/a");
		add(s[i], 3, 2, 2, "/a/x");
		add(s[i], 4, 2, 2, "/a/y");
		add(s[i], 5, 1, 1, "/b");
		s[i]->rows[3].f.v[WV_SIG_CPU_USAGE] = 1000000000 + i * 500000000ULL;
		s[i]->rows[4].f.v[WV_SIG_CPU_USAGE] = 2000000000 + i * 250000000ULL;
		s[i]->rows[5].f.v[WV_SIG_CPU_USAGE] = i * 600000000ULL;
		s[i]->rows[3].f.v[WV_SIG_MEM_RSS] = 1 << 20;
		s[i]->rows[2].f.v[WV_SIG_MEM_USAGE] = 5 << 20;
	}
	*state = f;
	return 0;
}

static int fixture_end(void **state)
{
	struct fixture *f = *state;

	wv_top_done(&f->t);
	wv_sample_done(&f->before);
	wv_sample_done(&f->now);
	free(f->folds.keys);
	free(f);
	return 0;
}

static void build(struct fixture *f, bool with_before)
{
	assert_int_equal(wv_top_build(&f->t, &f->now, with_before ? &f->before : NULL), 0);
	assert_int_equal(wv_top_arrange(&f->t, &f->o, &f->folds), 0);
}

static const struct wv_top_row *row(const struct fixture *f, uint32_t slot)
{
	assert_true(f->t.row_of[slot]);
	return &f->t.rows[f->t.row_of[slot] - 1];
}

/* Slots of the lines, as text: "1 2 3" */
static const char *lines(const struct fixture *f, char buf[64])
{
	buf[0] = '\0';
	for (uint32_t i = 0; i < f->t.n_lines; i++)
		sprintf(buf + strlen(buf), "%s%u", i ? " " : "", f->t.rows[f->t.lines[i].row].slot);
	return buf;
}

static void top_rates_are_changes_a_second(void **state)
{
	struct fixture *f = *state;

	build(f, true);
	assert_float_equal(row(f, 3)->own.v[WV_TOP_CPU], 50, 0.01);
	assert_float_equal(row(f, 5)->own.v[WV_TOP_CPU], 60, 0.01);
	assert_float_equal(row(f, 2)->own.v[WV_TOP_CPU], 0, 0.01);
	assert_float_equal(f->t.total.v[WV_TOP_CPU], 135, 0.01);
}

static void top_without_a_sample_before_shows_means(void **state)
{
	struct fixture *f = *state;

	build(f, false);
	/* 1.5 s of CPU in the 2 s since the row was first seen */
	assert_float_equal(row(f, 3)->own.v[WV_TOP_CPU], 75, 0.01);
	assert_int_equal(f->t.interval_ns, 0);
}

static void top_subtree_sums_own_counters_and_takes_the_kernels_tree_figure(void **state)
{
	struct fixture *f = *state;

	build(f, true);
	assert_float_equal(row(f, 2)->tree.v[WV_TOP_CPU], 75, 0.01);
	assert_float_equal(row(f, 1)->tree.v[WV_TOP_CPU], 135, 0.01);
	/* charged to /a by the kernel: not the sum of its children, and counted once above */
	assert_float_equal(row(f, 2)->tree.v[WV_TOP_MEM], 5.0 * (1 << 20), 1);
	assert_float_equal(row(f, 1)->tree.v[WV_TOP_MEM], 5.0 * (1 << 20), 1);
	assert_float_equal(row(f, 2)->own.v[WV_TOP_MEM], 0, 1);
}

static void top_of_a_parent_does_not_jump_when_a_child_goes(void **state)
{
	struct fixture *f = *state;

	/* what sample.c does when /a/y is removed */
	wv_sample_fold(&f->now, 4, 2);
	f->now.rows[4].flags = 0;
	build(f, true);
	assert_float_equal(row(f, 2)->own.v[WV_TOP_CPU], 0, 0.01);
	assert_float_equal(row(f, 2)->tree.v[WV_TOP_CPU], 50, 0.01);
}

static void top_slot_of_another_cgroup_starts_anew(void **state)
{
	struct fixture *f = *state;

	f->now.rows[5].key = 999;
	f->now.rows[5].created_mono_ns = 2500000000;
	f->now.rows[5].f.v[WV_SIG_CPU_USAGE] = 100000000;
	build(f, true);
	/* 0.1 s in the half second of its life */
	assert_float_equal(row(f, 5)->own.v[WV_TOP_CPU], 20, 0.01);
}

static void top_tree_is_sorted_among_siblings(void **state)
{
	struct fixture *f = *state;
	char buf[64];

	build(f, true);
	assert_string_equal(lines(f, buf), "1 2 3 4 5");
	f->o.sort = WV_TOP_BY_NAME;
	build(f, true);
	assert_string_equal(lines(f, buf), "1 2 3 4 5");
	f->now.rows[5].f.v[WV_SIG_CPU_USAGE] += 500000000;
	f->o.sort = WV_TOP_CPU;
	build(f, true);
	assert_string_equal(lines(f, buf), "1 5 2 3 4");
	f->o.flat = true;
	build(f, true);
	assert_string_equal(lines(f, buf), "5 3 4 1 2");
}

static void top_filter_keeps_ancestors_in_a_tree(void **state)
{
	struct fixture *f = *state;
	char buf[64];

	snprintf(f->o.filter, sizeof(f->o.filter), "/Y");
	build(f, true);
	assert_string_equal(lines(f, buf), "1 2 4");
	f->o.flat = true;
	build(f, true);
	assert_string_equal(lines(f, buf), "4");
	snprintf(f->o.filter, sizeof(f->o.filter), "nothing");
	build(f, true);
	assert_string_equal(lines(f, buf), "");
}

static void top_folded_cgroup_hides_its_children(void **state)
{
	struct fixture *f = *state;
	char buf[64];

	assert_int_equal(wv_top_fold(&f->folds, 102, true), 0);
	assert_int_equal(wv_top_fold(&f->folds, 102, true), 0);
	build(f, true);
	assert_string_equal(lines(f, buf), "1 2 5");
	assert_true(f->t.lines[1].folded);
	assert_int_equal(wv_top_fold(&f->folds, 102, false), 0);
	build(f, true);
	assert_string_equal(lines(f, buf), "1 2 3 4 5");
}

static void top_damaged_parent_links_make_no_loop(void **state)
{
	struct fixture *f = *state;
	char buf[64];

	f->now.rows[2].parent_slot = 3;
	f->now.rows[2].parent_key = 103;
	f->now.rows[5].parent_slot = 4000000;
	build(f, true);
	assert_int_equal(f->t.n_lines, 5);
	(void)lines(f, buf);
}

static void top_path_of_hostile_bytes_is_printable(void **state)
{
	struct wv_row r = {.path = "/a\x1b[2Jb\n\xff\xc3\xa4"};
	char buf[300];

	(void)state;
	assert_string_equal(wv_top_path(&r, buf, sizeof(buf)), "/a?[2Jb??\xc3\xa4");
	assert_string_equal(wv_top_path(&r, buf, 4), "/a?");
}

static void top_sparkline_shows_the_smallest_count(void **state)
{
	struct wv_hist h = {.bucket = {[0] = 1, [1] = 1000}};
	char buf[4 * WV_HIST_BUCKETS + 1];

	(void)state;
	assert_memory_equal(wv_top_sparkline(&h, false, buf), ".@", 2);
	assert_int_equal(strlen(buf), WV_HIST_BUCKETS);
	assert_memory_equal(wv_top_sparkline(&h, true, buf), "▁█ ", 7);
}

static void words_are_short_and_round_rightly(void **state)
{
	char buf[WV_WORD];

	(void)state;
	assert_string_equal(wv_word_bytes(buf, 1023), "1023 B");
	assert_string_equal(wv_word_bytes(buf, 1536), "1.50 KiB");
	assert_string_equal(wv_word_bytes(buf, 1048575), "1.00 MiB");
	assert_string_equal(wv_word_span(buf, 999), "999 ns");
	assert_string_equal(wv_word_span(buf, 1500000), "1.50 ms");
	assert_string_equal(wv_word_span(buf, 90000000000ULL), "1 min 30 s");
	assert_string_equal(wv_word_count(buf, 12345), "12.3k");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(top_rates_are_changes_a_second),
		TEST(top_without_a_sample_before_shows_means),
		TEST(top_subtree_sums_own_counters_and_takes_the_kernels_tree_figure),
		TEST(top_of_a_parent_does_not_jump_when_a_child_goes),
		TEST(top_slot_of_another_cgroup_starts_anew),
		TEST(top_tree_is_sorted_among_siblings),
		TEST(top_filter_keeps_ancestors_in_a_tree),
		TEST(top_folded_cgroup_hides_its_children),
		TEST(top_damaged_parent_links_make_no_loop),
		TEST(top_path_of_hostile_bytes_is_printable),
		TEST(top_sparkline_shows_the_smallest_count),
		TEST(words_are_short_and_round_rightly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
