// SPDX-License-Identifier: GPL-2.0-only
/* References, settings that hold them, and the store with sources of this machine, by a clock of
 * the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/faulty_io.h"
#include "user/secret/store.h"

#define S UINT64_C(1000000000)

static struct wv_config config;
static struct wv_config_error error;
static struct wv_secrets *store;
static struct wv_io io;
static uint64_t now_ns;
static char file[128], reference[160];

static uint64_t mono(void *ctx _unused_)
{
	return now_ns;
}

static void write_file(const char *text)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int set_up(void **state _unused_)
{
	make_base();
	io = wv_io_system;
	io.mono_ns = mono;
	now_ns = 1000 * S;
	snprintf(file, sizeof(file), "%s/secret", base);
	snprintf(reference, sizeof(reference), "file:%s", file);
	assert_int_equal(wv_config_init(&config), 0);
	return wv_secrets_open(&store, &io, &config);
}

static int tear_down(void **state _unused_)
{
	wv_secrets_close(store);
	wv_config_done(&config);
	remove_base();
	return 0;
}

/* References ---------------------------------------------------------------------------------- */

static void reference_of_each_kind_is_taken_apart(void **state _unused_)
{
	static const struct {
		const char *text;
		struct wv_secret_ref want;
	} good[] = {
		{"env:SMTP_PASS", {WV_SECRET_ENV, "SMTP_PASS", "", "", ""}},
		{"file:/a b/c", {WV_SECRET_FILE, "/a b/c", "", "", ""}},
		{"credential:smtp.pass", {WV_SECRET_CREDENTIAL, "smtp.pass", "", "", ""}},
		{"vault:kv/team/mail#pass word",
		 {WV_SECRET_VAULT, "kv", "team/mail", "", "pass word"}},
		{"aws:eu-central-1/prod/mail",
		 {WV_SECRET_AWS, "eu-central-1", "prod/mail", "", ""}},
		{"aws:us-east-1/arn:aws:secretsmanager:us-east-1:1:secret:x-Ab#k",
		 {WV_SECRET_AWS, "us-east-1", "arn:aws:secretsmanager:us-east-1:1:secret:x-Ab", "",
		  "k"}},
		{"gcp:my-project/mail", {WV_SECRET_GCP, "my-project", "mail", "latest", ""}},
		{"gcp:my-project/mail/7#k", {WV_SECRET_GCP, "my-project", "mail", "7", "k"}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct wv_secret_ref r;
		const char *why;

		if (wv_secret_ref_parse(good[i].text, &r, &why) < 0)
			fail_msg("%s: %s", good[i].text, why);
		assert_int_equal(r.kind, good[i].want.kind);
		assert_string_equal(r.place, good[i].want.place);
		assert_string_equal(r.name, good[i].want.name);
		assert_string_equal(r.version, good[i].want.version);
		assert_string_equal(r.field, good[i].want.field);
	}
}

static void reference_that_is_none_is_refused(void **state _unused_)
{
	static const char *const bad[] = {
		"hunter2",	 "env:",	  "env:1X",	     "env:A B",
		"file:relative", "file:/",	  "credential:a/b",  "credential:..",
		"vault:kv#x",	 "vault:kv/x",	  "vault:kv/../x#y", "vault:kv/x#",
		"vault:/x#y",	 "aws:us-east-1", "aws:US/x",	     "aws:us/a b",
		"aws:us/a\"b",	 "gcp:p",	  "gcp:p/a/b/c",     "gcp:p/a b",
		"gcp:../a",	 "VAULT:kv/x#y",  "file:/a\nb",	     "vault:k/a\x1b#f",
	};
	struct wv_secret_ref r;
	char longer[400];
	const char *why;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (wv_secret_ref_parse(bad[i], &r, &why) != -EINVAL)
			fail_msg("'%s' is taken", bad[i]);
		assert_null(strstr(why, "hunter2"));
	}
	memset(longer, 'a', sizeof(longer));
	memcpy(longer, "file:/", 6);
	longer[300] = '\0';
	assert_int_equal(wv_secret_ref_parse(longer, &r, &why), -EINVAL);
}

static void setting_refuses_a_plain_secret_and_does_not_show_it(void **state _unused_)
{
	static const char *const texts[] = {
		"secrets: {vault_token: hunter2}\n",
		"alerts: [{name: a, type: webhook, url: 'https://h/', token: hunter2}]\n",
		"secrets: {vault_token: 'vault:hunter2'}\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(
			wv_config_load_memory(&config, "c", texts[i], strlen(texts[i]), &error),
			-EINVAL);
		assert_non_null(strstr(error.text, "token: expected"));
		assert_null(strstr(error.text, "hunter2"));
	}
	assert_int_equal(wv_config_set(&config, "secrets.vault_token", "hunter2", &error), -EINVAL);
	assert_null(strstr(error.text, "hunter2"));
	assert_int_equal(setenv("WAVEOS_SECRETS_GCP_TOKEN", "hunter2", 1), 0);
	assert_int_equal(wv_config_environment(&config, &error), -EINVAL);
	assert_null(strstr(error.text, "hunter2"));
	unsetenv("WAVEOS_SECRETS_GCP_TOKEN");
	assert_int_equal(wv_config_set(&config, "secrets.vault_token", "env:TOKEN", &error), 0);
	assert_int_equal(wv_config_set(&config, "secrets.vault_token", "", &error), 0);
}

