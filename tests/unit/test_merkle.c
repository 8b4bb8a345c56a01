// SPDX-License-Identifier: GPL-2.0-only
/*
 * Vectors are the eight leaves that implementations of RFC 6962 are usually tried with; every other
 * size is held against the recursive definition of the RFC, written out here.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/evidence/merkle.h"

#define LIMIT 130

static struct wv_hash given[LIMIT];

static int leaves_of(void *ctx _unused_, uint64_t first, size_t n, struct wv_hash *ret)
{
	memcpy(ret, given + first, n * sizeof(*ret));
	return 0;
}

static int leaves_broken(void *ctx _unused_, uint64_t first _unused_, size_t n _unused_,
			 struct wv_hash *ret _unused_)
{
	return -EIO;
}

static void sha256(const void *bytes, size_t len, struct wv_hash *ret)
{
	assert_int_equal(EVP_Digest(bytes, len, ret->bytes, NULL, EVP_sha256(), NULL), 1);
}

/* MTH of section 2.1, by its own words and another way into OpenSSL */
static void defined_root(const struct wv_hash *leaf, size_t n, struct wv_hash *ret)
{
	unsigned char in[65] = {1};
	struct wv_hash left, right;
	size_t k = 1;

	if (n == 1) {
		*ret = leaf[0];
		return;
	}
	while (k * 2 < n)
		k *= 2;
	defined_root(leaf, k, &left);
	defined_root(leaf + k, n - k, &right);
	memcpy(in + 1, left.bytes, 32);
	memcpy(in + 33, right.bytes, 32);
	sha256(in, sizeof(in), ret);
}

static unsigned defined_path(size_t m, const struct wv_hash *leaf, size_t n, struct wv_hash *ret)
{
	unsigned len;
	size_t k = 1;

	if (n == 1)
		return 0;
	while (k * 2 < n)
		k *= 2;
	if (m < k) {
		len = defined_path(m, leaf, k, ret);
		defined_root(leaf + k, n - k, &ret[len]);
	} else {
		len = defined_path(m - k, leaf + k, n - k, ret);
		defined_root(leaf, k, &ret[len]);
	}
	return len + 1;
}

static unsigned defined_subproof(size_t m, const struct wv_hash *leaf, size_t n, bool whole,
				 struct wv_hash *ret)
{
	unsigned len;
	size_t k = 1;

	if (m == n) {
		if (whole)
			return 0;
		defined_root(leaf, n, &ret[0]);
		return 1;
	}
	while (k * 2 < n)
		k *= 2;
	if (m <= k) {
		len = defined_subproof(m, leaf, k, whole, ret);
		defined_root(leaf + k, n - k, &ret[len]);
	} else {
		len = defined_subproof(m - k, leaf + k, n - k, false, ret);
		defined_root(leaf, k, &ret[len]);
	}
	return len + 1;
}

static void fill(void)
{
	unsigned char text[2];
	size_t i;

	for (i = 0; i < LIMIT; i++) {
		text[0] = (unsigned char)(i >> 8);
		text[1] = (unsigned char)i;
		wv_merkle_leaf(text, sizeof(text), &given[i]);
	}
}

static void expect_hex(const struct wv_hash *h, const char *hex)
{
	char text[65];
	int i;

	for (i = 0; i < 32; i++)
		snprintf(text + i * 2, 3, "%02x", h->bytes[i]);
	assert_string_equal(text, hex);
}

