/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How much of a device's memory a point will need: peak = a + b * micro batch. a is weights, their
 * gradients and the optimizer's state; b the activations of a sample, which checkpointing, offload
 * and precision make smaller. Learned from the peaks of trials and from where one was out of
 * memory; what was not seen yet is bounded by assumptions that stand in memory.c. Pure.
 */
#ifndef WV_TUNE_MEMORY_H
#define WV_TUNE_MEMORY_H

#include "gpu/tune/knobs.h"

#define WV_TUNE_PEAKS 32

struct wv_tune_memory_model {
	uint64_t limit_bytes; /* what may be used, the margin taken off; 0: not known */
	uint32_t n;
	struct {
		struct wv_tune_point point;
		uint64_t peak_bytes; /* 0: out of memory */
	} seen[WV_TUNE_PEAKS];
};

enum wv_tune_fit {
	WV_TUNE_FITS,	  /* for certain, as far as the model goes */
	WV_TUNE_MAY_FIT,  /* within the bounds of what was not seen yet */
	WV_TUNE_FITS_NOT, /* for certain */
};

/* permille of the limit are usable. */
void wv_tune_memory_init(struct wv_tune_memory_model *m, uint64_t limit_bytes, uint32_t permille);
/* peak 0 of a trial that was out of memory; else what it used. The newest WV_TUNE_PEAKS are kept.
 */
void wv_tune_memory_saw(struct wv_tune_memory_model *m, const struct wv_tune_point *p,
			uint64_t peak_bytes);
/* Bounds of the peak, bytes. -ENODATA: nothing was seen that tells of it. */
int wv_tune_memory_predict(const struct wv_tune_memory_model *m, const struct wv_tune_point *p,
			   double *ret_low, double *ret_high);
enum wv_tune_fit wv_tune_memory_fits(const struct wv_tune_memory_model *m,
				     const struct wv_tune_point *p);

#endif
