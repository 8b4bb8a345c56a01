// SPDX-License-Identifier: GPL-2.0-only
#include "user/otlp/ids.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

void wv_otlp_hex(const uint8_t *bytes, unsigned n, char *ret)
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < n; i++) {
		ret[2 * i] = digits[bytes[i] >> 4];
		ret[2 * i + 1] = digits[bytes[i] & 15];
	}
	ret[2 * n] = '\0';
}

/* A digest whose first part is zero is as unlikely as two that are equal, but forbidden. */
static void copy_id(uint8_t *to, const uint8_t *from, unsigned n)
{
	uint8_t any = 0;

	for (unsigned i = 0; i < n; i++)
		any |= to[i] = from[i];
	if (!any)
		to[n - 1] = 1;
}

static void digest(const char *text, int len, size_t size, uint8_t ret[SHA256_DIGEST_LENGTH])
{
	if (len < 0)
		len = 0;
	if ((size_t)len >= size)
		len = (int)size - 1;
	(void)SHA256((const unsigned char *)text, (size_t)len, ret);
}

void wv_trace_ids(const char *kind, const char *run_id, uint64_t number, struct wv_trace_ids *ret)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	char text[256];
	int len = snprintf(text, sizeof(text), "waveos-trace-v1\n%s\n%s\n%" PRIu64 "\n", kind,
			   run_id, number);

	digest(text, len, sizeof(text), sum);
	copy_id(ret->trace, sum, WV_TRACE_ID_SIZE);
	copy_id(ret->span, sum + WV_TRACE_ID_SIZE, WV_SPAN_ID_SIZE);
}

void wv_span_id(const uint8_t trace[WV_TRACE_ID_SIZE], const char *name, uint64_t number,
		uint8_t ret[WV_SPAN_ID_SIZE])
{
	char hex[2 * WV_TRACE_ID_SIZE + 1], text[256];
	uint8_t sum[SHA256_DIGEST_LENGTH];
	int len;

	wv_otlp_hex(trace, WV_TRACE_ID_SIZE, hex);
	len = snprintf(text, sizeof(text), "waveos-span-v1\n%s\n%s\n%" PRIu64 "\n", hex, name,
		       number);
	digest(text, len, sizeof(text), sum);
	copy_id(ret, sum, WV_SPAN_ID_SIZE);
}
