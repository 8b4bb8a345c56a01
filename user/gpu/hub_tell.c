// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hub's order of time: windows wait until all processes of their device have told of them and
 * what threads waited for is known, steps for the latter; then they are told, oldest first.
 */
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/gpu/hub_internal.h"

/* What is not told by then is taken for lost: CUPTI delivers within seconds. */
#define PATIENCE_NS 5000000000ULL
/* Permille; a period that is less certain is not shown: noise alone comes to 50, a drift to 300. */
#define LEAST_CONFIDENCE 400

/* --- windows --------------------------------------------------------------------------------- */

static void drop_pending(struct hub_pending *p)
{
	for (unsigned i = 0; i < p->n; i++)
		free(p->window[i]);
	*p = (struct hub_pending){0};
}

static struct hub_pending *pending_of(struct hub_device *d, uint64_t begin)
{
	return &d->pending[begin / WV_GPU_WINDOW_NS % HUB_PENDING];
}

static void tell_window(struct wv_gpu_hub *h, struct hub_device *d, struct hub_pending *p)
{
	struct wv_gpu_part parts[HUB_PARTS];
	struct wv_gpu_sums recent = {0};
	enum wv_gpu_bottleneck is;

	for (unsigned i = 0; i < p->n; i++) {
		parts[i] = (struct wv_gpu_part){p->window[i], p->tid[i]};
	}
	wv_gpu_join(parts, p->n, (uint32_t)(d - h->device), h->wake ? &h->waits : NULL, &h->told);
	wv_gpu_sums_add(&d->total, &h->told.sums);
	d->recent[d->recents++ % HUB_RECENT] = h->told.sums;
	for (unsigned i = 0; i < HUB_RECENT && i < d->recents; i++)
		wv_gpu_sums_add(&recent, &d->recent[i]);
	is = wv_gpu_bottleneck_of(&recent, NULL);
	if (is != d->bottleneck) {
		d->bottleneck = is;
		d->bottleneck_since = h->told.end;
	}
	if (h->listener.window)
		h->listener.window(h->listener.ctx, &h->told);
	drop_pending(p);
}

void wv_hub_window(struct wv_gpu_hub *h, struct hub_process *p, const struct wv_gpu_window *w)
{
	unsigned index = p->device[w->device];
	struct hub_device *d = &h->device[index];
	struct hub_pending *slot = pending_of(d, w->begin);

	p->told_until[index] = w->end;
	p->used |= 1ULL << index;
	for (uint32_t i = 0; i < w->gaps && !p->steps; i++)
		if (w->gap[i].launch_tid)
			p->tid = w->gap[i].launch_tid;
	wv_hub_period_window(p, w);
	if (d->next && w->begin < d->next) { /* all others were told without it */
		d->total.late_ns += WV_GPU_WINDOW_NS - w->idle_ns;
		return;
	}
	if (slot->begin &&
	    slot->begin != w->begin) /* a process that is far ahead: the old one is due */
		tell_window(h, d, slot);
	if (slot->n == HUB_PARTS)
		return;
	slot->window[slot->n] = malloc(sizeof(*w));
	if (!slot->window[slot->n])
		return;
	memcpy(slot->window[slot->n], w, sizeof(*w));
	slot->tid[slot->n++] = p->tid ? p->tid : (uint32_t)p->pid;
	slot->begin = w->begin;
	if (!d->next)
		d->next = w->begin;
}

/* Whether every process that uses the device has told of it up to `end`. */
static bool all_told(const struct wv_gpu_hub *h, unsigned device, uint64_t end)
{
	for (unsigned i = 0; i < HUB_PROCESSES; i++) {
		const struct hub_process *p = &h->process[i];

		if (p->fd >= 0 && !p->gone && (p->used >> device & 1) &&
		    p->told_until[device] < end)
			return false;
	}
	return true;
}

