// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a record costs the profiler library: parse, classify, union and, each window, the frame.
 * gpu_record [CUPTI]: with NVIDIA's GetNextRecord instead of one that only adds a size.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gpu/cupti/cupti.h"

#define BUFFER (64U << 10)
#define ROUNDS 20000

static int next_by_size(uint8_t *buffer, size_t valid, struct wv_record **record)
{
	uint8_t *at = *record ? (uint8_t *)*record + WV_KERNEL_SIZE : buffer;

	if (at + WV_KERNEL_SIZE > buffer + valid)
		return WV_CUPTI_MAX_LIMIT_REACHED;
	*record = (struct wv_record *)at;
	return 0;
}

static uint64_t fill(uint8_t *buffer, uint64_t at, unsigned n)
{
	static const char *const names[] = {"gemm_bf16_128x128", "layer_norm", "softmax_warp",
					    "ncclDevKernel_AllReduce", "multi_tensor_apply"};

	memset(buffer, 0, BUFFER);
	for (unsigned i = 0; i < n; i++) {
		struct wv_record_kernel *k = (void *)(buffer + (size_t)i * WV_KERNEL_SIZE);

		/* 20,000 kernels a second, some right after the one before */
		k->kind = WV_KIND_CONCURRENT_KERNEL;
		k->start = at + (i % 3 ? 0 : 5000);
		k->end = k->start + 40000;
		k->name = names[i % 5];
		at = k->end;
	}
	return at;
}

int main(int argc, char **argv)
{
	static struct wv_sink sink = {.slack_ns = 500000000};
	struct wv_gpu_ring *ring = calloc(1, WV_GPU_RING_SIZE);
	uint8_t *buffer = malloc(BUFFER);
	unsigned n = BUFFER / WV_KERNEL_SIZE;
	wv_next_fn next = next_by_size;
	const struct wv_gpu_window *w;
	uint64_t at = 1000000000000ULL, ns = 0, frames = 0;
	struct timespec a, b;

	if (argc > 1) {
		void *lib = dlopen(argv[1], RTLD_NOW);

		*(void **)&next = lib ? dlsym(lib, "cuptiActivityGetNextRecord") : NULL;
	}
	if (!ring || !buffer || !next)
		return 1;
	wv_gpu_ring_init(ring);
	for (unsigned i = 0; i < ROUNDS; i++) {
		at = fill(buffer, at, n);
		clock_gettime(CLOCK_MONOTONIC, &a);
		wv_records_take(&sink, next, buffer, (size_t)n * WV_KERNEL_SIZE);
		while (wv_gpu_reduce_tell(sink.device[0], at, &w)) {
			atomic_store(&ring->tail, atomic_load(&ring->head));
			frames += wv_gpu_ring_push(ring, &w->frame);
		}
		clock_gettime(CLOCK_MONOTONIC, &b);
		ns += (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000ULL + (uint64_t)b.tv_nsec -
		      (uint64_t)a.tv_nsec;
	}
	printf("{\"ns_per_record\":%.1f,\"records\":%llu,\"windows\":%llu}\n",
	       (double)ns / (double)sink.records, (unsigned long long)sink.records,
	       (unsigned long long)frames);
	free(ring);
	free(buffer);
	return 0;
}
