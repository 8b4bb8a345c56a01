// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target of what is signed. The first byte says as what the rest is read: manifest, root,
 * index, or an envelope. A manifest that is taken must come out as the same bytes. Built with clang
 * -fsanitize=fuzzer,address,undefined.
 */
#include <stdlib.h>
#include <string.h>

#include "user/bundle/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void same(int r, char *again, size_t again_len, const char *text, size_t len)
{
	if (r < 0 || again_len != len || memcmp(again, text, len) != 0)
		__builtin_trap();
	free(again);
}

static int fuzz_manifest(const char *text, size_t len, struct wv_manifest_error *error)
{
	struct wv_manifest m;
	char *again = NULL;
	size_t again_len = 0;
	int r = wv_manifest_parse(text, len, &m, error);

	if (r < 0)
		return r;
	r = wv_manifest_text(&m, &again, &again_len);
	same(r, again, again_len, text, len);
	wv_manifest_done(&m);
	return 0;
}

static int fuzz_root(const char *text, size_t len, struct wv_manifest_error *error)
{
	static struct wv_root root, opened;
	char *again = NULL;
	size_t again_len = 0;
	int r = wv_root_parse(text, len, &root, error);

	if (r < 0)
		return wv_root_open(NULL, text, len, &opened, error);
	r = wv_root_text(&root, &again, &again_len);
	same(r, again, again_len, text, len);
	return 0;
}

static int fuzz_index(const char *text, size_t len, struct wv_manifest_error *error)
{
	struct wv_bundle_index index;
	char *again = NULL;
	size_t again_len = 0;
	int r = wv_bundle_index_parse(text, len, &index, error);

	if (r < 0)
		return r;
	r = wv_bundle_index_text(&index, &again, &again_len);
	same(r, again, again_len, text, len);
	wv_bundle_index_done(&index);
	return 0;
}

static int fuzz_envelope(const char *text, size_t len, struct wv_manifest_error *error)
{
	struct wv_dsse d;
	int r = wv_dsse_parse(text, len, WV_TYPE_INDEX, len % 2, &d, error);

	if (r == 0)
		wv_dsse_done(&d);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static int (*const parsers[])(const char *text, size_t len,
				      struct wv_manifest_error *error) = {
		fuzz_manifest, fuzz_root, fuzz_index, fuzz_envelope};
	struct wv_manifest_error error = {""};

	if (len && parsers[bytes[0] % 4]((const char *)bytes + 1, len - 1, &error) < 0 &&
	    !*error.text)
		__builtin_trap();
	return 0;
}
