// SPDX-License-Identifier: GPL-2.0-only
/* The user half of bpf/wake.bpf.c: loads it, takes its events to the chain. */
#include "user/gpu/wake.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "skel/wake.btf.skel.h"
#include "skel/wake.raw.skel.h"
#include "user/core/bpf.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/recover/act.h"

/* 14 MB when it is full: half a minute of 8,000 switches a second; touched as it fills. */
#define SEGMENTS (256U << 10)

/* An event is stamped before it is in the ring. */
#define SETTLE_NS 1000000ULL

struct wv_wake {
	struct bpf_object *object;
	struct bpf_link *link[8];
	unsigned links, watched;
	int processes; /* map */
	struct ring_buffer *ring;
	struct wv_chain *chain;
	uint64_t known;
	struct wv_wake_shared *shared; /* the programs' data */
	uint64_t told;		       /* of what was dropped, to the chain */
};

static const struct wv_object object = {
	.name = "wake",
	.elf_btf = wake_btf__elf_bytes,
	.elf_raw = wake_raw__elf_bytes,
};

static int on_event(void *ctx, void *data, size_t size)
{
	struct wv_wake *w = ctx;

	if (size >= sizeof(struct wv_wake_event))
		wv_chain_add(w->chain, data);
	return 0;
}

static int load(struct wv_wake *w, enum wv_flavour flavour)
{
	_cleanup_free_ void *elf = NULL;
	struct bpf_map *bss;
	size_t size;
	void *data;
	int r = wv_object_unpack(&object, flavour, &elf, &size);

	if (r < 0)
		return r;
	w->object = bpf_object__open_mem(elf, size, NULL);
	if (!w->object)
		return -errno;
	r = bpf_object__load(w->object);
	if (r < 0) {
		bpf_object__close(w->object);
		w->object = NULL;
		return r;
	}
	w->processes = bpf_object__find_map_fd_by_name(w->object, "wake_processes");
	bss = bpf_object__find_map_by_name(w->object, ".bss");
	/* libbpf's own copy is that from before the load */
	data = bss ? mmap(NULL, sizeof(*w->shared), PROT_READ | PROT_WRITE, MAP_SHARED,
			  bpf_map__fd(bss), 0)
		   : MAP_FAILED;
	if (data == MAP_FAILED) {
		bpf_object__close(w->object);
		w->object = NULL;
		return -ENOMEM;
	}
	w->shared = data;
	w->ring = ring_buffer__new(bpf_object__find_map_fd_by_name(w->object, "wake_events"),
				   on_event, w, NULL);
	return w->ring && w->processes >= 0 ? 0 : -ENOMEM;
}

int wv_wake_open(struct wv_wake **ret)
{
	struct wv_wake *w = calloc(1, sizeof(*w));
	libbpf_print_fn_t print;
	int r;

	if (!w)
		return -ENOMEM;
	w->chain = wv_chain_new(SEGMENTS);
	/* what the first flavour is refused for is no news where the second one loads */
	print = libbpf_set_print(NULL);
	r = w->chain ? load(w, WV_FLAVOUR_BTF) : -ENOMEM;
	if (r < 0 && r != -EPERM && r != -ENOMEM)
		r = load(w, WV_FLAVOUR_RAW);
	libbpf_set_print(print);
	if (r < 0) {
		wv_wake_close(w);
		return r;
	}
	*ret = w;
	return 0;
}

static void detach(struct wv_wake *w)
{
	while (w->links)
		bpf_link__destroy(w->link[--w->links]);
}

void wv_wake_close(struct wv_wake *w)
{
	if (!w)
		return;
	detach(w);
	ring_buffer__free(w->ring);
	if (w->shared)
		(void)munmap(w->shared, sizeof(*w->shared));
	bpf_object__close(w->object);
	wv_chain_free(w->chain);
	free(w);
}

