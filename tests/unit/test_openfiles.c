// SPDX-License-Identifier: GPL-2.0-only
/* Caps on open files, on a table of processes that are not real; with an agent that dies anywhere.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/enforce/openfiles.h"

#define A 1000 /* keys of cgroups: inner is in A */
#define INNER 1001
#define B 2000

static struct fake {
	pid_t pid, parent;
	uint64_t start_ns, soft, hard, cgroup;
	bool denied;
} table[32];
static size_t n_table;
static uint64_t gone;		     /* a cgroup that is no more */
static unsigned sets, calls, die_at; /* calls of the agent; 0: it lives for ever */

static char state_dir[64];
static struct wv_openfiles o;

/* Whether the agent is dead before this call has an effect. */
static bool dead(void)
{
	return ++calls >= die_at && die_at;
}

static struct fake *find(pid_t pid)
{
	for (size_t i = 0; i < n_table; i++)
		if (table[i].pid == pid)
			return &table[i];
	return NULL;
}

static int f_list(void *ctx _unused_, uint64_t key, const char *folder _unused_,
		  int (*fn)(void *arg, pid_t pid), void *arg)
{
	int r = 0;

	if (key == gone)
		return -ENOENT;
	for (size_t i = n_table; r == 0 && i-- > 0;) {
		if (table[i].cgroup != key && !(key == A && table[i].cgroup == INNER))
			continue;
		r = fn(arg, table[i].pid);
		r = r ?: fn(arg, table[i].pid); /* told twice */
	}
	return r;
}

static int f_get(void *ctx _unused_, pid_t pid, struct rlimit *ret)
{
	struct fake *f = find(pid);

	if (!f)
		return -ESRCH;
	*ret = (struct rlimit){f->soft, f->hard};
	return f->denied ? -EPERM : 0;
}

static int f_set(void *ctx _unused_, pid_t pid, const struct rlimit *limit)
{
	struct fake *f = find(pid);

	if (dead())
		return -EIO;
	if (!f)
		return -ESRCH;
	assert_int_equal(limit->rlim_max, f->hard);
	assert_true(limit->rlim_cur <= f->hard);
	f->soft = limit->rlim_cur;
	sets++;
	return 0;
}

static uint64_t f_start(void *ctx _unused_, pid_t pid)
{
	struct fake *f = find(pid);

	return f ? f->start_ns : 0;
}

static pid_t f_parent(void *ctx _unused_, pid_t pid)
{
	struct fake *f = find(pid);

	return f ? f->parent : 0;
}

static const struct wv_processes fakes = {
	.list = f_list, .get = f_get, .set = f_set, .start_ns = f_start, .parent = f_parent};

static ssize_t dying_write(void *ctx, int fd, const void *buf, size_t len)
{
	return dead() ? -EIO : wv_io_system.write(ctx, fd, buf, len);
}

static int dying_rename(void *ctx, int dirfd, const char *from, const char *to)
{
	return dead() ? -EIO : wv_io_system.rename(ctx, dirfd, from, to);
}

static struct wv_io io;

static void process(pid_t pid, pid_t parent, uint64_t cgroup, uint64_t soft)
{
	table[n_table++] = (struct fake){.pid = pid,
					 .parent = parent,
					 .start_ns = (uint64_t)pid * 10,
					 .soft = soft,
					 .hard = 20000,
					 .cgroup = cgroup};
}

static uint64_t soft(pid_t pid)
{
	return find(pid)->soft;
}

static void reopen(void)
{
	wv_openfiles_close(&o);
	assert_int_equal(wv_openfiles_open(&o, &io, &fakes, state_dir, "boot"), 0);
}

static int setup(void **state _unused_)
{
	io = wv_io_system;
	io.write = dying_write;
	io.rename = dying_rename;
	n_table = 0;
	sets = calls = die_at = 0;
	gone = 0;
	snprintf(state_dir, sizeof(state_dir), "/tmp/wv-open-XXXXXX");
	if (!mkdtemp(state_dir))
		return -1;
	o = (struct wv_openfiles){.dir = -1};
	return wv_openfiles_open(&o, &io, &fakes, state_dir, "boot");
}

