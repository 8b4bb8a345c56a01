// SPDX-License-Identifier: GPL-2.0-only
/* Pods as the API tells them become the files that core reads names from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
// after these
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/domain/pods.h"
#include "user/kube/json.h"
#include "user/kube/pods.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct {
	char root[64];
	int folder;
	struct wv_kube_pods pods;
} t;

static int setup(void **state _unused_)
{
	char path[128];

	snprintf(t.root, sizeof(t.root), "/tmp/kube-pods-XXXXXX");
	assert_non_null(mkdtemp(t.root));
	snprintf(path, sizeof(path), "%s/var/lib/waveos/kubernetes", t.root);
	assert_int_equal(wv_io_mkdirs(&wv_io_system, path, 0755), 0);
	t.folder = open(path, O_RDONLY | O_DIRECTORY);
	assert_true(t.folder >= 0);
	assert_int_equal(wv_kube_pods_open(&t.pods, &wv_io_system, t.folder, ""), 0);
	return 0;
}

static int teardown(void **state _unused_)
{
	char command[128];

	wv_kube_pods_close(&t.pods);
	close(t.folder);
	snprintf(command, sizeof(command), "rm -rf %s", t.root);
	return system(command);
}

static void take(const char *json)
{
	struct json_object *o = wv_kube_parse(json, strlen(json));

	assert_non_null(o);
	wv_kube_pods_take(&t.pods, o);
	json_object_put(o);
}

static int read_pod(const char *id, struct wv_pod_info *ret)
{
	struct wv_identity who = {.kind = WV_ID_POD_CONTAINER};

	snprintf(who.container_id, sizeof(who.container_id), "%s", id);
	return wv_pods_read(t.root, &who, ret);
}

#define POD(uid, id, more)                                                                         \
	"{\"metadata\":{\"name\":\"front-1\",\"namespace\":\"shop\",\"uid\":\"" uid "\","          \
	"\"labels\":{\"app\":\"front\",\"pod-template-hash\":\"5c9\"},\"ownerReferences\":["       \
	"{\"kind\":\"ReplicaSet\",\"name\":\"front-5c9\",\"controller\":true}]},"                  \
	"\"status\":{\"containerStatuses\":[{\"name\":\"nginx\",\"containerID\":\"containerd:/"    \
	"/" id "\"}]" more "}}"

static void pod_is_read_with_names_labels_and_owner(void **state _unused_)
{
	struct wv_pod_info info;

	take(POD("u1", ID_A, ""));
	assert_int_equal(read_pod(ID_A, &info), 0);
	assert_string_equal(info.namespace, "shop");
	assert_string_equal(info.pod, "front-1");
	assert_string_equal(info.container, "nginx");
	assert_string_equal(info.owner, "Deployment/front");
	assert_string_equal(info.labels, "app=front\npod-template-hash=5c9\n");
	assert_true(read_pod(ID_B, &info) < 0);
}

static void pod_whose_container_restarted_has_the_new_one_only(void **state _unused_)
{
	struct wv_pod_info info;

	take(POD("u1", ID_A, ""));
	take(POD("u1", ID_B, ",\"initContainerStatuses\":[{\"name\":\"x\",\"containerID\":\"\"}]"));
	assert_true(read_pod(ID_A, &info) < 0);
	assert_int_equal(read_pod(ID_B, &info), 0);
	assert_int_equal(t.pods.n, 1);
}

static void pod_gone_takes_its_files_along(void **state _unused_)
{
	struct json_object *o;
	struct wv_pod_info info;
	const char *text = POD("u1", ID_A, "");

	take(text);
	take(POD("u2", ID_B, ""));
	o = wv_kube_parse(text, strlen(text));
	wv_kube_pods_gone(&t.pods, o);
	json_object_put(o);
	assert_true(read_pod(ID_A, &info) < 0);
	assert_int_equal(read_pod(ID_B, &info), 0);
}

static void list_drops_what_it_does_not_name_and_strays_of_an_earlier_worker(void **state _unused_)
{
	struct wv_pod_info info;

	take(POD("u1", ID_A, ""));
	take(POD("u2", ID_B, ""));
	/* another worker, which knows nothing yet */
	wv_kube_pods_close(&t.pods);
	assert_int_equal(wv_kube_pods_open(&t.pods, &wv_io_system, t.folder, ""), 0);
	assert_int_equal(read_pod(ID_A, &info),
			 0); /* what was known stays until the list is whole */
	wv_kube_pods_begin(&t.pods);
	take(POD("u2", ID_B, ""));
	wv_kube_pods_fresh(&t.pods);
	assert_true(read_pod(ID_A, &info) < 0);
	assert_int_equal(read_pod(ID_B, &info), 0);
	wv_kube_pods_begin(&t.pods);
	wv_kube_pods_fresh(&t.pods);
	assert_true(read_pod(ID_B, &info) < 0);
}

