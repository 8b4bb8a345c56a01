/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Merkle tree of RFC 6962, section 2.1: SHA-256, leaf = H(00 || bytes), node = H(01 || left ||
 * right). Pure: nothing is read but what the caller hands over. Sizes are numbers of leaves.
 */
#ifndef WV_EVIDENCE_MERKLE_H
#define WV_EVIDENCE_MERKLE_H

#include <stddef.h>
#include <stdint.h>

#define WV_HASH_SIZE 32
/* proofs are never longer: one hash a level, and a consistency proof one more */
#define WV_PROOF_MAX 65

struct wv_hash {
	unsigned char bytes[WV_HASH_SIZE];
};

/* A tree as the roots of its complete subtrees, the largest first: enough to add leaves and to tell
 * the root. All zero is the empty tree. */
struct wv_merkle {
	uint64_t size;
	struct wv_hash roots[64];
};

void wv_merkle_leaf(const void *bytes, size_t len, struct wv_hash *ret);
void wv_merkle_node(const struct wv_hash *left, const struct wv_hash *right, struct wv_hash *ret);
void wv_merkle_add(struct wv_merkle *m, const struct wv_hash *leaf);
/* Root of the tree; SHA-256 of nothing for the empty one. */
void wv_merkle_root(const struct wv_merkle *m, struct wv_hash *ret);

/* Gives the hashes of leaves first..first+n-1 (from 0) of the tree that proofs are made of. 0 or
 * -errno. */
typedef int (*wv_merkle_leaves_fn)(void *ctx, uint64_t first, size_t n, struct wv_hash *ret);

/* Root of the first `size` leaves. */
int wv_merkle_root_of(wv_merkle_leaves_fn leaves, void *ctx, uint64_t size, struct wv_hash *ret);
/* Audit path of leaf `index` in the tree of `size`. -ERANGE if there is none. */
int wv_merkle_inclusion(wv_merkle_leaves_fn leaves, void *ctx, uint64_t index, uint64_t size,
			struct wv_hash ret[WV_PROOF_MAX], unsigned *ret_n);
/* Proof that the tree of `old` is a prefix of that of `size` (0 < old <= size). */
int wv_merkle_consistency(wv_merkle_leaves_fn leaves, void *ctx, uint64_t old, uint64_t size,
			  struct wv_hash ret[WV_PROOF_MAX], unsigned *ret_n);

/* 0 if it holds, -EBADMSG if not (RFC 9162, sections 2.1.3.2 and 2.1.4.2). */
int wv_merkle_check_inclusion(uint64_t index, uint64_t size, const struct wv_hash *leaf,
			      const struct wv_hash *proof, unsigned n, const struct wv_hash *root);
int wv_merkle_check_consistency(uint64_t old, uint64_t size, const struct wv_hash *old_root,
				const struct wv_hash *root, const struct wv_hash *proof,
				unsigned n);

#endif
