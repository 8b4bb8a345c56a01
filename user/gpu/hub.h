/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where GPU processes report: listens on a socket, takes the rings of the profiler library, joins
 * what several processes did on one device, asks wake.h why threads waited, and tells windows and
 * steps in order of time. The agent's worker has one, and so have `gpu profile` and `gpu tune` when
 * they run a command without the agent. One thread; nothing blocks.
 */
#ifndef WV_GPU_HUB_H
#define WV_GPU_HUB_H

#include <sys/types.h>

#include "user/flow/gpu.h"
#include "user/gpu/chain.h"

struct wv_gpu_hub;

/* Slots MAY be NULL. They are called from wv_gpu_hub_turn() only. */
struct wv_gpu_hub_listener {
	void *ctx;
	void (*window)(void *ctx, const struct wv_gpu_told *w);
	void (*step)(void *ctx, const struct wv_gpu_told_step *s);
};

struct wv_gpu_hub_options {
	const char *socket; /* path to listen on (SOCK_SEQPACKET), for all; made anew, removed by
			       close */
	bool wakes;	    /* explain waits by BPF where it can be loaded */
	bool nvml;	    /* read meters where NVML is, by a child process (meter.h) */
};

/* 0 or -errno. listener is copied. Where BPF or NVML cannot be had it goes on without. */
int wv_gpu_hub_open(const struct wv_gpu_hub_options *options,
		    const struct wv_gpu_hub_listener *listener, struct wv_gpu_hub **ret);
void wv_gpu_hub_close(struct wv_gpu_hub *h);
/* To poll for POLLIN; turn() is due then, and every 100 ms in any case. */
int wv_gpu_hub_fd(const struct wv_gpu_hub *h);
/* Takes in all that came and tells what is complete. 0 or -errno (nothing that is worth going on).
 */
int wv_gpu_hub_turn(struct wv_gpu_hub *h);
/* Tells what is left, without waiting for late records: after the last process has ended. */
void wv_gpu_hub_flush(struct wv_gpu_hub *h);
/* Watches the threads of a process that has not said hello, and of its descendants. */
int wv_gpu_hub_watch(struct wv_gpu_hub *h, pid_t pid);
/* What a thread of a watched process did, and up to when that is known; 0: waits are not explained.
 */
uint64_t wv_gpu_hub_known(const struct wv_gpu_hub *h);
void wv_gpu_hub_split(const struct wv_gpu_hub *h, pid_t tid, uint64_t begin, uint64_t end,
		      struct wv_chain_split *ret);
/* Connections and rings that were let go of. */
uint64_t wv_gpu_hub_refused(const struct wv_gpu_hub *h);
/* Fills all of *v but layout and seq: from what was told so far. */
void wv_gpu_hub_show(const struct wv_gpu_hub *h, struct wv_gpu_view *v);

#endif
