// SPDX-License-Identifier: GPL-2.0-only
/* The log's writer and recovery: torn and failing I/O at every call, and several writers. */
#include "tests/unit/tlog_fixture.h"

#include <sys/wait.h>

#define NAMES 40

static void tlog_new_appends_and_reads_back(void **state _unused_)
{
	struct wv_tlog *l = open_log();

	for (unsigned n = 1; n <= 5; n++)
		assert_int_equal(add(l, n), 0);
	assert_int_equal(wv_tlog_commit(l), 0);
	assert_int_equal(wv_tlog_size(l), 5);
	wv_tlog_close(l);
	assert_int_equal(check_tlog(1, NULL, 0), 5);
	l = open_log();
	assert_int_equal(wv_tlog_size(l), 5);
	assert_int_equal(add(l, 6), 0);
	wv_tlog_close(l);
	assert_int_equal(check_tlog(1, NULL, 0), 6);
}

/* For every length that the files can have been cut to: what is left is a prefix, whole. */
static void tlog_cut_at_any_byte_recovers_whole_lines(void **state _unused_)
{
	struct wv_tlog *l = open_log();
	_cleanup_free_ char *lines = NULL, *hashes = NULL;
	size_t len, hashes_len;

	for (unsigned n = 1; n <= 4; n++)
		assert_int_equal(add(l, n), 0);
	assert_int_equal(wv_tlog_commit(l), 0);
	wv_tlog_close(l);
	lines = log_file(WV_TLOG_OPEN_NAME, &len);
	hashes = log_file(WV_TLOG_HASHES_NAME, &hashes_len);
	for (size_t cut = 0; cut <= len; cut++) {
		uint64_t torn, whole = 0;
		size_t end = 0;

		for (size_t i = 0; i < cut; i++)
			if (lines[i] == '\n') {
				whole++;
				end = i + 1;
			}
		write_log_file(WV_TLOG_OPEN_NAME, lines, cut);
		/* hashes are shorter and longer than the lines in turn, and torn */
		write_log_file(WV_TLOG_HASHES_NAME, hashes, cut % (hashes_len + 1));
		assert_int_equal(wv_tlog_open(&l, &faulty, paths.state, &options, &torn), 0);
		assert_int_equal(wv_tlog_size(l), whole);
		assert_int_equal(torn, cut - end);
		assert_int_equal(add(l, 9), 0);
		assert_int_equal(wv_tlog_commit(l), 0);
		wv_tlog_close(l);
		assert_int_equal(check_tlog(1, NULL, 0), whole + 1);
	}
}

/* Blocks that a power cut lost read as zeros; what follows them was not acknowledged. */
static void tlog_lost_block_ends_the_log_there(void **state _unused_)
{
	struct wv_tlog *l = open_log();
	_cleanup_free_ char *lines = NULL, *kept = NULL;
	size_t len, kept_len;

	for (unsigned n = 1; n <= 6; n++)
		assert_int_equal(add(l, n), 0);
	wv_tlog_close(l);
	lines = log_file(WV_TLOG_OPEN_NAME, &len);
	memset(lines + len / 2, 0, 20);
	write_log_file(WV_TLOG_OPEN_NAME, lines, len);
	l = open_log();
	assert_int_equal(wv_tlog_size(l), 3);
	wv_tlog_close(l);
	assert_int_equal(check_tlog(1, NULL, 0), 3);
	kept = log_file("torn-00000000000000000004", &kept_len);
	assert_non_null(kept);
	assert_memory_equal(kept, lines + len / 2, kept_len);
}

