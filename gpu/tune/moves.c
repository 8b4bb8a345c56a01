// SPDX-License-Identifier: GPL-2.0-only
#include "gpu/tune/moves.h"

#include <stdlib.h>
#include <string.h>

/*
 * Effects below are the part of a share of time that a move is thought to remove. They order the
 * trials and end the search where nothing is worth one more; a wrong one costs trials, never a
 * wrong result.
 */

#define UNKNOWN_SHARE 0.15 /* of each kind of loss where nothing was diagnosed */
#define UNKNOWN_PART 0.3   /* of time that no cause is known for, given to each kind */

struct list {
	const struct wv_tune_sight *s;
	struct wv_tune_move *out;
	unsigned n, room;
};

static double share(const struct list *l, enum wv_gpu_bottleneck bound)
{
	double unknown;

	if (l->s->shares->window == 0)
		return bound == WV_GPU_BOUND_COMPUTE ? 2 * UNKNOWN_SHARE : UNKNOWN_SHARE;
	unknown = (double)wv_tune_share_ppm(l->s->shares, WV_GPU_BOUND_NONE) / 1e6;
	if (bound == WV_GPU_BOUND_COMPUTE)
		unknown = 0;
	return (double)wv_tune_share_ppm(l->s->shares, bound) / 1e6 + unknown * UNKNOWN_PART;
}

static int32_t now(const struct list *l, enum wv_tune_knob k)
{
	return l->s->best->value[k];
}

static bool allowed(const struct list *l, enum wv_tune_knob k, int32_t value)
{
	for (uint32_t i = 0; i < l->s->space->knob[k].n; i++)
		if (l->s->space->knob[k].value[i] == value)
			return true;
	return false;
}

/* The allowed value next above (dir 1) or below (-1) v; UNSET: there is none. */
static int32_t neighbour(const struct list *l, enum wv_tune_knob k, int32_t v, int dir)
{
	int32_t found = WV_TUNE_UNSET;

	for (uint32_t i = 0; i < l->s->space->knob[k].n; i++) {
		int32_t x = l->s->space->knob[k].value[i];

		if (dir < 0 && x < v)
			found = x;
		if (dir > 0 && x > v)
			return x;
	}
	return found;
}

/* Proposes p, which removes `part` of the whole time. */
static void propose(struct list *l, struct wv_tune_point p, enum wv_gpu_bottleneck bound,
		    double part)
{
	double expected;

	if (!wv_tune_space_settle(l->s->space, &p) || wv_tune_point_equal(&p, l->s->best))
		return;
	if (l->s->unguarded && wv_tune_point_numbers(&l->s->space->start, &p) == WV_TUNE_CHANGES)
		return;
	switch (wv_tune_memory_fits(l->s->memory, &p)) {
	case WV_TUNE_FITS_NOT:
		return;
	case WV_TUNE_MAY_FIT:
		part *= 0.8;
		break;
	case WV_TUNE_FITS:
		break;
	}
	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++)
		if (p.value[k] != l->s->best->value[k] && k != WV_TUNE_ACCUMULATE)
			for (uint32_t i = 0; i < l->s->failed[k] && i < 4; i++)
				part *= 0.6;
	if (part > 0.95)
		part = 0.95;
	expected = part / (1 - part) * 1e6;
	if (expected < 1)
		return;
	for (unsigned i = 0; i < l->n; i++) {
		if (wv_tune_point_equal(&l->out[i].point, &p)) {
			/* helped by two causes: both count, as far as they are apart */
			l->out[i].expected_ppm += (uint32_t)expected / 2;
			return;
		}
	}
	if (l->n < l->room)
		l->out[l->n++] = (struct wv_tune_move){p, bound, (uint32_t)expected};
}

static void set(struct list *l, enum wv_tune_knob k, int32_t value, enum wv_gpu_bottleneck bound,
		double part)
{
	struct wv_tune_point p = *l->s->best;

	if (value == WV_TUNE_UNSET || !allowed(l, k, value))
		return;
	p.value[k] = value;
	propose(l, p, bound, part);
}

