// SPDX-License-Identifier: GPL-2.0-only
/* Manifests: what is right comes back as it went in, what is wrong is refused with its reason. */
#include "bundle_fixture.h"

#include <json-c/json_pointer.h>

static struct wv_manifest_error error;

static int parse(const char *text, size_t len)
{
	struct wv_manifest m;
	int r;

	error.text[0] = '\0';
	r = wv_manifest_parse(text, len, &m, &error);
	if (r == 0)
		wv_manifest_done(&m);
	else if (!error.text[0])
		fail_msg("%d without a reason", r);
	return r;
}

static void manifest_written_again_is_the_same_bytes(void **state)
{
	struct wv_manifest m;
	_cleanup_free_ char *text = NULL;
	size_t len;
	char id[WV_SHA256_HEX];

	(void)state;
	fx_parse("app", 7, &m);
	assert_int_equal(wv_manifest_text(&m, &text, &len), 0);
	assert_int_equal(len, m.text_len);
	assert_memory_equal(text, m.text, len);
	wv_sha256_hex(text, len, id);
	assert_string_equal(id, m.id);

	assert_int_equal(m.kind, WV_BUNDLE_APP);
	assert_int_equal(m.counter, 7);
	assert_string_equal(m.devices[1], "waveos/1");
	assert_null(m.devices[2]);
	assert_int_equal(m.n_files, 4);
	assert_int_equal(m.files[0].mode, 0755);
	assert_int_equal(m.files[1].mode, 0644);
	assert_int_equal(m.flags[1].on, true);
	assert_int_equal(m.hooks[0].what, WV_DO_RESTART_SERVICE);
	assert_int_equal(m.hooks[1].on, WV_ON_ROLLBACK);
	assert_int_equal(m.health[0].kind, WV_HEALTH_HTTP);
	assert_int_equal(m.health[0].failures, 3);
	assert_int_equal(m.health[1].kind, WV_HEALTH_AGENT);
	assert_int_equal(m.trial_ns, 60000000000ULL);
	assert_int_equal(m.trial_boots, 3);
	wv_manifest_done(&m);
}

/* value NULL: the member is taken out; result 0: it is right so. */
static const struct {
	const char *at, *value, *reason;
} changes[] = {
	{"/app", NULL, NULL},
	{"/arch", NULL, NULL},
	{"/flags", NULL, NULL},
	{"/health", NULL, NULL},
	{"/hooks", NULL, NULL},
	{"/min_waveos", NULL, NULL},
	{"/counter", NULL, "has no counter"},
	{"/expires", NULL, "has no expires"},
	{"/devices", NULL, "has no devices"},
	{"/type", "\"waveos-root\"", "type"},
	{"/schema_version", "2", "schema_version"},
	{"/script", "\"rm -rf /\"", "unknown member 'script'"},
	{"/kind", "\"firmware\"", "kind"},
	{"/kind", "3", "kind"},
	{"/counter", "0", "counter"},
	{"/counter", "-1", "counter"},
	{"/counter", "9007199254740991", NULL},
	{"/counter", "9007199254740992", "counter"},
	{"/counter", "18446744073709551617", "counter"},
	{"/counter", "\"7\"", "counter"},
	{"/counter", "true", "counter"},
	{"/expires", "1749913600", "expires"}, /* created */
	{"/expires", "2100000000", "expires"},
	{"/name", "\"\"", "name"},
	{"/name", "\"..\"", "name"},
	{"/name", "\"a/b\"", "name"},
	{"/name", "\"Shop\"", "name"},
	{"/name", "\"sh\\u0000p\"", "name"},
	{"/app", "\"\"", "app"},
	{"/version", "\"1.2\"", "semantic version"},
	{"/version", "\"1.2.3-alpha.1+build.05\"", NULL},
	{"/min_waveos", "\"01.0.0\"", "semantic version"},
	{"/devices", "[]", "devices"},
	{"/devices", "[\"*\"]", NULL},
	{"/devices", "[\"b\",\"a\"]", "devices are not sorted"},
	{"/devices", "[\"a\",\"a\"]", "twice"},
	{"/devices", "[\"a b\"]", "devices"},
	{"/devices", "\"*\"", "devices"},
	{"/environments", "[\"production\"]", "environments"},
	{"/trial", "{\"boots\":0,\"for_ns\":1}", "boots"},
	{"/trial", "{\"boots\":1,\"for_ns\":2592000000000001}", "for_ns"},
	{"/trial", "{\"boots\":1}", "trial"},
	{"/flags", "{\"UP\":true}", "flags"},
	{"/flags", "{\"a\":1}", "flags"},
	{"/flags", "{}", "flags"},
	{"/files", "[]", "files"},
	{"/files/0/path", "\"/bin/run\"", "path"},
	{"/files/0/path", "\"../run\"", "path"},
	{"/files/0/path", "\"bin/../../run\"", "path"},
	{"/files/0/path", "\"bin/./run\"", "path"},
	{"/files/0/path", "\"bin//run\"", "path"},
	{"/files/0/path", "\"bin/\"", "path"},
	{"/files/0/path", "\"bin\\\\run\"", "path"},
	{"/files/0/path", "\"bin\\nrun\"", "path"},
	{"/files/0/path", "\"b\\u00efn/run\"", "path"},
	{"/files/0/path", "\"a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a\"", "path"},
	{"/files/0/path", "\"zzz\"", "not sorted"},
	{"/files/0/path", "\"bin/run-too\"", "twice"},
	{"/files/0/path", "\"bin\"", "a file and a folder"},
	{"/files/0/mode", "\"4755\"", "mode"},
	{"/files/0/mode", "493", "mode"},
	{"/files/0/sha256", "\"abc\"", "sha256"},
	{"/files/0/size", "-1", "size"},
	{"/files/0/size", "5", "another size"},
	{"/files/2/size", "8589934592", "size"},
	{"/files/0/link", "\"x\"", "unknown member"},
	{"/hooks/0/do", "\"/bin/sh\"", "do"},
	{"/hooks/0/on", "\"boot\"", "on"},
	{"/hooks/0/service", "\"a;b\"", "service"},
	{"/hooks/1/service", "\"a\"", "no service"},
	{"/hooks/0/do", "\"reload-config\"", "no service"},
	{"/hooks/1/do", "\"stop-service\"", "a service"},
	{"/health/0/target", "\"http://example.org/\"", "target"},
	{"/health/0/target", "\"http://127.0.0.1@example.org/\"", "target"},
	{"/health/0/target", "\"http://localhost:80@example.org/\"", "target"},
	{"/health/0/target", "\"http://localhost.example.org/\"", "target"},
	{"/health/0/target", "\"https://[::1]:8443/x\"", NULL},
	{"/health/1/target", "\"x\"", "target"},
	{"/health/0/kind", "\"file-fresh\"", "target"},
	{"/health/0/every_ns", "1", "every_ns"},
	{"/health/0/failures", "0", "failures"},
};

