/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Network limits of a cgroup subtree: the contract between bpf/limit.bpf.c and user/enforce/.
 *
 * State lives in the storage of the budgeted cgroup (one for all hooks), rates in a hash by cgroup
 * id that user space replaces entry by entry, so that a change of rate never touches the buckets'
 * state.
 */
#ifndef WAVEOS_LIMIT_H
#define WAVEOS_LIMIT_H

#ifndef __VMLINUX_H__
#include <linux/bpf.h>
#endif
#include "waveos/wire.h"
#include "../../bpf/lib/bucket.h"

/* Row: (id, text, unit of the rate). */
#define WV_LIMITS(X)                                                                               \
	X(EGRESS_BITS, "egress-bits", "bit/s")                                                     \
	X(EGRESS_PACKETS, "egress-packets", "packets/s")                                           \
	X(INGRESS_BITS, "ingress-bits", "bit/s")                                                   \
	X(INGRESS_PACKETS, "ingress-packets", "packets/s")                                         \
	X(CONNECTS, "connects", "connects/s")

enum wv_limit {
#define X(id, text, unit) WV_LIMIT_##id,
	WV_LIMITS(X)
#undef X
		WV_LIMIT_N
};

/* Value of map limit_rates; key: id of the budgeted cgroup. */
struct wv_limit_rates {
	struct wv_bucket_rate rate[WV_LIMIT_N];
	/* depth of the egress buckets where packets are paced: the queue smooths, so it can be
	 * small */
	__u64 paced_burst_ns[2];
	__u64 horizon_ns; /* pacing delays by at most this; what would have to wait longer is
			     dropped */
	__u32 epoch;	  /* changes with every change of the rates */
	__u32 pace;	  /* whether any device paces (limit_pacers is worth a look) */
};
_Static_assert(sizeof(struct wv_limit_rates) == 112, "wire layout");

struct wv_limit_direction {
	__u64 packets, bytes;		/* let through */
	__u64 drop_packets, drop_bytes; /* dropped over the limit */
};

/* Value of map limit_state (cgroup storage); everything below lock is read and written under it. */
struct wv_limit_state {
	struct bpf_spin_lock lock;
	__u32 epoch;
	__u64 cgroup; /* key into limit_rates; 0: not set up yet, everything passes */
	struct wv_bucket bucket[WV_LIMIT_N];
	struct wv_limit_direction egress, ingress;
	__u64 connects, denied;
	__u64 paced_packets, paced_ns;
	__u64 trip_ns; /* time of the last LIMIT_TRIP event */
	__u64 trips;
};
_Static_assert(sizeof(struct wv_limit_state) == 208, "wire layout");

/* Key of map limit_pacers: a device whose root queue honours departure times. */
struct wv_limit_device {
	__u64 netns; /* cookie of its network namespace; 0: the initial one */
	__u32 ifindex;
	__u32 pad;
};
_Static_assert(sizeof(struct wv_limit_device) == 16, "wire layout");

/* LIMIT_TRIP, at most one a second and cgroup. h.key: the budgeted cgroup */
struct wv_event_limit {
	struct wv_event h;
	__u32 limit; /* enum wv_limit: the first bucket that did not admit */
	__u32 pad;
	__u64 per_second; /* its rate */
	__u64 refused;	  /* packets or connects refused in this direction so far */
};
_Static_assert(sizeof(struct wv_event_limit) == 80, "wire layout");

#endif
