// SPDX-License-Identifier: GPL-2.0-only
#include "user/gpu/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/gpu/join.h"

static void add_point(struct wv_profile_point *to, const struct wv_profile_point *from)
{
	if (!to->end)
		to->begin = from->begin;
	to->end = from->end;
	to->kernel += from->kernel;
	to->exposed += from->exposed;
	to->overlapped += from->overlapped;
	to->memory += from->memory;
	to->idle += from->idle;
	for (unsigned i = 0; i < WV_GPU_CAUSE_N; i++)
		to->cause_ns[i] += from->cause_ns[i];
}

/* A full line is joined two and two: half as many points, each of twice as long. */
static void halve(struct wv_profile_device *d)
{
	for (unsigned i = 0; i < d->n / 2; i++) {
		struct wv_profile_point p = d->line[2 * i];

		add_point(&p, &d->line[2 * i + 1]);
		d->line[i] = p;
	}
	d->n /= 2;
	d->joined *= 2;
	d->part = d->joined;
}

static void keep_point(struct wv_profile_device *d, const struct wv_profile_point *p)
{
	if (!d->line)
		d->line = calloc(WV_PROFILE_POINTS, sizeof(*d->line));
	if (!d->line)
		return;
	if (d->n && d->part < d->joined) {
		add_point(&d->line[d->n - 1], p);
		d->part++;
		return;
	}
	if (d->n == WV_PROFILE_POINTS)
		halve(d);
	d->line[d->n] = (struct wv_profile_point){0};
	add_point(&d->line[d->n++], p);
	d->part = 1;
}

static void keep_gap(struct wv_profile_device *d, const struct wv_gpu_told_gap *g)
{
	unsigned least = 0;

	/* one that goes on in the next window */
	if (d->gaps && d->gap[d->gaps - 1].end == g->begin &&
	    d->gap[d->gaps - 1].cause == g->cause) {
		d->gap[d->gaps - 1].end = g->end;
		return;
	}
	if (d->gaps < WV_PROFILE_GAPS) {
		d->gap[d->gaps++] = *g;
		return;
	}
	for (unsigned i = 1; i < d->gaps; i++)
		if (d->gap[i].end - d->gap[i].begin < d->gap[least].end - d->gap[least].begin)
			least = i;
	if (g->end - g->begin <= d->gap[least].end - d->gap[least].begin)
		return;
	memmove(&d->gap[least], &d->gap[least + 1], (d->gaps - least - 1) * sizeof(d->gap[0]));
	d->gap[d->gaps - 1] = *g;
}

static void keep_name(struct wv_profile_device *d, const char *name, uint64_t ns, uint64_t n)
{
	unsigned i;

	for (i = 0; i < d->names; i++)
		if (strncmp(d->top[i].name, name, WV_GPU_NAME_SIZE - 1) == 0)
			break;
	if (i == ARRAY_SIZE(d->top))
		return;
	if (i == d->names) {
		memcpy(d->top[i].name, name, strnlen(name, WV_GPU_NAME_SIZE - 1));
		d->names++;
	}
	d->top[i].ns += ns;
	d->top[i].n += n;
}

static void on_window(void *ctx, const struct wv_gpu_told *w)
{
	struct wv_profile *p = ctx;
	struct wv_profile_device *d = &p->device[w->device % WV_GPU_DEVICES];
	const struct wv_gpu_shares *s = &w->sums.shares;
	struct wv_profile_point point = {.begin = w->begin,
					 .end = w->end,
					 .kernel = s->kernel,
					 .exposed = s->exposed,
					 .overlapped = s->overlapped,
					 .memory = s->memory,
					 .idle = s->idle};
	double sum = (double)(s->kernel + s->exposed + s->memory + s->idle);
	double error = s->window ? (sum - (double)s->window) / (double)s->window : 0;

	if (w->device >= p->devices)
		p->devices = w->device + 1;
	memcpy(point.cause_ns, w->sums.cause_ns, sizeof(point.cause_ns));
	wv_gpu_sums_add(&d->sums, &w->sums);
	if (error < 0)
		error = -error;
	if (error > d->worst_error)
		d->worst_error = error;
	d->windows++;
	keep_point(d, &point);
	for (uint32_t i = 0; i < w->gaps; i++)
		keep_gap(d, &w->gap[i]);
	for (uint32_t i = 0; i < w->names; i++)
		keep_name(d, w->top[i].name, w->top[i].ns, w->top[i].n);
}

