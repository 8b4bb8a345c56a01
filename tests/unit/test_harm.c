// SPDX-License-Identifier: GPL-2.0-only
/* Who hurts whom: the samples are made up, so that the right answer is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "user/flow/harm.h"

#define SECOND 1000000000ULL
#define MS 1000000ULL
#define ROWS 8
/* slots: 0 other, 1 root, 2 /web, 3 /batch, 4 /pod, 5 /pod/a, 6 /pod/b */
enum { OTHER, ROOT, WEB, BATCH, POD, POD_A, POD_B, USED };

struct pair {
	struct wv_sample before, now;
};

static void add_row(struct wv_sample *s, uint32_t slot, uint32_t parent, const char *path)
{
	struct wv_row *r = &s->rows[slot];

	*r = (struct wv_row){.key = slot,
			     .parent_key = parent,
			     .parent_slot = parent,
			     .created_mono_ns = SECOND,
			     .flags = WV_ROW_LIVE};
	snprintf(r->path, sizeof(r->path), "%s", path);
}

static void fill(struct wv_sample *s, uint64_t mono_ns)
{
	assert_int_equal(wv_sample_init(s, ROWS), 0);
	s->mono_ns = mono_ns;
	s->used_rows = USED;
	add_row(s, OTHER, OTHER, "other");
	add_row(s, ROOT, OTHER, "/");
	add_row(s, WEB, ROOT, "/web");
	add_row(s, BATCH, ROOT, "/batch");
	add_row(s, POD, ROOT, "/pod");
	add_row(s, POD_A, POD, "/pod/a");
	add_row(s, POD_B, POD, "/pod/b");
}

static int set_up(void **state)
{
	static struct pair p;

	p = (struct pair){0};
	fill(&p.before, 10 * SECOND);
	fill(&p.now, 11 * SECOND);
	*state = &p;
	return 0;
}

static int tear_down(void **state)
{
	struct pair *p = *state;

	wv_sample_done(&p->before);
	wv_sample_done(&p->now);
	return 0;
}

static void set(struct pair *p, uint32_t slot, enum wv_signal s, uint64_t before, uint64_t now)
{
	p->before.rows[slot].f.v[s] = before;
	p->now.rows[slot].f.v[s] = now;
}

/* On 2 CPUs: what slot used and waited in the second, in ms. */
static void cpu(struct pair *p, uint32_t slot, uint64_t used_ms, uint64_t waited_ms)
{
	set(p, slot, WV_SIG_CPU_USAGE, 500 * MS, 500 * MS + used_ms * MS);
	set(p, slot, WV_SIG_CPU_RUN_DELAY, 70 * MS, 70 * MS + waited_ms * MS);
}

static size_t rank(const struct pair *p, struct wv_harm ret[static 8])
{
	size_t n = 99;

	assert_int_equal(wv_harm_rank(&p->now, &p->before, 2, ret, 8, &n), 0);
	return n;
}

static void harm_idle_machine_finds_nothing(void **state)
{
	struct wv_harm h[8];

	cpu(*state, WEB, 3, 0);
	assert_int_equal(rank(*state, h), 0);
}

static void harm_cpu_hog_is_named_with_its_share(void **state)
{
	struct wv_harm h[8];

	cpu(*state, WEB, 200, 600);
	cpu(*state, BATCH, 1700, 4000);
	cpu(*state, POD_A, 100, 5);
	assert_int_equal(rank(*state, h), 1);
	assert_int_equal(h[0].kind, WV_HARM_CPU);
	assert_int_equal(h[0].cause, WV_HARM_OTHER);
	assert_int_equal(h[0].victim, WEB);
	assert_int_equal(h[0].culprit, BATCH);
	assert_int_equal(h[0].wait_ns, 600 * MS);
	assert_int_equal(h[0].share_permille, 850);
	/* 600 ms x (1.7 - 0.2) / 2.0 */
	assert_in_range(h[0].blamed_ns, 449 * MS, 451 * MS);
	/* of the 800 ms that it needed */
	assert_in_range(h[0].lost_permille, 561, 564);
	assert_int_equal(h[0].confidence, WV_HARM_HIGH);
}