static int count(void *ctx, const char *setting, const char *text)
{
	char *all = ctx;

	strcat(all, setting);
	strcat(all, "=");
	strcat(all, text);
	strcat(all, " ");
	return 0;
}

static void each_names_settings_and_keys_of_lists(void **state _unused_)
{
	static const char text[] =
		"secrets: {vault_token: 'env:T', aws_access_key: '', aws_secret_key: ''}\n"
		"alerts: [{name: a, type: webhook, url: 'https://h/'}, {name: b, type: slack, "
		"url_secret: 'credential:slack'}]\n";
	char all[1024] = "";

	if (wv_config_load_memory(&config, "c", text, strlen(text), &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(wv_secrets_each(&config, count, all), 0);
	assert_string_equal(all, "secrets.vault_token=env:T "
				 "alerts[1].url_secret=credential:slack ");
}

static void address_is_https_or_this_machine(void **state _unused_)
{
	static const char *const good[] = {"https://v.example:8200", "http://127.0.0.1:8200",
					   "http://127.1/x", "http://[::1]:80/",
					   "http://localhost:1"};
	static const char *const bad[] = {"http://v.example",
					  "http://127.0.0.1.evil.example/",
					  "http://localhost.evil/",
					  "https://u:p@h/",
					  "ftp://127.0.0.1/",
					  "https://h/?token=x",
					  "http://[::1].evil/",
					  "",
					  "https://"};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!wv_secret_is_address(good[i]))
			fail_msg("%s is refused", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (wv_secret_is_address(bad[i]))
			fail_msg("%s is taken", bad[i]);
}

/* Store --------------------------------------------------------------------------------------- */

static void store_file_is_read_again_and_the_old_value_outlives_it(void **state _unused_)
{
	struct wv_secret_state st;
	struct wv_secret_value v;
	unsigned id, same;

	write_file("first\n");
	assert_int_equal(wv_secrets_add(store, reference, &id), 0);
	assert_int_equal(wv_secrets_add(store, reference, &same), 0);
	assert_int_equal(id, same);
	assert_true(wv_secrets_reads_files(store));
	assert_int_equal(wv_secrets_get(store, id, &v), 0);
	assert_string_equal(v.text, "first");
	assert_int_equal(v.len, 5);
	/* rotated */
	write_file("second");
	now_ns += 9 * S;
	assert_int_equal(wv_secrets_get(store, id, &v), 0);
	assert_string_equal(v.text, "first");
	now_ns += S;
	assert_int_equal(wv_secrets_get(store, id, &v), 0);
	assert_string_equal(v.text, "second");
	/* gone: the old one is used, and said to be old */
	assert_int_equal(unlink(file), 0);
	now_ns += 10 * S;
	assert_int_equal(wv_secrets_get(store, id, &v), 0);
	assert_string_equal(v.text, "second");
	assert_true(v.age_ns >= 10 * S);
	wv_secrets_state(store, id, &st);
	assert_int_equal(st.error, -ENOENT);
	assert_true(st.has_value);
	assert_true(st.age_ns >= 10 * S);
	assert_int_equal(st.failures, 1);
	write_file("third");
	now_ns += 61 * S;
	assert_int_equal(wv_secrets_get(store, id, &v), 0);
	assert_string_equal(v.text, "third");
	wv_secrets_state(store, id, &st);
	assert_int_equal(st.error, 0);
}

static void store_refused_value_is_read_at_once(void **state _unused_)
{
	struct wv_secret_value v;
	unsigned id;

	write_file("old");
	assert_int_equal(wv_secrets_add(store, reference, &id), 0);
	assert_int_equal(wv_secrets_refused(store, id), 0);
	write_file("new");
	assert_int_equal(wv_secrets_refused(store, id), 1);
	assert_int_equal(wv_secrets_get(store, id, &v), 0);
	assert_string_equal(v.text, "new");
}

static void store_bad_values_are_refused(void **state _unused_)
{
	static char large[WV_SECRET_MAX + 2];
	struct wv_secret_value v;
	unsigned id;
	int fd;

	write_file("\n");
	assert_int_equal(wv_secrets_add(store, reference, &id), 0);
	assert_int_equal(wv_secrets_get(store, id, &v), -ENOENT);
	memset(large, 'x', sizeof(large) - 1);
	write_file(large);
	now_ns += 61 * S;
	assert_int_equal(wv_secrets_get(store, id, &v), -EFBIG);
	large[WV_SECRET_MAX] = '\0';
	write_file(large);
	now_ns += 61 * S;
	assert_int_equal(wv_secrets_get(store, id, &v), 0);
	assert_int_equal(v.len, WV_SECRET_MAX);
	fd = open(file, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "a\0b", 3), 3);
	close(fd);
	assert_int_equal(wv_secrets_refused(store, id), 0);
	assert_int_equal(wv_secrets_get(store, id, &v), 0); /* the old one */
	/* a pipe must not hold us up */
	assert_int_equal(unlink(file), 0);
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_int_equal(wv_secrets_refused(store, id), 0);
}

static void store_env_and_credential(void **state _unused_)
{
	struct wv_secret_value v;
	unsigned a, b, c;

	assert_int_equal(setenv("WV_TEST_SECRET", "from env", 1), 0);
	assert_int_equal(wv_secrets_add(store, "env:WV_TEST_SECRET", &a), 0);
	assert_int_equal(wv_secrets_add(store, "env:WV_TEST_NONE", &b), 0);
	assert_int_equal(wv_secrets_get(store, a, &v), 0);
	assert_string_equal(v.text, "from env");
	assert_int_equal(wv_secrets_get(store, b, &v), -ENOENT);
	unsetenv("CREDENTIALS_DIRECTORY");
	write_file("cred");
	assert_int_equal(wv_secrets_add(store, "credential:secret", &c), 0);
	assert_int_equal(wv_secrets_get(store, c, &v), -ENOENT);
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", base, 1), 0);
	now_ns += 61 * S;
	assert_int_equal(wv_secrets_get(store, c, &v), 0);
	assert_string_equal(v.text, "cred");
	unsetenv("CREDENTIALS_DIRECTORY");
}

static void store_json_field_is_found_and_strict(void **state _unused_)
{
	static const struct {
		const char *text, *field, *want;
		int error;
	} rows[] = {
		{"{\"a\":\"x\",\"b\":7}", "a", "x", 0},
		{"{\"a\":\"x\",\"b\":7}", "b", "7", 0},
		{"{\"a\":\"\\u00e9\\n\"}", "a", "\xc3\xa9\n", 0},
		{"{\"a\":\"x\"}", "c", NULL, -ENOENT},
		{"{\"a\":{}}", "a", NULL, -EBADMSG},
		{"{\"a\":\"x\"", "a", NULL, -EBADMSG},
		{"{\"a\":\"x\"} y", "a", NULL, -EBADMSG},
		{"[]", "a", NULL, -EBADMSG},
		{"plain", "a", NULL, -EBADMSG},
		{"{\"a\":\"\\u0000\"}", "a", NULL, -EBADMSG},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct wv_secret_fetched f = {.len = 0};
		int r = wv_secret_keep_field(&f, rows[i].text, strlen(rows[i].text), rows[i].field);

		if (r != rows[i].error)
			fail_msg("%s: %d", rows[i].text, r);
		if (r == 0)
			assert_string_equal(f.value.p, rows[i].want);
		wv_locked_free(&f.value);
	}
}

/* Memory -------------------------------------------------------------------------------------- */

static void locked_memory_is_zero_in_a_child(void **state _unused_)
{
	struct wv_locked m;
	int status = 0;
	pid_t pid;

	assert_int_equal(wv_locked_alloc(&m, 100), 0);
	assert_true(m.size >= 100);
	memcpy(m.p, "secret", 7);
	pid = fork();
	if (pid == 0)
		_exit(m.p[0] == '\0' ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	wv_locked_free(&m);
	assert_null(m.p);
}

static void locked_memory_is_had_where_locking_is_refused(void **state _unused_)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		const struct rlimit none = {0, 0};
		struct wv_locked m;

		/* root may lock whatever the limit is */
		if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 ||
		    (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0)))
			_exit(2);
		fclose(stderr); /* it warns */
#ifdef __SANITIZE_ADDRESS__
		/* under it mlock() does nothing, and is never refused */
		_exit(wv_locked_alloc(&m, 1) == 0 ? 0 : 1);
#else
		_exit(wv_locked_alloc(&m, 1) == 0 && wv_locked_refused() ? 0 : 1);
#endif
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reference_of_each_kind_is_taken_apart),
		cmocka_unit_test(reference_that_is_none_is_refused),
		cmocka_unit_test_setup_teardown(setting_refuses_a_plain_secret_and_does_not_show_it,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_names_settings_and_keys_of_lists, set_up,
						tear_down),
		cmocka_unit_test(address_is_https_or_this_machine),
		cmocka_unit_test_setup_teardown(
			store_file_is_read_again_and_the_old_value_outlives_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(store_refused_value_is_read_at_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(store_bad_values_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(store_env_and_credential, set_up, tear_down),
		cmocka_unit_test(store_json_field_is_found_and_strict),
		cmocka_unit_test(locked_memory_is_zero_in_a_child),
		cmocka_unit_test(locked_memory_is_had_where_locking_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
