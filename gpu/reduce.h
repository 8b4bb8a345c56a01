/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a device's activity records to windows of WV_GPU_WINDOW_NS. Pure: no clock, no I/O, no
 * allocation after init; the same code runs in the library, over recorded buffers, and in tests.
 *
 * Records come in buffers that CUPTI completes when they are full, so they are late by seconds, and
 * not in order. A window is told once everything that is known of is at least `slack` later; what
 * comes for it afterwards is counted in late_ns of the next one and is in no sum. The slack grows
 * by how late that was, up to WV_GPU_SLACK_MOST_NS, and shrinks slowly while nothing is late.
 */
#ifndef WV_GPU_REDUCE_H
#define WV_GPU_REDUCE_H

#include <stdbool.h>

#include "gpu/spans.h"
#include "waveos/gpu.h"

enum wv_gpu_class { WV_GPU_KERNEL, WV_GPU_COMMS, WV_GPU_MEMORY, WV_GPU_CLASSES };

enum wv_gpu_copy { WV_GPU_TO_DEVICE, WV_GPU_FROM_DEVICE, WV_GPU_WITHIN, WV_GPU_PEER };

struct wv_gpu_activity {
	enum wv_gpu_class class;
	uint64_t begin, end;   /* CLOCK_MONOTONIC, ns */
	const char *name;      /* of a kernel; valid for the call; NULL: a copy or set */
	uint64_t bytes;	       /* copied */
	enum wv_gpu_copy copy; /* where bytes is not zero */
	bool graph;	       /* a whole launch of a CUDA graph */
};

/* "ncclDevKernel_", "ncclSymkDevKernel_" and "ncclKernel_" of older NCCL: communication. */
enum wv_gpu_class wv_gpu_classify(const char *kernel_name);

#define WV_GPU_SPANS 16384 /* a class; a union that has more loses its smallest gaps */
#define WV_GPU_LAUNCHES 16384
#define WV_GPU_BLIND 8
#define WV_GPU_SLACK_MOST_NS 10000000000ULL

struct wv_gpu_launch {
	uint64_t at;
	uint32_t tid;
	bool sync; /* a wait for the device rather than a launch */
	uint64_t end;
};

/* One device. Some 1.3 MB, of which a quiet device touches few. */
struct wv_gpu_reducer {
	uint32_t device;
	uint64_t slack_ns, least_slack_ns;
	uint64_t late_from; /* begin of the earliest that came late since the last look; 0: none */
	bool begun;	    /* a window was told, or where to begin */
	uint64_t begin;	    /* of the window that is told next; 0: none yet */
	struct wv_span unseen[WV_GPU_BLIND]; /* nothing was recorded then */
	uint32_t n_unseen;
	uint64_t seen; /* latest end of any activity */
	struct wv_spans set[WV_GPU_CLASSES];
	struct wv_span memory[WV_GPU_CLASSES][WV_GPU_SPANS];
	struct wv_gpu_launch launch[WV_GPU_LAUNCHES]; /* ring by time of the call */
	uint32_t launches_head, launches_n;
	uint64_t closed_told_ns;
	struct wv_gpu_window window; /* sums of what came since the last one was told */
	struct wv_gpu_window told;
};

void wv_gpu_reduce_init(struct wv_gpu_reducer *r, uint32_t device, uint64_t slack_ns);
/* Tells windows from here on, also where nothing happened yet. */
void wv_gpu_reduce_start(struct wv_gpu_reducer *r, uint64_t now);
void wv_gpu_reduce_add(struct wv_gpu_reducer *r, const struct wv_gpu_activity *a);
/* A launch, or a wait from at to end (L2). */
void wv_gpu_reduce_launch(struct wv_gpu_reducer *r, const struct wv_gpu_launch *l);
/*
 * Nothing is recorded in [begin, end): no window that touches it is told. end UINT64_MAX: until the
 * next call, whose end it gets. Both 0: nothing.
 */
void wv_gpu_reduce_blind(struct wv_gpu_reducer *r, uint64_t begin, uint64_t end);
/*
 * Whether a window can be told at time now (same clock): fills *ret (valid until the next call)
 * and goes on to the next. Call until it says false.
 */
bool wv_gpu_reduce_tell(struct wv_gpu_reducer *r, uint64_t now, const struct wv_gpu_window **ret);

#endif
