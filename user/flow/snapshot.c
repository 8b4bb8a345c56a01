// SPDX-License-Identifier: GPL-2.0-only
#include "user/flow/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "user/core/cleanup.h"

/* Longest wait for a consistent copy; core holds the lock for about a millisecond. */
#define READ_TIMEOUT_NS 2000000000ULL

const char *const wv_worker_names[WV_WORKER_N] = {
#define WV_WORKER(ID, name, ...) #name,
#include "waveos/workers.def"
};

/* Any change of a published struct changes this. */
static uint32_t layout_id(void)
{
	uint32_t id = 1;

	id = id * 31 + sizeof(struct wv_snapshot);
	id = id * 31 + sizeof(struct wv_row);
	id = id * 31 + sizeof(struct wv_facet_row);
	id = id * 31 + WV_WORKER_N;
	id = id * 31 + WV_SIG_N;
	id = id * 31 + WV_HIST_N;
	for (int i = 0; i < WV_SIG_N; i++)
		for (const char *p = wv_signals[i].name; *p; p++)
			id = id * 31 + (unsigned char)*p;
	return id;
}

static size_t bytes_for(uint32_t max_rows)
{
	return sizeof(struct wv_snapshot) +
	       max_rows * (sizeof(struct wv_row) + sizeof(struct wv_figures)) +
	       WV_FACET_ROWS * sizeof(struct wv_facet_row);
}

