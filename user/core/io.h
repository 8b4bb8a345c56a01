/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The I/O seam: the file, clock and random calls of the parts that must survive a crash go through
 * this table, so that a test can fail, tear or stop any of them. Each call returns 0 or a count, or
 * a negative errno; semantics are those of the system call that it is named after.
 */
#ifndef WV_CORE_IO_H
#define WV_CORE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct wv_io {
	int (*open)(void *ctx, int dirfd, const char *path, int flags, mode_t mode);
	ssize_t (*write)(void *ctx, int fd, const void *buf, size_t len);
	ssize_t (*pread)(void *ctx, int fd, void *buf, size_t len, off_t off);
	int (*fsync)(void *ctx, int fd);
	/* MAY: the bytes and the length, but not the times; see wv_io_sync_data() */
	int (*fdatasync)(void *ctx, int fd);
	int (*ftruncate)(void *ctx, int fd, off_t len);
	int (*close)(void *ctx, int fd);
	int (*rename)(void *ctx, int dirfd, const char *from, const char *to);
	int (*unlink)(void *ctx, int dirfd, const char *path);
	int (*mkdir)(void *ctx, int dirfd, const char *path, mode_t mode);
	int (*rmdir)(void *ctx, int dirfd, const char *path);
	/* a link's text may name what is not there */
	int (*symlink)(void *ctx, const char *target, int dirfd, const char *path);
	ssize_t (*readlink)(void *ctx, int dirfd, const char *path, char *buf, size_t size);
	/* bytes of an open file */
	int (*size)(void *ctx, int fd, uint64_t *ret);
	/* calls each(userdata, name) for every name but . and .. in no order; a non-zero answer
	 * ends it and is returned. The folder may be changed only after it returned. */
	int (*list)(void *ctx, int dirfd, int (*each)(void *userdata, const char *name),
		    void *userdata);
	/* flock: exclusive, waiting for it or (-EWOULDBLOCK) not; given back by close */
	int (*lock)(void *ctx, int fd, bool wait);
	int (*unlock)(void *ctx, int fd);
	/* bytes that an unprivileged process may still write where dirfd is */
	int (*free_bytes)(void *ctx, int dirfd, uint64_t *ret);
	uint64_t (*mono_ns)(void *ctx);
	uint64_t (*wall_ns)(void *ctx);
	int (*random)(void *ctx, void *buf, size_t len);
	int (*ioctl)(void *ctx, int fd, unsigned long request, void *arg); /* MAY */
	void *ctx;
};

/* The real system calls. */
extern const struct wv_io wv_io_system;

/* Writes all of buf, across short writes and EINTR. Returns 0 or -errno. */
int wv_io_write_all(const struct wv_io *io, int fd, const void *buf, size_t len);
/* Reads up to len bytes at off, across short reads and EINTR: how many there were, fewer only at
 * the end of the file, or -errno. */
ssize_t wv_io_pread_all(const struct wv_io *io, int fd, void *buf, size_t len, uint64_t off);
/*
 * Replaces dirfd/name by these bytes atomically: temporary file in the same folder, fsync, rename,
 * fsync of the folder. After a crash the file is either the old or the new one.
 */
int wv_io_replace(const struct wv_io *io, int dirfd, const char *name, const void *buf, size_t len,
		  mode_t mode);
/* fdatasync, or fsync where the table has none. */
int wv_io_sync_data(const struct wv_io *io, int fd);
/* fsync of the folder itself, so that names created in it survive a power cut. */
int wv_io_sync_dir(const struct wv_io *io, int dirfd);
/* Reads a whole file of at most max bytes; *ret_buf is malloc'ed and NUL-terminated. -EFBIG over
 * max. */
int wv_io_read_file(const struct wv_io *io, int dirfd, const char *name, size_t max, char **ret_buf,
		    size_t *ret_len);
/* mkdir -p, mode for new ones, which are durable when it returns 0. */
int wv_io_mkdirs(const struct wv_io *io, const char *path, mode_t mode);

#endif
