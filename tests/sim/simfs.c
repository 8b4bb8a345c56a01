// SPDX-License-Identifier: GPL-2.0-only
#include "tests/sim/simfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Far from real descriptors: a real call on one of ours fails, and the scenario with it. */
#define FD_BASE (1 << 20)
#define LINKS_MAX 16

enum needs { NEEDS_NOTHING, NEEDS_WRITING, NEEDS_ROOM };

/* Any call of a broken disk fails, of a read-only one what changes, of a full one what needs room.
 */
static int fault(struct wv_sim *s, enum needs needs)
{
	const struct wv_sim_fault *f = &s->fault;

	if (f->error == -ENOSPC && needs != NEEDS_ROOM)
		return 0;
	if (f->error == -EROFS && needs == NEEDS_NOTHING)
		return 0;
	s->calls++;
	if (!f->at || s->calls < f->at || s->calls - f->at >= f->count)
		return 0;
	s->failed++;
	return f->error;
}

struct wv_sim_op *wv_sim_record(struct wv_sim *s, enum wv_sim_op_kind kind)
{
	static struct wv_sim_op nowhere;

	if (!s->tracing) {
		nowhere = (struct wv_sim_op){0};
		return &nowhere;
	}
	if (s->n_ops == s->room_ops) {
		s->room_ops = s->room_ops * 2 + 64;
		s->ops = reallocarray(s->ops, s->room_ops, sizeof(*s->ops));
		if (!s->ops)
			abort();
	}
	s->ops[s->n_ops] = (struct wv_sim_op){.kind = kind};
	return &s->ops[s->n_ops++];
}

static struct wv_sim_fd *get_fd(struct wv_sim *s, int fd)
{
	int i = fd - FD_BASE;

	return i >= 0 && i < WV_SIM_FDS && s->fds[i].used ? &s->fds[i] : NULL;
}

static uint32_t parent_of(const struct wv_sim *s, uint32_t ino)
{
	for (uint32_t i = 0; i < s->now.n; i++)
		for (size_t k = 0; s->now.nodes[i] && k < s->now.nodes[i]->n_entries; k++)
			if (s->now.nodes[i]->entries[k].ino == ino)
				return i;
	return 0;
}

struct place {
	uint32_t dir;	  /* WV_SIM_NONE: the path ends in a folder that it does not name */
	const char *name; /* in dir */
	uint32_t ino;	  /* WV_SIM_NONE: there is none */
};

static int walk(struct wv_sim *s, uint32_t cur, const char *path, bool follow, int links,
		struct place *ret)
{
	if (*path == '/')
		cur = 0;
	*ret = (struct place){.dir = WV_SIM_NONE, .ino = cur};
	for (;;) {
		const char *end;
		const struct wv_sim_node *node;
		size_t len;

		path += strspn(path, "/");
		if (!*path)
			return 0;
		len = strcspn(path, "/");
		end = path + len + strspn(path + len, "/");
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		if (ret->ino == WV_SIM_NONE)
			return -ENOENT;
		cur = ret->ino;
		if (s->now.nodes[cur]->kind != WV_SIM_DIR)
			return -ENOTDIR;
		if (len == 1 && *path == '.') {
			*ret = (struct place){.dir = WV_SIM_NONE, .ino = cur};
		} else if (len == 2 && path[0] == '.' && path[1] == '.') {
			*ret = (struct place){.dir = WV_SIM_NONE, .ino = parent_of(s, cur)};
		} else {
			*ret = (struct place){.dir = cur, .name = wv_sim_name(path, len)};
			ret->ino = wv_sim_image_get(&s->now, cur, ret->name);
		}
		path = end;
		node = ret->ino == WV_SIM_NONE ? NULL : s->now.nodes[ret->ino];
		if (node && node->kind == WV_SIM_LINK && (*path || follow)) {
			char text[PATH_MAX];
			int r;

			if (links == LINKS_MAX)
				return -ELOOP;
			snprintf(text, sizeof(text), "%.*s", (int)node->len,
				 (const char *)node->bytes);
			r = walk(s, cur, text, true, links + 1, ret);
			if (r < 0)
				return r;
		}
	}
}

