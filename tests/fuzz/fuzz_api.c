// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer target: any bytes as a message of either side of the API, as the file of tokens, as a
 * token, a path and headers. What decodes must encode to the same again, and become no option of a
 * verb. */
#include <stdlib.h>
#include <string.h>

#include "user/access/tokens.h"
#include "user/api/api.h"
#include "user/export/web_api.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static char out[WV_API_MESSAGE_MAX];

static void as_verb(const struct wv_api_request *q)
{
	static struct wv_api_ask ask;
	static struct wv_paths paths;
	struct wv_api a = {.paths = &paths};
	struct wv_api_verb v;
	const char *why = NULL;

	if (q->kind != WV_API_REQUEST || !wv_api_is_verb((enum wv_api_route)q->route))
		return;
	(void)wv_paths_init(&paths, "/r");
	ask = (struct wv_api_ask){.route = (enum wv_api_route)q->route,
				  .number = q->number,
				  .body = 0,
				  .n_params = q->n_params};
	for (size_t i = 0; i < q->n_params; i++) {
		snprintf(ask.params[i].key, sizeof(ask.params[i].key), "%s", q->params[i].key);
		snprintf(ask.params[i].value, sizeof(ask.params[i].value), "%s",
			 q->params[i].value);
	}
	if (wv_api_verb_of(&a, &ask, &v, &why) < 0) {
		if (!why)
			__builtin_trap();
		return;
	}
	/* a client's text is an option only behind the `--` */
	for (size_t i = 1; v.argv[i] && strcmp(v.argv[i], "--") != 0; i++)
		for (size_t k = 0; k < ask.n_params; k++)
			if (v.argv[i] == ask.params[k].value && v.argv[i][0] == '-')
				__builtin_trap();
}

static void as_message(const uint8_t *bytes, size_t len)
{
	struct wv_api_request q;
	struct wv_api_answer a;

	if (wv_api_request_decode(bytes, len, &q) == 0) {
		if (wv_api_request_encode(&q, out, sizeof(out)) != (ssize_t)len ||
		    memcmp(out, bytes, len) != 0)
			__builtin_trap();
		as_verb(&q);
	}
	if (wv_api_answer_decode(bytes, len, &a) == 0 &&
	    (wv_api_answer_encode(&a, out, sizeof(out)) != (ssize_t)len ||
	     memcmp(out, bytes, len) != 0))
		__builtin_trap();
}

static void as_text(const char *text, size_t len)
{
	struct wv_tokens tokens;
	enum wv_api_route route;
	const char *why, *token;
	uint64_t number;
	size_t n = 0;

	if (wv_tokens_parse(text, len, &tokens) == 0) {
		if (wv_tokens_find(&tokens, text, len, 1, &why))
			__builtin_trap();
		wv_tokens_done(&tokens);
	}
	(void)wv_web_api_route("GET", text, &route, &number);
	(void)wv_web_api_route("POST", text, &route, &number);
	token = wv_web_bearer(text, &n);
	if (token && (token < text || token + n > text + strlen(text)))
		__builtin_trap();
	(void)wv_web_host_is_literal(text);
	(void)wv_web_origin_is_own(text, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *text = malloc(len + 1);

	if (!text)
		return 0;
	memcpy(text, bytes, len);
	text[len] = '\0';
	as_message(bytes, len);
	as_text(text, len);
	free(text);
	return 0;
}