static void on_step(void *ctx, const struct wv_gpu_told_step *s)
{
	struct wv_profile_steps *st = &((struct wv_profile *)ctx)->steps;

	st->total_ns += s->end - s->begin;
	for (unsigned i = 0; i < WV_GPU_CAUSE_N; i++)
		st->cause_ns[i] += s->cause_ns[i];
	for (unsigned i = 0; i < WV_GPU_INPUT_N; i++)
		st->input_ns[i] += s->input_ns[i];
	if (st->seen++ % st->every)
		return;
	if (st->n == WV_PROFILE_POINTS) {
		for (unsigned i = 0; i < st->n / 2; i++)
			st->kept[i] = st->kept[2 * i];
		st->n /= 2;
		st->every *= 2;
		if ((st->seen - 1) % st->every)
			return;
	}
	st->kept[st->n++] = *s;
}

int wv_profile_init(struct wv_profile *p, struct wv_gpu_hub_listener *ret)
{
	*p = (struct wv_profile){.steps.every = 1};
	for (unsigned i = 0; i < WV_GPU_DEVICES; i++)
		p->device[i].joined = 1;
	p->steps.kept = calloc(WV_PROFILE_POINTS, sizeof(*p->steps.kept));
	if (!p->steps.kept)
		return -ENOMEM;
	*ret = (struct wv_gpu_hub_listener){p, on_window, on_step};
	return 0;
}

void wv_profile_done(struct wv_profile *p)
{
	for (unsigned i = 0; i < WV_GPU_DEVICES; i++)
		free(p->device[i].line);
	free(p->steps.kept);
}

static int by_time(const void *a, const void *b)
{
	/* the first member but one; rows of one type */
	const struct {
		char name[WV_GPU_NAME_SIZE];
		uint64_t ns, n;
	} *x = a, *y = b;

	return x->ns < y->ns ? 1 : x->ns > y->ns ? -1 : 0;
}

void wv_profile_add_main(struct wv_profile *p, uint64_t ns, const struct wv_chain_split *s)
{
	p->main_ns += ns;
	for (unsigned i = 0; i < WV_GPU_CAUSE_N; i++)
		p->main_cause_ns[i] += s->cause_ns[i];
	for (unsigned i = 0; i < WV_GPU_INPUT_N; i++)
		p->main_input_ns[i] += s->input_ns[i];
}

void wv_profile_meters(struct wv_profile *p, const struct wv_gpu_view *v)
{
	for (unsigned i = 0; i < v->n_devices; i++)
		wv_energy_saw(&p->device[i].energy, v->device[i].meter.energy_mj, v->updated);
}

void wv_profile_finish(struct wv_profile *p, const struct wv_gpu_view *v)
{
	bool seen = p->steps.seen;
	struct wv_gpu_process_view steps = {.recent_ns = seen ? p->steps.total_ns : p->main_ns};
	struct wv_gpu_sums all = {0};

	for (unsigned i = 0; i < p->devices; i++) {
		struct wv_profile_device *d = &p->device[i];

		if (i < v->n_devices) {
			memcpy(d->uuid, v->device[i].uuid, sizeof(d->uuid));
			memcpy(d->name, v->device[i].name, sizeof(d->name));
		}
		qsort(d->top, d->names, sizeof(d->top[0]), by_time);
		wv_gpu_sums_add(&all, &d->sums);
	}
	memcpy(steps.recent_cause_ns, seen ? p->steps.cause_ns : p->main_cause_ns,
	       sizeof(steps.recent_cause_ns));
	p->bottleneck = wv_gpu_bottleneck_of(p->devices ? &all : NULL, &steps);
	p->waits = v->wakes;
}