static void harm_equals_blame_nobody(void **state)
{
	struct wv_harm h[8];

	cpu(*state, WEB, 1000, 2000);
	cpu(*state, BATCH, 1000, 2000);
	assert_int_equal(rank(*state, h), 0);
}

static void harm_own_threads_blame_nobody(void **state)
{
	struct wv_harm h[8];

	cpu(*state, BATCH, 2000, 9000);
	cpu(*state, WEB, 1, 0);
	assert_int_equal(rank(*state, h), 0);
}

static void harm_other_row_counts_and_is_never_named(void **state)
{
	struct wv_harm h[8];

	cpu(*state, OTHER, 1500, 0);
	cpu(*state, WEB, 100, 900);
	cpu(*state, BATCH, 400, 0);
	assert_int_equal(rank(*state, h), 1);
	assert_int_equal(h[0].culprit, BATCH);
	assert_int_equal(h[0].share_permille, 200);
	assert_int_equal(h[0].confidence, WV_HARM_LOW);
}

static void harm_short_time_has_low_confidence(void **state)
{
	struct pair *p = *state;
	struct wv_harm h[8];

	p->now.mono_ns = p->before.mono_ns + SECOND / 2;
	cpu(p, WEB, 100, 300);
	cpu(p, BATCH, 900, 0);
	assert_int_equal(rank(p, h), 1);
	assert_int_equal(h[0].confidence, WV_HARM_LOW);
}

static void harm_on_a_machine_half_idle_has_low_confidence(void **state)
{
	struct wv_harm h[8];

	cpu(*state, WEB, 50, 100);
	cpu(*state, BATCH, 800, 0);
	assert_int_equal(rank(*state, h), 1);
	assert_int_equal(h[0].confidence, WV_HARM_LOW);
}

static void harm_below_the_floor_is_none(void **state)
{
	struct wv_harm h[8];

	cpu(*state, WEB, 5, 15); /* most of its need, but nearly no time */
	cpu(*state, BATCH, 1900, 0);
	assert_int_equal(rank(*state, h), 0);
}

static void harm_dead_childs_figures_are_not_the_parents(void **state)
{
	struct pair *p = *state;
	struct wv_harm h[8];

	cpu(p, BATCH, 1700, 0);
	cpu(p, WEB, 200, 0);
	/* a child of /web died in this second and left its waiting */
	p->now.rows[WEB].flags |= WV_ROW_BASE;
	p->now.rows[WEB].f.v[WV_SIG_CPU_RUN_DELAY] += 5 * SECOND;
	p->now.base[WEB].v[WV_SIG_CPU_RUN_DELAY] = 5 * SECOND;
	assert_int_equal(rank(p, h), 0);
}

static void harm_new_cgroup_in_a_used_slot_starts_at_zero(void **state)
{
	struct pair *p = *state;
	struct wv_harm h[8];

	cpu(p, BATCH, 1700, 0);
	cpu(p, WEB, 200, 0);
	/* another cgroup had the slot, with far larger counters */
	p->before.rows[WEB].key = 77;
	p->before.rows[WEB].f.v[WV_SIG_CPU_RUN_DELAY] = 90 * SECOND;
	p->now.rows[WEB].created_mono_ns = p->now.mono_ns - SECOND;
	p->now.rows[WEB].f.v[WV_SIG_CPU_RUN_DELAY] = 600 * MS;
	p->now.rows[WEB].f.v[WV_SIG_CPU_USAGE] = 200 * MS;
	assert_int_equal(rank(p, h), 1);
	assert_int_equal(h[0].wait_ns, 600 * MS);
}

static void harm_own_quota_is_the_cause(void **state)
{
	struct wv_harm h[8];

	cpu(*state, BATCH, 1000, 0);
	cpu(*state, POD_A, 200, 700);
	set(*state, POD, WV_SIG_CPU_THROTTLED, 5 * SECOND, 5 * SECOND + 650 * MS);
	assert_int_equal(rank(*state, h), 1);
	assert_int_equal(h[0].cause, WV_HARM_LIMIT);
	assert_int_equal(h[0].victim, POD_A);
	assert_int_equal(h[0].culprit, POD);
	assert_int_equal(h[0].blamed_ns, 650 * MS);
}

