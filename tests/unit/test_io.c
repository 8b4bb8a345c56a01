// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/core/io.h"
#include "user/core/paths.h"

static char dir[] = "/tmp/wv-io-XXXXXX";
static int dirfd_;

/* Fails the n-th call of the seam with this error; the others are real. */
static struct {
	int fail_at, error, calls;
	struct wv_io io;
} fault;

static int due(void)
{
	return ++fault.calls == fault.fail_at ? fault.error : 0;
}

static int f_open(void *ctx, int d, const char *path, int flags, mode_t mode)
{
	return due() ?: wv_io_system.open(ctx, d, path, flags, mode);
}

static ssize_t f_write(void *ctx, int fd, const void *buf, size_t len)
{
	return due() ?: wv_io_system.write(ctx, fd, buf, len > 3 ? 3 : len); /* short writes, too */
}

static int f_fsync(void *ctx, int fd)
{
	return due() ?: wv_io_system.fsync(ctx, fd);
}

static int f_close(void *ctx, int fd)
{
	(void)wv_io_system.close(ctx, fd);
	return due();
}

static int f_rename(void *ctx, int d, const char *from, const char *to)
{
	return due() ?: wv_io_system.rename(ctx, d, from, to);
}

static int setup(void **state)
{
	(void)state;
	fault.io = wv_io_system;
	fault.io.open = f_open;
	fault.io.write = f_write;
	fault.io.fsync = f_fsync;
	fault.io.close = f_close;
	fault.io.rename = f_rename;
	if (!mkdtemp(dir))
		return -1;
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY);
	return dirfd_ < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlinkat(dirfd_, "file", 0);
	close(dirfd_);
	return rmdir(dir); /* fails if a temporary file was left */
}

static void io_replace_failing_at_any_call_leaves_old_or_new(void **state)
{
	static const char old[] = "the old content", new[] = "what is written instead";
	bool succeeded = false;

	(void)state;
	for (int n = 1; !succeeded; n++) {
		char *text = NULL;
		int r;

		assert_true(n < 100);
		assert_int_equal(
			wv_io_replace(&wv_io_system, dirfd_, "file", old, strlen(old), 0600), 0);
		fault.calls = 0;
		fault.fail_at = n;
		fault.error = -ENOSPC;
		r = wv_io_replace(&fault.io, dirfd_, "file", new, strlen(new), 0600);
		succeeded = fault.calls < n;
		if (r != 0)
			assert_int_equal(r, -ENOSPC);
		assert_int_equal(wv_io_read_file(&wv_io_system, dirfd_, "file", 4096, &text, NULL),
				 0);
		if (r == 0)
			assert_string_equal(text, new);
		else if (strcmp(text, new) !=
			 0) /* failed after the rename: new, else the old one whole */
			assert_string_equal(text, old);
		free(text);
		assert_int_equal(faccessat(dirfd_, ".file.tmp", F_OK, 0), -1);
	}
}

static void io_read_file_over_the_maximum_is_refused(void **state)
{
	char *text = NULL, big[10000];
	size_t len;

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_int_equal(wv_io_replace(&wv_io_system, dirfd_, "file", big, sizeof(big), 0600), 0);
	assert_int_equal(wv_io_read_file(&wv_io_system, dirfd_, "file", 9999, &text, &len), -EFBIG);
	assert_null(text);
	assert_int_equal(wv_io_read_file(&wv_io_system, dirfd_, "file", 10000, &text, &len), 0);
	assert_int_equal(len, 10000);
	assert_int_equal(text[len], 0);
	free(text);
	assert_int_equal(wv_io_read_file(&wv_io_system, dirfd_, "no such file", 1, &text, &len),
			 -ENOENT);
}

static void paths_root_moves_all_and_a_long_one_is_refused(void **state)
{
	char longer[WV_PATH_SIZE];
	struct wv_paths p;

	(void)state;
	assert_int_equal(wv_paths_init(&p, NULL), 0);
	assert_string_equal(p.config, "/etc/waveos/waveos.yaml");
	assert_int_equal(wv_paths_init(&p, "/tmp/x//"), 0);
	assert_string_equal(p.state, "/tmp/x/var/lib/waveos");
	assert_string_equal(p.pins, "/tmp/x/sys/fs/bpf/waveos");
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(wv_paths_init(&p, longer), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(io_replace_failing_at_any_call_leaves_old_or_new),
		cmocka_unit_test(io_read_file_over_the_maximum_is_refused),
		cmocka_unit_test(paths_root_moves_all_and_a_long_one_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
