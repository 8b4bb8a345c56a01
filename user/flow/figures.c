// SPDX-License-Identifier: GPL-2.0-only
#include "user/flow/figures.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* A change takes core microseconds; a reader that never meets an even number gives up. */
#define READ_TRIES 100000

const struct wv_figure_info wv_figure_infos[WV_FIGURE_N] = {
#define WV_SCALE_NS WV_NS
#define WV_SCALE_US WV_US
#define WV_SCALE_BYTES WV_BYTES_SCALE
#define WV_SCALE_ONE WV_ONE
#define WV_FIGURE(WORKER, ID, kind, scale, metric, labels, help)                                   \
	[WV_FIG_##ID] = {                                                                          \
		WV_WORKER_##WORKER, WV_##kind, WV_SCALE_##scale, metric, labels, help,             \
	},
#include "waveos/worker_figures.def"
};

static struct pages {
	_Atomic uint64_t v[WV_FIGURE_N];
	_Atomic uint64_t seq; /* of policy: odd while core changes it */
	struct wv_policy_figures policy;
} * pages;

int wv_figures_open(void)
{
	void *p;

	if (pages)
		return 0;
	p = mmap(NULL, sizeof(*pages), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	pages = p;
	return 0;
}

void wv_figures_close(void)
{
	if (pages)
		(void)munmap(pages, sizeof(*pages));
	pages = NULL;
}

void wv_figure_set(enum wv_figure_id id, uint64_t v)
{
	if (pages)
		atomic_store_explicit(&pages->v[id], v, memory_order_relaxed);
}

void wv_figure_add(enum wv_figure_id id, uint64_t v)
{
	if (pages && v)
		atomic_fetch_add_explicit(&pages->v[id], v, memory_order_relaxed);
}

uint64_t wv_figure_get(enum wv_figure_id id)
{
	return pages ? atomic_load_explicit(&pages->v[id], memory_order_relaxed) : 0;
}

struct wv_policy_figures *wv_policy_figures_begin(void)
{
	if (!pages)
		return NULL;
	/* a core that died while writing left it odd */
	atomic_fetch_or_explicit(&pages->seq, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	return &pages->policy;
}

void wv_policy_figures_end(void)
{
	if (pages)
		atomic_fetch_add_explicit(&pages->seq, 1, memory_order_release);
}

int wv_policy_figures_read(struct wv_policy_figures *ret)
{
	if (!pages)
		return -ENOENT;
	for (unsigned i = 0; i < READ_TRIES; i++) {
		uint64_t seq = atomic_load_explicit(&pages->seq, memory_order_acquire);

		if (seq & 1)
			continue;
		memcpy(ret, &pages->policy, sizeof(*ret));
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&pages->seq, memory_order_relaxed) != seq)
			continue;
		if (ret->n_rules > WV_FIGURE_RULES || ret->n_domains > WV_FIGURE_DOMAINS)
			return -EBADMSG;
		return 0;
	}
	return -EAGAIN;
}
