/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ring of include/waveos/gpu.h: one producer in the GPU process, one consumer in the agent.
 * Full, it drops and counts; it never waits, so neither side can hold up the other.
 */
#ifndef WV_GPU_RING_H
#define WV_GPU_RING_H

#include <stdbool.h>
#include <stddef.h>

#include "waveos/gpu.h"

#define WV_GPU_RING_SIZE (sizeof(struct wv_gpu_ring) + WV_GPU_RING_BYTES)

/* Producer: memory of WV_GPU_RING_SIZE bytes, zeroed. */
void wv_gpu_ring_init(struct wv_gpu_ring *r);
/* Copies one frame (frame->bytes long, a multiple of 8). False: no room, counted. */
bool wv_gpu_ring_push(struct wv_gpu_ring *r, const struct wv_gpu_frame *frame);

/*
 * Consumer. Another process writes this memory while it is read, so that nothing is looked at
 * twice: a frame is copied first and judged then.
 */
struct wv_gpu_reader {
	struct wv_gpu_ring *ring;
	uint64_t tail; /* its own copy is the one that counts */
};

/* 0, or -EPROTO: it is no ring, or one of another version. size: of the mapping. */
int wv_gpu_reader_init(struct wv_gpu_reader *r, void *memory, size_t size);
/*
 * 1 with the next frame in buf (8-byte aligned), its length checked against its type; 0: none now;
 * -EPROTO: what stands there cannot have been written by the library: let go of it.
 */
int wv_gpu_reader_next(struct wv_gpu_reader *r, void *buf, size_t room);
/* Frames that the producer had no room for. */
uint64_t wv_gpu_reader_dropped(const struct wv_gpu_reader *r);

#endif
