// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tree is never held: a range of leaves is streamed through the same incremental form that the
 * log appends with, so that a proof costs one pass over the leaves and a few hundred bytes.
 *
 * OpenSSL's low-level SHA-256 is used: EVP with a fetched digest and a reused context takes a third
 * more for a node and a tenth more for a leaf of 256 bytes, all of it dispatch.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "user/evidence/merkle.h"

#include <errno.h>
#include <openssl/sha.h>
#include <string.h>

#include "user/core/cleanup.h"

/* leaves that are asked for at a time: 32 KiB */
#define BATCH 1024

void wv_merkle_leaf(const void *bytes, size_t len, struct wv_hash *ret)
{
	static const unsigned char prefix = 0x00;
	SHA256_CTX c;

	SHA256_Init(&c);
	SHA256_Update(&c, &prefix, 1);
	SHA256_Update(&c, bytes, len);
	SHA256_Final(ret->bytes, &c);
}

void wv_merkle_node(const struct wv_hash *left, const struct wv_hash *right, struct wv_hash *ret)
{
	unsigned char in[1 + 2 * WV_HASH_SIZE];
	SHA256_CTX c;

	in[0] = 0x01;
	memcpy(in + 1, left->bytes, WV_HASH_SIZE);
	memcpy(in + 1 + WV_HASH_SIZE, right->bytes, WV_HASH_SIZE);
	SHA256_Init(&c);
	SHA256_Update(&c, in, sizeof(in));
	SHA256_Final(ret->bytes, &c);
}

/* Complete subtrees are the one bits of the size. */
static unsigned roots_of(uint64_t size)
{
	return (unsigned)__builtin_popcountll(size);
}

void wv_merkle_add(struct wv_merkle *m, const struct wv_hash *leaf)
{
	unsigned n = roots_of(m->size);
	struct wv_hash carry = *leaf;
	uint64_t bits;

	for (bits = m->size; bits & 1; bits >>= 1)
		wv_merkle_node(&m->roots[--n], &carry, &carry);
	m->roots[n] = carry;
	m->size++;
}

void wv_merkle_root(const struct wv_merkle *m, struct wv_hash *ret)
{
	unsigned n = roots_of(m->size);
	struct wv_hash root;

	if (!n) {
		SHA256(NULL, 0, ret->bytes);
		return;
	}
	root = m->roots[--n];
	while (n)
		wv_merkle_node(&m->roots[--n], &root, &root);
	*ret = root;
}

/* Root of the leaves first..end-1, as a tree of their own. */
static int root_of_range(wv_merkle_leaves_fn leaves, void *ctx, uint64_t first, uint64_t end,
			 struct wv_hash *ret)
{
	struct wv_hash batch[BATCH];
	struct wv_merkle m;
	size_t i, n;
	int r;

	m.size = 0;
	for (; first < end; first += n) {
		n = end - first < BATCH ? (size_t)(end - first) : BATCH;
		r = leaves(ctx, first, n, batch);
		if (r < 0)
			return r;
		for (i = 0; i < n; i++)
			wv_merkle_add(&m, &batch[i]);
	}
	wv_merkle_root(&m, ret);
	return 0;
}

int wv_merkle_root_of(wv_merkle_leaves_fn leaves, void *ctx, uint64_t size, struct wv_hash *ret)
{
	return root_of_range(leaves, ctx, 0, size, ret);
}

/* Leaves on the left of a tree of `size` > 1: the largest power of two below it. */
static uint64_t left_of(uint64_t size)
{
	return 1ULL << (63 - __builtin_clzll(size - 1));
}

static void reverse(struct wv_hash *h, unsigned n)
{
	struct wv_hash tmp;
	unsigned i;

	for (i = 0; i < n / 2; i++) {
		tmp = h[i];
		h[i] = h[n - 1 - i];
		h[n - 1 - i] = tmp;
	}
}

