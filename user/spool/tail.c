// SPDX-License-Identifier: GPL-2.0-only
/*
 * A followed file: by name, over rotation (the old one is read to its end first) and truncation.
 * The cursor says device, inode and offset of what is durable, so that a restart goes on there,
 * also in a file that was renamed meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/spool/crc32c.h"
#include "user/spool/intake.h"

#define LOOK_US 200000
/* Who renamed a file may still write to it for a moment. */
#define GRACE_NS 1000000000ULL
#define SAVE_NS 1000000000ULL
#define READS_AT_ONCE 64
#define HEAD_BYTES 256

struct wv_tail {
	char dir[256], name[256], cursor_name[WV_SPOOL_NAME + 8];
	int fd;
	uint64_t id[2]; /* device, inode of fd */
	uint64_t offset;
	uint64_t rotated_ns; /* since when the name is another file's, 0: it is ours */
	struct wv_follow durable;
	bool known; /* there is a cursor */
	bool dirty;
	uint64_t saved_ns;
	sd_event_source *timer;
};

static int open_at(struct wv_input *in, const char *name, uint64_t ret_id[2])
{
	struct wv_tail *t = in->tail;
	char path[600];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	ret_id[0] = st.st_dev;
	ret_id[1] = st.st_ino;
	return fd;
}

static uint64_t head_crc(int fd, uint64_t len)
{
	char buf[HEAD_BYTES];
	ssize_t n = pread(fd, buf, len < sizeof(buf) ? len : sizeof(buf), 0);

	return wv_crc32c(0, buf, n > 0 ? (size_t)n : 0);
}

/* Whether fd is the file of the cursor, and not a new one that got its inode. */
static bool is_known(const struct wv_tail *t, int fd, const uint64_t id[2])
{
	struct stat st;

	return t->known && id[0] == t->durable.device && id[1] == t->durable.inode &&
	       fstat(fd, &st) == 0 && (uint64_t)st.st_size >= t->durable.offset &&
	       head_crc(fd, t->durable.head_len) == t->durable.head_crc;
}

static void begin(struct wv_input *in, int fd, const uint64_t id[2], uint64_t offset)
{
	struct wv_tail *t = in->tail;

	wv_closep(&t->fd);
	t->fd = fd;
	memcpy(t->id, id, sizeof(t->id));
	t->offset = offset;
	t->rotated_ns = 0;
}

struct search {
	struct wv_input *in;
	int fd;
	uint64_t id[2];
};

/* app.log.1, app.log-20260131: what the file may be called now */
static int on_sibling(void *userdata, const char *name)
{
	struct search *s = userdata;
	const struct wv_tail *t = s->in->tail;
	size_t len = strlen(t->name);
	int fd;

	if (strncmp(name, t->name, len) != 0 || !name[len])
		return 0;
	fd = open_at(s->in, name, s->id);
	if (fd < 0)
		return 0;
	if (is_known(t, fd, s->id)) {
		s->fd = fd;
		return 1;
	}
	close(fd);
	return 0;
}

/* After a start: where the cursor says, else at the beginning. */
static void find(struct wv_input *in)
{
	struct wv_tail *t = in->tail;
	struct search s = {.in = in, .fd = -1};
	uint64_t id[2];
	int fd = open_at(in, t->name, id), dir;

	if (fd >= 0 && is_known(t, fd, id)) {
		begin(in, fd, id, t->durable.offset);
		return;
	}
	dir = t->known ? open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (dir >= 0) {
		(void)wv_io_system.list(wv_io_system.ctx, dir, on_sibling, &s);
		close(dir);
	}
	if (s.fd >= 0) {
		if (fd >= 0)
			close(fd);
		begin(in, s.fd, s.id, t->durable.offset);
	} else if (fd >= 0) {
		begin(in, fd, id, 0);
	}
}

static bool submit(struct wv_input *in, struct wv_chunk *c)
{
	if (wv_chunk_submit(in->spool, c))
		return true;
	in->held = c;
	in->paused = true;
	return false;
}

/* One read. False: no more for now. last: a line without an end is one. */
static bool read_some(struct wv_input *in, bool last)
{
	struct wv_tail *t = in->tail;
	struct wv_chunk *c;
	const uint8_t *newline;
	size_t whole;
	ssize_t n;

	if (wv_spool_is_busy(in->spool)) {
		in->paused = true;
		return false;
	}
	c = wv_chunk_new(in->spool, in->index);
	if (!c)
		return false;
	n = pread(t->fd, c->records, WV_CHUNK_BYTES, (off_t)t->offset);
	newline = n > 0 ? memrchr(c->records, '\n', (size_t)n) : NULL;
	whole = newline ? (size_t)(newline - c->records) + 1 : 0;
	if (n > 0 && !whole && (last || n == WV_CHUNK_BYTES)) {
		in->spool->in[in->index].cut += !last;
		whole = (size_t)n;
		c->records[whole] = '\n';
	}
	if (!whole) {
		wv_chunk_recycle(in->spool, c);
		return false;
	}
	t->offset += whole;
	c->used = whole + (c->records[whole - 1] != '\n');
	c->frame.count = wv_count_lines(c->records, c->used);
	c->mark = t->offset;
	memcpy(c->file, t->id, sizeof(c->file));
	return submit(in, c);
}

