// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/fields.h"
#include "user/flow/budget.h"
#include "user/flow/heartbeat.h"

static struct wv_config config;
static struct wv_config_error error;

static int setup(void **state _unused_)
{
	error.text[0] = '\0';
	return wv_config_init(&config);
}

static int teardown(void **state _unused_)
{
	wv_config_done(&config);
	return 0;
}

static int load(const char *text)
{
	return wv_config_load_memory(&config, "f.yaml", text, strlen(text), &error);
}

/* Refused with a message that begins and ends like this, and nothing applied. */
static void assert_refused(const char *text, const char *message)
{
	struct wv_config before = config;

	assert_int_equal(load(text), -EINVAL);
	if (strncmp(error.text, message, strlen(message)) != 0)
		fail_msg("for: %s\n  got:      %s\n  expected: %s", text, error.text, message);
	assert_memory_equal(&before, &config, sizeof(config));
}

static void config_defaults_match_table(void **state _unused_)
{
	assert_int_equal(config.agent_tick, 1000000000);
	assert_int_equal(config.agent_on_exit, 0);
	assert_int_equal(config.agent_log_level, 2);
	assert_int_equal(config.collect_max_cgroups, 1024);
	assert_int_equal(config.collect_event_ring, 256 << 10);
	assert_int_equal(config.record_artifacts_every, 300000000000);
	assert_string_equal(config.metrics_listen, "127.0.0.1:9850");
	assert_true(config.enforce_enabled);
	assert_string_equal(config.source, "");
	assert_string_equal(config.digest, "");
}

static void config_file_sets_values(void **state _unused_)
{
	assert_int_equal(load("agent:\n  tick: 250ms\n  on_exit: detach\n"
			      "collect: {max_cgroups: 64, event_ring: 1M}\n"
			      "metrics: {listen: ''}\n"
			      "enforce:\n  enabled: false\n"),
			 0);
	assert_int_equal(config.agent_tick, 250000000);
	assert_int_equal(config.agent_on_exit, 2);
	assert_int_equal(config.collect_max_cgroups, 64);
	assert_int_equal(config.collect_event_ring, 1 << 20);
	assert_string_equal(config.metrics_listen, "");
	assert_false(config.enforce_enabled);
	assert_string_equal(config.source, "f.yaml");
	assert_int_equal(strlen(config.digest), 64);
	assert_int_equal(config.record_interval, 10000000000);
}

static void config_nothing_in_file_keeps_defaults(void **state _unused_)
{
	const char *texts[] = {"",
			       "\n\n",
			       "# only a comment\n",
			       "---\n",
			       "null",
			       "agent:\n",
			       "agent:\nbudgets:\nheartbeats: ~\n"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(load(texts[i]), 0);
		assert_int_equal(config.agent_tick, 1000000000);
		assert_int_equal(config.n_budgets, 0);
	}
}

static void config_digest_is_sha256_of_bytes(void **state _unused_)
{
	assert_int_equal(load(""), 0);
	assert_string_equal(config.digest, "e3b0c44298fc1c149afbf4c8996fb924"
					   "27ae41e4649b934ca495991b7852b855");
}

static void config_unknown_key_is_refused_with_suggestion(void **state _unused_)
{
	assert_refused("agent:\n  tik: 1s\n",
		       "f.yaml:2:3: unknown key 'tik' in section 'agent'; did you mean 'tick'?");
	assert_refused("agnet:\n  tick: 1s\n", "f.yaml:1:1: unknown key 'agnet' in the "
					       "configuration; did you mean 'agent'?");
	assert_refused("task: {crash_loop_exit: 3}", "f.yaml:1:8: unknown key 'crash_loop_exit' in "
						     "section 'task'; did you mean "
						     "'crash_loop_exits'?");
	assert_refused("bugdets: []", "f.yaml:1:1: unknown key 'bugdets' in the configuration; did "
				      "you mean 'budgets'?");
	assert_refused("zzzzzzzz: 1", "f.yaml:1:1: unknown key 'zzzzzzzz' in the configuration");
	assert_null(strstr(error.text, "did you mean"));
}

