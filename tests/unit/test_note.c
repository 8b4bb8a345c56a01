// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/core/base64.h"
#include "user/core/cleanup.h"
#include "user/evidence/note.h"
#include "user/evidence/utf8.h"

#define DASH "\xe2\x80\x94 "
/* the specification's example */
#define SPEC_KEY "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
#define SPEC_TEXT "This is an example message.\n"
#define SPEC_LINE                                                                                  \
	DASH "example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH" \
	     "3mFXmRKuwHjG1Yu72IneyaQM=\n"
/* that of the first implementation, whose text has an empty line in front of the signatures only */
#define GO_KEY "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
#define GO_NOTE                                                                                    \
	"If you think cryptography is the answer to your problem,\n"                               \
	"then you don't know what your problem is.\n\n" DASH "PeterNeumann "                       \
	"x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb"           \
	"6KE6RyyBwJnAM=\n"

static int opened(const char *note, const char *vkey, uint64_t *ret_signed, size_t *ret_text_len)
{
	struct wv_note_verifier v;

	assert_int_equal(wv_note_verifier_parse(vkey, &v), 0);
	return wv_note_open(note, strlen(note), &v, 1, ret_signed, NULL, ret_text_len);
}

static void note_published_examples_verify(void **state _unused_)
{
	uint64_t by = 0;
	size_t len = 0;

	assert_int_equal(opened(SPEC_TEXT "\n" SPEC_LINE, SPEC_KEY, &by, &len), 0);
	assert_int_equal(by, 1);
	assert_int_equal(len, strlen(SPEC_TEXT));
	assert_int_equal(opened(GO_NOTE, GO_KEY, &by, &len), 0);
	assert_int_equal(by, 1);
	assert_int_equal(len, strstr(GO_NOTE, "\n\n") + 1 - GO_NOTE);
	/* one that it is not signed by */
	assert_int_equal(opened(GO_NOTE, SPEC_KEY, &by, &len), 0);
	assert_int_equal(by, 0);
}

/* a checkpoint of a public log, cosigned by public witnesses on 23 May 2026 */
static void cosignature_of_public_witnesses_verifies(void **state _unused_)
{
	static const char note[] =
		"arche2025h1.staging.ct.transparency.dev\n1432088532\n"
		"U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\n" DASH
		"transparency.dev/DEV:witness-little-garden "
		"2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/"
		"KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==\n" DASH
		"witness1.smartit.nu/witness1 "
		"pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH"
		"+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==\n" DASH "remora.n621.de "
		"2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVC"
		"IobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==\n";
	static const char *const keys[] = {
		"transparency.dev/DEV:witness-little-garden+d8042a87+"
		"BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
		"witness1.smartit.nu/"
		"witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
		"remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
	};
	uint64_t by = 0, times[ARRAY_SIZE(keys)];
	struct wv_note_verifier v[ARRAY_SIZE(keys)];
	struct wv_checkpoint c;
	size_t len = 0, i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		assert_int_equal(wv_note_verifier_parse(keys[i], &v[i]), 0);
	assert_int_equal(wv_note_open(note, strlen(note), v, ARRAY_SIZE(keys), &by, times, &len),
			 0);
	assert_int_equal(by, 7);
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		assert_int_equal(times[i], 0x6a122120);
	assert_int_equal(wv_checkpoint_parse(note, len, &c), 0);
	assert_int_equal(c.size, 1432088532);
}

static void note_verifier_key_comes_back(void **state _unused_)
{
	static const char *const keys[] = {
		SPEC_KEY,
		GO_KEY,
		"EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
		/* a plus in base64; a witness's key */
		"TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
		"remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
	};
	struct wv_note_verifier v;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		_cleanup_free_ char *text = NULL;

		assert_int_equal(wv_note_verifier_parse(keys[i], &v), 0);
		assert_int_equal(wv_note_verifier_format(&v, &text), 0);
		assert_string_equal(text, keys[i]);
	}
	assert_int_equal(v.algorithm, WV_NOTE_COSIGNATURE_V1);
	assert_int_equal(v.id, 0xda77ade7);
}

