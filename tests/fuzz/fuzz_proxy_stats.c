// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer target: any bytes as HAProxy's answer on its statistics socket. */
#include <stdlib.h>
#include <string.h>

#include "user/proxy/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void each(void *ctx, const struct wv_stats_row *row)
{
	(void)ctx;
	for (const char *p = row->status; *p; p++)
		if ((unsigned char)*p < ' ')
			abort();
	if (!*row->proxy || !*row->server || strlen(row->proxy) >= sizeof(row->proxy))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *text = malloc(len + 1);

	if (!text)
		abort();
	memcpy(text, bytes, len);
	text[len] = '\0';
	(void)wv_stats_parse(text, each, NULL);
	(void)wv_stats_pid(text);
	free(text);
	return 0;
}
