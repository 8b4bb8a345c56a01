// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer target: any bytes as what a training tells of its steps, and as where its time went;
 * parts never exceed wholes. */
#include <stdlib.h>
#include <string.h>

#include "user/tune/where.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct wv_tune_steps s;
	const char *text = (const char *)bytes;
	const char *cut = len ? memchr(text, '\0', len) : NULL;
	size_t n = cut ? (size_t)(cut - text) : len;
	struct wv_tune_shares shares;
	uint64_t sum = 0;

	if (wv_tune_steps_parse(text, n, &s) < 0 && !s.why[0])
		abort();
	if (s.n > WV_TUNE_STEPS)
		abort();
	for (uint32_t i = 0; i < s.n; i++)
		if (s.step_ns[i] == 0 || s.wait_ns[i] > s.step_ns[i])
			abort();
	(void)wv_tune_where_shares(cut ? cut + 1 : NULL, cut ? len - n - 1 : 0, &s, 1, &shares);
	if (shares.device || !s.waits)
		return 0;
	for (int c = 0; c < WV_GPU_CAUSE_N; c++)
		sum += shares.cause_ns[c];
	if (sum != shares.window)
		abort();
	return 0;
}
