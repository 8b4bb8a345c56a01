// SPDX-License-Identifier: GPL-2.0-only
/* Parsers of cgroup and /proc files, over texts that kernels 5.10 to 6.18 wrote, and over hostile
 * ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/collect/files.h"
#include "user/core/cleanup.h"

#define TEXT(s) (s), sizeof(s) - 1

static const char psi_6_18[] = "some avg10=0.00 avg60=0.03 avg300=0.24 total=83559267\n"
			       "full avg10=0.00 avg60=0.00 avg300=0.00 total=6738\n";
static const char psi_cpu_5_10[] = "some avg10=23.14 avg60=5.30 avg300=1.18 total=1327738\n";

static const char memory_stat_5_10[] =
	"anon 8544256\nfile 4096\nkernel_stack 49152\npercpu 576\nsock 0\n"
	"shmem 0\nfile_mapped 0\nfile_dirty 0\nfile_writeback 0\nanon_thp 0\n"
	"inactive_anon 8400896\nactive_anon 0\ninactive_file 0\nactive_file 0\n"
	"unevictable 0\nslab_reclaimable 1200\nslab_unreclaimable 8192\n"
	"slab 9392\nworkingset_refault_anon 0\npgfault 726\n";
static const char memory_stat_6_12[] =
	"anon 6434816\nfile 12288\nkernel 249856\nkernel_stack 32768\n"
	"pagetables 131072\nsec_pagetables 0\npercpu 0\nsock 0\nvmalloc 0\n"
	"shmem 0\nanon_thp 6291456\nslab_reclaimable 0\n"
	"slab_unreclaimable 54296\nslab 54296\npgscan 0\n";
static const char memory_stat_v1[] =
	"cache 9211904\nrss 12947456\nrss_huge 0\nshmem 9068544\n"
	"hierarchical_memory_limit 9223372036854771712\n"
	"total_cache 36982784\ntotal_rss 23687168\ntotal_rss_huge 4096\n"
	"total_shmem 9068544\n";
static const char cpu_stat_v2[] = "usage_usec 326197\nuser_usec 91886\nsystem_usec 234310\n"
				  "nr_periods 16\nnr_throttled 15\nthrottled_usec 2584481\n"
				  "nr_bursts 0\nburst_usec 0\n";
static const char cpu_stat_v1[] = "nr_periods 22\nnr_throttled 21\nthrottled_time 1621759859\n"
				  "nr_bursts 0\nburst_time 0\n";
static const char cpu_stat_root[] = "usage_usec 161970000\nuser_usec 60000\nsystem_usec 70000\n";
static const char meminfo[] = "MemTotal:         744160 kB\nMemFree:          659344 kB\n"
			      "MemAvailable:     609536 kB\nBuffers:             128 kB\n"
			      "Cached:            34568 kB\nSwapCached:            4 kB\n"
			      "AnonPages:         10000 kB\nSlab:              22016 kB\n"
			      "SReclaimable:       9000 kB\nKernelStack:        1200 kB\n"
			      "PageTables:          800 kB\nPercpu:              600 kB\n"
			      "HugePages_Total:       0\n";
static const char proc_cgroup[] =
	"9:name=systemd:/\n8:pids:/a\n4:memory:/box/0123:4\n1:cpu,cpuacct:/a\n0::/\n";

static void psi_both_lines_give_totals(void **state _unused_)
{
	struct wv_files_psi psi;

	assert_int_equal(wv_files_parse_psi(TEXT(psi_6_18), &psi), 0);
	assert_int_equal(psi.some_us, 83559267);
	assert_int_equal(psi.full_us, 6738);
	assert_true(psi.has_full);
}

static void psi_cpu_of_5_10_has_no_full(void **state _unused_)
{
	struct wv_files_psi psi;

	assert_int_equal(wv_files_parse_psi(TEXT(psi_cpu_5_10), &psi), 0);
	assert_int_equal(psi.some_us, 1327738);
	assert_false(psi.has_full);
	assert_int_equal(psi.full_us, 0);
}

static void psi_cut_text_is_refused(void **state _unused_)
{
	struct wv_files_psi psi = {.some_us = 7};

	/* without its newline the number may be the first digits of another */
	for (size_t len = 0; len < strlen(psi_cpu_5_10); len++) {
		assert_int_equal(wv_files_parse_psi(psi_cpu_5_10, len, &psi), -EINVAL);
		assert_int_equal(psi.some_us, 7);
	}
	assert_int_equal(wv_files_parse_psi(psi_6_18, strlen(psi_6_18) - 1, &psi), 0);
	assert_false(psi.has_full);
}