static void note_verifier_key_that_is_none_is_refused(void **state _unused_)
{
	static const char *const wrong[] = {
		"",
		"example.com/foo",
		"example.com/foo+530d903a",
		"example.com/foo+530d903a+",
		"+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		/* id of another, in capitals, too short */
		"example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		"example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		"example.com/foo+530d903+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		/* another name, white space in it, another algorithm */
		"example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		"example com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		"example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		"example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n",
		"example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3Q==",
	};
	struct wv_note_verifier v;
	struct wv_public_key key = {{0}};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		if (wv_note_verifier_parse(wrong[i], &v) != -EINVAL)
			fail_msg("accepted \"%s\"", wrong[i]);
	assert_int_equal(wv_note_verifier_init(&v, "a+b", WV_NOTE_ED25519, &key), -EINVAL);
	assert_int_equal(wv_note_verifier_init(&v,
					       "a\xc2\xa0"
					       "b",
					       WV_NOTE_ED25519, &key),
			 -EINVAL);
	assert_int_equal(wv_note_verifier_init(&v, "\xff", WV_NOTE_ED25519, &key), -EINVAL);
	assert_int_equal(wv_note_verifier_init(&v, "", WV_NOTE_ED25519, &key), -EINVAL);
}

static void note_any_changed_character_is_refused(void **state _unused_)
{
	static const char original[] = SPEC_TEXT "\n" SPEC_LINE;
	char note[sizeof(original)];
	uint64_t by;
	size_t i, len;
	int r;

	for (i = 0; i < sizeof(original) - 1; i++) {
		memcpy(note, original, sizeof(note));
		note[i] ^= 1;
		by = 0;
		r = opened(note, SPEC_KEY, &by, &len);
		/* of another name or id: the signature of somebody unknown */
		if (r == 0 && by == 0)
			continue;
		if (r != -EBADMSG && r != -EPROTO)
			fail_msg("character %zu: %d, signed %d", i, r, (int)by);
	}
}

static void note_that_is_none_is_refused(void **state _unused_)
{
	static const char *const wrong[] = {
		"",
		"\n",
		"\n\n",
		SPEC_TEXT,
		SPEC_TEXT "\n",
		SPEC_TEXT SPEC_LINE,
		SPEC_TEXT "\nrubbish\n",
		SPEC_TEXT "\n" SPEC_LINE "rubbish\n",
		SPEC_TEXT "\n" SPEC_LINE "\n",
		SPEC_TEXT "\r\n" SPEC_LINE,
		"\tThis\n\n" SPEC_LINE,
		"\xff\n\n" SPEC_LINE,
		SPEC_TEXT "\n- example.com/foo Uw2QOkn8srV1\n",
		SPEC_TEXT "\n" DASH "example.com/foo\n",
		SPEC_TEXT "\n" DASH "example.com/foo \n",
		SPEC_TEXT "\n" DASH "example.com/foo AAAA\n",
		SPEC_TEXT "\n" DASH " Uw2QOkn8srV1\n",
		SPEC_TEXT "\n" DASH "a+b Uw2QOkn8srV1\n",
	};
	uint64_t by;
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		if (opened(wrong[i], SPEC_KEY, &by, &len) != -EPROTO)
			fail_msg("accepted note %zu", i);
}

