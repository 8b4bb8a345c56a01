// SPDX-License-Identifier: GPL-2.0-only
/* libFuzzer target: any bytes as what a GPU process wrote into its ring; a frame that is taken has
 * the length of its type. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct wv_gpu_ring *ring;
	static _Alignas(8) char frame[1 << 16];
	struct wv_gpu_reader r;
	size_t taken = 0;
	uint64_t start = 0;
	int got;

	if (len < sizeof(start))
		return 0;
	/* anywhere, so that frames wrap around the end, too */
	memcpy(&start, bytes, sizeof(start));
	start &= ~7ULL;
	bytes += sizeof(start);
	len -= sizeof(start);
	if (!ring)
		ring = aligned_alloc(64, WV_GPU_RING_SIZE);
	if (!ring)
		return 0;
	memset(ring, 0, WV_GPU_RING_SIZE);
	wv_gpu_ring_init(ring);
	for (size_t i = 0; i < len; i++)
		ring->data[(start + i) & (WV_GPU_RING_BYTES - 1)] = bytes[i];
	ring->tail = start;
	ring->head = start + len;
	if (wv_gpu_reader_init(&r, ring, WV_GPU_RING_SIZE) < 0)
		abort();
	r.tail = start;
	while ((got = wv_gpu_reader_next(&r, frame, sizeof(frame))) > 0) {
		uint32_t size = ((struct wv_gpu_frame *)frame)->bytes;

		taken += size;
		if (size < sizeof(struct wv_gpu_frame) || size % 8 || taken > len)
			abort();
	}
	if (got != 0 && got != -EPROTO)
		abort();
	return 0;
}
