// SPDX-License-Identifier: GPL-2.0-only
/* Store of bundles: whole or not at all, under failing I/O and crashes at every call. */
#include "tests/unit/store_fixture.h"

static char large[20000];
static const char *const FILES[][2] = {{"bin/again", "the same"},
				       {"bin/server", large},
				       {"conf/a/b/one.yaml", "the same"},
				       {"empty", ""},
				       {"policy.yaml", "schema_version: 1\n"}};
#define N_FILES ARRAY_SIZE(FILES)

static void fill_large(void)
{
	for (size_t i = 0; i < sizeof(large) - 1; i++)
		large[i] = (char)('a' + i % 23);
}

static int stage(struct made *b, struct wv_store_staged *staged)
{
	struct wv_store_source from = source_of(b);
	struct wv_store s;
	int r = wv_store_open(&s, &faulty, paths.state, true);

	if (r < 0)
		return r;
	r = wv_store_stage(&s, &from, staged);
	wv_store_close(&s);
	return r;
}

static int verify(const struct made *b)
{
	struct wv_manifest m;
	struct wv_store s;
	int r = wv_store_open(&s, &wv_io_system, paths.state, false);

	if (r < 0)
		return r;
	r = wv_store_manifest(&s, b->m.id, &m);
	if (r == 0) {
		r = wv_store_verify(&s, &m, NULL);
		wv_manifest_done(&m);
	}
	wv_store_close(&s);
	return r;
}

static void bundle(struct made *b, unsigned counter)
{
	fill_large();
	make_bundle(b, WV_BUNDLE_APP, "shop", counter, N_FILES, FILES);
}

static const char *file_of(const struct made *b, const char *name)
{
	static char path[WV_PATH_SIZE];

	snprintf(path, sizeof(path), "%s/" WV_BUNDLE_FILES "/%s", b->m.id, name);
	return path_of(path);
}

static void stage_whole_bundle_has_every_file_and_mode(void **state _unused_)
{
	struct wv_store_staged staged;
	struct made b;
	struct stat st;
	uint64_t sum = 0;

	bundle(&b, 1);
	assert_int_equal(stage(&b, &staged), 0);
	for (size_t i = 0; i < N_FILES; i++)
		sum += strlen(FILES[i][1]);
	assert_int_equal(staged.written_bytes, sum);
	assert_false(staged.was_there);
	assert_int_equal(verify(&b), 0);
	for (size_t i = 0; i < N_FILES; i++) {
		assert_int_equal(stat(file_of(&b, FILES[i][0]), &st), 0);
		assert_int_equal(st.st_mode & 0777, i < 2 ? 0555 : 0444);
		assert_int_equal(st.st_nlink, 1);
	}
	assert_int_equal(count_names("staging"), 0);
	assert_int_equal(stage(&b, &staged), 0);
	assert_true(staged.was_there);
	assert_int_equal(b.reads, 0);
	unmake(&b);
}

static void stage_other_bytes_are_refused(void **state _unused_)
{
	struct wv_store_staged staged;
	struct made b;

	bundle(&b, 1);
	b.spoil = "not what was signed";
	assert_int_equal(stage(&b, &staged), -EBADMSG);
	assert_int_equal(verify(&b), -ENOENT);
	unmake(&b);
	bundle(&b, 1);
	large[100] ^= 1; /* the right length, one bit wrong */
	assert_int_equal(stage(&b, &staged), -EBADMSG);
	assert_int_equal(verify(&b), -ENOENT);
	large[100] ^= 1;
	assert_int_equal(stage(&b, &staged), 0);
	assert_int_equal(verify(&b), 0);
	unmake(&b);
}

static void stage_without_room_leaves_nothing(void **state _unused_)
{
	struct wv_store_staged staged;
	struct made b;

	bundle(&b, 1);
	fault.free_bytes = WV_STORE_RESERVE_BYTES + 10000;
	assert_int_equal(stage(&b, &staged), -ENOSPC);
	assert_int_equal(count_names("staging"), 0);
	fault.free_bytes = WV_STORE_RESERVE_BYTES + wv_bundle_bytes(&b.m);
	assert_int_equal(stage(&b, &staged), 0);
	unmake(&b);
}