static void harm_small_quota_is_taken_off_the_wait(void **state)
{
	struct wv_harm h[8];

	cpu(*state, WEB, 200, 600);
	cpu(*state, BATCH, 1800, 0);
	set(*state, WEB, WV_SIG_CPU_THROTTLED, 0, 100 * MS);
	assert_int_equal(rank(*state, h), 1);
	assert_int_equal(h[0].cause, WV_HARM_OTHER);
	/* (600 - 100) ms x (1.8 - 0.2) / 2.0 */
	assert_in_range(h[0].blamed_ns, 399 * MS, 401 * MS);
}

static void harm_reclaim_is_blamed_on_who_takes_new_pages(void **state)
{
	struct wv_harm h[8];

	set(*state, WEB, WV_SIG_MEM_RECLAIM, 0, 300 * MS);
	set(*state, WEB, WV_SIG_MEM_MINOR_FAULTS, 0, 100);
	set(*state, BATCH, WV_SIG_MEM_MINOR_FAULTS, 1000, 51000);
	assert_int_equal(rank(*state, h), 1);
	assert_int_equal(h[0].kind, WV_HARM_MEMORY);
	assert_int_equal(h[0].victim, WEB);
	assert_int_equal(h[0].culprit, BATCH);
	assert_in_range(h[0].culprit_took, 50000.0 * 4096 * 0.99, 50000.0 * 4096 * 1.01);
	assert_in_range(h[0].lost_permille, 295, 300);
}

static void harm_below_a_full_limit_only_its_subtree_is_suspected(void **state)
{
	struct wv_harm h[8];

	set(*state, POD_A, WV_SIG_PSI_MEM_SOME, 0, 400000); /* us */
	set(*state, POD, WV_SIG_MEM_LIMIT, 1 << 30, 1 << 30);
	set(*state, POD, WV_SIG_MEM_USAGE, 1 << 30, 1 << 30);
	set(*state, POD_B, WV_SIG_MEM_MINOR_FAULTS, 0, 5000);
	/* takes far more, but elsewhere */
	set(*state, BATCH, WV_SIG_MEM_MINOR_FAULTS, 0, 900000);
	assert_int_equal(rank(*state, h), 1);
	assert_int_equal(h[0].victim, POD_A);
	assert_int_equal(h[0].culprit, POD_B);
	assert_int_equal(h[0].share_permille, 1000);
}

static void harm_alone_at_its_memory_limit_is_its_own_limit(void **state)
{
	struct wv_harm h[8];

	set(*state, WEB, WV_SIG_PSI_MEM_SOME, 0, 500000);
	set(*state, WEB, WV_SIG_MEM_LIMIT, 1 << 30, 1 << 30);
	set(*state, WEB, WV_SIG_MEM_USAGE, 1 << 30, 1 << 30);
	set(*state, WEB, WV_SIG_MEM_MINOR_FAULTS, 0, 5000);
	set(*state, BATCH, WV_SIG_MEM_MINOR_FAULTS, 0, 900000);
	assert_int_equal(rank(*state, h), 1);
	assert_int_equal(h[0].cause, WV_HARM_LIMIT);
	assert_int_equal(h[0].culprit, WEB);
	assert_int_equal(h[0].blamed_ns, 500 * MS);
}

static void harm_pressure_of_a_parent_is_not_counted_twice(void **state)
{
	struct wv_harm h[8];

	set(*state, POD_A, WV_SIG_PSI_MEM_SOME, 0, 400000);
	set(*state, POD, WV_SIG_PSI_MEM_SOME, 0, 400000);
	set(*state, ROOT, WV_SIG_PSI_MEM_SOME, 0, 400000);
	set(*state, BATCH, WV_SIG_MEM_MINOR_FAULTS, 0, 900000);
	assert_int_equal(rank(*state, h), 1);
	assert_int_equal(h[0].victim, POD_A);
}

static void harm_io_is_blamed_on_who_fills_the_queue(void **state)
{
	struct pair *p = *state;
	struct wv_harm h[8];

	p->now.rows[WEB].f.hist[WV_HIST_IO_LATENCY].sum_ns = 800 * MS;
	p->now.rows[BATCH].f.hist[WV_HIST_IO_LATENCY].sum_ns = 31 * SECOND;
	assert_int_equal(rank(p, h), 1);
	assert_int_equal(h[0].kind, WV_HARM_IO);
	assert_int_equal(h[0].victim, WEB);
	assert_int_equal(h[0].culprit, BATCH);
	assert_in_range(h[0].culprit_took, 31, 31);
	assert_false(h[0].by_bytes);
}