static void config_wrong_value_says_what_is_expected(void **state _unused_)
{
	assert_refused("agent:\n  tick: 1\n",
		       "f.yaml:2:9: agent.tick: expected a duration (ms, s, m, h) from 20ms to "
		       "1m, such as 1s; got '1'");
	assert_refused("agent:\n  tick: 19ms\n", "f.yaml:2:9: agent.tick: expected a duration");
	assert_refused("agent:\n  tick: 61s\n", "f.yaml:2:9: agent.tick: expected a duration");
	assert_refused("collect:\n  max_cgroups: many\n",
		       "f.yaml:2:16: collect.max_cgroups: expected a whole number from 64 to "
		       "16384, such as 1024; got 'many'");
	assert_refused("collect: {max_cgroups: 63}", "f.yaml:1:24: collect.max_cgroups");
	assert_refused("collect: {max_cgroups: -64}", "f.yaml:1:24: collect.max_cgroups");
	assert_refused("collect: {max_cgroups: 1e3}", "f.yaml:1:24: collect.max_cgroups");
	assert_refused("collect: {event_ring: 100000}",
		       "f.yaml:1:23: collect.event_ring: expected a size (bytes, or K, M, G) that "
		       "is a power of two from 4K to 16M, such as 256K; got '100000'");
	assert_refused("enforce: {enabled: maybe}",
		       "f.yaml:1:20: enforce.enabled: expected true or false; got 'maybe'");
	assert_refused("agent: {on_exit: detatch}",
		       "f.yaml:1:18: agent.on_exit: expected one of auto, keep, detach; did you "
		       "mean 'detach'?; got 'detatch'");
	assert_refused("agent: {tick: [1s]}", "f.yaml:1:15: agent.tick: expected a single value "
					      "(duration), got a list");
	assert_refused("agent: {tick: {a: b}}", "f.yaml:1:15: agent.tick: expected a single value "
						"(duration), got a mapping");
	assert_refused("agent: {tick: }", "f.yaml:1:15: agent.tick: expected a duration");
	assert_refused("agent: 7", "f.yaml:1:8: section 'agent': expected a mapping (key: value), "
				   "got text");
	assert_refused("- agent", "f.yaml:1:1: the configuration: expected a mapping (key: value), "
				  "got a list");
	assert_refused("just text", "f.yaml:1:1: the configuration: expected a mapping");
	assert_refused("budgets: {a: b}", "f.yaml:1:10: budgets: expected a list");
	assert_refused("? [a, b]\n: c\n", "f.yaml:1:3: the configuration: a key must be a word");
}

static void config_huge_number_is_refused(void **state _unused_)
{
	static const char *const values[] = {
		"18446744073709551616",
		"99999999999999999999999999999999999999s",
		"18446744073709551615",
		"18446744073709551615s",
		"0x100",
		"1_000",
		"0128",
		"+128",
		" ",
		"1.",
		".5",
		"1.5",
		"1..5s",
		"NaN",
		"inf",
		"1e400",
	};
	char text[128];

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		snprintf(text, sizeof(text), "collect: {max_cgroups: \"%s\"}", values[i]);
		assert_refused(text, "f.yaml:1:24: collect.max_cgroups: expected");
		snprintf(text, sizeof(text), "agent: {tick: \"%s\"}", values[i]);
		assert_refused(text, "f.yaml:1:15: agent.tick: expected");
	}
}

static void config_repeated_key_is_refused(void **state _unused_)
{
	assert_refused("agent:\n  tick: 1s\n  tick: 2s\n",
		       "f.yaml:3:3: key 'tick' in section 'agent' is given twice");
	assert_refused("agent: {}\nagent: {}\n",
		       "f.yaml:2:1: key 'agent' in the configuration is given twice");
	assert_refused("budgets:\n  - cgroup: /a\n    cgroup: /b\n    pids: {max: 1}\n",
		       "f.yaml:3:5: key 'cgroup' in an item of 'budgets' is given twice");
	assert_refused("budgets:\n  - cgroup: /a\n    pids: {max: 1, max: 2}\n",
		       "f.yaml:3:20: key 'max' in section 'pids' is given twice");
}

