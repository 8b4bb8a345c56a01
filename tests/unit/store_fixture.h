/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bundles for tests of store and life: made in memory, and an I/O seam that fails, tears and dies
 * on demand.
 */
#ifndef WV_TESTS_STORE_FIXTURE_H
#define WV_TESTS_STORE_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/bundle/store.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"

enum mode { NONE, FAIL, CRASH };

static struct fault {
	enum mode mode;
	int error;
	unsigned at, calls;
	bool dead; /* after a CRASH nothing happens any more */
	uint64_t free_bytes;
	uint64_t now;
} fault;

/* 0: go on; else what the call returns */
static inline int step(void)
{
	bool now = fault.calls++ == fault.at && fault.mode != NONE;

	if (fault.dead)
		return -EIO;
	if (now && fault.mode == CRASH)
		fault.dead = true;
	return now ? (fault.mode == CRASH ? -EIO : -fault.error) : 0;
}

#define SEAM(type, name, args, call)                                                               \
	static inline type f_##name args                                                           \
	{                                                                                          \
		int r_ = step();                                                                   \
                                                                                                   \
		return r_ ?: wv_io_system.name call;                                               \
	}
SEAM(int, open, (void *ctx _unused_, int dirfd, const char *path, int flags, mode_t mode),
     (NULL, dirfd, path, flags, mode))
SEAM(ssize_t, pread, (void *ctx _unused_, int fd, void *buf, size_t len, off_t off),
     (NULL, fd, buf, len, off))
SEAM(int, ftruncate, (void *ctx _unused_, int fd, off_t len), (NULL, fd, len))
SEAM(int, rename, (void *ctx _unused_, int dirfd, const char *from, const char *to),
     (NULL, dirfd, from, to))
SEAM(int, unlink, (void *ctx _unused_, int dirfd, const char *path), (NULL, dirfd, path))
SEAM(int, mkdir, (void *ctx _unused_, int dirfd, const char *path, mode_t mode),
     (NULL, dirfd, path, mode))
SEAM(int, rmdir, (void *ctx _unused_, int dirfd, const char *path), (NULL, dirfd, path))
SEAM(int, symlink, (void *ctx _unused_, const char *target, int dirfd, const char *path),
     (NULL, target, dirfd, path))
SEAM(ssize_t, readlink, (void *ctx _unused_, int dirfd, const char *path, char *buf, size_t size),
     (NULL, dirfd, path, buf, size))
SEAM(int, size, (void *ctx _unused_, int fd, uint64_t *ret), (NULL, fd, ret))
SEAM(int, list,
     (void *ctx _unused_, int dirfd, int (*each)(void *userdata, const char *name), void *userdata),
     (NULL, dirfd, each, userdata))
#undef SEAM

/* The real sync would only make the tests slow. */
static inline int f_fsync(void *ctx _unused_, int fd _unused_)
{
	return step();
}

static inline ssize_t f_write(void *ctx _unused_, int fd, const void *buf, size_t len)
{
	bool was_dead = fault.dead;
	int r = step();

	if (r == 0)
		return wv_io_system.write(NULL, fd, buf, len);
	if (!was_dead && fault.mode == CRASH)
		(void)wv_io_system.write(NULL, fd, buf, len / 2);
	return r;
}

static inline int f_close(void *ctx _unused_, int fd)
{
	return wv_io_system.close(NULL, fd);
}

static inline int f_lock(void *ctx _unused_, int fd, bool wait)
{
	return wv_io_system.lock(NULL, fd, wait);
}

static inline int f_unlock(void *ctx _unused_, int fd)
{
	return wv_io_system.unlock(NULL, fd);
}

static inline int f_free_bytes(void *ctx _unused_, int dirfd _unused_, uint64_t *ret)
{
	*ret = fault.free_bytes;
	return 0;
}

static inline uint64_t f_clock(void *ctx _unused_)
{
	return fault.now += 1000;
}

/* The wall clock jumps about, years at a time. */
static inline uint64_t f_wall(void *ctx _unused_)
{
	return f_clock(NULL) + (fault.now / 1000 % 3) * 100000000000000000ULL;
}

static inline int f_random(void *ctx _unused_, void *buf, size_t len)
{
	return wv_io_system.random(NULL, buf, len);
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
	.symlink = f_symlink,
	.readlink = f_readlink,
	.size = f_size,
	.list = f_list,
	.lock = f_lock,
	.unlock = f_unlock,
	.free_bytes = f_free_bytes,
	.mono_ns = f_clock,
	.wall_ns = f_wall,
	.random = f_random,
};

static struct wv_paths paths;
static char base[64];