static void tlog_line_under_checkpoint_altered_stays_findable(void **state _unused_)
{
	struct wv_tlog *l;
	_cleanup_free_ char *lines = NULL, *hashes = NULL, *after = NULL;
	size_t len, hashes_len, after_len;
	struct wv_hash root, again;
	uint64_t size;

	options.key = &key;
	l = open_log();
	for (unsigned n = 1; n <= 6; n++)
		assert_int_equal(add(l, n), 0);
	assert_int_equal(wv_tlog_checkpoint(l), 0);
	assert_int_equal(wv_tlog_head(l, &size, &root), 0);
	wv_tlog_close(l);
	lines = log_file(WV_TLOG_OPEN_NAME, &len);
	hashes = log_file(WV_TLOG_HASHES_NAME, &hashes_len);
	lines[5] = '7';
	write_log_file(WV_TLOG_OPEN_NAME, lines, len);
	l = open_log();
	assert_int_equal(wv_tlog_head(l, &size, &again), 0);
	assert_int_equal(size, 6);
	assert_memory_equal(&root, &again, sizeof(root));
	wv_tlog_close(l);
	after = log_file(WV_TLOG_HASHES_NAME, &after_len);
	assert_int_equal(after_len, hashes_len);
	assert_memory_equal(after, hashes, hashes_len);
}

static void tlog_lines_under_checkpoint_removed_leave_a_gap(void **state _unused_)
{
	struct wv_tlog *l;
	_cleanup_free_ char *lines = NULL;
	struct wv_tlog_reader *r;
	const char *line;
	uint64_t seq, want[] = {1, 2, 7, 8};
	size_t len, line_len;

	options.key = &key;
	l = open_log();
	for (unsigned n = 1; n <= 6; n++)
		assert_int_equal(add(l, n), 0);
	assert_int_equal(wv_tlog_checkpoint(l), 0);
	wv_tlog_close(l);
	lines = log_file(WV_TLOG_OPEN_NAME, &len);
	write_log_file(WV_TLOG_OPEN_NAME, lines, len / 3);
	for (unsigned n = 7; n <= 8; n++) {
		l = open_log();
		assert_int_equal(wv_tlog_size(l), n - 1);
		assert_int_equal(add(l, n), 0);
		assert_int_equal(wv_tlog_commit(l), 0);
		wv_tlog_close(l);
	}
	assert_int_equal(wv_tlog_read_open(&r, &wv_io_system, paths.state, 1), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
		assert_int_equal(wv_tlog_read(r, &seq, &line, &line_len), 1);
		assert_int_equal(seq, want[i]);
	}
	assert_int_equal(wv_tlog_read(r, &seq, &line, &line_len), 0);
	wv_tlog_read_close(r);
}

static void tlog_strange_file_is_refused_unchanged(void **state _unused_)
{
	static const char text[] = "# not a log\nat all\n";
	struct wv_tlog *l = open_log();
	_cleanup_free_ char *after = NULL;
	size_t len;

	wv_tlog_close(l);
	write_log_file(WV_TLOG_OPEN_NAME, text, strlen(text));
	assert_int_equal(wv_tlog_open(&l, &faulty, paths.state, &options, NULL), -EBADMSG);
	after = log_file(WV_TLOG_OPEN_NAME, &len);
	assert_string_equal(after, text);
}

/* What the scenario was told about each name. */
static bool acknowledged[NAMES], refused[NAMES];

/* Batches, single records, commits, closing, checkpoints, compression: 36 records. */
static void scenario(struct wv_tlog *l, unsigned from)
{
	unsigned pending = from;

	for (unsigned n = from; n < NAMES - 4 && !fault.dead; n++) {
		int e;

		if (n % 7 == 0) {
			unsigned first = n;

			e = wv_tlog_begin(l);
			for (; e == 0 && n < first + 3; n++)
				e = add(l, n);
			e = e < 0 ? (wv_tlog_abort(l), e) : wv_tlog_end(l, true);
			for (unsigned k = first; k < first + 3; k++) {
				acknowledged[k] = e == 0;
				refused[k] = e < 0 && !fault.dead;
			}
			n = first + 2;
			if (e == 0)
				for (; pending < first; pending++)
					acknowledged[pending] = !refused[pending];
			continue;
		}
		e = add(l, n);
		refused[n] = e < 0 && !fault.dead;
		if (n % 5 == 0 && wv_tlog_commit(l) == 0)
			for (; pending <= n; pending++)
				acknowledged[pending] = !refused[pending];
		if (n % 11 == 0)
			(void)wv_tlog_compress(l);
	}
}

static void check_scenario(void)
{
	bool seen[NAMES] = {false};

	(void)check_tlog(1, seen, NAMES);
	for (unsigned n = 1; n < NAMES; n++) {
		assert_true(!acknowledged[n] || seen[n]);
		assert_false(refused[n] && seen[n]);
	}
}

