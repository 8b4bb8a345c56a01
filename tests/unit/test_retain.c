// SPDX-License-Identifier: GPL-2.0-only
/* Closed segments: rotation, compression, retention and legal holds. */
#include "tests/unit/tlog_fixture.h"

#include "user/core/sha256.h"
#include "user/evidence/event.h"
#include "user/evidence/retain.h"
#include "user/evidence/verify.h"

#define HOUR_NS 3600000000000ULL

static unsigned segments(struct wv_segment **ret)
{
	struct wv_segment *s;
	char path[600];
	size_t n;
	int fd = open(log_path("", path), O_RDONLY | O_DIRECTORY);

	assert_true(fd >= 0);
	assert_int_equal(wv_segments_list(&wv_io_system, fd, &s, &n), 0);
	close(fd);
	if (ret)
		*ret = s;
	else
		free(s);
	return (unsigned)n;
}

/* Segments of `records` records, each an hour after the one before. */
static struct wv_tlog *fill(unsigned n_segments, unsigned records)
{
	struct wv_tlog *l;
	unsigned n = 1;

	options.key = &key;
	l = open_log();
	for (unsigned i = 0; i < n_segments; i++) {
		for (unsigned k = 0; k < records; k++, n++) {
			struct record r = {.n = n, .pad = 100, .wall_ns = (i + 1) * HOUR_NS};

			assert_int_equal(wv_tlog_append(l, compose, &r, NULL), 0);
		}
		assert_int_equal(wv_tlog_rotate(l), 0);
	}
	return l;
}

static void segments_closed_by_size_read_on(void **state _unused_)
{
	struct wv_tlog *l;

	options.key = &key;
	options.segment_bytes = 500;
	l = open_log();
	for (unsigned n = 1; n <= 30; n++) {
		assert_int_equal(add(l, n), 0);
		assert_int_equal(wv_tlog_commit(l), 0);
	}
	assert_true(segments(NULL) >= 3);
	assert_int_equal(check_tlog(1, NULL, 0), 30);
	wv_tlog_close(l);
	l = open_log();
	assert_int_equal(wv_tlog_size(l), 30);
	wv_tlog_close(l);
	assert_int_equal(check_tlog(17, NULL, 0), 30);
}

static void segments_closed_by_age_of_first_record(void **state _unused_)
{
	struct wv_tlog *l;

	options.segment_ns = HOUR_NS;
	fault.now = 1000;
	l = open_log();
	assert_int_equal(add(l, 1), 0);
	assert_int_equal(wv_tlog_commit(l), 0);
	assert_int_equal(segments(NULL), 0);
	fault.now += HOUR_NS;
	assert_int_equal(wv_tlog_commit(l), 0);
	assert_int_equal(segments(NULL), 1);
	/* an empty one is not closed */
	fault.now += HOUR_NS;
	assert_int_equal(wv_tlog_commit(l), 0);
	assert_int_equal(segments(NULL), 1);
	wv_tlog_close(l);
}

static void segment_compressed_reads_the_same(void **state _unused_)
{
	struct wv_tlog *l = fill(3, 50);
	struct wv_segment *s;

	wv_tlog_close(l);
	options.compress_level = 3;
	options.defer_compress = true;
	l = open_log();
	assert_int_equal(wv_tlog_compress(l), 1);
	assert_int_equal(wv_tlog_compress(l), 1);
	assert_int_equal(wv_tlog_compress(l), 1);
	assert_int_equal(wv_tlog_compress(l), 0);
	assert_int_equal(segments(&s), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(s[i].zst && !s[i].plain && s[i].bytes < 50 * 150);
	free(s);
	/* and three that say so */
	assert_int_equal(check_tlog(1, NULL, 0), 153);
	assert_int_equal(check_tlog(75, NULL, 0), 153);
	wv_tlog_close(l);
}

/* A plain segment whose bytes went bad is compressed as it is: nothing is lost by it. A compressed
 * one that does not give the plain one is never put in its place. */
static void segment_compressed_and_plain_plain_counts(void **state _unused_)
{
	struct wv_tlog *l = fill(1, 20);
	char name[WV_SEGMENT_NAME_SIZE];
	struct wv_segment *s;

	assert_int_equal(segments(&s), 1);
	write_log_file(wv_segment_name(s, true, name), "junk", 4);
	free(s);
	assert_int_equal(check_tlog(1, NULL, 0), 20);
	wv_tlog_close(l);
	options.compress_level = 3;
	l = open_log();
	assert_int_equal(wv_tlog_compress(l), 1);
	assert_int_equal(segments(&s), 1);
	assert_true(s->zst && !s->plain);
	free(s);
	assert_int_equal(check_tlog(1, NULL, 0), 21);
	wv_tlog_close(l);
}

static uint64_t count_type(const char *type);

static void sum_of(const char *name, char ret[WV_SHA256_HEX])
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	text = log_file(name, &len);
	assert_non_null(text);
	wv_sha256_hex(text, len, ret);
}

