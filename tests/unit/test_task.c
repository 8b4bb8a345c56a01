// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/collect/task.h"

#define SEC 1000000000ULL
#define LIMIT (30 * SEC)

#define STAT_TAIL                                                                                  \
	" 1 42 42 0 -1 4194304 10 20 30 40 5 6 7 8 20 0 17 0 987654 1000 50 18446744073709551615 " \
	"1 1"

static void stat_plain_line_is_read(void **state)
{
	struct wv_task_stat s;

	(void)state;
	assert_int_equal(wv_task_stat_parse("42 (cat) S" STAT_TAIL, &s), 0);
	assert_int_equal(s.pid, 42);
	assert_int_equal(s.state, 'S');
	assert_int_equal(s.threads, 17);
	assert_int_equal(s.start_ticks, 987654);
	assert_string_equal(s.comm, "cat");
}

static void stat_hostile_name_does_not_shift_fields(void **state)
{
	struct wv_task_stat s;

	(void)state;
	assert_int_equal(wv_task_stat_parse("42 (x) R 9 9 (\n) D" STAT_TAIL, &s), 0);
	assert_int_equal(s.state, 'D');
	assert_int_equal(s.threads, 17);
	assert_memory_equal(s.comm, "x) R 9 9 (\n", 12);
	/* kernel threads' names are longer than 16 in /proc */
	assert_int_equal(wv_task_stat_parse("42 (kworker/u8:3-events_unbound) I" STAT_TAIL, &s), 0);
	assert_memory_equal(s.comm, "kworker/u8:3-eve", 16);
}

static void stat_cut_line_is_refused(void **state)
{
	static const char *const bad[] = {"",
					  "42",
					  "42 (cat",
					  "42 cat) S 1",
					  "42 )cat( S" STAT_TAIL,
					  "42 (cat) S 1 42 42 0",
					  "x (cat) S" STAT_TAIL};
	struct wv_task_stat s = {.pid = 5};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(wv_task_stat_parse(bad[i], &s), -EINVAL);
	assert_int_equal(s.pid, 5);
}

static int parse_cgroup(const char *text, const char *controller, const char **ret_path)
{
	static char copy[512];

	strncpy(copy, text, sizeof(copy) - 1);
	return wv_task_cgroup_parse(copy, controller, ret_path);
}

static void cgroup_pure_v2_gives_its_path(void **state)
{
	const char *path;

	(void)state;
	assert_int_equal(parse_cgroup("0::/a.slice/b:c.service\n", NULL, &path), 2);
	assert_string_equal(path, "/a.slice/b:c.service");
	assert_int_equal(parse_cgroup("0::/\n", NULL, &path), 2);
	assert_string_equal(path, "/");
}

static void cgroup_hybrid_takes_v1_for_tasks_of_the_v2_root(void **state)
{
	static const char root[] =
		"3:cpu,cpuacct:/x\n2:memory:/docker/1\n1:name=systemd:/s\n0::/\n";
	static const char own[] = "2:memory:/docker/1\n0::/mine\n";
	const char *path;

	(void)state;
	assert_int_equal(parse_cgroup(root, "memory", &path), 1);
	assert_string_equal(path, "/docker/1");
	assert_int_equal(parse_cgroup(root, "cpuacct", &path), 1);
	assert_string_equal(path, "/x");
	assert_int_equal(parse_cgroup(own, "memory", &path), 2);
	assert_string_equal(path, "/mine");
	assert_int_equal(parse_cgroup(root, "pids", &path), 2);
	assert_int_equal(parse_cgroup("", "memory", &path), -ENOENT);
	assert_int_equal(parse_cgroup("nonsense\n5\n", NULL, &path), -ENOENT);
}

static struct wv_dtask sleeper(uint32_t pid, uint64_t switches)
{
	return (struct wv_dtask){.pid = pid, .start = 1000 + pid, .switches = switches};
}

static struct wv_stuck_age see(struct wv_stuck *s, struct wv_dtask t, uint64_t now_ns)
{
	return wv_stuck_see(s, &t, LIMIT, now_ns);
}

static struct wv_stuck *make_stuck(void)
{
	struct wv_stuck *s = NULL;

	assert_int_equal(wv_stuck_new(&s), 0);
	return s;
}

static void stuck_same_sleep_grows_old_and_crosses_once(void **state)
{
	struct wv_stuck *s = make_stuck();
	unsigned crossed = 0;

	(void)state;
	for (uint64_t t = 100; t <= 160; t++) {
		struct wv_stuck_age age;

		wv_stuck_begin(s);
		age = see(s, sleeper(5, 77), t * SEC);
		wv_stuck_end(s);
		assert_int_equal(age.ns, (t - 100) * SEC);
		crossed += age.crossed;
		assert_int_equal(crossed, t >= 130);
	}
	wv_stuck_free(s);
}