static void note_with_too_many_signatures_is_refused(void **state _unused_)
{
	char note[WV_NOTE_MAX];
	uint64_t by = 0;
	size_t len, n;
	int i;

	n = (size_t)snprintf(note, sizeof(note), SPEC_TEXT "\n");
	for (i = 0; i < WV_NOTE_SIGNATURES_MAX - 1; i++)
		n += (size_t)snprintf(note + n, sizeof(note) - n, DASH "w/%d AAAAAAAA\n", i);
	n += (size_t)snprintf(note + n, sizeof(note) - n, SPEC_LINE);
	assert_int_equal(opened(note, SPEC_KEY, &by, &len), 0);
	assert_int_equal(by, 1);
	snprintf(note + n, sizeof(note) - n, SPEC_LINE);
	assert_int_equal(opened(note, SPEC_KEY, &by, &len), -EPROTO);
}

#define SOFA_TEXT                                                                                  \
	"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
#define SOFA_TIME 1679315147ULL

/* The signed message is written out here as the specification has it. */
static void cosignature_signs_what_the_specification_says(void **state _unused_)
{
	static const char message[] = "cosignature/v1\ntime 1679315147\n" SOFA_TEXT;
	static const char head[] = DASH "witness.example.com/w1 ";
	_cleanup_free_ char *line = NULL;
	unsigned char bytes[4 + 8 + 64];
	struct wv_note_verifier v;
	struct wv_secret_key key;
	size_t len;

	assert_int_equal(wv_key_generate(&wv_io_system, &key), 0);
	assert_int_equal(wv_note_verifier_init(&v, "witness.example.com/w1", WV_NOTE_COSIGNATURE_V1,
					       &key.public_key),
			 0);
	assert_int_equal(
		wv_note_cosign(SOFA_TEXT, "witness.example.com/w1", &key, SOFA_TIME, &line), 0);
	len = strlen(line);
	assert_memory_equal(line, head, strlen(head));
	assert_int_equal(line[len - 1], '\n');
	assert_int_equal(
		wv_base64_decode(line + strlen(head), len - 1 - strlen(head), bytes, sizeof(bytes)),
		sizeof(bytes));
	assert_int_equal((uint32_t)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3],
			 v.id);
	assert_memory_equal(bytes + 4, "\0\0\0\0\x64\x18\x50\xcb", 8);
	assert_int_equal(wv_sign_check(&key.public_key, message, strlen(message), bytes + 12), 0);
}

static void note_tells_who_of_several_signed(void **state _unused_)
{
	_cleanup_free_ char *note = NULL, *line = NULL, *whole = NULL;
	struct wv_secret_key log, witness, stranger;
	uint64_t by = 0, times[3] = {0};
	struct wv_note_verifier v[3];
	size_t len = 0, n;

	assert_int_equal(wv_key_generate(&wv_io_system, &log), 0);
	assert_int_equal(wv_key_generate(&wv_io_system, &witness), 0);
	assert_int_equal(wv_key_generate(&wv_io_system, &stranger), 0);
	assert_int_equal(
		wv_note_verifier_init(&v[0], "stranger", WV_NOTE_ED25519, &stranger.public_key), 0);
	assert_int_equal(wv_note_verifier_init(&v[1], "log", WV_NOTE_ED25519, &log.public_key), 0);
	assert_int_equal(
		wv_note_verifier_init(&v[2], "w", WV_NOTE_COSIGNATURE_V1, &witness.public_key), 0);
	assert_int_equal(wv_note_sign(SOFA_TEXT, "log", &log, &note), 0);
	assert_int_equal(wv_note_cosign(SOFA_TEXT, "w", &witness, SOFA_TIME, &line), 0);
	assert_true(asprintf(&whole, "%s%s", note, line) > 0);
	n = strlen(whole);
	assert_int_equal(wv_note_open(whole, n, v, 3, &by, times, &len), 0);
	assert_int_equal(by, 1 << 1 | 1 << 2);
	assert_int_equal(times[2], SOFA_TIME);
	assert_int_equal(len, strlen(SOFA_TEXT));
	/* the time is signed too */
	whole[n - 2 - WV_BASE64_LENGTH(4 + 8 + 64) + 12] ^= 1;
	assert_int_equal(wv_note_open(whole, n, v, 3, &by, times, &len), -EBADMSG);
}

