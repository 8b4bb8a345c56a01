/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a diagnosis to candidates: which points are worth a trial, and what each is expected to
 * gain. A knob is touched only as far as the share of the time that it can move is worth it. The
 * rules and their assumptions stand in moves.c; trials, not assumptions, decide. Pure.
 */
#ifndef WV_TUNE_MOVES_H
#define WV_TUNE_MOVES_H

#include "gpu/tune/engine.h"
#include "gpu/tune/memory.h"

#define WV_TUNE_MOVES 64

struct wv_tune_move {
	struct wv_tune_point point;
	enum wv_gpu_bottleneck bound; /* that it is to relieve */
	uint32_t expected_ppm;	      /* gain of throughput */
};

struct wv_tune_sight {
	const struct wv_tune_space *space;
	const struct wv_tune_memory_model *memory;
	const struct wv_tune_shares *shares; /* of the best point */
	const struct wv_tune_point *best;
	uint32_t failed[WV_TUNE_KNOB_N]; /* times that turning this knob did not help of late */
	bool unguarded; /* nothing that CHANGES numbers, relative to the start, is allowed */
};

/* Candidates, the best expected first; at most `room` <= WV_TUNE_MOVES. */
unsigned wv_tune_moves(const struct wv_tune_sight *s, struct wv_tune_move *out, unsigned room);

#endif