/* Switches on what costs nothing as far as anybody knows, where the space allows it. */
static void cheap_loader_knobs(struct list *l, struct wv_tune_point *p)
{
	if (allowed(l, WV_TUNE_PIN, 1))
		p->value[WV_TUNE_PIN] = 1;
	if (p->value[WV_TUNE_WORKERS] == 0)
		return; /* the others are of workers */
	if (allowed(l, WV_TUNE_PERSISTENT, 1))
		p->value[WV_TUNE_PERSISTENT] = 1;
	if (p->value[WV_TUNE_PREFETCH] < 4 && allowed(l, WV_TUNE_PREFETCH, 4))
		p->value[WV_TUNE_PREFETCH] = 4;
}

/*
 * Workers that keep up. A loader that is waited for works all the time: with a share f of waiting,
 * its w workers have to become w / (1 - f).
 */
static int32_t workers_needed(const struct list *l, double f, bool fetches)
{
	int32_t w = now(l, WV_TUNE_WORKERS), best = WV_TUNE_UNSET;
	uint32_t cap = l->s->space->cpus ? l->s->space->cpus * (fetches ? 2 : 1) : UINT32_MAX;
	double need = w <= 0 ? 4 : (double)w / (1 - (f < 0.9 ? f : 0.9)) * 1.1;

	for (uint32_t i = 0; i < l->s->space->knob[WV_TUNE_WORKERS].n; i++) {
		int32_t x = l->s->space->knob[WV_TUNE_WORKERS].value[i];

		if ((uint32_t)x > cap && best != WV_TUNE_UNSET)
			break;
		best = x;
		if ((double)x >= need)
			break;
	}
	return best > w ? best : WV_TUNE_UNSET;
}

static void input_moves(struct list *l)
{
	const uint64_t *in = l->s->shares->input_ns;
	double all = (double)(in[WV_GPU_INPUT_PREP] + in[WV_GPU_INPUT_FETCH] +
			      in[WV_GPU_INPUT_STARVED] + in[WV_GPU_INPUT_OTHER]);
	bool fetches = all > 0 && (double)in[WV_GPU_INPUT_FETCH] > 0.5 * all;
	bool starved = all > 0 && (double)in[WV_GPU_INPUT_STARVED] > 0.5 * all;
	double f = share(l, WV_GPU_BOUND_INPUT), cpu = share(l, WV_GPU_BOUND_CPU);
	int32_t w = now(l, WV_TUNE_WORKERS), target;
	struct wv_tune_point p = *l->s->best;

	/* in the training thread, loading cannot be told from the thread's other work */
	if (w <= 0 && l->s->shares->window)
		f += 0.5 * (double)l->s->shares->cause_ns[WV_GPU_CAUSE_HOST] /
		     (double)l->s->shares->window;
	target = workers_needed(l, f, fetches);
	if (target != WV_TUNE_UNSET) {
		double part = f * (starved ? 0.2 : 0.9);

		set(l, WV_TUNE_WORKERS, target, WV_GPU_BOUND_INPUT, part * 0.9);
		p.value[WV_TUNE_WORKERS] = target;
		cheap_loader_knobs(l, &p);
		propose(l, p, WV_GPU_BOUND_INPUT, part);
	}
	set(l, WV_TUNE_WORKERS, neighbour(l, WV_TUNE_WORKERS, w, 1), WV_GPU_BOUND_INPUT,
	    f * (starved ? 0.1 : 0.45));
	set(l, WV_TUNE_WORKERS, neighbour(l, WV_TUNE_WORKERS, w, -1), WV_GPU_BOUND_CPU,
	    f * (starved ? 0.5 : 0.1) + cpu * 0.5);
	if (now(l, WV_TUNE_CACHE) <= WV_TUNE_CACHE_OFF) {
		/* both skip fetching; the memory skips preparing, too, if that is what is kept */
		set(l, WV_TUNE_CACHE, WV_TUNE_CACHE_RAM, WV_GPU_BOUND_INPUT,
		    f * (fetches ? 0.85 : 0.6) + cpu * 0.3);
		set(l, WV_TUNE_CACHE, WV_TUNE_CACHE_SSD, WV_GPU_BOUND_INPUT,
		    f * (fetches ? 0.6 : 0.3) + cpu * 0.2);
	} else {
		set(l, WV_TUNE_CACHE, WV_TUNE_CACHE_OFF, WV_GPU_BOUND_INPUT, f * 0.1);
		set(l, WV_TUNE_CACHE, now(l, WV_TUNE_CACHE) == WV_TUNE_CACHE_RAM ? 2 : 1,
		    WV_GPU_BOUND_INPUT, f * 0.3);
	}
	set(l, WV_TUNE_PREFETCH, neighbour(l, WV_TUNE_PREFETCH, now(l, WV_TUNE_PREFETCH), 1),
	    WV_GPU_BOUND_INPUT, f * 0.2);
	p = *l->s->best;
	cheap_loader_knobs(l, &p);
	propose(l, p, WV_GPU_BOUND_INPUT, f * 0.3 + share(l, WV_GPU_BOUND_COPY) * 0.5);
	set(l, WV_TUNE_PIN, 1, WV_GPU_BOUND_COPY, f * 0.05 + share(l, WV_GPU_BOUND_COPY) * 0.45);
}