static void container_id_that_is_no_file_name_is_not_taken(void **state _unused_)
{
	take(POD("u1", "../../../etc/passwd", ""));
	take(POD("u1", "", ""));
	take(POD("u1", ID_A ID_B, ""));
	take("{}");
	take("{\"metadata\":3,\"status\":{\"containerStatuses\":[3,{\"containerID\":4}]}}");
	assert_int_equal(t.pods.n, 0);
}

static void labels_are_only_the_chosen_ones(void **state _unused_)
{
	struct wv_pod_info info;

	t.pods.labels = "tier,app";
	take(POD("u1", ID_A, ""));
	assert_int_equal(read_pod(ID_A, &info), 0);
	assert_string_equal(info.labels, "app=front\n");
}

static void pod_that_did_not_change_is_not_written_again(void **state _unused_)
{
	struct stat a, b;
	char path[256];

	take(POD("u1", ID_A, ""));
	snprintf(path, sizeof(path), "%s/var/lib/waveos/kubernetes/pods/" ID_A ".json", t.root);
	assert_int_equal(stat(path, &a), 0);
	take(POD("u1", ID_A, ",\"phase\":\"Running\""));
	assert_int_equal(stat(path, &b), 0);
	assert_true(a.st_ino == b.st_ino);
}

static void containers_over_the_maximum_are_counted(void **state _unused_)
{
	char text[1024];

	for (int i = 0; i < WV_KUBE_CONTAINERS_MAX + 3; i++) {
		snprintf(text, sizeof(text),
			 "{\"metadata\":{\"uid\":\"u%d\"},\"status\":{\"containerStatuses\":[{"
			 "\"containerID\":"
			 "\"containerd://%064x\"}]}}",
			 i, i + 1);
		take(text);
	}
	assert_int_equal(t.pods.n, WV_KUBE_CONTAINERS_MAX);
	assert_int_equal(t.pods.dropped, 3);
}

static void check_owner(const char *metadata, const char *expected)
{
	struct json_object *o = wv_kube_parse(metadata, strlen(metadata));
	char owner[64];

	wv_kube_owner(o, owner, sizeof(owner));
	assert_string_equal(owner, expected);
	json_object_put(o);
}

static void owner_is_the_controller(void **state _unused_)
{
	check_owner("{}", "");
	check_owner("{\"ownerReferences\":[{\"kind\":\"Node\",\"name\":\"n\"}]}", "");
	check_owner("{\"ownerReferences\":[{\"kind\":\"DaemonSet\",\"name\":\"a\",\"controller\":"
		    "true}]}",
		    "DaemonSet/a");
	check_owner("{\"ownerReferences\":[{\"kind\":\"ReplicaSet\",\"name\":\"a-b\","
		    "\"controller\":true}]}",
		    "ReplicaSet/a-b");
	check_owner("{\"labels\":{\"pod-template-hash\":\"b\"},\"ownerReferences\":["
		    "{\"kind\":\"ReplicaSet\",\"name\":\"-b\",\"controller\":true}]}",
		    "ReplicaSet/-b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(pod_is_read_with_names_labels_and_owner),
		T(pod_whose_container_restarted_has_the_new_one_only),
		T(pod_gone_takes_its_files_along),
		T(list_drops_what_it_does_not_name_and_strays_of_an_earlier_worker),
		T(container_id_that_is_no_file_name_is_not_taken),
		T(labels_are_only_the_chosen_ones),
		T(pod_that_did_not_change_is_not_written_again),
		T(containers_over_the_maximum_are_counted),
		T(owner_is_the_controller),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