static void stuck_switch_or_new_task_starts_anew(void **state)
{
	struct wv_stuck *s = make_stuck();
	struct wv_dtask reused = {.pid = 5, .start = 9, .switches = 78};

	(void)state;
	wv_stuck_begin(s);
	see(s, sleeper(5, 77), 0);
	wv_stuck_end(s);
	wv_stuck_begin(s);
	assert_int_equal(see(s, sleeper(5, 78), 50 * SEC).ns, 0); /* it ran in between */
	wv_stuck_end(s);
	wv_stuck_begin(s);
	assert_int_equal(see(s, reused, 100 * SEC).ns, 0); /* same pid, another task */
	wv_stuck_end(s);
	wv_stuck_free(s);
}

static void stuck_unseen_task_is_forgotten(void **state)
{
	struct wv_stuck *s = make_stuck();

	(void)state;
	wv_stuck_begin(s);
	see(s, sleeper(5, 77), 0);
	wv_stuck_end(s);
	wv_stuck_begin(s);
	wv_stuck_end(s);
	wv_stuck_begin(s);
	assert_int_equal(see(s, sleeper(5, 77), 50 * SEC).ns, 0);
	wv_stuck_free(s);
}

static void stuck_incomplete_walk_forgets_nobody(void **state)
{
	struct wv_stuck *s = make_stuck();

	(void)state;
	wv_stuck_begin(s);
	see(s, sleeper(5, 77), 0);
	wv_stuck_end(s);
	wv_stuck_begin(s); /* broke off before it came to pid 5 */
	see(s, sleeper(4, 1), 10 * SEC);
	wv_stuck_begin(s);
	assert_int_equal(see(s, sleeper(5, 77), 20 * SEC).ns, 20 * SEC);
	wv_stuck_free(s);
}

static void stuck_full_table_counts_what_it_leaves_out(void **state)
{
	struct wv_stuck *s = make_stuck();
	uint32_t aged = 0;

	(void)state;
	for (unsigned walk = 0; walk < 3; walk++) {
		wv_stuck_begin(s);
		for (uint32_t pid = 1; pid <= WV_STUCK_MAX + 10; pid++)
			aged += see(s, sleeper(pid * 64, 1), walk * 40 * SEC).ns >= LIMIT;
		wv_stuck_end(s);
	}
	assert_int_equal(aged, 2 * WV_STUCK_MAX);
	assert_int_equal(wv_stuck_untracked(s), 30);
	wv_stuck_free(s);
}

static void cadence_cheap_walk_is_every_tick(void **state)
{
	struct wv_cadence c = {0};

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		assert_true(wv_cadence_due(&c));
		wv_cadence_spent(&c, 4999999, 5000000);
	}
}

static void cadence_dear_walk_stays_within_budget(void **state)
{
	struct wv_cadence c = {0};
	uint64_t spent = 0;

	(void)state;
	for (unsigned tick = 0; tick < 1000; tick++) {
		if (!wv_cadence_due(&c))
			continue;
		spent += 23000000;
		wv_cadence_spent(&c, 23000000, 5000000);
	}
	assert_int_equal(c.every, 5);
	assert_true(spent <= 1000ULL * 5000000);
	wv_cadence_spent(&c, 1000 * SEC, 5000000);
	assert_int_equal(c.every, WV_WALK_EVERY_MAX);
	/* it comes back when walks are cheap again */
	for (unsigned i = 0; i < 100; i++)
		wv_cadence_spent(&c, 1000, 5000000);
	assert_int_equal(c.every, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_plain_line_is_read),
		cmocka_unit_test(stat_hostile_name_does_not_shift_fields),
		cmocka_unit_test(stat_cut_line_is_refused),
		cmocka_unit_test(cgroup_pure_v2_gives_its_path),
		cmocka_unit_test(cgroup_hybrid_takes_v1_for_tasks_of_the_v2_root),
		cmocka_unit_test(stuck_same_sleep_grows_old_and_crosses_once),
		cmocka_unit_test(stuck_switch_or_new_task_starts_anew),
		cmocka_unit_test(stuck_unseen_task_is_forgotten),
		cmocka_unit_test(stuck_incomplete_walk_forgets_nobody),
		cmocka_unit_test(stuck_full_table_counts_what_it_leaves_out),
		cmocka_unit_test(cadence_cheap_walk_is_every_tick),
		cmocka_unit_test(cadence_dear_walk_stays_within_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
