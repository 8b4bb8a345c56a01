// SPDX-License-Identifier: GPL-2.0-only
#include "gpu/tune/parallel.h"

#include <errno.h>
#include <math.h>

#include "user/core/cleanup.h"

/* The mean of the largest of n standard normal values (order statistics; any table). */
static double slowest_of(uint32_t n)
{
	static const double of_power[] = {0,	  0.5642, 1.0294, 1.4236, 1.7660,
					  2.0697, 2.3437, 2.5946, 2.8263};
	double power = log2((double)n);
	unsigned at = (unsigned)power, last = (unsigned)ARRAY_SIZE(of_power) - 1;

	if (at >= last)
		return of_power[last];
	return of_power[at] + (power - at) * (of_power[at + 1] - of_power[at]);
}

/* Seconds for `bytes` around the ring once; an all-reduce takes two rounds. */
static double once_around(const struct wv_tune_parallel *p, double bytes)
{
	double n = p->devices;

	return (n - 1) * (double)p->latency_ns + (n - 1) / n * bytes / (double)p->bytes_per_s * 1e9;
}

static bool sensible(const struct wv_tune_parallel *p)
{
	if (p->devices == 0 || p->accumulate == 0 || p->n_gradients > WV_TUNE_GRADIENTS ||
	    p->bucket_bytes == 0 || p->contention_permille >= 1000 ||
	    p->forward_ns + p->backward_ns == 0)
		return false;
	if (p->devices > 1 && (p->bytes_per_s == 0 || p->n_gradients == 0))
		return false;
	for (uint32_t i = 0; i < p->n_gradients; i++)
		if (p->gradient[i].ready_ns > p->backward_ns ||
		    (i && p->gradient[i].ready_ns < p->gradient[i - 1].ready_ns))
			return false;
	return true;
}

struct flow {
	double now;	/* computing thread's clock, since the backward pass began */
	double done;	/* work of that pass that is done, in ns of one device alone */
	double free_at; /* the link */
	double slow;	/* speed of computation while the link is busy */
	double busy;
};

/* Computes until `work` is done. */
static void compute_until(struct flow *f, double work)
{
	double left = work - f->done;

	if (f->free_at > f->now) {
		double slow = fmin(left / f->slow, f->free_at - f->now);

		f->now += slow;
		left -= slow * f->slow;
	}
	if (left > 0)
		f->now += left;
	f->done = work;
}

static void send(struct flow *f, double ns)
{
	double begin = fmax(f->free_at, f->now);

	f->free_at = begin + ns;
	f->busy += ns;
}

int wv_tune_parallel(const struct wv_tune_parallel *p, struct wv_tune_parallel_step *ret)
{
	double alone, before, compute, after = 0, bytes = 0, filled = 0, rounds, step, wait;
	double optimizer = (double)p->optimizer_ns;
	struct flow f = {.slow = 1 - p->contention_permille / 1000.0};
	uint32_t buckets = 0;

	if (p->zero > 2)
		return -EOPNOTSUPP;
	if (!sensible(p))
		return -EINVAL;
	before = (double)p->forward_ns * p->accumulate +
		 (double)p->backward_ns * (p->accumulate - 1) + (double)p->other_ns;
	alone = before + (double)p->backward_ns + optimizer;
	/* stages 1 and 2: reduced to where the state lies, and given back after the optimizer */
	rounds = p->zero ? 1 : 2;
	for (uint32_t i = 0; i < p->n_gradients && p->devices > 1; i++) {
		filled += (double)p->gradient[i].bytes;
		bytes += (double)p->gradient[i].bytes;
		if (filled < (double)p->bucket_bytes && i + 1 < p->n_gradients)
			continue;
		compute_until(&f, p->overlap ? (double)p->gradient[i].ready_ns
					     : (double)p->backward_ns);
		send(&f, rounds * once_around(p, filled));
		filled = 0;
		buckets++;
	}
	compute_until(&f, (double)p->backward_ns);
	compute = before + f.now;
	/* the optimizer needs the last bucket */
	after = fmax(f.free_at - f.now, 0);
	if (p->zero && p->devices > 1) {
		double given = (double)buckets * once_around(p, bytes / (buckets ? buckets : 1));

		optimizer /= p->devices;
		f.busy += given;
		after += given;
	}
	compute += optimizer;
	wait = compute * p->spread_permille / 1000.0 * slowest_of(p->devices);
	step = compute + after + wait;
	*ret = (struct wv_tune_parallel_step){
		.compute_ns = (uint64_t)compute,
		.comms_ns = (uint64_t)f.busy,
		.exposed_ns = (uint64_t)after,
		.wait_ns = (uint64_t)wait,
		.buckets = buckets,
		.efficiency = alone / step,
	};
	ret->step_ns = ret->compute_ns + ret->exposed_ns + ret->wait_ns;
	return 0;
}

int wv_tune_parallel_bucket(const struct wv_tune_parallel *p, const uint32_t *mb, unsigned n,
			    uint32_t *ret_mb, struct wv_tune_parallel_step *ret)
{
	struct wv_tune_parallel_step best = {0};
	struct wv_tune_parallel asked = *p;
	uint32_t best_mb = 0;

	if (n == 0)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++) {
		struct wv_tune_parallel_step step;
		int r;

		asked.bucket_bytes = mb[i] * 1000000ULL;
		r = wv_tune_parallel(&asked, &step);
		if (r < 0)
			return r;
		if (best_mb == 0 || step.step_ns < best.step_ns ||
		    (step.step_ns == best.step_ns && mb[i] < best_mb)) {
			best = step;
			best_mb = mb[i];
		}
	}
	*ret_mb = best_mb;
	*ret = best;
	return 0;
}
