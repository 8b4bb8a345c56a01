// SPDX-License-Identifier: GPL-2.0-only
/* The update agent's parts without a network: pauses, what it knows, whom it hands what; specs,
 * edits of roots, the shipped profiles. */
#include "bundle_fixture.h"

#include <time.h>

#include "user/bundle/root_edit.h"
#include "user/bundle/spec.h"
#include "user/update/backoff.h"
#include "user/update/download.h"
#include "user/update/update.h"

#define S 1000000000ULL

static char dir[] = "/tmp/wv-update-XXXXXX";
static struct wv_paths paths;
static struct wv_manifest_error error;

static void backoff_doubles_with_jitter_up_to_its_maximum(void **state)
{
	(void)state;
	for (unsigned failures = 1; failures < 40; failures++) {
		uint64_t top = failures > 10 ? WV_UPDATE_MAX_NS
					     : WV_UPDATE_FIRST_NS << (failures - 1),
			 low = UINT64_MAX, high = 0;

		if (top > WV_UPDATE_MAX_NS)
			top = WV_UPDATE_MAX_NS;
		for (uint64_t i = 0; i < 1000; i++) {
			uint64_t wait =
				wv_update_wait_ns(S, failures, 0, i * 0x9e3779b97f4a7c15ULL);

			assert_true(wait >= top / 2 && wait <= top);
			low = wait < low ? wait : low;
			high = wait > high ? wait : high;
		}
		/* it is spread over the half, not a constant */
		assert_true(high - low > top / 3);
	}
}

static void backoff_is_never_shorter_than_the_source_asked_for(void **state)
{
	(void)state;
	for (uint64_t random = 0; random < 1000; random++) {
		assert_true(wv_update_wait_ns(S, 1, 120, random * S) >= 120 * S);
		assert_true(wv_update_wait_ns(S, 1, 120, random * S) <= 132 * S);
		assert_true(wv_update_wait_ns(S, 1, UINT64_MAX, random * S) <=
			    WV_UPDATE_RETRY_MAX_S * S / 10 * 11);
		assert_true(wv_update_wait_ns(1000 * S, 0, 0, random * S) >= 900 * S);
		assert_true(wv_update_wait_ns(1000 * S, 0, 0, random * S) <= 1100 * S);
	}
}

static void state_written_is_read_and_damage_is_nothing(void **state)
{
	_cleanup_free_ struct wv_update_state *s = calloc(1, sizeof(*s)),
					      *t = calloc(1, sizeof(*t));
	struct wv_update_known k = {.kind = WV_BUNDLE_CERT,
				    .name = "tls",
				    .id = "abc",
				    .counter = 9,
				    .at_s = 5,
				    .result = WV_UPDATE_REFUSED,
				    .from = "folder",
				    .why = "not for this device"};
	int fd = wv_update_open_dir(&wv_io_system, &paths, true);

	(void)state;
	assert_true(fd >= 0);
	s->checked_s = 77;
	s->failures = 3;
	strcpy(s->error, "gone");
	strcpy(s->etag, "\"1\"");
	wv_update_note(s, &k);
	k.counter = 10;
	wv_update_note(s, &k);
	assert_int_equal(s->n, 1);
	assert_int_equal(wv_update_state_save(s, &wv_io_system, fd), 0);
	assert_int_equal(wv_update_state_load(t, &wv_io_system, fd), 0);
	assert_int_equal(t->failures, 3);
	assert_string_equal(t->etag, "\"1\"");
	assert_int_equal(wv_update_find(t, WV_BUNDLE_CERT, "tls")->counter, 10);
	assert_null(wv_update_find(t, WV_BUNDLE_APP, "tls"));
	assert_int_equal(wv_io_replace(&wv_io_system, fd, "state.json", "{", 1, 0644), 0);
	assert_int_equal(wv_update_state_load(t, &wv_io_system, fd), 0);
	assert_int_equal(t->n, 0);
	close(fd);
}

