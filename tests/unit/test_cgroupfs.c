// SPDX-License-Identifier: GPL-2.0-only
/* Which file and which text: on a fake tree of cgroup folders. Also the merge of budgets and its
 * rates. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/core/share.h"
#include "user/enforce/cgroupfs.h"
#include "user/enforce/netlimit.h"

static char root[] = "/tmp/wv-cgroupfs-XXXXXX";
static struct wv_host host;

static void touch(const char *name)
{
	char path[512], *slash;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		(void)mkdir(path, 0700);
		*slash = '/';
	}
	fclose(fopen(path, "we"));
}

static int setup(void **state)
{
	static const char *const files[] = {
		"unified/a/cpu.max",
		"unified/a/cpu.weight",
		"unified/a/io.max",
		"unified/a/pids.max",
		"cpu/a/cpu.cfs_period_us",
		"cpu/a/cpu.cfs_quota_us",
		"cpu/a/cpu.shares",
		"memory/a/memory.limit_in_bytes",
		"memory/a/memory.soft_limit_in_bytes",
		"blkio/a/blkio.throttle.read_bps_device",
		"blkio/a/blkio.throttle.write_iops_device",
	};

	(void)state;
	if (!mkdtemp(root))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		touch(files[i]);
	snprintf(host.cgroup2, sizeof(host.cgroup2), "%s/unified", root);
	snprintf(host.v1[WV_CTRL_CPU], sizeof(host.v1[0]), "%s/cpu", root);
	snprintf(host.v1[WV_CTRL_MEMORY], sizeof(host.v1[0]), "%s/memory", root);
	snprintf(host.v1[WV_CTRL_IO], sizeof(host.v1[0]), "%s/blkio", root);
	host.v2_controller[WV_CTRL_CPU] = host.v2_controller[WV_CTRL_IO] = true;
	host.v2_controller[WV_CTRL_PIDS] = host.v2_controller[WV_CTRL_MEMORY] = true;
	return 0;
}

static int teardown(void **state)
{
	char command[512];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static struct wv_budget unset_budget(void)
{
	return (struct wv_budget){
		.when = {.signal = -1},
		.cpu_quota_us = WV_UNSET,
		.cpu_period_us = 100000,
		.cpu_weight = WV_UNSET,
		.memory_high_bytes = WV_UNSET,
		.memory_max_bytes = WV_UNSET,
		.io_rbps = WV_UNSET,
		.io_wbps = WV_UNSET,
		.io_riops = WV_UNSET,
		.io_wiops = WV_UNSET,
		.pids_max = WV_UNSET,
		.files_max = WV_UNSET,
		.egress_bps = WV_UNSET,
		.ingress_bps = WV_UNSET,
		.egress_pps = WV_UNSET,
		.ingress_pps = WV_UNSET,
		.connects_ps = WV_UNSET,
		.burst_bytes = WV_UNSET,
		.burst_packets = WV_UNSET,
		.burst_connects = WV_UNSET,
	};
}

static struct wv_budget everything(void)
{
	struct wv_budget b = unset_budget();

	b.cpu_quota_us = 30000;
	b.cpu_weight = 50;
	b.memory_high_bytes = 10000001;
	b.memory_max_bytes = 20000001;
	b.io_rbps = 1000;
	b.io_wiops = 20;
	snprintf(b.io_device, sizeof(b.io_device), "8:16");
	b.pids_max = 7;
	return b;
}

static void assert_planned(const struct wv_cgfile *f, enum wv_item item, const char *file,
			   const char *value)
{
	const char *name = strrchr(f->path, '/') + 1;

	assert_int_equal(f->item, item);
	assert_string_equal(f->reason, "");
	assert_string_equal(name, file);
	assert_string_equal(f->value, value);
}

static void cgroupfs_plan_v2_names_files_and_missing_controllers(void **state)
{
	struct wv_cgfile files[WV_CGFILES_MAX];
	struct wv_budget b = everything();
	struct wv_want w;

	(void)state;
	wv_want_init(&w);
	wv_want_merge(&w, &b);
	assert_int_equal(wv_cgroupfs_plan(&host, 5, "/a", &w, files), 6);
	assert_planned(&files[0], WV_ITEM_CPU_QUOTA, "cpu.max", "30000 100000");
	assert_planned(&files[1], WV_ITEM_CPU_WEIGHT, "cpu.weight", "50");
	/* the controller exists, but not in this folder */
	assert_int_equal(files[2].item, WV_ITEM_MEMORY_HIGH);
	assert_non_null(strstr(files[2].reason, "memory controller is not enabled here"));
	assert_non_null(strstr(files[3].reason, "subtree_control"));
	assert_planned(&files[4], WV_ITEM_PIDS_MAX, "pids.max", "7");
	assert_planned(&files[5], WV_ITEM_IO_MAX, "io.max",
		       "8:16 rbps=1000 wbps=max riops=max wiops=20");
	assert_int_equal(files[5].key, 5);

	host.v2_controller[WV_CTRL_MEMORY] = false;
	wv_cgroupfs_plan(&host, 5, "/a", &w, files);
	assert_non_null(strstr(files[2].reason, "not in this machine's v2 hierarchy"));
	host.v2_controller[WV_CTRL_MEMORY] = true;
	wv_cgroupfs_plan(&host, 1, "/", &w, files);
	assert_non_null(strstr(files[0].reason, "root cgroup"));
}

