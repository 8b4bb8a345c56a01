// SPDX-License-Identifier: GPL-2.0-only
/* Secrets that are kept on this machine: environment, files, credentials of systemd. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/secret/store.h"

int wv_secret_from_env(struct wv_secrets *s _unused_, const struct wv_secret_ref *ref,
		       struct wv_secret_fetched *f)
{
	const char *value = getenv(ref->place);

	if (!value)
		return wv_secret_fail(f, -ENOENT, "the environment has no such variable");
	return wv_secret_keep(f, value, strlen(value));
}

/* Straight to locked memory: no buffer of a stream, no copy on the heap. */
static int read_locked(struct wv_secrets *s, int fd, struct wv_secret_fetched *f)
{
	struct wv_locked bytes;
	struct stat st;
	ssize_t n;
	int r;

	if (fstat(fd, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return wv_secret_fail(f, -EBADMSG, "it is no regular file");
		f->changed_s = st.st_mtim.tv_sec;
	}
	if (wv_locked_alloc(&bytes, WV_SECRET_MAX + 2) < 0)
		return wv_secret_fail(f, -ENOMEM, "no memory");
	n = wv_io_pread_all(s->io, fd, bytes.p, WV_SECRET_MAX + 2, 0);
	if (n < 0) {
		r = wv_secret_fail(f, (int)n, "%s", strerror((int)-n));
	} else {
		/* one newline, as editors and `echo` end a file */
		if (n > 0 && bytes.p[n - 1] == '\n')
			n--;
		if (n > 0 && bytes.p[n - 1] == '\r')
			n--;
		r = wv_secret_keep(f, bytes.p, (size_t)n);
	}
	wv_locked_free(&bytes);
	return r;
}

int wv_secret_from_file(struct wv_secrets *s, const struct wv_secret_ref *ref,
			struct wv_secret_fetched *f)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	char path[2 * WV_SECRET_REF_SIZE];
	int fd, n, r;

	if (ref->kind == WV_SECRET_CREDENTIAL && !folder)
		return wv_secret_fail(f, -ENOENT,
				      "there is no $CREDENTIALS_DIRECTORY: the unit has no "
				      "LoadCredential=");
	n = ref->kind == WV_SECRET_CREDENTIAL
		    ? snprintf(path, sizeof(path), "%s/%s", folder, ref->place)
		    : snprintf(path, sizeof(path), "%s", ref->place);
	if (n >= (int)sizeof(path))
		return wv_secret_fail(f, -ENAMETOOLONG, "the path is too long");
	/* O_NONBLOCK: a pipe that was put there must not hold us up */
	fd = s->io->open(s->io->ctx, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd < 0)
		return wv_secret_fail(f, fd == -ENOENT || fd == -ENOTDIR ? -ENOENT : fd, "%s",
				      strerror(-fd));
	r = read_locked(s, fd, f);
	(void)s->io->close(s->io->ctx, fd);
	return r;
}