static void config_aliases_are_followed(void **state _unused_)
{
	assert_int_equal(load("agent: {tick: &t 2s}\nrecord: {interval: *t}\n"), 0);
	assert_int_equal(config.agent_tick, 2000000000);
	assert_int_equal(config.record_interval, 2000000000);
	/* an alias of what it stands in is a circle */
	assert_refused("agent: &a\n  tick: *a\n", "f.yaml:1:8: agent.tick: expected a single");
	assert_refused("&a [*a]", "f.yaml:1:1: the configuration: expected a mapping");
	assert_refused("agent: {tick: *nowhere}", "f.yaml:1:15: not valid YAML");
}

static void config_error_in_second_file_keeps_first(void **state _unused_)
{
	struct wv_config before;

	assert_int_equal(load("agent: {tick: 2s}\nbudgets: [{cgroup: /a, pids: {max: 5}}]\n"
			      "heartbeats: [{file: /f, every: 1s}]\n"),
			 0);
	before = config;
	assert_refused("agent: {tick: 3s}\nbudgets: [{cgroup: /b, pids: {max: 6}}, {}]\n",
		       "f.yaml:2:41: cgroup is missing");
	assert_int_equal(config.n_budgets, 1);
	assert_string_equal(config.budgets[0].cgroup, "/a");
	assert_int_equal(config.agent_tick, before.agent_tick);
	assert_int_equal(load("agent: {tick: 4s}"), 0);
	assert_int_equal(config.n_budgets, 0);
	assert_int_equal(config.n_heartbeats, 0);
}

static void config_broken_syntax_says_where(void **state _unused_)
{
	assert_refused("agent:\n  tick: [1s\n", "f.yaml:3:1: not valid YAML: ");
	assert_refused("agent:\n\ttick: 1s\n", "f.yaml:2:1: not valid YAML: ");
	assert_refused("agent: \"abc", "f.yaml:1:12: not valid YAML: ");
	assert_refused("%YAML 3.0\n---\nagent: {}\n", "f.yaml:1:1: not valid YAML: ");
	assert_refused("agent: {}\n---\nagent: {}\n", "f.yaml:2:1: a second document");
	assert_refused("agent: \"\xff\xfe\"", "f.yaml: byte 8: not valid UTF-8 text");
}

static void config_nul_in_text_is_refused(void **state _unused_)
{
	assert_refused("metrics: {listen: \"a\\0b\"}", "f.yaml:1:19: metrics.listen: expected a "
						       "single value");
	assert_refused("\"ag\\0ent\": {}", "f.yaml:1:1: the configuration: a key must be a word");
	assert_int_equal(wv_config_load_memory(&config, "f", "agent:\0 {}", 10, &error), -EINVAL);
}

static void config_control_characters_never_reach_the_message(void **state _unused_)
{
	assert_refused("\"a\\e[31m\\n\\x7f\": 1", "f.yaml:1:1: unknown key 'a?[31m?");
	assert_refused("agent: {tick: \"\\e]0;x\\a\"}", "f.yaml:1:15: agent.tick");
	for (const char *p = error.text; *p; p++)
		assert_true((unsigned char)*p >= ' ' && *p != 0x7f);
}

static void config_deep_nesting_is_refused(void **state _unused_)
{
	static const char *const opens[] = {"[", "{a: ", "- ", "? "};
	size_t max = 1000000;
	char *text = malloc(max + 8);

	assert_non_null(text);
	for (size_t i = 0; i < ARRAY_SIZE(opens); i++) {
		size_t n = strlen(opens[i]), len = 0;

		for (; len + n < max; len += n)
			memcpy(text + len, opens[i], n);
		assert_int_equal(wv_config_load_memory(&config, "f.yaml", text, len, &error),
				 -EINVAL);
		assert_non_null(strstr(error.text, "nested deeper than 16 levels"));
	}
	free(text);
}

