// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leaf hashes against signed roots. The tree is hashed in blocks of aligned leaves, each by one
 * thread, which also takes the root of what a checkpoint has in its last block; what is above the
 * blocks is little. All checkpoints that fit the same leaves are consistent with each other.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/verify_internal.h"

/* leaves of a block, a power of two: half a megabyte of hashes at 16384 */
#define BLOCK 4096ULL

/* First claim of more than `size` records. */
static size_t claims_after(const struct wv_verify *v, uint64_t size)
{
	size_t a = 0, b = v->n_claims, m;

	while (a < b) {
		m = (a + b) / 2;
		if (v->claims[m].c.size > size)
			b = m;
		else
			a = m + 1;
	}
	return a;
}

static int hash_block(struct wv_verify *v, size_t i, struct wv_hash *ret)
{
	uint64_t first = i * BLOCK, end = first + BLOCK < v->n_leaves ? first + BLOCK : v->n_leaves;
	size_t claim = claims_after(v, first);
	struct wv_merkle m;

	m.size = 0;
	while (first + m.size < end) {
		wv_merkle_add(&m, &v->leaves[first + m.size]);
		for (; claim < v->n_claims && v->claims[claim].c.size == first + m.size; claim++)
			wv_merkle_root(&m, &v->claims[claim].local);
	}
	wv_merkle_root(&m, ret);
	return 0;
}

static int one_block(struct wv_verify *v, size_t i)
{
	return hash_block(v, i, &v->blocks[i]);
}

/* Root of the blocks in m and what stands behind them. */
static void root_with(const struct wv_merkle *m, const struct wv_hash *local, struct wv_hash *ret)
{
	unsigned n = (unsigned)__builtin_popcountll(m->size);
	struct wv_hash h = *local;

	while (n)
		wv_merkle_node(&m->roots[--n], &h, &h);
	*ret = h;
}

static void check_claim(const struct wv_merkle *blocks, struct wv_state_claim *c)
{
	struct wv_hash root;

	if (c->c.size % BLOCK == 0)
		wv_merkle_root(blocks, &root);
	else
		root_with(blocks, &c->local, &root);
	c->checked = true;
	c->fits = memcmp(&root, &c->c.root, sizeof(root)) == 0;
}

/* Sets `fits` of every claim that the leaves reach to. */
static int check_all(struct wv_verify *v)
{
	size_t n = (size_t)((v->n_leaves + BLOCK - 1) / BLOCK), i, claim = 0;
	_cleanup_free_ struct wv_hash *roots = calloc(n + 1, sizeof(*roots));
	struct wv_merkle m;
	int r;

	if (!roots)
		return -ENOMEM;
	v->blocks = roots;
	r = wv_verify_parallel(v, n, one_block);
	v->blocks = NULL;
	m.size = 0;
	for (; claim < v->n_claims && v->claims[claim].c.size == 0; claim++)
		check_claim(&m, &v->claims[claim]);
	for (i = 0; i < n && r == 0; i++) {
		for (; claim < v->n_claims && v->claims[claim].c.size < (i + 1) * BLOCK &&
		       v->claims[claim].c.size <= v->n_leaves;
		     claim++)
			check_claim(&m, &v->claims[claim]);
		if (v->n_leaves < (i + 1) * BLOCK)
			break;
		wv_merkle_add(&m, &roots[i]);
		for (; claim < v->n_claims && v->claims[claim].c.size == (i + 1) * BLOCK; claim++)
			check_claim(&m, &v->claims[claim]);
	}
	return r;
}

static bool counts(const struct wv_state_claim *c)
{
	return c->signed_by && c->checked;
}

/* The first signed claim that does not fit, and how many records the last before it vouches for. */
static struct wv_state_claim *first_misfit(struct wv_verify *v, uint64_t *ret_before)
{
	uint64_t before = 0;

	for (size_t i = 0; i < v->n_claims; i++) {
		if (!counts(&v->claims[i]))
			continue;
		if (!v->claims[i].fits) {
			*ret_before = before;
			return &v->claims[i];
		}
		before = v->claims[i].c.size;
	}
	return NULL;
}

/* Puts the hashes of the lines that are there in place of the stored ones. How many were. */
static size_t swap_leaves(struct wv_verify *v, uint64_t first, uint64_t last)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n_replaced; i++) {
		struct wv_run *line = &v->replaced[i];
		struct wv_hash old;

		if (line->first < first || line->first > last || line->first > v->n_leaves)
			continue;
		old = v->leaves[line->first - 1];
		v->leaves[line->first - 1] = line->leaf;
		line->leaf = old;
		n++;
	}
	return n;
}

/* The lines were right and the stored leaf hashes were not. */
static void blame_hashes(struct wv_verify *v, uint64_t first, uint64_t last)
{
	struct wv_verify_report *r = v->report;

	for (unsigned i = 0; i < r->n_findings; i++) {
		struct wv_finding *f = &r->findings[i];

		if (f->kind != WV_FINDING_ALTERED || f->first < first || f->first > last)
			continue;
		f->kind = WV_FINDING_HASHES;
		snprintf(f->text, sizeof(f->text),
			 "the stored leaf hash of record %" PRIu64
			 " was altered; the record itself is what was logged",
			 f->first);
	}
}

static int explain_misfit(struct wv_verify *v)
{
	struct wv_state_claim *c;
	uint64_t before;
	int r = 0;

	while (r == 0 && (c = first_misfit(v, &before))) {
		uint64_t size = c->c.size;

		if (!swap_leaves(v, before + 1, size))
			break;
		r = check_all(v);
		if (r == 0 && c->fits) {
			blame_hashes(v, before + 1, size);
			continue;
		}
		swap_leaves(v, before + 1, size);
		if (r == 0)
			r = check_all(v);
		break;
	}
	c = r == 0 ? first_misfit(v, &before) : NULL;
	if (c && c->c.size == before)
		wv_verify_found(v, WV_FINDING_ROLLBACK, 0, 0,
				"two signed checkpoints of %" PRIu64
				" records have different roots: the log was forked",
				before);
	else if (c)
		wv_verify_found(v, WV_FINDING_REWRITTEN, before + 1, c->c.size,
				"the signed root of %" PRIu64
				" records does not fit: records between %" PRIu64 " and %" PRIu64
				" were changed together with their leaf hashes",
				c->c.size, before + 1, c->c.size);
	return r;
}

int wv_verify_tree(struct wv_verify *v)
{
	struct wv_verify_report *report = v->report;
	uint64_t before;
	int r;

	r = check_all(v);
	if (r == 0 && first_misfit(v, &before))
		r = explain_misfit(v);
	for (size_t i = 0; i < v->n_claims; i++) {
		const struct wv_state_claim *c = &v->claims[i];

		if (!counts(c) || !c->fits)
			continue;
		if (c->signed_by & 1) {
			/* the newest stands in several files */
			report->checkpoints += !report->checkpoints || c->c.size != report->covered;
			report->covered = c->c.size;
			report->root = c->c.root;
		}
		if (c->signed_by >> 1) {
			report->cosigned = c->c.size;
			report->cosigned_s = c->cosigned_s;
			report->cosigners = (unsigned)__builtin_popcountll(c->signed_by >> 1);
		}
	}
	if (r == 0 && v->n_leaves && !report->checkpoints)
		wv_verify_found(v, WV_FINDING_CHECKPOINT, 0, 0,
				"no checkpoint that %s signed vouches for any of the records",
				v->o->keys[0].name);
	return r;
}
