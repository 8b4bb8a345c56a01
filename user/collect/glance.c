// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/glance.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/collect/files.h"
#include "user/collect/task.h"
#include "user/core/cgroup_index.h"
#include "user/core/cleanup.h"

/* Longer than any of the files that are read here (/proc/PID/cgroup of a deep tree). */
#define TEXT_SIZE 8192

struct task {
	uint32_t tid;
	uint64_t start_ticks; /* tells a reused id */
	uint64_t ran_ns, waited_ns;
	/* of the process, in its leader's entry */
	uint64_t minor_faults, major_faults, read_bytes, write_bytes;
};

struct wv_glance_tasks {
	struct task *list;
	size_t n, cap;
};

struct look {
	struct wv_glance *g;
	struct wv_sample *s;
	struct wv_glance_tasks *tasks; /* the first look keeps them, NULL in the second */
	char text[TEXT_SIZE];
};

/* Rows ---------------------------------------------------------------------------------------- */

/* FNV-1a of the path; the hierarchy is told by one bit. Never 0. */
static uint64_t key_of(const char *path, int version)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 0x100000001b3ULL;
	h &= ~WV_KEY_V1;
	return (h ?: 1) | (version == 1 ? WV_KEY_V1 : 0);
}

static void write_path(struct wv_row *row, const char *path)
{
	size_t len = strlen(path);

	if (len >= sizeof(row->path)) {
		path += len - sizeof(row->path) + 1;
		row->flags |= WV_ROW_CUT;
	}
	snprintf(row->path, sizeof(row->path), "%s", path);
	row->path_len = (uint16_t)strlen(row->path);
}

/* The slot of a path, made with those of its parents where it is new. path is cut and restored. */
static uint32_t slot_of(struct look *l, char *path, int version)
{
	struct wv_glance *g = l->g;
	uint64_t key = key_of(path, version);
	int found = wv_index_find(g->index, key);
	uint32_t slot, parent = WV_SLOT_OTHER;
	struct wv_row *row;
	char *cut = strrchr(path, '/');

	if (found < 0) {
		if (cut && strcmp(path, "/") != 0) {
			char end = cut == path ? cut[1] : cut[0];
			char *at = cut == path ? cut + 1 : cut;

			*at = '\0';
			parent = slot_of(l, path, version);
			*at = end;
		}
		slot = g->now.used_rows;
		if (slot >= g->now.max_rows || wv_index_put(g->index, key, slot) < 0)
			return WV_SLOT_OTHER;
		row = &g->now.rows[slot];
		*row = (struct wv_row){.key = key,
				       .flags = WV_ROW_LIVE,
				       .parent_slot = parent,
				       .parent_key = g->now.rows[parent].key,
				       .level = (uint16_t)(g->now.rows[parent].level + 1U),
				       .created_mono_ns = g->before.mono_ns};
		write_path(row, path);
		g->now.used_rows++;
		return slot;
	}
	return (uint32_t)found;
}

/* Files --------------------------------------------------------------------------------------- */

static int read_at(struct look *l, int dirfd, const char *name, size_t *ret_len)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : read(fd, l->text, sizeof(l->text) - 1);

	if (n < 0)
		return -errno;
	l->text[n] = '\0';
	*ret_len = (size_t)n;
	return 0;
}

static int read_cgroup_file(struct look *l, const struct wv_row *row, enum wv_controller c,
			    const char *v2, const char *v1, size_t *ret_len)
{
	char path[1024];
	int r = wv_host_cgroup_file(l->g->host, row->key, row->path, c, v2, v1, path, sizeof(path));

	return r < 0 ? r : read_at(l, AT_FDCWD, path, ret_len);
}

static void read_pressure(struct look *l, uint32_t slot, enum wv_controller c, const char *file,
			  enum wv_signal some)
{
	struct wv_files_psi psi;
	size_t len;

	if (read_cgroup_file(l, &l->s->rows[slot], c, file, NULL, &len) == 0 &&
	    wv_files_parse_psi(l->text, len, &psi) == 0)
		wv_sample_set(l->s, slot, some, psi.some_us);
}

static void read_row(struct look *l, uint32_t slot)
{
	const struct wv_row *row = &l->s->rows[slot];
	struct wv_files_throttle throttle;
	uint64_t v;
	size_t len;

	if (!(row->flags & WV_ROW_LIVE) || (row->flags & WV_ROW_CUT) || slot == WV_SLOT_OTHER ||
	    strcmp(row->path, "/") == 0)
		return;
	if (read_cgroup_file(l, row, WV_CTRL_CPU, "cpu.stat", "cpu.stat", &len) == 0 &&
	    wv_files_parse_cpu_stat(l->text, len, &throttle) == 0)
		wv_sample_set(l->s, slot, WV_SIG_CPU_THROTTLED, throttle.throttled_ns);
	read_pressure(l, slot, WV_CTRL_MEMORY, "memory.pressure", WV_SIG_PSI_MEM_SOME);
	read_pressure(l, slot, WV_CTRL_IO, "io.pressure", WV_SIG_PSI_IO_SOME);
	if (read_cgroup_file(l, row, WV_CTRL_MEMORY, "memory.current", "memory.usage_in_bytes",
			     &len) == 0 &&
	    wv_files_parse_number(l->text, len, &v) == 0)
		wv_sample_set(l->s, slot, WV_SIG_MEM_USAGE, v);
	/* "none" is max on v2 and a very large number on v1 */
	if (read_cgroup_file(l, row, WV_CTRL_MEMORY, "memory.max", "memory.limit_in_bytes", &len) ==
		    0 &&
	    wv_files_parse_number(l->text, len, &v) == 0 && v < 1ULL << 62)
		wv_sample_set(l->s, slot, WV_SIG_MEM_LIMIT, v);
}

