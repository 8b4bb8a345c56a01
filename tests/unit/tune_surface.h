/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A simulated training: how long a step takes with any knobs, where its time goes, what memory it
 * needs and how its losses go. Simple laws with drawn constants; nothing here was measured on a
 * device, and no figure that comes of it is one of a device.
 */
#ifndef WV_TESTS_TUNE_SURFACE_H
#define WV_TESTS_TUNE_SURFACE_H

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/tune/engine.h"
#include "gpu/tune/stats.h"

enum surface_kind {
	SURFACE_INPUT,	 /* a slow loader */
	SURFACE_LAUNCH,	 /* small micro batches, eager */
	SURFACE_COMPUTE, /* fp32, or all recomputed */
	SURFACE_COMMS,	 /* four devices, nothing overlaps */
	SURFACE_MIXED,	 /* loader, launches and precision at once */
	SURFACE_FLAT,	 /* no knob helps */
	SURFACE_MEMORY,	 /* the gain is behind a trade of recomputation against micro batch */
	SURFACE_N
};
static const char *const surface_names[SURFACE_N] = {"input", "launch", "compute", "comms",
						     "mixed", "flat",	"memory"};

struct surface {
	enum surface_kind kind;
	uint64_t random;
	double noise, drift; /* relative: of a step, of a whole trial */
	bool shares, losses;
	struct wv_tune_space space;
	double prep, fetch, compute, small, launch, copy,
		comms; /* seconds a sample or micro batch */
	double precision[3], compile[3], launches[3], checkpointing[3], offload;
	double fixed_bytes, sample_bytes;
	int32_t diverges; /* value of PRECISION; UNSET: none */
};

static double draw(struct surface *s, double low, double high)
{
	return low + (high - low) * (double)(wv_tune_random(&s->random) >> 11) * 0x1p-53;
}