static void cgroupfs_plan_v1_translates_names_and_units(void **state)
{
	struct wv_cgfile files[WV_CGFILES_MAX];
	struct wv_budget b = everything();
	long page = sysconf(_SC_PAGESIZE);
	struct wv_want w;
	char value[32];

	(void)state;
	wv_want_init(&w);
	wv_want_merge(&w, &b);
	assert_int_equal(wv_cgroupfs_plan(&host, 5 | WV_KEY_V1, "/a", &w, files), 8);
	/* the period first: the quota is checked against it */
	assert_planned(&files[0], WV_ITEM_CPU_QUOTA, "cpu.cfs_period_us", "100000");
	assert_planned(&files[1], WV_ITEM_CPU_QUOTA, "cpu.cfs_quota_us", "30000");
	assert_planned(&files[2], WV_ITEM_CPU_WEIGHT, "cpu.shares", "512");
	snprintf(value, sizeof(value), "%ld", 10000001 / page * page);
	assert_planned(&files[3], WV_ITEM_MEMORY_HIGH, "memory.soft_limit_in_bytes", value);
	assert_true(files[3].weaker);
	snprintf(value, sizeof(value), "%ld", 20000001 / page * page);
	assert_planned(&files[4], WV_ITEM_MEMORY_MAX, "memory.limit_in_bytes", value);
	assert_false(files[4].weaker);
	assert_int_equal(files[5].item, WV_ITEM_PIDS_MAX);
	assert_non_null(strstr(files[5].reason, "no v1 hierarchy has the pids controller"));
	assert_planned(&files[6], WV_ITEM_IO_MAX, "blkio.throttle.read_bps_device", "8:16 1000");
	assert_planned(&files[7], WV_ITEM_IO_MAX, "blkio.throttle.write_iops_device", "8:16 20");
	wv_cgroupfs_plan(&host, 5 | WV_KEY_V1, "/gone", &w, files);
	assert_non_null(strstr(files[0].reason, "no such file in the v1 cpu hierarchy"));
}

static void cgroupfs_plan_shares_stay_within_kernel_bounds(void **state)
{
	static const struct {
		uint64_t weight;
		const char *shares;
	} rows[] = {{1, "10"}, {100, "1024"}, {10000, "102400"}};
	struct wv_cgfile files[WV_CGFILES_MAX];
	struct wv_want w;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		wv_want_init(&w);
		w.cpu_weight = rows[i].weight;
		assert_int_equal(wv_cgroupfs_plan(&host, 5 | WV_KEY_V1, "/a", &w, files), 1);
		assert_planned(&files[0], WV_ITEM_CPU_WEIGHT, "cpu.shares", rows[i].shares);
	}
}