static void harm_io_without_request_times_goes_by_bytes(void **state)
{
	struct wv_harm h[8];

	set(*state, WEB, WV_SIG_PSI_IO_SOME, 0, 300000);
	set(*state, BATCH, WV_SIG_IO_WRITE_BYTES, 0, 200 << 20);
	assert_int_equal(rank(*state, h), 1);
	assert_int_equal(h[0].kind, WV_HARM_IO);
	assert_int_equal(h[0].culprit, BATCH);
	assert_true(h[0].by_bytes);
}

static void harm_first_sample_alone_judges_by_what_hooks_saw(void **state)
{
	struct pair *p = *state;
	struct wv_harm h[8];
	size_t n;

	cpu(p, WEB, 200, 600);
	cpu(p, BATCH, 1700, 0);
	for (uint32_t s = 0; s < USED; s++)
		p->now.rows[s].created_mono_ns = p->now.mono_ns - SECOND;
	/* since its cgroup was made, which tells nothing of now */
	set(p, POD_A, WV_SIG_PSI_MEM_SOME, 0, 90000000);
	set(p, BATCH, WV_SIG_MEM_MINOR_FAULTS, 0, 900000);
	assert_int_equal(wv_harm_rank(&p->now, NULL, 2, h, 8, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(h[0].victim, WEB);
	assert_int_equal(h[0].culprit, BATCH);
}

static void harm_worst_comes_first_and_max_is_kept(void **state)
{
	struct pair *p = *state;
	struct wv_harm h[8];
	size_t n;

	cpu(p, BATCH, 1700, 0);
	cpu(p, WEB, 100, 100);
	cpu(p, POD_A, 100, 900);
	cpu(p, POD_B, 100, 400);
	assert_int_equal(rank(p, h), 3);
	assert_int_equal(h[0].victim, POD_A);
	assert_int_equal(h[1].victim, POD_B);
	assert_int_equal(h[2].victim, WEB);
	assert_int_equal(wv_harm_rank(&p->now, &p->before, 2, h, 2, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(h[0].victim, POD_A);
	assert_int_equal(h[1].victim, POD_B);
}

static void harm_parents_in_a_circle_end(void **state)
{
	struct pair *p = *state;
	struct wv_harm h[8];

	cpu(p, BATCH, 1700, 0);
	cpu(p, WEB, 100, 900);
	p->now.rows[WEB].parent_slot = POD;
	p->now.rows[WEB].parent_key = POD;
	p->now.rows[POD].parent_slot = WEB;
	p->now.rows[POD].parent_key = WEB;
	set(p, WEB, WV_SIG_MEM_RECLAIM, 0, 300 * MS);
	assert_in_range(rank(p, h), 1, 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(harm_idle_machine_finds_nothing),
		T(harm_cpu_hog_is_named_with_its_share),
		T(harm_equals_blame_nobody),
		T(harm_own_threads_blame_nobody),
		T(harm_other_row_counts_and_is_never_named),
		T(harm_short_time_has_low_confidence),
		T(harm_on_a_machine_half_idle_has_low_confidence),
		T(harm_below_the_floor_is_none),
		T(harm_dead_childs_figures_are_not_the_parents),
		T(harm_new_cgroup_in_a_used_slot_starts_at_zero),
		T(harm_own_quota_is_the_cause),
		T(harm_small_quota_is_taken_off_the_wait),
		T(harm_reclaim_is_blamed_on_who_takes_new_pages),
		T(harm_below_a_full_limit_only_its_subtree_is_suspected),
		T(harm_alone_at_its_memory_limit_is_its_own_limit),
		T(harm_pressure_of_a_parent_is_not_counted_twice),
		T(harm_io_is_blamed_on_who_fills_the_queue),
		T(harm_io_without_request_times_goes_by_bytes),
		T(harm_first_sample_alone_judges_by_what_hooks_saw),
		T(harm_worst_comes_first_and_max_is_kept),
		T(harm_parents_in_a_circle_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
