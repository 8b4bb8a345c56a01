// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer target: any bytes as a configuration file. Built with clang
 * -fsanitize=fuzzer,address,undefined. */
#include "user/core/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct wv_config_error error = {""};
	struct wv_config c;

	if (wv_config_init(&c) < 0)
		__builtin_trap();
	if (wv_config_load_memory(&c, "fuzz", (const char *)bytes, len, &error) < 0 && !*error.text)
		__builtin_trap();
	wv_config_done(&c);
	return 0;
}
