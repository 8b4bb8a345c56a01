// SPDX-License-Identifier: GPL-2.0-only
/* migrate: old artifacts in the newest form; whatever fails on the way, old or new is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <json-c/json.h>
#include <sys/stat.h>

#include "tests/unit/faulty_io.h"
#include "user/evidence/canonical.h"
#include "user/evidence/migrate.h"

#define EVENTS                                                                                     \
	"{\"schema_version\":1,\"seq\":1,\"type\":\"run-opened\",\"a\":{\"z\":1,\"b\":2.5}}\n"     \
	"{\"schema_version\":1,\"seq\":2,\"type\":\"run-closed\"}\n"
#define WANT                                                                                       \
	"{\"a\":{\"b\":2.5,\"z\":1},\"schema_version\":2,\"seq\":1,\"type\":\"run-opened\"}\n"     \
	"{\"schema_version\":2,\"seq\":2,\"type\":\"run-closed\"}\n"

static void put(int dir, const char *name, const char *text)
{
	assert_int_equal(wv_io_replace(&wv_io_system, dir, name, text, strlen(text), 0640), 0);
}

static void expect(int dir, const char *name, const char *want)
{
	_cleanup_free_ char *text = NULL;

	assert_int_equal(wv_io_read_file(&wv_io_system, dir, name, 1 << 20, &text, NULL), 0);
	assert_string_equal(text, want);
}

static bool is_there(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, 0) == 0;
}

static int fresh(const char *events)
{
	static unsigned n;
	char path[96];
	int dir;

	fault = (struct fault){0};
	snprintf(path, sizeof(path), "%s/run-%u", base, n++);
	assert_int_equal(mkdir(path, 0700), 0);
	dir = open(path, O_RDONLY | O_DIRECTORY);
	assert_true(dir >= 0);
	put(dir, "events.jsonl", events);
	put(dir, "run_meta.json", "{\"schema_version\":1}");
	return dir;
}

static struct wv_migrated told[8];
static unsigned n_told;

static int tell(void *ctx _unused_, const struct wv_migrated *m)
{
	assert_true(n_told < 8);
	told[n_told++] = *m;
	return 0;
}

static int run(const struct wv_io *io, int from, int to)
{
	struct wv_migration m = {.io = io, .from_dir = from, .to_dir = to, .tell = tell};
	int r;

	n_told = 0;
	r = wv_migrate_run(&m);
	if (r < 0)
		assert_true(m.error[0] || r == -ENOMEM);
	return r;
}

static void migrate_in_place_keeps_the_original(void **state _unused_)
{
	int dir = fresh(EVENTS);

	assert_int_equal(run(&wv_io_system, dir, dir), 0);
	expect(dir, "events.jsonl", WANT);
	expect(dir, "events.jsonl.v1", EVENTS);
	assert_int_equal(n_told, 2);
	assert_int_equal(told[1].from, 1);
	assert_int_equal(told[1].to, 2);
	assert_int_equal(told[1].records, 2);
	assert_string_not_equal(told[1].from_sha256, told[1].to_sha256);
	/* again: nothing is left to do, and the original stays what it was */
	assert_int_equal(run(&wv_io_system, dir, dir), 0);
	expect(dir, "events.jsonl.v1", EVENTS);
	assert_int_equal(told[1].from, 2);
	close(dir);
}

static void migrate_to_a_folder_leaves_the_old_one(void **state _unused_)
{
	int dir = fresh(EVENTS), out = fresh("");

	put(dir, "metrics.csv", "schema_version\n1\n");
	assert_int_equal(run(&wv_io_system, dir, out), 0);
	expect(dir, "events.jsonl", EVENTS);
	expect(out, "events.jsonl", WANT);
	expect(out, "metrics.csv", "schema_version\n1\n");
	assert_false(is_there(dir, "events.jsonl.v1"));
	close(dir);
	close(out);
}

static void migrate_torn_last_line_left_out(void **state _unused_)
{
	int dir = fresh(EVENTS "{\"schema_version\":1,\"se");

	assert_int_equal(run(&wv_io_system, dir, dir), 0);
	expect(dir, "events.jsonl", WANT);
	assert_int_equal(told[1].cut_bytes, strlen("{\"schema_version\":1,\"se"));
	close(dir);
}

static void migrate_what_is_no_artifact_refused(void **state _unused_)
{
	static const struct {
		const char *events;
		int error;
	} cases[] = {{"{\"schema_version\":3,\"seq\":1}\n", -EPROTO},
		     {"not json\n", -EBADMSG},
		     {"{\"seq\":1}\n", -EBADMSG},
		     {"{\"schema_version\":\"1\"}\n", -EBADMSG},
		     {"[]\n", -EBADMSG}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int dir = fresh(cases[i].events);

		assert_int_equal(run(&wv_io_system, dir, dir), cases[i].error);
		expect(dir, "events.jsonl", cases[i].events);
		assert_false(is_there(dir, "events.jsonl.v1"));
		close(dir);
	}
}

static void migrate_any_call_fails_old_or_new_is_whole(void **state _unused_)
{
	static const enum mode modes[] = {FAIL, TORN, CRASH};
	unsigned tried = 0;

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++)
		for (unsigned at = 0;; at++) {
			_cleanup_free_ char *text = NULL;
			int dir = fresh(EVENTS), r;
			bool over;

			fault = (struct fault){
				.mode = modes[m], .error = ENOSPC, .at = at, .span = 1};
			r = run(&faulty, dir, dir);
			over = fault.calls <= at;
			fault = (struct fault){0};
			assert_int_equal(wv_io_read_file(&wv_io_system, dir, "events.jsonl",
							 1 << 20, &text, NULL),
					 0);
			if (strcmp(text, WANT) == 0)
				expect(dir, "events.jsonl.v1", EVENTS);
			else
				assert_string_equal(text, EVENTS);
			/* and the next try completes it */
			assert_int_equal(run(&wv_io_system, dir, dir), 0);
			expect(dir, "events.jsonl", WANT);
			expect(dir, "events.jsonl.v1", EVENTS);
			close(dir);
			if (over) {
				assert_int_equal(r, 0);
				break;
			}
			tried++;
		}
	assert_true(tried > 30);
}

static int setup(void **state _unused_)
{
	make_base();
	return 0;
}

static int teardown(void **state _unused_)
{
	remove_base();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(migrate_in_place_keeps_the_original),
		cmocka_unit_test(migrate_to_a_folder_leaves_the_old_one),
		cmocka_unit_test(migrate_torn_last_line_left_out),
		cmocka_unit_test(migrate_what_is_no_artifact_refused),
		cmocka_unit_test(migrate_any_call_fails_old_or_new_is_whole),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
