// SPDX-License-Identifier: GPL-2.0-only
/* Notes, checkpoints, keys, minisign files and proofs as they come from outside. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "user/evidence/proof.h"
#include "user/evidence/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char key[] = "PeterNeumann+c74f20a3+"
				  "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
	char *text = strndup((const char *)data, size), *again;
	struct wv_note_verifier v, parsed;
	struct wv_proof_facts facts;
	struct wv_checkpoint c;
	unsigned char id[8];
	size_t text_len, at = 0, n;
	uint64_t by;

	if (!text || wv_note_verifier_parse(key, &v) < 0)
		abort();
	if (wv_note_open((const char *)data, size, &v, 1, &by, NULL, &text_len) == 0 &&
	    text_len >= size)
		abort();
	/* an accepted text has one spelling, but for extension lines */
	if (wv_checkpoint_parse((const char *)data, size, &c) == 0 &&
	    wv_checkpoint_text(&c, &again) == 0) {
		if (strncmp(again, text, strlen(again)) != 0)
			abort();
		free(again);
	}
	if (wv_note_verifier_parse(text, &parsed) == 0 &&
	    wv_note_verifier_format(&parsed, &again) == 0) {
		if (strcmp(again, text) != 0)
			abort();
		free(again);
	}
	while (wv_notes_next((const char *)data, size, &at, &n))
		;
	(void)wv_minisign_parse_public(text, &v.key, id);
	(void)wv_minisign_check(&v.key, "x", 1, text);
	(void)wv_proof_check(text, strlen(text), &v, 1, &facts);
	wv_proof_facts_done(&facts);
	free(text);
	return 0;
}