/* Tasks --------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct task *x = a, *y = b;

	if (x->tid != y->tid)
		return x->tid < y->tid ? -1 : 1;
	return (x->start_ticks > y->start_ticks) - (x->start_ticks < y->start_ticks);
}

static void keep(struct wv_glance_tasks *tasks, const struct task *t)
{
	if (tasks->n == tasks->cap) {
		size_t cap = tasks->cap ? 2 * tasks->cap : 512;
		struct task *list;

		if (tasks->cap >= WV_GLANCE_TASKS)
			return;
		list = reallocarray(tasks->list, cap, sizeof(*list));
		if (!list)
			return;
		tasks->list = list;
		tasks->cap = cap;
	}
	tasks->list[tasks->n++] = *t;
}

static uint64_t since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

/* In the second look: what it did between the two, on the row of its cgroup. */
static void count(struct look *l, uint32_t slot, const struct task *t)
{
	const struct wv_glance_tasks *first = l->g->tasks;
	const struct task *old =
		first->n ? bsearch(t, first->list, first->n, sizeof(*t), compare) : NULL;
	static const struct task none;
	uint64_t *v = l->s->rows[slot].f.v;

	if (!old) {
		/* not followed, for there were too many: its past is not of this time */
		if (first->n >= WV_GLANCE_TASKS)
			return;
		old = &none;
	}
	v[WV_SIG_CPU_USAGE] += since(t->ran_ns, old->ran_ns);
	v[WV_SIG_CPU_RUN_DELAY] += since(t->waited_ns, old->waited_ns);
	v[WV_SIG_MEM_MINOR_FAULTS] += since(t->minor_faults, old->minor_faults);
	v[WV_SIG_MEM_MAJOR_FAULTS] += since(t->major_faults, old->major_faults);
	v[WV_SIG_IO_READ_BYTES] += since(t->read_bytes, old->read_bytes);
	v[WV_SIG_IO_WRITE_BYTES] += since(t->write_bytes, old->write_bytes);
}

static void take(struct look *l, uint32_t slot, const struct task *t)
{
	l->s->rows[slot].f.v[WV_SIG_TASK_THREADS]++;
	if (l->tasks)
		keep(l->tasks, t);
	else
		count(l, slot, t);
}

static bool read_schedstat(struct look *l, int dirfd, struct task *t)
{
	unsigned long long ran, waited;
	size_t len;

	if (read_at(l, dirfd, "schedstat", &len) < 0 ||
	    sscanf(l->text, "%llu %llu", &ran, &waited) != 2)
		return false;
	t->ran_ns = ran;
	t->waited_ns = waited;
	return true;
}

static bool read_stat(struct look *l, int dirfd, struct task *t, uint32_t *ret_threads)
{
	unsigned long long minor = 0, major = 0;
	struct wv_task_stat s;
	const char *end;
	size_t len;

	if (read_at(l, dirfd, "stat", &len) < 0 || wv_task_stat_parse(l->text, &s) < 0 ||
	    s.state == 'Z' || s.state == 'X')
		return false;
	end = strrchr(l->text, ')');
	/* after the name: state, six numbers, flags, then the faults (proc_pid_stat(5)) */
	(void)sscanf(end + 1, " %*c %*s %*s %*s %*s %*s %*s %llu %*s %llu", &minor, &major);
	*t = (struct task){.tid = s.pid,
			   .start_ticks = s.start_ticks,
			   .minor_faults = minor,
			   .major_faults = major};
	*ret_threads = s.threads;
	return true;
}

/* Only readable with the right to trace the process; without it nothing is said of its bytes. */
static void read_io(struct look *l, int dirfd, struct task *t)
{
	unsigned long long v;
	const char *at;
	size_t len;

	if (read_at(l, dirfd, "io", &len) < 0)
		return;
	at = strstr(l->text, "\nread_bytes: ");
	if (at && sscanf(at, "\nread_bytes: %llu", &v) == 1)
		t->read_bytes = v;
	at = strstr(l->text, "\nwrite_bytes: ");
	if (at && sscanf(at, "\nwrite_bytes: %llu", &v) == 1)
		t->write_bytes = v;
}

