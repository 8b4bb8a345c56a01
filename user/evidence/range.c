// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/range.h"

#include <errno.h>

/* Root of a subtree that is wholly in the range. */
static void inner(const struct wv_hash *leaves, uint64_t n, struct wv_hash *ret)
{
	struct wv_merkle m = {0};

	for (uint64_t i = 0; i < n; i++)
		wv_merkle_add(&m, &leaves[i]);
	wv_merkle_root(&m, ret);
}

/* The sibling at this depth on the way from the root; paths are stored from the leaf up. */
static int sibling(const struct wv_hash *path, unsigned n, unsigned depth, struct wv_hash *ret)
{
	if (depth >= n)
		return -EBADMSG;
	*ret = path[n - 1 - depth];
	return 0;
}

/* Node over leaves lo..lo+n-1, some of which are in the range (RFC 6962, 2.1 for the split). */
static int node(const struct wv_range *g, const struct wv_hash *leaves, uint64_t lo, uint64_t n,
		unsigned depth, struct wv_hash *ret)
{
	struct wv_hash left, right;
	uint64_t k;
	int r;

	if (lo >= g->first && lo + n - 1 <= g->last) {
		inner(leaves + (lo - g->first), n, ret);
		return 0;
	}
	/* a single leaf is in the range or was not descended to */
	k = 1ULL << (63 - __builtin_clzll(n - 1));
	r = lo + k <= g->first ? sibling(g->first_path, g->n_first, depth, &left)
			       : node(g, leaves, lo, k, depth + 1, &left);
	if (r < 0)
		return r;
	r = lo + k > g->last ? sibling(g->last_path, g->n_last, depth, &right)
			     : node(g, leaves, lo + k, n - k, depth + 1, &right);
	if (r < 0)
		return r;
	wv_merkle_node(&left, &right, ret);
	return 0;
}

int wv_range_root(const struct wv_range *g, const struct wv_hash *leaves, struct wv_hash *ret)
{
	struct wv_hash root;
	int r;

	if (g->first > g->last || g->last >= g->size || g->n_first > WV_PROOF_MAX ||
	    g->n_last > WV_PROOF_MAX || g->size > UINT64_MAX / 2)
		return -EBADMSG;
	r = node(g, leaves, 0, g->size, 0, &root);
	if (r == 0)
		*ret = root;
	return r;
}
