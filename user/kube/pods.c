// SPDX-License-Identifier: GPL-2.0-only
#include "user/kube/pods.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/kube/json.h"
#include "user/policy/scope.h"

#define SUFFIX ".json"

static const char *const status_lists[] = {"initContainerStatuses", "containerStatuses",
					   "ephemeralContainerStatuses"};

int wv_kube_pods_open(struct wv_kube_pods *p, const struct wv_io *io, int folder,
		      const char *labels)
{
	int r = io->mkdir(io->ctx, folder, WV_KUBE_PODS_DIR, 0755);

	*p = (struct wv_kube_pods){.io = io, .dir = -1, .labels = labels};
	if (r < 0 && r != -EEXIST)
		return r;
	r = io->open(io->ctx, folder, WV_KUBE_PODS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (r < 0)
		return r;
	p->dir = r;
	return 0;
}

void wv_kube_pods_close(struct wv_kube_pods *p)
{
	free(p->list);
	p->list = NULL;
	p->n = p->room = 0;
	if (p->dir >= 0)
		(void)p->io->close(p->io->ctx, p->dir);
	p->dir = -1;
}

/* Texts of a pod --------------------------------------------------------------------------------
 */

void wv_kube_owner(struct json_object *metadata, char *ret, size_t size)
{
	struct json_object *owners = wv_kube_list(metadata, "ownerReferences");
	const char *hash = wv_kube_text(wv_kube_object(metadata, "labels"), "pod-template-hash");

	*ret = '\0';
	for (size_t i = 0; owners && i < json_object_array_length(owners); i++) {
		struct json_object *o = json_object_array_get_idx(owners, i), *controller;
		const char *kind = wv_kube_text(o, "kind"), *name = wv_kube_text(o, "name");
		size_t n = strlen(name), h = strlen(hash);

		if (!json_object_is_type(o, json_type_object) ||
		    !json_object_object_get_ex(o, "controller", &controller) ||
		    !json_object_get_boolean(controller))
			continue;
		if (strcmp(kind, "ReplicaSet") == 0 && h && n > h + 1 && name[n - h - 1] == '-' &&
		    strcmp(name + n - h, hash) == 0)
			snprintf(ret, size, "Deployment/%.*s", (int)(n - h - 1), name);
		else
			snprintf(ret, size, "%s/%s", kind, name);
		return;
	}
}

static bool is_chosen(const char *chosen, const char *key)
{
	size_t n = strlen(key);

	if (!*chosen)
		return true;
	for (const char *p = chosen; *p;) {
		size_t len = strcspn(p, ",");

		if (len == n && memcmp(p, key, n) == 0)
			return true;
		p += len + (p[len] == ',');
	}
	return false;
}

static struct json_object *chosen_labels(const struct wv_kube_pods *p, struct json_object *metadata)
{
	struct json_object *all = wv_kube_object(metadata, "labels"), *o = json_object_new_object();

	if (!all)
		return o;
	json_object_object_foreach(all, key, value)
	{
		if (json_object_is_type(value, json_type_string) && is_chosen(p->labels, key))
			json_object_object_add(o, key, json_object_get(value));
	}
	return o;
}

/* The id of "containerd://<id>", or NULL: it becomes a file's name. */
static const char *id_of(struct json_object *status)
{
	const char *text = wv_kube_text(status, "containerID"), *id = strstr(text, "://");

	if (!id)
		return NULL;
	id += 3;
	if (!*id || strlen(id) >= sizeof(((struct wv_kube_name *)NULL)->id) ||
	    id[strspn(id, "0123456789abcdef")])
		return NULL;
	return id;
}

/* Files ------------------------------------------------------------------------------------------
 */

static void name_of(const char *id, char ret[96])
{
	snprintf(ret, 96, "%s" SUFFIX, id);
}

static uint64_t fnv1a(const char *text)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ULL;
	return h;
}

static struct wv_kube_container *find(struct wv_kube_pods *p, const char *id)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->list[i].name.id, id) == 0)
			return &p->list[i];
	return NULL;
}

static struct wv_kube_container *add(struct wv_kube_pods *p, const char *id)
{
	struct wv_kube_container *c;

	if (p->n == WV_KUBE_CONTAINERS_MAX) {
		p->dropped++;
		return NULL;
	}
	if (p->n == p->room) {
		size_t room = p->room ? 2 * p->room : 64;
		void *more = reallocarray(p->list, room, sizeof(*p->list));

		if (!more)
			return NULL;
		p->list = more;
		p->room = room;
	}
	c = &p->list[p->n++];
	*c = (struct wv_kube_container){.digest = 0};
	snprintf(c->name.id, sizeof(c->name.id), "%s", id);
	return c;
}

static void drop(struct wv_kube_pods *p, size_t at)
{
	char name[96];
	int r;

	name_of(p->list[at].name.id, name);
	r = p->io->unlink(p->io->ctx, p->dir, name);
	if (r < 0 && r != -ENOENT)
		p->error = r;
	p->list[at] = p->list[--p->n];
	p->changed = true;
}

/* Atomic, but not durable: after a power cut there are other containers. */
static int replace(const struct wv_kube_pods *p, const char *name, const char *text)
{
	const struct wv_io *io = p->io;
	int fd = io->open(io->ctx, p->dir, ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644),
	    r;

	if (fd < 0)
		return fd;
	r = wv_io_write_all(io, fd, text, strlen(text));
	(void)io->close(io->ctx, fd);
	return r < 0 ? r : io->rename(io->ctx, p->dir, ".new", name);
}