/* The value of a text member of the newest record of a compression. */
static void said_of_packing(const char *member, char ret[WV_SHA256_HEX])
{
	struct wv_tlog_reader *r;
	const char *line, *value;
	uint64_t seq;
	size_t len, n;

	*ret = 0;
	assert_int_equal(wv_tlog_read_open(&r, &wv_io_system, paths.state, 1), 0);
	while (wv_tlog_read(r, &seq, &line, &len) == 1)
		if (strstr(line, "\"what\":\"compress\"")) {
			assert_int_equal(wv_record_member(line, len, member, &value, &n), 0);
			snprintf(ret, WV_SHA256_HEX, "%.*s", (int)n - 2, value + 1);
		}
	wv_tlog_read_close(r);
}

static void segment_compressed_says_which_bytes_became_which(void **state _unused_)
{
	struct wv_tlog *l = fill(2, 50);
	char plain[WV_SHA256_HEX], packed[WV_SHA256_HEX], said[WV_SHA256_HEX];
	char name[WV_SEGMENT_NAME_SIZE];
	struct wv_segment *s;

	wv_tlog_close(l);
	options.compress_level = 3;
	l = open_log();
	assert_int_equal(segments(&s), 2);
	for (unsigned i = 0; i < 2; i++) {
		sum_of(wv_segment_name(&s[i], false, name), plain);
		assert_int_equal(wv_tlog_compress(l), 1);
		assert_int_equal(count_type("transformation"), i + 1);
		said_of_packing("from_sha256", said);
		assert_string_equal(said, plain);
		sum_of(wv_segment_name(&s[i], true, name), packed);
		said_of_packing("to_sha256", said);
		assert_string_equal(said, packed);
		said_of_packing("to", said);
		assert_string_equal(said, name);
	}
	assert_int_equal(wv_tlog_compress(l), 0);
	free(s);
	wv_tlog_close(l);
}

/* Records of compressions are closed and compressed, too: that writes none. */
static void segment_of_compressions_makes_no_chain(void **state _unused_)
{
	struct wv_tlog *l = fill(3, 50);
	struct wv_segment *s;
	unsigned n;

	wv_tlog_close(l);
	options.compress_level = 3;
	options.segment_bytes = 1; /* every commit closes */
	l = open_log();
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(wv_tlog_commit(l), 0);
		while (wv_tlog_compress(l) == 1)
			;
	}
	assert_int_equal(count_type("transformation"), 3);
	assert_int_equal(wv_tlog_size(l), 153);
	n = segments(&s);
	assert_true(n >= 4 && n <= 6);
	for (unsigned i = 0; i < n; i++)
		assert_true(s[i].zst && !s[i].plain);
	free(s);
	wv_tlog_close(l);
	assert_int_equal(check_tlog(1, NULL, 0), 153);
}

static void retain_by_size_records_then_removes_oldest(void **state _unused_)
{
	struct wv_tlog *l = fill(5, 20);
	struct wv_segment *s;
	struct wv_retention keep = {0};
	struct wv_retained done;

	assert_int_equal(segments(&s), 5);
	keep.keep_bytes = 3 * s[0].bytes + s[0].bytes / 2;
	free(s);
	assert_int_equal(wv_tlog_retain(l, &faulty, paths.state, &keep, &done), 0);
	assert_int_equal(done.segments, 2);
	assert_int_equal(done.records, 40);
	assert_int_equal(segments(NULL), 3);
	/* two records more, which say so; what is left reads on, and under its checkpoint */
	assert_int_equal(wv_tlog_checkpoint(l), 0);
	assert_int_equal(check_tlog(41, NULL, 0), 102);
	wv_tlog_close(l);
	l = open_log();
	assert_int_equal(wv_tlog_size(l), 102);
	wv_tlog_close(l);
}

