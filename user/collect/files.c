// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module `files`: figures that the kernel gives in files only. Pressure (PSI), throttling, and the
 * memory that a cgroup is charged for, on cgroup v2 and v1; the machine's own in the root row.
 *
 * A cgroup whose tasks ran is read every tick, others once per collect.files_interval, each at its
 * own time. One round over the rows may use a fixed share of the tick: what is left over comes
 * first the next time, so a node with thousands of busy cgroups gets older figures instead of a
 * busier agent. Opening a file costs several times what reading it does, so those of busy cgroups
 * stay open.
 */
#include "user/collect/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/module.h"

/* Share of a tick that one round may use, in CPU time: 1/50, that is 2 % of one CPU. */
#define BUDGET_SHARE 50
/* Cgroups whose files stay open, and descriptors left to everyone else. */
#define MAX_OPEN_SETS 56
#define OTHER_FDS 400
/* No file that is read here is longer on any kernel known (memory.stat of 7.x: 2.2 KB). */
#define TEXT_MAX 8192
#define NO_SET UINT8_MAX
/* Limits at or above this mean none (v1 writes LONG_MAX rounded down to a page). */
#define NO_LIMIT (1ULL << 62)

/* What a file's text is stored into. */
struct target {
	struct wv_sample *sample;
	uint32_t slot;
	int hierarchy; /* 2 or 1 */
};

struct cgroup_file {
	enum wv_controller controller;
	const char *v2, *v1; /* NULL: the hierarchy has none */
	void (*store)(const struct target *t, const char *text, size_t len);
};

enum machine_file { PSI_CPU, PSI_MEMORY, PSI_IO, MEMINFO, MACHINE_N };
static const char *const machine_paths[MACHINE_N] = {"/proc/pressure/cpu", "/proc/pressure/memory",
						     "/proc/pressure/io", "/proc/meminfo"};

static void store_cpu_stat(const struct target *t, const char *text, size_t len)
{
	struct wv_files_throttle f;

	if (wv_files_parse_cpu_stat(text, len, &f) < 0)
		return;
	wv_sample_set(t->sample, t->slot, WV_SIG_CPU_PERIODS, f.periods);
	wv_sample_set(t->sample, t->slot, WV_SIG_CPU_THROTTLED_PERIODS, f.throttled_periods);
	wv_sample_set(t->sample, t->slot, WV_SIG_CPU_THROTTLED, f.throttled_ns);
}

static void store_psi(const struct target *t, const char *text, size_t len, enum wv_signal some,
		      enum wv_signal full)
{
	struct wv_files_psi psi;

	if (wv_files_parse_psi(text, len, &psi) < 0)
		return;
	wv_sample_set(t->sample, t->slot, some, psi.some_us);
	if (psi.has_full)
		wv_sample_set(t->sample, t->slot, full, psi.full_us);
}

static void store_psi_cpu(const struct target *t, const char *text, size_t len)
{
	store_psi(t, text, len, WV_SIG_PSI_CPU_SOME, WV_SIG_PSI_CPU_FULL);
}

static void store_psi_memory(const struct target *t, const char *text, size_t len)
{
	store_psi(t, text, len, WV_SIG_PSI_MEM_SOME, WV_SIG_PSI_MEM_FULL);
}

static void store_psi_io(const struct target *t, const char *text, size_t len)
{
	store_psi(t, text, len, WV_SIG_PSI_IO_SOME, WV_SIG_PSI_IO_FULL);
}

static void store_usage(const struct target *t, const char *text, size_t len)
{
	uint64_t v;

	if (wv_files_parse_number(text, len, &v) == 0)
		wv_sample_set(t->sample, t->slot, WV_SIG_MEM_USAGE, v);
}

static void store_limit(const struct target *t, const char *text, size_t len)
{
	uint64_t v;

	if (wv_files_parse_number(text, len, &v) == 0)
		wv_sample_set(t->sample, t->slot, WV_SIG_MEM_LIMIT, v >= NO_LIMIT ? 0 : v);
}

static void store_memory(const struct target *t, const struct wv_files_memory *m)
{
	if (m->known & WV_FILES_ANON)
		wv_sample_set(t->sample, t->slot, WV_SIG_MEM_ANON, m->anon);
	if (m->known & WV_FILES_FILE)
		wv_sample_set(t->sample, t->slot, WV_SIG_MEM_FILE, m->file);
	if (m->known & WV_FILES_KERNEL)
		wv_sample_set(t->sample, t->slot, WV_SIG_MEM_KERNEL, m->kernel);
	if (m->known & WV_FILES_SLAB)
		wv_sample_set(t->sample, t->slot, WV_SIG_MEM_SLAB, m->slab);
}

static void store_memory_stat(const struct target *t, const char *text, size_t len)
{
	struct wv_files_memory m;

	wv_files_parse_memory_stat(text, len, t->hierarchy, &m);
	store_memory(t, &m);
}

