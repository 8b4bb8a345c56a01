// SPDX-License-Identifier: GPL-2.0-only
/*
 * User half of bpf/mem.bpf.c: direct reclaim, OOM kills, and sizes of processes.
 *
 * Sizes come from a walk over all processes inside the kernel (iter/task), or, where iterators are
 * refused, from /proc. A walk may use a fixed share of the time: on a machine with very many tasks
 * the next one waits, and the figures are as old as that.
 */
#include "waveos/mem.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "skel/mem.btf.skel.h"
#include "skel/mem.raw.skel.h"
#include "user/collect/mem_proc.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/module.h"

/* A walk that took t of CPU time is followed by a pause of this many t: at most 2 % of one CPU. */
#define WALK_PAUSE 50
/* Walks between two removals of ended processes from mem_seen. */
#define SWEEP_EVERY 32
#define SWEEP_BATCH 256
/* The kernel hands a walk of more than a million tasks out in parts. */
#define WALK_PARTS 64

#define HIST_WORD (offsetof(struct wv_mem_row, reclaim_latency) / sizeof(__u64))

static struct {
	int link_fd; /* of mem_iter; -1: not there */
	uint64_t next_ns;
	uint64_t shown; /* number of the walk that the sample shows */
	bool complained;
} mem = {.link_fd = -1};

struct store {
	struct wv_sample *sample;
	uint64_t walk; /* sizes of this walk are stored; 0: none */
	bool oom;
};

static void store_row(void *ctx, uint32_t slot, const uint64_t *words)
{
	const struct wv_mem_row *row = (const struct wv_mem_row *)words;
	const struct store *st = ctx;
	bool fresh = st->walk && row->walk == st->walk;

	wv_sample_set(st->sample, slot, WV_SIG_MEM_RECLAIMS, row->reclaims);
	wv_sample_set(st->sample, slot, WV_SIG_MEM_RECLAIM, row->reclaim_ns);
	wv_sample_set_hist(st->sample, slot, WV_HIST_RECLAIM_LATENCY, words + HIST_WORD,
			   row->reclaim_ns);
	if (st->oom)
		wv_sample_set(st->sample, slot, WV_SIG_MEM_OOM_KILLS, row->oom_kills);
	if (!st->walk)
		return;
	wv_sample_set(st->sample, slot, WV_SIG_MEM_RSS, fresh ? row->rss_bytes : 0);
	wv_sample_set(st->sample, slot, WV_SIG_MEM_HEAP_BRK, fresh ? row->brk_bytes : 0);
	wv_sample_set(st->sample, slot, WV_SIG_MEM_HEAP_DATA, fresh ? row->data_bytes : 0);
	wv_sample_set(st->sample, slot, WV_SIG_MEM_HEAP_GROWTH, row->growth_bytes);
}

/* Removes what the last whole walk did not see from mem_seen. */
static void sweep_seen(const struct wv_bpf *bpf, uint64_t walk)
{
	static uint32_t keys[SWEEP_BATCH];
	static struct wv_mem_seen values[SWEEP_BATCH];
	int fd = wv_bpf_map_fd(bpf, "mem_seen"), r = 0;
	uint32_t at = 0, count;
	bool first = true;

	while (fd >= 0 && r == 0) {
		count = SWEEP_BATCH;
		r = bpf_map_lookup_batch(fd, first ? NULL : &at, &at, keys, values, &count, NULL);
		if (r < 0 && errno != ENOENT) /* ENOENT: the last batch */
			return;
		for (uint32_t i = 0; i < count; i++)
			if (values[i].walk < walk)
				(void)bpf_map_delete_elem(fd, &keys[i]);
		first = false;
	}
}

