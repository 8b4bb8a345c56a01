// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who a cgroup is, read off its path. The path is walked once, one component after the other; what
 * a component means depends on what came right before it ("docker" then 64 hex digits is a
 * container).
 */
#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "user/core/cgroup.h"
#include "user/core/cleanup.h"

#define NAME_SIZE 256 /* a kernfs name, with its NUL */
#define ID_MIN 12     /* hex digits of a container id after a prefix that names the runtime */
#define ID_FULL 64    /* and of one that stands alone */

/* What the last component was, where that decides about the next one. */
enum after {
	AFTER_OTHER,
	AFTER_KUBEPODS, /* kubepods or one of its QoS folders: a pod may follow */
	AFTER_POD,	/* the pod's own folder: a container may follow */
	AFTER_DOCKER,
};

struct walk {
	struct wv_identity *id;
	enum after after;
};

/* How runtimes name the cgroup of a container: prefix, id. The longer of two that fit comes first.
 */
static const struct {
	const char *prefix, *runtime;
	bool monitor; /* the process that watches the container, not the container */
} prefixes[] = {
	{"cri-containerd-", "containerd", false},
	{"nerdctl-", "containerd", false},
	{"crio-conmon-", "cri-o", true},
	{"crio-", "cri-o", false},
	{"docker-", "docker", false},
	{"libpod-conmon-", "podman", true},
	{"libpod-payload-", "podman", false},
	{"libpod-", "podman", false},
};

static const char *const qos_names[] = {"burstable", "besteffort"};

static void copy(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size - 1);

	memset(to, 0, size);
	memcpy(to, from, len);
}

static bool ends_with(const char *s, const char *end)
{
	size_t ls = strlen(s), le = strlen(end);

	return ls > le && strcmp(s + ls - le, end) == 0;
}

static bool is_hex_id(const char *s, size_t min)
{
	size_t n = strspn(s, "0123456789abcdef");

	return s[n] == '\0' && n >= min && n <= ID_FULL;
}

/* \x2d and the like: what systemd makes of characters that have a meaning in unit names. In place.
 */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] == 'x' && isxdigit((unsigned char)s[2]) &&
		    isxdigit((unsigned char)s[3])) {
			int high =
				isdigit((unsigned char)s[2]) ? s[2] - '0' : (s[2] | 32) - 'a' + 10;
			int low =
				isdigit((unsigned char)s[3]) ? s[3] - '0' : (s[3] | 32) - 'a' + 10;

			/* a NUL or a slash cannot be part of a name */
			if (high * 16 + low != 0 && high * 16 + low != '/') {
				*to++ = (char)(high * 16 + low);
				s += 4;
				continue;
			}
		}
		*to++ = *s++;
	}
	*to = '\0';
}

/* "<uid>" of a pod: a UUID (dashes may be underscores), or 32 hex digits for a static pod. */
static bool parse_pod_uid(const char *s, char ret[40])
{
	size_t len = strlen(s);

	if (len == 32 && is_hex_id(s, 32)) {
		copy(ret, 40, s);
		return true;
	}
	if (len != 36)
		return false;
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s[i] != '-' && s[i] != '_' : !isxdigit((unsigned char)s[i]))
			return false;
		ret[i] = dash ? '-' : s[i];
	}
	memset(ret + 36, 0, 4);
	return true;
}

static bool enter_pod(struct walk *w, const char *uid)
{
	char parsed[40];

	if (!parse_pod_uid(uid, parsed))
		return false;
	memcpy(w->id->pod_uid, parsed, sizeof(parsed));
	if (!*w->id->qos)
		copy(w->id->qos, sizeof(w->id->qos), "guaranteed");
	/* the container around it, as of a node that is one itself, is not the pod's */
	w->id->container_id[0] = '\0';
	w->id->runtime[0] = '\0';
	w->id->kind = WV_ID_POD;
	w->after = AFTER_POD;
	return true;
}

static void enter_container(struct walk *w, const char *container, const char *runtime)
{
	/* in a pod, Kubernetes knows the outermost; a container in a container is the inner one */
	if (w->id->kind == WV_ID_POD_CONTAINER)
		return;
	copy(w->id->container_id, sizeof(w->id->container_id), container);
	copy(w->id->runtime, sizeof(w->id->runtime), runtime);
	w->id->kind = w->id->kind == WV_ID_POD ? WV_ID_POD_CONTAINER : WV_ID_CONTAINER;
}

/* "burstable", "burstable-pod<uid>", "pod<uid>": what follows "kubepods-" in a slice's name. */
static void enter_kube_slice(struct walk *w, const char *rest)
{
	w->after = AFTER_KUBEPODS;
	w->id->qos[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(qos_names); i++) {
		size_t n = strlen(qos_names[i]);

		if (strncmp(rest, qos_names[i], n) != 0 || (rest[n] && rest[n] != '-'))
			continue;
		copy(w->id->qos, sizeof(w->id->qos), qos_names[i]);
		rest += n + (rest[n] == '-');
	}
	if (strncmp(rest, "pod", 3) == 0)
		(void)enter_pod(w, rest + 3);
}

