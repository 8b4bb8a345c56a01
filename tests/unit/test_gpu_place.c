// SPDX-License-Identifier: GPL-2.0-only
/* Placement against trying every set, on layouts constructed from published topologies. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/topo_fixture.h"

static void pcie(struct wv_topo *t, unsigned n, unsigned per_node)
{
	memset(t, 0, sizeof(*t));
	t->n = n;
	for (unsigned a = 0; a < n; a++) {
		t->numa[a] = (int)(a / per_node);
		t->pcie_mbs[a] = 15750;
		for (unsigned b = 0; b < n; b++)
			t->path[a][b] = a == b			       ? WV_TOPO_SELF
					: a / 2 == b / 2	       ? WV_TOPO_PIX
					: a / per_node == b / per_node ? WV_TOPO_NODE
								       : WV_TOPO_SYS;
	}
}

static void links(struct wv_topo *t, unsigned a, unsigned b, uint32_t mbs)
{
	t->nvlink_mbs[a][b] = t->nvlink_mbs[b][a] = mbs;
}

static void switched(struct wv_topo *t)
{
	pcie(t, 8, 4);
	for (unsigned a = 0; a < 8; a++)
		for (unsigned b = 0; b < a; b++)
			links(t, a, b, 450000);
}

/* DGX-1 V100: six links of 25 GB/s a GPU. */
static void cube(struct wv_topo *t)
{
	static const uint8_t pairs[][3] = {{0, 1, 1}, {0, 2, 1}, {0, 3, 2}, {0, 4, 2},
					   {1, 2, 2}, {1, 3, 1}, {1, 5, 2}, {2, 3, 2},
					   {2, 6, 1}, {3, 7, 1}, {4, 5, 1}, {4, 6, 1},
					   {4, 7, 2}, {5, 6, 2}, {5, 7, 1}, {6, 7, 2}};

	pcie(t, 8, 4);
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		links(t, pairs[i][0], pairs[i][1], pairs[i][2] * 25000U);
}

static void against_all(const struct wv_topo *t)
{
	for (uint64_t free = 0; free < 1ULL << t->n; free++)
		for (unsigned n = 1; n <= t->n; n++) {
			struct wv_placement best = {0}, p, got;
			int r = wv_topo_place(t, free, n, &got);

			for (uint64_t set = 1; set < 1ULL << t->n; set++) {
				if ((set & ~free) || (unsigned)__builtin_popcountll(set) != n)
					continue;
				wv_placement_of(t, free, set, &p);
				if (!best.gpus || wv_placement_compare(&p, &best) > 0)
					best = p;
			}
			assert_int_equal(r, best.gpus ? 0 : -ENOSPC);
			if (r == 0)
				assert_int_equal(got.gpus, best.gpus);
		}
}

static void place_any_free_set_equals_brute_force(void **state)
{
	struct wv_topo t;

	(void)state;
	switched(&t);
	against_all(&t);
	cube(&t);
	against_all(&t);
	pcie(&t, 4, 2);
	against_all(&t);
	pcie(&t, 1, 1);
	against_all(&t);
}

static void place_on_all_fixtures_equals_brute_force(void **state)
{
	static const char *const names[] = {"hgx-h100",	     "pcie-4", "dgx1-v100",
					    "workstation-2", "single", "mig-a100"};

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct wv_topo *t = topo_fixture(names[i]);

		against_all(t);
		free(t);
	}
}

static void place_one_gpu_leaves_pairs_whole(void **state)
{
	struct wv_placement p;
	struct wv_topo t;

	(void)state;
	pcie(&t, 4, 2);
	assert_int_equal(wv_topo_place(&t, 0xd, 1, &p), 0);
	assert_int_equal(p.gpus, 1);
	assert_int_equal(wv_topo_place(&t, 0xd, 2, &p), 0);
	assert_int_equal(p.gpus, 0xc);
	cube(&t);
	assert_int_equal(wv_topo_place(&t, 0xff, 2, &p), 0);
	assert_int_equal(p.bottleneck_mbs, 50000);
	assert_int_equal(p.nodes, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(place_any_free_set_equals_brute_force),
		cmocka_unit_test(place_on_all_fixtures_equals_brute_force),
		cmocka_unit_test(place_one_gpu_leaves_pairs_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
