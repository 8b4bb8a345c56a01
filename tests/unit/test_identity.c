// SPDX-License-Identifier: GPL-2.0-only
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/core/cgroup.h"
#include "user/core/cleanup.h"

#define ID "3f1c5a7e9b2d4f6081a3c5e7092b4d6f8a1c3e5f7092b4d6f8a1c3e5f7092b4d"
#define ID2 "a0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f90a1b"
#define UID "5f0c7d3e-8a41-4b6c-9e2f-0d1c2b3a4f5e"
#define UID_ "5f0c7d3e_8a41_4b6c_9e2f_0d1c2b3a4f5e"
#define HASH "8b7e5d3c1a9f8e7d6c5b4a3f2e1d0c9b"

static const struct {
	const char *path;
	enum wv_identity_kind kind;
	const char *slice, *unit, *qos, *pod_uid, *container_id, *runtime;
} cases[] = {
	/* systemd */
	{"/", WV_ID_NONE, "", "", "", "", "", ""},
	{"/init.scope", WV_ID_UNIT, "", "init.scope", "", "", "", ""},
	{"/system.slice", WV_ID_NONE, "system.slice", "", "", "", "", ""},
	{"/system.slice/cron.service", WV_ID_UNIT, "system.slice", "cron.service", "", "", "", ""},
	{"/system.slice/cron.service/", WV_ID_UNIT, "system.slice", "cron.service", "", "", "", ""},
	{"/system.slice/system-getty.slice/getty@tty1.service", WV_ID_UNIT, "system-getty.slice",
	 "getty@tty1.service", "", "", "", ""},
	{"/system.slice/system-postgresql.slice/postgresql@15-main.service", WV_ID_UNIT,
	 "system-postgresql.slice", "postgresql@15-main.service", "", "", "", ""},
	{"/system.slice/boot-efi.mount", WV_ID_UNIT, "system.slice", "boot-efi.mount", "", "", "",
	 ""},
	{"/system.slice/dev-disk-by\\x2duuid-1234\\x2dabcd.swap", WV_ID_UNIT, "system.slice",
	 "dev-disk-by\\x2duuid-1234\\x2dabcd.swap", "", "", "", ""},
	{"/system.slice/dbus.socket", WV_ID_UNIT, "system.slice", "dbus.socket", "", "", "", ""},
	{"/system.slice/nginx.service/worker/0", WV_ID_UNIT, "system.slice", "nginx.service", "",
	 "", "", ""},
	{"/user.slice/user-1000.slice/session-3.scope", WV_ID_UNIT, "user-1000.slice",
	 "session-3.scope", "", "", "", ""},
	{"/user.slice/user-1000.slice/user@1000.service/init.scope", WV_ID_UNIT, "user-1000.slice",
	 "init.scope", "", "", "", ""},
	{"/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/"
	 "vte-spawn-0a1b.scope",
	 WV_ID_UNIT, "app-org.gnome.Terminal.slice", "vte-spawn-0a1b.scope", "", "", "", ""},
	{"/system.slice/_cpu.service", WV_ID_UNIT, "system.slice", "cpu.service", "", "", "", ""},
	{"/machine.slice/machine-debian\\x2dsid.scope/payload/system.slice/cron.service",
	 WV_ID_UNIT, "system.slice", "cron.service", "", "", "", ""},
	{"/system.slice/docker.service", WV_ID_UNIT, "system.slice", "docker.service", "", "", "",
	 ""},
	{"/.service", WV_ID_NONE, "", "", "", "", "", ""},
	{"/.slice", WV_ID_NONE, "", "", "", "", "", ""},

	/* Kubernetes, systemd driver */
	{"/kubepods.slice", WV_ID_NONE, "kubepods.slice", "", "", "", "", ""},
	{"/kubepods.slice/kubepods-burstable.slice", WV_ID_NONE, "kubepods-burstable.slice", "",
	 "burstable", "", "", ""},
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_ ".slice", WV_ID_POD,
	 "kubepods-burstable-pod" UID_ ".slice", "", "burstable", UID, "", ""},
	{"/kubepods.slice/kubepods-pod" UID_ ".slice", WV_ID_POD, "kubepods-pod" UID_ ".slice", "",
	 "guaranteed", UID, "", ""},
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_
	 ".slice/cri-containerd-" ID ".scope",
	 WV_ID_POD_CONTAINER, "kubepods-burstable-pod" UID_ ".slice", "cri-containerd-" ID ".scope",
	 "burstable", UID, ID, "containerd"},
	{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_ ".slice/crio-" ID
	 ".scope",
	 WV_ID_POD_CONTAINER, "kubepods-besteffort-pod" UID_ ".slice", "crio-" ID ".scope",
	 "besteffort", UID, ID, "cri-o"},
	{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_ ".slice/crio-" ID
	 ".scope/container",
	 WV_ID_POD_CONTAINER, "kubepods-besteffort-pod" UID_ ".slice", "crio-" ID ".scope",
	 "besteffort", UID, ID, "cri-o"},
	{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_
	 ".slice/crio-conmon-" ID ".scope",
	 WV_ID_POD, "kubepods-besteffort-pod" UID_ ".slice", "crio-conmon-" ID ".scope",
	 "besteffort", UID, "", "cri-o"},
	{"/system.slice/crio-conmon-" ID ".scope", WV_ID_UNIT, "system.slice",
	 "crio-conmon-" ID ".scope", "", "", "", "cri-o"},
	{"/kubepods.slice/kubepods-pod" UID_ ".slice/docker-" ID ".scope", WV_ID_POD_CONTAINER,
	 "kubepods-pod" UID_ ".slice", "docker-" ID ".scope", "guaranteed", UID, ID, "docker"},
	{"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
	 "kubelet-kubepods-besteffort-pod" UID_ ".slice/cri-containerd-" ID ".scope",
	 WV_ID_POD_CONTAINER, "kubelet-kubepods-besteffort-pod" UID_ ".slice",
	 "cri-containerd-" ID ".scope", "besteffort", UID, ID, "containerd"},
	{"/kubepods\\x2dburstable\\x2dpod" UID_ ".slice/cri\\x2dcontainerd\\x2d" ID ".scope",
	 WV_ID_POD_CONTAINER, "kubepods\\x2dburstable\\x2dpod" UID_ ".slice",
	 "cri\\x2dcontainerd\\x2d" ID ".scope", "burstable", UID, ID, "containerd"},
	{"/system.slice/containerd.service/kubepods-burstable-pod" UID_ ".slice:cri-containerd:" ID,
	 WV_ID_POD_CONTAINER, "kubepods-burstable-pod" UID_ ".slice", "containerd.service",
	 "burstable", UID, ID, "containerd"},
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" HASH
	 ".slice/cri-containerd-" ID ".scope",
	 WV_ID_POD_CONTAINER, "kubepods-burstable-pod" HASH ".slice", "cri-containerd-" ID ".scope",
	 "burstable", HASH, ID, "containerd"},
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_
	 ".slice/cri-containerd-" ID ".scope/system.slice/sshd.service",
	 WV_ID_POD_CONTAINER, "system.slice", "sshd.service", "burstable", UID, ID, "containerd"},

	/* Kubernetes, cgroupfs driver */
	{"/kubepods", WV_ID_NONE, "", "", "", "", "", ""},
	{"/kubepods/besteffort", WV_ID_NONE, "", "", "besteffort", "", "", ""},
	{"/kubepods/besteffort/pod" UID, WV_ID_POD, "", "", "besteffort", UID, "", ""},
	{"/kubepods/pod" UID, WV_ID_POD, "", "", "guaranteed", UID, "", ""},
	{"/kubepods/burstable/pod" UID "/" ID, WV_ID_POD_CONTAINER, "", "", "burstable", UID, ID,
	 ""},
	{"/kubepods/pod" UID "/" ID, WV_ID_POD_CONTAINER, "", "", "guaranteed", UID, ID, ""},
	{"/kubepods/burstable/pod" HASH "/" ID, WV_ID_POD_CONTAINER, "", "", "burstable", HASH, ID,
	 ""},
	{"/kubepods/burstable/pod" UID "/crio-" ID, WV_ID_POD_CONTAINER, "", "", "burstable", UID,
	 ID, "cri-o"},
	{"/kubepods/burstable/pod" UID "/crio-conmon-" ID, WV_ID_POD, "", "", "burstable", UID, "",
	 "cri-o"},
	{"/kubelet.slice/kubepods/burstable/pod" UID "/" ID, WV_ID_POD_CONTAINER, "kubelet.slice",
	 "", "burstable", UID, ID, ""},
	/* a node that is a Docker container itself, as kind makes them */
	{"/docker/" ID2 "/kubelet/kubepods/besteffort/pod" UID "/" ID, WV_ID_POD_CONTAINER, "", "",
	 "besteffort", UID, ID, ""},
	{"/docker/" ID2 "/kubelet/kubepods", WV_ID_CONTAINER, "", "", "", "", ID2, "docker"},
	{"/system.slice/docker-" ID2 ".scope/kubelet.slice/kubelet-kubepods.slice/"
	 "kubelet-kubepods-pod" UID_ ".slice/cri-containerd-" ID ".scope",
	 WV_ID_POD_CONTAINER, "kubelet-kubepods-pod" UID_ ".slice", "cri-containerd-" ID ".scope",
	 "guaranteed", UID, ID, "containerd"},
	/* Docker in a pod: Kubernetes knows the outer container */
	{"/kubepods/burstable/pod" UID "/" ID "/docker/" ID2, WV_ID_POD_CONTAINER, "", "",
	 "burstable", UID, ID, ""},

	/* Docker, Podman, nerdctl */
	{"/system.slice/docker-" ID ".scope", WV_ID_CONTAINER, "system.slice",
	 "docker-" ID ".scope", "", "", ID, "docker"},
	{"/docker/" ID, WV_ID_CONTAINER, "", "", "", "", ID, "docker"},
	{"/docker/" ID "/init", WV_ID_CONTAINER, "", "", "", "", ID, "docker"},
	{"/docker/" ID "/docker/" ID2, WV_ID_CONTAINER, "", "", "", "", ID2, "docker"},
	{"/docker", WV_ID_NONE, "", "", "", "", "", ""},
	{"/docker/buildkit", WV_ID_NONE, "", "", "", "", "", ""},
	{"/machine.slice/libpod-" ID ".scope/container", WV_ID_CONTAINER, "machine.slice",
	 "libpod-" ID ".scope", "", "", ID, "podman"},
	{"/machine.slice/libpod-conmon-" ID ".scope", WV_ID_UNIT, "machine.slice",
	 "libpod-conmon-" ID ".scope", "", "", "", "podman"},
	{"/machine.slice/machine-libpod_pod_" ID2 ".slice/libpod-" ID ".scope", WV_ID_CONTAINER,
	 "machine-libpod_pod_" ID2 ".slice", "libpod-" ID ".scope", "", "", ID, "podman"},
	{"/libpod_parent/libpod-" ID, WV_ID_CONTAINER, "", "", "", "", ID, "podman"},
	{"/libpod_parent/conmon", WV_ID_NONE, "", "", "", "", "", ""},
	{"/system.slice/web.service/libpod-payload-" ID, WV_ID_CONTAINER, "system.slice",
	 "web.service", "", "", ID, "podman"},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope/container",
	 WV_ID_CONTAINER, "user.slice", "libpod-" ID ".scope", "", "", ID, "podman"},
	{"/system.slice/nerdctl-" ID ".scope", WV_ID_CONTAINER, "system.slice",
	 "nerdctl-" ID ".scope", "", "", ID, "containerd"},
	{"/default/" ID, WV_ID_CONTAINER, "", "", "", "", ID, ""},

	/* what only looks like it */
	{"", WV_ID_NONE, "", "", "", "", "", ""},
	{"//", WV_ID_NONE, "", "", "", "", "", ""},
	{"//system.slice//cron.service", WV_ID_UNIT, "system.slice", "cron.service", "", "", "",
	 ""},
	{"/kubepods/../pod" UID, WV_ID_NONE, "", "", "", "", "", ""},
	{"/system.slice/cron.service/..", WV_ID_NONE, "", "", "", "", "", ""},
	{"/./system.slice", WV_ID_NONE, "", "", "", "", "", ""},
	{"/pod" UID "/" ID, WV_ID_CONTAINER, "", "", "", "", ID, ""},
	{"/kubepods/other/pod" UID, WV_ID_NONE, "", "", "", "", "", ""},
	{"/kubepods/pod5f0c7d3e", WV_ID_NONE, "", "", "", "", "", ""},
	{"/kubepods/pod" UID "0", WV_ID_NONE, "", "", "", "", "", ""},
	{"/kubepods/podzf0c7d3e-8a41-4b6c-9e2f-0d1c2b3a4f5e", WV_ID_NONE, "", "", "", "", "", ""},
	{"/mykubepods.slice/mykubepods-pod" UID_ ".slice", WV_ID_NONE,
	 "mykubepods-pod" UID_ ".slice", "", "", "", "", ""},
	{"/docker-" ID "0.scope", WV_ID_UNIT, "", "docker-" ID "0.scope", "", "", "", ""},
	{"/docker-proxy.scope", WV_ID_UNIT, "", "docker-proxy.scope", "", "", "", ""},
	{"/crio-conmon-.scope", WV_ID_UNIT, "", "crio-conmon-.scope", "", "", "", ""},
	{"/kubepods-pod" UID_ ".slice:cri-containerd:../x", WV_ID_NONE, "", "", "", "", "", ""},
	{"/a\\x2fb.slice", WV_ID_NONE, "a\\x2fb.slice", "", "", "", "", ""},
	{"/\\x", WV_ID_NONE, "", "", "", "", "", ""},
	{"/\\x00\\x2", WV_ID_NONE, "", "", "", "", "", ""},
};

