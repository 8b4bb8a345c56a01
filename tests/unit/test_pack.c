// SPDX-License-Identifier: GPL-2.0-only
/* Evidence packs: what goes in verifies, redacted records keep their proof, and no failure on the
 * way leaves half a pack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "tests/unit/faulty_io.h"
#include "user/evidence/event.h"
#include "user/evidence/pack_device.h"
#include "user/evidence/pack_due.h"

#define N 20

static char findings[4096];

static void take(void *ctx _unused_, const char *what, const char *where, const char *text)
{
	size_t len = strlen(findings);

	snprintf(findings + len, sizeof(findings) - len, "%s: %s: %s\n", what, where, text);
}

/* A log of N records in this boot; every fifth has an address in it. */
static void fill(void)
{
	struct wv_tlog *log;

	fault = (struct fault){0};
	assert_int_equal(wv_io_mkdirs(&wv_io_system, paths.state, 0700), 0);
	assert_int_equal(wv_tlog_open_device(&log, &wv_io_system, &paths), 0);
	for (int i = 1; i <= N; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "text",
				       json_object_new_string(i % 5 ? "plain" : "from 10.1.2.3"));
		assert_int_equal(wv_event(log, &wv_io_system, i <= 10 ? "run-a" : "run-b", "test",
					  o, false, NULL),
				 0);
	}
	assert_int_equal(wv_tlog_commit(log), 0);
	wv_tlog_close(log);
}

static struct wv_pack_result result;
static struct wv_pack_range range;

static int export(const struct wv_io *io, const struct wv_pack_query *q,
		  enum wv_redact_profile profile, const char *file)
{
	return wv_pack_export(
		io, &paths, NULL,
		&(struct wv_pack_order){
			.query = q, .profile = profile, .output = file, .reason = "manual"},
		&range, &result);
}

static struct wv_pack_verdict verify(const char *file)
{
	struct wv_pack_verdict v;
	struct wv_secret_key key;
	char name[WV_KEY_NAME_SIZE];
	int fd = open(file, O_RDONLY);

	findings[0] = '\0';
	assert_true(fd >= 0);
	assert_int_equal(wv_device_key(&wv_io_system, &paths, false, &key, name), 0);
	assert_int_equal(
		wv_pack_verify(fd,
			       &(struct wv_pack_check){.trusted = &key.public_key, .finding = take},
			       &v),
		0);
	json_object_put(v.manifest);
	v.manifest = NULL;
	close(fd);
	return v;
}

static void pack_ranges_verify(void **state _unused_)
{
	char file[96];

	snprintf(file, sizeof(file), "%s/a.tar.zst", base);
	for (uint64_t from = 1; from <= N; from += 3)
		for (uint64_t to = from; to <= N; to += 4) {
			struct wv_pack_verdict v;

			assert_int_equal(export(&wv_io_system,
						&(struct wv_pack_query){.from = from, .to = to},
						WV_PROFILE_INTERNAL, file),
					 0);
			assert_int_equal(result.records, to - from + 1);
			assert_int_equal(result.redacted, 0);
			v = verify(file);
			assert_string_equal(findings, "");
			assert_true(v.trusted);
			assert_int_equal(v.records, to - from + 1);
		}
}

static void pack_external_redacted_records_keep_their_proof(void **state _unused_)
{
	struct wv_pack_verdict v;
	char file[96];

	snprintf(file, sizeof(file), "%s/b.tar.zst", base);
	assert_int_equal(export(&wv_io_system, &(struct wv_pack_query){.from = 1, .to = N},
				WV_PROFILE_EXTERNAL, file),
			 0);
	assert_int_equal(result.redacted, N / 5);
	v = verify(file);
	assert_string_equal(findings, "");
	assert_int_equal(v.redacted, N / 5);
}