/* Every call fails once with each of these: an error is told, or it did not matter; what has the
 * name of the id is whole; the next try works; a full disk leaves nothing. */
static void stage_failing_anywhere_is_whole_or_not_there(void **state _unused_)
{
	static const int errors[] = {EIO, ENOSPC, EROFS};
	struct wv_store_staged staged;
	struct made b;
	unsigned calls;

	bundle(&b, 1);
	assert_int_equal(stage(&b, &staged), 0);
	calls = fault.calls;
	assert_true(calls > 40);
	for (size_t e = 0; e < ARRAY_SIZE(errors); e++)
		for (unsigned at = 0; at < calls; at++) {
			int r, v;

			remove_base();
			make_base();
			no_fault();
			fault.mode = FAIL;
			fault.error = errors[e];
			fault.at = at;
			r = stage(&b, &staged);
			v = verify(&b);
			assert_true(v == 0 || v == -ENOENT);
			assert_true(r < 0 || v == 0);
			if (r == -ENOSPC && v == -ENOENT)
				assert_int_equal(count_names("staging"), 0);
			no_fault();
			assert_int_equal(stage(&b, &staged), 0);
			assert_int_equal(verify(&b), 0);
		}
	unmake(&b);
}

static void stage_crashed_anywhere_goes_on_where_it_was(void **state _unused_)
{
	struct wv_store_staged staged;
	bool kept_some = false;
	struct made b;
	unsigned calls;

	bundle(&b, 1);
	assert_int_equal(stage(&b, &staged), 0);
	calls = fault.calls;
	for (unsigned at = 0; at < calls; at++) {
		int v;

		remove_base();
		make_base();
		no_fault();
		fault.mode = CRASH;
		fault.at = at;
		assert_true(stage(&b, &staged) < 0);
		v = verify(&b);
		assert_true(v == 0 || v == -ENOENT);
		no_fault();
		staged = (struct wv_store_staged){0};
		assert_int_equal(stage(&b, &staged), 0);
		assert_int_equal(verify(&b), 0);
		if (staged.kept_bytes >= sizeof(large) - 1) {
			kept_some = true;
			assert_true(staged.was_there || staged.written_bytes < sizeof(large) - 1);
		}
	}
	assert_true(kept_some);
	unmake(&b);
}

static void spoil_file(const char *path, const char *how)
{
	int fd;

	assert_int_equal(chmod(path, 0600), 0);
	fd = open(path, O_WRONLY | (*how ? 0 : O_TRUNC));
	assert_true(fd >= 0);
	assert_int_equal(write(fd, how, strlen(how)), strlen(how));
	close(fd);
}

static void verify_anything_else_on_disk_is_found(void **state _unused_)
{
	struct wv_store_staged staged;
	struct wv_manifest m;
	struct wv_store s;
	struct made b;
	char bad[WV_BUNDLE_PATH_SIZE];
	int fd;

	bundle(&b, 1);
	assert_int_equal(stage(&b, &staged), 0);
	assert_int_equal(wv_store_open(&s, &wv_io_system, paths.state, false), 0);
	assert_int_equal(wv_store_manifest(&s, b.m.id, &m), 0);

	spoil_file(file_of(&b, "policy.yaml"), "Schema");
	assert_int_equal(wv_store_verify(&s, &m, bad), -EBADMSG);
	assert_string_equal(bad, "policy.yaml");
	assert_int_equal(wv_store_open_file(&s, &m, &m.files[4], &fd), -EBADMSG);
	assert_int_equal(stage(&b, &staged), 0); /* mended, that file alone */
	assert_int_equal(staged.written_bytes, strlen(FILES[4][1]));
	assert_int_equal(wv_store_verify(&s, &m, bad), 0);

	assert_int_equal(unlink(file_of(&b, "empty")), 0);
	assert_int_equal(wv_store_verify(&s, &m, bad), -EBADMSG);
	assert_string_equal(bad, "empty");
	assert_int_equal(mkfifo(file_of(&b, "empty"), 0600), 0);
	assert_int_equal(wv_store_verify(&s, &m, bad), -EBADMSG);
	assert_int_equal(unlink(file_of(&b, "empty")), 0);
	assert_int_equal(symlink("/dev/null", file_of(&b, "empty")), 0);
	assert_int_equal(wv_store_verify(&s, &m, bad), -EBADMSG);
	assert_int_equal(stage(&b, &staged), 0);
	assert_int_equal(wv_store_verify(&s, &m, bad), 0);

	fd = open(file_of(&b, "conf/a/extra.yaml"), O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(wv_store_verify(&s, &m, bad), -EBADMSG);
	assert_string_equal(bad, "conf/a/extra.yaml");
	wv_manifest_done(&m);
	wv_store_close(&s);
	unmake(&b);
}

static void open_file_gives_the_bytes_that_were_hashed(void **state _unused_)
{
	struct wv_store_staged staged;
	struct wv_store s;
	struct made b;
	char text[32] = "";
	int fd;

	bundle(&b, 1);
	assert_int_equal(stage(&b, &staged), 0);
	assert_int_equal(wv_store_open(&s, &wv_io_system, paths.state, false), 0);
	assert_int_equal(wv_store_open_file(&s, &b.m, &b.m.files[4], &fd), 0);
	/* what the path names from now on does not matter */
	assert_int_equal(unlink(file_of(&b, "policy.yaml")), 0);
	assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), strlen(FILES[4][1]));
	assert_string_equal(text, FILES[4][1]);
	close(fd);
	wv_store_close(&s);
	unmake(&b);
}

