// SPDX-License-Identifier: GPL-2.0-only
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
#include "user/core/config.h"
#include "user/core/share.h"
#include "user/flow/budget.h"
#include "user/flow/heartbeat.h"
#include "user/flow/sample.h"

static struct wv_config config;
static struct wv_config_error error;

static int setup(void **state _unused_)
{
	return wv_config_init(&config);
}

static int teardown(void **state _unused_)
{
	wv_config_done(&config);
	return 0;
}

static int load(const char *text)
{
	error.text[0] = '\0';
	return wv_config_load_memory(&config, "f", text, strlen(text), &error);
}

/* The one budget with these keys beside its cgroup. */
static const struct wv_budget *budget(const char *keys)
{
	char text[512];

	snprintf(text, sizeof(text), "budgets:\n  - {cgroup: /a, %s}\n", keys);
	if (load(text) < 0)
		fail_msg("%s: %s", keys, error.text);
	assert_int_equal(config.n_budgets, 1);
	return &config.budgets[0];
}

static void refused(const char *keys, const char *message)
{
	char text[512];

	snprintf(text, sizeof(text), "budgets:\n  - {cgroup: /a, %s}\n", keys);
	assert_int_equal(load(text), -EINVAL);
	if (!strstr(error.text, message))
		fail_msg("%s\n  got:      %s\n  expected: %s", keys, error.text, message);
	assert_memory_equal(error.text, "f:2:", 4);
}

static void budget_whole_is_parsed(void **state _unused_)
{
	const struct wv_budget *b;

	assert_int_equal(
		load("budgets:\n  - name: batch\n    cgroup: /batch.slice/*\n"
		     "    when: {signal: mem_usage_bytes, above: 1G, for: 5s, clear: 800M, "
		     "clear_for: "
		     "20s, rate: false}\n"
		     "    cpu: {quota: 50%, period: 20ms, weight: 50}\n"
		     "    memory: {high: 1G, max: 2G}\n"
		     "    io: {device: /dev/vda, read: 10M, write: 20M, read_iops: 100, "
		     "write_iops: "
		     "200}\n"
		     "    pids: {max: 100}\n"
		     "    files: {max: 1024}\n"
		     "    network: {egress: 10mbit, ingress: 20mbit, egress_packets: 1000, "
		     "ingress_packets: 2000, connects: 10, burst: 64K, burst_packets: 100, "
		     "burst_connects: 5}\n"),
		0);
	assert_int_equal(config.n_budgets, 1);
	b = config.budgets;
	assert_string_equal(b->name, "batch");
	assert_string_equal(b->cgroup, "/batch.slice/*");
	assert_int_equal(b->line, 2);
	assert_int_equal(b->when.signal, WV_SIG_MEM_USAGE);
	assert_false(b->when.rate);
	assert_true(b->when.above == 1073741824.0);
	assert_true(b->when.clear == 838860800.0);
	assert_int_equal(b->when.for_ns, 5000000000);
	assert_int_equal(b->when.clear_for_ns, 20000000000);
	assert_int_equal(b->cpu_quota_us, 10000);
	assert_int_equal(b->cpu_period_us, 20000);
	assert_int_equal(b->cpu_weight, 50);
	assert_int_equal(b->memory_high_bytes, 1ULL << 30);
	assert_int_equal(b->memory_max_bytes, 2ULL << 30);
	assert_string_equal(b->io_device, "/dev/vda");
	assert_int_equal(b->io_rbps, 10 << 20);
	assert_int_equal(b->io_wbps, 20 << 20);
	assert_int_equal(b->io_riops, 100);
	assert_int_equal(b->io_wiops, 200);
	assert_int_equal(b->pids_max, 100);
	assert_int_equal(b->files_max, 1024);
	assert_int_equal(b->egress_bps, 10000000);
	assert_int_equal(b->ingress_bps, 20000000);
	assert_int_equal(b->egress_pps, 1000);
	assert_int_equal(b->ingress_pps, 2000);
	assert_int_equal(b->connects_ps, 10);
	assert_int_equal(b->burst_bytes, 65536);
	assert_int_equal(b->burst_packets, 100);
	assert_int_equal(b->burst_connects, 5);
}