static void retain_by_age_keeps_younger(void **state _unused_)
{
	struct wv_tlog *l = fill(5, 20);
	struct wv_retention keep = {.keep_ns = 2 * HOUR_NS};
	struct wv_retained done;

	/* a segment ended at the latest when the next one began: 2, 3, 4, 5 hours */
	fault.now = 5 * HOUR_NS + 1000000;
	assert_int_equal(wv_tlog_retain(l, &faulty, paths.state, &keep, &done), 0);
	assert_int_equal(done.segments, 2);
	assert_int_equal(segments(NULL), 3);
	wv_tlog_close(l);
}

static void retain_never_takes_what_is_held(void **state _unused_)
{
	struct wv_tlog *l = fill(5, 20);
	struct wv_retention keep = {.keep_bytes = 1};
	struct wv_retained done;
	struct wv_holds h;
	struct wv_segment *s;

	assert_int_equal(
		wv_hold_place(l, &faulty, paths.state, "case-1", 30, 45, "asked for by a court"),
		0);
	assert_int_equal(wv_hold_place(l, &faulty, paths.state, "case-1", 1, 2, "again"), -EEXIST);
	assert_int_equal(wv_tlog_retain(l, &faulty, paths.state, &keep, &done), 0);
	assert_int_equal(done.segments, 2);
	assert_int_equal(done.held, 2);
	assert_int_equal(segments(&s), 3);
	assert_int_equal(s[0].first, 21);
	assert_int_equal(s[1].first, 41);
	free(s);
	assert_int_equal(wv_hold_release(l, &faulty, paths.state, "nobody", "x"), -ENOENT);
	assert_int_equal(wv_hold_release(l, &faulty, paths.state, "case-1", "closed"), 0);
	assert_int_equal(wv_holds_read(&faulty, paths.state, &h), 0);
	assert_int_equal(h.n, 0);
	wv_holds_done(&h);
	assert_int_equal(wv_tlog_retain(l, &faulty, paths.state, &keep, &done), 0);
	assert_int_equal(done.segments, 2);
	assert_int_equal(segments(NULL), 1);
	wv_tlog_close(l);
}

/* The record of a hold may be older than what is kept: it is written again before it goes. */
static void retain_restates_holds_in_force(void **state _unused_)
{
	struct wv_tlog *l = fill(1, 5);
	struct wv_retention keep = {.keep_bytes = 1};
	struct wv_retained done;
	struct wv_holds h;
	char path[600];

	assert_int_equal(wv_hold_place(l, &faulty, paths.state, "open", 1000, 0, "to come"), 0);
	assert_int_equal(wv_tlog_rotate(l), 0);
	assert_int_equal(add(l, 50), 0);
	assert_int_equal(wv_tlog_rotate(l), 0);
	assert_int_equal(wv_tlog_retain(l, &faulty, paths.state, &keep, &done), 0);
	assert_int_equal(done.segments, 2);
	/* without the cache: from the log alone */
	assert_int_equal(unlink(log_path("holds.json", path)), 0);
	assert_int_equal(wv_holds_read(&faulty, paths.state, &h), 0);
	assert_int_equal(h.n, 1);
	assert_string_equal(h.holds[0].name, "open");
	assert_string_equal(h.holds[0].reason, "to come");
	assert_int_equal(h.holds[0].first, 1000);
	wv_holds_done(&h);
	wv_tlog_close(l);
}

static void hold_with_bad_name_is_refused(void **state _unused_)
{
	struct wv_tlog *l = fill(1, 2);

	assert_int_equal(wv_hold_place(l, &faulty, paths.state, "", 1, 0, "x"), -EINVAL);
	assert_int_equal(wv_hold_place(l, &faulty, paths.state, "a\nb", 1, 0, "x"), -EINVAL);
	assert_int_equal(wv_hold_place(l, &faulty, paths.state, "a", 1, 0, ""), -EINVAL);
	assert_int_equal(wv_hold_place(l, &faulty, paths.state, "a", 5, 4, "x"), -EINVAL);
	assert_int_equal(wv_tlog_size(l), 2);
	wv_tlog_close(l);
}