static void manifest_with_one_change_is_refused_with_its_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct json_object *o = fx_manifest("app", 7);
		_cleanup_free_ char *text = NULL;
		size_t len;
		int r;

		if (changes[i].value)
			assert_int_equal(json_pointer_set(&o, changes[i].at,
							  json_tokener_parse(changes[i].value)),
					 0);
		else
			json_object_object_del(o, changes[i].at + 1);
		text = fx_text(o, &len);
		r = parse(text, len);
		if (r != (changes[i].reason ? -EBADMSG : 0) ||
		    (changes[i].reason && !strstr(error.text, changes[i].reason)))
			fail_msg("%s = %s: %d %s", changes[i].at, changes[i].value, r, error.text);
	}
}

/* Whether the text is refused once the first `from` in it is `to`. */
static void refuse_instead(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *other;

	assert_non_null(at);
	assert_true(asprintf(&other, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) >
		    0);
	if (parse(other, strlen(other)) != -EBADMSG)
		fail_msg("'%s' instead of '%s' is taken", to, from);
	free(other);
}

static void manifest_in_another_form_is_refused(void **state)
{
	size_t len;
	_cleanup_free_ char *text = fx_text(fx_manifest("app", 7), &len);

	(void)state;
	assert_int_equal(parse(text, len), 0);
	assert_int_equal(parse(text, len + 1), -EBADMSG); /* the NUL, too */
	refuse_instead(text, "{", " {");
	refuse_instead(text, "\"version\":\"1.2.3\"}", "\"version\":\"1.2.3\"}\n");
	refuse_instead(text, "\"version\":\"1.2.3\"}", "\"version\":\"1.2.3\"}{}");
	refuse_instead(text, "\"counter\":7", "\"counter\": 7");
	refuse_instead(text, "\"counter\":7", "\"counter\":7e0");
	refuse_instead(text, "\"counter\":7", "\"counter\":7.0");
	refuse_instead(text, "\"counter\":7", "\"counter\":07");
	refuse_instead(text, "\"kind\"", "\"kin\\u0064\"");
	refuse_instead(text, "\"kind\":\"app\"", "'kind':\"app\"");
	refuse_instead(text, "\"kind\":\"app\"", "\"kind\":\"app\"/**/");
	refuse_instead(text, "\"dark\":false", "\"dark\":False");
	/* a member twice: parsers that take the first and those that take the last would differ */
	refuse_instead(text, "{\"app\":\"shop\"", "{\"app\":\"evil\",\"app\":\"shop\"");
	refuse_instead(text, "{\"app\":\"shop\"", "{\"app\":\"shop\",\"app\":\"shop\"");
}