static void tell_device(struct wv_gpu_hub *h, unsigned index, uint64_t now, bool all)
{
	struct hub_device *d = &h->device[index];
	uint64_t known = h->wake ? wv_wake_known(h->wake) : now;

	while (d->next) {
		struct hub_pending *p = pending_of(d, d->next);
		uint64_t end = d->next + WV_GPU_WINDOW_NS;
		bool late = all || now > end + PATIENCE_NS;

		if (!late && (!all_told(h, index, end) || known < end))
			return;
		if (p->begin == d->next) {
			tell_window(h, d, p);
		} else {
			bool more = false;

			for (unsigned i = 0; i < HUB_PENDING; i++)
				more |= d->pending[i].begin > d->next;
			if (!more) {
				/* nobody uses it: the next one that does begins anew */
				d->next = 0;
				return;
			}
		}
		d->next = end;
	}
}

/* --- steps ----------------------------------------------------------------------------------- */

/* Of the newest second, or the newest three steps where those are longer. */
static void recent_of(const struct hub_process *p, struct wv_gpu_process_view *v)
{
	uint64_t newest = 0, n = 0;

	for (uint64_t i = p->steps_told; i > 0 && p->steps - i < HUB_STEPS; i--) {
		const struct wv_gpu_told_step *s = &p->step[(i - 1) % HUB_STEPS].told;

		if (!newest)
			newest = s->end;
		if (n++ >= 3 && s->end + 1000000000ULL < newest)
			break;
		v->recent_ns += s->end - s->begin;
		for (unsigned k = 0; k < WV_GPU_CAUSE_N; k++)
			v->recent_cause_ns[k] += s->cause_ns[k];
		for (unsigned k = 0; k < WV_GPU_INPUT_N; k++)
			v->recent_input_ns[k] += s->input_ns[k];
	}
}

static void tell_step(struct wv_gpu_hub *h, struct hub_process *p, struct hub_step *s)
{
	struct wv_gpu_process_view v = {0};
	struct wv_chain_split split = {0};
	enum wv_gpu_bottleneck is;

	s->waits = false;
	if (h->wake)
		h->waits.split(h->waits.ctx, (uint32_t)s->told.tid, s->told.begin, s->told.end,
			       &split);
	else
		split.cause_ns[WV_GPU_CAUSE_UNKNOWN] = s->told.end - s->told.begin;
	memcpy(s->told.cause_ns, split.cause_ns, sizeof(split.cause_ns));
	memcpy(s->told.input_ns, split.input_ns, sizeof(split.input_ns));
	p->total_ns += s->told.end - s->told.begin;
	for (unsigned i = 0; i < WV_GPU_CAUSE_N; i++)
		p->cause_ns[i] += split.cause_ns[i];
	p->steps_told++;
	recent_of(p, &v);
	is = wv_gpu_bottleneck_of(NULL, &v);
	if (is != p->bottleneck) {
		p->bottleneck = is;
		p->bottleneck_since = s->told.end;
	}
	if (h->listener.step)
		h->listener.step(h->listener.ctx, &s->told);
}

static void tell_steps(struct wv_gpu_hub *h, struct hub_process *p, uint64_t now, bool all)
{
	uint64_t known = h->wake ? wv_wake_known(h->wake) : now;

	while (p->steps_told < p->steps) {
		struct hub_step *s = &p->step[p->steps_told % HUB_STEPS];

		if (!all && known < s->told.end && now < s->told.end + PATIENCE_NS)
			return;
		tell_step(h, p, s);
	}
}

void wv_hub_step(struct wv_gpu_hub *h, struct hub_process *p, const struct wv_gpu_step *s)
{
	struct hub_step *at = &p->step[p->steps % HUB_STEPS];

	if (at->waits) /* for longer than any patience: tell it as it is */
		tell_steps(h, p, UINT64_MAX, false);
	*at = (struct hub_step){
		.told = {.pid = p->pid,
			 .tid = (int32_t)s->tid,
			 .confidence_permille = s->confidence_permille,
			 .number = s->number,
			 .begin = s->begin,
			 .end = s->end},
		.waits = true,
	};
	p->steps++;
	p->tid = s->tid;
	p->confidence_permille = s->confidence_permille;
}

/* --- both ------------------------------------------------------------------------------------ */

void wv_hub_tell(struct wv_gpu_hub *h, uint64_t now, bool all)
{
	for (unsigned i = 0; i < h->devices; i++)
		tell_device(h, i, now, all);
	for (unsigned i = 0; i < HUB_PROCESSES; i++)
		if (h->process[i].fd >= 0)
			tell_steps(h, &h->process[i], now, all);
}

