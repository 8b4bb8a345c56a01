/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside libwaveos_cupti.so. It runs in somebody else's process, so: it never blocks one of its
 * threads, never allocates without bound, touches no signal, stream, locale or handle that is not
 * its own, and what fails only makes it see less. A child of fork() has none of it.
 *
 * Locks, outer first: control (levels; held while CUPTI is called), lock (reducers and ring; never
 * held while CUPTI is called), and the leaf locks of buffers and steps.
 */
#ifndef WV_CUPTI_H
#define WV_CUPTI_H

#include <stdbool.h>
#include <stdint.h>

#include "gpu/cupti/abi.h"
#include "gpu/reduce.h"
#include "gpu/ring.h"

uint64_t wv_now(void); /* CLOCK_MONOTONIC, ns */

/* find.c: the CUPTI of this process, never a second one. 0 or enum wv_gpu_degraded. */
unsigned wv_cupti_find(struct wv_cupti *ret, uint32_t *ret_version);

/* levels.c: up to a level from the one below: 0, or why not, and then nothing of it is on. */
unsigned wv_level_rise(const struct wv_cupti *c, int to);
/* Down from it. */
void wv_level_fall(const struct wv_cupti *c, int from);

/* devices.c: how many devices the driver has; 0 until cuInit is over. */
uint32_t wv_devices_query(struct wv_gpu_hello *hello);

/* link.c: the socket and the ring; all but _forget are for the library's own thread. */
struct wv_link {
	int fd;		   /* -1: no hub */
	uint64_t dev, ino; /* of the socket: the program may close all files and get its number */
	struct wv_gpu_ring *ring;
};
int wv_link_open(struct wv_link *l, const char *path);
void wv_link_close(struct wv_link *l);
/* In a child after fork(): nothing of the parent's is told anything. */
void wv_link_forget(struct wv_link *l);
/* Whether the hub is still there; *level is what it ordered, if it did. */
bool wv_link_alive(struct wv_link *l, int *level);

/* buffers.c: what CUPTI fills, WV_BUFFERS of WV_BUFFER_BYTES at most. */
#define WV_BUFFERS 128
#define WV_BUFFER_BYTES (64U << 10)
int wv_buffers_init(void);
void wv_buffers_request(uint8_t **buffer, size_t *size, size_t *max_records);
bool wv_buffers_ours(const uint8_t *buffer);
void wv_buffers_give_back(uint8_t *buffer);
void wv_buffers_forget(void);

/* records.c: one buffer into the reducers. */
struct wv_sink {
	struct wv_gpu_reducer *device[WV_GPU_DEVICES]; /* made at the first record of a device */
	uint64_t slack_ns;
	uint32_t correlation;  /* of the last call */
	uint64_t records, odd; /* seen; of devices beyond what there is room for */
};
typedef int (*wv_next_fn)(uint8_t *buffer, size_t valid, struct wv_record **record);
void wv_records_take(struct wv_sink *s, wv_next_fn next, uint8_t *buffer, size_t valid);
void wv_sink_forget(struct wv_sink *s);

/* record.c: raw buffers to WAVEOS_GPU_RECORD, with the names that they point to. */
void wv_recording_open(const char *path);
void wv_recording_add(wv_next_fn next, uint8_t *buffer, size_t valid);
void wv_recording_forget(void);

#endif