/* All was read: is it still the file of that name, and has it not shrunk? */
static void look(struct wv_input *in)
{
	struct wv_tail *t = in->tail;
	uint64_t now = wv_io_system.mono_ns(wv_io_system.ctx), id[2];
	struct stat st;
	int fd;

	if (fstat(t->fd, &st) == 0 && (uint64_t)st.st_size < t->offset) {
		wv_log_info("spool", "input %s: %s was truncated; from its beginning",
			    in->config->name, in->config->path);
		t->offset = 0;
		return;
	}
	fd = open_at(in, t->name, id);
	if (fd < 0)
		return;
	if (id[0] == t->id[0] && id[1] == t->id[1]) {
		t->rotated_ns = 0;
	} else if (!t->rotated_ns) {
		t->rotated_ns = now;
	} else if (now - t->rotated_ns >= GRACE_NS) {
		(void)read_some(in, true);
		if (!in->held) {
			begin(in, fd, id, 0);
			return;
		}
	}
	close(fd);
}

static void follow(struct wv_input *in)
{
	struct wv_tail *t = in->tail;
	bool more = true;

	if (t->fd < 0)
		find(in);
	if (t->fd < 0)
		return;
	for (int i = 0; more && !in->held && !in->paused && i < READS_AT_ONCE; i++)
		more = read_some(in, false);
	if (more && !in->paused) /* at once again */
		(void)sd_event_source_set_time_relative(t->timer, 0);
	else if (!more && !in->held && !in->paused)
		look(in);
}

static int on_timer(sd_event_source *source, uint64_t usec _unused_, void *userdata)
{
	struct wv_input *in = userdata;

	(void)sd_event_source_set_time_relative(source, LOOK_US);
	(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	if (!in->held && !in->paused)
		follow(in);
	return 0;
}

int wv_tail_open(struct wv_input *in)
{
	const char *slash = strrchr(in->config->path, '/');
	struct wv_tail *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	in->tail = t;
	t->fd = -1;
	snprintf(t->dir, sizeof(t->dir), "%.*s", (int)(slash - in->config->path), in->config->path);
	if (!*t->dir)
		snprintf(t->dir, sizeof(t->dir), "/");
	snprintf(t->name, sizeof(t->name), "%s", slash + 1);
	snprintf(t->cursor_name, sizeof(t->cursor_name), "follow-%s", in->config->name);
	r = wv_follow_load(&t->durable, in->spool->io, in->spool->dir, t->cursor_name);
	t->known = r == 0;
	if (r == -EBADMSG)
		(void)wv_log_full(LOG_WARNING, 0, "spool",
				  "input %s: its cursor is damaged; the file is read from its "
				  "beginning",
				  in->config->name);
	return r < 0 && r != -EBADMSG && r != -ENOENT
		       ? wv_log_errno(r, "spool", "input %s: its cursor", in->config->name)
		       : 0;
}

int wv_tail_start(struct wv_input *in, sd_event *loop)
{
	return sd_event_add_time_relative(loop, &in->tail->timer, CLOCK_MONOTONIC, 0, 1000,
					  on_timer, in);
}

void wv_tail_done(struct wv_input *in, const struct wv_chunk *c)
{
	struct wv_tail *t = in->tail;

	if (c->unwritten)
		return;
	if (c->file[1] != t->durable.inode || c->file[0] != t->durable.device)
		t->durable = (struct wv_follow){.device = c->file[0], .inode = c->file[1]};
	t->durable.offset = c->mark;
	t->dirty = t->known = true;
}

static void save(struct wv_input *in)
{
	struct wv_tail *t = in->tail;
	int r;

	if (!t->dirty)
		return;
	if (t->fd >= 0 && t->id[1] == t->durable.inode) {
		t->durable.head_len =
			t->durable.offset < HEAD_BYTES ? t->durable.offset : HEAD_BYTES;
		t->durable.head_crc = head_crc(t->fd, t->durable.head_len);
	}
	r = wv_follow_save(&t->durable, in->spool->io, in->spool->dir, t->cursor_name);
	if (r < 0)
		(void)wv_log_errno(r, "spool", "input %s: save its cursor", in->config->name);
	t->dirty = r < 0;
	t->saved_ns = wv_io_system.mono_ns(wv_io_system.ctx);
}

void wv_tail_go_on(struct wv_input *in)
{
	struct wv_chunk *held = TAKE_PTR(in->held);

	if (wv_io_system.mono_ns(wv_io_system.ctx) - in->tail->saved_ns >= SAVE_NS)
		save(in);
	if ((held && !submit(in, held)) || wv_spool_is_busy(in->spool))
		return;
	if (in->paused) {
		in->paused = false;
		follow(in);
	}
}

void wv_tail_stop(struct wv_input *in)
{
	/* what is held stays in the file */
	wv_chunk_recycle(in->spool, TAKE_PTR(in->held));
	(void)sd_event_source_set_enabled(in->tail->timer, SD_EVENT_OFF);
}

void wv_tail_close(struct wv_input *in)
{
	struct wv_tail *t = in->tail;

	if (!t)
		return;
	save(in);
	sd_event_source_disable_unref(t->timer);
	wv_closep(&t->fd);
	free(t);
	in->tail = NULL;
}
