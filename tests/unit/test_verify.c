// SPDX-License-Identifier: GPL-2.0-only
/* A log is tampered with in every way, and the verification names the record. */
#include "tests/unit/tlog_fixture.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "user/evidence/retain.h"
#include "user/evidence/verify.h"
#include "user/evidence/witness.h"

#define RECORDS 40
#define FIRST_SEGMENT "00000000000000000001-00000000000000000015.jsonl"
#define SECOND_SEGMENT "00000000000000000016-00000000000000000030.jsonl"

static struct wv_verify_report report;

/* Segments 1 to 15, 16 to 30, and the open one; checkpoints of 10, 20, 30 and 38 records. */
static int make(void **state)
{
	struct wv_tlog *l;

	setup(state);
	options.key = &key;
	options.compress_level = 3;
	options.defer_compress = true;
	l = open_log();
	for (unsigned n = 1; n <= RECORDS; n++) {
		assert_int_equal(add(l, n), 0);
		assert_int_equal(wv_tlog_commit(l), 0);
		if (n % 10 == 0 && n < RECORDS)
			assert_int_equal(wv_tlog_checkpoint(l), 0);
		if (n == 38)
			assert_int_equal(wv_tlog_checkpoint(l), 0);
		if (n % 15 == 0)
			assert_int_equal(wv_tlog_rotate(l), 0);
	}
	wv_tlog_close(l);
	return 0;
}

static int done(void **state)
{
	wv_verify_done(&report);
	return teardown(state);
}

static int verify_with(const struct wv_note_verifier *keys, unsigned n)
{
	struct wv_verify_options o = {.keys = keys, .n_keys = n, .threads = 2};
	char path[600];

	wv_verify_done(&report);
	return wv_verify(log_path("", path), &o, &report);
}

static void verify(void)
{
	struct wv_note_verifier v;

	assert_int_equal(wv_note_verifier_init(&v, "test/log", WV_NOTE_ED25519, &key.public_key),
			 0);
	assert_int_equal(verify_with(&v, 1), 0);
}

static void found(unsigned i, enum wv_finding_kind kind, uint64_t first, uint64_t last)
{
	if (i >= report.n_findings || report.findings[i].kind != kind ||
	    report.findings[i].first != first || report.findings[i].last != last) {
		for (unsigned k = 0; k < report.n_findings; k++)
			print_message("%s %" PRIu64 "-%" PRIu64 ": %s\n",
				      wv_finding_names[report.findings[k].kind],
				      report.findings[k].first, report.findings[k].last,
				      report.findings[k].text);
		fail_msg("finding %u is not %s %" PRIu64 "-%" PRIu64, i, wv_finding_names[kind],
			 first, last);
	}
}

static void found_only(enum wv_finding_kind kind, uint64_t first, uint64_t last)
{
	verify();
	found(0, kind, first, last);
	if (report.n_findings != 1)
		fail_msg("and %s", report.findings[1].text);
}

/* Lines of a file of the log, to be changed and put back. */
static char *lines[RECORDS + 8];
static size_t n_lines;

static void take(const char *name)
{
	size_t len;
	char *text = log_file(name, &len), *p = text, *line;

	assert_non_null(text);
	n_lines = 0;
	while ((line = strsep(&p, "\n")) && *line)
		lines[n_lines++] = strdup(line);
	free(text);
}

static void put(const char *name)
{
	char text[16384] = "";

	for (size_t i = 0; i < n_lines; i++) {
		strcat(text, lines[i]);
		strcat(text, "\n");
		free(lines[i]);
	}
	write_log_file(name, text, strlen(text));
}

static void drop_line(size_t i, size_t n)
{
	for (size_t k = i; k < i + n; k++)
		free(lines[k]);
	memmove(lines + i, lines + i + n, (n_lines - i - n) * sizeof(*lines));
	n_lines -= n;
}

static void insert_line(size_t i, char *line)
{
	memmove(lines + i + 1, lines + i, (n_lines - i) * sizeof(*lines));
	lines[i] = line;
	n_lines++;
}