/* The largest micro batch that fits with the other knobs of p; 0: none above `least`. */
static int32_t largest_micro(const struct list *l, struct wv_tune_point p, int32_t least,
			     enum wv_tune_fit worst)
{
	for (uint32_t i = l->s->space->knob[WV_TUNE_MICRO].n; i-- > 0;) {
		int32_t m = l->s->space->knob[WV_TUNE_MICRO].value[i];

		if (m <= least)
			break;
		p.value[WV_TUNE_MICRO] = m;
		if (wv_tune_memory_fits(l->s->memory, &p) <= worst)
			return m;
	}
	return 0;
}

/*
 * What is lost once a micro batch shrinks with their number: launches wholly, the emptiness of
 * small kernels in part.
 */
static double of_larger_micro(const struct list *l, int32_t from, int32_t to)
{
	double fewer = to > 0 ? 1 - (double)from / (double)to : 0;

	return fewer * (0.9 * share(l, WV_GPU_BOUND_LAUNCH) + 0.5 * share(l, WV_GPU_BOUND_SYNC) +
			0.3 * share(l, WV_GPU_BOUND_COMMS) + 0.1 * share(l, WV_GPU_BOUND_COMPUTE));
}

/* Gives memory back (a step of one knob) and fills it with a larger micro batch. */
static void trade(struct list *l, enum wv_tune_knob k, int32_t value, double cost)
{
	struct wv_tune_point p = *l->s->best;
	int32_t m = now(l, WV_TUNE_MICRO), to;
	double part;

	if (value == WV_TUNE_UNSET || value <= p.value[k] || !allowed(l, k, value))
		return;
	p.value[k] = value;
	to = largest_micro(l, p, m, WV_TUNE_FITS);
	/* bounds are wide before the first trial: two steps up, or one */
	for (int32_t up = neighbour(l, WV_TUNE_MICRO, m, 1), n = 0;
	     n < 2 && up != WV_TUNE_UNSET && to <= up; n++) {
		p.value[WV_TUNE_MICRO] = up;
		if (wv_tune_memory_fits(l->s->memory, &p) != WV_TUNE_FITS_NOT)
			to = up;
		up = neighbour(l, WV_TUNE_MICRO, up, 1);
	}
	if (to == 0)
		return;
	p.value[WV_TUNE_MICRO] = to;
	/* what it costs is a guess, and the best trade of some trainings is one that seems too dear
	 */
	part = of_larger_micro(l, m, to);
	propose(l, p, WV_GPU_BOUND_LAUNCH, part - cost > part / 4 ? part - cost : part / 4);
}

/* p as it is; and, where that may not fit, the next smaller micro batch that may. */
static void shrink_to_fit(struct list *l, struct wv_tune_point p, double part)
{
	propose(l, p, WV_GPU_BOUND_COMPUTE, part);
	if (p.value[WV_TUNE_MICRO] == WV_TUNE_UNSET ||
	    wv_tune_memory_fits(l->s->memory, &p) == WV_TUNE_FITS)
		return;
	for (;;) {
		p.value[WV_TUNE_MICRO] = neighbour(l, WV_TUNE_MICRO, p.value[WV_TUNE_MICRO], -1);
		if (p.value[WV_TUNE_MICRO] == WV_TUNE_UNSET)
			return;
		if (wv_tune_memory_fits(l->s->memory, &p) != WV_TUNE_FITS_NOT)
			break;
	}
	propose(l, p, WV_GPU_BOUND_COMPUTE, part * 0.8);
}

