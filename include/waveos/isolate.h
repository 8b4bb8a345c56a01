/* SPDX-License-Identifier: GPL-2.0-only */
/* Isolation of a cgroup subtree: the contract between bpf/isolate.bpf.c and user/recover/. */
#ifndef WAVEOS_ISOLATE_H
#define WAVEOS_ISOLATE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Value of map isolate_state (cgroup storage; key: id of the isolated cgroup). */
struct wv_isolate_state {
	__u64 egress_drops, ingress_drops; /* packets */
};
_Static_assert(sizeof(struct wv_isolate_state) == 16, "wire layout");

#endif
