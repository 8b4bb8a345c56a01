/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The containers of this machine's pods, as the API server tells of them: one file for each,
 * <state>/kubernetes/pods/<container id>.json, which core reads as it reads the state files of
 * container runtimes (user/domain/pods.c). So core never waits for a server, and the next agent,
 * which may be another pod, knows at once whose limits it takes over.
 */
#ifndef WV_KUBE_PODS_H
#define WV_KUBE_PODS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "user/core/io.h"
#include "user/kube/names.h"

#define WV_KUBE_PODS_DIR "pods" /* in <state>/kubernetes */
/* A kubelet starts 110 pods unless told otherwise, and is not supported beyond 500. */
#define WV_KUBE_CONTAINERS_MAX 4096

struct wv_kube_container {
	struct wv_kube_name name;
	uint64_t digest; /* of the file's text */
	bool seen;	 /* in the list that is being told */
};

struct wv_kube_pods {
	const struct wv_io *io;
	int dir; /* of the files */
	/* Keys of labels that are kept, with commas between; "": all that fit. */
	const char *labels;
	uint64_t dropped; /* containers over the maximum */
	/* private */
	struct wv_kube_container *list;
	size_t n, room;
	bool listing, changed;
	int error; /* of the last file that could not be written */
};

/* Opens the folder in that one, makes it if need be. 0 or -errno. */
int wv_kube_pods_open(struct wv_kube_pods *p, const struct wv_io *io, int folder,
		      const char *labels);
void wv_kube_pods_close(struct wv_kube_pods *p);
/* See wv_kube_watch_fns. */
void wv_kube_pods_begin(struct wv_kube_pods *p);
void wv_kube_pods_take(struct wv_kube_pods *p, struct json_object *pod);
void wv_kube_pods_gone(struct wv_kube_pods *p, struct json_object *pod);
void wv_kube_pods_fresh(struct wv_kube_pods *p);
/* Writes them into the table of who may open no files, if they changed; n may be NULL. */
void wv_kube_pods_publish(struct wv_kube_pods *p, struct wv_kube_names *n);
/*
 * Who stands behind a pod: "Deployment/front" where its ReplicaSet's name ends in the hash that
 * Deployments give, else the owner itself, such as "DaemonSet/agent"; "" if nobody does. Pure.
 */
void wv_kube_owner(struct json_object *metadata, char *ret, size_t size);

#endif
