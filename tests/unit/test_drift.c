// SPDX-License-Identifier: GPL-2.0-only
/* Drift: what differs is told once, with kind, name and origin; what does not is not told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/faulty_io.h"
#include "user/evidence/drift.h"

static char told[4096];

static void each(void *ctx _unused_, const struct wv_drift *d)
{
	size_t len = strlen(told);

	snprintf(told + len, sizeof(told) - len, "%s %s %s>%s %s\n", wv_drift_names[d->kind],
		 d->name, d->before ? json_object_to_json_string_ext(d->before, 0) : "-",
		 d->after ? json_object_to_json_string_ext(d->after, 0) : "-", d->origin);
}

static const char *compare(const char *before, const char *after)
{
	struct json_object *a = json_tokener_parse(before), *b = json_tokener_parse(after);

	assert_non_null(a);
	assert_non_null(b);
	told[0] = '\0';
	wv_drift_compare(a, b, each, NULL);
	json_object_put(a);
	json_object_put(b);
	return told;
}

#define META(settings, sha, policy, kernel)                                                        \
	"{\"run_id\":\"x\",\"policy_version\":\"" policy                                           \
	"\",\"waveos_version\":\"1.0.0\",\"started_wall_ns\":1,"                                   \
	"\"host\":{\"kernel\":\"" kernel "\",\"cpus\":2,\"controllers_v2\":[\"cpu\"]},"            \
	"\"config\":{\"sha256\":\"" sha "\",\"budgets\":0,\"settings\":{" settings "}}}"

static void compare_equal_tells_nothing(void **state _unused_)
{
	assert_string_equal(compare(META("\"agent\":{\"tick\":1}", "a", "p", "6"),
				    META("\"agent\":{\"tick\":1}", "a", "p", "6")),
			    "");
	/* what is of the run itself is no drift */
	assert_string_equal(compare("{\"run_id\":\"a\",\"counts\":{\"records\":1}}",
				    "{\"run_id\":\"b\",\"counts\":{\"records\":2}}"),
			    "");
}

static void compare_each_kind_told_with_origin(void **state _unused_)
{
	unsetenv("WAVEOS_AGENT_TICK");
	assert_string_equal(compare(META("\"agent\":{\"tick\":5}", "a", "p", "6"),
				    META("\"agent\":{\"tick\":7}", "b", "q", "7")),
			    "setting agent.tick 5>7 file\n"
			    "config config.sha256 \"a\">\"b\" file\n"
			    "policy policy_version \"p\">\"q\" file\n"
			    "kernel host.kernel \"6\">\"7\" machine\n");
	assert_string_equal(compare(META("\"agent\":{\"tick\":5}", "a", "p", "6"),
				    META("\"agent\":{\"tick\":7}", "a", "p", "6")),
			    "setting agent.tick 5>7 command line\n");
	assert_string_equal(compare(META("\"agent\":{\"tick\":5}", "a", "p", "6"),
				    META("\"agent\":{\"tick\":1000000000}", "a", "p", "6")),
			    "setting agent.tick 5>1000000000 default\n");
	setenv("WAVEOS_AGENT_TICK", "7ns", 1);
	assert_string_equal(compare(META("\"agent\":{\"tick\":5}", "a", "p", "6"),
				    META("\"agent\":{\"tick\":7}", "a", "p", "6")),
			    "setting agent.tick 5>7 environment\n");
	unsetenv("WAVEOS_AGENT_TICK");
}

static void compare_members_that_come_and_go_told(void **state _unused_)
{
	assert_string_equal(compare("{\"host\":{\"cpus\":2}}", "{\"host\":{\"psi\":true}}"),
			    "host host.psi ->true machine\nhost host.cpus 2>- machine\n");
	/* an older agent had no such member */
	assert_string_equal(compare("{}", "{\"bundle_id\":\"b\"}"),
			    "program bundle_id ->\"b\" installation\n");
}

static void previous_newest_other_run_found(void **state _unused_)
{
	struct json_object *o = NULL, *id;
	char path[128];
	/* two within one second, the later one before the other by name */
	static const char *const runs[] = {"20260101T000000Z-a", "20260102T000000Z-b",
					   "20260102T000000Z-a", "20260103T000000Z-c",
					   "20260104T000000Z-no-meta"};

	make_base();
	snprintf(path, sizeof(path), "%s/runs", base);
	assert_int_equal(wv_drift_previous(&wv_io_system, path, "x", &o), -ENOENT);
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		char dir[160], text[96];
		int fd;

		snprintf(dir, sizeof(dir), "%s/%s", path, runs[i]);
		assert_int_equal(wv_io_mkdirs(&wv_io_system, dir, 0700), 0);
		if (i == 4)
			continue;
		fd = open(dir, O_RDONLY | O_DIRECTORY);
		snprintf(text, sizeof(text), "{\"run_id\":\"%s\",\"started_wall_ns\":%zu}", runs[i],
			 i);
		assert_int_equal(
			wv_io_replace(&wv_io_system, fd, "run_meta.json", text, strlen(text), 0640),
			0);
		close(fd);
	}
	assert_int_equal(wv_drift_previous(&wv_io_system, path, runs[3], &o), 0);
	assert_true(json_object_object_get_ex(o, "run_id", &id));
	assert_string_equal(json_object_get_string(id), runs[2]);
	json_object_put(o);
	remove_base();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compare_equal_tells_nothing),
		cmocka_unit_test(compare_each_kind_told_with_origin),
		cmocka_unit_test(compare_members_that_come_and_go_told),
		cmocka_unit_test(previous_newest_other_run_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
