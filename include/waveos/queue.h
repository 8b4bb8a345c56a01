/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Queues: block requests and softirqs (bpf/queue.bpf.c, user/collect/queue.c), TCP socket and
 * accept queues (bpf/sock.bpf.c, user/collect/sock.c).
 */
#ifndef WAVEOS_QUEUE_H
#define WAVEOS_QUEUE_H

#include "waveos/wire.h"

/*
 * Per cgroup, shared by the CPUs (a block request is rare beside a context switch, and a row a CPU
 * would cost 256 bytes each): added to atomically. All fields are u64 counters.
 */
struct wv_queue_row {
	__u64 read_bytes;
	__u64 write_bytes;
	__u64 reads;
	__u64 writes;
	__u64 errors;
	__u64 issued; /* issued - ended is what is in flight: each request adds one to both or to
			 none */
	__u64 ended;
	__u64 latency_sum_ns;
	__u64 latency[WV_HIST_BUCKETS];
};
_Static_assert(sizeof(struct wv_queue_row) == 256, "wire layout");

/* Key and value of map queue_devices; the value is also the only entry of queue_devices_other. */
struct wv_queue_dev_key {
	__u32 slot;
	__u32 dev; /* of the whole disk: major << 20 | minor */
};
_Static_assert(sizeof(struct wv_queue_dev_key) == 8, "wire layout");

struct wv_queue_dev {
	__u64 read_bytes;
	__u64 write_bytes;
	__u64 requests;
	__u64 errors;
	__u64 issued;
	__u64 ended;
};
_Static_assert(sizeof(struct wv_queue_dev) == 48, "wire layout");

/* Value of map queue_requests: a request that was issued and has not completed. Key: its address.
 */
struct wv_queue_request {
	__u64 start_ns; /* kernel's start time, or the time of issue where it keeps none */
	__u64 alloc_ns; /* kernel's start time as it stands: tells a requeue from a new use of the
			   address */
	__u64 key;	/* cgroup that it is charged to */
	__u32 slot;	/* of that cgroup when it was issued */
	__u32 dev;
	__u32 dev_known; /* the device's entry existed when it was issued: it counts it in flight */
	__u32 pad;
};
_Static_assert(sizeof(struct wv_queue_request) == 40, "wire layout");

/* Requests in flight that are followed; what is over is counted when it completes, but not in
 * flight. */
#define WV_QUEUE_REQUESTS 4096

/* How a request found its cgroup: index of array queue_ways. Row: (id, text). */
#define WV_QUEUE_WAYS(X)                                                                           \
	X(TASK, "issuing task")                                                                    \
	X(BLKCG, "blkcg")                                                                          \
	X(KTHREAD, "kernel thread")                                                                \
	X(UNKNOWN, "unknown")

enum wv_queue_way {
#define X(id, text) WV_QUEUE_WAY_##id,
	WV_QUEUE_WAYS(X)
#undef X
		WV_QUEUE_WAY_N
};

/* Event IO_ERROR: a block request ended in an error. */
struct wv_event_io_error {
	struct wv_event h;
	__u64 sector; /* 512 bytes each */
	__u32 bytes;
	__u32 dev;
	__s32 error; /* negative errno, or positive blk_status_t (kernels from 5.16) */
	__u32 op;    /* enum req_op */
};
_Static_assert(sizeof(struct wv_event_io_error) == 80, "wire layout");

/* Only entry of per-CPU map queue_softirqs. */
#define WV_SOFTIRQS 10
#define WV_SOFTIRQ_MAX_NS 10000000000ULL /* no run is that long: its entry was missed */
struct wv_softirq {
	__u64 entered_ns; /* 0: not in a softirq, or it was entered before the hooks */
	__u64 time_ns[WV_SOFTIRQS];
	__u64 runs[WV_SOFTIRQS];
};
_Static_assert(sizeof(struct wv_softirq) == 168, "wire layout");

/*
 * Sockets, per cgroup. The gauges of a row hold for the pass whose number it carries: a row that an
 * older pass wrote has no sockets any more. So nothing needs clearing. Only one pass runs at a
 * time.
 */
struct wv_sock_row {
	__u64 overflows; /* counter */
	__u64 listen_pass;
	__u64 listeners;
	__u64 accept_depth;
	__u64 accept_max;
	__u64 queue_pass;
	__u64 rx_bytes;
	__u64 tx_bytes;
	__u64 backlog_bytes;
	__u64 sockets;
};
_Static_assert(sizeof(struct wv_sock_row) == 80, "wire layout");

/* Only entry of map sock_passes; user space writes the numbers, the programs count what they
 * visited. */
struct wv_sock_passes {
	__u64 listen_pass;
	__u64 queue_pass;
	__u64 listeners;
	__u64 sockets;
};
_Static_assert(sizeof(struct wv_sock_passes) == 32, "wire layout");

/* Value of map sock_listeners: a listening TCP socket of any network namespace. Key: its address.
 */
struct wv_listener {
	__u64 key;   /* cgroup that it is charged to */
	__u64 inode; /* of the socket: tells it from a later one at the same address */
	__u32 drops; /* sk_drops that are counted already */
	__u32 pad;
};
_Static_assert(sizeof(struct wv_listener) == 24, "wire layout");

#define WV_LISTENERS 2048

#endif
