// SPDX-License-Identifier: GPL-2.0-only
/* Which domain a row belongs to: inheritance, another policy, pods that are told late; state files
 * of runtimes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/domain/pods.h"
#include "user/domain/resolve.h"
#include "user/policy/policy.h"

#define ROWS 16
#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct wv_sample sample;
static struct wv_domains domains;

static struct wv_policy *load(const char *list)
{
	struct wv_config_error error;
	struct wv_policy *p;
	char text[1024];

	snprintf(text, sizeof(text), "schema_version: 1\nname: t\ndomains:\n%s", list);
	if (wv_policy_load_memory(&p, "t", text, strlen(text), &error) < 0)
		fail_msg("%s", error.text);
	return p;
}

static uint32_t add(const char *path, uint32_t parent)
{
	uint32_t slot = sample.used_rows++;

	sample.rows[slot] =
		(struct wv_row){.key = 100 + slot, .flags = WV_ROW_LIVE, .parent_slot = parent};
	snprintf(sample.rows[slot].path, sizeof(sample.rows[slot].path), "%s", path);
	return slot;
}

static int setup(void **state)
{
	(void)state;
	if (wv_sample_init(&sample, ROWS) < 0 || wv_domains_init(&domains, ROWS) < 0)
		return -1;
	sample.used_rows = 1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	wv_sample_done(&sample);
	wv_domains_done(&domains);
	return 0;
}

static void domain_is_inherited_unless_claimed_below(void **state)
{
	struct wv_policy *p = load("  - {name: web, scope: {cgroup: /web}}\n"
				   "  - {name: db, scope: {cgroup: /web/db}}\n");
	uint32_t root = add("/", 1), web, a, deep, db, below, other;

	(void)state;
	web = add("/web", root);
	a = add("/web/a", web);
	deep = add("/web/a/b", a);
	db = add("/web/db", web);
	below = add("/web/db/x", db);
	other = add("/other", root);
	wv_domains_set_policy(&domains, p);
	/* asked from below first: parents are found on the way */
	assert_int_equal(wv_domains_of(&domains, &sample, deep), 0);
	assert_int_equal(wv_domains_of(&domains, &sample, below), 1);
	assert_int_equal(wv_domains_of(&domains, &sample, web), 0);
	assert_int_equal(wv_domains_of(&domains, &sample, root), WV_NONE);
	assert_int_equal(wv_domains_of(&domains, &sample, other), WV_NONE);
	assert_true(wv_domains_root(&domains, &sample, web));
	assert_false(wv_domains_root(&domains, &sample, a));
	assert_false(wv_domains_root(&domains, &sample, deep));
	assert_true(wv_domains_root(&domains, &sample, db));
	assert_false(wv_domains_root(&domains, &sample, other));
	assert_int_equal(wv_domains_of(&domains, &sample, WV_SLOT_OTHER), WV_NONE);
	wv_policy_free(p);
}

static void domain_of_a_reused_slot_is_matched_anew(void **state)
{
	struct wv_policy *p = load("  - {name: web, scope: {cgroup: /web}}\n"),
			 *q = load("  - {name: x, scope: {cgroup: /x}}\n"
				   "  - {name: web, scope: {cgroup: /web}}\n");
	uint32_t slot = add("/web", 0);

	(void)state;
	wv_domains_set_policy(&domains, p);
	assert_int_equal(wv_domains_of(&domains, &sample, slot), 0);
	wv_domains_set_policy(&domains, q);
	assert_int_equal(wv_domains_of(&domains, &sample, slot), 1);
	sample.rows[slot].key = 999;
	strcpy(sample.rows[slot].path, "/x");
	assert_int_equal(wv_domains_of(&domains, &sample, slot), 0);
	sample.rows[slot].flags = 0;
	assert_int_equal(wv_domains_of(&domains, &sample, slot), WV_NONE);
	wv_policy_free(p);
	wv_policy_free(q);
}

static unsigned asked;
static bool known;

static int pod(void *ctx, uint64_t key, const struct wv_identity *id, struct wv_pod_info *ret)
{
	(void)ctx;
	(void)key;
	asked++;
	assert_string_equal(id->container_id, ID);
	if (!known)
		return -ENOENT;
	*ret = (struct wv_pod_info){.namespace = "shop", .pod = "front-1"};
	return 0;
}

