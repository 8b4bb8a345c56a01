/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names of this machine's containers for who may open no files: the worker of Kubernetes writes
 * them into <runtime>/names, which the web worker maps before it gives its rights up. A sequence
 * lock: seq is odd while they change.
 */
#ifndef WV_KUBE_NAMES_H
#define WV_KUBE_NAMES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WV_KUBE_NAMES_FILE "names" /* in <runtime> */
#define WV_KUBE_NAMES_MAX 1024

struct wv_kube_name {
	char id[72]; /* of the container; "": the pod's own cgroup */
	char pod_uid[40];
	char namespace[64], pod[128], container[64];
};

struct wv_kube_names {
	uint64_t layout; /* size of the struct, for another version's file */
	_Atomic uint64_t seq;
	uint32_t n, pad;
	struct wv_kube_name list[WV_KUBE_NAMES_MAX]; /* by id */
};

/* Maps the file, made if need be; write: for the worker, else read-only. NULL: it cannot be. */
struct wv_kube_names *wv_kube_names_map(int runtime, bool write);
void wv_kube_names_unmap(struct wv_kube_names *n);
/* Writer: between the two it changes list and n; end() sorts. */
void wv_kube_names_begin(struct wv_kube_names *n);
void wv_kube_names_end(struct wv_kube_names *n);
/* The container with this id or, where id is "", any container of the pod, whose name is then "".
 * False: it is not known, or the writer is in the middle of it for too long. */
bool wv_kube_names_find(const struct wv_kube_names *n, const char *id, const char *pod_uid,
			struct wv_kube_name *ret);

#endif
