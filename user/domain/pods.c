// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the worker of Kubernetes left comes first (user/kube/pods.h): it knows the labels and the
 * owner, too. The OCI bundle of a container carries what Kubernetes told the runtime, as
 * annotations. Their names are those of containerd (io.kubernetes.cri.*), of CRI-O
 * (io.kubernetes.*, labels as a JSON text) and of Docker (labels in config.v2.json). containerd
 * keeps no pod labels there.
 */
#include "user/domain/pods.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"

#define STATE_FILE_MAX (4U << 20)

static void json_freep(struct json_object **o)
{
	json_object_put(*o);
}

struct source {
	const char *path;	/* below the root, with %s for the container's id */
	const char *section[3]; /* objects to go down */
	const char *namespace, *pod, *container;
	const char *owner;  /* NULL: it does not tell */
	const char *labels; /* key of a JSON text with labels; NULL: the section itself has them */
	bool section_is_labels;
};

static const struct source sources[] = {
	{"var/lib/waveos/kubernetes/pods/%s.json",
	 {NULL},
	 "namespace",
	 "pod",
	 "container",
	 "owner",
	 "labels",
	 false},
	{"run/containerd/io.containerd.runtime.v2.task/k8s.io/%s/config.json",
	 {"annotations"},
	 "io.kubernetes.cri.sandbox-namespace",
	 "io.kubernetes.cri.sandbox-name",
	 "io.kubernetes.cri.container-name",
	 NULL,
	 NULL,
	 false},
	{"run/containers/storage/overlay-containers/%s/userdata/config.json",
	 {"annotations"},
	 "io.kubernetes.pod.namespace",
	 "io.kubernetes.pod.name",
	 "io.kubernetes.container.name",
	 NULL,
	 "io.kubernetes.cri-o.Labels",
	 false},
	{"var/lib/docker/containers/%s/config.v2.json",
	 {"Config", "Labels"},
	 "io.kubernetes.pod.namespace",
	 "io.kubernetes.pod.name",
	 "io.kubernetes.container.name",
	 NULL,
	 NULL,
	 true},
};

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
		       ? json_object_get_string(v)
		       : "";
}

/* "key=value\n" of each label that fits; one that does not is left out as a whole. */
static void add_labels(struct json_object *o, char *buf, size_t size)
{
	size_t len = 0;

	if (!json_object_is_type(o, json_type_object))
		return;
	json_object_object_foreach(o, key, value)
	{
		const char *text = json_object_is_type(value, json_type_string)
					   ? json_object_get_string(value)
					   : NULL;
		size_t need = text ? strlen(key) + strlen(text) + 2 : 0;

		if (!text || strchr(key, '\n') || strchr(text, '\n') || len + need >= size)
			continue;
		len += (size_t)snprintf(buf + len, size - len, "%s=%s\n", key, text);
	}
}

static int read_source(int root, const struct source *from, const char *id, struct wv_pod_info *ret)
{
	_cleanup_(json_freep) struct json_object *all = NULL, *labels = NULL;
	_cleanup_free_ char *text = NULL;
	struct json_object *section;
	char path[512];
	size_t len;
	int r;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(path, sizeof(path), from->path, id);
#pragma GCC diagnostic pop
	r = wv_io_read_file(&wv_io_system, root, path, STATE_FILE_MAX, &text, &len);
	if (r < 0)
		return r;
	section = all = json_tokener_parse(text);
	for (size_t i = 0; i < ARRAY_SIZE(from->section) && from->section[i]; i++)
		if (!json_object_object_get_ex(section, from->section[i], &section))
			return -ENODATA;
	snprintf(ret->namespace, sizeof(ret->namespace), "%s", text_of(section, from->namespace));
	snprintf(ret->pod, sizeof(ret->pod), "%s", text_of(section, from->pod));
	snprintf(ret->container, sizeof(ret->container), "%s", text_of(section, from->container));
	if (from->owner)
		snprintf(ret->owner, sizeof(ret->owner), "%s", text_of(section, from->owner));
	if (from->section_is_labels)
		add_labels(section, ret->labels, sizeof(ret->labels));
	if (from->labels) {
		labels = json_tokener_parse(text_of(section, from->labels));
		add_labels(labels, ret->labels, sizeof(ret->labels));
	}
	return 0;
}

int wv_pods_read(const char *root, const struct wv_identity *id, struct wv_pod_info *ret)
{
	_cleanup_close_ int dir = open(*root ? root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return -errno;
	/* it becomes part of a path */
	if (!*id->container_id || id->container_id[strspn(id->container_id, "0123456789abcdef")])
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		struct wv_pod_info info = {.namespace = ""};

		if (read_source(dir, &sources[i], id->container_id, &info) < 0)
			continue;
		*ret = info;
		return 0;
	}
	return -ENOENT;
}