static char *line_with(const char *line, const char *from, const char *to)
{
	const char *at = strstr(line, from);
	char *new;

	assert_non_null(at);
	assert_true(asprintf(&new, "%.*s%s%s", (int)(at - line), line, to, at + strlen(from)) > 0);
	return new;
}

static void change_line(size_t i, const char *from, const char *to)
{
	char *old = lines[i];

	lines[i] = line_with(old, from, to);
	free(old);
}

static void verify_sound_log_has_no_findings(void **state _unused_)
{
	struct wv_tlog *l;

	verify();
	assert_int_equal(report.n_findings, 0);
	assert_int_equal(report.records, RECORDS);
	assert_int_equal(report.first, 1);
	assert_int_equal(report.last, RECORDS);
	assert_int_equal(report.covered, 38);
	/* the newest of them in two files */
	assert_int_equal(report.checkpoints, 4);
	/* compressed, it is the same */
	l = open_log();
	assert_int_equal(wv_tlog_compress(l), 1);
	assert_int_equal(wv_tlog_compress(l), 1);
	assert_int_equal(wv_tlog_compress(l), 0);
	wv_tlog_close(l);
	verify();
	assert_int_equal(report.n_findings, 0);
	assert_int_equal(report.records, RECORDS + 2);
}

static void verify_altered_record_is_named(void **state _unused_)
{
	for (size_t i = 0; i < 15; i++) {
		take(SECOND_SEGMENT);
		change_line(i, "\"test\"", "\"fest\"");
		put(SECOND_SEGMENT);
		found_only(WV_FINDING_ALTERED, 16 + i, 16 + i);
		take(SECOND_SEGMENT);
		change_line(i, "\"fest\"", "\"test\"");
		put(SECOND_SEGMENT);
	}
	verify();
	assert_int_equal(report.n_findings, 0);
	/* no JSON at all, and the seq of another */
	take(SECOND_SEGMENT);
	change_line(3, "{", "");
	put(SECOND_SEGMENT);
	found_only(WV_FINDING_ALTERED, 19, 19);
	take(SECOND_SEGMENT);
	insert_line(3, strdup("{\"seq\":99}"));
	drop_line(4, 1);
	put(SECOND_SEGMENT);
	found_only(WV_FINDING_ALTERED, 19, 19);
}

static void verify_any_flipped_bit_of_the_lines_is_found(void **state _unused_)
{
	size_t len;
	_cleanup_free_ char *text = log_file(SECOND_SEGMENT, &len);

	for (size_t i = 0; i < len; i++) {
		text[i] ^= (char)(1 << i % 8);
		write_log_file(SECOND_SEGMENT, text, len);
		text[i] ^= (char)(1 << i % 8);
		verify();
		if (!report.n_findings || report.findings[0].first < 16 ||
		    report.findings[0].first > 31)
			fail_msg("bit %zu of byte %zu", i % 8, i);
	}
}

static void verify_dropped_records_are_named(void **state _unused_)
{
	take(FIRST_SEGMENT);
	drop_line(6, 1);
	put(FIRST_SEGMENT);
	found_only(WV_FINDING_DROPPED, 7, 7);
	take(SECOND_SEGMENT);
	drop_line(14, 1);
	put(SECOND_SEGMENT);
	verify();
	assert_int_equal(report.n_findings, 2);
	found(0, WV_FINDING_DROPPED, 7, 7);
	found(1, WV_FINDING_DROPPED, 30, 30);
	take(WV_TLOG_OPEN_NAME);
	drop_line(1, 3);
	put(WV_TLOG_OPEN_NAME);
	verify();
	assert_int_equal(report.n_findings, 3);
	found(2, WV_FINDING_DROPPED, 32, 34);
}