static void state_that_is_full_forgets_the_oldest(void **state)
{
	_cleanup_free_ struct wv_update_state *s = calloc(1, sizeof(*s));
	struct wv_update_known k = {.kind = WV_BUNDLE_APP};

	(void)state;
	for (unsigned i = 0; i <= WV_UPDATE_KNOWN_MAX; i++) {
		snprintf(k.name, sizeof(k.name), "n%u", i);
		k.at_s = 1000 + i;
		wv_update_note(s, &k);
	}
	assert_int_equal(s->n, WV_UPDATE_KNOWN_MAX);
	assert_null(wv_update_find(s, WV_BUNDLE_APP, "n0"));
	assert_non_null(wv_update_find(s, WV_BUNDLE_APP, "n1"));
	snprintf(k.name, sizeof(k.name), "n%u", WV_UPDATE_KNOWN_MAX);
	assert_non_null(wv_update_find(s, WV_BUNDLE_APP, k.name));
}

/* A sink that counts. ------------------------------------------------------------------------- */

static struct {
	uint64_t newest;
	int result, installed;
} sink;

static int sink_newest(void *ctx, enum wv_bundle_kind kind, const char *name, uint64_t *ret)
{
	(void)ctx;
	assert_int_equal(kind, WV_BUNDLE_CONFIG);
	assert_string_equal(name, "shop");
	*ret = sink.newest;
	return 0;
}

static int sink_install(void *ctx, struct wv_bundle_reader *r, struct wv_trust *trust,
			struct wv_manifest_error *why)
{
	const struct wv_bundle_file *f;
	int n;

	(void)ctx;
	(void)why;
	assert_non_null(trust);
	while ((n = wv_bundle_read_next(r, &f)) > 0)
		;
	if (n == 0 && sink.result == 0) {
		sink.installed++;
		sink.newest = wv_bundle_read_manifest(r)->counter;
	}
	return n < 0 ? n : sink.result;
}

/* A manifest for any device, of this architecture or of none. */
static void parse_for_all(uint64_t counter, struct wv_manifest *m)
{
	struct json_object *o = fx_manifest("config", counter), *any = json_object_new_array();
	struct timespec now;
	_cleanup_free_ char *text = NULL;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	json_object_array_add(any, json_object_new_string("*"));
	json_object_object_add(o, "devices", any);
	json_object_object_del(o, "arch");
	json_object_object_add(o, "created", json_object_new_int64(now.tv_sec - 100));
	json_object_object_add(o, "expires", json_object_new_int64(now.tv_sec + 100000));
	text = fx_text(o, &len);
	assert_int_equal(wv_manifest_parse(text, len, m, &error), 0);
}

static int deliver(struct wv_updater *u, uint64_t counter, const char *keys, const char *id)
{
	struct wv_manifest m;
	_cleanup_close_ int fd = -1;
	int r;

	parse_for_all(counter, &m);
	fd = fx_bundle(&m, keys);
	r = wv_updater_deliver(u, fd, "folder", id);
	wv_manifest_done(&m);
	return r;
}

static enum wv_update_result result_now(const struct wv_updater *u)
{
	const struct wv_update_known *k = wv_update_find(&u->state, WV_BUNDLE_CONFIG, "shop");

	return k ? k->result : WV_UPDATE_RESULTS;
}