static void psi_garbage_is_refused(void **state _unused_)
{
	struct wv_files_psi psi;

	assert_int_equal(wv_files_parse_psi(TEXT(""), &psi), -EINVAL);
	assert_int_equal(wv_files_parse_psi(TEXT("some total=\n"), &psi), -EINVAL);
	assert_int_equal(wv_files_parse_psi(TEXT("some total=12x\n"), &psi), -EINVAL);
	assert_int_equal(wv_files_parse_psi(TEXT("some total=-1\n"), &psi), -EINVAL);
	assert_int_equal(wv_files_parse_psi(TEXT("some total=99999999999999999999\n"), &psi),
			 -EINVAL);
	assert_int_equal(wv_files_parse_psi(TEXT("full avg10=0 total=1\n"), &psi), -EINVAL);
}

static void keyed_whole_words_are_matched(void **state _unused_)
{
	static const char *const keys[] = {"slab", "kernel", "absent"};
	uint64_t v[3] = {1, 2, 3};

	assert_int_equal(wv_files_parse_keyed(TEXT(memory_stat_6_12), keys, 3, v), 3);
	assert_int_equal(v[0], 54296); /* not slab_reclaimable */
	assert_int_equal(v[1], 249856);
	assert_int_equal(v[2], 3);
}

static void keyed_first_of_two_counts(void **state _unused_)
{
	static const char *const keys[] = {"a"};
	uint64_t v;

	assert_int_equal(wv_files_parse_keyed(TEXT("a 1\na 2\n"), keys, 1, &v), 1);
	assert_int_equal(v, 1);
}

static void keyed_hostile_lines_are_skipped(void **state _unused_)
{
	static const char *const keys[] = {"a"};
	static const char *const bad[] = {"a\n",
					  "a \n",
					  "a:\n",
					  "a b\n",
					  "a -1\n",
					  "a 1 2\n",
					  "a 1kB\n",
					  "a1\n",
					  " a 1\n",
					  "a 18446744073709551616\n",
					  "a 18446744073709551615 kB\n",
					  "a 1"};
	uint64_t v = 9;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(wv_files_parse_keyed(bad[i], strlen(bad[i]), keys, 1, &v), 0);
	assert_int_equal(v, 9);
	assert_int_equal(wv_files_parse_keyed(TEXT("\0a 5\na 6\n"), keys, 1, &v), 1);
	assert_int_equal(v, 6);
}

static void number_forms_are_read(void **state _unused_)
{
	uint64_t v = 5;

	assert_int_equal(wv_files_parse_number(TEXT("8851456\n"), &v), 0);
	assert_int_equal(v, 8851456);
	assert_int_equal(wv_files_parse_number(TEXT("max\n"), &v), 0);
	assert_true(v == UINT64_MAX);
	v = 5;
	assert_int_equal(wv_files_parse_number(TEXT("885"), &v), -EINVAL);
	assert_int_equal(wv_files_parse_number(TEXT("maximum\n"), &v), -EINVAL);
	assert_int_equal(wv_files_parse_number(TEXT("1 2\n"), &v), -EINVAL);
	assert_int_equal(wv_files_parse_number(TEXT("\n"), &v), -EINVAL);
	assert_int_equal(wv_files_parse_number(TEXT("18446744073709551616\n"), &v), -ERANGE);
	assert_int_equal(v, 5);
}