static void verify_inserted_record_is_named(void **state _unused_)
{
	take(SECOND_SEGMENT);
	insert_line(4, line_with(lines[4], "\"n\":20", "\"n\":77"));
	put(SECOND_SEGMENT);
	found_only(WV_FINDING_INSERTED, 20, 20);
	take(SECOND_SEGMENT);
	drop_line(4, 1);
	put(SECOND_SEGMENT);
	verify();
	assert_int_equal(report.n_findings, 0);
	take(FIRST_SEGMENT);
	insert_line(15, strdup("{\"seq\":16}"));
	put(FIRST_SEGMENT);
	found_only(WV_FINDING_INSERTED, 16, 16);
}

static void verify_reordered_records_are_named(void **state _unused_)
{
	char *line;

	take(SECOND_SEGMENT);
	line = lines[2];
	lines[2] = lines[3];
	lines[3] = line;
	put(SECOND_SEGMENT);
	found_only(WV_FINDING_REORDERED, 18, 18);
	/* from one file to another */
	take(SECOND_SEGMENT);
	line = lines[2];
	lines[2] = lines[3];
	lines[3] = line;
	line = strdup(lines[5]);
	drop_line(5, 1);
	put(SECOND_SEGMENT);
	take(WV_TLOG_OPEN_NAME);
	insert_line(2, line);
	put(WV_TLOG_OPEN_NAME);
	found_only(WV_FINDING_REORDERED, 21, 21);
}

static void verify_repeated_record_is_named(void **state _unused_)
{
	take(SECOND_SEGMENT);
	insert_line(9, strdup(lines[5]));
	put(SECOND_SEGMENT);
	found_only(WV_FINDING_REPEATED, 21, 21);
}

static void verify_truncated_log_is_told(void **state _unused_)
{
	size_t len;
	_cleanup_free_ char *hashes = log_file(WV_TLOG_HASHES_NAME, &len);

	take(WV_TLOG_OPEN_NAME);
	drop_line(5, 5);
	put(WV_TLOG_OPEN_NAME);
	found_only(WV_FINDING_TRUNCATED, 36, 40);
	/* together with its leaf hashes: the checkpoint still knows of 38 */
	write_log_file(WV_TLOG_HASHES_NAME, hashes, 35 * WV_HASH_SIZE);
	found_only(WV_FINDING_TRUNCATED, 36, 38);
}

static void verify_missing_segment_is_told(void **state _unused_)
{
	char path[600];

	assert_int_equal(unlink(log_path(SECOND_SEGMENT, path)), 0);
	found_only(WV_FINDING_SEGMENT, 16, 30);
	assert_int_equal(unlink(log_path(FIRST_SEGMENT, path)), 0);
	found_only(WV_FINDING_BEGINNING, 1, 30);
}

static ssize_t compose_retired(void *ctx, uint64_t seq, char *buf, size_t room)
{
	const int *range = ctx;

	return snprintf(buf, room,
			"{\"first\":%d,\"last\":%d,\"seq\":%" PRIu64
			",\"type\":\"segment-retired\"}",
			range[0], range[1], seq);
}

/* As after a version that did not tell again: that the rest was retired excuses nobody. */
static void verify_beginning_that_is_not_told_is_named(void **state _unused_)
{
	struct wv_tlog *l = open_log();
	int range[] = {16, 30};
	char path[600];

	assert_int_equal(wv_tlog_append(l, compose_retired, range, NULL), 0);
	assert_int_equal(wv_tlog_commit(l), 0);
	wv_tlog_close(l);
	assert_int_equal(unlink(log_path(FIRST_SEGMENT, path)), 0);
	assert_int_equal(unlink(log_path(SECOND_SEGMENT, path)), 0);
	found_only(WV_FINDING_BEGINNING, 1, 15);
	assert_int_equal(report.retired, 15);
}

/* Nothing is retired without being told, over generations: the oldest file that somebody removes
 * is not one of those. */
