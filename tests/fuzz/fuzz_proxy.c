// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target: any bytes as keys of a declared proxy (first byte even) or as a whole
 * configuration; what is accepted must translate into lines of ours only.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/proxy_words.h"
#include "user/proxy/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const char before[] =
		"proxies:\n  - name: a\n    listen: 127.0.0.1:80\n    upstream: "
		"127.0.0.1:81\n    ";
	const struct wv_proxy_place place = {.socket = "/s", .chroot = "/e", .uid = 1, .gid = 1};
	struct wv_config_error error = {""};
	struct wv_config c;
	char *text, *out = NULL;
	size_t n = 0, lines;

	if (!len)
		return 0;
	text = malloc(sizeof(before) + len);
	if (!text || wv_config_init(&c) < 0)
		abort();
	if (bytes[0] % 2 == 0) {
		memcpy(text, before, sizeof(before) - 1);
		n = sizeof(before) - 1;
	}
	memcpy(text + n, bytes + 1, len - 1);
	if (wv_config_load_memory(&c, "fuzz", text, n + len - 1, &error) == 0 &&
	    wv_proxy_translate(&c, &place, &out, &error) == 0 && proxy_words_wrong(out, &lines)) {
		fprintf(stderr, "%s:\n%s", proxy_words_wrong(out, &lines), out);
		abort();
	}
	free(out);
	free(text);
	wv_config_done(&c);
	return 0;
}
