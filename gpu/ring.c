// SPDX-License-Identifier: GPL-2.0-only
#include "gpu/ring.h"

#include <errno.h>
#include <string.h>

#define MASK (WV_GPU_RING_BYTES - 1)
_Static_assert((WV_GPU_RING_BYTES & MASK) == 0, "a power of two");

void wv_gpu_ring_init(struct wv_gpu_ring *r)
{
	r->version = WV_GPU_VERSION;
	r->bytes = WV_GPU_RING_BYTES;
	r->magic = WV_GPU_MAGIC;
}

bool wv_gpu_ring_push(struct wv_gpu_ring *r, const struct wv_gpu_frame *frame)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	size_t at = head & MASK, first = WV_GPU_RING_BYTES - at;

	/* a tail that cannot be (the consumer's memory is shared, too) counts as full */
	if (head - tail > WV_GPU_RING_BYTES || frame->bytes > WV_GPU_RING_BYTES - (head - tail)) {
		atomic_fetch_add_explicit(&r->dropped, 1, memory_order_relaxed);
		return false;
	}
	if (first > frame->bytes)
		first = frame->bytes;
	memcpy(r->data + at, frame, first);
	memcpy(r->data, (const char *)frame + first, frame->bytes - first);
	atomic_store_explicit(&r->head, head + frame->bytes, memory_order_release);
	return true;
}

int wv_gpu_reader_init(struct wv_gpu_reader *r, void *memory, size_t size)
{
	struct wv_gpu_ring *ring = memory;

	if (size < WV_GPU_RING_SIZE || ring->magic != WV_GPU_MAGIC ||
	    ring->version != WV_GPU_VERSION || ring->bytes != WV_GPU_RING_BYTES)
		return -EPROTO;
	r->ring = ring;
	r->tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	return 0;
}

static void copy_out(const struct wv_gpu_ring *ring, uint64_t from, void *to, size_t len)
{
	size_t at = from & MASK, first = WV_GPU_RING_BYTES - at;

	if (first > len)
		first = len;
	memcpy(to, ring->data + at, first);
	memcpy((char *)to + first, ring->data, len - first);
}

/* Bytes that a frame of this type has; 0: there is no such type. */
static size_t length_of(unsigned type)
{
	switch (type) {
	case WV_GPU_HELLO:
		return sizeof(struct wv_gpu_hello);
	case WV_GPU_WINDOW:
		return sizeof(struct wv_gpu_window);
	case WV_GPU_STEP:
		return sizeof(struct wv_gpu_step);
	case WV_GPU_LEVEL:
		return sizeof(struct wv_gpu_level_frame);
	case WV_GPU_BYE:
		return sizeof(struct wv_gpu_frame);
	default:
		return 0;
	}
}

int wv_gpu_reader_next(struct wv_gpu_reader *r, void *buf, size_t room)
{
	uint64_t head = atomic_load_explicit(&r->ring->head, memory_order_acquire);
	struct wv_gpu_frame frame;

	if (head == r->tail)
		return 0;
	if (head - r->tail > WV_GPU_RING_BYTES || head - r->tail < sizeof(frame))
		return -EPROTO;
	copy_out(r->ring, r->tail, &frame, sizeof(frame));
	if (!frame.bytes || frame.bytes != length_of(frame.type) || frame.bytes > head - r->tail ||
	    frame.bytes > room)
		return -EPROTO;
	copy_out(r->ring, r->tail, buf, frame.bytes);
	memcpy(buf, &frame, sizeof(frame)); /* not what it may have become meanwhile */
	r->tail += frame.bytes;
	atomic_store_explicit(&r->ring->tail, r->tail, memory_order_release);
	return 1;
}

uint64_t wv_gpu_reader_dropped(const struct wv_gpu_reader *r)
{
	return atomic_load_explicit(&r->ring->dropped, memory_order_relaxed);
}
