// SPDX-License-Identifier: GPL-2.0-only
/* Unions of spans and the shares of a window, against one byte a nanosecond. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gpu/spans.h"
#include "user/core/cleanup.h"

#define LENGTH 400
#define ROUNDS 20000

static uint64_t random_state = 88172645463325252ULL;

/* xorshift64: the same on every machine, so that a failure can be repeated */
static unsigned pick(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state % n);
}

static void assert_ordered(const struct wv_spans *s)
{
	for (size_t i = 0; i < s->n; i++) {
		assert_true(s->at[i].begin < s->at[i].end);
		assert_true(i == 0 || s->at[i - 1].end < s->at[i].begin);
	}
}

/* Adds some spans to a set and to its bytes; mostly in order, as a device reports them. */
static void fill(struct wv_spans *s, char bytes[LENGTH], unsigned n)
{
	unsigned at = 0;

	memset(bytes, 0, LENGTH);
	for (unsigned i = 0; i < n; i++) {
		unsigned begin = pick(4) ? at + pick(20) : pick(LENGTH), len = pick(30);

		if (begin + len > LENGTH)
			continue;
		at = begin + len;
		wv_spans_add(s, begin, begin + len);
		memset(bytes + begin, 1, len);
		assert_ordered(s);
	}
}

struct gaps {
	char bytes[LENGTH];
	uint64_t last;
	unsigned n;
};

static void on_idle(void *ctx, uint64_t begin, uint64_t end)
{
	struct gaps *g = ctx;

	assert_true(begin < end && end <= LENGTH);
	assert_true(g->n == 0 || begin > g->last); /* whole gaps: two never touch */
	memset(g->bytes + begin, 1, end - begin);
	g->last = end;
	g->n++;
}

static void spans_random_agree_with_bytes(void **state _unused_)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct wv_span memory[3][64];
		struct wv_spans set[3];
		char bytes[3][LENGTH];
		unsigned begin = pick(LENGTH), end = begin + pick(LENGTH - begin + 1);
		struct wv_gpu_shares got, want = {.window = end - begin};
		struct gaps gaps = {.n = 0};

		for (unsigned i = 0; i < 3; i++) {
			wv_spans_init(&set[i], memory[i], ARRAY_SIZE(memory[i]));
			fill(&set[i], bytes[i], pick(16));
		}
		wv_gpu_account(&set[0], &set[1], &set[2], begin, end, &got, on_idle, &gaps);
		for (unsigned t = begin; t < end; t++) {
			int k = bytes[0][t], c = bytes[1][t], m = bytes[2][t];

			want.kernel += (uint64_t)k;
			want.comms += (uint64_t)c;
			want.exposed += (uint64_t)(c && !k);
			want.overlapped += (uint64_t)(c && k);
			want.memory += (uint64_t)(m && !k && !c);
			want.idle += (uint64_t)(!k && !c && !m);
			assert_int_equal(gaps.bytes[t], !k && !c && !m);
		}
		assert_memory_equal(&got, &want, sizeof(got));
		assert_int_equal(got.kernel + got.exposed + got.memory + got.idle, got.window);
		assert_int_equal(wv_spans_length(&set[0], begin, end), want.kernel);
	}
}

static void spans_forget_leaves_what_is_later(void **state _unused_)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct wv_span memory[64];
		struct wv_spans s;
		char bytes[LENGTH];
		unsigned until = pick(LENGTH);
		uint64_t later = 0;

		wv_spans_init(&s, memory, ARRAY_SIZE(memory));
		fill(&s, bytes, pick(16));
		wv_spans_forget(&s, until);
		assert_ordered(&s);
		for (unsigned t = until; t < LENGTH; t++)
			later += (uint64_t)bytes[t];
		assert_int_equal(wv_spans_length(&s, 0, LENGTH), later);
	}
}

static void spans_full_closes_the_smallest_gap_and_counts_it(void **state _unused_)
{
	struct wv_span memory[3];
	struct wv_spans s;

	wv_spans_init(&s, memory, 3);
	wv_spans_add(&s, 0, 10);
	wv_spans_add(&s, 15, 20);
	wv_spans_add(&s, 22, 30);
	wv_spans_add(&s, 100, 110);
	assert_int_equal(s.closed_ns, 2);
	assert_int_equal(s.n, 3);
	assert_int_equal(wv_spans_length(&s, 0, 1000), 10 + 15 + 10);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct wv_span few[4], many[128];
		struct wv_spans a, b;

		wv_spans_init(&a, few, 4);
		wv_spans_init(&b, many, 128);
		for (unsigned i = 0; i < 20; i++) {
			unsigned begin = pick(LENGTH), end = begin + pick(20);

			wv_spans_add(&a, begin, end);
			wv_spans_add(&b, begin, end);
			assert_ordered(&a);
		}
		/* what was closed may have been filled later: an upper bound of the error */
		assert_true(wv_spans_length(&a, 0, 1000) >= wv_spans_length(&b, 0, 1000));
		assert_true(wv_spans_length(&a, 0, 1000) - wv_spans_length(&b, 0, 1000) <=
			    a.closed_ns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spans_random_agree_with_bytes),
		cmocka_unit_test(spans_forget_leaves_what_is_later),
		cmocka_unit_test(spans_full_closes_the_smallest_gap_and_counts_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
