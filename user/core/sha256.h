/* SPDX-License-Identifier: GPL-2.0-only */
/* SHA-256 by OpenSSL, for names of content: files, objects, policies. */
#ifndef WV_CORE_SHA256_H
#define WV_CORE_SHA256_H

#include <stddef.h>

#define WV_SHA256_HEX 65

struct wv_sha256 {
	struct evp_md_ctx_st *ctx; /* NULL: the library failed; then so does the sum */
};

void wv_sha256_init(struct wv_sha256 *s);
void wv_sha256_add(struct wv_sha256 *s, const void *data, size_t len);
/* Lower-case hex of all that was added, "" if the library failed. Releases s. */
void wv_sha256_end(struct wv_sha256 *s, char ret[WV_SHA256_HEX]);
/* All at once. */
void wv_sha256_hex(const void *data, size_t len, char ret[WV_SHA256_HEX]);

#endif