static inline int remove_one(const char *path, const struct stat *st _unused_, int type _unused_,
			     struct FTW *f _unused_)
{
	return remove(path);
}

static inline void remove_base(void)
{
	assert_int_equal(nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void make_base(void)
{
	/* in memory where that is: thousands of small trees are made and removed */
	strcpy(base, access("/dev/shm", W_OK) == 0 ? "/dev/shm/wv-bundle-XXXXXX"
						   : "/tmp/wv-bundle-XXXXXX");
	assert_non_null(mkdtemp(base));
	snprintf(paths.state, sizeof(paths.state), "%s/state", base);
}

static inline void no_fault(void)
{
	fault = (struct fault){.free_bytes = 1ULL << 40, .now = fault.now};
}

static inline int setup(void **state _unused_)
{
	fault.now = 0;
	no_fault();
	wv_log_init(WV_LOG_TEXT, LOG_EMERG);
	make_base();
	return 0;
}

static inline int teardown(void **state _unused_)
{
	remove_base();
	return 0;
}

/* A bundle in memory: contents by file. */
#define FILES_MAX 8
struct made {
	struct wv_manifest m;
	const char *texts[FILES_MAX];
	unsigned at;	   /* next content */
	const char *left;  /* of the present one */
	unsigned reads;	   /* contents that were asked for */
	const char *spoil; /* comes instead of the first content; NULL: nothing wrong */
};

/* n pairs of path and text. counter tells bundles of one name apart. */
static inline void make_bundle(struct made *b, enum wv_bundle_kind kind, const char *name,
			       uint64_t counter, unsigned n, const char *const files[][2])
{
	static char *devices[] = {(char *)"*", NULL}, *environments[] = {(char *)"prod", NULL};
	struct wv_bundle_file list[FILES_MAX];
	struct wv_manifest m = {.kind = kind,
				.counter = counter,
				.created_s = 1700000000,
				.expires_s = 1800000000,
				.devices = devices,
				.environments = environments,
				.files = list,
				.n_files = n,
				.trial_ns = 10000000000ULL,
				.trial_boots = 2};
	struct wv_manifest_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	size_t len;

	*b = (struct made){.at = 0};
	snprintf(m.name, sizeof(m.name), "%s", name);
	snprintf(m.version, sizeof(m.version), "1.0.%u", (unsigned)counter);
	memset(list, 0, sizeof(list));
	for (unsigned i = 0; i < n; i++) {
		snprintf(list[i].path, sizeof(list[i].path), "%s", files[i][0]);
		wv_sha256_hex(files[i][1], strlen(files[i][1]), list[i].sha256);
		list[i].size = strlen(files[i][1]);
		list[i].mode = strncmp(files[i][0], "bin/", 4) == 0 ? 0755 : 0644;
		b->texts[i] = files[i][1];
	}
	assert_int_equal(wv_manifest_text(&m, &text, &len), 0);
	if (wv_manifest_parse(text, len, &b->m, &error) < 0)
		fail_msg("%s\n%s", error.text, text);
}

static inline void unmake(struct made *b)
{
	wv_manifest_done(&b->m);
}

/* Contents in the order of the files, each once. */
static inline int made_next(void *ctx, const struct wv_bundle_file **ret)
{
	struct made *b = ctx;

	for (; b->at < b->m.n_files; b->at++) {
		bool again = false;

		for (unsigned i = 0; i < b->at; i++)
			again |= strcmp(b->m.files[i].sha256, b->m.files[b->at].sha256) == 0;
		if (again)
			continue;
		b->reads++;
		*ret = &b->m.files[b->at];
		b->left = b->spoil && b->at == 0 ? b->spoil : b->texts[b->at];
		b->at++;
		return 1;
	}
	return 0;
}

static inline ssize_t made_read(void *ctx, void *buf, size_t size)
{
	struct made *b = ctx;
	size_t n = strlen(b->left);

	n = n < size ? n : size;
	n = n < 4000 ? n : 4000; /* several reads a content */
	memcpy(buf, b->left, n);
	b->left += n;
	return (ssize_t)n;
}

static inline struct wv_store_source source_of(struct made *b)
{
	b->at = b->reads = 0;
	return (struct wv_store_source){.manifest = &b->m,
					.signatures = "{\"signatures\":[]}",
					.signatures_len = 17,
					.next = made_next,
					.read = made_read,
					.ctx = b};
}

static inline char *path_of(const char *name)
{
	static char path[4][3 * WV_PATH_SIZE];
	static unsigned i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/" WV_BUNDLES_DIR "/%.600s", paths.state, name);
	return path[i];
}

static inline unsigned count_names(const char *name)
{
	_cleanup_closedir_ DIR *d = opendir(path_of(name));
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	return n;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