static void verify_oldest_segment_removed_after_retentions_is_named(void **state _unused_)
{
	struct wv_retention keep = {.keep_bytes = 1500};
	_cleanup_free_ struct wv_segment *s = NULL;
	struct wv_tlog *l = open_log();
	char path[600], name[WV_SEGMENT_NAME_SIZE];
	size_t n;

	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(add(l, 100 + i), 0);
		assert_int_equal(wv_tlog_rotate(l), 0);
		assert_int_equal(wv_tlog_retain(l, &faulty, paths.state, &keep, NULL), 0);
	}
	assert_int_equal(wv_tlog_checkpoint(l), 0);
	verify();
	assert_int_equal(report.n_findings, 0);
	assert_int_equal(report.retired, report.first - 1);
	int dirfd = open(log_path("", path), O_RDONLY | O_DIRECTORY);

	assert_int_equal(wv_segments_list(&wv_io_system, dirfd, &s, &n), 0);
	close(dirfd);
	assert_true(n >= 3 && s[0].first > RECORDS);
	assert_int_equal(unlink(log_path(wv_segment_name(&s[0], s[0].zst, name), path)), 0);
	found_only(WV_FINDING_BEGINNING, s[0].first, s[0].last);
	wv_tlog_close(l);
}

static void verify_retired_segment_is_no_finding(void **state _unused_)
{
	struct wv_tlog *l = open_log();
	char path[600];
	int range[] = {1, 15};

	assert_int_equal(wv_tlog_append(l, compose_retired, range, NULL), 0);
	assert_int_equal(wv_tlog_commit(l), 0);
	assert_int_equal(wv_tlog_checkpoint(l), 0);
	wv_tlog_close(l);
	assert_int_equal(unlink(log_path(FIRST_SEGMENT, path)), 0);
	verify();
	assert_int_equal(report.n_findings, 0);
	assert_int_equal(report.retired, 15);
	assert_int_equal(report.first, 16);
	/* and not more than it says */
	assert_int_equal(unlink(log_path(SECOND_SEGMENT, path)), 0);
	found_only(WV_FINDING_BEGINNING, 16, 30);
}

static void verify_altered_leaf_hash_leaves_the_record_right(void **state _unused_)
{
	size_t len;
	_cleanup_free_ char *hashes = log_file(WV_TLOG_HASHES_NAME, &len);

	hashes[16 * WV_HASH_SIZE + 5] ^= 1;
	write_log_file(WV_TLOG_HASHES_NAME, hashes, len);
	found_only(WV_FINDING_HASHES, 17, 17);
	hashes[25 * WV_HASH_SIZE] ^= 1;
	write_log_file(WV_TLOG_HASHES_NAME, hashes, len);
	verify();
	assert_int_equal(report.n_findings, 2);
	found(0, WV_FINDING_HASHES, 17, 17);
	found(1, WV_FINDING_HASHES, 26, 26);
	assert_int_equal(report.covered, 38);
}

static void verify_record_altered_with_its_leaf_hash_leaves_a_range(void **state _unused_)
{
	size_t len;
	_cleanup_free_ char *hashes = log_file(WV_TLOG_HASHES_NAME, &len);

	take(SECOND_SEGMENT);
	change_line(7, "\"test\"", "\"fest\"");
	wv_merkle_leaf(lines[7], strlen(lines[7]), (struct wv_hash *)(hashes + 22 * WV_HASH_SIZE));
	put(SECOND_SEGMENT);
	write_log_file(WV_TLOG_HASHES_NAME, hashes, len);
	found_only(WV_FINDING_REWRITTEN, 21, 30);
	assert_int_equal(report.covered, 20);
}

static void verify_missing_leaf_hashes_are_made_of_the_lines(void **state _unused_)
{
	size_t len;
	_cleanup_free_ char *hashes = log_file(WV_TLOG_HASHES_NAME, &len);
	char path[600];

	write_log_file(WV_TLOG_HASHES_NAME, hashes, 33 * WV_HASH_SIZE + 7);
	verify();
	assert_int_equal(report.n_findings, 0);
	assert_int_equal(report.covered, 38);
	assert_int_equal(unlink(log_path(WV_TLOG_HASHES_NAME, path)), 0);
	verify();
	assert_int_equal(report.n_findings, 0);
	assert_int_equal(report.leaves, RECORDS);
	assert_int_equal(report.covered, 38);
}