static double normal(struct surface *s)
{
	double u = draw(s, 1e-12, 1), v = draw(s, 0, 1);

	return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static int32_t value_of(const struct wv_tune_point *p, enum wv_tune_knob k, int32_t unset)
{
	return p->value[k] == WV_TUNE_UNSET ? unset : p->value[k];
}

static double surface_peak(const struct surface *s, const struct wv_tune_point *p)
{
	static const double recomputed[3] = {1, 0.45, 0.15}, split[4] = {1, 0.6, 0.45, 0.3};
	double b = s->sample_bytes * recomputed[value_of(p, WV_TUNE_CHECKPOINTING, 0)];

	b *= value_of(p, WV_TUNE_PRECISION, 0) ? 0.6 : 1;
	b *= value_of(p, WV_TUNE_OFFLOAD, 0) ? 0.4 : 1;
	return s->fixed_bytes * split[value_of(p, WV_TUNE_ZERO, 0)] +
	       b * value_of(p, WV_TUNE_MICRO, 8);
}

static double comms_time(const struct surface *s, const struct wv_tune_point *p, double compute)
{
	double bucket = value_of(p, WV_TUNE_BUCKET, 25), zero = value_of(p, WV_TUNE_ZERO, 0);
	double whole = s->comms * (1 + 6 / bucket) * (zero == 3 ? 1.5 : 1 + 0.03 * zero);
	/* the last bucket has nothing behind which it could hide */
	double last = s->comms * bucket / 600, hidden = whole - last < 0 ? 0 : whole - last;

	if (value_of(p, WV_TUNE_OVERLAP, 0) == 0)
		return whole;
	return whole - (hidden < 0.6 * compute ? hidden : 0.6 * compute);
}

/* Seconds a step, without noise. shares may be NULL. */
static double surface_step(const struct surface *s, const struct wv_tune_point *p,
			   struct wv_tune_shares *shares)
{
	int32_t w = value_of(p, WV_TUNE_WORKERS, 4), cache = value_of(p, WV_TUNE_CACHE, 0);
	int32_t micro = value_of(p, WV_TUNE_MICRO, 8), compile = value_of(p, WV_TUNE_COMPILE, 0);
	double n = (double)s->space.global_batch / s->space.world, m = n / micro,
	       cpus = s->space.cpus;
	double prep = s->prep * (cache == 1 ? 0.15 : cache == 2 ? 0.5 : 1);
	double fetch = s->fetch * (cache == 1 ? 0 : cache == 2 ? 0.25 : 1);
	double copy = s->copy * n * (value_of(p, WV_TUNE_PIN, 0) ? 0.4 : 1);
	double compute =
		s->compute * n * s->precision[value_of(p, WV_TUNE_PRECISION, 0)] *
		s->compile[compile] * s->checkpointing[value_of(p, WV_TUNE_CHECKPOINTING, 0)] *
		(value_of(p, WV_TUNE_OFFLOAD, 0) ? s->offload : 1) * (1 + s->small / micro);
	double launch = s->launch * m * s->launches[compile], comms = 0, input = 0, inlined = 0;
	double device, step, rate;

	if (s->space.world > 1)
		comms = comms_time(s, p, compute);
	device = compute + launch + copy + comms;
	if (w == 0) {
		inlined = (prep + fetch) * n;
	} else {
		/* more workers than CPUs get in each other's way */
		rate = w / (prep + fetch);
		if (rate * prep > cpus)
			rate = cpus / prep;
		if (w > cpus)
			rate *= pow(cpus / w, 0.25);
		input = n / rate * (1 + 0.2 / value_of(p, WV_TUNE_PREFETCH, 2)) *
			(value_of(p, WV_TUNE_PERSISTENT, 0) ? 1 : 1.02);
	}
	step = (input > device ? input : device) + inlined;
	if (shares) {
		uint64_t ns;

		*shares = (struct wv_tune_shares){.device = true, .window = (uint64_t)(step * 1e9)};
		shares->kernel = (uint64_t)(compute * 1e9);
		shares->exposed = (uint64_t)(comms * 1e9);
		shares->memory = (uint64_t)(copy * 1e9);
		shares->cause_ns[WV_GPU_CAUSE_LAUNCH] = (uint64_t)(launch * 0.5e9);
		shares->cause_ns[WV_GPU_CAUSE_HOST] = (uint64_t)((launch * 0.5 + inlined) * 1e9);
		ns = (uint64_t)((step - device - inlined) * 1e9);
		shares->cause_ns[WV_GPU_CAUSE_INPUT] = ns;
		shares->input_ns[WV_GPU_INPUT_PREP] =
			(uint64_t)((double)ns * prep / (prep + fetch + 1e-12));
		shares->input_ns[WV_GPU_INPUT_FETCH] = ns - shares->input_ns[WV_GPU_INPUT_PREP];
	}
	return step;
}

/* One trial. The runner's part: out of memory is told, too much noise is not. */
static void surface_run(struct surface *s, const struct wv_tune_trial *t, struct wv_tune_outcome *o)
{
	double step = surface_step(s, &t->point, &o->shares), peak = surface_peak(s, &t->point);
	double drift = 1 + s->drift * normal(s), start = 4;
	uint64_t training = t->seed;

	memset(o, 0, offsetof(struct wv_tune_outcome, shares));
	if (!s->shares)
		memset(&o->shares, 0, sizeof(o->shares));
	o->elapsed_ns = 5000000000ULL;
	if (peak > (double)s->space.memory_limit_bytes) {
		o->status = WV_TUNE_OOM;
		return;
	}
	o->peak_bytes = (uint64_t)(peak * (1 + 0.005 * normal(s)));
	o->n_steps = t->steps;
	o->losses = s->losses;
	start += (double)(wv_tune_random(&training) >> 40) * 0x1p-24 * 0.3;
	for (uint32_t i = 0; i < t->steps; i++) {
		/* compiling, first batches */
		double slow = i == 0 ? 20 : i < 3 ? 2 : 1, loss = start * pow(i + 2.0, -0.2);
		double noise = 1 + s->noise * normal(s);

		o->step_ns[i] = (uint64_t)(step * 1e9 * drift * slow * (noise < 0.5 ? 0.5 : noise));
		o->elapsed_ns += o->step_ns[i];
		o->loss[i] = (float)(loss * (1 + 0.02 * normal(s)));
		if (s->diverges != WV_TUNE_UNSET &&
		    t->point.value[WV_TUNE_PRECISION] == s->diverges)
			o->loss[i] = i > 10 ? NAN : o->loss[i] * 1.5F;
		if (!s->losses)
			o->loss[i] = NAN;
	}
}

static double best_from(const struct surface *s, struct wv_tune_point p, unsigned knob)
{
	double best = HUGE_VAL;
	uint32_t n;

	while (knob < WV_TUNE_KNOB_N && s->space.knob[knob].n == 0)
		knob++;
	if (knob == WV_TUNE_KNOB_N) {
		if (p.value[WV_TUNE_PRECISION] == s->diverges && s->diverges != WV_TUNE_UNSET)
			return HUGE_VAL;
		/* 92 % may be used; what lies nearer to that than peaks are noisy may be refused */
		if (!wv_tune_space_settle(&s->space, &p) ||
		    surface_peak(s, &p) > 0.91 * (double)s->space.memory_limit_bytes)
			return HUGE_VAL;
		return surface_step(s, &p, NULL);
	}
	n = s->space.knob[knob].n;
	for (uint32_t i = 0; i < n; i++) {
		double step;

		p.value[knob] = s->space.knob[knob].value[i];
		step = best_from(s, p, knob + 1);
		best = step < best ? step : best;
	}
	return best;
}

/* Seconds a step of the best point of the whole grid that runs, fits and learns. */
static inline double surface_best(const struct surface *s)
{
	return best_from(s, s->space.start, 0);
}

static void allow(struct surface *s, const enum wv_tune_knob *knobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		wv_tune_space_allow(&s->space, knobs[i]);
}

#define ALLOW(s, ...)                                                                              \
	allow(s, (const enum wv_tune_knob[]){__VA_ARGS__},                                         \
	      sizeof((const enum wv_tune_knob[]){__VA_ARGS__}) / sizeof(enum wv_tune_knob))

/* The constants of a training that nothing holds back but its arithmetic. */
static void surface_plain(struct surface *s)
{
	s->compute = draw(s, 0.002, 0.006);
	s->small = draw(s, 0.05, 0.3);
	s->prep = s->compute * draw(s, 0.5, 1);
	s->fetch = s->compute * draw(s, 0.05, 0.2);
	s->launch = s->compute * draw(s, 0.05, 0.15);
	s->copy = s->compute * draw(s, 0.005, 0.02);
	memcpy(s->precision, ((double[]){1, draw(s, 0.4, 0.6), draw(s, 0.4, 0.6)}),
	       sizeof(s->precision));
	memcpy(s->compile, ((double[]){1, draw(s, 0.82, 0.95), draw(s, 0.84, 0.97)}),
	       sizeof(s->compile));
	memcpy(s->launches, ((double[]){1, draw(s, 0.5, 0.7), draw(s, 0.05, 0.2)}),
	       sizeof(s->launches));
	memcpy(s->checkpointing, ((double[]){1, draw(s, 1.02, 1.08), draw(s, 1.2, 1.33)}),
	       sizeof(s->checkpointing));
	s->offload = draw(s, 1.05, 1.3);
	s->fixed_bytes = draw(s, 8e9, 20e9);
	s->sample_bytes = draw(s, 0.4e9, 1.2e9);
	s->diverges = WV_TUNE_UNSET;
	s->space.start.value[WV_TUNE_WORKERS] = 4;
	s->space.start.value[WV_TUNE_PREFETCH] = 2;
	s->space.start.value[WV_TUNE_PIN] = 0;
	s->space.start.value[WV_TUNE_PERSISTENT] = 0;
	s->space.start.value[WV_TUNE_CACHE] = WV_TUNE_CACHE_OFF;
	s->space.start.value[WV_TUNE_MICRO] = 16;
	s->space.start.value[WV_TUNE_PRECISION] = WV_TUNE_BF16;
	s->space.start.value[WV_TUNE_CHECKPOINTING] = WV_TUNE_CKPT_NONE;
	s->space.start.value[WV_TUNE_OFFLOAD] = 0;
	s->space.start.value[WV_TUNE_COMPILE] = WV_TUNE_COMPILE_OFF;
}

static void surface_comms(struct surface *s)
{
	s->space.world = 4;
	s->space.global_batch = 256;
	s->comms = s->compute * s->precision[1] * 64 * draw(s, 0.4, 1.2);
	s->space.start.value[WV_TUNE_BUCKET] = draw(s, 0, 1) < 0.5 ? 5 : 25;
	s->space.start.value[WV_TUNE_OVERLAP] = draw(s, 0, 1) < 0.3;
	s->space.start.value[WV_TUNE_ZERO] = draw(s, 0, 1) < 0.5 ? 3 : 1;
	s->fixed_bytes = draw(s, 8e9, 16e9);
	ALLOW(s, WV_TUNE_BUCKET, WV_TUNE_OVERLAP, WV_TUNE_ZERO, WV_TUNE_MICRO);
}

/* Every start is one that fits: a user's training runs. */
static void surface_init(struct surface *s, enum surface_kind kind, uint64_t seed)
{
	*s = (struct surface){.kind = kind,
			      .random = wv_tune_seed(seed, 100 + kind),
			      .noise = 0.03,
			      .drift = 0.004,
			      .shares = true,
			      .losses = true};
	wv_tune_space_init(&s->space);
	s->space.global_batch = 64;
	s->space.cpus = 12;
	s->space.memory_limit_bytes = 80000000000ULL;
	surface_plain(s);
	switch (kind) {
	case SURFACE_INPUT:
		s->prep = s->compute * draw(s, 1, 5);
		s->fetch = s->compute * draw(s, 0, 6);
		s->space.start.value[WV_TUNE_WORKERS] = (int32_t)draw(s, 0, 2.99);
		ALLOW(s, WV_TUNE_WORKERS, WV_TUNE_PREFETCH, WV_TUNE_PIN, WV_TUNE_PERSISTENT,
		      WV_TUNE_CACHE, WV_TUNE_MICRO);
		break;
	case SURFACE_LAUNCH:
		s->launch = s->compute * draw(s, 1, 6);
		s->space.start.value[WV_TUNE_MICRO] = draw(s, 0, 1) < 0.5 ? 1 : 2;
		ALLOW(s, WV_TUNE_MICRO, WV_TUNE_COMPILE, WV_TUNE_CHECKPOINTING, WV_TUNE_WORKERS);
		break;
	case SURFACE_COMPUTE:
		s->space.start.value[WV_TUNE_PRECISION] = WV_TUNE_FP32;
		s->space.start.value[WV_TUNE_CHECKPOINTING] = (int32_t)draw(s, 0, 2.99);
		s->space.start.value[WV_TUNE_MICRO] = 8;
		s->diverges = draw(s, 0, 1) < 0.5 ? WV_TUNE_FP16 : WV_TUNE_BF16;
		ALLOW(s, WV_TUNE_PRECISION, WV_TUNE_CHECKPOINTING, WV_TUNE_COMPILE, WV_TUNE_MICRO,
		      WV_TUNE_WORKERS);
		break;
	case SURFACE_COMMS:
		surface_comms(s);
		break;
	case SURFACE_MIXED:
		s->prep = s->compute * draw(s, 1, 3);
		s->launch = s->compute * draw(s, 1, 3);
		s->space.start.value[WV_TUNE_WORKERS] = 1 + (int32_t)draw(s, 0, 1.99);
		s->space.start.value[WV_TUNE_MICRO] = 2;
		s->space.start.value[WV_TUNE_PRECISION] = WV_TUNE_FP32;
		s->diverges = draw(s, 0, 1) < 0.3 ? WV_TUNE_FP16 : WV_TUNE_UNSET;
		ALLOW(s, WV_TUNE_WORKERS, WV_TUNE_PREFETCH, WV_TUNE_PIN, WV_TUNE_CACHE,
		      WV_TUNE_MICRO, WV_TUNE_PRECISION, WV_TUNE_COMPILE);
		break;
	case SURFACE_FLAT:
		s->launch = s->copy = s->small = 0;
		s->prep = s->fetch = s->compute * 0.1;
		s->compile[1] = s->compile[2] = s->precision[0] = s->precision[1] =
			s->precision[2] = 1;
		s->checkpointing[1] = s->checkpointing[2] = 1;
		s->sample_bytes = 0.2e9;
		ALLOW(s, WV_TUNE_WORKERS, WV_TUNE_MICRO, WV_TUNE_COMPILE, WV_TUNE_PRECISION,
		      WV_TUNE_CHECKPOINTING, WV_TUNE_CACHE);
		break;
	case SURFACE_MEMORY:
		s->launch = s->compute * draw(s, 2, 6);
		s->fixed_bytes = draw(s, 40e9, 55e9);
		s->sample_bytes = draw(s, 3e9, 8e9);
		s->space.start.value[WV_TUNE_MICRO] = draw(s, 0, 1) < 0.5 ? 1 : 2;
		ALLOW(s, WV_TUNE_MICRO, WV_TUNE_CHECKPOINTING, WV_TUNE_OFFLOAD, WV_TUNE_COMPILE);
		break;
	case SURFACE_N:
		break;
	}
	while (surface_peak(s, &s->space.start) > 0.9 * (double)s->space.memory_limit_bytes)
		s->sample_bytes *= 0.8;
	if (wv_tune_space_close(&s->space))
		abort();
}

#endif