static void budget_absent_limits_are_unset(void **state _unused_)
{
	const struct wv_budget *b = budget("pids: {max: 7}");

	assert_string_equal(b->name, "/a");
	assert_int_equal(b->when.signal, -1);
	assert_true(b->cpu_quota_us == WV_UNSET && b->cpu_weight == WV_UNSET);
	assert_int_equal(b->cpu_period_us, 100000);
	assert_true(b->memory_high_bytes == WV_UNSET && b->memory_max_bytes == WV_UNSET);
	assert_true(b->io_rbps == WV_UNSET && b->io_wbps == WV_UNSET);
	assert_true(b->io_riops == WV_UNSET && b->io_wiops == WV_UNSET);
	assert_string_equal(b->io_device, "");
	assert_true(b->files_max == WV_UNSET);
	assert_true(b->egress_bps == WV_UNSET && b->ingress_bps == WV_UNSET);
	assert_true(b->egress_pps == WV_UNSET && b->ingress_pps == WV_UNSET);
	assert_true(b->connects_ps == WV_UNSET && b->burst_bytes == WV_UNSET);
	assert_true(b->burst_packets == WV_UNSET && b->burst_connects == WV_UNSET);
	assert_int_equal(budget("files: {max: 16}")->files_max, 16); /* frees what b points to */
}

static void budget_quota_is_of_its_period(void **state _unused_)
{
	assert_int_equal(budget("cpu: {quota: 200%}")->cpu_quota_us, 200000);
	assert_int_equal(budget("cpu: {quota: 2cpu, period: 50ms}")->cpu_quota_us, 100000);
	assert_int_equal(budget("cpu: {period: 1s, quota: 12.5%}")->cpu_quota_us, 125000);
	assert_int_equal(budget("cpu: {quota: 1%}")->cpu_quota_us, 1000);
	refused("cpu: {quota: 1%, period: 99ms}",
		"f:2:31: cpu.quota: 990 us in a period of 99000 us; expected 1ms or more");
	refused("cpu: {quota: 0%}", "cpu.quota: expected a share of CPU time");
	refused("cpu: {quota: 50}",
		"cpu.quota: expected a share of CPU time (% of one CPU, or cpu) "
		"from 1% to 8192cpu, or above 0% and at most 100% of parent, such as 50%; got "
		"'50'");
	refused("cpu: {quota: 50%, period: 2s}",
		"cpu.period: expected a duration (us, ms, s) from 1ms to 1s");
	refused("cpu: {weight: 0}", "cpu.weight: expected a whole number from 1 to 10000");
}

static void budget_share_of_the_parent_is_kept_as_one(void **state _unused_)
{
	const struct wv_budget *b;

	b = budget("memory: {high: 12.5% of parent, max: 25% of parent}");
	assert_true(wv_is_share(b->memory_high_bytes) && wv_is_share(b->memory_max_bytes));
	assert_int_equal(wv_share_ppm(b->memory_high_bytes), 125000);
	assert_int_equal(wv_share_ppm(b->memory_max_bytes), 250000);
	assert_int_equal(wv_share_ppm(budget("pids: {max: 100% of parent}")->pids_max), 1000000);
	b = budget("cpu: {quota: 0.5% of parent, period: 1ms}");
	assert_true(wv_is_share(b->cpu_quota_us));
	assert_int_equal(wv_share_ppm(b->cpu_quota_us), 5000);
	assert_int_equal(b->cpu_period_us, 1000);
	/* without "of parent" it is of one CPU, as ever */
	assert_int_equal(budget("cpu: {quota: 50%}")->cpu_quota_us, 50000);
	assert_false(wv_is_share(budget("pids: {max: 7}")->memory_max_bytes));
	/* which is larger is not known yet */
	budget("memory: {high: 50% of parent, max: 1G}");
	budget("memory: {high: 1G, max: 50% of parent}");
}

