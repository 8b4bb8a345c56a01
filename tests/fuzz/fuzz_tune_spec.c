// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer target: any bytes as a tuning's specification; what is refused is told why. */
#include <stdlib.h>

#include "gpu/tune/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct wv_config_error error = {""};
	struct wv_tune_spec s;

	if (wv_tune_spec_parse(&s, "fuzz", (const char *)bytes, len, 8, &error) < 0) {
		if (!*error.text)
			abort();
		return 0;
	}
	wv_tune_spec_done(&s);
	return 0;
}
