// SPDX-License-Identifier: GPL-2.0-only
#include "gpu/topo/topo.h"

#include <errno.h>
#include <stddef.h>

#define SETS_MAX 1000000ULL

const char *const wv_topo_paths[WV_TOPO_PATH_N] = {
	[WV_TOPO_SELF] = "X",  [WV_TOPO_PIX] = "PIX",	[WV_TOPO_PXB] = "PXB",
	[WV_TOPO_PHB] = "PHB", [WV_TOPO_NODE] = "NODE", [WV_TOPO_SYS] = "SYS",
	[WV_TOPO_MIG] = "MIG",
};

uint32_t wv_topo_mbs(const struct wv_topo *t, unsigned a, unsigned b)
{
	static const unsigned percent[WV_TOPO_PATH_N] = {100, 100, 90, 80, 70, 50, 50};
	uint64_t pcie = t->pcie_mbs[a] < t->pcie_mbs[b] ? t->pcie_mbs[a] : t->pcie_mbs[b];
	unsigned path = t->path[a][b] < WV_TOPO_PATH_N ? t->path[a][b] : WV_TOPO_SYS;
	uint32_t by_pcie = (uint32_t)(pcie * percent[path] / 100);

	return t->nvlink_mbs[a][b] > by_pcie ? t->nvlink_mbs[a][b] : by_pcie;
}

void wv_placement_of(const struct wv_topo *t, uint64_t free, uint64_t gpus,
		     struct wv_placement *ret)
{
	uint64_t left = free & ~gpus;

	*ret = (struct wv_placement){.gpus = gpus, .bottleneck_mbs = UINT32_MAX};
	for (unsigned a = 0; a < t->n; a++) {
		unsigned before = 0;

		if (!((gpus | left) >> a & 1))
			continue;
		for (unsigned b = 0; b < a; b++) {
			uint32_t mbs = wv_topo_mbs(t, a, b);

			if (gpus >> a & gpus >> b & 1) {
				ret->inside_mbs += mbs;
				if (mbs < ret->bottleneck_mbs)
					ret->bottleneck_mbs = mbs;
				before += t->numa[a] == t->numa[b];
			} else if (left >> a & left >> b & 1) {
				ret->left_mbs += mbs;
			}
		}
		ret->nodes += (gpus >> a & 1) && !before;
	}
}

int wv_placement_compare(const struct wv_placement *a, const struct wv_placement *b)
{
	if (a->bottleneck_mbs != b->bottleneck_mbs)
		return a->bottleneck_mbs > b->bottleneck_mbs ? 1 : -1;
	if (a->nodes != b->nodes)
		return a->nodes < b->nodes ? 1 : -1;
	if (a->inside_mbs != b->inside_mbs)
		return a->inside_mbs > b->inside_mbs ? 1 : -1;
	if (a->left_mbs != b->left_mbs)
		return a->left_mbs > b->left_mbs ? 1 : -1;
	return a->gpus == b->gpus ? 0 : a->gpus < b->gpus ? 1 : -1;
}

struct search {
	const struct wv_topo *t;
	uint64_t free;
	struct wv_placement best;
};

/* GPUs from `at` on are still to be chosen from. A set with a pair slower than the best's slowest
 * cannot become better. */
static void choose(struct search *s, uint64_t set, unsigned at, unsigned n)
{
	struct wv_placement p;

	if (!n) {
		wv_placement_of(s->t, s->free, set, &p);
		if (!s->best.gpus || wv_placement_compare(&p, &s->best) > 0)
			s->best = p;
		return;
	}
	for (; at < s->t->n; at++) {
		unsigned b = 0;

		if (!(s->free >> at & 1))
			continue;
		while (b < at && (!(set >> b & 1) || !s->best.gpus ||
				  wv_topo_mbs(s->t, at, b) >= s->best.bottleneck_mbs))
			b++;
		if (b == at)
			choose(s, set | 1ULL << at, at + 1, n - 1);
	}
}

int wv_topo_place(const struct wv_topo *t, uint64_t free, unsigned n, struct wv_placement *ret)
{
	struct search s = {.t = t};
	uint64_t sets = 1;
	unsigned have;

	if (t->n > WV_TOPO_GPUS || !n)
		return -EINVAL;
	s.free = t->n < 64 ? free & ((1ULL << t->n) - 1) : free;
	have = (unsigned)__builtin_popcountll(s.free);
	if (n > have)
		return -ENOSPC;
	for (unsigned i = 0, k = n < have - n ? n : have - n; i < k; i++) {
		sets = sets * (have - i) / (i + 1);
		if (sets > SETS_MAX)
			return -E2BIG;
	}
	choose(&s, 0, 0, n);
	*ret = s.best;
	return 0;
}