static int find(struct wv_sim *s, int dirfd, const char *path, bool follow, struct place *ret)
{
	uint32_t start = 0;

	if (*path != '/' && dirfd != AT_FDCWD) {
		const struct wv_sim_fd *d = get_fd(s, dirfd);

		if (!d)
			return -EBADF;
		if (s->now.nodes[d->ino]->kind != WV_SIM_DIR)
			return -ENOTDIR;
		start = d->ino;
	}
	return *path ? walk(s, start, path, follow, 0, ret) : -ENOENT;
}

static uint32_t make_node(struct wv_sim *s, enum wv_sim_kind kind, const char *text)
{
	struct wv_sim_node *node = wv_sim_node_new(kind);
	uint32_t ino = s->now.n;

	if (text) {
		node->len = strlen(text);
		wv_sim_node_reserve(node, node->len + 1);
		memcpy(node->bytes, text, node->len + 1);
	}
	wv_sim_image_put(&s->now, ino, node);
	if (s->tracing)
		wv_sim_image_put(&s->born, ino, wv_sim_node_ref(node));
	return ino;
}

static void change(struct wv_sim *s, struct wv_sim_op *op, uint32_t dir, const char *name,
		   uint32_t ino)
{
	op->change[op->n_changes++] = (struct wv_sim_change){.dir = dir, .name = name, .ino = ino};
	wv_sim_image_set(&s->now, dir, name, ino);
}

static void truncate_to(struct wv_sim *s, uint32_t ino, uint64_t len)
{
	struct wv_sim_node *node;
	struct wv_sim_op *op;

	if (s->now.nodes[ino]->len == len)
		return;
	op = wv_sim_record(s, WV_SIM_TRUNCATE);
	node = wv_sim_image_edit(&s->now, ino);
	op->ino = ino;
	op->before = node->len;
	op->size = len;
	wv_sim_node_reserve(node, len);
	if (len > node->len)
		memset(node->bytes + node->len, 0, len - node->len);
	node->len = len;
}

static int sim_open(void *ctx, int dirfd, const char *path, int flags, mode_t mode)
{
	struct wv_sim *s = ctx;
	bool makes = flags & O_CREAT, writes = (flags & O_ACCMODE) != O_RDONLY;
	struct place at;
	int r, fd = 0;

	(void)mode;
	r = find(s, dirfd, path, !(flags & O_NOFOLLOW) && !(makes && (flags & O_EXCL)), &at);
	r = r
		    ?: fault(s, makes && at.ino == WV_SIM_NONE ? NEEDS_ROOM
				: writes		       ? NEEDS_WRITING
							       : NEEDS_NOTHING);
	if (r < 0)
		return r;
	while (fd < WV_SIM_FDS && s->fds[fd].used)
		fd++;
	if (fd == WV_SIM_FDS)
		return -EMFILE;
	if (at.ino == WV_SIM_NONE) {
		if (!makes)
			return -ENOENT;
		at.ino = make_node(s, WV_SIM_FILE, NULL);
		change(s, wv_sim_record(s, WV_SIM_ENTRY), at.dir, at.name, at.ino);
	} else {
		enum wv_sim_kind kind = s->now.nodes[at.ino]->kind;

		if (makes && (flags & O_EXCL))
			return -EEXIST;
		if (kind == WV_SIM_LINK)
			return -ELOOP;
		if ((flags & O_DIRECTORY) && kind != WV_SIM_DIR)
			return -ENOTDIR;
		if (writes && kind == WV_SIM_DIR)
			return -EISDIR;
		if ((flags & O_TRUNC) && writes)
			truncate_to(s, at.ino, 0);
	}
	s->fds[fd] = (struct wv_sim_fd){.used = true,
					.append = flags & O_APPEND,
					.access = flags & O_ACCMODE,
					.ino = at.ino};
	return FD_BASE + fd;
}

