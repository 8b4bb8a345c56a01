/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a changed training is still the same one: its losses against those of the start with
 * other seeds. A step that is fast because it learns nothing is no gain. Pure.
 *
 * It says that losses of the first steps lie where the start's own would lie, not that the end of a
 * long training is the same: no short trial can say that.
 */
#ifndef WV_TUNE_GUARD_H
#define WV_TUNE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wv_tune_losses {
	const float *loss; /* NAN: not told for this step */
	size_t n;
};

/* What the guard saw. */
struct wv_tune_band {
	double low, high;     /* mean losses of the last half that are still the same training */
	double of_a, of_b;    /* means over the segments */
	double difference;    /* mean of B - A with the same seed ... */
	double difference_ci; /* ... and its 95 % half-width, by Student's t */
	size_t steps;	      /* of a segment, that were compared */
	bool known;	      /* false: too few losses were told */
	bool same;
};

/*
 * One trial against the start's first, with the same seed: catches what is plainly wrong (not
 * finite, or farther off than the start itself moves). Too few losses: true.
 */
bool wv_tune_guard_plausible(const struct wv_tune_losses *start,
			     const struct wv_tune_losses *tried);

/* n >= 3 segments an arm, the i-th of both with one seed. */
void wv_tune_guard_compare(const struct wv_tune_losses *a, const struct wv_tune_losses *b, size_t n,
			   struct wv_tune_band *ret);

#endif