static void deliver_installs_only_what_is_newer_and_verified(void **state)
{
	_cleanup_free_ struct wv_updater *u = calloc(1, sizeof(*u));
	_cleanup_free_ struct wv_root *root = calloc(1, sizeof(*root));
	_cleanup_free_ char *text = NULL;
	struct wv_config config;
	char other[WV_SHA256_HEX];
	size_t len;

	(void)state;
	assert_int_equal(wv_config_init(&config), 0);
	config.update_environment = wv_strict_choice("prod", wv_bundle_environments);
	u->io = &wv_io_system;
	u->paths = &paths;
	u->config = &config;
	u->sink = (struct wv_update_sink){.newest = sink_newest, .install = sink_install};
	assert_int_equal(wv_updater_open(u), 0);
	assert_int_equal(deliver(u, 5, "\1", NULL), -ENOENT); /* no root */
	fx_root(root, 1, 1, 2, 2);
	root->expires_s = NOW + 3000 * DAY;
	text = fx_signed_root(root, "\1\2", &len);
	assert_int_equal(wv_trust_pin(&wv_io_system, &paths, text, len, &error), 0);

	assert_int_equal(deliver(u, 5, "\1", NULL), -EKEYREJECTED);
	assert_int_equal(result_now(u), WV_UPDATE_RESULTS); /* nothing is believed of it */
	memset(other, 'a', 64);
	other[64] = '\0';
	assert_int_equal(deliver(u, 5, "\1\2", other), 0);
	assert_int_equal(result_now(u), WV_UPDATE_REFUSED);
	assert_int_equal(sink.installed, 0);
	sink.result = -EBUSY;
	assert_int_equal(deliver(u, 5, "\1\2", NULL), -EBUSY);
	assert_int_equal(result_now(u), WV_UPDATE_FAILED);
	sink.result = 0;
	assert_int_equal(deliver(u, 5, "\1\2", NULL), 0);
	assert_int_equal(result_now(u), WV_UPDATE_INSTALLED);
	assert_int_equal(deliver(u, 5, "\1\2", NULL), 0);
	assert_int_equal(deliver(u, 4, "\1\2", NULL), 0);
	assert_int_equal(result_now(u), WV_UPDATE_INSTALLED);
	assert_int_equal(sink.installed, 1);
	config.update_environment = wv_strict_choice("dev", wv_bundle_environments);
	assert_int_equal(deliver(u, 6, "\1\2", NULL), 0);
	assert_int_equal(result_now(u), WV_UPDATE_REFUSED);
	assert_int_equal(sink.installed, 1);
	wv_updater_close(u);
	wv_config_done(&config);
}

/* Roots and specs ---------------------------------------------------------------------------- */

static bool has(const struct wv_root *root, enum wv_role role, const char *name)
{
	for (unsigned i = 0; i < root->n_keys; i++)
		if (strcmp(root->keys[i].name, name) == 0)
			return root->roles[role].keys >> i & 1;
	return false;
}

static void root_edited_keeps_who_is_in_which_role(void **state)
{
	_cleanup_free_ struct wv_root *root = calloc(1, sizeof(*root));
	struct wv_secret_key k[6];
	char name[16];

	(void)state;
	for (unsigned char i = 0; i < 6; i++) {
		k[i] = fx_key((unsigned char)(i + 1));
		snprintf(name, sizeof(name), "k%u", i);
		assert_int_equal(wv_root_add_key(root, name, &k[i].public_key), 0);
		if (i == 2) {
			assert_int_equal(wv_root_set_role(root, "app=k0,k2:2", &error), 0);
			assert_int_equal(wv_root_set_role(root, "root=k1:1", &error), 0);
		}
	}
	for (unsigned i = 1; i < root->n_keys; i++)
		assert_true(strcmp(root->keys[i - 1].id, root->keys[i].id) < 0);
	assert_true(has(root, WV_ROLE_APP, "k0") && has(root, WV_ROLE_APP, "k2"));
	assert_int_equal(__builtin_popcountll(root->roles[WV_ROLE_APP].keys), 2);
	assert_true(has(root, WV_ROLE_ROOT, "k1"));
	assert_int_equal(__builtin_popcountll(root->roles[WV_ROLE_ROOT].keys), 1);
	assert_int_equal(wv_root_add_key(root, "k9", &k[3].public_key), -EEXIST);
	for (int i = 3; i < 6; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		assert_int_equal(wv_root_revoke(root, name), 0);
	}
	assert_int_equal(wv_root_revoke(root, "k0"), 0);
	assert_int_equal(wv_root_revoke(root, "k0"), -ENOENT);
	assert_false(has(root, WV_ROLE_APP, "k0"));
	assert_true(has(root, WV_ROLE_APP, "k2"));
	assert_int_equal(__builtin_popcountll(root->roles[WV_ROLE_APP].keys), 1);
	assert_true(has(root, WV_ROLE_ROOT, "k1"));
	assert_int_equal(wv_root_add_key(root, "again", &k[0].public_key), -EEXIST);
	assert_int_equal(wv_root_set_role(root, "app=nobody:1", &error), -EINVAL);
	assert_int_equal(wv_root_set_role(root, "ap=k1:1", &error), -EINVAL);
	assert_int_equal(wv_root_set_role(root, "app=k1", &error), -EINVAL);
}