static ssize_t sim_write(void *ctx, int fd, const void *buf, size_t len)
{
	struct wv_sim *s = ctx;
	struct wv_sim_fd *f = get_fd(s, fd);
	struct wv_sim_node *node;
	struct wv_sim_op *op;
	uint64_t end;
	int r;

	if (!f || f->access == O_RDONLY)
		return -EBADF;
	r = fault(s, NEEDS_ROOM);
	if (r == 0 && s->capacity && wv_sim_image_bytes(&s->now) + len > s->capacity)
		r = -ENOSPC;
	if (r == -ENOSPC && len > 1 && (s->calls & 1)) {
		len /= 2; /* what still fitted */
		r = 0;
	}
	if (r < 0)
		return r;
	if (!len)
		return 0;
	node = wv_sim_image_edit(&s->now, f->ino);
	op = wv_sim_record(s, WV_SIM_WRITE);
	op->ino = f->ino;
	op->off = f->append ? node->len : f->pos;
	op->before = node->len;
	end = op->off + len;
	wv_sim_node_reserve(node, end);
	if (op->off > node->len)
		memset(node->bytes + node->len, 0, op->off - node->len);
	memcpy(node->bytes + op->off, buf, len);
	node->len = end > node->len ? end : node->len;
	op->size = node->len;
	op->len = len;
	if (s->tracing) {
		op->bytes = malloc(len);
		if (!op->bytes)
			abort();
		memcpy(op->bytes, buf, len);
	}
	f->pos = end;
	return (ssize_t)len;
}

static ssize_t sim_pread(void *ctx, int fd, void *buf, size_t len, off_t off)
{
	struct wv_sim *s = ctx;
	const struct wv_sim_fd *f = get_fd(s, fd);
	const struct wv_sim_node *node;
	int r;

	if (!f || f->access == O_WRONLY)
		return -EBADF;
	r = fault(s, NEEDS_NOTHING);
	if (r < 0)
		return r;
	node = s->now.nodes[f->ino];
	if (node->kind == WV_SIM_DIR)
		return -EISDIR;
	if (off < 0)
		return -EINVAL;
	if ((uint64_t)off >= node->len)
		return 0;
	if (len > node->len - (uint64_t)off)
		len = node->len - (uint64_t)off;
	memcpy(buf, node->bytes + off, len);
	return (ssize_t)len;
}

static int sim_fsync(void *ctx, int fd)
{
	struct wv_sim *s = ctx;
	const struct wv_sim_fd *f = get_fd(s, fd);
	struct wv_sim_op *op;
	int r;

	if (!f)
		return -EBADF;
	r = fault(s, NEEDS_NOTHING);
	op = wv_sim_record(s, WV_SIM_SYNC);
	op->ino = f->ino;
	op->failed = r < 0;
	return r;
}

static int sim_ftruncate(void *ctx, int fd, off_t len)
{
	struct wv_sim *s = ctx;
	const struct wv_sim_fd *f = get_fd(s, fd);
	int r;

	if (!f || f->access == O_RDONLY || len < 0)
		return f ? -EINVAL : -EBADF;
	r = fault(s, NEEDS_WRITING);
	if (r == 0 && !s->no_truncate)
		truncate_to(s, f->ino, (uint64_t)len);
	return r;
}

static int sim_close(void *ctx, int fd)
{
	struct wv_sim_fd *f = get_fd(ctx, fd);

	if (!f)
		return -EBADF;
	f->used = false;
	return 0;
}

/* Whether `ino` is `dir` or above it. */
static bool is_above(const struct wv_sim *s, uint32_t ino, uint32_t dir)
{
	while (dir != ino && dir != 0)
		dir = parent_of(s, dir);
	return dir == ino;
}

