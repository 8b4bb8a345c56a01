// SPDX-License-Identifier: GPL-2.0-only
/* Shares of the parent: which limit above counts, and what a share of it is. On a fake tree. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/core/share.h"
#include "user/enforce/cgroupfs.h"
#include "user/enforce/parent.h"
#include "waveos/wire.h"

#define GIB (1ULL << 30)

static char root[64];
static struct wv_host host;
static const struct wv_parent machine = {.limit = {24 * GIB, 30000, 2000000}};

static int setup(void **state _unused_)
{
	snprintf(root, sizeof(root), "/tmp/wv-parent-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	host = (struct wv_host){0};
	snprintf(host.cgroup2, sizeof(host.cgroup2), "%s/unified", root);
	snprintf(host.v1[WV_CTRL_CPU], sizeof(host.v1[0]), "%s/cpu", root);
	snprintf(host.v1[WV_CTRL_MEMORY], sizeof(host.v1[0]), "%s/memory", root);
	return 0;
}

static int teardown(void **state _unused_)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static void put(const char *name, const char *text)
{
	char path[256], *slash;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		(void)mkdir(path, 0700);
		*slash = '/';
	}
	f = fopen(path, "we");
	fputs(text, f);
	fclose(f);
}

static struct wv_parent parent_of(uint64_t key, const char *path)
{
	struct wv_parent p;

	assert_int_equal(wv_parent_read(&host, &wv_io_system, &machine, key, path, &p), 0);
	return p;
}

static void parent_without_limits_is_the_machine(void **state _unused_)
{
	struct wv_parent p;

	put("unified/a/memory.max", "max\n");
	put("unified/a/pids.max", "max\n");
	put("unified/a/cpu.max", "max 100000\n");
	p = parent_of(1, "/a/b");
	assert_memory_equal(p.limit, machine.limit, sizeof(p.limit));
	assert_int_equal(p.from[WV_PARENT_MEMORY] | p.from[WV_PARENT_PIDS] | p.from[WV_PARENT_CPU],
			 0);
	/* also where there is no folder, and above the root there is nothing */
	p = parent_of(1, "/x/y/z");
	assert_memory_equal(p.limit, machine.limit, sizeof(p.limit));
	p = parent_of(1, "/");
	assert_memory_equal(p.limit, machine.limit, sizeof(p.limit));
}

static void parent_has_the_tightest_limit_above(void **state _unused_)
{
	struct wv_parent p;

	put("unified/a/memory.max", "4294967296\n");
	put("unified/a/pids.max", "1000\n");
	put("unified/a/cpu.max", "50000 100000\n");
	put("unified/a/b/memory.max", "8589934592\n"); /* more than it will get */
	put("unified/a/b/pids.max", "100\n");
	put("unified/a/b/cpu.max", "15000 20000\n");
	put("unified/a/b/c/memory.max", "1\n"); /* its own limits are not its parent's */
	put("unified/a/b/c/pids.max", "1\n");
	p = parent_of(1, "/a/b/c");
	assert_true(p.limit[WV_PARENT_MEMORY] == 4 * GIB);
	assert_int_equal(p.from[WV_PARENT_MEMORY], strlen("/a"));
	assert_int_equal(p.limit[WV_PARENT_PIDS], 100);
	assert_int_equal(p.from[WV_PARENT_PIDS], strlen("/a/b"));
	assert_int_equal(p.limit[WV_PARENT_CPU], 500000);
	assert_int_equal(p.from[WV_PARENT_CPU], strlen("/a"));
	/* more than the machine has is no more than the machine has */
	put("unified/big/memory.max", "1099511627776\n");
	p = parent_of(1, "/big/x");
	assert_true(p.limit[WV_PARENT_MEMORY] == 24 * GIB);
	assert_int_equal(p.from[WV_PARENT_MEMORY], 0);
}

static void parent_limit_of_a_namespaced_root_counts(void **state _unused_)
{
	struct wv_parent p;

	put("unified/memory.max", "1073741824\n");
	p = parent_of(1, "/a");
	assert_true(p.limit[WV_PARENT_MEMORY] == GIB);
	assert_int_equal(p.from[WV_PARENT_MEMORY], strlen("/"));
}

