/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of struct wv_gpu_hub, for user/gpu/hub*.c only. */
#ifndef WV_GPU_HUB_INTERNAL_H
#define WV_GPU_HUB_INTERNAL_H

#include "gpu/period.h"
#include "gpu/ring.h"
#include "user/gpu/hub.h"
#include "user/gpu/join.h"
#include "user/gpu/meter.h"
#include "user/gpu/wake.h"

#define HUB_PROCESSES 64
#define HUB_PENDING 64 /* windows of a device that wait for others: 6.4 s */
#define HUB_PARTS 8
#define HUB_STEPS 64  /* of a process that are kept, or wait for what is known of waits */
#define HUB_RECENT 10 /* windows: a second */

struct hub_step {
	struct wv_gpu_told_step told;
	bool waits; /* for what is known to get there */
};

struct hub_process {
	int fd; /* -1: free */
	pid_t pid;
	char comm[16];
	bool greeted, gone, watched;
	void *memory; /* the mapped ring, NULL: not yet */
	size_t size;
	struct wv_gpu_reader reader;
	uint32_t devices;		     /* that it has told of */
	uint8_t device[WV_GPU_DEVICES];	     /* its index -> the hub's */
	uint64_t told_until[WV_GPU_DEVICES]; /* by the hub's index */
	uint64_t used;			     /* bits: the hub's indices */
	uint32_t level, degraded;
	uint32_t tid;			 /* training thread */
	struct hub_step step[HUB_STEPS]; /* ring by number of steps seen */
	uint64_t steps, steps_told;
	uint64_t total_ns, cause_ns[WV_GPU_CAUSE_N];
	enum wv_gpu_bottleneck bottleneck;
	uint64_t bottleneck_since;
	uint32_t confidence_permille;
	/* hub_period.c: how busy its device was, a sample a millisecond, where it tells no steps */
	float *busy; /* WV_PERIOD_MAX, NULL: not yet */
	unsigned n_busy;
	uint64_t busy_until;
	struct wv_period period;
};

struct hub_pending {
	uint64_t begin; /* 0: free */
	unsigned n;
	struct wv_gpu_window *window[HUB_PARTS];
	uint32_t tid[HUB_PARTS]; /* training thread of each */
};

struct hub_device {
	unsigned char uuid[16];
	char name[48];
	struct hub_pending pending[HUB_PENDING]; /* by begin / WINDOW % HUB_PENDING */
	uint64_t next;				 /* window that is told next; 0: none yet */
	struct wv_gpu_sums total, recent[HUB_RECENT];
	uint64_t recents; /* windows told */
	enum wv_gpu_bottleneck bottleneck;
	uint64_t bottleneck_since;
};

struct wv_gpu_hub {
	struct wv_gpu_hub_listener listener;
	char *path;
	int epoll, socket;
	struct wv_wake *wake; /* NULL: not here */
	struct wv_gpu_waits waits;
	struct wv_meter *meter; /* NULL: not wanted */
	struct hub_process process[HUB_PROCESSES];
	unsigned period_turn; /* process that is looked at next */
	uint64_t period_at;
	struct hub_device device[WV_GPU_DEVICES];
	uint32_t devices;
	pid_t watched[HUB_PROCESSES]; /* without a connection */
	unsigned n_watched;
	uint64_t refused; /* connections and rings that were let go of */
	union {
		uint64_t align;
		unsigned char bytes[sizeof(struct wv_gpu_window)];
	} frame;
	struct wv_gpu_told told;
};

/* hub_tell.c */
void wv_hub_window(struct wv_gpu_hub *h, struct hub_process *p, const struct wv_gpu_window *w);
void wv_hub_step(struct wv_gpu_hub *h, struct hub_process *p, const struct wv_gpu_step *s);
/* Tells what is complete; all: whatever is there. */
void wv_hub_tell(struct wv_gpu_hub *h, uint64_t now, bool all);
/* A process is gone: its parts stay, nobody waits for it. */
void wv_hub_left(struct wv_gpu_hub *h, struct hub_process *p);
/* hub_period.c: takes in a window; looks for a period in one process a call, in turn. */
void wv_hub_period_window(struct hub_process *p, const struct wv_gpu_window *w);
void wv_hub_period_look(struct wv_gpu_hub *h);
/* hub_meter.c: meters into the page, and devices that no process has told of. */
void wv_hub_meters(const struct wv_gpu_hub *h, struct wv_gpu_view *v);

#endif
