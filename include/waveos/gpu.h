/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Wire contract between the profiler library in a GPU process and the agent: a ring of frames in a
 * memfd that the library makes, fills and seals, and hands over a UNIX socket with SCM_RIGHTS. One
 * producer (the library's thread), one consumer (the agent). Nothing that stands in the ring is
 * believed: the agent checks each length and number, the process may be anybody's.
 *
 * Times are CLOCK_MONOTONIC in nanoseconds, so that they join with BPF's bpf_ktime_get_ns().
 */
#ifndef WAVEOS_GPU_H
#define WAVEOS_GPU_H

#include <stdatomic.h>
#include <stdint.h>

#define WV_GPU_SOCKET "gpu.sock" /* in the runtime folder; SOCK_SEQPACKET */
#define WV_GPU_MAGIC 0x31555047534f5641ULL
#define WV_GPU_VERSION 1
#define WV_GPU_RING_BYTES (1U << 20) /* of frames, a power of two */
#define WV_GPU_DEVICES 16
#define WV_GPU_NAMES 16 /* kernels named in a window, by time */
#define WV_GPU_NAME_SIZE 64
#define WV_GPU_GAPS 32 /* longest idle gaps of a window that are told one by one */
#define WV_GPU_BUSY 96 /* spans of a class that a window tells, for who joins processes */
#define WV_GPU_WINDOW_NS 100000000ULL

/* How much is looked at; each holds the ones before. */
enum wv_gpu_level {
	WV_GPU_L0, /* nothing in the process: NVML and BPF alone */
	WV_GPU_L1, /* kernels, copies, sets, graphs, overhead */
	WV_GPU_L2, /* and launches and synchronisations */
	WV_GPU_L3, /* and markers: bursts only */
};

/* Why a process is looked at less than was asked for. */
enum wv_gpu_degraded {
	WV_GPU_AS_ASKED,
	WV_GPU_NO_CUPTI,   /* no library, or another major version is loaded */
	WV_GPU_CONFLICT,   /* another profiler has the process */
	WV_GPU_REFUSED,	   /* the driver refuses (no rights, no such kind of record) */
	WV_GPU_TOO_COSTLY, /* the governor stepped down */
	WV_GPU_LOSING,	   /* records were dropped by CUPTI or for want of memory */
};

/*
 * First and only message of the library on the socket, with the memfd of its ring as SCM_RIGHTS.
 * The memfd is sealed against resizing (F_SEAL_SHRINK, F_SEAL_GROW) and as long as struct
 * wv_gpu_ring and its data. The connection stays open for the life of the process: its end says
 * that the process has ended or forked away, and what the ring holds may be read still.
 */
struct wv_gpu_offer {
	uint64_t magic;
	uint32_t version, bytes; /* of the memfd */
};

/* The agent MAY answer at any time: the level that it wants (L3 falls back after a burst). */
struct wv_gpu_order {
	uint64_t magic;
	uint32_t version, level;
};

struct wv_gpu_ring {
	uint64_t magic;
	uint32_t version, bytes;	    /* of the data that follows, WV_GPU_RING_BYTES */
	_Alignas(64) _Atomic uint64_t head; /* written so far; only the library stores it */
	_Atomic uint64_t dropped;	    /* frames that found no room */
	_Alignas(64) _Atomic uint64_t tail; /* read so far; only the agent stores it */
	_Alignas(64) unsigned char data[];
};

enum wv_gpu_frame_type {
	WV_GPU_HELLO = 1,
	WV_GPU_WINDOW,
	WV_GPU_STEP,
	WV_GPU_LEVEL,
	WV_GPU_BYE,
};

/* Frames are multiples of 8 bytes, one after the other, and wrap around the end of the data. */
struct wv_gpu_frame {
	uint32_t bytes; /* with this head */
	uint16_t type, pad;
};

/* Comes again when more is known: the devices are, once cuInit is over. */
struct wv_gpu_hello {
	struct wv_gpu_frame frame;
	uint32_t pid, devices;
	uint32_t cupti_version, level;
	uint64_t start_ns; /* of the process, as in /proc/<pid>/stat, to tell it from a later one */
	struct {
		unsigned char uuid[16];
		char name[48];
	} device[WV_GPU_DEVICES];
};

struct wv_gpu_gap {
	uint64_t begin, end;
	uint64_t launch;     /* call that ended it; 0: not known (below L2) */
	uint32_t launch_tid; /* its thread */
	uint32_t sync;	     /* 1: a synchronisation was waited for meanwhile */
};

/* One device, one window. Sums are exact over what CUPTI gave; see spans.h for what they mean. */
struct wv_gpu_window {
	struct wv_gpu_frame frame;
	uint32_t device, gaps;
	uint64_t begin, end;
	uint64_t kernel_ns, comms_ns, exposed_ns, overlapped_ns, memory_ns, idle_ns;
	uint64_t closed_ns; /* upper bound of what the bounded memory added to unions */
	uint64_t late_ns;   /* activity of earlier windows that came after they were told */
	uint64_t records;   /* that made it */
	uint64_t dropped;   /* by CUPTI, since the last window */
	uint64_t kernels, graphs, launches, syncs;
	uint64_t copy_bytes[4]; /* to the device, from it, within, between devices */
	uint64_t own_ns;	/* CPU time that the library itself took */
	struct {
		char name[WV_GPU_NAME_SIZE];
		uint64_t ns, n;
	} top[WV_GPU_NAMES];
	/*
	 * Unions of kernels, of communication and of memory operations, in nanoseconds from
	 * `begin`: where more than one process uses the device, sums cannot be added. What is too
	 * fine for WV_GPU_BUSY spans is told with its smallest gaps closed.
	 */
	uint32_t busy_n[3], pad;
	struct {
		uint32_t begin, end;
	} busy[3][WV_GPU_BUSY];
	struct wv_gpu_gap gap[WV_GPU_GAPS]; /* `gaps` of them, the longest, in order of time */
};

struct wv_gpu_step {
	struct wv_gpu_frame frame;
	uint32_t tid;
	uint32_t confidence_permille; /* 1000: the program said so itself */
	uint64_t begin, end, number;
};

struct wv_gpu_level_frame {
	struct wv_gpu_frame frame;
	uint32_t level, degraded; /* enum wv_gpu_level, enum wv_gpu_degraded */
	uint64_t at;
	uint64_t on_ns, off_ns; /* what the governor measured for a step, with and without */
};

_Static_assert(sizeof(struct wv_gpu_frame) == 8, "wire");
_Static_assert(sizeof(struct wv_gpu_gap) == 32, "wire");
_Static_assert(sizeof(struct wv_gpu_window) % 8 == 0, "wire");
_Static_assert(sizeof(struct wv_gpu_hello) % 8 == 0, "wire");
_Static_assert(sizeof(struct wv_gpu_window) < WV_GPU_RING_BYTES / 16, "some fit");

#endif
