/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a step would take on n devices, from what was measured on one: a simulator of data-parallel
 * training. Pure. Its answer is a model's, never a measurement, and is to be shown as one; calling
 * it with the least and the most that the link may do gives bounds.
 *
 * What it knows: gradients that become ready during the backward pass, buckets, one link that sends
 * a bucket at a time (ring: a + b * bytes), computation that is slower while it sends, an optimizer
 * whose state is split, and devices that wait for the slowest.
 * What it does not know: tensor, pipeline and expert parallelism, ZeRO stage 3, links of different
 * speed, other jobs on them, loaders of n processes on one host's CPUs, changes of protocol with
 * the size of a message.
 */
#ifndef WV_TUNE_PARALLEL_H
#define WV_TUNE_PARALLEL_H

#include <stdbool.h>
#include <stdint.h>

#define WV_TUNE_GRADIENTS 512

struct wv_tune_parallel {
	/* measured on one device, nanoseconds */
	uint64_t forward_ns, backward_ns; /* of one micro batch */
	uint64_t optimizer_ns;		  /* of a step */
	uint64_t other_ns;	  /* of a step: waiting for input and all that is not shared */
	uint32_t accumulate;	  /* micro batches a step, >= 1; gradients are sent in the last */
	uint32_t spread_permille; /* standard deviation of a step, of its median */
	uint32_t n_gradients;	  /* in the order in which they become ready */
	struct {
		uint64_t bytes;
		uint64_t ready_ns; /* since the begin of a backward pass; ascending, <= backward_ns
				    */
	} gradient[WV_TUNE_GRADIENTS];
	/* of the link, between two devices */
	uint64_t latency_ns, bytes_per_s; /* published or measured, as the caller says */
	uint32_t contention_permille;	  /* computation is slower by so much while it sends */
	/* what is asked */
	uint32_t devices;
	uint64_t bucket_bytes;
	bool overlap;
	uint32_t zero; /* 0, 1, 2 */
};

struct wv_tune_parallel_step {
	uint64_t step_ns;
	uint64_t compute_ns; /* computation and other_ns, contention and the optimizer included */
	uint64_t comms_ns;   /* the link was busy */
	uint64_t exposed_ns; /* of it, nothing was computed */
	uint64_t wait_ns;    /* for the slowest device */
	uint32_t buckets;
	double efficiency; /* of n devices over n times one device; 1 is all of it */
};

/*
 * step = compute + exposed + wait. -EINVAL: input that makes no sense; -EOPNOTSUPP: ZeRO stage 3;
 * *ret is then untouched.
 */
int wv_tune_parallel(const struct wv_tune_parallel *p, struct wv_tune_parallel_step *ret);
/* The bucket of those, MB of 1e6 bytes, whose step is the shortest; the smaller of two equal ones.
 */
int wv_tune_parallel_bucket(const struct wv_tune_parallel *p, const uint32_t *mb, unsigned n,
			    uint32_t *ret_mb, struct wv_tune_parallel_step *ret);

#endif
