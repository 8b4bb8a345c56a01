// SPDX-License-Identifier: GPL-2.0-only
/* Ranges of leaves: every range of every tree up to a size gives the tree's root, and no other
 * leaves do. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/evidence/range.h"

#define MAX 34

static struct wv_hash leaves[MAX];

static int give(void *ctx _unused_, uint64_t first, size_t n, struct wv_hash *ret)
{
	memcpy(ret, leaves + first, n * sizeof(*ret));
	return 0;
}

static void setup_leaves(void)
{
	for (unsigned i = 0; i < MAX; i++)
		wv_merkle_leaf(&i, sizeof(i), &leaves[i]);
}

static void make(struct wv_range *g, uint64_t size, uint64_t first, uint64_t last)
{
	*g = (struct wv_range){.size = size, .first = first, .last = last};
	assert_int_equal(wv_merkle_inclusion(give, NULL, first, size, g->first_path, &g->n_first),
			 0);
	assert_int_equal(wv_merkle_inclusion(give, NULL, last, size, g->last_path, &g->n_last), 0);
}

static void range_every_one_gives_the_root(void **state _unused_)
{
	struct wv_hash want, got;
	struct wv_range g;

	setup_leaves();
	for (uint64_t size = 1; size <= MAX; size++) {
		assert_int_equal(wv_merkle_root_of(give, NULL, size, &want), 0);
		for (uint64_t a = 0; a < size; a++)
			for (uint64_t b = a; b < size; b++) {
				make(&g, size, a, b);
				assert_int_equal(wv_range_root(&g, leaves + a, &got), 0);
				assert_memory_equal(&got, &want, sizeof(got));
			}
	}
}

static void range_changed_leaf_or_path_gives_another_root(void **state _unused_)
{
	struct wv_hash want, got, own[8];
	struct wv_range g;

	setup_leaves();
	assert_int_equal(wv_merkle_root_of(give, NULL, 21, &want), 0);
	make(&g, 21, 6, 13);
	for (unsigned i = 0; i < 8; i++) {
		memcpy(own, leaves + 6, sizeof(own));
		own[i].bytes[0] ^= 1;
		assert_int_equal(wv_range_root(&g, own, &got), 0);
		assert_memory_not_equal(&got, &want, sizeof(got));
	}
	/* swapped */
	memcpy(own, leaves + 6, sizeof(own));
	own[2] = leaves[9];
	own[3] = leaves[8];
	assert_int_equal(wv_range_root(&g, own, &got), 0);
	assert_memory_not_equal(&got, &want, sizeof(got));
}

static void range_that_does_not_fit_refused(void **state _unused_)
{
	struct wv_hash got;
	struct wv_range g;

	setup_leaves();
	make(&g, 21, 6, 13);
	g.n_first = 1;
	assert_int_equal(wv_range_root(&g, leaves + 6, &got), -EBADMSG);
	make(&g, 21, 6, 13);
	g.last = 21;
	assert_int_equal(wv_range_root(&g, leaves + 6, &got), -EBADMSG);
	g.last = 5;
	assert_int_equal(wv_range_root(&g, leaves + 6, &got), -EBADMSG);
	g = (struct wv_range){.size = 0};
	assert_int_equal(wv_range_root(&g, leaves, &got), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(range_every_one_gives_the_root),
		cmocka_unit_test(range_changed_leaf_or_path_gives_another_root),
		cmocka_unit_test(range_that_does_not_fit_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
