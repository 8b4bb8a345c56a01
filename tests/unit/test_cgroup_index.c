// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "user/core/cgroup_index.h"

static void index_random_operations_agree_with_an_array(void **state)
{
	enum { KEYS = 512, ROUNDS = 200000 };
	int want[KEYS];
	struct wv_index ix;

	(void)state;
	assert_int_equal(wv_index_init(&ix, KEYS), 0);
	for (int i = 0; i < KEYS; i++)
		want[i] = -1;
	srand(1);
	for (int round = 0; round < ROUNDS; round++) {
		unsigned i = (unsigned)rand() % KEYS;
		/* neighbours, as kernfs ids are, half of them with the v1 bit */
		uint64_t key = (i / 2 + 1) | (i % 2 ? 1ULL << 63 : 0);

		switch (rand() % 3) {
		case 0:
			assert_int_equal(wv_index_put(&ix, key, i), 0);
			want[i] = (int)i;
			break;
		case 1:
			wv_index_remove(&ix, key);
			want[i] = -1;
			break;
		default:
			assert_int_equal(wv_index_find(&ix, key), want[i]);
		}
	}
	for (unsigned i = 0; i < KEYS; i++)
		assert_int_equal(wv_index_find(&ix, (i / 2 + 1) | (i % 2 ? 1ULL << 63 : 0)),
				 want[i]);
	wv_index_done(&ix);
}

static void index_full_refuses_and_key_zero_is_invalid(void **state)
{
	struct wv_index ix;

	(void)state;
	assert_int_equal(wv_index_init(&ix, 4), 0);
	for (uint64_t k = 1; k <= 4; k++)
		assert_int_equal(wv_index_put(&ix, k, (uint32_t)k), 0);
	assert_int_equal(wv_index_put(&ix, 5, 5), -ENOSPC);
	assert_int_equal(wv_index_put(&ix, 4, 9), 0); /* replacing needs no room */
	assert_int_equal(wv_index_find(&ix, 4), 9);
	assert_int_equal(wv_index_put(&ix, 0, 1), -EINVAL);
	assert_int_equal(wv_index_find(&ix, 0), -1);
	wv_index_remove(&ix, 77);
	assert_int_equal(ix.used, 4);
	wv_index_done(&ix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(index_random_operations_agree_with_an_array),
		cmocka_unit_test(index_full_refuses_and_key_zero_is_invalid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