static void checkpoint_text_comes_back(void **state _unused_)
{
	_cleanup_free_ char *text = NULL, *extended = NULL;
	struct wv_checkpoint c, again;

	assert_int_equal(wv_checkpoint_parse(SOFA_TEXT, strlen(SOFA_TEXT), &c), 0);
	assert_string_equal(c.origin, "example.com/behind-the-sofa");
	assert_int_equal(c.size, 20852163);
	assert_int_equal(wv_checkpoint_text(&c, &text), 0);
	assert_string_equal(text, SOFA_TEXT);
	assert_true(asprintf(&extended, "%sextension 1\nextension 2\n", text) > 0);
	assert_int_equal(wv_checkpoint_parse(extended, strlen(extended), &again), 0);
	assert_memory_equal(&c, &again, sizeof(c));
}

static void checkpoint_that_is_none_is_refused(void **state _unused_)
{
#define ROOT "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
	static const char *const wrong[] = {
		"",
		"log\n1\n",
		"\n1\n" ROOT,
		"log\n\n" ROOT,
		"log\n01\n" ROOT,
		"log\n+1\n" ROOT,
		"log\n-1\n" ROOT,
		"log\n1 \n" ROOT,
		"log\n18446744073709551616\n" ROOT,
		"log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n",
		"log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2IA\n",
		"log\n1\n" ROOT "\n",
		"log\n1\n" ROOT "no newline",
		"log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
	};
	struct wv_checkpoint c;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		if (wv_checkpoint_parse(wrong[i], strlen(wrong[i]), &c) != -EPROTO)
			fail_msg("accepted checkpoint %zu", i);
	assert_int_equal(wv_checkpoint_parse("log\n18446744073709551615\n" ROOT,
					     strlen("log\n18446744073709551615\n" ROOT), &c),
			 0);
	assert_true(c.size == UINT64_MAX);
	assert_int_equal(wv_checkpoint_parse("log\n0\n" ROOT, strlen("log\n0\n" ROOT), &c), 0);
#undef ROOT
}

static void utf8_is_as_rfc_3629_has_it(void **state _unused_)
{
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{"plain", true},
		{"\xc3\xa9", true},
		{"\xe2\x82\xac", true},
		{"\xf0\x9f\x98\x80", true},
		{"\xf4\x8f\xbf\xbf", true},
		{"\xed\x9f\xbf", true},
		{"\xc0\x80", false},
		{"\xc1\xbf", false},
		{"\xe0\x9f\xbf", false},
		{"\xf0\x8f\xbf\xbf", false},
		{"\xf4\x90\x80\x80", false},
		{"\xed\xa0\x80", false},
		{"\x80", false},
		{"\xe2\x82", false},
		{"\xf5\x80\x80\x80", false},
		{"\xfe", false},
		{"eight by\xff", false},
		{"\xe2\x28\xa1", false},
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		if (wv_utf8_valid(cases[i].text, strlen(cases[i].text)) != cases[i].valid)
			fail_msg("case %zu", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(note_published_examples_verify),
		cmocka_unit_test(cosignature_of_public_witnesses_verifies),
		cmocka_unit_test(note_verifier_key_comes_back),
		cmocka_unit_test(note_verifier_key_that_is_none_is_refused),
		cmocka_unit_test(note_any_changed_character_is_refused),
		cmocka_unit_test(note_that_is_none_is_refused),
		cmocka_unit_test(note_with_too_many_signatures_is_refused),
		cmocka_unit_test(cosignature_signs_what_the_specification_says),
		cmocka_unit_test(note_tells_who_of_several_signed),
		cmocka_unit_test(checkpoint_text_comes_back),
		cmocka_unit_test(checkpoint_that_is_none_is_refused),
		cmocka_unit_test(utf8_is_as_rfc_3629_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
