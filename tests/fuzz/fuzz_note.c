// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target. An even first byte: any bytes as a signed note, as a checkpoint and as a
 * verifier key; nothing may verify that our key did not sign. Odd: any bytes as a text that our key
 * signs; if it is one, the note must open, and one changed byte of the text must not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/evidence/note.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define NAME "fuzz.example/log"

static struct wv_secret_key key;
static struct wv_note_verifier verifier;

static void start(void)
{
	static bool done;

	if (done)
		return;
	memset(key.seed, 7, sizeof(key.seed));
	if (wv_key_derive(&key) < 0 ||
	    wv_note_verifier_init(&verifier, NAME, WV_NOTE_ED25519, &key.public_key) < 0)
		abort();
	done = true;
}

static void parse_checkpoint(const char *text, size_t len)
{
	struct wv_checkpoint c, d;
	char *out = NULL;

	if (wv_checkpoint_parse(text, len, &c) < 0)
		return;
	/* what was read can be written and read again */
	if (wv_checkpoint_text(&c, &out) < 0 || wv_checkpoint_parse(out, strlen(out), &d) < 0 ||
	    memcmp(&c.root, &d.root, sizeof(c.root)) != 0 || c.size != d.size ||
	    strcmp(c.origin, d.origin) != 0)
		abort();
	free(out);
}

static void parse_verifier(const char *text)
{
	struct wv_note_verifier v;
	char *out = NULL;

	if (wv_note_verifier_parse(text, &v) < 0)
		return;
	if (wv_note_verifier_format(&v, &out) < 0 || wv_note_verifier_parse(out, &v) < 0)
		abort();
	free(out);
}

static void sign(char *text, size_t len)
{
	uint64_t set = 0;
	size_t text_len;
	char *note = NULL;

	if (strlen(text) != len || wv_note_sign(text, NAME, &key, &note) < 0)
		return;
	if (wv_note_open(note, strlen(note), &verifier, 1, &set, NULL, &text_len) < 0) {
		/* too large for a note */
		if (strlen(note) <= WV_NOTE_MAX)
			abort();
	} else if (set != 1 || text_len != len || memcmp(note, text, len) != 0) {
		abort();
	} else if (len) {
		note[len / 2] ^= note[len / 2] == 'a' ? 3 : 'a' ^ note[len / 2];
		set = 0;
		if (memcmp(note, text, len) != 0 &&
		    wv_note_open(note, strlen(note), &verifier, 1, &set, NULL, &text_len) == 0 &&
		    set)
			abort();
	}
	free(note);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	uint64_t set = 0, times[1];
	size_t text_len = 0;
	char *text;

	start();
	if (!len)
		return 0;
	text = malloc(len);
	if (!text)
		abort();
	memcpy(text, bytes + 1, len - 1);
	text[len - 1] = '\0';
	if (bytes[0] % 2) {
		sign(text, len - 1);
	} else {
		if (wv_note_open(text, len - 1, &verifier, 1, &set, times, &text_len) == 0 &&
		    text_len > len - 1)
			abort();
		parse_checkpoint(text, len - 1);
		parse_verifier(text);
	}
	free(text);
	return 0;
}
