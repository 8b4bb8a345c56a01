// SPDX-License-Identifier: GPL-2.0-only
/* What `policy check` finds, and what it must not find. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "user/policy/lint.h"
#include "user/policy/policy.h"
#include "user/policy/range.h"

static char found[4096];

static void note(void *ctx, unsigned line, const char *text)
{
	size_t len = strlen(found);

	(void)ctx;
	snprintf(found + len, sizeof(found) - len, "%u: %s\n", line, text);
}

#define HEAD "schema_version: 1\nname: t\ndomains:\n  - {name: d, scope: {cgroup: \"/d/*\"}}\n"

static const char *lint(const char *more)
{
	struct wv_config_error error;
	struct wv_policy *p;
	char text[4096];

	snprintf(text, sizeof(text), HEAD "%s", more);
	if (wv_policy_load_memory(&p, "t", text, strlen(text), &error) < 0)
		fail_msg("%s", error.text);
	found[0] = '\0';
	wv_policy_lint(p, note, NULL);
	wv_policy_free(p);
	return found;
}

static void finds(const char *more, const char *expected)
{
	if (!strstr(lint(more), expected))
		fail_msg("'%s' is not in '%s'", expected, found);
}

#define RULE(name, condition, then)                                                                \
	"  - {name: " name ", domain: d, if: \"" condition "\", then: [" then "]}\n"

static void lint_is_silent_about_a_sound_policy(void **state)
{
	(void)state;
	assert_string_equal(lint("rules:\n" RULE("r", "mem_usage_bytes > 1G", "mode degraded")),
			    "");
}

static void lint_finds_what_is_surely_not_meant(void **state)
{
	(void)state;
	finds("  - {name: e, scope: {cgroup: \"/d/*\"}}\n", "5: domain 'e' is never used: 'd'");
	finds("rules:\n" RULE("r", "share(cpu_usage_ns) > 1.5", "alert"), "can never fire");
	finds("rules:\n" RULE("r", "mem_usage_bytes < 0", "alert"), "can never fire");
	finds("rules:\n" RULE("r", "mem_usage_bytes >= 0", "alert"), "always fires");
	finds("rules:\n  - {name: r, domain: d, if: mem_usage_bytes > 5, clear: mem_usage_bytes < "
	      "0, "
	      "then: [alert]}\n",
	      "never ends");
	finds("rules:\n  - {name: r, domain: d, if: mem_usage_bytes > 5, clear: mem_usage_bytes > "
	      "5, "
	      "then: [alert]}\n",
	      "contradicts itself");
	finds("rules:\n" RULE("a", "mem_usage_bytes > 5", "alert")
		      RULE("b", "mem_usage_bytes > 5", "alert"),
	      "rule 'b' is shadowed by 'a'");
	finds("rules:\n" RULE("a", "mem_usage_bytes > 5", "freeze")
		      RULE("b", "mem_usage_bytes > 5", "thaw"),
	      "contradict each other");
	finds("modes:\n  - {name: n}\n  - {name: lost}\n", "mode 'lost' is unreachable");
	finds("recovery:\n  - {name: c, steps: [restart]}\n", "chain 'c' is never started");
	finds("rules:\n" RULE("r", "mem_usage_bytes > 5", "kill"),
	      "'kill' is never done: features.kill is off");
	finds("features: {budgets: false}\nbudgets:\n  - {name: b, domain: d, pids: {max: 5}}\n",
	      "budgets: none is held");
}

static struct wv_range_verdict range(const char *text)
{
	struct wv_expr_error error;
	struct wv_expr e;

	if (wv_expr_parse(&e, text, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	return wv_expr_range(&e);
}

static void range_is_never_narrower_than_what_can_be(void **state)
{
	static const char *const open[] = {
		"mem_usage_bytes > 1G",
		"rate(cpu_usage_ns) < 5%",
		"share(cpu_usage_ns) >= 1",
		"mem_usage_bytes - mem_limit_bytes > 0",
		"slope(mem_usage_bytes) < 0/s",
		"ratio(mem_usage_bytes, mem_limit_bytes) == 0",
		"not (mem_usage_bytes > 1)",
		"p99(io_latency) > 50ms and mem_usage_bytes == 0",
		"abs(mem_usage_bytes - 5) > 3",
		"least(mem_usage_bytes, 5) > 4",
		"mem_usage_bytes / mem_limit_bytes > 1000",
		"mem_usage_bytes * 0 == 0 and mem_usage_bytes > 5",
		"age > 30s",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		struct wv_range_verdict v = range(open[i]);

		if (!v.may_be_true || !v.may_be_false)
			fail_msg("%s", open[i]);
	}
	assert_false(range("least(mem_usage_bytes, 5) > 6").may_be_true);
	assert_false(range("greatest(mem_usage_bytes, 5) < 5").may_be_true);
	assert_false(range("mem_usage_bytes < 0 or task_zombies < 0").may_be_true);
	assert_false(range("not (mem_usage_bytes >= 0)").may_be_true);
	assert_false(range("-mem_usage_bytes > 5").may_be_true);
	assert_false(range("mem_usage_bytes + 10 < 10").may_be_true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lint_is_silent_about_a_sound_policy),
		cmocka_unit_test(lint_finds_what_is_surely_not_meant),
		cmocka_unit_test(range_is_never_narrower_than_what_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
