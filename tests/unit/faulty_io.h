/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An I/O seam that fails, tears and dies on demand, and a folder to work in. Include after
 * <cmocka.h>.
 */
#ifndef WV_TESTS_FAULTY_IO_H
#define WV_TESTS_FAULTY_IO_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/paths.h"

enum mode { NONE, FAIL, TORN, CRASH };

/* The faulty seam: the real calls, but for those numbered at .. at + span - 1. */
static struct fault {
	enum mode mode;
	int error;
	unsigned at, span;
	unsigned calls, syncs;
	bool dead; /* after a CRASH nothing happens any more */
	uint64_t now;
} fault;

static inline bool strikes(void)
{
	unsigned n = fault.calls++;

	return fault.mode != NONE && n >= fault.at && n - fault.at < fault.span;
}

/* 0: go on; else what the call returns */
static inline int step(void)
{
	bool now = strikes();

	if (fault.dead)
		return -EIO;
	if (now && fault.mode == CRASH)
		fault.dead = true;
	return now ? (fault.mode == CRASH ? -EIO : -fault.error) : 0;
}

static inline int f_open(void *ctx _unused_, int dirfd, const char *path, int flags, mode_t mode)
{
	int r = step();

	return r ?: wv_io_system.open(NULL, dirfd, path, flags, mode);
}

static inline ssize_t f_write(void *ctx _unused_, int fd, const void *buf, size_t len)
{
	bool was_dead = fault.dead;
	int r = step();

	if (r == 0)
		return wv_io_system.write(NULL, fd, buf, len);
	if (!was_dead && fault.mode != FAIL)
		(void)wv_io_system.write(NULL, fd, buf, len / 2);
	return r;
}

static inline ssize_t f_pread(void *ctx _unused_, int fd, void *buf, size_t len, off_t off)
{
	int r = step();

	return r ?: wv_io_system.pread(NULL, fd, buf, len, off);
}

static inline int f_fsync(void *ctx _unused_, int fd _unused_)
{
	fault.syncs++;
	return step();
}

static inline int f_ftruncate(void *ctx _unused_, int fd, off_t len)
{
	int r = step();

	return r ?: wv_io_system.ftruncate(NULL, fd, len);
}

static inline int f_close(void *ctx _unused_, int fd)
{
	return wv_io_system.close(NULL, fd);
}

static inline int f_rename(void *ctx _unused_, int dirfd, const char *from, const char *to)
{
	int r = step();

	return r ?: wv_io_system.rename(NULL, dirfd, from, to);
}

static inline int f_unlink(void *ctx _unused_, int dirfd, const char *path)
{
	int r = step();

	return r ?: wv_io_system.unlink(NULL, dirfd, path);
}

static inline int f_mkdir(void *ctx _unused_, int dirfd, const char *path, mode_t mode)
{
	int r = step();

	return r ?: wv_io_system.mkdir(NULL, dirfd, path, mode);
}

static inline int f_rmdir(void *ctx _unused_, int dirfd, const char *path)
{
	int r = step();

	return r ?: wv_io_system.rmdir(NULL, dirfd, path);
}

static inline int f_size(void *ctx _unused_, int fd, uint64_t *ret)
{
	int r = step();

	return r ?: wv_io_system.size(NULL, fd, ret);
}

static inline int f_list(void *ctx _unused_, int dirfd,
			 int (*each)(void *userdata, const char *name), void *userdata)
{
	int r = step();

	return r ?: wv_io_system.list(NULL, dirfd, each, userdata);
}

static inline int f_lock(void *ctx _unused_, int fd, bool wait)
{
	return wv_io_system.lock(NULL, fd, wait);
}

static inline int f_unlock(void *ctx _unused_, int fd)
{
	return wv_io_system.unlock(NULL, fd);
}

static inline int f_random(void *ctx _unused_, void *buf, size_t len)
{
	int r = step();

	return r ?: wv_io_system.random(NULL, buf, len);
}

static inline uint64_t f_clock(void *ctx _unused_)
{
	return ++fault.now;
}

static const struct wv_io faulty = {
	.open = f_open,
	.write = f_write,
	.pread = f_pread,
	.fsync = f_fsync,
	.ftruncate = f_ftruncate,
	.close = f_close,
	.rename = f_rename,
	.unlink = f_unlink,
	.mkdir = f_mkdir,
	.rmdir = f_rmdir,
	.size = f_size,
	.list = f_list,
	.lock = f_lock,
	.unlock = f_unlock,
	.mono_ns = f_clock,
	.wall_ns = f_clock,
	.random = f_random,
};

static struct wv_paths paths;
static char base[64];

static inline void make_base(void)
{
	/* in memory where that can be: a scenario is run thousands of times */
	strcpy(base, "/dev/shm/wv-unit-XXXXXX");
	if (!mkdtemp(base)) {
		strcpy(base, "/tmp/wv-unit-XXXXXX");
		assert_non_null(mkdtemp(base));
	}
	snprintf(paths.state, sizeof(paths.state), "%s/state", base);
}

static inline int remove_one(const char *path, const struct stat *st _unused_, int type _unused_,
			     struct FTW *f _unused_)
{
	return remove(path);
}

static inline void remove_base(void)
{
	assert_int_equal(nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
