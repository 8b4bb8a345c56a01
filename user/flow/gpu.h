/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is known of GPUs and of the processes on them: a device's window, a process's step, and the
 * page that the worker of GPUs shows to all who display it. Times are CLOCK_MONOTONIC, durations
 * nanoseconds. Figures of several processes on one device are unions of what they did, never sums.
 */
#ifndef WV_FLOW_GPU_H
#define WV_FLOW_GPU_H

#include <stdatomic.h>
#include <stdbool.h>

#include "gpu/spans.h"
#include "waveos/gpu.h"

/*
 * Why a device was idle, or a training thread did not work. Row: (ID, name, what it is).
 * HOST is the thread working on a CPU; all the others but LAUNCH are it waiting.
 */
#define WV_GPU_CAUSES(X)                                                                           \
	X(INPUT, "input", "waiting for data loader workers")                                       \
	X(SYNC, "cuda-sync", "waiting for the device")                                             \
	X(CHECKPOINT, "checkpoint", "writing or syncing files")                                    \
	X(HOST, "host", "on a CPU in the training thread")                                         \
	X(RUNQUEUE, "runqueue", "ready, but no CPU was free")                                      \
	X(LOCK, "lock", "waiting for another thread of the process")                               \
	X(LAUNCH, "launch", "launched, but not begun on the device")                               \
	X(UNKNOWN, "unknown", "none of these")

enum wv_gpu_cause {
#define X(id, name, doc) WV_GPU_CAUSE_##id,
	WV_GPU_CAUSES(X)
#undef X
		WV_GPU_CAUSE_N
};
extern const char *const wv_gpu_cause_names[WV_GPU_CAUSE_N];

/* What the loader workers did while they were waited for. Row: (ID, name, what it is). */
#define WV_GPU_INPUTS(X)                                                                           \
	X(PREP, "prep", "on a CPU: decoding, augmenting, collating")                               \
	X(FETCH, "fetch", "waiting for storage or network")                                        \
	X(STARVED, "starved", "ready, but no CPU was free")                                        \
	X(OTHER, "other", "asleep for another reason")

enum wv_gpu_input {
#define X(id, name, doc) WV_GPU_INPUT_##id,
	WV_GPU_INPUTS(X)
#undef X
		WV_GPU_INPUT_N
};
extern const char *const wv_gpu_input_names[WV_GPU_INPUT_N];

/* What holds a job back most. Row: (ID, name, advice in a few words). */
#define WV_GPU_BOTTLENECKS(X)                                                                      \
	X(NONE, "none", "not known yet")                                                           \
	X(INPUT, "input", "the data loader is too slow")                                           \
	X(LAUNCH, "launch", "too many small kernels, or a busy host thread")                       \
	X(SYNC, "sync", "the program waits for the device too often")                              \
	X(COMMS, "comms", "communication that no computation hides")                               \
	X(COPY, "copy", "copies that no computation hides")                                        \
	X(CHECKPOINT, "checkpoint", "saving stops the training")                                   \
	X(CPU, "cpu", "too few CPUs")                                                              \
	X(COMPUTE, "compute", "the device is busy: faster kernels or a larger batch")

enum wv_gpu_bottleneck {
#define X(id, name, doc) WV_GPU_BOUND_##id,
	WV_GPU_BOTTLENECKS(X)
#undef X
		WV_GPU_BOUND_N
};
extern const char *const wv_gpu_bottleneck_names[WV_GPU_BOUND_N];
extern const char *const wv_gpu_advice[WV_GPU_BOUND_N];
/* enum wv_gpu_degraded, enum wv_gpu_level in words; any number is answered. */
const char *wv_gpu_degraded_words(uint32_t degraded);
const char *wv_gpu_level_words(uint32_t level);

/* cause_ns sum up to shares.idle, input_ns to cause_ns[INPUT]. */
struct wv_gpu_sums {
	struct wv_gpu_shares shares;
	uint64_t cause_ns[WV_GPU_CAUSE_N], input_ns[WV_GPU_INPUT_N];
	uint64_t kernels, graphs, launches, syncs;
	uint64_t copy_bytes[4]; /* to the device, from it, within, between devices */
	uint64_t records, dropped, late_ns, closed_ns, own_ns; /* as in struct wv_gpu_window */
};

struct wv_gpu_told_gap {
	uint64_t begin, end;
	enum wv_gpu_cause cause; /* the largest part of it */
};

/* A device's window, after all its processes were joined and its gaps explained. */
struct wv_gpu_told {
	uint32_t device; /* index among the hub's devices, in the order of first sight */
	uint32_t gaps, names;
	uint64_t begin, end;
	struct wv_gpu_sums sums;
	struct wv_gpu_told_gap gap[WV_GPU_GAPS];
	struct {
		char name[WV_GPU_NAME_SIZE];
		uint64_t ns, n;
	} top[WV_GPU_NAMES];
};

/* A step of a process's training thread: where that thread's time went, with or without a device.
 */
