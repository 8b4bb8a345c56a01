// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target: any bytes as a proof. needs: user/evidence/proof.h
 * Nothing may hold that our key did not sign, and what does not hold says why.
 */
#include <stdlib.h>
#include <string.h>

#include "user/evidence/proof.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct wv_secret_key key;
	static struct wv_note_verifier verifier;
	struct wv_proof_facts facts = {0};

	if (!verifier.id) {
		memset(key.seed, 7, sizeof(key.seed));
		if (wv_key_derive(&key) < 0 ||
		    wv_note_verifier_init(&verifier, "fuzz.example/log", WV_NOTE_ED25519,
					  &key.public_key) < 0)
			abort();
	}
	if (wv_proof_check((const char *)bytes, len, &verifier, 1, &facts) == 0 && !facts.size)
		abort();
	wv_proof_facts_done(&facts);
	return 0;
}