/* Two ways to save memory, of which one may cost less than the other. */
static void swap(struct list *l, enum wv_tune_knob off, enum wv_tune_knob on, int32_t value)
{
	struct wv_tune_point p = *l->s->best;

	if (p.value[off] <= 0 || p.value[on] > 0 || !allowed(l, off, 0) || !allowed(l, on, value))
		return;
	p.value[off] = 0;
	p.value[on] = value;
	shrink_to_fit(l, p,
		      0.05 * share(l, WV_GPU_BOUND_COMPUTE) + 0.5 * share(l, WV_GPU_BOUND_COPY));
}

static void micro_moves(struct list *l)
{
	int32_t m = now(l, WV_TUNE_MICRO), to, up, down;
	double compute = share(l, WV_GPU_BOUND_COMPUTE);
	bool limited;

	if (m == WV_TUNE_UNSET || l->s->space->knob[WV_TUNE_MICRO].n == 0)
		return;
	up = neighbour(l, WV_TUNE_MICRO, m, 1);
	down = neighbour(l, WV_TUNE_MICRO, m, -1);
	/* without a limit, nothing fits for certain: up in steps of two values */
	to = largest_micro(l, *l->s->best, m, WV_TUNE_FITS);
	limited = to !=
		  l->s->space->knob[WV_TUNE_MICRO].value[l->s->space->knob[WV_TUNE_MICRO].n - 1];
	if (to == 0 && up != WV_TUNE_UNSET) {
		int32_t second = neighbour(l, WV_TUNE_MICRO, up, 1);

		set(l, WV_TUNE_MICRO, second, WV_GPU_BOUND_LAUNCH, of_larger_micro(l, m, second));
	}
	set(l, WV_TUNE_MICRO, to, WV_GPU_BOUND_LAUNCH, of_larger_micro(l, m, to));
	set(l, WV_TUNE_MICRO, up, WV_GPU_BOUND_LAUNCH, of_larger_micro(l, m, up) * 0.95);
	set(l, WV_TUNE_MICRO, down, WV_GPU_BOUND_COMPUTE, 0.025 * compute);
	swap(l, WV_TUNE_OFFLOAD, WV_TUNE_CHECKPOINTING, WV_TUNE_CKPT_SELECTIVE);
	swap(l, WV_TUNE_CHECKPOINTING, WV_TUNE_OFFLOAD, 1);
	if (!limited)
		return;
	trade(l, WV_TUNE_CHECKPOINTING, WV_TUNE_CKPT_SELECTIVE, 0.04 * compute);
	trade(l, WV_TUNE_CHECKPOINTING, WV_TUNE_CKPT_FULL, 0.2 * compute);
	trade(l, WV_TUNE_OFFLOAD, 1, 0.1 * compute);
	if (l->s->space->world > 1)
		trade(l, WV_TUNE_ZERO, neighbour(l, WV_TUNE_ZERO, now(l, WV_TUNE_ZERO), 1),
		      0.03 * compute);
}

static void compile_moves(struct list *l)
{
	double launch = share(l, WV_GPU_BOUND_LAUNCH) + 0.5 * share(l, WV_GPU_BOUND_SYNC);
	double compute = share(l, WV_GPU_BOUND_COMPUTE);

	if (now(l, WV_TUNE_COMPILE) <= WV_TUNE_COMPILE_OFF) {
		set(l, WV_TUNE_COMPILE, WV_TUNE_COMPILE_GRAPHS, WV_GPU_BOUND_LAUNCH,
		    0.8 * launch + 0.12 * compute);
		set(l, WV_TUNE_COMPILE, WV_TUNE_COMPILE_DEFAULT, WV_GPU_BOUND_LAUNCH,
		    0.5 * launch + 0.15 * compute);
	} else {
		bool graphs = now(l, WV_TUNE_COMPILE) == WV_TUNE_COMPILE_GRAPHS;

		set(l, WV_TUNE_COMPILE, graphs ? 1 : 2, WV_GPU_BOUND_LAUNCH,
		    graphs ? 0.02 : 0.6 * launch + 0.01);
		set(l, WV_TUNE_COMPILE, WV_TUNE_COMPILE_OFF, WV_GPU_BOUND_COMPUTE, 0.01);
	}
}

/* Less recomputation, with the micro batch as it is or as far as it then has to shrink. */
static void keep_more(struct list *l, enum wv_tune_knob k, int32_t value, double part)
{
	struct wv_tune_point p = *l->s->best;

	if (!allowed(l, k, value))
		return;
	p.value[k] = value;
	shrink_to_fit(l, p, part);
}