static int map_file(struct wv_snapshot_map *m, int fd, uint32_t max_rows, int prot)
{
	char *p;

	m->bytes = bytes_for(max_rows);
	p = mmap(NULL, m->bytes, prot, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	m->head = (struct wv_snapshot *)p;
	m->rows = (struct wv_row *)(p + sizeof(struct wv_snapshot));
	m->base = (struct wv_figures *)(m->rows + max_rows);
	m->facets = (struct wv_facet_row *)(m->base + max_rows);
	m->fd = -1;
	return 0;
}

static bool adoptable(int fd, uint32_t max_rows, const char *boot_id)
{
	struct wv_snapshot head;
	struct stat st;

	return fstat(fd, &st) == 0 && (size_t)st.st_size == bytes_for(max_rows) &&
	       pread(fd, &head, sizeof(head), 0) == sizeof(head) &&
	       head.magic == WV_SNAPSHOT_MAGIC && head.layout == layout_id() &&
	       head.max_rows == max_rows &&
	       strncmp(head.boot_id, boot_id, sizeof(head.boot_id)) == 0;
}

int wv_snapshot_create(struct wv_snapshot_map *m, int dirfd, uint32_t max_rows, const char *boot_id,
		       bool *ret_adopted)
{
	_cleanup_close_ int fd = openat(dirfd, WV_SNAPSHOT_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	bool adopted = fd >= 0 && adoptable(fd, max_rows, boot_id);
	int r;

	if (!adopted) {
		wv_closep(&fd);
		/* a new file, so that readers of the old one keep a whole one */
		(void)unlinkat(dirfd, WV_SNAPSHOT_FILE ".new", 0);
		fd = openat(dirfd, WV_SNAPSHOT_FILE ".new", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
			    0640);
		if (fd < 0)
			return -errno;
		if (ftruncate(fd, (off_t)bytes_for(max_rows)) < 0)
			return -errno;
	}
	r = map_file(m, fd, max_rows, PROT_READ | PROT_WRITE);
	if (r < 0)
		return r;
	if (!adopted) {
		m->head->magic = WV_SNAPSHOT_MAGIC;
		m->head->layout = layout_id();
		m->head->max_rows = max_rows;
		memcpy(m->head->boot_id, boot_id, strnlen(boot_id, sizeof(m->head->boot_id) - 1));
		if (renameat(dirfd, WV_SNAPSHOT_FILE ".new", dirfd, WV_SNAPSHOT_FILE) < 0) {
			r = -errno;
			wv_snapshot_close(m);
			return r;
		}
	}
	m->fd = TAKE_FD(fd);
	*ret_adopted = adopted;
	return 0;
}

void wv_snapshot_begin(struct wv_snapshot_map *m)
{
	uint64_t seq = atomic_load_explicit(&m->head->seq, memory_order_relaxed);

	/* a core that died while writing left it odd */
	atomic_store_explicit(&m->head->seq, (seq | 1), memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

/* Writes to a part of the file, which is named by where it is mapped. */
static int put(const struct wv_snapshot_map *m, const void *part, const void *from, size_t bytes)
{
	off_t at = (const char *)part - (const char *)m->head;
	const char *p = from;

	while (bytes) {
		ssize_t n = pwrite(m->fd, p, bytes, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		at += n;
		bytes -= (size_t)n;
	}
	return 0;
}

int wv_snapshot_rows(struct wv_snapshot_map *m, const struct wv_sample *s)
{
	/* those that are not live among them, whose flags say so, cost less than to leave them out
	 */
	int r = put(m, m->rows, s->rows, s->used_rows * sizeof(*m->rows));

	for (uint32_t i = 0; r == 0 && i < s->used_rows; i++)
		if (s->rows[i].flags & WV_ROW_BASE)
			r = put(m, &m->base[i], &s->base[i], sizeof(*m->base));
	if (r == 0)
		r = put(m, m->facets, s->facets, s->n_facets * sizeof(*m->facets));
	m->head->used_rows = s->used_rows;
	m->head->n_facets = s->n_facets;
	m->head->mono_ns = s->mono_ns;
	m->head->wall_ns = s->wall_ns;
	m->head->tick = s->seq;
	return r;
}

void wv_snapshot_end(struct wv_snapshot_map *m)
{
	atomic_fetch_add_explicit(&m->head->seq, 1, memory_order_release);
}

void wv_snapshot_restore(const struct wv_snapshot_map *m, struct wv_sample *s)
{
	s->used_rows = m->head->used_rows <= s->max_rows ? m->head->used_rows : 0;
	for (uint32_t i = 0; i < s->used_rows; i++) {
		if (!(m->rows[i].flags & WV_ROW_LIVE))
			continue;
		s->rows[i] = m->rows[i];
		if (m->rows[i].flags & WV_ROW_BASE)
			s->base[i] = m->base[i];
	}
	s->seq = m->head->tick;
	(void)madvise(m->head, m->bytes, MADV_DONTNEED); /* the file's pages: read once */
}

int wv_snapshot_open(struct wv_snapshot_map *m, int dirfd)
{
	_cleanup_close_ int fd = openat(dirfd, WV_SNAPSHOT_FILE, O_RDONLY | O_CLOEXEC);
	struct wv_snapshot head;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) || head.magic != WV_SNAPSHOT_MAGIC ||
	    head.layout != layout_id() || head.max_rows > WV_MAX_SLOTS || fstat(fd, &st) < 0 ||
	    (size_t)st.st_size != bytes_for(head.max_rows))
		return -EPROTO;
	return map_file(m, fd, head.max_rows, PROT_READ);
}

static void copy_rows(const struct wv_snapshot_map *m, struct wv_sample *s,
		      const struct wv_snapshot *head)
{
	s->used_rows = head->used_rows < s->max_rows ? head->used_rows : s->max_rows;
	for (uint32_t i = 0; i < s->used_rows; i++) {
		if (m->rows[i].flags & WV_ROW_LIVE)
			s->rows[i] = m->rows[i];
		else if (s->rows[i].flags)
			s->rows[i].flags = 0;
		/* readers that show rates take what dead children left off again */
		if (s->rows[i].flags & WV_ROW_BASE)
			s->base[i] = m->base[i];
	}
	s->n_facets = head->n_facets < WV_FACET_ROWS ? head->n_facets : WV_FACET_ROWS;
	memcpy(s->facets, m->facets, s->n_facets * sizeof(*m->facets));
	s->mono_ns = head->mono_ns;
	s->wall_ns = head->wall_ns;
	s->seq = head->tick;
}

static uint64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

int wv_snapshot_read(const struct wv_snapshot_map *m, struct wv_sample *s,
		     struct wv_snapshot *ret_head)
{
	static const struct timespec pause = {.tv_nsec = 200000};
	uint64_t deadline = mono_ns() + READ_TIMEOUT_NS;

	for (;;) {
		uint64_t seq = atomic_load_explicit(&m->head->seq, memory_order_acquire);

		if (!(seq & 1)) {
			memcpy(ret_head, m->head, sizeof(*ret_head));
			copy_rows(m, s, ret_head);
			atomic_thread_fence(memory_order_acquire);
			if (atomic_load_explicit(&m->head->seq, memory_order_relaxed) == seq)
				return 0;
		}
		if (mono_ns() > deadline)
			return -EAGAIN;
		(void)nanosleep(&pause, NULL);
	}
}

void wv_snapshot_close(struct wv_snapshot_map *m)
{
	if (m->head) {
		munmap(m->head, m->bytes);
		wv_closep(&m->fd);
	}
	*m = (struct wv_snapshot_map){0};
}