static void memory_stat_of_5_10_sums_kernel_parts(void **state _unused_)
{
	struct wv_files_memory m;

	wv_files_parse_memory_stat(TEXT(memory_stat_5_10), 2, &m);
	assert_int_equal(m.known, WV_FILES_ANON | WV_FILES_FILE | WV_FILES_KERNEL | WV_FILES_SLAB);
	assert_int_equal(m.anon, 8544256);
	assert_int_equal(m.file, 4096);
	assert_int_equal(m.slab, 9392);
	assert_int_equal(m.kernel, 9392 + 49152 + 576);
}

static void memory_stat_of_6_12_takes_kernel_as_given(void **state _unused_)
{
	struct wv_files_memory m;

	wv_files_parse_memory_stat(TEXT(memory_stat_6_12), 2, &m);
	assert_int_equal(m.kernel, 249856);
	assert_int_equal(m.anon, 6434816);
}

static void memory_stat_of_v1_takes_totals_and_no_slab(void **state _unused_)
{
	struct wv_files_memory m;

	wv_files_parse_memory_stat(TEXT(memory_stat_v1), 1, &m);
	assert_int_equal(m.known, WV_FILES_ANON | WV_FILES_FILE);
	assert_int_equal(m.anon, 23687168);
	assert_int_equal(m.file, 36982784);
}

static void memory_stat_empty_knows_nothing(void **state _unused_)
{
	struct wv_files_memory m = {.known = ~0U};

	wv_files_parse_memory_stat(TEXT(""), 2, &m);
	assert_int_equal(m.known, 0);
}

static void meminfo_gives_bytes(void **state _unused_)
{
	struct wv_files_memory m;
	uint64_t used, total;

	assert_int_equal(wv_files_parse_meminfo(TEXT(meminfo), &m, &used, &total), 0);
	assert_int_equal(total, 744160ULL << 10);
	assert_int_equal(used, (744160ULL - 659344) << 10);
	assert_int_equal(m.anon, 10000 << 10);
	assert_int_equal(m.file, (34568 + 128 + 4) << 10);
	assert_int_equal(m.slab, 22016 << 10);
	assert_int_equal(m.kernel, (22016 + 1200 + 800 + 600) << 10);
}

static void meminfo_without_total_is_refused(void **state _unused_)
{
	struct wv_files_memory m;
	uint64_t used = 1, total = 2;

	assert_int_equal(wv_files_parse_meminfo(TEXT("MemFree: 5 kB\n"), &m, &used, &total),
			 -EINVAL);
	assert_int_equal(
		wv_files_parse_meminfo(TEXT("MemTotal: 4 kB\nMemFree: 5 kB\n"), &m, &used, &total),
		-EINVAL);
	assert_int_equal(used, 1);
	assert_int_equal(total, 2);
}

static void cpu_stat_of_both_hierarchies_gives_ns(void **state _unused_)
{
	struct wv_files_throttle t;

	assert_int_equal(wv_files_parse_cpu_stat(TEXT(cpu_stat_v2), &t), 0);
	assert_int_equal(t.periods, 16);
	assert_int_equal(t.throttled_periods, 15);
	assert_int_equal(t.throttled_ns, 2584481000ULL);
	assert_int_equal(wv_files_parse_cpu_stat(TEXT(cpu_stat_v1), &t), 0);
	assert_int_equal(t.throttled_ns, 1621759859ULL);
}

static void cpu_stat_without_quota_says_so(void **state _unused_)
{
	struct wv_files_throttle t = {.periods = 3};

	assert_int_equal(wv_files_parse_cpu_stat(TEXT(cpu_stat_root), &t), -ENODATA);
	assert_int_equal(
		wv_files_parse_cpu_stat(
			TEXT("nr_periods 1\nnr_throttled 1\nthrottled_usec 18446744073709551615\n"),
			&t),
		-ENODATA);
	assert_int_equal(t.periods, 3);
}

