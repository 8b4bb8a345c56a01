// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer target: any bytes as a policy; what is refused is told why. */
#include <stdlib.h>

#include "user/policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct wv_config_error error = {""};
	struct wv_policy *p = NULL;

	if (wv_policy_load_memory(&p, "fuzz", (const char *)bytes, len, &error) < 0) {
		if (!*error.text || p)
			abort();
		return 0;
	}
	wv_policy_free(p);
	return 0;
}