static const struct {
	const char *bytes;
	size_t len;
	const char *root; /* of the leaves so far */
} known[] = {
	{"", 0, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
	{"\0", 1, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
	{"\x10", 1, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
	{"\x20\x21", 2, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
	{"\x30\x31", 2, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
	{"\x40\x41\x42\x43", 4, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
	{"\x50\x51\x52\x53\x54\x55\x56\x57", 8,
	 "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
	{"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16,
	 "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
};

static void merkle_known_leaves_give_known_roots(void **state _unused_)
{
	struct wv_merkle m = {0};
	struct wv_hash h;
	size_t i;

	wv_merkle_root(&m, &h);
	expect_hex(&h, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	for (i = 0; i < ARRAY_SIZE(known); i++) {
		wv_merkle_leaf(known[i].bytes, known[i].len, &h);
		wv_merkle_add(&m, &h);
		assert_int_equal(m.size, i + 1);
		wv_merkle_root(&m, &h);
		expect_hex(&h, known[i].root);
	}
}

static void merkle_known_leaves_give_known_path(void **state _unused_)
{
	/* of the first of the eight leaves: its neighbour, the next two, the other four */
	static const char *const path[] = {
		"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
		"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
		"6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
	};
	struct wv_hash proof[WV_PROOF_MAX];
	unsigned n, i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		wv_merkle_leaf(known[i].bytes, known[i].len, &given[i]);
	assert_int_equal(wv_merkle_inclusion(leaves_of, NULL, 0, 8, proof, &n), 0);
	assert_int_equal(n, ARRAY_SIZE(path));
	for (i = 0; i < n; i++)
		expect_hex(&proof[i], path[i]);
}

static void merkle_every_size_equals_the_definition(void **state _unused_)
{
	struct wv_merkle m = {0};
	struct wv_hash a, b;
	size_t size;

	fill();
	for (size = 1; size <= LIMIT; size++) {
		wv_merkle_add(&m, &given[size - 1]);
		defined_root(given, size, &a);
		wv_merkle_root(&m, &b);
		assert_memory_equal(&a, &b, sizeof(a));
		assert_int_equal(wv_merkle_root_of(leaves_of, NULL, size, &b), 0);
		assert_memory_equal(&a, &b, sizeof(a));
	}
}

static void flip(struct wv_hash *h, unsigned bit)
{
	h->bytes[bit / 8] ^= (unsigned char)(1U << (bit % 8));
}

static void merkle_every_path_equals_the_definition_and_holds(void **state _unused_)
{
	struct wv_hash proof[WV_PROOF_MAX], defined[WV_PROOF_MAX], root;
	unsigned n, k, bad = 0;
	size_t size, index;

	fill();
	for (size = 1; size <= LIMIT; size++) {
		defined_root(given, size, &root);
		for (index = 0; index < size; index++) {
			assert_int_equal(
				wv_merkle_inclusion(leaves_of, NULL, index, size, proof, &n), 0);
			assert_int_equal(n, defined_path(index, given, size, defined));
			assert_memory_equal(proof, defined, n * sizeof(*proof));
			assert_int_equal(wv_merkle_check_inclusion(index, size, &given[index],
								   proof, n, &root),
					 0);
			/* another place, a leaf more or less on the way, another leaf */
			bad += !wv_merkle_check_inclusion(index + 1, size, &given[index], proof, n,
							  &root);
			bad += n && !wv_merkle_check_inclusion(index, size, &given[index], proof,
							       n - 1, &root);
			proof[n] = root;
			bad += !wv_merkle_check_inclusion(index, size, &given[index], proof, n + 1,
							  &root);
			for (k = 0; k < n; k++) {
				flip(&proof[k], (unsigned)(index * 7 + k) % 256);
				bad += !wv_merkle_check_inclusion(index, size, &given[index], proof,
								  n, &root);
				flip(&proof[k], (unsigned)(index * 7 + k) % 256);
			}
		}
		assert_int_equal(wv_merkle_inclusion(leaves_of, NULL, size, size, proof, &n),
				 -ERANGE);
	}
	assert_int_equal(bad, 0);
}

static void merkle_every_consistency_equals_the_definition_and_holds(void **state _unused_)
{
	struct wv_hash proof[WV_PROOF_MAX], defined[WV_PROOF_MAX], before, root;
	unsigned n, k, bad = 0;
	size_t size, old;

	fill();
	for (size = 1; size <= LIMIT; size++) {
		defined_root(given, size, &root);
		for (old = 1; old <= size; old++) {
			defined_root(given, old, &before);
			assert_int_equal(
				wv_merkle_consistency(leaves_of, NULL, old, size, proof, &n), 0);
			assert_int_equal(n, defined_subproof(old, given, size, true, defined));
			assert_memory_equal(proof, defined, n * sizeof(*proof));
			assert_int_equal(
				wv_merkle_check_consistency(old, size, &before, &root, proof, n),
				0);
			bad += n && !wv_merkle_check_consistency(old, size, &before, &root, proof,
								 n - 1);
			proof[n] = root;
			bad += !wv_merkle_check_consistency(old, size, &before, &root, proof,
							    n + 1);
			bad += old < size &&
			       !wv_merkle_check_consistency(old, size, &root, &root, proof, n);
			bad += old < size &&
			       !wv_merkle_check_consistency(old, size, &before, &before, proof, n);
			for (k = 0; k < n; k++) {
				flip(&proof[k], (unsigned)(old * 5 + k) % 256);
				bad += !wv_merkle_check_consistency(old, size, &before, &root,
								    proof, n);
				flip(&proof[k], (unsigned)(old * 5 + k) % 256);
			}
		}
	}
	assert_int_equal(bad, 0);
	assert_int_equal(wv_merkle_consistency(leaves_of, NULL, 0, 4, proof, &n), -ERANGE);
	assert_int_equal(wv_merkle_consistency(leaves_of, NULL, 5, 4, proof, &n), -ERANGE);
	assert_int_equal(wv_merkle_check_consistency(0, 4, &root, &root, proof, 0), -EBADMSG);
	assert_int_equal(wv_merkle_check_consistency(5, 4, &root, &root, proof, 0), -EBADMSG);
}

/* each bit of everything that a proof is made of, for one tree of an awkward size */
static void merkle_any_flipped_bit_is_refused(void **state _unused_)
{
	struct wv_hash proof[WV_PROOF_MAX], root, leaf, before;
	unsigned n, bit, bad = 0;
	size_t size = 107;

	fill();
	defined_root(given, size, &root);
	assert_int_equal(wv_merkle_inclusion(leaves_of, NULL, 97, size, proof, &n), 0);
	leaf = given[97];
	for (bit = 0; bit < (n + 2) * 256; bit++) {
		struct wv_hash *h = bit < n * 256    ? &proof[bit / 256]
				    : bit / 256 == n ? &leaf
						     : &root;

		flip(h, bit % 256);
		bad += !wv_merkle_check_inclusion(97, size, &leaf, proof, n, &root);
		flip(h, bit % 256);
	}
	assert_int_equal(wv_merkle_check_inclusion(97, size, &leaf, proof, n, &root), 0);
	defined_root(given, 83, &before);
	assert_int_equal(wv_merkle_consistency(leaves_of, NULL, 83, size, proof, &n), 0);
	for (bit = 0; bit < (n + 2) * 256; bit++) {
		struct wv_hash *h = bit < n * 256    ? &proof[bit / 256]
				    : bit / 256 == n ? &before
						     : &root;

		flip(h, bit % 256);
		bad += !wv_merkle_check_consistency(83, size, &before, &root, proof, n);
		flip(h, bit % 256);
	}
	assert_int_equal(bad, 0);
}

static void merkle_unreadable_leaves_give_their_error(void **state _unused_)
{
	struct wv_hash proof[WV_PROOF_MAX];
	unsigned n = 77;

	assert_int_equal(wv_merkle_root_of(leaves_broken, NULL, 3, proof), -EIO);
	assert_int_equal(wv_merkle_inclusion(leaves_broken, NULL, 1, 3, proof, &n), -EIO);
	assert_int_equal(wv_merkle_consistency(leaves_broken, NULL, 2, 3, proof, &n), -EIO);
	assert_int_equal(n, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merkle_known_leaves_give_known_roots),
		cmocka_unit_test(merkle_known_leaves_give_known_path),
		cmocka_unit_test(merkle_every_size_equals_the_definition),
		cmocka_unit_test(merkle_every_path_equals_the_definition_and_holds),
		cmocka_unit_test(merkle_every_consistency_equals_the_definition_and_holds),
		cmocka_unit_test(merkle_any_flipped_bit_is_refused),
		cmocka_unit_test(merkle_unreadable_leaves_give_their_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