static void begin_scenario(void)
{
	memset(acknowledged, 0, sizeof(acknowledged));
	memset(refused, 0, sizeof(refused));
	remove_base();
	make_base();
	options.key = &key;
	options.segment_bytes = 300;
	options.checkpoint_records = 8;
	options.compress_level = 1;
}

static unsigned scenario_calls(void)
{
	struct wv_tlog *l;

	begin_scenario();
	fault = (struct fault){0};
	l = open_log();
	scenario(l, 1);
	wv_tlog_close(l);
	check_scenario();
	for (unsigned n = 1; n < NAMES - 4; n++)
		assert_false(refused[n]);
	return fault.calls;
}

static void tlog_any_call_failing_loses_only_what_was_refused(void **state _unused_)
{
	static const struct {
		enum mode mode;
		int error;
		unsigned span;
	} rounds[] = {{FAIL, EIO, 1}, {TORN, ENOSPC, 1}, {TORN, ENOSPC, 9}, {FAIL, EROFS, 40}};
	unsigned calls = scenario_calls();

	for (unsigned round = 0; round < ARRAY_SIZE(rounds); round++)
		for (unsigned at = 0; at < calls; at++) {
			struct wv_tlog *l = NULL;

			begin_scenario();
			fault = (struct fault){.mode = rounds[round].mode,
					       .error = rounds[round].error,
					       .at = at,
					       .span = rounds[round].span};
			if (wv_tlog_open(&l, &faulty, paths.state, &options, NULL) < 0) {
				fault.mode = NONE;
				l = open_log();
			}
			scenario(l, 1);
			/* the disk works again: the log goes on */
			fault.mode = NONE;
			assert_int_equal(add(l, NAMES - 2), 0);
			assert_int_equal(wv_tlog_commit(l), 0);
			acknowledged[NAMES - 2] = true;
			check_scenario();
			wv_tlog_close(l);
			l = open_log();
			wv_tlog_close(l);
			check_scenario();
		}
}

static void tlog_crash_at_any_call_keeps_what_was_acknowledged(void **state _unused_)
{
	unsigned calls = scenario_calls();

	for (unsigned at = 0; at < calls; at++) {
		struct wv_tlog *l = NULL;

		begin_scenario();
		fault = (struct fault){.mode = CRASH, .at = at, .span = 1};
		if (wv_tlog_open(&l, &faulty, paths.state, &options, NULL) == 0) {
			scenario(l, 1);
			wv_tlog_close(l);
		}
		assert_true(fault.dead);
		fault = (struct fault){0};
		l = open_log();
		check_scenario();
		assert_int_equal(add(l, NAMES - 2), 0);
		assert_int_equal(wv_tlog_commit(l), 0);
		while (wv_tlog_compress(l) == 1)
			;
		wv_tlog_close(l);
		acknowledged[NAMES - 2] = true;
		check_scenario();
	}
}

/* A crash inside the recovery from a crash. */
static void tlog_crash_inside_recovery_is_harmless(void **state _unused_)
{
	unsigned calls = scenario_calls();

	for (unsigned at = 20; at < calls; at += 7)
		for (unsigned second = 0; second < 60; second++) {
			struct wv_tlog *l = NULL;

			begin_scenario();
			fault = (struct fault){.mode = CRASH, .at = at, .span = 1};
			if (wv_tlog_open(&l, &faulty, paths.state, &options, NULL) == 0) {
				scenario(l, 1);
				wv_tlog_close(l);
			}
			fault = (struct fault){.mode = CRASH, .at = second, .span = 1};
			if (wv_tlog_open(&l, &faulty, paths.state, &options, NULL) == 0)
				wv_tlog_close(l);
			fault = (struct fault){0};
			l = open_log();
			wv_tlog_close(l);
			check_scenario();
		}
}

