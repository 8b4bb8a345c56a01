/* SPDX-License-Identifier: GPL-2.0-only */
/* The cgroups that the agent knows, and who they are. */
#ifndef WV_CORE_CGROUP_H
#define WV_CORE_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "user/flow/sample.h"

struct wv_agent;

enum wv_identity_kind {
	WV_ID_NONE,	 /* also a bare slice or QoS folder */
	WV_ID_UNIT,	 /* systemd unit */
	WV_ID_CONTAINER, /* container without Kubernetes */
	WV_ID_POD,	 /* Kubernetes pod (its own cgroup) */
	WV_ID_POD_CONTAINER,
};

/* Who a cgroup is, from its path alone. Empty strings where it does not apply. */
struct wv_identity {
	enum wv_identity_kind kind;
	char slice[96];	  /* innermost systemd slice */
	char unit[128];	  /* service, scope, socket, mount ... */
	char qos[12];	  /* guaranteed, burstable, besteffort */
	char pod_uid[40]; /* with dashes */
	char container_id[72];
	char runtime[16]; /* containerd, cri-o, docker, podman; "" if the path does not tell. Alone:
			     its monitor */
};

/*
 * Reads an identity off a cgroup path, for the systemd and the cgroupfs driver of containerd,
 * CRI-O, Docker and Podman and for Kubernetes' QoS folders. Pure; never fails.
 */
void wv_identity_parse(const char *path, struct wv_identity *ret);

/* Slot of a key, or -1. */
struct wv_cgroups;
int wv_cgroups_slot(const struct wv_cgroups *c, uint64_t key);
/* Slot of a path ("/" is the root), v2 first; -1 if unknown. */
int wv_cgroups_slot_by_path(const struct wv_agent *agent, const char *path);

#endif