static void find_by_run_time_and_number(void **state _unused_)
{
	struct wv_pack_range g;
	struct wv_tlog_reader *r;
	const char *line;
	uint64_t seq, mono = 0;
	size_t len;

	assert_int_equal(wv_pack_find(&wv_io_system, paths.state,
				      &(struct wv_pack_query){.run_id = "run-b"}, &g),
			 0);
	assert_int_equal(g.first_seq, 11);
	assert_int_equal(g.last_seq, 20);
	assert_string_equal(g.run_id, "run-b");
	assert_int_equal(wv_pack_find(&wv_io_system, paths.state,
				      &(struct wv_pack_query){.run_id = "run-c"}, &g),
			 -ENOENT);
	assert_int_equal(wv_pack_find(&wv_io_system, paths.state,
				      &(struct wv_pack_query){.from = 3, .to = 4}, &g),
			 0);
	assert_int_equal(g.last_seq, 4);
	assert_int_equal(wv_pack_find(&wv_io_system, paths.state,
				      &(struct wv_pack_query){.incident = 7}, &g),
			 0);
	assert_true(g.first_seq <= 7 && g.last_seq >= 7);
	assert_int_equal(wv_pack_find(&wv_io_system, paths.state,
				      &(struct wv_pack_query){.incident = 7777}, &g),
			 -ENOENT);
	assert_int_equal(wv_pack_find(&wv_io_system, paths.state,
				      &(struct wv_pack_query){.incident = 7,
							      .before_ns = UINT64_MAX / 4,
							      .after_ns = UINT64_MAX / 4},
				      &g),
			 0);
	assert_int_equal(g.first_seq, 1);
	/* a time of another boot is none of this one's */
	assert_int_equal(wv_tlog_read_open(&r, &wv_io_system, paths.state, 5), 0);
	assert_int_equal(wv_tlog_read(r, &seq, &line, &len), 1);
	assert_int_equal(wv_record_number(line, len, "mono_ns", &mono), 0);
	wv_tlog_read_close(r);
	assert_int_equal(
		wv_pack_find(&wv_io_system, paths.state,
			     &(struct wv_pack_query){.at_mono_ns = mono, .at_boot_id = "another"},
			     &g),
		-ENOENT);
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static unsigned left_over;

static int count_stage(const char *path, const struct stat *st _unused_, int type _unused_,
		       struct FTW *f)
{
	left_over += f->level > 0 && strncmp(path + f->base, ".stage", 6) == 0;
	return 0;
}

static unsigned stages(void)
{
	char dir[WV_PATH_SIZE + 16];

	snprintf(dir, sizeof(dir), "%s/packs", paths.state);
	left_over = 0;
	(void)nftw(dir, count_stage, 8, FTW_PHYS);
	return left_over;
}

/* Only making is looked at: the log has tests of its own. */
static void make_any_call_fails_no_half_pack(void **state _unused_)
{
	static const enum mode modes[] = {FAIL, TORN, CRASH};
	struct wv_secret_key key;
	char name[WV_KEY_NAME_SIZE], file[96];
	unsigned tried = 0;

	snprintf(file, sizeof(file), "%s/c.tar.zst", base);
	assert_int_equal(wv_device_key(&wv_io_system, &paths, false, &key, name), 0);
	for (size_t m = 0; m < ARRAY_SIZE(modes); m++)
		for (unsigned at = 0;; at += 2) {
			struct wv_pack_options o = {.io = &faulty,
						    .paths = &paths,
						    .key = &key,
						    .key_name = name,
						    .first_seq = 3,
						    .last_seq = 9,
						    .run = "",
						    .reason = "manual"};
			bool over;
			int r;

			(void)unlink(file);
			fault = (struct fault){
				.mode = modes[m], .error = ENOSPC, .at = at, .span = 1};
			r = wv_pack_make(&o, file, &result);
			over = fault.calls <= at;
			fault = (struct fault){0};
			if (r < 0)
				assert_true(result.error[0]);
			if (r == 0 || is_there(file)) {
				(void)verify(file);
				assert_string_equal(findings, "");
			}
			if (modes[m] == CRASH)
				assert_true(stages() <= 1);
			if (over)
				break;
			tried++;
		}
	assert_true(tried > 60);
	/* what crashes left goes with the next one */
	assert_int_equal(export(&wv_io_system, &(struct wv_pack_query){.from = 1},
				WV_PROFILE_INTERNAL, file),
			 0);
	assert_int_equal(stages(), 0);
}

static void due_asked_once_found_when_over(void **state _unused_)
{
	struct wv_pack_due d = {.boot_id = "boot",
				.rule = "busy",
				.cgroup = "/x",
				.at_mono_ns = 1000,
				.after_ns = 500},
			   got;
	uint64_t next;

	fault = (struct fault){0};
	assert_int_equal(wv_pack_due_next(&faulty, paths.state, "boot", &got, &next), 0);
	assert_int_equal(next, 0);
	assert_int_equal(wv_pack_due_add(&faulty, paths.state, &d), 0);
	assert_int_equal(wv_pack_due_add(&faulty, paths.state, &d), -EEXIST);
	fault.now = 1200;
	assert_int_equal(wv_pack_due_next(&faulty, paths.state, "boot", &got, &next), 0);
	assert_int_equal(next, 1500);
	fault.now = 1500;
	assert_int_equal(wv_pack_due_next(&faulty, paths.state, "boot", &got, &next), 1);
	assert_string_equal(got.rule, "busy");
	assert_int_equal(got.at_mono_ns, 1000);
	/* in another boot its window is over */
	fault.now = 1;
	assert_int_equal(wv_pack_due_next(&faulty, paths.state, "next boot", &got, &next), 1);
	wv_pack_due_remove(&faulty, paths.state, got.name);
	assert_int_equal(wv_pack_due_next(&faulty, paths.state, "boot", &got, &next), 0);
	for (int i = 0; i < WV_PACK_DUE_MAX; i++) {
		snprintf(d.cgroup, sizeof(d.cgroup), "/%d", i);
		assert_int_equal(wv_pack_due_add(&faulty, paths.state, &d), 0);
	}
	snprintf(d.cgroup, sizeof(d.cgroup), "/more");
	assert_int_equal(wv_pack_due_add(&faulty, paths.state, &d), -ENOSPC);
}

static void name_that_leaves_the_pack_refused(void **state _unused_)
{
	static const char *const good[] = {"manifest.json", "run/metrics.1.csv", "log/leaves"};
	static const char *const bad[] = {"",	"/etc/passwd", "../x", "a/../b", "a//b",
					  "a/", ".x",	       "a/.b", "a b",	 "a\nb"};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(wv_pack_name_ok(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(wv_pack_name_ok(bad[i]));
}

static int setup(void **state _unused_)
{
	make_base();
	fill();
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
		cmocka_unit_test(find_by_run_time_and_number),
		cmocka_unit_test(pack_ranges_verify),
		cmocka_unit_test(pack_external_redacted_records_keep_their_proof),
		cmocka_unit_test(make_any_call_fails_no_half_pack),
		cmocka_unit_test(due_asked_once_found_when_over),
		cmocka_unit_test(name_that_leaves_the_pack_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
