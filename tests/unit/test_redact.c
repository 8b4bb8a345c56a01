// SPDX-License-Identifier: GPL-2.0-only
/* The redactor: planted secrets go, what only looks like one stays, profiles do as their table
 * says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/redact.h"

#define FAKE_AWS                                                                                   \
	"AKIA"                                                                                     \
	"QWERTYUIOPASDFGH"
#define FAKE_RANDOM "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzz93KEYexa"

static char *clean(struct wv_redactor *r, const char *name, const char *text)
{
	char *out = NULL;
	int n = wv_redact_text(r, name, text, &out);

	assert_true(n >= 0);
	return n ? out : strdup(text);
}

static void check(const char *name, const char *text, const char *want)
{
	struct wv_redactor r;

	wv_redactor_records(&r);
	{
		_cleanup_free_ char *got = clean(&r, name, text);

		assert_string_equal(got, want);
	}
}

static void text_planted_secret_masked(void **state _unused_)
{
	check(NULL, "key " FAKE_AWS " used", "key [secret] used");
	check(NULL, "aws=" FAKE_AWS, "aws=[secret]");
	check(NULL, FAKE_RANDOM, "[secret]");
	check(NULL, "x:" FAKE_RANDOM ".", "x:[secret].");
	check(NULL, "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[secret]");
	check(NULL, "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln rest", "jwt [secret] rest");
	check(NULL,
	      "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIB\nabc\n-----END RSA PRIVATE KEY-----\nb",
	      "a\n[secret]\nb");
	check(NULL, "-----BEGIN PRIVATE KEY-----\ncut off", "[secret]");
}

static void text_planted_credential_masked(void **state _unused_)
{
	check(NULL, "mysql --password=hunter2 -u root", "mysql --password=[credential] -u root");
	check(NULL, "tool --password hunter2 --verbose", "tool --password [credential] --verbose");
	check(NULL, "PGPASSWORD=hunter2 psql", "PGPASSWORD=[credential] psql");
	check(NULL, "password: hunter2", "password: [credential]");
	check(NULL, "db_password = hunter2", "db_password = [credential]");
	check(NULL, "get https://user:pa5s@db.example/x failed",
	      "get https://[credential]@db.example/x failed");
	check(NULL, "https://h.example/?access_token=abcdef",
	      "https://h.example/?access_token=[credential]");
	check(NULL, "Authorization: Bearer abc.def", "Authorization: Bearer [credential]");
	check(NULL, "curl -H \"Authorization: Basic dXNlcjpwYXNz\"",
	      "curl -H \"Authorization: Basic [credential]\"");
	check(NULL, "bearer abcdef", "bearer [credential]");
	check("api_key", "anything at all", "[credential]");
}

static void text_that_is_no_secret_kept(void **state _unused_)
{
	static const char *const texts[] = {
		"",
		"/system.slice/nginx.service",
		"7a81f368faa89c26f0b7c3d57ca5575260244fc745d8a48c417d4c942a2ca3cc",
		"24e0607f-c776-47b5-bd0d-fbe0aa34de8c",
		"/kubepods.slice/kubepods-burstable.slice/"
		"cri-containerd-7a81f368faa89c26f0b7c3d57ca5575260244fc745d8a48c417d4c942a2ca3cc."
		"scope",
		"ratio(rate(tcp_retransmits), rate(net_tx_packets)) > 5%",
		"/usr/lib/systemd/systemd-networkd-wait-online-for-Interface-0",
		"password_file=/etc/waveos/key",
		"policy first@389b1895c122",
		"http://127.0.0.1:9850/metrics",
		"getty@tty1.service",
		"-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----",
		"user1@example.org at 10.1.2.3 in /home/user1/x",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		check(NULL, texts[i], texts[i]);
	check("password_file", "/etc/waveos/key", "/etc/waveos/key");
	/* made to be shown */
	check("signature", FAKE_RANDOM, FAKE_RANDOM);
	check("checkpoint", "waveos/x\n1\n" FAKE_RANDOM "\n", "waveos/x\n1\n" FAKE_RANDOM "\n");
	check(NULL,
	      "-----BEGIN PUBLIC KEY-----\n" FAKE_RANDOM
	      "\n-----END PUBLIC KEY-----\nx " FAKE_RANDOM,
	      "-----BEGIN PUBLIC KEY-----\n" FAKE_RANDOM "\n-----END PUBLIC KEY-----\nx [secret]");
}