/* "kubepods", "kubepods-...", and the same below a --cgroup-root: "kubelet-kubepods-..." */
static const char *kube_rest(const char *name)
{
	static const char word[] = "kubepods";

	for (const char *p = name; (p = strstr(p, word)); p++) {
		char end = p[sizeof(word) - 1];

		if ((p == name || p[-1] == '-') && (end == '\0' || end == '-'))
			return p + sizeof(word) - 1 + (end == '-');
	}
	return NULL;
}

/* The unit types that have a cgroup. */
static bool is_unit(const char *name)
{
	static const char *const suffixes[] = {".service", ".scope", ".socket", ".mount", ".swap"};

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (ends_with(name, suffixes[i]))
			return true;
	return false;
}

static bool parse_prefixed(struct walk *w, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		size_t n = strlen(prefixes[i].prefix);

		if (strncmp(name, prefixes[i].prefix, n) != 0 || !is_hex_id(name + n, ID_MIN))
			continue;
		if (!prefixes[i].monitor)
			enter_container(w, name + n, prefixes[i].runtime);
		else if (!*w->id->runtime)
			copy(w->id->runtime, sizeof(w->id->runtime), prefixes[i].runtime);
		return true;
	}
	return false;
}

/* "<slice>:cri-containerd:<id>": a runtime without the systemd driver under a kubelet with it. */
static bool parse_colons(struct walk *w, char *name)
{
	char *first = strchr(name, ':'), *second = first ? strchr(first + 1, ':') : NULL;
	const char *rest, *runtime;

	if (!second || !is_hex_id(second + 1, ID_MIN))
		return false;
	*first = *second = '\0';
	if (!ends_with(name, ".slice"))
		return false;
	copy(w->id->slice, sizeof(w->id->slice), name);
	name[strlen(name) - strlen(".slice")] = '\0';
	rest = kube_rest(name);
	if (rest)
		enter_kube_slice(w, rest);
	runtime = strcmp(first + 1, "cri-containerd") == 0 ? "containerd"
		  : strcmp(first + 1, "crio") == 0	   ? "cri-o"
							   : "";
	enter_container(w, second + 1, runtime);
	return true;
}

/* Names that the cgroupfs driver and the runtimes themselves use. */
static void parse_plain(struct walk *w, const char *name)
{
	enum after before = w->after;

	w->after = AFTER_OTHER;
	if (strcmp(name, "kubepods") == 0) {
		w->after = AFTER_KUBEPODS;
		w->id->qos[0] = '\0';
	} else if (strcmp(name, "docker") == 0) {
		w->after = AFTER_DOCKER;
	} else if (before == AFTER_KUBEPODS && strncmp(name, "pod", 3) == 0) {
		(void)enter_pod(w, name + 3);
	} else if (is_hex_id(name, ID_FULL)) {
		enter_container(w, name, before == AFTER_DOCKER ? "docker" : "");
	} else if (before == AFTER_KUBEPODS) {
		for (size_t i = 0; i < ARRAY_SIZE(qos_names); i++) {
			if (strcmp(name, qos_names[i]) != 0)
				continue;
			copy(w->id->qos, sizeof(w->id->qos), name);
			w->after = AFTER_KUBEPODS;
		}
	}
}

static void parse_component(struct walk *w, const char *raw)
{
	char name[NAME_SIZE];
	const char *rest;

	/* systemd puts an underscore before names that the kernel could take for its own files */
	if (raw[0] == '_')
		raw++;
	copy(name, sizeof(name), raw);
	unescape(name);
	if (ends_with(name, ".slice")) {
		copy(w->id->slice, sizeof(w->id->slice), raw);
		name[strlen(name) - strlen(".slice")] = '\0';
		rest = kube_rest(name);
		w->after = AFTER_OTHER;
		if (rest)
			enter_kube_slice(w, rest);
		return;
	}
	if (is_unit(raw)) {
		copy(w->id->unit, sizeof(w->id->unit), raw);
		if (w->id->kind == WV_ID_NONE)
			w->id->kind = WV_ID_UNIT;
		w->after = AFTER_OTHER;
		if (ends_with(name, ".scope")) {
			name[strlen(name) - strlen(".scope")] = '\0';
			(void)parse_prefixed(w, name);
		}
		return;
	}
	if (parse_prefixed(w, name) || parse_colons(w, name))
		w->after = AFTER_OTHER;
	else
		parse_plain(w, name);
}

void wv_identity_parse(const char *path, struct wv_identity *ret)
{
	struct walk w = {.id = ret};

	*ret = (struct wv_identity){0};
	while (*path) {
		size_t len = strcspn(path, "/");
		char name[NAME_SIZE];

		if (len >= sizeof(name) || (len == 1 && path[0] == '.') ||
		    (len == 2 && path[0] == '.' && path[1] == '.')) {
			/* no path that the kernel gives: it says nothing */
			*ret = (struct wv_identity){0};
			return;
		}
		if (len) {
			memcpy(name, path, len);
			name[len] = '\0';
			parse_component(&w, name);
		}
		path += len + (path[len] == '/');
	}
}
