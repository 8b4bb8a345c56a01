// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "user/core/cleanup.h"

static int sys_open(void *ctx _unused_, int dirfd, const char *path, int flags, mode_t mode)
{
	int fd = openat(dirfd, path, flags | O_CLOEXEC, mode);

	return fd < 0 ? -errno : fd;
}

static ssize_t sys_write(void *ctx _unused_, int fd, const void *buf, size_t len)
{
	ssize_t n = write(fd, buf, len);

	return n < 0 ? -errno : n;
}

static ssize_t sys_pread(void *ctx _unused_, int fd, void *buf, size_t len, off_t off)
{
	ssize_t n = pread(fd, buf, len, off);

	return n < 0 ? -errno : n;
}

static int sys_fsync(void *ctx _unused_, int fd)
{
	return fsync(fd) < 0 ? -errno : 0;
}

static int sys_fdatasync(void *ctx _unused_, int fd)
{
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int sys_ftruncate(void *ctx _unused_, int fd, off_t len)
{
	return ftruncate(fd, len) < 0 ? -errno : 0;
}

static int sys_close(void *ctx _unused_, int fd)
{
	return close(fd) < 0 ? -errno : 0;
}

static int sys_rename(void *ctx _unused_, int dirfd, const char *from, const char *to)
{
	return renameat(dirfd, from, dirfd, to) < 0 ? -errno : 0;
}

static int sys_unlink(void *ctx _unused_, int dirfd, const char *path)
{
	return unlinkat(dirfd, path, 0) < 0 ? -errno : 0;
}

static int sys_mkdir(void *ctx _unused_, int dirfd, const char *path, mode_t mode)
{
	return mkdirat(dirfd, path, mode) < 0 ? -errno : 0;
}

static int sys_rmdir(void *ctx _unused_, int dirfd, const char *path)
{
	return unlinkat(dirfd, path, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int sys_symlink(void *ctx _unused_, const char *target, int dirfd, const char *path)
{
	return symlinkat(target, dirfd, path) < 0 ? -errno : 0;
}

static ssize_t sys_readlink(void *ctx _unused_, int dirfd, const char *path, char *buf, size_t size)
{
	ssize_t n = readlinkat(dirfd, path, buf, size);

	return n < 0 ? -errno : n;
}

static int sys_size(void *ctx _unused_, int fd, uint64_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (uint64_t)st.st_size;
	return 0;
}

static int sys_list(void *ctx _unused_, int dirfd, int (*each)(void *userdata, const char *name),
		    void *userdata)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = each(userdata, e->d_name);
	return r ? r : -errno;
}

static int sys_lock(void *ctx _unused_, int fd, bool wait)
{
	return flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) < 0 ? -errno : 0;
}

static int sys_unlock(void *ctx _unused_, int fd)
{
	return flock(fd, LOCK_UN) < 0 ? -errno : 0;
}

static int sys_free_bytes(void *ctx _unused_, int dirfd, uint64_t *ret)
{
	struct statvfs st;

	if (fstatvfs(dirfd, &st) < 0)
		return -errno;
	*ret = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static uint64_t sys_mono_ns(void *ctx _unused_)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t sys_wall_ns(void *ctx _unused_)
{
	return clock_ns(CLOCK_REALTIME);
}

static int sys_random(void *ctx _unused_, void *buf, size_t len)
{
	return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -EIO;
}

static int sys_ioctl(void *ctx _unused_, int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

const struct wv_io wv_io_system = {
	.open = sys_open,
	.write = sys_write,
	.pread = sys_pread,
	.fsync = sys_fsync,
	.fdatasync = sys_fdatasync,
	.ftruncate = sys_ftruncate,
	.close = sys_close,
	.rename = sys_rename,
	.unlink = sys_unlink,
	.mkdir = sys_mkdir,
	.rmdir = sys_rmdir,
	.symlink = sys_symlink,
	.readlink = sys_readlink,
	.size = sys_size,
	.list = sys_list,
	.lock = sys_lock,
	.unlock = sys_unlock,
	.free_bytes = sys_free_bytes,
	.mono_ns = sys_mono_ns,
	.wall_ns = sys_wall_ns,
	.random = sys_random,
	.ioctl = sys_ioctl,
};

int wv_io_write_all(const struct wv_io *io, int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = io->write(io->ctx, fd, p, len);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int wv_io_sync_data(const struct wv_io *io, int fd)
{
	return io->fdatasync ? io->fdatasync(io->ctx, fd) : io->fsync(io->ctx, fd);
}

ssize_t wv_io_pread_all(const struct wv_io *io, int fd, void *buf, size_t len, uint64_t off)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n =
			io->pread(io->ctx, fd, (char *)buf + got, len - got, (off_t)(off + got));

		if (n == -EINTR)
			continue;
		if (n < 0)
			return n;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

int wv_io_sync_dir(const struct wv_io *io, int dirfd)
{
	int fd = io->open(io->ctx, dirfd, ".", O_RDONLY | O_DIRECTORY, 0), r;

	if (fd < 0)
		return fd;
	r = io->fsync(io->ctx, fd);
	(void)io->close(io->ctx, fd);
	return r;
}

int wv_io_replace(const struct wv_io *io, int dirfd, const char *name, const void *buf, size_t len,
		  mode_t mode)
{
	char tmp[NAME_MAX + 1];
	int fd, r, closed;

	if (snprintf(tmp, sizeof(tmp), ".%s.tmp", name) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = io->open(io->ctx, dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC, mode);
	if (fd < 0)
		return fd;
	r = wv_io_write_all(io, fd, buf, len);
	if (r == 0)
		r = io->fsync(io->ctx, fd);
	closed = io->close(io->ctx, fd);
	if (r == 0)
		r = closed;
	if (r == 0)
		r = io->rename(io->ctx, dirfd, tmp, name);
	if (r < 0) {
		(void)io->unlink(io->ctx, dirfd, tmp);
		return r;
	}
	return wv_io_sync_dir(io, dirfd);
}

int wv_io_read_file(const struct wv_io *io, int dirfd, const char *name, size_t max, char **ret_buf,
		    size_t *ret_len)
{
	_cleanup_free_ char *buf = NULL;
	size_t len = 0, size = 4096;
	int fd, r = 0;

	fd = io->open(io->ctx, dirfd, name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	buf = malloc(size);
	while (buf) {
		ssize_t n = io->pread(io->ctx, fd, buf + len, size - len - 1, (off_t)len);
		char *bigger;

		if (n == -EINTR)
			continue;
		if (n <= 0) {
			r = (int)n;
			break;
		}
		len += (size_t)n;
		if (len > max) {
			r = -EFBIG;
			break;
		}
		if (size - len > 1)
			continue;
		bigger = realloc(buf, size * 2);
		if (!bigger) {
			r = -ENOMEM;
			break;
		}
		buf = bigger;
		size *= 2;
	}
	(void)io->close(io->ctx, fd);
	if (!buf)
		return -ENOMEM;
	if (r < 0)
		return r;
	buf[len] = '\0';
	*ret_buf = TAKE_PTR(buf);
	if (ret_len)
		*ret_len = len;
	return 0;
}

/* Makes a new name durable: the folder that the path's last name is in. */
static int sync_parent(const struct wv_io *io, char *path)
{
	char *slash = strrchr(path, '/'), *end, kept;
	int fd, r;

	if (!slash) {
		fd = io->open(io->ctx, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY, 0);
	} else {
		end = slash == path ? slash + 1 : slash;
		kept = *end;
		*end = '\0';
		fd = io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
		*end = kept;
	}
	if (fd < 0)
		return fd;
	r = io->fsync(io->ctx, fd);
	(void)io->close(io->ctx, fd);
	/* cgroups and other file systems of the kernel keep nothing and refuse to (fsync(2)) */
	return r == -EINVAL ? 0 : r;
}

int wv_io_mkdirs(const struct wv_io *io, const char *path, mode_t mode)
{
	char part[PATH_MAX];
	size_t len = strlen(path);

	if (len >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		int r;

		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		r = io->mkdir(io->ctx, AT_FDCWD, part, mode);
		if (r == 0) {
			r = sync_parent(io, part);
			if (r < 0) /* else the next try would take it for durable */
				(void)io->rmdir(io->ctx, AT_FDCWD, part);
		}
		if (r < 0 && r != -EEXIST)
			return r;
	}
	return 0;
}