static void budget_share_mistakes_are_refused(void **state _unused_)
{
	refused("memory: {max: 0% of parent}",
		"f:2:32: memory.max: expected a size (bytes, or K, M, G, T in powers of 1024) from "
		"1M to 1024T, or above 0% and at most 100% of parent, such as 2G; got '0% of "
		"parent'");
	refused("memory: {max: 100.1% of parent}", "or above 0% and at most 100% of parent");
	refused("memory: {high: 25%}", "memory.high: expected a size");
	refused("pids: {max: 101% of parent}",
		"f:2:30: pids.max: expected a whole number from 1 to 4194304, or above 0% and at "
		"most 100% of parent, such as 100; got '101% of parent'");
	refused("pids: {max: 50%}", "pids.max: expected a whole number");
	refused("pids: {max: 50 of parent}", "pids.max: expected a whole number");
	refused("pids: {max: -5% of parent}", "pids.max: expected a whole number");
	refused("pids: {max: 0.00001% of parent}", "pids.max: expected a whole number");
	refused("cpu: {quota: 0% of parent}",
		"cpu.quota: expected a share of CPU time (% of one CPU, or cpu) from 1% to "
		"8192cpu, "
		"or above 0% and at most 100% of parent, such as 50%");
	refused("cpu: {quota: 1cpu of parent}", "cpu.quota: expected a share of CPU time");
	refused("cpu: {weight: 50% of parent}",
		"f:2:32: cpu.weight: expected a whole number from 1 to 10000, such as 50; got");
	refused("io: {device: '8:0', read: 50% of parent}", "io.read: expected a size");
	refused("network: {egress: 50% of parent}", "network.egress: expected a rate");
	refused("files: {max: 50% of parent}",
		"files.max: expected a whole number from 16 to 1073741816, such as 1024; got");
	refused("files: {max: 15}", "files.max: expected a whole number from 16");
	refused("memory: {high: 30% of parent, max: 20% of parent}",
		"memory.high: expected at most memory.max");
}

static void budget_condition_follows_the_kind_of_signal(void **state _unused_)
{
	const struct wv_budget *b;

	b = budget("pids: {max: 1}, when: {signal: cpu_usage_ns, above: 1.5s}");
	assert_true(b->when.rate);
	assert_true(b->when.above == 1.5e9 && b->when.clear == 1.5e9);
	assert_int_equal(b->when.for_ns, 10000000000);
	assert_int_equal(b->when.clear_for_ns, 10000000000);
	b = budget("pids: {max: 1}, when: {signal: cpu_usage_ns, above: 1.5s, rate: false}");
	assert_false(b->when.rate);
	b = budget("pids: {max: 1}, when: {signal: psi_mem_some_us, above: 100ms}");
	assert_true(b->when.rate);
	assert_true(b->when.above == 1e5);
	b = budget("pids: {max: 1}, when: {signal: task_threads, above: 12.5, for: 0s}");
	assert_false(b->when.rate);
	assert_true(b->when.above == 12.5);
	assert_int_equal(b->when.for_ns, 0);
	/* keys in any order */
	b = budget("pids: {max: 1}, when: {clear: 1M, above: 2M, signal: mem_usage_bytes}");
	assert_true(b->when.above == 2097152.0 && b->when.clear == 1048576.0);
}