int wv_merkle_inclusion(wv_merkle_leaves_fn leaves, void *ctx, uint64_t index, uint64_t size,
			struct wv_hash ret[WV_PROOF_MAX], unsigned *ret_n)
{
	struct wv_hash proof[WV_PROOF_MAX];
	uint64_t lo = 0, hi = size, split;
	unsigned n = 0;
	int r = 0;

	if (index >= size)
		return -ERANGE;
	/* from the root down, so that the path comes out backwards */
	while (hi - lo > 1 && r == 0) {
		split = lo + left_of(hi - lo);
		if (index < split) {
			r = root_of_range(leaves, ctx, split, hi, &proof[n++]);
			hi = split;
		} else {
			r = root_of_range(leaves, ctx, lo, split, &proof[n++]);
			lo = split;
		}
	}
	if (r < 0)
		return r;
	reverse(proof, n);
	memcpy(ret, proof, n * sizeof(*ret));
	*ret_n = n;
	return 0;
}

int wv_merkle_consistency(wv_merkle_leaves_fn leaves, void *ctx, uint64_t old, uint64_t size,
			  struct wv_hash ret[WV_PROOF_MAX], unsigned *ret_n)
{
	struct wv_hash proof[WV_PROOF_MAX];
	uint64_t lo = 0, hi = size, split;
	unsigned n = 0;
	int r = 0;

	if (!old || old > size)
		return -ERANGE;
	while (old != hi && r == 0) {
		split = lo + left_of(hi - lo);
		if (old <= split) {
			r = root_of_range(leaves, ctx, split, hi, &proof[n++]);
			hi = split;
		} else {
			r = root_of_range(leaves, ctx, lo, split, &proof[n++]);
			lo = split;
		}
	}
	/* the whole old tree needs no telling: whoever checks has its root */
	if (r == 0 && lo > 0)
		r = root_of_range(leaves, ctx, lo, hi, &proof[n++]);
	if (r < 0)
		return r;
	reverse(proof, n);
	memcpy(ret, proof, n * sizeof(*ret));
	*ret_n = n;
	return 0;
}

static int equal(const struct wv_hash *a, const struct wv_hash *b)
{
	return memcmp(a->bytes, b->bytes, WV_HASH_SIZE) == 0;
}

int wv_merkle_check_inclusion(uint64_t index, uint64_t size, const struct wv_hash *leaf,
			      const struct wv_hash *proof, unsigned n, const struct wv_hash *root)
{
	uint64_t fn = index, sn = size - 1;
	struct wv_hash h = *leaf;
	unsigned i;

	if (index >= size)
		return -EBADMSG;
	for (i = 0; i < n; i++) {
		if (!sn)
			return -EBADMSG;
		if ((fn & 1) || fn == sn) {
			wv_merkle_node(&proof[i], &h, &h);
			while (!(fn & 1) && fn) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			wv_merkle_node(&h, &proof[i], &h);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && equal(&h, root) ? 0 : -EBADMSG;
}

int wv_merkle_check_consistency(uint64_t old, uint64_t size, const struct wv_hash *old_root,
				const struct wv_hash *root, const struct wv_hash *proof, unsigned n)
{
	uint64_t fn = old - 1, sn = size - 1;
	struct wv_hash fr, sr;
	unsigned i = 0;

	if (!old || old > size)
		return -EBADMSG;
	if (old == size)
		return n == 0 && equal(old_root, root) ? 0 : -EBADMSG;
	/* a complete old tree is a node of the new one, and left out of the proof */
	if ((old & (old - 1)) == 0) {
		fr = *old_root;
	} else {
		if (!n)
			return -EBADMSG;
		fr = proof[i++];
	}
	sr = fr;
	while (fn & 1) {
		fn >>= 1;
		sn >>= 1;
	}
	for (; i < n; i++) {
		if (!sn)
			return -EBADMSG;
		if ((fn & 1) || fn == sn) {
			wv_merkle_node(&proof[i], &fr, &fr);
			wv_merkle_node(&proof[i], &sr, &sr);
			while (!(fn & 1) && fn) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			wv_merkle_node(&sr, &proof[i], &sr);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && equal(&fr, old_root) && equal(&sr, root) ? 0 : -EBADMSG;
}
