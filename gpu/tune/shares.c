// SPDX-License-Identifier: GPL-2.0-only
/* What holds a trial back, from the shares of its time. */
#include "gpu/tune/engine.h"

uint32_t wv_tune_share_ppm(const struct wv_tune_shares *s, enum wv_gpu_bottleneck bound)
{
	const uint64_t *c = s->cause_ns;
	uint64_t ns = 0;

	if (s->window == 0)
		return 0;
	switch (bound) {
	case WV_GPU_BOUND_INPUT:
		ns = c[WV_GPU_CAUSE_INPUT];
		break;
	case WV_GPU_BOUND_LAUNCH:
		ns = c[WV_GPU_CAUSE_LAUNCH] + c[WV_GPU_CAUSE_LOCK];
		/* without a device, the thread's own work is the computation */
		if (s->device)
			ns += c[WV_GPU_CAUSE_HOST];
		break;
	case WV_GPU_BOUND_SYNC:
		ns = c[WV_GPU_CAUSE_SYNC];
		break;
	case WV_GPU_BOUND_COMMS:
		ns = s->exposed;
		break;
	case WV_GPU_BOUND_COPY:
		ns = s->memory;
		break;
	case WV_GPU_BOUND_CHECKPOINT:
		ns = c[WV_GPU_CAUSE_CHECKPOINT];
		break;
	case WV_GPU_BOUND_CPU:
		ns = c[WV_GPU_CAUSE_RUNQUEUE];
		break;
	case WV_GPU_BOUND_COMPUTE:
		ns = s->kernel + (s->device ? 0 : c[WV_GPU_CAUSE_HOST]);
		break;
	case WV_GPU_BOUND_NONE:
		ns = c[WV_GPU_CAUSE_UNKNOWN];
		break;
	case WV_GPU_BOUND_N:
		break;
	}
	if (ns > s->window)
		ns = s->window;
	return (uint32_t)((double)ns * 1e6 / (double)s->window);
}

enum wv_gpu_bottleneck wv_tune_bound(const struct wv_tune_shares *s)
{
	enum wv_gpu_bottleneck most = WV_GPU_BOUND_NONE;
	uint32_t share, least = 50000; /* a loss below 5 % is none that the computation hides */

	if (s->window == 0)
		return WV_GPU_BOUND_NONE;
	for (unsigned b = WV_GPU_BOUND_NONE + 1; b < WV_GPU_BOUND_COMPUTE; b++) {
		share = wv_tune_share_ppm(s, b);
		if (share >= least) {
			least = share + 1;
			most = b;
		}
	}
	return most == WV_GPU_BOUND_NONE ? WV_GPU_BOUND_COMPUTE : most;
}