static void proc_cgroup_path_of_hierarchy(void **state _unused_)
{
	char path[16];

	assert_int_equal(wv_files_parse_proc_cgroup(TEXT(proc_cgroup), 0, path, sizeof(path)), 0);
	assert_string_equal(path, "/");
	assert_int_equal(wv_files_parse_proc_cgroup(TEXT(proc_cgroup), 4, path, sizeof(path)), 0);
	assert_string_equal(path, "/box/0123:4");
	assert_int_equal(wv_files_parse_proc_cgroup(TEXT(proc_cgroup), 5, path, sizeof(path)),
			 -ENOENT);
	assert_int_equal(wv_files_parse_proc_cgroup(TEXT(proc_cgroup), 4, path, 11), -ENAMETOOLONG);
	assert_int_equal(
		wv_files_parse_proc_cgroup(TEXT("0:\n0::x\n:\n0::/"), 0, path, sizeof(path)),
		-ENOENT);
}

/* Exact-size heap copies, so that a sanitizer build sees a read past the end. */
static void parsers_random_bytes_stay_in_bounds(void **state _unused_)
{
	static const char *const texts[] = {psi_6_18, memory_stat_6_12, cpu_stat_v2, meminfo,
					    proc_cgroup};
	struct wv_files_throttle t;
	struct wv_files_memory m;
	struct wv_files_psi psi;
	unsigned seed = 20231;
	uint64_t a, b;
	char path[8];

	for (int round = 0; round < 20000; round++) {
		const char *text = texts[round % ARRAY_SIZE(texts)];
		size_t len = (size_t)rand_r(&seed) % (strlen(text) + 1);
		char *copy = malloc(len ? len : 1);

		assert_non_null(copy);
		memcpy(copy, text, len);
		for (int i = 0; len && i < 4; i++)
			copy[(size_t)rand_r(&seed) % len] = (char)rand_r(&seed);
		(void)wv_files_parse_psi(copy, len, &psi);
		(void)wv_files_parse_number(copy, len, &a);
		wv_files_parse_memory_stat(copy, len, 1 + round % 2, &m);
		(void)wv_files_parse_meminfo(copy, len, &m, &a, &b);
		(void)wv_files_parse_cpu_stat(copy, len, &t);
		(void)wv_files_parse_proc_cgroup(copy, len, (uint32_t)round % 10, path,
						 sizeof(path));
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(psi_both_lines_give_totals),
		cmocka_unit_test(psi_cpu_of_5_10_has_no_full),
		cmocka_unit_test(psi_cut_text_is_refused),
		cmocka_unit_test(psi_garbage_is_refused),
		cmocka_unit_test(keyed_whole_words_are_matched),
		cmocka_unit_test(keyed_first_of_two_counts),
		cmocka_unit_test(keyed_hostile_lines_are_skipped),
		cmocka_unit_test(number_forms_are_read),
		cmocka_unit_test(memory_stat_of_5_10_sums_kernel_parts),
		cmocka_unit_test(memory_stat_of_6_12_takes_kernel_as_given),
		cmocka_unit_test(memory_stat_of_v1_takes_totals_and_no_slab),
		cmocka_unit_test(memory_stat_empty_knows_nothing),
		cmocka_unit_test(meminfo_gives_bytes),
		cmocka_unit_test(meminfo_without_total_is_refused),
		cmocka_unit_test(cpu_stat_of_both_hierarchies_gives_ns),
		cmocka_unit_test(cpu_stat_without_quota_says_so),
		cmocka_unit_test(proc_cgroup_path_of_hierarchy),
		cmocka_unit_test(parsers_random_bytes_stay_in_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