static void check(const char *path, const char *what, const char *got, const char *expected)
{
	if (strcmp(got, expected) != 0)
		fail_msg("%s: %s is '%s', expected '%s'", path, what, got, expected);
}

static void identity_of_known_paths_is_read(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct wv_identity id;

		memset(&id, 0xa5, sizeof(id));
		wv_identity_parse(cases[i].path, &id);
		if (id.kind != cases[i].kind)
			fail_msg("%s: kind %d, expected %d", cases[i].path, (int)id.kind,
				 (int)cases[i].kind);
		check(cases[i].path, "slice", id.slice, cases[i].slice);
		check(cases[i].path, "unit", id.unit, cases[i].unit);
		check(cases[i].path, "qos", id.qos, cases[i].qos);
		check(cases[i].path, "pod_uid", id.pod_uid, cases[i].pod_uid);
		check(cases[i].path, "container_id", id.container_id, cases[i].container_id);
		check(cases[i].path, "runtime", id.runtime, cases[i].runtime);
	}
}

static void identity_of_long_names_is_cut_or_nothing(void **state _unused_)
{
	struct wv_identity id;
	char path[4097] = "/";

	/* the longest unit name that the kernel would take */
	memset(path + 1, 'a', 247);
	memcpy(path + 248, ".service", 9);
	wv_identity_parse(path, &id);
	assert_int_equal(id.kind, WV_ID_UNIT);
	assert_int_equal(strlen(id.unit), sizeof(id.unit) - 1);
	/* one byte more is no name */
	memset(path + 1, 'a', 248);
	memcpy(path + 249, ".service", 9);
	wv_identity_parse(path, &id);
	assert_int_equal(id.kind, WV_ID_NONE);
	memset(path, '/', sizeof(path) - 1);
	wv_identity_parse(path, &id);
	assert_int_equal(id.kind, WV_ID_NONE);
	for (size_t i = 0; i < sizeof(path) - 1; i++)
		path[i] = i % 2 ? 'x' : '/';
	wv_identity_parse(path, &id);
	assert_int_equal(id.kind, WV_ID_NONE);
}

