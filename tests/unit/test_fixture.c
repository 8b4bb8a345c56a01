// SPDX-License-Identifier: GPL-2.0-only
/* Fixtures: samples are made as they say, and what is wrong in one is told with its place. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "user/policy/fixture.h"
#include "user/policy/policy.h"
#include "user/rules/modes.h"

static struct wv_fixture *load(const char *text)
{
	struct wv_config_error error;
	struct wv_fixture *f = NULL;

	if (wv_fixture_load_memory(&f, "f.yaml", text, strlen(text), &error) < 0)
		fail_msg("%s", error.text);
	return f;
}

static void refuse(const char *text, const char *expected)
{
	struct wv_config_error error;
	struct wv_fixture *f = NULL;

	assert_int_equal(wv_fixture_load_memory(&f, "f.yaml", text, strlen(text), &error), -EINVAL);
	if (!strstr(error.text, expected))
		fail_msg("'%s' is not in '%s'", expected, error.text);
}

static const struct wv_row *row(const struct wv_sample *s, const char *path)
{
	for (uint32_t i = 1; i < s->used_rows; i++)
		if (strcmp(s->rows[i].path, path) == 0)
			return &s->rows[i];
	fail_msg("no row %s", path);
	return NULL;
}

static void fixture_samples_follow_the_steps(void **state)
{
	struct wv_fixture *f = load("tick: 500ms\nsteps:\n"
				    "  - for: 1s\n    set: {/a/b: {task_forks: 3/s, "
				    "mem_usage_bytes: 1M, io_latency: \"3ms 10/s\"}}\n"
				    "  - for: 1s\n    set: {/a/b: {task_forks: 0/s, "
				    "cpu_usage_ns: 1500ms/s}}\n");
	static const uint64_t forks[] = {0, 1, 3, 3, 3};
	const struct wv_sample *s;
	uint64_t start = 0;
	unsigned n = 0;

	(void)state;
	for (; (s = wv_fixture_next(f)); n++) {
		const struct wv_row *r = row(s, "/a/b");

		start = n ? start : s->mono_ns;

		assert_int_equal(s->seq, n + 1);
		assert_int_equal(s->mono_ns, start + n * 500000000ULL);
		assert_true(n < 5);
		assert_int_equal(r->f.v[WV_SIG_TASK_FORKS], forks[n]);
		assert_int_equal(r->f.v[WV_SIG_MEM_USAGE], 1 << 20);
		assert_string_equal(s->rows[r->parent_slot].path, "/a");
		assert_int_equal(wv_hist_count(&r->f.hist[WV_HIST_IO_LATENCY]), 5 * n);
		assert_int_equal(r->f.hist[WV_HIST_IO_LATENCY].sum_ns, 5 * n * 3000000);
		assert_int_equal(r->f.v[WV_SIG_CPU_USAGE], n < 3 ? 0 : (n - 2) * 750000000ULL);
	}
	assert_int_equal(n, 5);
	wv_fixture_free(f);
}

static void fixture_errors_name_place_and_remedy(void **state)
{
	(void)state;
	refuse("", "f.yaml: empty");
	refuse("step: []\n",
	       "f.yaml:1:1: unknown key 'step' in the fixture; did you mean 'steps'?");
	refuse("steps:\n  - for: 1500ms\n", "f.yaml:2:10: for: expected a multiple of the tick");
	refuse("steps:\n  - {for: 1s, set: {/a: {task_fork: 1/s}}}\n",
	       "did you mean 'task_forks'?");
	refuse("steps:\n  - {for: 1s, set: {/a: {task_forks: 1}}}\n", "is a counter");
	refuse("steps:\n  - {for: 1s, set: {/a: {mem_usage_bytes: 1/s}}}\n", "expected a value");
	refuse("steps:\n  - {for: 1s, set: {/a: {io_latency: 1ms}}}\n", "a duration and a rate");
	refuse("steps:\n  - {for: 1s, set: {a: {}}}\n", "the path of a cgroup");
	refuse("steps: []\nexpect:\n  - {at: 1s, rule: r, cgroup: /a, to: opened}\n",
	       "expected open, half-open or closed");
}

static void modes_text_is_what_a_shell_takes(void **state)
{
	static const char text[] = "schema_version: 1\nname: t\n"
				   "domains:\n  - {name: web, scope: {cgroup: /w}}\n"
				   "modes:\n  - {name: normal}\n"
				   "  - {name: low, flags: [no-recs, small]}\n";
	struct wv_config_error error;
	struct wv_policy *p;
	char buf[512];

	(void)state;
	assert_int_equal(wv_policy_load_memory(&p, "t", text, strlen(text), &error), 0);
	assert_true(wv_modes_text(p, 0, 1, buf, sizeof(buf)) < sizeof(buf));
	assert_string_equal(buf,
			    "WAVEOS_DOMAIN=web\nWAVEOS_MODE=low\nWAVEOS_FLAGS=\"no-recs small\"\n"
			    "WAVEOS_FLAG_NO_RECS=1\nWAVEOS_FLAG_SMALL=1\n");
	assert_true(wv_modes_text(p, 0, 0, buf, sizeof(buf)) < sizeof(buf));
	assert_string_equal(buf, "WAVEOS_DOMAIN=web\nWAVEOS_MODE=normal\nWAVEOS_FLAGS=\"\"\n");
	wv_policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixture_samples_follow_the_steps),
		cmocka_unit_test(fixture_errors_name_place_and_remedy),
		cmocka_unit_test(modes_text_is_what_a_shell_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