static void write_text(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void spec_with_a_flaw_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *text, *reason;
	} specs[] = {
		{"", "empty"},
		{"kind: app\nname: x\n", "'version' is missing"},
		{"kind: polic\n", "did you mean policy"},
		{"kind: app\nname: x\nversion: 1.0.0\ncounter: 1\nscripts: []\n", "scripts"},
		{"kind: app\nname: x\nversion: 1.0.0\nfiles:\n  - {path: a.txt}\n", "counter"},
		{"kind: app\nname: x\nversion: 1.0.0\ncounter: 1\n", "files"},
		{"kind: app\nname: x\nversion: 1.0.0\ncounter: 1\nexpires: soon\n", "expires"},
		{"kind: app\nname: x\nversion: 1.0.0\ncounter: 1\nfiles:\n  - {path: b.txt}\n",
		 "b.txt"},
		{"kind: app\nname: x\nversion: 1.0.0\ncounter: 1\nfiles:\n"
		 "  - {path: ../a, from: a.txt}\n",
		 "path"},
		{"kind: app\nname: x\nversion: 1.0.0\ncounter: 1\nfiles:\n"
		 "  - {path: a.txt}\n  - {path: a.txt}\n",
		 "twice"},
		{"kind: app\nname: x\nversion: 1.0.0\ncounter: 1\nhooks:\n  - {on: boot, do: x}\n",
		 "on 'boot'"},
	};
	struct wv_config_error why;
	struct wv_bundle_spec spec;
	char path[128];

	(void)state;
	write_text("a.txt", "a");
	snprintf(path, sizeof(path), "%s/spec.yaml", dir);
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		write_text("spec.yaml", specs[i].text);
		if (wv_bundle_spec_load(path, NULL, NOW, &spec, &why) >= 0 ||
		    !strstr(why.text, specs[i].reason))
			fail_msg("%s: %s", specs[i].text, why.text);
		wv_bundle_spec_done(&spec);
	}
	write_text("spec.yaml", "kind: app\nname: x\nversion: 1.0.0\ncounter: 1\nfiles:\n"
				"  - {path: z, from: a.txt, mode: \"0755\"}\n  - {path: a.txt}\n");
	assert_int_equal(wv_bundle_spec_load(path, NULL, NOW, &spec, &why), 0);
	assert_int_equal(spec.manifest.n_files, 2);
	assert_string_equal(spec.manifest.files[1].path, "z");
	assert_int_equal(spec.manifest.files[1].mode, 0755);
	assert_string_equal(spec.manifest.environments[0], "dev");
	wv_bundle_spec_done(&spec);
}

/* Run from the root of the tree, as tests/run.sh does. */
static void profiles_are_of_their_environment_and_prod_is_strict(void **state)
{
	(void)state;
	for (int i = 0; wv_bundle_environments[i]; i++) {
		struct wv_config_error why = {.text = ""};
		struct wv_config c;
		char path[64];

		snprintf(path, sizeof(path), "docs/config/%s.yaml", wv_bundle_environments[i]);
		assert_int_equal(wv_config_init(&c), 0);
		if (wv_config_load(&c, path, &why) < 0)
			fail_msg("%s", why.text);
		assert_int_equal(c.update_environment, i);
		assert_true(wv_update_wanted(&c));
		if (strcmp(wv_bundle_environments[i], "dev") != 0) {
			assert_int_equal(strncmp(c.update_url, "https://", 8), 0);
			assert_true(c.update_ca[0] && c.update_cert[0] && c.update_key[0]);
			assert_false(c.update_folder[0]);
		}
		wv_config_done(&c);
	}
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? wv_paths_init(&paths, dir) : -1;
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backoff_doubles_with_jitter_up_to_its_maximum),
		cmocka_unit_test(backoff_is_never_shorter_than_the_source_asked_for),
		cmocka_unit_test(state_written_is_read_and_damage_is_nothing),
		cmocka_unit_test(state_that_is_full_forgets_the_oldest),
		cmocka_unit_test(deliver_installs_only_what_is_newer_and_verified),
		cmocka_unit_test(root_edited_keeps_who_is_in_which_role),
		cmocka_unit_test(spec_with_a_flaw_is_refused_with_its_place),
		cmocka_unit_test(profiles_are_of_their_environment_and_prod_is_strict),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