static void verify_other_key_vouches_for_nothing(void **state _unused_)
{
	struct wv_note_verifier v;
	struct wv_secret_key other;

	assert_int_equal(wv_key_generate(&wv_io_system, &other), 0);
	assert_int_equal(wv_note_verifier_init(&v, "test/log", WV_NOTE_ED25519, &other.public_key),
			 0);
	assert_int_equal(verify_with(&v, 1), 0);
	assert_int_equal(report.checkpoints, 0);
	assert_int_equal(report.covered, 0);
	assert_true(report.n_findings > 0);
	found(0, WV_FINDING_CHECKPOINT, 0, 0);
}

static void verify_changed_checkpoint_is_told(void **state _unused_)
{
	size_t len;
	_cleanup_free_ char *notes = log_file(WV_TLOG_CHECKPOINTS_NAME, &len);
	char *second = strstr(notes, "\n20\n");

	assert_non_null(second);
	second[1] = '1';
	write_log_file(WV_TLOG_CHECKPOINTS_NAME, notes, len);
	found_only(WV_FINDING_CHECKPOINT, 0, 0);
	assert_non_null(strstr(report.findings[0].text, "checkpoint 2 of `checkpoints`"));
	assert_int_equal(report.covered, 38);
}

/* The log's key signed two logs of one size. */
static void verify_forked_log_is_told(void **state _unused_)
{
	struct wv_checkpoint c = {.origin = "test/log", .size = 20};
	_cleanup_free_ char *text = NULL, *note = NULL;

	memset(&c.root, 9, sizeof(c.root));
	assert_int_equal(wv_checkpoint_text(&c, &text), 0);
	assert_int_equal(wv_note_sign(text, "test/log", &key, &note), 0);
	write_log_file(WV_WITNESSED_NAME, note, strlen(note));
	verify();
	assert_int_equal(report.n_findings, 1);
	assert_true(report.findings[0].kind == WV_FINDING_ROLLBACK ||
		    report.findings[0].kind == WV_FINDING_REWRITTEN);
}

static void verify_rollback_behind_a_witness_is_told(void **state _unused_)
{
	_cleanup_free_ char *old = NULL, *text = NULL, *line = NULL, *note = NULL, *whole = NULL;
	struct wv_note_verifier v[2];
	struct wv_secret_key witness;
	size_t len, hashes_len;
	_cleanup_free_ char *hashes = log_file(WV_TLOG_HASHES_NAME, &hashes_len);

	assert_int_equal(wv_key_generate(&wv_io_system, &witness), 0);
	assert_int_equal(wv_note_verifier_init(&v[0], "test/log", WV_NOTE_ED25519, &key.public_key),
			 0);
	assert_int_equal(
		wv_note_verifier_init(&v[1], "w", WV_NOTE_COSIGNATURE_V1, &witness.public_key), 0);
	note = log_file(WV_TLOG_CHECKPOINT_NAME, &len);
	text = strndup(note, (size_t)(strstr(note, "\n\n") + 1 - note));
	assert_int_equal(wv_note_cosign(text, "w", &witness, 1234, &line), 0);
	assert_true(asprintf(&whole, "%s%s", note, line) > 0);
	write_log_file(WV_WITNESSED_NAME, whole, strlen(whole));
	assert_int_equal(verify_with(v, 2), 0);
	assert_int_equal(report.n_findings, 0);
	assert_int_equal(report.cosigned, 38);
	assert_int_equal(report.cosigned_s, 1234);
	assert_int_equal(report.cosigners, 1);
	/* lines, leaf hashes and checkpoints go back to 35 and 30 */
	take(WV_TLOG_OPEN_NAME);
	drop_line(5, 5);
	put(WV_TLOG_OPEN_NAME);
	write_log_file(WV_TLOG_HASHES_NAME, hashes, 35 * WV_HASH_SIZE);
	old = log_file(WV_TLOG_CHECKPOINTS_NAME, &len);
	*(strstr(old, "\n38\n") - strlen("test/log")) = '\0';
	write_log_file(WV_TLOG_CHECKPOINTS_NAME, old, strlen(old));
	write_log_file(WV_TLOG_CHECKPOINT_NAME, strstr(old, "\n30\n") - strlen("test/log"),
		       strlen(strstr(old, "\n30\n") - strlen("test/log")) - 1);
	assert_int_equal(verify_with(v, 2), 0);
	assert_int_equal(report.n_findings, 1);
	found(0, WV_FINDING_TRUNCATED, 36, 38);
}