static int attach(struct wv_wake *w)
{
	struct bpf_program *p;

	bpf_object__for_each_program(p, w->object)
	{
		struct bpf_link *link = bpf_program__attach(p);

		if (!link || w->links == ARRAY_SIZE(w->link)) {
			int r = link ? -E2BIG : -errno;

			bpf_link__destroy(link);
			detach(w);
			return r;
		}
		w->link[w->links++] = link;
	}
	return 0;
}

static uint64_t now(void)
{
	return wv_io_system.mono_ns(wv_io_system.ctx);
}

int wv_wake_drain(struct wv_wake *w)
{
	/* what happens while the ring is read may be missed until the next time */
	uint64_t before = now();
	int n = w->watched ? ring_buffer__consume(w->ring) : 0;
	uint64_t lost = __atomic_load_n(&w->shared->dropped, __ATOMIC_RELAXED);

	if (n < 0)
		return n;
	if (lost != w->told) {
		wv_chain_missed(w->chain, w->known, now());
		w->told = lost;
	}
	w->known = before - SETTLE_NS;
	return n;
}

static int add_process(struct wv_wake *w, uint32_t pid, uint32_t parent, uint32_t root)
{
	struct wv_wake_process value = {.root = root};

	w->shared->maybe[pid & (WV_WAKE_FILTER - 1)] = 1;
	if (bpf_map_update_elem(w->processes, &pid, &value, BPF_ANY) < 0)
		return errno == E2BIG ? -ENOSPC : -errno;
	wv_chain_process(w->chain, pid, parent, pid == root);
	return 0;
}

/* Whether `pid` descends from `root`: up the parents, as far as a tree of processes is deep. */
static bool below(uint32_t pid, uint32_t root)
{
	for (unsigned i = 0; pid > 1 && i < 16; i++) {
		pid = (uint32_t)wv_process_parent((pid_t)pid);
		if (pid == root)
			return true;
	}
	return false;
}

/* Processes that it forked before. Those that it forks meanwhile are told by their own event. */
static void add_descendants(struct wv_wake *w, uint32_t root)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	const struct dirent *e;

	while (proc && (e = readdir(proc))) {
		uint32_t pid = (uint32_t)strtoul(e->d_name, NULL, 10);

		if (pid && pid != root && below(pid, root))
			add_process(w, pid, (uint32_t)wv_process_parent((pid_t)pid), root);
	}
}

int wv_wake_watch(struct wv_wake *w, pid_t pid)
{
	uint32_t id = (uint32_t)pid, parent = pid > 0 ? (uint32_t)wv_process_parent(pid) : 0;
	int r;

	if (!parent)
		return -ESRCH;
	if (!w->watched) {
		r = attach(w);
		if (r < 0)
			return r;
	}
	r = add_process(w, id, parent, id);
	if (r < 0) {
		if (!w->watched)
			detach(w);
		return r;
	}
	w->watched++;
	add_descendants(w, id);
	return 0;
}

void wv_wake_forget(struct wv_wake *w, pid_t pid)
{
	uint32_t key = 0, next, id = (uint32_t)pid;
	struct wv_wake_process value;
	bool more = bpf_map_get_next_key(w->processes, NULL, &next) == 0;

	if (!w->watched)
		return;
	while (more) {
		key = next;
		more = bpf_map_get_next_key(w->processes, &key, &next) == 0;
		if (bpf_map_lookup_elem(w->processes, &key, &value) == 0 && value.root == id)
			bpf_map_delete_elem(w->processes, &key);
	}
	wv_chain_forget(w->chain, id);
	if (--w->watched == 0) {
		detach(w);
		memset(w->shared->maybe, 0, sizeof(w->shared->maybe));
	}
}

void wv_wake_split(const struct wv_wake *w, pid_t tid, uint64_t begin, uint64_t end,
		   struct wv_chain_split *ret)
{
	wv_chain_split(w->chain, (uint32_t)tid, begin, end, w->known, ret);
}

uint64_t wv_wake_known(const struct wv_wake *w)
{
	return w->known;
}

uint64_t wv_wake_dropped(const struct wv_wake *w)
{
	return w->shared->dropped + w->shared->unwatched + wv_chain_lost(w->chain);
}