static void cgroupfs_normal_form_of_kernel_text(void **state)
{
	static const struct {
		enum wv_cgfile_form form;
		const char *device, *text, *normal;
	} rows[] = {
		{WV_FORM_SCALAR, "", "max\n", "max"},
		{WV_FORM_SCALAR, "", "max 100000\n", "max 100000"},
		{WV_FORM_SCALAR, "", "", ""},
		{WV_FORM_IO_MAX, "8:0", "", "8:0 rbps=max wbps=max riops=max wiops=max"},
		{WV_FORM_IO_MAX, "8:0", "8:16 rbps=1 wbps=2 riops=max wiops=max\n",
		 "8:0 rbps=max wbps=max riops=max wiops=max"},
		{WV_FORM_IO_MAX, "8:0", "8:16 rbps=1 wbps=2\n8:0 wiops=7 rbps=9\n",
		 "8:0 rbps=9 wbps=max riops=max wiops=7"},
		{WV_FORM_DEVICE, "8:0", "", "8:0 0"},
		{WV_FORM_DEVICE, "8:0", "18:0 5\n8:0 1000\n", "8:0 1000"},
		{WV_FORM_DEVICE, "8:0", "8:01 5\n", "8:0 0"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char normal[WV_CGFILE_VALUE];

		wv_cgfile_normal(rows[i].form, rows[i].device, rows[i].text, normal,
				 sizeof(normal));
		assert_string_equal(normal, rows[i].normal);
	}
}

static void cgroupfs_device_that_is_none_is_a_reason(void **state)
{
	struct wv_cgfile files[WV_CGFILES_MAX];
	struct wv_budget b = unset_budget();
	struct wv_want w;
	char number[24] = "";

	(void)state;
	b.io_rbps = 1;
	snprintf(b.io_device, sizeof(b.io_device), "/dev/null");
	wv_want_init(&w);
	wv_want_merge(&w, &b);
	assert_int_equal(wv_cgroupfs_plan(&host, 5, "/a", &w, files), 1);
	assert_non_null(strstr(files[0].reason, "/dev/null"));
	assert_int_equal(wv_device_number("8:", number, sizeof(number)), -EINVAL);
	assert_int_equal(wv_device_number("8:1x", number, sizeof(number)), -EINVAL);
	assert_int_equal(wv_device_number("8:1", number, sizeof(number)), 0);
	assert_string_equal(number, "8:1");
}

static void want_merge_keeps_tightest_in_any_order(void **state)
{
	struct wv_budget b[3] = {everything(), everything(), unset_budget()};
	struct wv_want w, first;

	(void)state;
	b[0].cpu_quota_us = 500000; /* half a CPU, over a second */
	b[0].cpu_period_us = 1000000;
	b[0].egress_bps = 1000;
	b[0].burst_bytes = 100;
	b[1].cpu_quota_us = 60000; /* 60 % */
	b[1].memory_max_bytes = 4096;
	b[1].io_rbps = 500;
	b[1].io_wiops = 21;
	b[2].egress_bps = 900;
	b[2].pids_max = 3;
	b[0].files_max = 1000;
	b[2].files_max = 999;
	b[2].memory_max_bytes = WV_SHARE_FLAG | 1; /* nobody resolved it: no limit */
	b[2].cpu_quota_us = WV_SHARE_FLAG | 1;
	wv_want_init(&first);
	for (size_t i = 0; i < 3; i++)
		wv_want_merge(&first, &b[i]);
	assert_int_equal(first.cpu_quota_us, 500000);
	assert_int_equal(first.cpu_period_us, 1000000);
	assert_int_equal(first.memory_max_bytes, 4096);
	assert_int_equal(first.pids_max, 3);
	assert_int_equal(first.files_max, 999);
	assert_int_equal(first.n_io, 1);
	assert_int_equal(first.io[0].rbps, 500);
	assert_int_equal(first.io[0].wiops, 20);
	assert_int_equal(first.net[WV_LIMIT_EGRESS_BITS], 900);
	assert_int_equal(first.burst[WV_LIMIT_EGRESS_BITS], 800);
	assert_true(first.net[WV_LIMIT_CONNECTS] == WV_UNSET);
	wv_want_init(&w);
	for (size_t i = 3; i-- > 0;)
		wv_want_merge(&w, &b[i]);
	assert_memory_equal(&w, &first, sizeof(w));
}

static void netlimit_rates_have_documented_defaults(void **state)
{
	struct wv_limit_rates r;
	struct wv_want w;

	(void)state;
	wv_want_init(&w);
	assert_false(wv_want_net(&w));
	wv_netlimit_rates(&w, &r);
	for (unsigned i = 0; i < WV_LIMIT_N; i++)
		assert_int_equal(r.rate[i].per_second, 0);
	w.net[WV_LIMIT_EGRESS_BITS] = 50000000;
	w.net[WV_LIMIT_INGRESS_BITS] = 8000;
	w.net[WV_LIMIT_CONNECTS] = 10;
	w.burst[WV_LIMIT_CONNECTS] = 5;
	assert_true(wv_want_net(&w));
	wv_netlimit_rates(&w, &r);
	assert_int_equal(r.rate[WV_LIMIT_EGRESS_BITS].per_second, 50000000);
	assert_int_equal(r.rate[WV_LIMIT_EGRESS_BITS].burst_ns, 250000000);
	assert_int_equal(r.paced_burst_ns[0], 20000000);
	/* 64 KiB at 8 kbit/s */
	assert_int_equal(r.rate[WV_LIMIT_INGRESS_BITS].burst_ns, 65536000000ULL);
	assert_int_equal(r.rate[WV_LIMIT_CONNECTS].burst_ns, 500000000);
	assert_int_equal(r.horizon_ns, 2000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cgroupfs_plan_v2_names_files_and_missing_controllers),
		cmocka_unit_test(cgroupfs_plan_v1_translates_names_and_units),
		cmocka_unit_test(cgroupfs_plan_shares_stay_within_kernel_bounds),
		cmocka_unit_test(cgroupfs_normal_form_of_kernel_text),
		cmocka_unit_test(cgroupfs_device_that_is_none_is_a_reason),
		cmocka_unit_test(want_merge_keeps_tightest_in_any_order),
		cmocka_unit_test(netlimit_rates_have_documented_defaults),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