/* What is active of two names, as one text. */
static void active(char ret[2 * WV_SHA256_HEX + 2])
{
	char a[WV_SHA256_HEX] = "-", b[WV_SHA256_HEX] = "-";
	struct wv_store s;

	assert_int_equal(wv_store_open(&s, &wv_io_system, paths.state, false), 0);
	(void)wv_store_current(&s, WV_BUNDLE_APP, "shop", a);
	(void)wv_store_current(&s, WV_BUNDLE_POLICY, "web", b);
	snprintf(ret, 2 * WV_SHA256_HEX + 2, "%s %s", a, b);
	wv_store_close(&s);
}

static void switch_crashed_anywhere_is_the_old_or_the_new_set(void **state _unused_)
{
	struct made b[4];
	struct wv_store_staged staged;
	char before[2 * WV_SHA256_HEX + 2], after[2 * WV_SHA256_HEX + 2], now[sizeof(after)];
	unsigned olds = 0, news = 0, calls = 0;

	for (unsigned i = 0; i < 4; i++)
		make_bundle(&b[i], i % 2 ? WV_BUNDLE_POLICY : WV_BUNDLE_APP, i % 2 ? "web" : "shop",
			    i + 1, 1, FILES + 4);
	snprintf(before, sizeof(before), "%s %s", b[0].m.id, b[1].m.id);
	snprintf(after, sizeof(after), "%s %s", b[2].m.id, b[3].m.id);
	for (unsigned at = 0; calls == 0 || at < calls; at++) {
		struct wv_store_link first[] = {{WV_BUNDLE_APP, "shop", b[0].m.id},
						{WV_BUNDLE_POLICY, "web", b[1].m.id}};
		struct wv_store_link next[] = {{WV_BUNDLE_APP, "shop", b[2].m.id},
					       {WV_BUNDLE_POLICY, "web", b[3].m.id}};
		struct wv_store s;
		struct stat st;
		int r;

		remove_base();
		make_base();
		no_fault();
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(stage(&b[i], &staged), 0);
		assert_int_equal(wv_store_open(&s, &faulty, paths.state, true), 0);
		assert_int_equal(wv_store_switch(&s, first, 2), 0);
		no_fault();
		fault.mode = CRASH;
		fault.at = calls ? at : UINT32_MAX;
		r = wv_store_switch(&s, next, 2);
		if (!calls) {
			assert_int_equal(r, 0);
			calls = fault.calls;
			at = (unsigned)-1;
		}
		active(now);
		assert_true(strcmp(now, before) == 0 || strcmp(now, after) == 0);
		olds += strcmp(now, before) == 0;
		news += strcmp(now, after) == 0;
		assert_int_equal(stat(path_of("current/policy/web/policy.yaml"), &st), 0);
		no_fault();
		assert_int_equal(wv_store_clean(&s, false), 0);
		assert_int_equal(count_names("generations"), 1);
		assert_int_equal(wv_store_switch(&s, next, 2), 0);
		active(now);
		assert_string_equal(now, after);
		wv_store_close(&s);
	}
	assert_true(olds > 5 && news > 1);
	for (unsigned i = 0; i < 4; i++)
		unmake(&b[i]);
}