static void manifest_cut_anywhere_is_refused(void **state)
{
	size_t len;
	_cleanup_free_ char *text = fx_text(fx_manifest("app", 7), &len);

	(void)state;
	for (size_t n = 0; n < len; n++)
		assert_int_equal(parse(text, n), -EBADMSG);
}

static void manifest_over_its_bounds_is_refused(void **state)
{
	char *text = malloc(WV_MANIFEST_MAX + 2);
	struct json_object *o = fx_manifest("app", 7), *files = json_object_new_array();
	_cleanup_free_ char *many = NULL;
	size_t len;

	(void)state;
	memset(text, ' ', WV_MANIFEST_MAX + 2);
	assert_int_equal(parse(text, WV_MANIFEST_MAX + 1), -EFBIG);
	memset(text, '[', WV_MANIFEST_MAX);
	assert_int_equal(parse(text, WV_MANIFEST_MAX), -EBADMSG);
	free(text);
	for (int i = 0; i <= WV_BUNDLE_FILES_MAX; i++) {
		char path[16];

		snprintf(path, sizeof(path), "%05d", i);
		json_object_array_add(files, fx_file(path, "x", "0644"));
	}
	json_object_object_add(o, "files", files);
	many = fx_text(o, &len);
	assert_int_equal(parse(many, len), -EBADMSG);
	assert_non_null(strstr(error.text, "files is a list"));
}

/* The order that semver.org gives, and a version with itself. */
static void semver_precedence_is_that_of_the_specification(void **state)
{
	static const char *const order[] = {
		"0.9.9",      "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta",
		"1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
		"1.0.0",      "1.0.1",	      "1.2.0",	       "1.10.0",
		"2.0.0-0"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		for (size_t k = 0; k < ARRAY_SIZE(order); k++)
			assert_int_equal(wv_semver_compare(order[i], order[k]), (i > k) - (i < k));
	assert_int_equal(wv_semver_compare("1.0.0+a", "1.0.0+b"), 0);
	assert_false(wv_semver_is("1.0.0-"));
	assert_false(wv_semver_is("1.0.0-01"));
	assert_false(wv_semver_is("1.0.0+"));
	assert_false(wv_semver_is("v1.0.0"));
	assert_false(wv_semver_is("1.0.0 "));
	assert_false(wv_semver_is("1..0"));
}

static void manifest_fits_the_device_that_it_is_for(void **state)
{
	static const char *const apps[] = {"other", "shop", NULL};
	const struct wv_bundle_target right = {.device = "waveos/1",
					       .environment = "prod",
					       .arch = "x86_64",
					       .waveos = "0.1.0",
					       .apps = apps};
	struct wv_bundle_target t = right;
	struct wv_manifest m;

	(void)state;
	fx_parse("config", 7, &m);
	assert_int_equal(wv_manifest_fits(&m, &t, &error), 0);
	t.device = "waveos/12";
	assert_int_equal(wv_manifest_fits(&m, &t, &error), -EXDEV);
	t = right;
	t.environment = "dev";
	assert_int_equal(wv_manifest_fits(&m, &t, &error), -EXDEV);
	t = right;
	t.arch = "aarch64";
	assert_int_equal(wv_manifest_fits(&m, &t, &error), -EXDEV);
	t = right;
	t.waveos = "0.1.0-alpha";
	assert_int_equal(wv_manifest_fits(&m, &t, &error), -EXDEV);
	t = right;
	t.apps = NULL;
	assert_int_equal(wv_manifest_fits(&m, &t, &error), -EXDEV);
	assert_non_null(strstr(error.text, "shop"));
	wv_manifest_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(manifest_written_again_is_the_same_bytes),
		cmocka_unit_test(manifest_with_one_change_is_refused_with_its_reason),
		cmocka_unit_test(manifest_in_another_form_is_refused),
		cmocka_unit_test(manifest_cut_anywhere_is_refused),
		cmocka_unit_test(manifest_over_its_bounds_is_refused),
		cmocka_unit_test(semver_precedence_is_that_of_the_specification),
		cmocka_unit_test(manifest_fits_the_device_that_it_is_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