static void verify_from_leaves_older_segments_out(void **state _unused_)
{
	struct wv_note_verifier v;
	struct wv_verify_options o = {.keys = &v, .n_keys = 1, .from = 16};
	char path[600];

	assert_int_equal(wv_note_verifier_init(&v, "test/log", WV_NOTE_ED25519, &key.public_key),
			 0);
	take(FIRST_SEGMENT);
	change_line(3, "\"test\"", "\"fest\"");
	put(FIRST_SEGMENT);
	assert_int_equal(wv_verify(log_path("", path), &o, &report), 0);
	assert_int_equal(report.n_findings, 0);
	assert_int_equal(report.records, 25);
	wv_verify_done(&report);
	o.from = 15;
	assert_int_equal(wv_verify(log_path("", path), &o, &report), 0);
	assert_int_equal(report.n_findings, 1);
	wv_verify_done(&report);
	/* those that tell of retirements may be among them: what is missing there is not judged */
	assert_int_equal(unlink(log_path(FIRST_SEGMENT, path)), 0);
	o.from = 31;
	assert_int_equal(wv_verify(log_path("", path), &o, &report), 0);
	assert_int_equal(report.n_findings, 0);
}

static void verify_damaged_compressed_segment_is_told(void **state _unused_)
{
	struct wv_tlog *l = open_log();
	char *text;
	size_t len;

	assert_int_equal(wv_tlog_compress(l), 1);
	wv_tlog_close(l);
	text = log_file(FIRST_SEGMENT ".zst", &len);
	assert_non_null(text);
	write_log_file(FIRST_SEGMENT ".zst", text, len - 3);
	free(text);
	verify();
	assert_int_equal(report.n_findings, 1);
	found(0, WV_FINDING_UNREADABLE, 1, 15);
}

static void verify_no_log_is_an_error(void **state _unused_)
{
	struct wv_note_verifier v;
	struct wv_verify_options o = {.keys = &v, .n_keys = 1};
	struct wv_verify_report untouched = {0};

	assert_int_equal(wv_note_verifier_init(&v, "test/log", WV_NOTE_ED25519, &key.public_key),
			 0);
	assert_int_equal(wv_verify("/nonexistent", &o, &untouched), -ENOENT);
	assert_int_equal(wv_verify("/", &o, &untouched), -ENOENT);
	assert_null(untouched.findings);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, done)
	const struct CMUnitTest tests[] = {
		TEST(verify_sound_log_has_no_findings),
		TEST(verify_altered_record_is_named),
		TEST(verify_any_flipped_bit_of_the_lines_is_found),
		TEST(verify_dropped_records_are_named),
		TEST(verify_inserted_record_is_named),
		TEST(verify_reordered_records_are_named),
		TEST(verify_repeated_record_is_named),
		TEST(verify_truncated_log_is_told),
		TEST(verify_missing_segment_is_told),
		TEST(verify_retired_segment_is_no_finding),
		TEST(verify_beginning_that_is_not_told_is_named),
		TEST(verify_oldest_segment_removed_after_retentions_is_named),
		TEST(verify_altered_leaf_hash_leaves_the_record_right),
		TEST(verify_record_altered_with_its_leaf_hash_leaves_a_range),
		TEST(verify_missing_leaf_hashes_are_made_of_the_lines),
		TEST(verify_other_key_vouches_for_nothing),
		TEST(verify_changed_checkpoint_is_told),
		TEST(verify_forked_log_is_told),
		TEST(verify_rollback_behind_a_witness_is_told),
		TEST(verify_from_leaves_older_segments_out),
		TEST(verify_damaged_compressed_segment_is_told),
		TEST(verify_no_log_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
