// SPDX-License-Identifier: GPL-2.0-only
/*
 * A folder of bundles, as one that is mounted or written to by others. root.<n>.json and index.json
 * in it are taken first, then every *.wvb. A file is looked at again only when it is another one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/update/update.h"

#define SEEN_MAX 4096
#define SUFFIX ".wvb"
/* What was refused may be good later: the clock was wrong, or a root is still to come. */
#define AGAIN_NS (10 * 60 * 1000000000ULL)

struct wv_update_seen {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
	/* of one that was refused, else 0: under which root and when (monotonic) */
	uint64_t root_version, refused_ns;
};

static bool same(const struct wv_update_seen *a, const struct wv_update_seen *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
	       a->ctime.tv_sec == b->ctime.tv_sec && a->ctime.tv_nsec == b->ctime.tv_nsec;
}

static bool is_settled(const struct wv_updater *u, const struct wv_update_seen *s)
{
	return !s->root_version || (s->root_version == u->root_version &&
				    u->io->mono_ns(u->io->ctx) - s->refused_ns < AGAIN_NS);
}

static struct wv_update_seen *find_seen(const struct wv_updater *u, const struct wv_update_seen *s)
{
	for (unsigned i = 0; i < u->n_seen; i++)
		if (same(&u->seen[i], s))
			return &u->seen[i];
	return NULL;
}

/* Without memory it is only looked at again. */
static void add_seen(struct wv_updater *u, const struct wv_update_seen *s)
{
	struct wv_update_seen *old = find_seen(u, s);

	if (old) {
		*old = *s;
		return;
	}
	if (!u->seen)
		u->seen = calloc(SEEN_MAX, sizeof(*u->seen));
	if (!u->seen)
		return;
	if (u->n_seen == SEEN_MAX) {
		memmove(u->seen, u->seen + SEEN_MAX / 2, SEEN_MAX / 2 * sizeof(*u->seen));
		u->n_seen = SEEN_MAX / 2;
	}
	u->seen[u->n_seen++] = *s;
}

/* A plain file that is no link; a pipe would hold us up. */
static int open_plain(int folder, const char *name, struct wv_update_seen *ret)
{
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), r;
	struct stat st;

	if (fd < 0)
		return -errno;
	r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret = (struct wv_update_seen){.dev = st.st_dev,
				       .ino = st.st_ino,
				       .size = st.st_size,
				       .mtime = st.st_mtim,
				       .ctime = st.st_ctim};
	return fd;
}

static int read_plain(int folder, const char *name, size_t max, char **ret, size_t *ret_len)
{
	struct wv_update_seen seen = {.dev = 0};
	_cleanup_close_ int fd = open_plain(folder, name, &seen);
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	if (seen.size < 0 || (size_t)seen.size > max)
		return -EFBIG;
	text = malloc((size_t)seen.size + 1);
	if (!text)
		return -ENOMEM;
	while (len < (size_t)seen.size &&
	       (n = pread(fd, text + len, (size_t)seen.size - len, (off_t)len)) != 0) {
		if (n < 0)
			return -errno;
		len += (size_t)n;
	}
	text[len] = '\0';
	*ret = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

static void take_roots(struct wv_updater *u, struct wv_trust *trust, int folder)
{
	struct wv_manifest_error error = {.text = ""};
	int r = 0;

	while (r == 0) {
		_cleanup_free_ char *text = NULL;
		char name[48];
		size_t len = 0;

		snprintf(name, sizeof(name), "root.%llu.json",
			 (unsigned long long)wv_trust_root(trust)->version + 1);
		if (read_plain(folder, name, WV_ROOT_MAX, &text, &len) < 0)
			return;
		r = wv_trust_update(trust, text, len, &error);
	}
	snprintf(u->state.error, sizeof(u->state.error), "a root in the folder: %.200s",
		 error.text);
	(void)wv_log_warn(0, "update", "%s", u->state.error);
}

static void take_index(struct wv_updater *u, struct wv_trust *trust, int folder)
{
	struct wv_manifest_error error = {.text = ""};
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = read_plain(folder, "index.json", WV_BUNDLE_INDEX_MAX, &text, &len);

	if (r < 0)
		return;
	r = wv_trust_take_index(trust, text, len, u->config->update_channel,
				u->io->wall_ns(u->io->ctx) / 1000000000ULL, &error);
	if (r < 0 && r != -ESTALE) { /* an older one lies there for long */
		snprintf(u->state.error, sizeof(u->state.error), "index.json in the folder: %.200s",
			 error.text);
		(void)wv_log_warn(0, "update", "%s", u->state.error);
	}
}

static int take_trust(struct wv_updater *u, int folder)
{
	struct wv_trust *trust;
	int r = wv_trust_open(&trust, u->io, u->paths);

	if (r < 0) {
		snprintf(u->state.error, sizeof(u->state.error), "%s",
			 r == -ENOENT ? "no root is pinned here (bundle root pin)" : strerror(-r));
		return r;
	}
	take_roots(u, trust, folder);
	take_index(u, trust, folder);
	u->root_version = wv_trust_root(trust)->version;
	wv_trust_close(trust);
	return 0;
}

static void take_bundle(struct wv_updater *u, int folder, const char *name)
{
	struct wv_update_seen seen = {.dev = 0};
	_cleanup_close_ int fd = open_plain(folder, name, &seen);
	const struct wv_update_seen *old = fd < 0 ? NULL : find_seen(u, &seen);
	int r;

	if (fd < 0 || (old && is_settled(u, old)))
		return;
	r = wv_updater_deliver(u, fd, "folder", NULL);
	if (r == -EKEYREJECTED || r == -EKEYEXPIRED || r == -EBADMSG || r == -ESTALE) {
		seen.root_version = u->root_version;
		seen.refused_ns = u->io->mono_ns(u->io->ctx);
	}
	if (r == 0 || seen.root_version)
		add_seen(u, &seen);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_bundle(const struct dirent *e)
{
	size_t len = strlen(e->d_name);

	/* what is written under another name first comes by its last one */
	return e->d_name[0] != '.' && len > strlen(SUFFIX) &&
	       strcmp(e->d_name + len - strlen(SUFFIX), SUFFIX) == 0;
}

int wv_updater_folder(struct wv_updater *u)
{
	_cleanup_close_ int folder =
		open(u->config->update_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent **names;
	int n, r;

	if (folder < 0)
		return -errno;
	r = take_trust(u, folder);
	if (r < 0)
		return r;
	n = scandirat(folder, ".", &names, is_bundle, by_name);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		take_bundle(u, folder, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return wv_update_state_save(&u->state, u->io, u->dir);
}
