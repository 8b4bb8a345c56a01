// SPDX-License-Identifier: GPL-2.0-only
/* What is taken for canonical is what the writer makes of it; reading never leaves the bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "user/evidence/canonical.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Doubles from 2^63 to 10^21 are written like integers, which json-c then reads as its largest. */
static int has_long_number(const uint8_t *data, size_t size)
{
	size_t digits = 0;

	for (size_t i = 0; i < size && digits < 19; i++)
		digits = data[i] >= '0' && data[i] <= '9' ? digits + 1 : 0;
	return digits >= 19;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_tokener *t;
	struct json_object *o;
	char *text, *copy;
	size_t len;

	if (wv_canonical_check((const char *)data, size) != 0 || has_long_number(data, size))
		return 0;
	copy = strndup((const char *)data, size);
	t = json_tokener_new_ex(65);
	o = copy && t ? json_tokener_parse_ex(t, copy, (int)size + 1) : NULL;
	if (t && json_tokener_get_error(t) == json_tokener_success &&
	    wv_canonical(o, &text, &len) == 0) {
		if (len != size || memcmp(text, data, size) != 0)
			abort();
		free(text);
	}
	json_object_put(o);
	json_tokener_free(t);
	free(copy);
	return 0;
}