static int teardown(void **state _unused_)
{
	char command[128];

	wv_openfiles_close(&o);
	snprintf(command, sizeof(command), "rm -rf %s", state_dir);
	return system(command);
}

static void want(uint64_t key, uint64_t cap)
{
	assert_int_equal(wv_openfiles_want(&o, key, "/x", cap), 0);
}

static void pass(void)
{
	assert_int_equal(wv_openfiles_pass(&o), 0);
}

static void sweep(void)
{
	assert_int_equal(wv_openfiles_sweep(&o), 0);
}

static const struct wv_openfiles_result *result(uint64_t key)
{
	return &wv_openfiles_find(&o, key)->result;
}

static void openfiles_cap_lowers_and_release_restores(void **state _unused_)
{
	process(10, 1, A, 20000);
	process(11, 1, A, 1024);
	process(12, 1, A, 50); /* less than the cap */
	process(13, 1, B, 20000);
	want(A, 100);
	pass();
	assert_int_equal(soft(10), 100);
	assert_int_equal(soft(11), 100);
	assert_int_equal(soft(12), 50);
	assert_int_equal(soft(13), 20000);
	assert_int_equal(result(A)->lowered, 2);
	assert_int_equal(result(A)->fine, 1);
	sweep();
	sets = 0;
	pass();
	assert_int_equal(sets, 0);
	assert_int_equal(result(A)->fine, 3);
	want(A, WV_UNSET);
	pass();
	assert_int_equal(result(A)->restored, 2);
	sweep();
	assert_int_equal(o.n_caps + o.n_list, 0);
	assert_int_equal(soft(10), 20000);
	assert_int_equal(soft(11), 1024);
	assert_int_equal(soft(12), 50);
}

static void openfiles_children_inherit_and_are_restored(void **state _unused_)
{
	process(10, 1, A, 20000);
	process(11, 1, A, 100); /* its own, and just the cap */
	process(12, 1, A, 4096);
	want(A, 100);
	pass();
	process(20, 10, A, 100);
	process(21, 20, A, 100); /* grandchild */
	process(22, 11, A, 100);
	process(23, 12, A, 100);
	process(24, 1, A, 100); /* an orphan */
	sets = 0;
	pass();
	assert_int_equal(sets, 0);
	reopen(); /* another agent */
	want(A, WV_UNSET);
	pass();
	assert_int_equal(soft(10), 20000);
	assert_int_equal(soft(20), 20000);
	assert_int_equal(soft(21), 20000);
	assert_int_equal(soft(11), 100);
	assert_int_equal(soft(22), 100);
	assert_int_equal(soft(12), 4096);
	assert_int_equal(soft(23), 4096);
	assert_true(soft(24) == 20000 || soft(24) == 4096);
}

static void openfiles_cap_that_changes_keeps_what_was(void **state _unused_)
{
	process(10, 1, A, 20000);
	want(A, 100);
	pass();
	process(20, 10, A, 100);
	want(A, 50);
	pass();
	assert_int_equal(soft(10), 50);
	assert_int_equal(soft(20), 50);
	want(A, 200);
	pass();
	assert_int_equal(soft(10), 200);
	assert_int_equal(soft(20), 200);
	want(A, 30000); /* above all: nobody is lowered */
	pass();
	assert_int_equal(soft(10), 20000);
	assert_int_equal(soft(20), 20000);
	want(A, WV_UNSET);
	pass();
	assert_int_equal(soft(10), 20000);
}

static void openfiles_limit_raised_again_is_corrected_and_told(void **state _unused_)
{
	process(10, 1, A, 20000);
	want(A, 100);
	pass();
	find(10)->soft = 150;
	pass();
	assert_int_equal(soft(10), 100);
	assert_int_equal(result(A)->lowered, 1);
	assert_int_equal(result(A)->again, 1);
	assert_int_equal(o.list[0].old, 20000);
	find(10)->soft = 20000; /* also to what it had at first */
	pass();
	assert_int_equal(soft(10), 100);
	assert_int_equal(result(A)->again, 1);
	find(10)->soft = 60; /* its own affair */
	pass();
	assert_int_equal(soft(10), 60);
	want(A, WV_UNSET);
	pass();
	assert_int_equal(soft(10), 60);
}