static void tlog_failed_sync_is_not_acknowledged_by_the_next(void **state _unused_)
{
	struct wv_tlog *l = open_log();
	uint64_t epoch_before, epoch;
	char path[600];
	int fd;

	assert_int_equal(add(l, 1), 0);
	assert_int_equal(wv_tlog_commit(l), 0);
	fd = open(log_path("lock", path), O_RDONLY);
	assert_int_equal(wv_io_system.size(NULL, fd, &epoch_before), 0);
	assert_int_equal(add(l, 2), 0);
	/* three sizes are asked for, then all fails from the sync on */
	fault = (struct fault){.mode = FAIL, .error = EIO, .at = 3, .span = UINT32_MAX};
	assert_int_not_equal(wv_tlog_commit(l), 0);
	fault.mode = NONE;
	fault.syncs = 0;
	assert_int_equal(wv_tlog_commit(l), 0);
	/* the lines were written again, into a file of their own */
	assert_int_equal(wv_io_system.size(NULL, fd, &epoch), 0);
	assert_true(epoch > epoch_before);
	close(fd);
	wv_tlog_close(l);
	assert_int_equal(check_tlog(1, NULL, 0), 2);
}

static unsigned sync_fails_at;

static int nth_sync_fails(void *ctx _unused_, int fd _unused_)
{
	return --sync_fails_at == 0 ? -EIO : 0;
}

/* After a failed sync the pages may be lost and the next sync says 0: hashes are written again. */
static void tlog_failed_sync_of_hashes_makes_them_anew(void **state _unused_)
{
	static const char lost[3 * WV_HASH_SIZE];
	struct wv_io io = faulty;
	struct wv_tlog *l;

	io.fsync = nth_sync_fails;
	options.key = &key;
	assert_int_equal(wv_tlog_open(&l, &io, paths.state, &options, NULL), 0);
	for (unsigned n = 1; n <= 3; n++)
		assert_int_equal(add(l, n), 0);
	sync_fails_at = 2; /* the lines', then the hashes' */
	assert_int_equal(wv_tlog_checkpoint(l), -EIO);
	write_log_file(WV_TLOG_HASHES_NAME, lost, sizeof(lost));
	assert_int_equal(wv_tlog_checkpoint(l), 0);
	wv_tlog_close(l);
	assert_int_equal(check_tlog(1, NULL, 0), 3);
}

static void child(unsigned first)
{
	struct wv_tlog *l;

	if (wv_tlog_open(&l, &wv_io_system, paths.state, &options, NULL) < 0)
		_exit(1);
	for (unsigned n = 0; n < 300; n++) {
		if (add(l, first + n) < 0 || (n % 10 == 0 && wv_tlog_commit(l) < 0))
			_exit(2);
		if (n % 40 == 0 && wv_tlog_rotate(l) < 0)
			_exit(3);
	}
	if (wv_tlog_commit(l) < 0)
		_exit(4);
	wv_tlog_close(l);
	_exit(0);
}

static void tlog_two_processes_share_the_log(void **state _unused_)
{
	pid_t pids[2];
	int status;

	options.key = &key;
	options.segment_bytes = 5000;
	options.checkpoint_records = 50;
	options.compress_level = 1;
	for (unsigned i = 0; i < 2; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0)
			child(1 + i * 1000);
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
	struct wv_tlog_reader *r;
	const char *line;
	uint64_t seq, own = 0;
	size_t len;

	assert_int_equal(wv_tlog_read_open(&r, &wv_io_system, paths.state, 1), 0);
	while (wv_tlog_read(r, &seq, &line, &len) == 1)
		own += strstr(line, "\"what\":\"compress\"") != NULL;
	wv_tlog_read_close(r);
	assert_true(own > 0);
	assert_int_equal(check_tlog(1, NULL, 0), 600 + own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(tlog_new_appends_and_reads_back),
		T(tlog_cut_at_any_byte_recovers_whole_lines),
		T(tlog_lost_block_ends_the_log_there),
		T(tlog_line_under_checkpoint_altered_stays_findable),
		T(tlog_lines_under_checkpoint_removed_leave_a_gap),
		T(tlog_strange_file_is_refused_unchanged),
		T(tlog_any_call_failing_loses_only_what_was_refused),
		T(tlog_crash_at_any_call_keeps_what_was_acknowledged),
		T(tlog_crash_inside_recovery_is_harmless),
		T(tlog_failed_sync_is_not_acknowledged_by_the_next),
		T(tlog_failed_sync_of_hashes_makes_them_anew),
		T(tlog_two_processes_share_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