static void read_threads(struct look *l, int process, uint32_t leader, uint32_t slot)
{
	int fd = openat(process, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (fd >= 0 && !d)
		close(fd);
	while (d && (e = readdir(d))) {
		_cleanup_close_ int task = -1;
		uint32_t threads;
		struct task t;

		if (e->d_name[0] < '0' || e->d_name[0] > '9' || (uint32_t)atol(e->d_name) == leader)
			continue;
		task = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (task < 0 || !read_stat(l, task, &t, &threads) || !read_schedstat(l, task, &t))
			continue;
		/* the leader's entry has those of all threads */
		t.minor_faults = t.major_faults = 0;
		take(l, slot, &t);
	}
}

static uint32_t process_slot(struct look *l, int process)
{
	const struct wv_host *host = l->g->host;
	const char *controller =
		host->v1_ssid >= 0 ? wv_controller_names[host->v1_attribution] : NULL;
	const char *path;
	size_t len;
	int version;

	if (read_at(l, process, "cgroup", &len) < 0)
		return WV_SLOT_OTHER;
	version = wv_task_cgroup_parse(l->text, controller, &path);
	return version < 0 ? WV_SLOT_OTHER : slot_of(l, l->text + (path - l->text), version);
}

static void read_process(struct look *l, int proc, const char *name)
{
	_cleanup_close_ int process = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned long long pages;
	uint32_t threads, slot;
	struct task t;
	size_t len;

	if (process < 0 || !read_stat(l, process, &t, &threads) || !read_schedstat(l, process, &t))
		return; /* it ended meanwhile */
	read_io(l, process, &t);
	slot = process_slot(l, process);
	if (read_at(l, process, "statm", &len) == 0 && sscanf(l->text, "%*u %llu", &pages) == 1)
		l->s->rows[slot].f.v[WV_SIG_MEM_RSS] += pages * (uint64_t)getpagesize();
	take(l, slot, &t);
	if (threads > 1)
		read_threads(l, process, t.tid, slot);
}

/* Rows are made in `now`; the first look's have the same slots. */
static void copy_rows(const struct wv_sample *from, struct wv_sample *to)
{
	for (uint32_t s = to->used_rows; s < from->used_rows; s++) {
		struct wv_figures f = to->rows[s].f;

		to->rows[s] = from->rows[s];
		to->rows[s].f = f;
	}
	to->used_rows = from->used_rows;
}

static int look_around(struct look *l)
{
	_cleanup_closedir_ DIR *d = opendir(l->g->proc);
	struct dirent *e;

	if (!d)
		return -errno;
	while ((e = readdir(d)))
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9')
			read_process(l, dirfd(d), e->d_name);
	if (l->s == &l->g->before)
		copy_rows(&l->g->now, &l->g->before);
	for (uint32_t s = 0; s < l->s->used_rows; s++)
		read_row(l, s);
	return 0;
}

/* ---------------------------------------------------------------------------------------------- */

static void begin_row_other(struct wv_sample *s)
{
	s->rows[WV_SLOT_OTHER] = (struct wv_row){.flags = WV_ROW_LIVE};
	snprintf(s->rows[WV_SLOT_OTHER].path, sizeof(s->rows[WV_SLOT_OTHER].path), "other");
	s->used_rows = 1;
}

int wv_glance_begin(struct wv_glance *g, const struct wv_io *io, const struct wv_host *host,
		    const char *proc)
{
	_cleanup_free_ struct look *l = calloc(1, sizeof(*l));
	int r;

	*g = (struct wv_glance){.io = io, .host = host, .proc = proc};
	g->tasks = calloc(1, sizeof(*g->tasks));
	g->index = calloc(1, sizeof(*g->index));
	if (!l || !g->tasks || !g->index)
		return -ENOMEM;
	r = wv_sample_init(&g->before, WV_GLANCE_ROWS);
	if (r == 0)
		r = wv_sample_init(&g->now, WV_GLANCE_ROWS);
	if (r == 0)
		r = wv_index_init(g->index, WV_GLANCE_ROWS);
	if (r < 0)
		return r;
	begin_row_other(&g->before);
	begin_row_other(&g->now);
	g->before.mono_ns = io->mono_ns(io->ctx);
	*l = (struct look){.g = g, .s = &g->before, .tasks = g->tasks};
	r = look_around(l);
	if (r == 0 && g->tasks->n)
		qsort(g->tasks->list, g->tasks->n, sizeof(*g->tasks->list), compare);
	return r;
}

int wv_glance_end(struct wv_glance *g)
{
	_cleanup_free_ struct look *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	g->now.mono_ns = g->io->mono_ns(g->io->ctx);
	*l = (struct look){.g = g, .s = &g->now};
	return look_around(l);
}

void wv_glance_done(struct wv_glance *g)
{
	wv_sample_done(&g->before);
	wv_sample_done(&g->now);
	if (g->tasks)
		free(g->tasks->list);
	free(TAKE_PTR(g->tasks));
	if (g->index)
		wv_index_done(g->index);
	free(TAKE_PTR(g->index));
}
