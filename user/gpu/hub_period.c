// SPDX-License-Identifier: GPL-2.0-only
/* Steps of processes that tell none, from how busy the first device is that they tell of. */
#include <stdlib.h>
#include <string.h>

#include "user/gpu/hub_internal.h"

#define SAMPLE_NS 1000000ULL
#define SAMPLES (WV_GPU_WINDOW_NS / SAMPLE_NS) /* of a window */
#define LOOK_NS 1000000000ULL		       /* a look takes some milliseconds */

/* Adds a span's time to the samples that it lies in. */
static void add_span(float *at, uint64_t begin, uint64_t end)
{
	while (begin < end) {
		uint64_t i = begin / SAMPLE_NS, until = (i + 1) * SAMPLE_NS;

		until = until < end ? until : end;
		at[i] += (float)(until - begin) / (float)SAMPLE_NS;
		begin = until;
	}
}

void wv_hub_period_window(struct hub_process *p, const struct wv_gpu_window *w)
{
	float *at;

	if (p->steps || w->device)
		return;
	if (!p->busy)
		p->busy = calloc(WV_PERIOD_MAX, sizeof(*p->busy));
	if (!p->busy)
		return;
	if (w->begin != p->busy_until) /* what lies between is not known: begin anew */
		p->n_busy = 0;
	if (p->n_busy + SAMPLES > WV_PERIOD_MAX) {
		memmove(p->busy, p->busy + SAMPLES, (p->n_busy - SAMPLES) * sizeof(*p->busy));
		p->n_busy -= SAMPLES;
	}
	at = p->busy + p->n_busy;
	memset(at, 0, SAMPLES * sizeof(*at));
	for (unsigned class = 0; class < 3; class ++)
		for (uint32_t i = 0; i < w->busy_n[class]; i++)
			add_span(at, w->busy[class][i].begin, w->busy[class][i].end);
	p->n_busy += SAMPLES;
	p->busy_until = w->end;
}

void wv_hub_period_look(struct wv_gpu_hub *h)
{
	uint64_t now = wv_io_system.mono_ns(wv_io_system.ctx);

	if (now < h->period_at + LOOK_NS)
		return;
	for (unsigned i = 0; i < HUB_PROCESSES; i++) {
		struct hub_process *p = &h->process[h->period_turn++ % HUB_PROCESSES];

		if (p->fd < 0 || !p->n_busy || p->steps)
			continue;
		h->period_at = now;
		p->period = wv_period_of_samples(p->busy, p->n_busy);
		return;
	}
}