static void switch_to_nothing_leaves_no_link(void **state _unused_)
{
	char name[WV_BUNDLE_NAME_SIZE], id[WV_SHA256_HEX];
	struct wv_store_staged staged;
	struct wv_store s;
	struct made b;

	bundle(&b, 1);
	assert_int_equal(stage(&b, &staged), 0);
	assert_int_equal(wv_store_open(&s, &wv_io_system, paths.state, true), 0);
	assert_int_equal(wv_store_current_of(&s, WV_BUNDLE_APP, name, id), -ENOENT);
	assert_int_equal(
		wv_store_switch(&s, &(struct wv_store_link){WV_BUNDLE_APP, "shop", b.m.id}, 1), 0);
	assert_int_equal(wv_store_current_of(&s, WV_BUNDLE_APP, name, id), 0);
	assert_string_equal(name, "shop");
	assert_string_equal(id, b.m.id);
	assert_int_equal(wv_store_switch(&s, NULL, 0), 0);
	assert_int_equal(wv_store_current(&s, WV_BUNDLE_APP, "shop", id), -ENOENT);
	wv_store_close(&s);
	unmake(&b);
}

static void remove_crashed_anywhere_is_whole_or_nameless(void **state _unused_)
{
	struct wv_store_staged staged;
	unsigned calls = 0, gone = 0;
	struct made b;

	bundle(&b, 1);
	for (unsigned at = 0; calls == 0 || at < calls; at++) {
		struct wv_store s;
		int r, v;

		remove_base();
		make_base();
		no_fault();
		assert_int_equal(stage(&b, &staged), 0);
		assert_int_equal(wv_store_open(&s, &faulty, paths.state, true), 0);
		no_fault();
		fault.mode = CRASH;
		fault.at = calls ? at : UINT32_MAX;
		r = wv_store_remove(&s, b.m.id);
		if (!calls) {
			assert_int_equal(r, 0);
			calls = fault.calls;
			at = (unsigned)-1;
		}
		v = verify(&b);
		assert_true(v == 0 || v == -ENOENT);
		gone += v == -ENOENT;
		no_fault();
		assert_int_equal(wv_store_remove(&s, b.m.id), 0);
		assert_int_equal(wv_store_clean(&s, false), 0);
		assert_int_equal(count_names("staging"), 0);
		wv_store_close(&s);
	}
	assert_true(gone > 5);
	unmake(&b);
}

static int count_one(void *userdata, const char *id)
{
	assert_int_equal(strlen(id), WV_SHA256_HEX - 1);
	(*(unsigned *)userdata)++;
	return 0;
}

static void each_lists_bundles_only(void **state _unused_)
{
	struct wv_store_staged staged;
	struct wv_store s;
	struct made b[2];
	unsigned n = 0;

	for (unsigned i = 0; i < 2; i++) {
		bundle(&b[i], i + 1);
		assert_int_equal(stage(&b[i], &staged), 0);
	}
	assert_int_equal(wv_store_open(&s, &wv_io_system, paths.state, false), 0);
	assert_int_equal(wv_store_each(&s, count_one, &n), 0);
	assert_int_equal(n, 2);
	wv_store_close(&s);
	for (unsigned i = 0; i < 2; i++)
		unmake(&b[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(stage_whole_bundle_has_every_file_and_mode),
		T(stage_other_bytes_are_refused),
		T(stage_without_room_leaves_nothing),
		T(stage_failing_anywhere_is_whole_or_not_there),
		T(stage_crashed_anywhere_goes_on_where_it_was),
		T(verify_anything_else_on_disk_is_found),
		T(open_file_gives_the_bytes_that_were_hashed),
		T(switch_crashed_anywhere_is_the_old_or_the_new_set),
		T(switch_to_nothing_leaves_no_link),
		T(remove_crashed_anywhere_is_whole_or_nameless),
		T(each_lists_bundles_only),
	};

	return cmocka_run_group_tests_name("bundle store", tests, NULL, NULL);
}