/* Runs the iterator over all tasks; it leaves its figures in mem_rows. */
static int run_iterator(void)
{
	_cleanup_close_ int fd = bpf_iter_create(mem.link_fd);
	char nothing[64];

	if (fd < 0)
		return -errno;
	for (int i = 0; i < WALK_PARTS; i++) {
		ssize_t n = read(fd, nothing, sizeof(nothing));

		if (n == 0)
			return 0;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return -EAGAIN;
}

static int walk_kernel(struct wv_agent *agent, uint64_t *ret_walk)
{
	int map = wv_bpf_map_fd(agent->bpf, "mem_walk"), r;
	struct wv_mem_walk walk = {0};
	uint32_t zero = 0;

	r = run_iterator();
	if (r < 0)
		return r;
	if (bpf_map_lookup_elem(map, &zero, &walk) < 0)
		return -errno;
	if (!walk.done || walk.done != walk.walk) /* stopped by the kill switch */
		return -EAGAIN;
	if (walk.done % SWEEP_EVERY == 0)
		sweep_seen(agent->bpf, walk.done);
	*ret_walk = walk.done;
	return 0;
}

static uint64_t own_cpu_ns(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

/* Walks if it is time to; *ret_walk is the walk to show, 0 if there is no new one. */
static void walk_if_due(struct wv_agent *agent, uint64_t *ret_walk)
{
	uint64_t begin = agent->io->mono_ns(agent->io->ctx), cpu;
	int r;

	if (begin < mem.next_ns)
		return;
	cpu = own_cpu_ns();
	r = mem.link_fd >= 0 ? walk_kernel(agent, ret_walk) : wv_mem_walk_proc(agent);
	mem.next_ns = begin + (own_cpu_ns() - cpu) * WALK_PAUSE;
	if (r < 0 && r != -EAGAIN && !mem.complained) {
		(void)wv_log_warn(r, "mem", "walk over all processes");
		mem.complained = true;
	}
}

static bool has_program(const struct wv_bpf *bpf, const char *name)
{
	return bpf && wv_bpf_prog_fd(bpf, name) >= 0;
}

static bool counts_oom(const struct wv_bpf *bpf)
{
	return has_program(bpf, "mem_oom_mark") || has_program(bpf, "mem_oom_exit");
}

static int start(struct wv_agent *agent)
{
	mem.link_fd = agent->bpf ? wv_bpf_link_fd(agent->bpf, "mem_iter") : -1;
	mem.next_ns = 0;
	return 0;
}

static int sense(struct wv_agent *agent)
{
	struct store st = {.sample = &agent->sample, .oom = counts_oom(agent->bpf)};

	walk_if_due(agent, &st.walk);
	if (!agent->bpf || !wv_bpf_has(agent->bpf, "mem"))
		return 0;
	return wv_bpf_table_read(agent->bpf, "mem_rows", agent->sample.used_rows, store_row, &st);
}

static const char *path_of(struct wv_agent *agent, uint64_t key)
{
	int slot = wv_cgroups_slot(agent->cgroups, key);
	struct wv_row *row = slot < 0 ? NULL : wv_sample_row(&agent->sample, (uint32_t)slot);

	return row ? row->path : NULL;
}

static void add_path(struct json_object *o, const char *name, struct wv_agent *agent, uint64_t key)
{
	const char *path = path_of(agent, key);

	if (path)
		json_object_object_add(o, name, json_object_new_string(path));
}

static void event(struct wv_agent *agent, const struct wv_event *e)
{
	const struct wv_event_oom *oom = (const struct wv_event_oom *)e;
	struct json_object *o;
	char comm[sizeof(e->comm) + 1] = "";

	if (e->type != WV_EV_OOM_KILL || e->size < sizeof(*oom))
		return;
	o = json_object_new_object();
	if (!o)
		return;
	for (size_t i = 0; i < sizeof(e->comm) && e->comm[i];
	     i++) /* a task may name itself anything */
		comm[i] = e->comm[i] >= ' ' && e->comm[i] <= '~' ? e->comm[i] : '?';
	add_path(o, "cgroup", agent, e->key);
	json_object_object_add(o, "event_mono_ns", json_object_new_uint64(e->mono_ns));
	json_object_object_add(o, "pid", json_object_new_int64(e->pid));
	json_object_object_add(o, "comm", json_object_new_string(comm));
	json_object_object_add(o, oom->flags & WV_OOM_AT_EXIT ? "peak_rss_bytes" : "rss_bytes",
			       json_object_new_uint64(oom->rss_bytes));
	json_object_object_add(o, "total_vm_bytes", json_object_new_uint64(oom->total_vm_bytes));
	json_object_object_add(o, "oom_score_adj", json_object_new_int(oom->oom_score_adj));
	if (oom->trigger_pid) {
		add_path(o, "trigger_cgroup", agent, oom->trigger_key);
		json_object_object_add(o, "trigger_pid", json_object_new_int64(oom->trigger_pid));
	}
	(void)agent->record(agent, "oom-kill", o);
}

/* Loading --------------------------------------------------------------- */

/* Whether the kernel takes a program that iterates over tasks: only asked where tp_btf, which is of
 * the same program type, is refused. */
static bool iterators_work(const struct wv_host *host)
{
	static const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_ITER);
	int id, fd;

	if (host->tp_btf == 0)
		return true;
	id = libbpf_find_vmlinux_btf_id("task", BPF_TRACE_ITER);
	if (id < 0)
		return false;
	opts.attach_btf_id = (__u32)id;
	fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "wv_probe_iter", "GPL", nothing,
			   ARRAY_SIZE(nothing), &opts);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static int configure(struct bpf_object *obj, const struct wv_host *host,
		     const struct wv_config *config _unused_)
{
	struct bpf_map *offsets = bpf_object__find_map_by_name(obj, "mem_cpu_offsets");
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned args = 0;
	bool mark;

	/* (int pid) first, (struct task_struct *, uid_t) later */
	mark = wv_bpf_has_tracepoint("mark_victim", &args) && args >= 2;
	wv_bpf_skip_program(obj, mark ? "mem_oom_exit" : "mem_oom_mark");
	if (!iterators_work(host))
		wv_bpf_skip_program(obj, "mem_iter");
	if (!offsets)
		return -ENOENT;
	if (bpf_map__set_max_entries(offsets, host->ncpu) < 0)
		return -errno;
	return wv_bpf_set_const(obj, "mem_page_bytes", &page, sizeof(page));
}

/* doctor ---------------------------------------------------------------- */

static const char *no_hooks_reason(const struct wv_host *host, const struct wv_bpf *bpf)
{
	if (host->flavour == WV_FLAVOUR_NONE)
		return "the kernel takes neither BTF nor raw tracepoint programs";
	return bpf && !wv_bpf_has(bpf, "mem") ? wv_bpf_reason(bpf, "mem") : NULL;
}

static int probe_reclaim(const struct wv_host *host, const struct wv_bpf *bpf, const char *kind,
			 struct wv_capabilities *caps)
{
	const char *reason = no_hooks_reason(host, bpf);
	char uses[64];

	if (!reason && !wv_bpf_has_tracepoint("mm_vmscan_direct_reclaim_end", NULL))
		reason = "the kernel has no tracepoint mm_vmscan_direct_reclaim_end";
	if (reason)
		return wv_capability_add(caps, "mem", "reclaim latency", WV_CAP_MISSING, "",
					 reason);
	snprintf(uses, sizeof(uses), "%s/mm_vmscan_{direct,memcg}_reclaim_*", kind);
	if (!wv_bpf_has_tracepoint("mm_vmscan_memcg_reclaim_end", NULL))
		return wv_capability_add(
			caps, "mem", "reclaim latency", WV_CAP_FALLBACK, uses,
			"no tracepoint for reclaim at a cgroup's limit: global reclaim only");
	return wv_capability_add(caps, "mem", "reclaim latency", WV_CAP_OK, uses, "");
}

static int probe_oom(const struct wv_host *host, const struct wv_bpf *bpf, const char *kind,
		     struct wv_capabilities *caps)
{
	const char *reason = no_hooks_reason(host, bpf);
	bool files = host->v2_controller[WV_CTRL_MEMORY] || host->v1[WV_CTRL_MEMORY][0];
	unsigned args = 0;
	char uses[64];

	if (reason)
		return wv_capability_add(
			caps, "mem", "OOM kills", files ? WV_CAP_FALLBACK : WV_CAP_MISSING,
			files ? "memory.events.local or memory.oom_control" : "", reason);
	if (wv_bpf_has_tracepoint("mark_victim", &args) && args >= 2) {
		snprintf(uses, sizeof(uses), "%s/mark_victim", kind);
		return wv_capability_add(caps, "mem", "OOM kills with victim", WV_CAP_OK, uses, "");
	}
	snprintf(uses, sizeof(uses), "%s/sched_process_exit", kind);
	return wv_capability_add(caps, "mem", "OOM kills with victim", WV_CAP_FALLBACK, uses,
				 "mark_victim gives a number only here: seen when the victim ends, "
				 "with its peak size");
}

static int probe_sizes(const struct wv_host *host, const struct wv_bpf *bpf,
		       struct wv_capabilities *caps)
{
	bool hooks = !no_hooks_reason(host, bpf);

	if (hooks && (bpf ? has_program(bpf, "mem_iter") : iterators_work(host)))
		return wv_capability_add(caps, "mem", "RSS, heap, growth", WV_CAP_OK, "iter/task",
					 "");
	return wv_capability_add(caps, "mem", "RSS, heap", WV_CAP_FALLBACK, "/proc/<pid>/status",
				 "no BPF iterator over tasks: neither brk nor growth is known");
}

static int probe(const struct wv_host *host, const struct wv_bpf *bpf, struct wv_capabilities *caps)
{
	const char *kind = host->flavour == WV_FLAVOUR_RAW ? "raw_tp" : "tp_btf";
	int r = probe_reclaim(host, bpf, kind, caps);

	if (r == 0)
		r = probe_oom(host, bpf, kind, caps);
	return r < 0 ? r : probe_sizes(host, bpf, caps);
}

static const void *elf_btf(size_t *size)
{
	return mem_btf__elf_bytes(size);
}

static const void *elf_raw(size_t *size)
{
	return mem_raw__elf_bytes(size);
}

static const struct wv_table_desc tables[] = {
	{"mem_rows", sizeof(struct wv_mem_row), false},
	{0},
};

static const struct wv_object object = {
	.name = "mem",
	.elf_btf = elf_btf,
	.elf_raw = elf_raw,
	.tables = tables,
	.configure = configure,
};

const struct wv_module wv_module_mem = {
	.name = "mem",
	.summary = "direct reclaim, OOM kills, RSS and heap of processes",
	.object = &object,
	.probe = probe,
	.start = start,
	.sense = sense,
	.event = event,
	.events = 1U << WV_EV_OOM_KILL,
};