static void config_many_anchors_are_refused(void **state _unused_)
{
	size_t max = 1000000, len = 1;
	char *text = malloc(max + 32);

	assert_non_null(text);
	text[0] = '[';
	for (unsigned i = 0; len < max; i++)
		len += (size_t)sprintf(text + len, "&a%u x,", i);
	text[len++] = ']';
	assert_int_equal(wv_config_load_memory(&config, "f.yaml", text, len, &error), -EINVAL);
	assert_non_null(strstr(error.text, "more than 1000 anchors"));
	free(text);
}

static void config_many_directives_are_refused(void **state _unused_)
{
	char text[101 * 16 + 1], *p = text;

	for (unsigned i = 0; i < 101; i++)
		p += sprintf(p, "%%TAG !t%u! x\n", i);
	assert_refused(text, "f.yaml: more than 100 lines that start with '%'");
}

static void config_over_one_megabyte_is_refused(void **state _unused_)
{
	size_t max = 1 << 20;
	char *text = malloc(max + 1);

	assert_non_null(text);
	memset(text, '#', max + 1);
	assert_int_equal(wv_config_load_memory(&config, "f.yaml", text, max, &error), 0);
	assert_int_equal(wv_config_load_memory(&config, "f.yaml", text, max + 1, &error), -EINVAL);
	assert_string_equal(error.text, "f.yaml: larger than 1048576 bytes");
	free(text);
}

static const char full[] =
	"agent:\n  tick: 250ms\n  log_format: json\ncollect: &c {max_cgroups: 64}\n"
	"metrics:\n  listen: \"[::1]:9850\"\n"
	"budgets:\n  - name: one\n    cgroup: /batch.slice/*\n"
	"    when: {signal: cpu_usage_ns, above: 500ms, for: 1s, clear: 0.25s}\n"
	"    cpu: {quota: 150%, period: 50ms, weight: 10}\n"
	"    network:\n      egress: 10mbit\n      burst: 64K\n"
	"heartbeats:\n  - {file: /run/x, every: 5s}\n";

static void config_truncated_anywhere_is_whole_or_refused(void **state _unused_)
{
	for (size_t len = 0; len <= strlen(full); len++) {
		int r;

		error.text[0] = '\0';
		r = wv_config_load_memory(&config, "f.yaml", full, len, &error);
		assert_true(r == 0 || r == -EINVAL);
		assert_true((r == 0) == (error.text[0] == '\0'));
		if (r < 0)
			assert_memory_equal(error.text, "f.yaml:", 7);
	}
	assert_int_equal(config.n_budgets, 1);
}

static void config_garbage_is_refused(void **state _unused_)
{
	uint64_t seed = 88172645463325252ULL;
	char text[sizeof(full)];

	for (unsigned round = 0; round < 4000; round++) {
		size_t len = sizeof(text) - 1;
		int r;

		memcpy(text, full, len);
		/* a few flipped bytes first, more and more of them, then noise */
		for (unsigned i = 0; i <= round / 10; i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			text[seed % len] = (char)(seed >> 32);
		}
		error.text[0] = '\0';
		r = wv_config_load_memory(&config, "f.yaml", text, len, &error);
		assert_true(r == 0 || r == -EINVAL);
		assert_true((r == 0) == (error.text[0] == '\0'));
	}
}

static void config_missing_file_is_told_apart(void **state _unused_)
{
	assert_int_equal(wv_config_load(&config, "/nonexistent/waveos.yaml", &error), -ENOENT);
	assert_int_equal(wv_config_load(&config, "/tmp", &error), -EISDIR);
	assert_int_equal(wv_config_load(&config, "/dev/zero", &error), -EINVAL);
	assert_string_equal(error.text, "/dev/zero: larger than 1048576 bytes");
	assert_int_equal(wv_config_load(&config, "/dev/null", &error), 0);
	assert_string_equal(config.source, "/dev/null");
}