struct wv_gpu_told_step {
	int32_t pid, tid;
	uint32_t confidence_permille, pad;
	uint64_t number, begin, end;
	uint64_t cause_ns[WV_GPU_CAUSE_N]; /* sums up to end - begin; LAUNCH is 0 */
	uint64_t input_ns[WV_GPU_INPUT_N]; /* sums up to cause_ns[INPUT] */
};

/* The page: <runtime>/gpu, written by the worker of GPUs, mapped by who displays. */
#define WV_GPU_VIEW_FILE "gpu"
#define WV_GPU_VIEW_PROCESSES 32

/* Of NVML; a value that a device does not tell is UINT64_MAX. */
struct wv_gpu_meter {
	uint64_t busy_permille; /* of time in which any kernel ran, as NVML has it */
	uint64_t memory_used_bytes, memory_total_bytes;
	uint64_t power_mw, energy_mj; /* energy: since the driver was loaded */
	uint64_t temperature_c, sm_clock_mhz, memory_clock_mhz;
	uint64_t throttle; /* nvmlClocksEventReasons bits */
	uint64_t pcie_rx_bytes_s, pcie_tx_bytes_s;
	uint64_t ecc_errors;
};

struct wv_gpu_device_view {
	char uuid[48]; /* "GPU-..." or "MIG-..." */
	char name[64];
	uint32_t index, processes; /* NVML's index, UINT32_MAX: not known; those that tell of it */
	uint32_t level, degraded;  /* enum wv_gpu_level, enum wv_gpu_degraded: worst of them */
	struct wv_gpu_meter meter;
	struct wv_gpu_sums total;  /* since the agent's start; only grows */
	struct wv_gpu_sums recent; /* of the newest second that is known */
	uint64_t recent_end;	   /* its end; 0: none yet */
	uint32_t bottleneck, pad;  /* enum wv_gpu_bottleneck, of the newest second */
	uint64_t bottleneck_since;
};

/* Who says how long a step is: nobody, the program, or what repeats on the device (gpu/period.h).
 */
enum wv_gpu_step_origin { WV_GPU_STEP_NONE, WV_GPU_STEP_TOLD, WV_GPU_STEP_DETECTED };

struct wv_gpu_process_view {
	int32_t pid;
	char comm[16];
	uint64_t cgroup_id; /* 0: not known */
	uint64_t devices;   /* bits: index in device[] */
	uint32_t level, degraded;
	uint64_t steps, step_ns; /* so far; median of the newest 32, 0: none */
	uint32_t confidence_permille, bottleneck;
	uint32_t step_origin, pad; /* enum wv_gpu_step_origin */
	uint64_t bottleneck_since;
	uint64_t total_ns;				     /* of steps, so far */
	uint64_t cause_ns[WV_GPU_CAUSE_N];		     /* of steps, so far */
	uint64_t recent_ns, recent_cause_ns[WV_GPU_CAUSE_N]; /* of the newest second */
	uint64_t recent_input_ns[WV_GPU_INPUT_N];
	uint64_t frames_dropped;
};

struct wv_gpu_view {
	uint64_t layout; /* size of the struct, for another version's file */
	_Atomic uint64_t seq;
	uint64_t updated; /* CLOCK_MONOTONIC; 0: never */
	uint32_t n_devices, n_processes;
	uint32_t nvml;	/* 1: it answers */
	uint32_t wakes; /* 1: waits are explained by BPF */
	struct wv_gpu_device_view device[WV_GPU_DEVICES];
	struct wv_gpu_process_view process[WV_GPU_VIEW_PROCESSES];
};

/*
 * Maps the file; write: for the worker, who makes it; else read-only. A file of another layout is
 * replaced, never cut: who still maps it must not find its pages gone. NULL: it cannot be.
 */
struct wv_gpu_view *wv_gpu_view_map(int runtime, bool write);
/* Read-only for one that starts before the writer does: the file is made if need be. NULL: no. */
const struct wv_gpu_view *wv_gpu_view_watch(int runtime);
void wv_gpu_view_unmap(const struct wv_gpu_view *v);
/* Writer: it changes what is behind seq between the two. */
void wv_gpu_view_begin(struct wv_gpu_view *v);
void wv_gpu_view_end(struct wv_gpu_view *v);
/* A consistent copy. -ENOENT: nothing was written yet; -EAGAIN: the writer is stuck in a change. */
int wv_gpu_view_read(const struct wv_gpu_view *v, struct wv_gpu_view *ret);
/* The same of the page in this runtime folder, mapped for the one time. */
int wv_gpu_page_read(const char *runtime, struct wv_gpu_view *ret);

/*
 * What holds back most, by shares of a second or more. d: of a device, or NULL; s: of the steps of
 * its processes' threads (recent_*), or NULL. NONE where what is not explained is larger than any
 * cause that is. Pure; thresholds stand beside their reasons in gpu.c.
 */
enum wv_gpu_bottleneck wv_gpu_bottleneck_of(const struct wv_gpu_sums *d,
					    const struct wv_gpu_process_view *s);

#endif