static int sim_rename(void *ctx, int dirfd, const char *from, const char *to)
{
	struct wv_sim *s = ctx;
	const struct wv_sim_node *old, *new;
	struct place a, b;
	struct wv_sim_op *op;
	int r = find(s, dirfd, from, false, &a);

	r = r ?: find(s, dirfd, to, false, &b);
	r = r ?: fault(s, NEEDS_ROOM);
	if (r < 0)
		return r;
	if (a.ino == WV_SIM_NONE)
		return -ENOENT;
	if (a.dir == WV_SIM_NONE || b.dir == WV_SIM_NONE)
		return -EBUSY;
	new = s->now.nodes[a.ino];
	old = b.ino == WV_SIM_NONE ? NULL : s->now.nodes[b.ino];
	if (new->kind == WV_SIM_DIR && is_above(s, a.ino, b.dir))
		return -EINVAL;
	if (a.ino == b.ino)
		return 0;
	if (old && old->kind == WV_SIM_DIR && new->kind != WV_SIM_DIR)
		return -EISDIR;
	if (old && old->kind != WV_SIM_DIR && new->kind == WV_SIM_DIR)
		return -ENOTDIR;
	if (old && old->n_entries)
		return -ENOTEMPTY;
	op = wv_sim_record(s, WV_SIM_ENTRY);
	change(s, op, a.dir, a.name, WV_SIM_NONE);
	change(s, op, b.dir, b.name, a.ino);
	return 0;
}

static int remove_name(struct wv_sim *s, int dirfd, const char *path, bool folder)
{
	struct place at;
	int r = find(s, dirfd, path, false, &at);

	r = r ?: fault(s, NEEDS_WRITING);
	if (r < 0)
		return r;
	if (at.ino == WV_SIM_NONE)
		return -ENOENT;
	if (at.dir == WV_SIM_NONE)
		return -EINVAL;
	if (folder && s->now.nodes[at.ino]->kind != WV_SIM_DIR)
		return -ENOTDIR;
	if (!folder && s->now.nodes[at.ino]->kind == WV_SIM_DIR)
		return -EISDIR;
	if (folder && s->now.nodes[at.ino]->n_entries)
		return -ENOTEMPTY;
	change(s, wv_sim_record(s, WV_SIM_ENTRY), at.dir, at.name, WV_SIM_NONE);
	return 0;
}

static int sim_unlink(void *ctx, int dirfd, const char *path)
{
	return remove_name(ctx, dirfd, path, false);
}

static int sim_rmdir(void *ctx, int dirfd, const char *path)
{
	return remove_name(ctx, dirfd, path, true);
}

static int add_name(struct wv_sim *s, int dirfd, const char *path, enum wv_sim_kind kind,
		    const char *text)
{
	struct place at;
	int r = find(s, dirfd, path, false, &at);

	r = r ?: at.ino != WV_SIM_NONE ? -EEXIST : fault(s, NEEDS_ROOM);
	if (r == 0)
		change(s, wv_sim_record(s, WV_SIM_ENTRY), at.dir, at.name,
		       make_node(s, kind, text));
	return r;
}

static int sim_mkdir(void *ctx, int dirfd, const char *path, mode_t mode)
{
	(void)mode;
	return add_name(ctx, dirfd, path, WV_SIM_DIR, NULL);
}

static int sim_symlink(void *ctx, const char *target, int dirfd, const char *path)
{
	return add_name(ctx, dirfd, path, WV_SIM_LINK, target);
}

static ssize_t sim_readlink(void *ctx, int dirfd, const char *path, char *buf, size_t size)
{
	struct wv_sim *s = ctx;
	const struct wv_sim_node *node;
	struct place at;
	int r = find(s, dirfd, path, false, &at);

	r = r ?: fault(s, NEEDS_NOTHING);
	if (r < 0)
		return r;
	if (at.ino == WV_SIM_NONE)
		return -ENOENT;
	node = s->now.nodes[at.ino];
	if (node->kind != WV_SIM_LINK)
		return -EINVAL;
	if (size > node->len)
		size = node->len;
	memcpy(buf, node->bytes, size);
	return (ssize_t)size;
}