/* Any bytes: strings stay terminated, and a pod's uid and an id stay within their alphabets. */
static void identity_of_garbage_stays_in_bounds(void **state _unused_)
{
	uint64_t seed = 0x9e3779b97f4a7c15ULL;
	char path[512];

	for (unsigned round = 0; round < 50000; round++) {
		struct wv_identity id;
		size_t len;

		strcpy(path, cases[round % ARRAY_SIZE(cases)].path);
		len = strlen(path);
		for (unsigned i = 0; len && i < 1 + round % 4; i++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			path[(seed >> 33) % len] = (char)(1 + (seed >> 20) % 255);
		}
		memset(&id, 0xa5, sizeof(id));
		wv_identity_parse(path, &id);
		assert_true(memchr(id.slice, 0, sizeof(id.slice)) != NULL);
		assert_true(memchr(id.unit, 0, sizeof(id.unit)) != NULL);
		assert_true(memchr(id.qos, 0, sizeof(id.qos)) != NULL);
		assert_int_equal(strspn(id.pod_uid, "0123456789abcdefABCDEF-"), strlen(id.pod_uid));
		assert_int_equal(strspn(id.container_id, "0123456789abcdef"),
				 strlen(id.container_id));
		assert_true(memchr(id.runtime, 0, sizeof(id.runtime)) != NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity_of_known_paths_is_read),
		cmocka_unit_test(identity_of_long_names_is_cut_or_nothing),
		cmocka_unit_test(identity_of_garbage_stays_in_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