static void store_kernel_usage(const struct target *t, const char *text, size_t len)
{
	uint64_t v;

	if (wv_files_parse_number(text, len, &v) == 0)
		wv_sample_set(t->sample, t->slot, WV_SIG_MEM_KERNEL, v);
}

static void store_oom_kills(const struct target *t, const char *text, size_t len)
{
	static const char *const keys[] = {"oom_kill"};
	uint64_t v;

	if (wv_files_parse_keyed(text, len, keys, 1, &v))
		wv_sample_set(t->sample, t->slot, WV_SIG_MEM_OOM_KILLS, v);
}

static const struct cgroup_file cgroup_files[] = {
	{WV_CTRL_CPU, "cpu.stat", "cpu.stat", store_cpu_stat},
	{WV_CTRL_CPU, "cpu.pressure", NULL, store_psi_cpu},
	{WV_CTRL_MEMORY, "memory.pressure", NULL, store_psi_memory},
	{WV_CTRL_IO, "io.pressure", NULL, store_psi_io},
	{WV_CTRL_MEMORY, "memory.current", "memory.usage_in_bytes", store_usage},
	{WV_CTRL_MEMORY, "memory.max", "memory.limit_in_bytes", store_limit},
	{WV_CTRL_MEMORY, "memory.stat", "memory.stat", store_memory_stat},
	{WV_CTRL_MEMORY, NULL, "memory.kmem.usage_in_bytes", store_kernel_usage},
	/* only where no hook counts them */
	{WV_CTRL_MEMORY, "memory.events.local", "memory.oom_control", store_oom_kills},
};
#define FILES_N ARRAY_SIZE(cgroup_files)
#define OOM_FILE (FILES_N - 1)

/* Open files of one cgroup. */
struct open_set {
	uint32_t slot; /* WV_SLOT_OTHER: free */
	int fds[FILES_N];
};

struct slot_state {
	uint64_t read_at_ns; /* 0: never */
	uint16_t absent;     /* files that were not there at the last full look, 1 << index */
	uint8_t set;	     /* index of its open_set, or NO_SET */
	bool seen;
};
_Static_assert(FILES_N <= 16, "bits of absent");

static struct {
	struct slot_state *slots; /* [max_rows] */
	uint32_t n_slots, cursor;
	unsigned n_sets;
	struct open_set sets[MAX_OPEN_SETS];
	int machine_fds[MACHINE_N];
	uint32_t wanted; /* files that are worth trying on this machine, 1 << index */
	bool behind;	 /* the last round ran out of time: said once */
	char text[TEXT_MAX];
} files;

static void set_release(struct slot_state *state)
{
	struct open_set *set;

	if (state->set == NO_SET)
		return;
	set = &files.sets[state->set];
	for (size_t i = 0; i < FILES_N; i++)
		wv_closep(&set->fds[i]);
	set->slot = WV_SLOT_OTHER;
	state->set = NO_SET;
}

static void set_take(struct slot_state *state, uint32_t slot)
{
	for (unsigned i = 0; state->set == NO_SET && i < files.n_sets; i++) {
		struct open_set *set = &files.sets[i];

		if (set->slot != WV_SLOT_OTHER)
			continue;
		set->slot = slot;
		for (size_t f = 0; f < FILES_N; f++)
			set->fds[f] = -1;
		state->set = (uint8_t)i;
	}
}