static uint64_t count_type(const char *type)
{
	_cleanup_free_ char *want = NULL;
	struct wv_tlog_reader *r;
	const char *line;
	uint64_t seq, n = 0;
	size_t len;

	assert_true(asprintf(&want, "\"type\":\"%s\"", type) > 0);
	assert_int_equal(wv_tlog_read_open(&r, &wv_io_system, paths.state, 1), 0);
	while (wv_tlog_read(r, &seq, &line, &len) == 1)
		n += strstr(line, want) != NULL;
	wv_tlog_read_close(r);
	return n;
}

/* A removal at whose any call the process dies: no segment goes without its record, and the next
 * run ends it without a second one. */
static void retain_crash_at_any_call_is_recorded_once(void **state _unused_)
{
	struct wv_retention keep = {.keep_bytes = 1};
	struct wv_retained done;
	unsigned at = 0;
	bool died = true;

	for (; died; at++) {
		struct wv_tlog *l;

		remove_base();
		make_base();
		fault = (struct fault){0};
		l = fill(3, 4);
		fault = (struct fault){.mode = CRASH, .at = at, .span = 1};
		(void)wv_tlog_retain(l, &faulty, paths.state, &keep, NULL);
		wv_tlog_close(l);
		died = fault.dead;
		fault = (struct fault){0};
		assert_true(count_type("segment-retired") >= 3 - segments(NULL));
		l = open_log();
		assert_int_equal(wv_tlog_retain(l, &faulty, paths.state, &keep, &done), 0);
		wv_tlog_close(l);
		assert_int_equal(segments(NULL), 1);
		assert_int_equal(count_type("segment-retired"), 2);
	}
	assert_true(at > 50);
}

static void verified(struct wv_tlog *l)
{
	struct wv_verify_report report;
	struct wv_note_verifier v;
	struct wv_verify_options o = {.keys = &v, .n_keys = 1, .threads = 1};
	char path[600];

	assert_int_equal(wv_tlog_checkpoint(l), 0);
	assert_int_equal(wv_note_verifier_init(&v, "test/log", WV_NOTE_ED25519, &key.public_key),
			 0);
	assert_int_equal(wv_verify(log_path("", path), &o, &report), 0);
	if (report.n_findings)
		fail_msg("%s", report.findings[0].text);
	wv_verify_done(&report);
}

/* Told without a gap from the log alone, with the roots that the leaves have. */
static void told_up_to(struct wv_tlog *l, uint64_t last)
{
	struct wv_merkle *m = malloc(sizeof(*m));
	struct wv_hash h;
	struct wv_holds f;
	uint64_t at = 0;
	char path[600];

	(void)unlink(log_path("holds.json", path));
	assert_int_equal(wv_holds_read(&faulty, paths.state, &f), 0);
	assert_int_equal(f.told.n, last ? 1 : 0);
	if (last) {
		assert_int_equal(f.told.list[0].first, 1);
		assert_int_equal(f.told.list[0].last, last);
		assert_int_equal(f.told.list[0].n_roots, __builtin_popcountll(last));
	}
	for (size_t i = 0; last && i < f.told.list[0].n_roots; i++) {
		uint64_t end = at + wv_subtree(at, last);

		m->size = 0;
		for (; at < end; at++) {
			assert_int_equal(wv_tlog_leaves(l, at, 1, &h), 0);
			wv_merkle_add(m, &h);
		}
		wv_merkle_root(m, &h);
		assert_memory_equal(&f.told.list[0].roots[i], &h, sizeof(h));
	}
	wv_holds_done(&f);
	free(m);
}