static void compute_moves(struct list *l)
{
	double compute = share(l, WV_GPU_BOUND_COMPUTE), copy = share(l, WV_GPU_BOUND_COPY);
	int32_t precision = now(l, WV_TUNE_PRECISION), ckpt = now(l, WV_TUNE_CHECKPOINTING);

	if (precision <= WV_TUNE_FP32) {
		set(l, WV_TUNE_PRECISION, WV_TUNE_BF16, WV_GPU_BOUND_COMPUTE,
		    0.45 * compute + 0.3 * copy);
		set(l, WV_TUNE_PRECISION, WV_TUNE_FP16, WV_GPU_BOUND_COMPUTE,
		    0.40 * compute + 0.3 * copy);
	} else {
		set(l, WV_TUNE_PRECISION, precision == WV_TUNE_BF16 ? 2 : 1, WV_GPU_BOUND_COMPUTE,
		    0.02 * compute);
	}
	if (ckpt == WV_TUNE_CKPT_FULL) {
		keep_more(l, WV_TUNE_CHECKPOINTING, WV_TUNE_CKPT_NONE, 0.22 * compute);
		keep_more(l, WV_TUNE_CHECKPOINTING, WV_TUNE_CKPT_SELECTIVE, 0.18 * compute);
	} else if (ckpt == WV_TUNE_CKPT_SELECTIVE) {
		keep_more(l, WV_TUNE_CHECKPOINTING, WV_TUNE_CKPT_NONE, 0.06 * compute);
	}
	if (now(l, WV_TUNE_OFFLOAD) == 1)
		keep_more(l, WV_TUNE_OFFLOAD, 0, 0.05 * compute + 0.9 * copy);
}

static void comms_moves(struct list *l)
{
	double f = share(l, WV_GPU_BOUND_COMMS);
	int32_t zero = now(l, WV_TUNE_ZERO), bucket = now(l, WV_TUNE_BUCKET);
	struct wv_tune_point p = *l->s->best;

	if (l->s->space->world < 2)
		return;
	if (now(l, WV_TUNE_OVERLAP) != 1)
		set(l, WV_TUNE_OVERLAP, 1, WV_GPU_BOUND_COMMS, 0.7 * f);
	set(l, WV_TUNE_BUCKET, neighbour(l, WV_TUNE_BUCKET, bucket, 1), WV_GPU_BOUND_COMMS,
	    0.3 * f);
	set(l, WV_TUNE_BUCKET, neighbour(l, WV_TUNE_BUCKET, bucket, -1), WV_GPU_BOUND_COMMS,
	    0.2 * f);
	for (int32_t z = zero - 1; zero > 0 && z >= 0; z--)
		set(l, WV_TUNE_ZERO, z, WV_GPU_BOUND_COMMS,
		    (zero == 3 ? 0.35 : 0.1) * f + 0.01 - 0.002 * (double)(zero - z));
	if (now(l, WV_TUNE_OVERLAP) == 1 || !allowed(l, WV_TUNE_OVERLAP, 1))
		return;
	p.value[WV_TUNE_OVERLAP] = 1;
	p.value[WV_TUNE_BUCKET] = neighbour(l, WV_TUNE_BUCKET, bucket, 1);
	if (p.value[WV_TUNE_BUCKET] != WV_TUNE_UNSET)
		propose(l, p, WV_GPU_BOUND_COMMS, 0.65 * f);
}

static int by_expected(const void *a, const void *b)
{
	const struct wv_tune_move *x = a, *y = b;
	uint64_t hx, hy;

	if (x->expected_ppm != y->expected_ppm)
		return x->expected_ppm < y->expected_ppm ? 1 : -1;
	/* qsort is not stable: the order must not hang on the C library */
	hx = wv_tune_point_hash(&x->point);
	hy = wv_tune_point_hash(&y->point);
	return hx < hy ? -1 : hx > hy;
}

unsigned wv_tune_moves(const struct wv_tune_sight *s, struct wv_tune_move *out, unsigned room)
{
	struct list l = {s, out, 0, room};

	input_moves(&l);
	micro_moves(&l);
	compile_moves(&l);
	compute_moves(&l);
	comms_moves(&l);
	qsort(out, l.n, sizeof(out[0]), by_expected);
	return l.n;
}