static int open_file(const struct wv_host *host, const struct wv_row *row,
		     const struct cgroup_file *f)
{
	char path[1024];
	int fd, r;

	r = wv_host_cgroup_file(host, row->key, row->path, f->controller, f->v2, f->v1, path,
				sizeof(path));
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/* Reads one file of a row; -errno where it cannot be. A kept descriptor that fails is given up. */
static ssize_t read_file(const struct wv_host *host, const struct wv_row *row,
			 struct slot_state *state, size_t index)
{
	struct open_set *set = state->set == NO_SET ? NULL : &files.sets[state->set];
	_cleanup_close_ int transient = -1;
	int fd = set ? set->fds[index] : -1;
	ssize_t n;

	if (fd < 0) {
		fd = open_file(host, row, &cgroup_files[index]);
		if (fd < 0)
			return fd;
		if (set)
			set->fds[index] = fd;
		else
			transient = fd;
	}
	n = pread(fd, files.text, sizeof(files.text), 0);
	if (n >= 0)
		return n;
	n = -errno;
	if (set) {
		close(fd);
		set->fds[index] = -1;
	}
	return n;
}

static void read_row(struct wv_agent *agent, uint32_t slot, struct wv_row *row, bool retry_absent)
{
	struct target t = {&agent->sample, slot, row->key & WV_KEY_V1 ? 1 : 2};
	struct slot_state *state = &files.slots[slot];

	if (retry_absent)
		state->absent = 0;
	for (size_t i = 0; i < FILES_N; i++) {
		ssize_t n;

		if (!(files.wanted & 1U << i) || (state->absent & 1U << i))
			continue;
		n = read_file(agent->host, row, state, i);
		if (n >= 0)
			cgroup_files[i].store(&t, files.text, (size_t)n);
		else if (n == -ENODEV) /* removed since the last tick */
			return;
		else
			state->absent |= (uint16_t)(1U << i);
	}
}

/* When a row's next idle read falls due; the first one is early by a share of its own, so that rows
 * which were found together are not read together ever after. */
static uint64_t idle_stamp(uint32_t slot, const struct slot_state *state, uint64_t now,
			   uint64_t interval)
{
	uint64_t share;

	if (state->seen)
		return now;
	share = (uint32_t)(slot * 2654435761U) >> 22; /* 0 to 1023, well mixed */
	share = interval / 1024 * share;
	return now > share ? now - share : 1;
}

/* Reads a row if it is due; whether it was. */
static bool visit(struct wv_agent *agent, uint32_t slot, uint64_t now)
{
	struct wv_row *row = wv_sample_row(&agent->sample, slot);
	struct slot_state *state = &files.slots[slot];
	uint64_t interval = agent->config->collect_files_interval;
	bool active, due;

	/* a cut path names no folder; a removed cgroup has no files */
	if (!row || !row->key || (row->flags & (WV_ROW_GONE | WV_ROW_CUT)) ||
	    strcmp(row->path, "/") == 0)
		return false;
	active = row->flags & WV_ROW_ACTIVE;
	due = !state->seen || now - state->read_at_ns >= interval;
	if (!active && !due)
		return false;
	if (active)
		set_take(state, slot);
	else
		set_release(state);
	read_row(agent, slot, row, due);
	if (due) {
		state->read_at_ns = idle_stamp(slot, state, now, interval);
		state->seen = true;
	}
	return true;
}

static void read_machine(struct wv_agent *agent, enum machine_file which, const struct target *t)
{
	struct wv_files_memory m;
	uint64_t used, total;
	ssize_t n;

	if (files.machine_fds[which] < 0)
		return;
	n = pread(files.machine_fds[which], files.text, sizeof(files.text), 0);
	if (n < 0)
		return;
	switch (which) {
	case PSI_CPU:
		store_psi_cpu(t, files.text, (size_t)n);
		break;
	case PSI_MEMORY:
		store_psi_memory(t, files.text, (size_t)n);
		break;
	case PSI_IO:
		store_psi_io(t, files.text, (size_t)n);
		break;
	default:
		if (wv_files_parse_meminfo(files.text, (size_t)n, &m, &used, &total) < 0)
			return;
		store_memory(t, &m);
		wv_sample_set(&agent->sample, t->slot, WV_SIG_MEM_USAGE, used);
		wv_sample_set(&agent->sample, t->slot, WV_SIG_MEM_LIMIT, total);
	}
}

/* The machine's figures, in every row that is the root of a hierarchy. */
static void sense_roots(struct wv_agent *agent)
{
	wv_sample_for_each (&agent->sample, slot, row) {
		struct target t = {&agent->sample, slot, 2};

		if (!row->key || strcmp(row->path, "/") != 0)
			continue;
		for (int i = 0; i < MACHINE_N; i++)
			read_machine(agent, (enum machine_file)i, &t);
	}
}

static uint64_t own_cpu_ns(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static int sense(struct wv_agent *agent)
{
	uint64_t now = agent->io->mono_ns(agent->io->ctx), cpu = own_cpu_ns();
	uint64_t end = cpu + agent->config->agent_tick / BUDGET_SHARE;
	uint32_t used = agent->sample.used_rows, seen;
	bool behind;

	if (!files.slots)
		return 0;
	sense_roots(agent);
	for (seen = 0; seen < used && cpu < end; seen++) {
		if (files.cursor >= used)
			files.cursor = 0;
		if (visit(agent, files.cursor++, now))
			cpu = own_cpu_ns();
	}
	behind = seen < used;
	if (behind && !files.behind)
		wv_log_info("files", "%u cgroups: reading takes over 1/%d of a tick, so in turns",
			    used, BUDGET_SHARE);
	files.behind |= behind;
	return 0;
}

/* Files that can be there: v2 roots without a controller and kernels without PSI have none of its
 * kind. */
static uint32_t wanted_files(const struct wv_host *host, bool oom_hook)
{
	uint32_t wanted = 0;

	for (size_t i = 0; i < FILES_N; i++) {
		const struct cgroup_file *f = &cgroup_files[i];
		bool v2 = f->v2 && host->cgroup2[0];
		bool v1 = f->v1 && host->v1[f->controller][0];

		if (v2 && strstr(f->v2, ".pressure"))
			v2 = host->psi;
		else if (v2)
			v2 = host->v2_controller[f->controller];
		if ((v2 || v1) && (i != OOM_FILE || !oom_hook))
			wanted |= 1U << i;
	}
	return wanted;
}

static bool oom_hook_loaded(const struct wv_bpf *bpf)
{
	return bpf && (wv_bpf_prog_fd(bpf, "mem_oom_mark") >= 0 ||
		       wv_bpf_prog_fd(bpf, "mem_oom_exit") >= 0);
}

static int start(struct wv_agent *agent)
{
	struct rlimit limit = {0};
	uint64_t spare;

	files.slots = calloc(agent->sample.max_rows, sizeof(*files.slots));
	if (!files.slots)
		return -ENOMEM;
	files.n_slots = agent->sample.max_rows;
	for (uint32_t i = 0; i < files.n_slots; i++)
		files.slots[i].set = NO_SET;
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	spare = limit.rlim_cur > OTHER_FDS ? (limit.rlim_cur - OTHER_FDS) / FILES_N : 0;
	files.n_sets = spare < MAX_OPEN_SETS ? (unsigned)spare : MAX_OPEN_SETS;
	for (int i = 0; i < MACHINE_N; i++)
		files.machine_fds[i] = open(machine_paths[i], O_RDONLY | O_CLOEXEC | O_NOCTTY);
	files.wanted = wanted_files(agent->host, oom_hook_loaded(agent->bpf));
	return 0;
}

static void slot_gone(struct wv_agent *agent _unused_, uint32_t slot)
{
	if (!files.slots || slot >= files.n_slots)
		return;
	set_release(&files.slots[slot]);
	files.slots[slot] = (struct slot_state){.set = NO_SET};
}

static void stop(struct wv_agent *agent _unused_)
{
	for (uint32_t i = 0; files.slots && i < files.n_slots; i++)
		set_release(&files.slots[i]);
	for (int i = 0; files.slots && i < MACHINE_N; i++)
		wv_closep(&files.machine_fds[i]);
	free(TAKE_PTR(files.slots));
	memset(&files, 0, sizeof(files));
}

/* doctor ---------------------------------------------------------------- */

static int probe_psi(const struct wv_host *host, struct wv_capabilities *caps)
{
	if (!host->psi)
		return wv_capability_add(caps, "files", "pressure (PSI)", WV_CAP_MISSING, "",
					 "the kernel has no PSI, or it was booted with psi=0");
	if (host->v1_ssid >= 0)
		return wv_capability_add(caps, "files", "pressure (PSI)", WV_CAP_FALLBACK,
					 "v2 *.pressure, /proc/pressure",
					 "cgroups that are in v1 only have no pressure files; the "
					 "root row has the machine's");
	return wv_capability_add(caps, "files", "pressure (PSI)", WV_CAP_OK,
				 "v2 *.pressure, /proc/pressure", "");
}

static int probe_throttling(const struct wv_host *host, struct wv_capabilities *caps)
{
	if (host->v2_controller[WV_CTRL_CPU])
		return wv_capability_add(caps, "files", "CPU throttling", WV_CAP_OK, "v2 cpu.stat",
					 "");
	if (host->v1[WV_CTRL_CPU][0])
		return wv_capability_add(caps, "files", "CPU throttling", WV_CAP_OK, "v1 cpu.stat",
					 "");
	return wv_capability_add(caps, "files", "CPU throttling", WV_CAP_MISSING, "",
				 "no hierarchy has the cpu controller");
}

static int probe_memory(const struct wv_host *host, struct wv_capabilities *caps)
{
	if (host->v2_controller[WV_CTRL_MEMORY])
		return wv_capability_add(caps, "files", "memory charged, by type", WV_CAP_OK,
					 "v2 memory.*", "");
	if (host->v1[WV_CTRL_MEMORY][0])
		return wv_capability_add(caps, "files", "memory charged, by type", WV_CAP_FALLBACK,
					 "v1 memory.*",
					 "cgroup v1 does not tell slab from other kernel memory");
	return wv_capability_add(
		caps, "files", "memory charged, by type", WV_CAP_MISSING, "",
		"no hierarchy has the memory controller; the root row has the machine's");
}

static int probe(const struct wv_host *host, const struct wv_bpf *bpf _unused_,
		 struct wv_capabilities *caps)
{
	int r = probe_psi(host, caps);

	if (r == 0)
		r = probe_throttling(host, caps);
	return r < 0 ? r : probe_memory(host, caps);
}

const struct wv_module wv_module_files = {
	.name = "files",
	.summary = "pressure (PSI), CPU throttling, memory charged by type, from cgroup files",
	.probe = probe,
	.start = start,
	.sense = sense,
	.slot_gone = slot_gone,
	.stop = stop,
};
