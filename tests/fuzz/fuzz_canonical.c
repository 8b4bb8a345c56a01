// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target: any bytes as JSON. What the check calls canonical must come out of the writer
 * as it went in, and whatever the writer makes of a value must pass the check.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "user/evidence/canonical.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* json-c reads integers over 64 bits as the largest one: what stands there is not what it was. */
static bool has_huge_number(const char *text)
{
	for (size_t run = 0; *text; text++) {
		run = *text >= '0' && *text <= '9' ? run + 1 : 0;
		if (run >= 19)
			return true;
	}
	return false;
}

static struct json_object *parse(const char *text, size_t len)
{
	struct json_tokener *t = json_tokener_new_ex(64);
	struct json_object *o;

	if (!t)
		abort();
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(t, text, (int)len);
	if (json_tokener_get_error(t) != json_tokener_success) {
		json_object_put(o);
		o = NULL;
	}
	json_tokener_free(t);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *text = malloc(len + 1), *out = NULL, *again = NULL;
	size_t out_len = 0, again_len = 0;
	struct json_object *o;
	int checked;

	if (!text)
		abort();
	memcpy(text, bytes, len);
	text[len] = '\0';
	checked = wv_canonical_check(text, len);
	/* with its NUL, as a value may end with the text's end (a number) */
	o = parse(text, len + 1);
	if (o && wv_canonical(o, &out, &out_len) == 0) {
		if (wv_canonical_check(out, out_len) != 0)
			abort();
		if (checked == 0 && !has_huge_number(text) &&
		    (out_len != len || memcmp(out, text, len) != 0))
			abort();
		json_object_put(o);
		o = parse(out, out_len + 1);
		if (has_huge_number(out))
			goto done;
		if (!o || wv_canonical(o, &again, &again_len) < 0 || again_len != out_len ||
		    memcmp(out, again, out_len) != 0)
			abort();
	}
done:
	json_object_put(o);
	free(again);
	free(out);
	free(text);
	return 0;
}