static void openfiles_tightest_of_nested_caps_counts(void **state _unused_)
{
	process(10, 1, A, 20000);
	process(11, 1, INNER, 20000);
	want(A, 1000);
	want(INNER, 100);
	pass();
	assert_int_equal(soft(10), 1000);
	assert_int_equal(soft(11), 100);
	sets = 0;
	pass();
	assert_int_equal(sets, 0);
	want(INNER, WV_UNSET);
	pass();
	sweep();
	assert_int_equal(soft(11), 1000);
	want(INNER, 100);
	pass();
	want(A, WV_UNSET);
	pass();
	sweep();
	assert_int_equal(soft(10), 20000);
	assert_int_equal(soft(11), 100);
	want(INNER, WV_UNSET);
	pass();
	assert_int_equal(soft(11), 20000);
}

static void openfiles_process_that_leaves_is_restored(void **state _unused_)
{
	process(10, 1, A, 20000);
	process(11, 1, A, 20000);
	process(12, 1, A, 20000);
	want(A, 100);
	pass();
	find(10)->cgroup = B;
	find(11)->start_ns++; /* ended; a later process has its number, elsewhere */
	find(11)->cgroup = B;
	pass();
	assert_int_equal(soft(10), 20000);
	assert_int_equal(soft(11), 100);
	assert_int_equal(soft(12), 100);
	gone = A; /* and so when the cgroup goes */
	find(12)->cgroup = B;
	pass();
	sweep();
	assert_int_equal(soft(12), 20000);
	assert_int_equal(o.n_caps + o.n_list, 0);
}

static void openfiles_hard_limit_that_sank_bounds_what_is_restored(void **state _unused_)
{
	process(10, 1, A, 20000);
	want(A, 100);
	pass();
	find(10)->hard = 500;
	want(A, WV_UNSET);
	pass();
	assert_int_equal(soft(10), 500);
}

static void openfiles_refusal_of_the_kernel_is_counted(void **state _unused_)
{
	process(10, 1, A, 20000);
	process(11, 1, A, 20000);
	find(11)->denied = true;
	want(A, 100);
	pass();
	assert_int_equal(result(A)->lowered, 1);
	assert_int_equal(result(A)->refused, 1);
	assert_int_equal(soft(11), 20000);
}

static void openfiles_agent_itself_is_left_alone(void **state _unused_)
{
	process(10, 1, A, 20000);
	process(11, 1, A, 20000);
	o.own[0] = 10;
	o.own[1] = 11;
	want(A, 100);
	pass();
	assert_int_equal(soft(10) + soft(11), 40000);
}

static void openfiles_without_a_durable_former_limit_nothing_is_lowered(void **state _unused_)
{
	process(10, 1, A, 20000);
	want(A, 100);
	pass();
	want(A, 50);
	die_at = calls + 1;
	assert_int_equal(wv_openfiles_pass(&o), -EIO);
	assert_int_equal(soft(10), 100);
	die_at = 0; /* there is room again */
	pass();
	assert_int_equal(soft(10), 50);
	want(A, WV_UNSET);
	pass();
	assert_int_equal(soft(10), 20000);
}

static void openfiles_of_another_boot_are_forgotten(void **state _unused_)
{
	process(10, 1, A, 20000);
	want(A, 100);
	pass();
	wv_openfiles_close(&o);
	assert_int_equal(wv_openfiles_open(&o, &io, &fakes, state_dir, "later"), 0);
	assert_int_equal(o.n_caps + o.n_list, 0);
}

