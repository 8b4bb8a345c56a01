// SPDX-License-Identifier: GPL-2.0-only
/* What each level asks of CUPTI. */
#include "gpu/cupti/cupti.h"

static const uint32_t kinds[][6] = {
	[WV_GPU_L1] = {WV_KIND_CONCURRENT_KERNEL, WV_KIND_MEMCPY, WV_KIND_MEMSET, WV_KIND_MEMCPY2,
		       WV_KIND_GRAPH_TRACE, WV_KIND_OVERHEAD},
	[WV_GPU_L2] = {WV_KIND_SYNCHRONIZATION},
	[WV_GPU_L3] = {WV_KIND_MARKER},
};
static const uint32_t runtime_calls[] = {WV_RUNTIME_LAUNCHES, WV_RUNTIME_COPIES};
static const uint32_t driver_calls[] = {WV_DRIVER_LAUNCHES};

static unsigned reason_of(int r)
{
	switch (r) {
	case WV_CUPTI_NOT_COMPATIBLE:
	case WV_CUPTI_HARDWARE_BUSY:
	case WV_CUPTI_OLD_PROFILER:
	case WV_CUPTI_LEGACY_PROFILER:
	case WV_CUPTI_MULTIPLE_SUBSCRIBERS:
		return WV_GPU_CONFLICT;
	default:
		return WV_GPU_REFUSED;
	}
}

static void calls(const struct wv_cupti *c, uint8_t enable)
{
	for (size_t i = 0; i < sizeof(runtime_calls) / sizeof(runtime_calls[0]); i++)
		if (c->enable_runtime)
			c->enable_runtime(runtime_calls[i], enable);
	for (size_t i = 0; i < sizeof(driver_calls) / sizeof(driver_calls[0]); i++)
		if (c->enable_driver)
			c->enable_driver(driver_calls[i], enable);
}

unsigned wv_level_rise(const struct wv_cupti *c, int to)
{
	for (size_t i = 0; i < 6 && kinds[to][i]; i++) {
		uint32_t kind = kinds[to][i];
		int r = c->enable(kind);

		/* these an older CUPTI does not have; sums hold without them */
		if (!r || kind == WV_KIND_OVERHEAD || kind == WV_KIND_GRAPH_TRACE ||
		    kind == WV_KIND_MEMCPY2)
			continue;
		while (i-- > 0)
			c->disable(kinds[to][i]);
		return reason_of(r);
	}
	if (to == WV_GPU_L2)
		calls(c, 1);
	return WV_GPU_AS_ASKED;
}

void wv_level_fall(const struct wv_cupti *c, int from)
{
	if (from == WV_GPU_L2)
		calls(c, 0);
	for (size_t i = 0; i < 6 && kinds[from][i]; i++)
		c->disable(kinds[from][i]);
}