static void parent_on_v1_is_read_from_v1_files(void **state _unused_)
{
	struct wv_parent p;

	put("memory/a/memory.limit_in_bytes", "1073741824\n");
	put("memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("cpu/a/cpu.cfs_quota_us", "-1\n");
	put("cpu/a/cpu.cfs_period_us", "100000\n");
	put("unified/a/memory.max", "5\n"); /* of the other hierarchy */
	p = parent_of(1 | WV_KEY_V1, "/a/b");
	assert_true(p.limit[WV_PARENT_MEMORY] == GIB);
	assert_int_equal(p.limit[WV_PARENT_CPU], 2000000);
	put("cpu/a/cpu.cfs_quota_us", "25000\n");
	p = parent_of(1 | WV_KEY_V1, "/a/b");
	assert_int_equal(p.limit[WV_PARENT_CPU], 250000);
	assert_int_equal(p.limit[WV_PARENT_PIDS], 30000);
}

static void parent_that_cannot_be_read_is_unknown(void **state _unused_)
{
	const struct wv_parent blind = {.limit = {WV_UNSET, WV_UNSET, WV_UNSET}, .error = -EACCES};
	struct wv_budget b = {.memory_max_bytes = WV_SHARE_FLAG | 500000, .pids_max = 7}, resolved;
	struct wv_parent p;

	put("unified/a/memory.max/not-a-file", "");
	assert_int_equal(wv_parent_read(&host, &wv_io_system, &machine, 1, "/a/b", &p), -EISDIR);
	assert_true(p.limit[WV_PARENT_MEMORY] == WV_UNSET && p.limit[WV_PARENT_CPU] == WV_UNSET);
	assert_int_equal(wv_parent_read(&host, &wv_io_system, &blind, 1, "/", &p), -EACCES);
	wv_budget_resolve(&b, &p, &resolved);
	assert_true(resolved.memory_max_bytes == WV_UNSET);
	assert_int_equal(resolved.pids_max, 7);
}

static void parent_machine_is_this_one(void **state _unused_)
{
	struct wv_parent p;

	assert_int_equal(wv_parent_machine(&wv_io_system, &p), 0);
	assert_true(p.limit[WV_PARENT_MEMORY] > 16 << 20 && p.limit[WV_PARENT_MEMORY] < 1ULL << 50);
	assert_int_equal(p.limit[WV_PARENT_CPU] % 1000000, 0);
	assert_int_equal(p.limit[WV_PARENT_CPU] / 1000000, sysconf(_SC_NPROCESSORS_ONLN));
	assert_true(p.limit[WV_PARENT_PIDS] >= 300);
}

static void share_is_of_the_parents_limit(void **state _unused_)
{
	const struct wv_parent p = {.limit = {4 * GIB, 999, 1500000}};
	struct wv_budget b = {
		.memory_high_bytes = WV_SHARE_FLAG | 250000,
		.memory_max_bytes = 1234567,
		.pids_max = WV_SHARE_FLAG | 500000,
		.cpu_quota_us = WV_SHARE_FLAG | 500000,
		.cpu_period_us = 20000,
	};
	struct wv_budget ret;

	assert_true(wv_budget_has_share(&b));
	wv_budget_resolve(&b, &p, &ret);
	assert_true(ret.memory_high_bytes == GIB);
	assert_int_equal(ret.memory_max_bytes, 1234567);
	assert_int_equal(ret.pids_max, 499);
	assert_int_equal(ret.cpu_quota_us, 15000); /* 0.75 CPU */
	assert_false(wv_budget_has_share(&ret));
	/* the whole is the whole */
	b.memory_high_bytes = WV_SHARE_FLAG | WV_SHARE_WHOLE;
	wv_budget_resolve(&b, &p, &ret);
	assert_true(ret.memory_high_bytes == 4 * GIB);
}

static void share_of_little_is_the_least_that_can_be_asked_for(void **state _unused_)
{
	const struct wv_parent p = {.limit = {2 << 20, 1, 10000}};
	struct wv_budget b = {
		.memory_high_bytes = WV_UNSET,
		.memory_max_bytes = WV_SHARE_FLAG | 1,
		.pids_max = WV_SHARE_FLAG | 1,
		.cpu_quota_us = WV_SHARE_FLAG | 1,
		.cpu_period_us = 100000,
	};
	struct wv_budget ret;

	wv_budget_resolve(&b, &p, &ret);
	assert_true(ret.memory_high_bytes == WV_UNSET);
	assert_int_equal(ret.memory_max_bytes, 1 << 20);
	assert_int_equal(ret.pids_max, 1);
	assert_int_equal(ret.cpu_quota_us, 1000);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(parent_without_limits_is_the_machine),
		T(parent_has_the_tightest_limit_above),
		T(parent_limit_of_a_namespaced_root_counts),
		T(parent_on_v1_is_read_from_v1_files),
		T(parent_that_cannot_be_read_is_unknown),
		T(parent_machine_is_this_one),
		T(share_is_of_the_parents_limit),
		T(share_of_little_is_the_least_that_can_be_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