static void openfiles_file_that_is_none_is_refused(void **state _unused_)
{
	static const char *const texts[] = {
		"",
		"{}",
		"[]",
		"{\"schema_version\":2,\"boot_id\":\"boot\",\"caps\":[],\"processes\":[]}",
		"{\"schema_version\":1,\"boot_id\":\"boot\",\"caps\":[{\"key\":1}],\"processes\":[]"
		"}",
		"{\"schema_version\":1,\"boot_id\":\"boot\",\"caps\":[],\"processes\":[{\"pid\":1,"
		"\"start_ns\":1,\"old\":2,\"ours\":1}]}",
		"{\"schema_version\":1,\"boot_id\":\"boot\",\"caps\":[],\"processes\":["
		"{\"pid\":9,\"start_ns\":1,\"old\":2,\"ours\":1},"
		"{\"pid\":8,\"start_ns\":1,\"old\":2,\"ours\":1}]}"};
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/enforce/" WV_OPENFILES_FILE, state_dir);
		f = fopen(path, "we");
		fputs(texts[i], f);
		fclose(f);
		wv_openfiles_close(&o);
		assert_int_equal(wv_openfiles_open(&o, &io, &fakes, state_dir, "boot"), -EBADMSG);
	}
}

/* A life of an agent: caps come, change, loosen and go. Ends early where the agent dies. */
static void live(void)
{
	static const struct {
		uint64_t key, cap;
	} acts[] = {{A, 100}, {INNER, 60}, {A, 50}, {A, 200}, {INNER, WV_UNSET}, {B, 16}, {A, 90}};

	for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
		if (wv_openfiles_want(&o, acts[i].key, "/x", acts[i].cap) < 0 ||
		    wv_openfiles_pass(&o) < 0 || wv_openfiles_sweep(&o) < 0 ||
		    (die_at && calls >= die_at))
			return;
		if (i == 1) {
			process(20, 10, A, soft(10)); /* a fork */
			process(21, 11, INNER, soft(11));
		}
	}
}

static void populate(void)
{
	n_table = 0;
	process(10, 1, A, 20000);
	process(11, 1, INNER, 4096);
	process(12, 1, B, 1024);
	process(13, 1, A, 100);
}

static void assert_as_before(unsigned at)
{
	static const struct {
		pid_t pid;
		uint64_t soft;
	} right[] = {{10, 20000}, {11, 4096}, {12, 1024}, {13, 100}, {20, 20000}, {21, 4096}};

	for (size_t i = 0; i < ARRAY_SIZE(right); i++)
		if (find(right[i].pid) && soft(right[i].pid) != right[i].soft)
			fail_msg("death at call %u: %d has %lu, had %lu", at, right[i].pid,
				 soft(right[i].pid), right[i].soft);
}

static void openfiles_agent_may_die_at_any_call(void **state _unused_)
{
	unsigned last = 0;

	for (unsigned at = 1; !last || at <= last; at++) {
		populate();
		calls = 0;
		die_at = at;
		live();
		if (calls < at)
			last = at; /* it lived to the end */
		die_at = 0;
		wv_openfiles_close(&o);
		/* detach, by another process */
		assert_int_equal(wv_openfiles_revert(&io, &fakes, state_dir, "boot", NULL), 0);
		assert_as_before(at);
		/* and the same when the next agent goes on, and only then lets go */
		populate();
		calls = 0;
		die_at = at;
		assert_int_equal(wv_openfiles_open(&o, &io, &fakes, state_dir, "boot"), 0);
		assert_int_equal(o.n_caps + o.n_list, 0);
		live();
		die_at = 0;
		reopen();
		pass();
		sweep();
		live();
		wv_openfiles_close(&o);
		assert_int_equal(wv_openfiles_revert(&io, &fakes, state_dir, "boot", NULL), 0);
		assert_as_before(at);
		reopen();
	}
	assert_true(last > 20);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(openfiles_cap_lowers_and_release_restores),
		T(openfiles_children_inherit_and_are_restored),
		T(openfiles_cap_that_changes_keeps_what_was),
		T(openfiles_limit_raised_again_is_corrected_and_told),
		T(openfiles_tightest_of_nested_caps_counts),
		T(openfiles_process_that_leaves_is_restored),
		T(openfiles_hard_limit_that_sank_bounds_what_is_restored),
		T(openfiles_refusal_of_the_kernel_is_counted),
		T(openfiles_agent_itself_is_left_alone),
		T(openfiles_without_a_durable_former_limit_nothing_is_lowered),
		T(openfiles_of_another_boot_are_forgotten),
		T(openfiles_file_that_is_none_is_refused),
		T(openfiles_agent_may_die_at_any_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