static void config_set_overrides_one_setting(void **state _unused_)
{
	assert_int_equal(wv_config_set(&config, "agent.tick", "5s", &error), 0);
	assert_int_equal(config.agent_tick, 5000000000);
	assert_int_equal(wv_config_set(&config, "agent.tick", "5", &error), -EINVAL);
	assert_string_equal(error.text, "--set agent.tick: expected a duration (ms, s, m, h) from "
					"20ms to 1m, such as 1s; got '5'");
	assert_int_equal(config.agent_tick, 5000000000);
	assert_int_equal(wv_config_set(&config, "agent.tok", "5s", &error), -EINVAL);
	assert_string_equal(error.text,
			    "--set: unknown setting 'agent.tok'; did you mean 'agent.tick'?");
	assert_int_equal(wv_config_set(&config, "tick", "5s", &error), -EINVAL);
	assert_int_equal(wv_config_set(&config, "", "", &error), -EINVAL);
	assert_int_equal(wv_config_set(&config, "budgets", "[]", &error), -EINVAL);
	assert_non_null(strstr(error.text, "'budgets' is a list"));
}

static void config_environment_applies_all_or_nothing(void **state _unused_)
{
	setenv("WAVEOS_AGENT_TICK", "3s", 1);
	setenv("WAVEOS_COLLECT_MAX_CGROUPS", "128", 1);
	setenv("WAVEOS_METRICS_SERVICE_HOST", "10.0.0.1", 1);
	setenv("WAVEOS_METRICS_PORT", "tcp://10.0.0.1:9850", 1);
	setenv("WAVEOS_METRICS_PORT_9850_TCP_ADDR", "10.0.0.1", 1);
	setenv("WAVEOS_SOMETHING", "else", 1);
	assert_int_equal(wv_config_environment(&config, &error), 0);
	assert_int_equal(config.agent_tick, 3000000000);
	assert_int_equal(config.collect_max_cgroups, 128);
	setenv("WAVEOS_AGENT_TICK", "4s", 1);
	setenv("WAVEOS_TASK_HUNG_AFTR", "1s", 1);
	assert_int_equal(wv_config_environment(&config, &error), -EINVAL);
	assert_string_equal(error.text, "environment: unknown setting 'task.hung_aftr'; did you "
					"mean 'task.hung_after'?");
	assert_int_equal(config.agent_tick, 3000000000);
	unsetenv("WAVEOS_TASK_HUNG_AFTR");
	setenv("WAVEOS_AGENT_TICK", "x", 1);
	assert_int_equal(wv_config_environment(&config, &error), -EINVAL);
	assert_memory_equal(error.text, "environment: WAVEOS_AGENT_TICK: expected a dur", 44);
	unsetenv("WAVEOS_AGENT_TICK");
	unsetenv("WAVEOS_COLLECT_MAX_CGROUPS");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(config_defaults_match_table),
		T(config_file_sets_values),
		T(config_nothing_in_file_keeps_defaults),
		T(config_digest_is_sha256_of_bytes),
		T(config_unknown_key_is_refused_with_suggestion),
		T(config_wrong_value_says_what_is_expected),
		T(config_huge_number_is_refused),
		T(config_repeated_key_is_refused),
		T(config_aliases_are_followed),
		T(config_error_in_second_file_keeps_first),
		T(config_broken_syntax_says_where),
		T(config_nul_in_text_is_refused),
		T(config_control_characters_never_reach_the_message),
		T(config_deep_nesting_is_refused),
		T(config_many_anchors_are_refused),
		T(config_many_directives_are_refused),
		T(config_over_one_megabyte_is_refused),
		T(config_truncated_anywhere_is_whole_or_refused),
		T(config_garbage_is_refused),
		T(config_missing_file_is_told_apart),
		T(config_set_overrides_one_setting),
		T(config_environment_applies_all_or_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