void wv_hub_left(struct wv_gpu_hub *h, struct hub_process *p)
{
	p->gone = true;
	wv_hub_tell(h, wv_io_system.mono_ns(wv_io_system.ctx), false);
	tell_steps(h, p, 0, true);
}

static uint64_t median_step(const struct hub_process *p)
{
	uint64_t sorted[32];
	unsigned n = 0;

	for (uint64_t i = p->steps_told; i > 0 && n < ARRAY_SIZE(sorted); i--) {
		const struct wv_gpu_told_step *s = &p->step[(i - 1) % HUB_STEPS].told;
		uint64_t ns = s->end - s->begin;
		unsigned k = n++;

		for (; k > 0 && sorted[k - 1] > ns; k--)
			sorted[k] = sorted[k - 1];
		sorted[k] = ns;
	}
	return n ? sorted[n / 2] : 0;
}

static void show_device(const struct wv_gpu_hub *h, unsigned index, struct wv_gpu_device_view *v)
{
	const struct hub_device *d = &h->device[index];
	const unsigned char *u = d->uuid;

	*v = (struct wv_gpu_device_view){.index = UINT32_MAX,
					 .total = d->total,
					 .recent_end = d->next,
					 .bottleneck = d->bottleneck,
					 .bottleneck_since = d->bottleneck_since};
	snprintf(v->uuid, sizeof(v->uuid),
		 "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
		 u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13],
		 u[14], u[15]);
	memcpy(v->name, d->name, strnlen(d->name, sizeof(d->name)));
	memset(&v->meter, 0xff, sizeof(v->meter));
	for (unsigned i = 0; i < HUB_RECENT && i < d->recents; i++)
		wv_gpu_sums_add(&v->recent, &d->recent[i]);
	for (unsigned i = 0; i < HUB_PROCESSES; i++) {
		const struct hub_process *p = &h->process[i];

		if (p->fd < 0 || !(p->used >> index & 1))
			continue;
		v->level = v->processes++ && v->level < p->level ? v->level : p->level;
		v->degraded = p->degraded ? p->degraded : v->degraded;
	}
}

static void show_process(const struct hub_process *p, struct wv_gpu_process_view *v)
{
	*v = (struct wv_gpu_process_view){.pid = p->pid,
					  .devices = p->used,
					  .level = p->level,
					  .degraded = p->degraded,
					  .steps = p->steps_told,
					  .step_ns = median_step(p),
					  .confidence_permille = p->confidence_permille,
					  .bottleneck = p->bottleneck,
					  .bottleneck_since = p->bottleneck_since,
					  .total_ns = p->total_ns,
					  .frames_dropped = wv_gpu_reader_dropped(&p->reader)};
	memcpy(v->comm, p->comm, sizeof(v->comm));
	memcpy(v->cause_ns, p->cause_ns, sizeof(v->cause_ns));
	recent_of(p, v);
	v->step_origin = p->steps ? WV_GPU_STEP_TOLD : WV_GPU_STEP_NONE;
	if (!p->steps && p->period.confidence * 1000 >= LEAST_CONFIDENCE) {
		v->step_origin = WV_GPU_STEP_DETECTED;
		v->step_ns = (uint64_t)(p->period.length * 1e6);
		v->confidence_permille = (uint32_t)(p->period.confidence * 1000);
	}
}

void wv_gpu_hub_show(const struct wv_gpu_hub *h, struct wv_gpu_view *v)
{
	v->updated = wv_io_system.mono_ns(wv_io_system.ctx);
	v->wakes = h->wake != NULL;
	v->n_devices = h->devices;
	for (unsigned i = 0; i < h->devices; i++)
		show_device(h, i, &v->device[i]);
	v->n_processes = 0;
	for (unsigned i = 0; i < HUB_PROCESSES; i++)
		if (h->process[i].fd >= 0 && h->process[i].greeted &&
		    v->n_processes < WV_GPU_VIEW_PROCESSES)
			show_process(&h->process[i], &v->process[v->n_processes++]);
	wv_hub_meters(h, v);
}