/* What tells of the first retirements is retired itself, again and again. */
static void retain_generations_tell_all_that_was_retired(void **state)
{
	for (unsigned keep = 1; keep <= 2001; keep += 1000) {
		struct wv_retention policy = {.keep_bytes = keep};
		struct wv_tlog *l;

		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
		l = fill(3, 3);
		for (unsigned i = 0; i < 40; i++) {
			struct wv_segment *s;

			for (unsigned n = 0; n < 1 + i % 4; n++)
				assert_int_equal(add(l, n), 0);
			assert_int_equal(wv_tlog_rotate(l), 0);
			assert_int_equal(wv_tlog_retain(l, &faulty, paths.state, &policy, NULL), 0);
			verified(l);
			assert_true(segments(&s) >= 1);
			told_up_to(l, s[0].first - 1);
			free(s);
		}
		assert_true(count_type("segments-retired") >= 1);
		/* it is once for all that a segment told */
		assert_true(count_type("segments-retired") <= 3);
		wv_tlog_close(l);
	}
}

/* A hold keeps a segment in the middle: two ranges, and one once it is released. */
static void retain_around_a_hold_tells_both_ranges(void **state _unused_)
{
	struct wv_retention keep = {.keep_bytes = 1};
	struct wv_tlog *l = fill(5, 4);
	struct wv_segment *s;
	struct wv_holds h;

	assert_int_equal(wv_hold_place(l, &faulty, paths.state, "case", 6, 6, "x"), 0);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(add(l, 100 + i), 0);
		assert_int_equal(wv_tlog_rotate(l), 0);
		assert_int_equal(wv_tlog_retain(l, &faulty, paths.state, &keep, NULL), 0);
		verified(l);
		assert_int_equal(wv_holds_read(&faulty, paths.state, &h), 0);
		assert_int_equal(h.told.n, 2);
		wv_holds_done(&h);
	}
	assert_int_equal(wv_hold_release(l, &faulty, paths.state, "case", "x"), 0);
	assert_int_equal(wv_tlog_retain(l, &faulty, paths.state, &keep, NULL), 0);
	verified(l);
	assert_int_equal(segments(&s), 1);
	told_up_to(l, s[0].first - 1);
	free(s);
	wv_tlog_close(l);
}

/* The process dies at any call of a retention that takes what tells of an older one: whatever is
 * gone is told. */
static void retain_crash_at_any_call_leaves_all_told(void **state _unused_)
{
	struct wv_retention keep = {.keep_bytes = 1};
	struct wv_segment *s;
	bool died = true;
	unsigned at = 0;

	for (; died; at++) {
		struct wv_tlog *l;

		remove_base();
		make_base();
		fault = (struct fault){0};
		l = fill(2, 3);
		assert_int_equal(wv_tlog_retain(l, &faulty, paths.state, &keep, NULL), 0);
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(wv_tlog_rotate(l), 0);
			assert_int_equal(add(l, 50 + i), 0);
		}
		assert_int_equal(wv_tlog_rotate(l), 0);
		fault = (struct fault){.mode = CRASH, .at = at, .span = 1};
		(void)wv_tlog_retain(l, &faulty, paths.state, &keep, NULL);
		wv_tlog_close(l);
		died = fault.dead;
		fault = (struct fault){0};
		l = open_log();
		verified(l);
		assert_int_equal(wv_tlog_retain(l, &faulty, paths.state, &keep, NULL), 0);
		verified(l);
		assert_int_equal(segments(&s), 1);
		told_up_to(l, s[0].first - 1);
		free(s);
		wv_tlog_close(l);
		assert_int_equal(count_type("segments-retired"), 1);
	}
	assert_true(at > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(segments_closed_by_size_read_on),
		T(segments_closed_by_age_of_first_record),
		T(segment_compressed_reads_the_same),
		T(segment_compressed_and_plain_plain_counts),
		T(segment_compressed_says_which_bytes_became_which),
		T(segment_of_compressions_makes_no_chain),
		T(retain_by_size_records_then_removes_oldest),
		T(retain_by_age_keeps_younger),
		T(retain_never_takes_what_is_held),
		T(retain_restates_holds_in_force),
		T(hold_with_bad_name_is_refused),
		T(retain_crash_at_any_call_is_recorded_once),
		T(retain_generations_tell_all_that_was_retired),
		T(retain_around_a_hold_tells_both_ranges),
		T(retain_crash_at_any_call_leaves_all_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