static int sim_size(void *ctx, int fd, uint64_t *ret)
{
	struct wv_sim *s = ctx;
	const struct wv_sim_fd *f = get_fd(s, fd);

	if (!f)
		return -EBADF;
	*ret = s->now.nodes[f->ino]->len;
	return 0;
}

static int sim_list(void *ctx, int dirfd, int (*each)(void *userdata, const char *name),
		    void *userdata)
{
	struct wv_sim *s = ctx;
	const struct wv_sim_fd *f = get_fd(s, dirfd);
	struct wv_sim_node *node;
	int r = f ? fault(s, NEEDS_NOTHING) : -EBADF;

	if (r < 0)
		return r;
	node = s->now.nodes[f->ino];
	if (node->kind != WV_SIM_DIR)
		return -ENOTDIR;
	wv_sim_node_ref(node); /* a callback that changes the folder gets a copy of it */
	/* "in no order": not in that of the names */
	for (size_t i = node->n_entries; r == 0 && i-- > 0;)
		r = each(userdata, node->entries[i].name);
	wv_sim_node_unref(node);
	return r;
}

/* One program runs at a time: whoever would wait would wait for ever. */
static int sim_lock(void *ctx, int fd, bool wait)
{
	struct wv_sim *s = ctx;
	struct wv_sim_fd *f = get_fd(s, fd);

	if (!f)
		return -EBADF;
	for (int i = 0; i < WV_SIM_FDS; i++)
		if (s->fds[i].used && s->fds[i].locked && s->fds[i].ino == f->ino &&
		    &s->fds[i] != f)
			return wait ? -EDEADLK : -EWOULDBLOCK;
	f->locked = true;
	return 0;
}

static int sim_unlock(void *ctx, int fd)
{
	struct wv_sim_fd *f = get_fd(ctx, fd);

	if (!f)
		return -EBADF;
	f->locked = false;
	return 0;
}

static int sim_free_bytes(void *ctx, int dirfd, uint64_t *ret)
{
	struct wv_sim *s = ctx;
	uint64_t used = wv_sim_image_bytes(&s->now);

	if (!get_fd(s, dirfd))
		return -EBADF;
	*ret = !s->capacity ? 1ULL << 40 : used < s->capacity ? s->capacity - used : 0;
	return 0;
}

/* Time goes on with each look at it. */
static uint64_t sim_mono_ns(void *ctx)
{
	return ((struct wv_sim *)ctx)->mono_ns += 1000;
}

static uint64_t sim_wall_ns(void *ctx)
{
	struct wv_sim *s = ctx;

	if (s->fault.jump_at && ++s->clock_reads == s->fault.jump_at)
		s->wall_ns += (uint64_t)s->fault.jump_ns;
	return s->wall_ns += 1000;
}

static int sim_random(void *ctx, void *buf, size_t len)
{
	struct wv_sim *s = ctx;

	for (size_t i = 0; i < len; i++)
		((unsigned char *)buf)[i] = (unsigned char)wv_sim_next(&s->random);
	return 0;
}

const struct wv_io wv_sim_io = {
	.open = sim_open,
	.write = sim_write,
	.pread = sim_pread,
	.fsync = sim_fsync,
	.ftruncate = sim_ftruncate,
	.close = sim_close,
	.rename = sim_rename,
	.unlink = sim_unlink,
	.mkdir = sim_mkdir,
	.rmdir = sim_rmdir,
	.symlink = sim_symlink,
	.readlink = sim_readlink,
	.size = sim_size,
	.list = sim_list,
	.lock = sim_lock,
	.unlock = sim_unlock,
	.free_bytes = sim_free_bytes,
	.mono_ns = sim_mono_ns,
	.wall_ns = sim_wall_ns,
	.random = sim_random,
};