static void budget_condition_mistakes_are_refused(void **state _unused_)
{
	refused("pids: {max: 1}, when: {above: 1G}", "f:2:40: when.signal is missing; expected "
						     "signal: mem_usage_bytes");
	refused("pids: {max: 1}, when: {signal: mem_usage_bytes}", "when.above is missing");
	refused("pids: {max: 1}, when: {signal: mem_usage_byte, above: 1G}",
		"when.signal: expected a signal (docs/signals.md); did you mean "
		"'mem_usage_bytes'?");
	refused("pids: {max: 1}, when: {signal: mem_usage_bytes, above: 1s}",
		"when.above: expected a size, such as 64M, as mem_usage_bytes is one; got '1s'");
	refused("pids: {max: 1}, when: {signal: cpu_usage_ns, above: 1G}",
		"when.above: expected a duration, such as 100ms, as cpu_usage_ns is a time");
	refused("pids: {max: 1}, when: {signal: task_threads, above: -1}",
		"when.above: expected a number that is not negative");
	refused("pids: {max: 1}, when: {signal: task_threads, above: nan}", "when.above: expected");
	refused("pids: {max: 1}, when: {signal: task_threads, above: 0x10}",
		"when.above: expected");
	refused("pids: {max: 1}, when: {signal: task_threads, above: ''}", "when.above: expected");
	refused("pids: {max: 1}, when: {signal: task_threads, above: 5, clear: 6}",
		"when.clear: expected at most what `above` says");
	refused("pids: {max: 1}, when: ", "section 'when': expected a mapping (key: value), got "
					  "nothing");
}

static void budget_without_effect_is_refused(void **state _unused_)
{
	refused("name: x", "budget 'x' limits nothing");
	refused("cpu: {period: 10ms}", "budget '/a' limits nothing");
	refused("cpu: {}", "budget '/a' limits nothing");
	refused("pids: {max: 1}, network: {burst: 64K}",
		"network.burst: expected egress or ingress beside it");
	refused("network: {egress: 1mbit, burst_packets: 5}",
		"network.burst_packets: expected egress_packets or ingress_packets beside it");
	refused("network: {egress: 1mbit, burst_connects: 5}",
		"network.burst_connects: expected connects beside it");
	refused("io: {device: /dev/vda}", "io: expected one of read, write");
	refused("io: {read: 1M}", "io.device is missing");
	refused("memory: {high: 2G, max: 1G}", "memory.high: expected at most memory.max");
}

static void budget_cgroup_must_be_a_path(void **state _unused_)
{
	static const char *const wrong[] = {"a",   "''",      "/a/",  "//",	    "/a//b",
					    "/..", "/a/../b", "/a/.", "\"/a\\nb\"", "[]"};
	char text[600], longer[400];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(text, sizeof(text), "budgets: [{cgroup: %s, pids: {max: 1}}]", wrong[i]);
		assert_int_equal(load(text), -EINVAL);
		if (strncmp(error.text, "f:1:20: cgroup: expected", 24) != 0)
			fail_msg("%s: %s", wrong[i], error.text);
	}
	memset(longer, 'a', sizeof(longer));
	longer[0] = '/';
	longer[256] = '\0';
	snprintf(text, sizeof(text), "budgets: [{name: n, cgroup: %s, pids: {max: 1}}]", longer);
	assert_int_equal(load(text), -EINVAL);
	assert_non_null(strstr(error.text, "at most 255 bytes"));
	longer[255] = '\0';
	snprintf(text, sizeof(text), "budgets: [{name: n, cgroup: %s, pids: {max: 1}}]", longer);
	assert_int_equal(load(text), 0);
	snprintf(text, sizeof(text), "budgets: [{cgroup: %s, pids: {max: 1}}]", longer);
	assert_int_equal(load(text), -EINVAL);
	assert_non_null(strstr(error.text, "name is missing"));
}

static void budget_names_must_differ(void **state _unused_)
{
	assert_int_equal(load("budgets:\n- {cgroup: /a, pids: {max: 1}}\n"
			      "- {cgroup: /b, name: b2, pids: {max: 1}}\n"
			      "- {cgroup: /a, name: a2, pids: {max: 1}}\n"),
			 0);
	assert_int_equal(config.n_budgets, 3);
	assert_int_equal(config.budgets[2].line, 4);
	assert_int_equal(load("budgets:\n- {cgroup: /a, pids: {max: 1}}\n"
			      "- {cgroup: /a, pids: {max: 2}}\n"),
			 -EINVAL);
	assert_memory_equal(error.text, "f:3:3: name '/a' is taken", 25);
	assert_int_equal(config.n_budgets, 3);
	assert_int_equal(load("budgets: [{cgroup: /a, name: '', pids: {max: 1}}]"), -EINVAL);
}

