// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <zstd.h>

#include "user/core/bpf_set.h"
#include "user/core/cleanup.h"

#define SIZE 4096

static char btf[SIZE], raw[SIZE];
static char packed_btf[ZSTD_COMPRESSBOUND(SIZE)], packed_raw[ZSTD_COMPRESSBOUND(SIZE)];
static size_t btf_size, raw_size;

static const void *elf_btf(size_t *size)
{
	*size = btf_size;
	return packed_btf;
}

static const void *elf_raw(size_t *size)
{
	*size = raw_size;
	return packed_raw;
}

static const struct wv_object both = {.name = "both", .elf_btf = elf_btf, .elf_raw = elf_raw};
static const struct wv_object one = {.name = "one", .elf_btf = elf_btf};

/* As the build does: the raw one as a difference from the other. */
static int pack(void **state _unused_)
{
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	uint32_t x = 1;

	for (size_t i = 0; i < SIZE; i++)
		btf[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
	memcpy(raw, btf, SIZE);
	raw[100] ^= 1;
	btf_size = ZSTD_compress2(ctx, packed_btf, sizeof(packed_btf), btf, SIZE);
	ZSTD_CCtx_refPrefix(ctx, btf, SIZE);
	raw_size = ZSTD_compress2(ctx, packed_raw, sizeof(packed_raw), raw, SIZE);
	ZSTD_freeCCtx(ctx);
	assert_true(btf_size > SIZE / 2);
	assert_true(raw_size < SIZE / 8);
	return 0;
}

static void expect(const struct wv_object *o, enum wv_flavour flavour, const char *wanted)
{
	_cleanup_free_ void *elf = NULL;
	size_t size = 0;

	assert_int_equal(wv_object_unpack(o, flavour, &elf, &size), 0);
	assert_int_equal(size, SIZE);
	assert_memory_equal(elf, wanted, SIZE);
}

static void unpack_each_flavour_gives_its_bytes(void **state _unused_)
{
	expect(&both, WV_FLAVOUR_BTF, btf);
	expect(&both, WV_FLAVOUR_RAW, raw);
	expect(&one, WV_FLAVOUR_RAW, btf);
}

static void unpack_damaged_bytes_are_refused(void **state _unused_)
{
	void *elf = &elf;
	size_t size = 7;

	btf_size /= 2;
	assert_int_equal(wv_object_unpack(&both, WV_FLAVOUR_BTF, &elf, &size), -EBADMSG);
	assert_int_equal(wv_object_unpack(&both, WV_FLAVOUR_RAW, &elf, &size), -EBADMSG);
	assert_ptr_equal(elf, &elf);
	assert_int_equal(size, 7);
}

/* A frame that says it is larger than any object: nothing is allocated for it. */
static void unpack_too_large_is_refused(void **state _unused_)
{
	static char zeros[(2 << 20) + 1];
	void *elf = NULL;
	size_t size;

	btf_size = ZSTD_compress(packed_btf, sizeof(packed_btf), zeros, sizeof(zeros), 1);
	assert_false(ZSTD_isError(btf_size));
	assert_int_equal(wv_object_unpack(&one, WV_FLAVOUR_BTF, &elf, &size), -EBADMSG);
	assert_null(elf);
}

static void hash(enum wv_flavour flavour, char ret[WV_SHA256_HEX])
{
	struct wv_sha256 sum;

	wv_sha256_init(&sum);
	wv_object_hash(&both, flavour, &sum);
	wv_sha256_end(&sum, ret);
}

/* What the raw build differs by may stay the same bytes when both builds change. */
static void hash_of_raw_changes_with_the_other_build(void **state _unused_)
{
	char before[WV_SHA256_HEX], after[WV_SHA256_HEX], other[WV_SHA256_HEX];

	hash(WV_FLAVOUR_RAW, before);
	hash(WV_FLAVOUR_BTF, other);
	assert_string_not_equal(before, other);
	packed_btf[btf_size - 1] ^= 1;
	hash(WV_FLAVOUR_RAW, after);
	assert_string_not_equal(before, after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(unpack_each_flavour_gives_its_bytes, pack),
		cmocka_unit_test_setup(unpack_damaged_bytes_are_refused, pack),
		cmocka_unit_test_setup(unpack_too_large_is_refused, pack),
		cmocka_unit_test_setup(hash_of_raw_changes_with_the_other_build, pack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