static void json_nested_values_masked(void **state _unused_)
{
	struct json_object *o = json_tokener_parse(
		"{\"argv\":[\"tool\",\"--password\",\"hunter2\",\"--token=abc\"],\"n\":1,"
		"\"in\":{\"secret\":\"x\",\"text\":\"fine\"},\"list\":[{\"message\":\"Bearer "
		"zzz\"}]}");
	struct wv_redactor r;

	wv_redactor_records(&r);
	assert_int_equal(wv_redact_json(&r, o), 4);
	assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
			    "{\"argv\":[\"tool\",\"--password\",\"[credential]\",\"--token=["
			    "credential]\"],\"n\":1,"
			    "\"in\":{\"secret\":\"[credential]\",\"text\":\"fine\"},\"list\":[{"
			    "\"message\":\"Bearer [credential]\"}]}");
	assert_int_equal(r.found[WV_CLASS_CREDENTIAL], 4);
	json_object_put(o);
}

static void profile_external_hashes_equal_values_alike(void **state _unused_)
{
	struct wv_redactor r;
	struct wv_config c;
	_cleanup_free_ char *a = NULL, *b = NULL, *other = NULL, *mail = NULL, *home = NULL,
			    *local = NULL;

	assert_int_equal(wv_config_init(&c), 0);
	assert_int_equal(wv_redactor_init(&r, &wv_io_system, &c, WV_PROFILE_EXTERNAL), 0);
	snprintf(r.host, sizeof(r.host), "box");
	a = clean(&r, NULL, "from 10.1.2.3:80");
	b = clean(&r, NULL, "from 10.1.2.3:81");
	assert_ptr_equal(strstr(a, "10.1"), NULL);
	assert_memory_equal(a, "from [address:", 14);
	assert_memory_equal(a, b, strlen("from [address:000000000000]:8"));
	assert_string_equal(strrchr(a, ':'), ":80");
	other = clean(&r, NULL, "fe80::1%eth0 02:42:ac:11:00:02 box");
	assert_null(strstr(other, "fe80::1"));
	assert_null(strstr(other, "02:42"));
	assert_non_null(strstr(other, "[host:"));
	mail = clean(&r, NULL, "<jo.do@example.org>");
	assert_memory_equal(mail, "<[personal:", 11);
	home = clean(&r, NULL, "open /home/jo/x: no");
	assert_memory_equal(home, "open [path:", 11);
	local = clean(&r, NULL, "127.0.0.1 ::1 6.12.0 12:30:05");
	assert_string_equal(local, "127.0.0.1 ::1 6.12.0 12:30:05");
	wv_config_done(&c);
}

static void profile_internal_keeps_and_settings_override(void **state _unused_)
{
	struct wv_config_error e;
	struct wv_redactor r;
	struct wv_config c;
	char *out;
	_cleanup_free_ char *addr = NULL, *secret = NULL;

	assert_int_equal(wv_config_init(&c), 0);
	assert_int_equal(wv_redactor_init(&r, &wv_io_system, &c, WV_PROFILE_INTERNAL), 0);
	assert_int_equal(wv_redact_text(&r, NULL, "10.1.2.3 a@b.example /home/x/y", &out), 0);
	assert_int_equal(wv_config_set(&c, "redact.address", "remove", &e), 0);
	assert_int_equal(wv_config_set(&c, "redact.path", "mask", &e), 0);
	assert_int_equal(wv_redactor_init(&r, &wv_io_system, &c, WV_PROFILE_INTERNAL), 0);
	addr = clean(&r, NULL, "10.1.2.3 a@b.example /home/x/y");
	assert_string_equal(addr, " a@b.example [path]");
	secret = clean(&r, NULL, "pass=1");
	assert_string_equal(secret, "pass=[credential]");
	wv_config_done(&c);
}

/* The short cut for plain texts must not let through what the finders would take: a secret behind
 * every kind of text. */
static void text_plain_before_a_secret_does_not_hide_it(void **state _unused_)
{
	static const char *const lead[] = {"",	"plain words ", "/system.slice/nginx.service ",
					   "(", "a, ",		"\n"};
	static const char *const secrets[] = {FAKE_AWS, "xoxb-1234567890", "--password x",
					      "pass=x", "Bearer x",	   "u://a:b@h/"};

	for (size_t i = 0; i < ARRAY_SIZE(lead); i++)
		for (size_t k = 0; k < ARRAY_SIZE(secrets); k++) {
			struct wv_redactor r;
			char text[128];
			_cleanup_free_ char *got = NULL;

			wv_redactor_records(&r);
			snprintf(text, sizeof(text), "%s%s", lead[i], secrets[k]);
			got = clean(&r, NULL, text);
			assert_string_not_equal(got, text);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_planted_secret_masked),
		cmocka_unit_test(text_planted_credential_masked),
		cmocka_unit_test(text_that_is_no_secret_kept),
		cmocka_unit_test(text_plain_before_a_secret_does_not_hide_it),
		cmocka_unit_test(json_nested_values_masked),
		cmocka_unit_test(profile_external_hashes_equal_values_alike),
		cmocka_unit_test(profile_internal_keeps_and_settings_override),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