static void budget_unknown_keys_are_refused(void **state _unused_)
{
	refused("pid: {max: 1}", "unknown key 'pid' in an item of 'budgets'; did you mean 'pids'?");
	refused("network: {egres: 1mbit}",
		"unknown key 'egres' in section 'network'; did you mean 'egress'?");
	refused("pids: [1]", "section 'pids': expected a mapping (key: value), got a list");
	refused("network: {egress: 1MB}",
		"network.egress: expected a rate (bit, kbit, mbit, gbit a "
		"second) from 8kbit to 1tbit, such as 10mbit; got '1MB'");
	assert_int_equal(load("budgets: [a]"), -EINVAL);
	assert_non_null(strstr(error.text, "an item of 'budgets': expected a mapping"));
}

static void budget_anchor_may_be_shared(void **state _unused_)
{
	assert_int_equal(load("budgets:\n- cgroup: /a\n  network: &n {egress: 1mbit}\n"
			      "- cgroup: /b\n  network: *n\n"),
			 0);
	assert_int_equal(config.budgets[1].egress_bps, 1000000);
}

static void heartbeat_is_parsed_with_defaults(void **state _unused_)
{
	assert_int_equal(
		load("heartbeats:\n- {file: /run/a, every: 5s}\n"
		     "- {name: b, file: /run/b, every: 1m, cgroup: /system.slice/b.service}\n"),
		0);
	assert_int_equal(config.n_heartbeats, 2);
	assert_string_equal(config.heartbeats[0].name, "/run/a");
	assert_string_equal(config.heartbeats[0].file, "/run/a");
	assert_string_equal(config.heartbeats[0].cgroup, "/");
	assert_int_equal(config.heartbeats[0].every_ns, 5000000000);
	assert_string_equal(config.heartbeats[1].name, "b");
	assert_string_equal(config.heartbeats[1].cgroup, "/system.slice/b.service");
	assert_int_equal(config.heartbeats[1].every_ns, 60000000000);
}

static void heartbeat_mistakes_are_refused(void **state _unused_)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"heartbeats: [{every: 5s}]", "f:1:14: file is missing; expected file: /run/"},
		{"heartbeats: [{file: /run/a}]", "f:1:14: every is missing; expected every: 30s"},
		{"heartbeats: [{file: run/a, every: 5s}]", "f:1:21: file: expected an absolute"},
		{"heartbeats: [{file: /run/a, every: 5}]", "f:1:36: every: expected a duration"},
		{"heartbeats: [{file: /run/a, every: 8d}]", "f:1:36: every: expected a duration"},
		{"heartbeats: [{file: /r, every: 5s, cgroup: x}]", "f:1:44: cgroup: expected the"},
		{"heartbeats: [{file: /r, evry: 5s}]", "f:1:25: unknown key 'evry' in an item of "
						       "'heartbeats'; did you mean 'every'?"},
		{"heartbeats: [{file: /r, every: 5s}, {file: /r, every: 6s}]",
		 "f:1:37: name '/r' is taken by another item of 'heartbeats'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(load(cases[i].text), -EINVAL);
		if (strncmp(error.text, cases[i].message, strlen(cases[i].message)) != 0)
			fail_msg("%s\n  got:      %s\n  expected: %s", cases[i].text, error.text,
				 cases[i].message);
	}
	assert_null(config.heartbeats);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(budget_whole_is_parsed),
		T(budget_absent_limits_are_unset),
		T(budget_quota_is_of_its_period),
		T(budget_share_of_the_parent_is_kept_as_one),
		T(budget_share_mistakes_are_refused),
		T(budget_condition_follows_the_kind_of_signal),
		T(budget_condition_mistakes_are_refused),
		T(budget_without_effect_is_refused),
		T(budget_cgroup_must_be_a_path),
		T(budget_names_must_differ),
		T(budget_unknown_keys_are_refused),
		T(budget_anchor_may_be_shared),
		T(heartbeat_is_parsed_with_defaults),
		T(heartbeat_mistakes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