static void domain_of_a_pod_is_asked_for_until_it_is_told(void **state)
{
	struct wv_policy *p = load("  - {name: shop, scope: {namespace: shop, pod: front-*}}\n");
	uint32_t c = add("/kubepods/besteffort/pod0a/" ID, 0), inner = add("/kubepods/x/inner", c);

	(void)state;
	domains.pod = pod;
	wv_domains_set_policy(&domains, p);
	asked = 0;
	known = false;
	assert_int_equal(wv_domains_of(&domains, &sample, inner), WV_NONE);
	assert_int_equal(wv_domains_of(&domains, &sample, c), WV_NONE);
	assert_true(asked >= 2);
	known = true;
	assert_int_equal(wv_domains_of(&domains, &sample, c), 0);
	assert_int_equal(wv_domains_of(&domains, &sample, inner), 0); /* inherits what was told */
	asked = 0;
	assert_int_equal(wv_domains_of(&domains, &sample, c), 0);
	assert_int_equal(asked, 0);
	wv_policy_free(p);
}

static void write_state(const char *root, const char *path, const char *text)
{
	char command[512];
	FILE *f;

	snprintf(command, sizeof(command), "mkdir -p $(dirname %s/%s)", root, path);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "%s/%s", root, path);
	f = fopen(command, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void pods_are_read_from_each_runtime(void **state)
{
	static const struct {
		const char *path, *text, *labels;
	} files[] = {
		{"run/containerd/io.containerd.runtime.v2.task/k8s.io/" ID "/config.json",
		 "{\"annotations\":{\"io.kubernetes.cri.sandbox-namespace\":\"shop\","
		 "\"io.kubernetes.cri.sandbox-name\":\"front-1\","
		 "\"io.kubernetes.cri.container-name\":\"nginx\"}}",
		 ""},
		{"run/containers/storage/overlay-containers/" ID "/userdata/config.json",
		 "{\"annotations\":{\"io.kubernetes.pod.namespace\":\"shop\","
		 "\"io.kubernetes.pod.name\":\"front-1\",\"io.kubernetes.container.name\":"
		 "\"nginx\","
		 "\"io.kubernetes.cri-o.Labels\":\"{\\\"app\\\":\\\"front\\\"}\"}}",
		 "app=front\n"},
		{"var/lib/docker/containers/" ID "/config.v2.json",
		 "{\"Config\":{\"Labels\":{\"io.kubernetes.pod.namespace\":\"shop\","
		 "\"io.kubernetes.pod.name\":\"front-1\",\"io.kubernetes.container.name\":"
		 "\"nginx\","
		 "\"app\":\"front\"}}}",
		 "app=front\n"},
	};
	char root[] = "/tmp/waveos-pods.XXXXXX", command[64];
	struct wv_identity id = {.kind = WV_ID_CONTAINER};

	(void)state;
	snprintf(id.container_id, sizeof(id.container_id), "%s", ID);
	assert_non_null(mkdtemp(root));
	snprintf(command, sizeof(command), "rm -rf %s/run %s/var", root, root);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct wv_pod_info info = {.namespace = "before"};

		assert_int_equal(wv_pods_read(root, &id, &info), -ENOENT);
		assert_string_equal(info.namespace, "before");
		write_state(root, files[i].path, files[i].text);
		assert_int_equal(wv_pods_read(root, &id, &info), 0);
		assert_string_equal(info.namespace, "shop");
		assert_string_equal(info.pod, "front-1");
		assert_string_equal(info.container, "nginx");
		assert_non_null(strstr(info.labels, files[i].labels));
		write_state(root, files[i].path, "no JSON");
		assert_int_equal(wv_pods_read(root, &id, &info), -ENOENT);
		assert_int_equal(system(command), 0);
	}
	/* what is no id never becomes a path */
	strcpy(id.container_id, "../../etc");
	{
		struct wv_pod_info info;

		assert_int_equal(wv_pods_read(root, &id, &info), -ENOENT);
	}
	snprintf(command, sizeof(command), "rmdir %s", root);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(domain_is_inherited_unless_claimed_below, setup,
						teardown),
		cmocka_unit_test_setup_teardown(domain_of_a_reused_slot_is_matched_anew, setup,
						teardown),
		cmocka_unit_test_setup_teardown(domain_of_a_pod_is_asked_for_until_it_is_told,
						setup, teardown),
		cmocka_unit_test(pods_are_read_from_each_runtime),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