static void name_container(struct wv_kube_name *n, struct json_object *metadata,
			   struct json_object *status)
{
	snprintf(n->pod_uid, sizeof(n->pod_uid), "%s", wv_kube_text(metadata, "uid"));
	snprintf(n->namespace, sizeof(n->namespace), "%s", wv_kube_text(metadata, "namespace"));
	snprintf(n->pod, sizeof(n->pod), "%s", wv_kube_text(metadata, "name"));
	snprintf(n->container, sizeof(n->container), "%s", wv_kube_text(status, "name"));
}

static void write_container(struct wv_kube_pods *p, struct json_object *metadata,
			    struct json_object *status, const char *labels, const char *owner)
{
	const char *id = id_of(status);
	struct wv_kube_container *c = id ? find(p, id) : NULL;
	_cleanup_(wv_kube_putp) struct json_object *o = NULL;
	const char *text;
	uint64_t digest;
	char name[96];

	if (!c)
		c = id ? add(p, id) : NULL;
	if (!c)
		return;
	c->seen = true;
	name_container(&c->name, metadata, status);
	o = json_object_new_object();
	json_object_object_add(o, "namespace",
			       json_object_new_string(wv_kube_text(metadata, "namespace")));
	json_object_object_add(o, "pod", json_object_new_string(wv_kube_text(metadata, "name")));
	json_object_object_add(o, "container",
			       json_object_new_string(wv_kube_text(status, "name")));
	json_object_object_add(o, "owner", json_object_new_string(owner));
	json_object_object_add(o, "labels", json_object_new_string(labels));
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	digest = fnv1a(text);
	if (c->digest == digest)
		return; /* most of what changes of a pod is not told on */
	name_of(id, name);
	p->error = replace(p, name, text);
	c->digest = p->error < 0 ? 0 : digest;
	p->changed = true;
}

/* Containers of the pod that this telling of it does not name any more (restarted ones). */
static void drop_unseen(struct wv_kube_pods *p, const char *uid)
{
	for (size_t i = p->n; i-- > 0;)
		if (!p->list[i].seen && (!uid || strcmp(p->list[i].name.pod_uid, uid) == 0))
			drop(p, i);
}

void wv_kube_pods_take(struct wv_kube_pods *p, struct json_object *pod)
{
	struct json_object *metadata = wv_kube_object(pod, "metadata");
	struct json_object *status = wv_kube_object(pod, "status"), *labels;
	const char *uid = wv_kube_text(metadata, "uid");
	char owner[160];

	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->list[i].name.pod_uid, uid) == 0)
			p->list[i].seen = false;
	labels = chosen_labels(p, metadata);
	wv_kube_owner(metadata, owner, sizeof(owner));
	for (size_t k = 0; k < ARRAY_SIZE(status_lists); k++) {
		struct json_object *list = wv_kube_list(status, status_lists[k]);

		for (size_t i = 0; list && i < json_object_array_length(list); i++)
			write_container(
				p, metadata, json_object_array_get_idx(list, i),
				json_object_to_json_string_ext(labels, JSON_C_TO_STRING_PLAIN),
				owner);
	}
	json_object_put(labels);
	drop_unseen(p, uid);
}

void wv_kube_pods_gone(struct wv_kube_pods *p, struct json_object *pod)
{
	const char *uid = wv_kube_text(wv_kube_object(pod, "metadata"), "uid");

	for (size_t i = p->n; i-- > 0;)
		if (strcmp(p->list[i].name.pod_uid, uid) == 0)
			drop(p, i);
}

void wv_kube_pods_begin(struct wv_kube_pods *p)
{
	p->listing = true;
	for (size_t i = 0; i < p->n; i++)
		p->list[i].seen = false;
}

struct stray {
	char name[96];
};

struct strays {
	struct wv_kube_pods *p;
	struct stray *list;
	size_t n;
};

/* Files of containers that an earlier worker knew; the folder is changed only afterwards. */
static int note_stray(void *userdata, const char *name)
{
	struct strays *s = userdata;
	size_t n = strlen(name), end = sizeof(SUFFIX) - 1;
	char id[96];
	void *more;

	if (n <= end || n >= sizeof(id) || strcmp(name + n - end, SUFFIX) != 0)
		return 0;
	memcpy(id, name, n - end);
	id[n - end] = '\0';
	if (find(s->p, id))
		return 0;
	more = reallocarray(s->list, s->n + 1, sizeof(*s->list));
	if (!more)
		return -ENOMEM;
	s->list = more;
	snprintf(s->list[s->n++].name, sizeof(s->list->name), "%s", name);
	return 0;
}

void wv_kube_pods_fresh(struct wv_kube_pods *p)
{
	struct strays s = {.p = p};

	if (!p->listing)
		return;
	p->listing = false;
	drop_unseen(p, NULL);
	(void)p->io->list(p->io->ctx, p->dir, note_stray, &s);
	for (size_t i = 0; i < s.n; i++)
		(void)p->io->unlink(p->io->ctx, p->dir, s.list[i].name);
	free(s.list);
}

void wv_kube_pods_publish(struct wv_kube_pods *p, struct wv_kube_names *n)
{
	if (!n || !p->changed)
		return;
	wv_kube_names_begin(n);
	n->n = 0;
	for (size_t i = 0; i < p->n && n->n < WV_KUBE_NAMES_MAX; i++)
		n->list[n->n++] = p->list[i].name;
	wv_kube_names_end(n);
	p->changed = false;
}
