/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The length of a training step from what repeats, where the program does not tell its steps: by
 * autocorrelation of how busy a device was, or by how well a sequence of names matches itself when
 * it is moved. Pure: no clock, no allocation.
 */
#ifndef WV_GPU_PERIOD_H
#define WV_GPU_PERIOD_H

#include <stddef.h>
#include <stdint.h>

#define WV_PERIOD_MAX 4096 /* samples that are looked at, the newest ones */

struct wv_period {
	double length;	   /* in samples, between them too; 0: none */
	double confidence; /* 0 to 1: how much of the series it explains, beyond chance */
};

/*
 * Of n samples, oldest first, at equal distances. Periods of 4 samples up to a third of the series
 * are found. A series that is constant, noise or drifts has none. O(n * n / 6).
 */
struct wv_period wv_period_of_samples(const float *sample, size_t n);
/* Of a sequence of names' hashes: the length is a number of names. */
struct wv_period wv_period_of_names(const uint32_t *hash, size_t n);

#endif
