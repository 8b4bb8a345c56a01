/* SPDX-License-Identifier: GPL-2.0-only */
/* A range of leaves against the root of their tree: the audit paths of its first and last leaf say
 * all that is outside of it. Pure. */
#ifndef WV_EVIDENCE_RANGE_H
#define WV_EVIDENCE_RANGE_H

#include "user/evidence/merkle.h"

struct wv_range {
	uint64_t size;	      /* of the tree */
	uint64_t first, last; /* indices from 0, both in it */
	struct wv_hash first_path[WV_PROOF_MAX], last_path[WV_PROOF_MAX];
	unsigned n_first, n_last;
};

/* Root of the tree of which these last - first + 1 leaves are the range. -EBADMSG if paths and
 * sizes do not fit together. */
int wv_range_root(const struct wv_range *g, const struct wv_hash *leaves, struct wv_hash *ret);

#endif
