/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The file that a training process writes of its steps (WAVEOS_TUNE_STEPS), one JSON object a line.
 * Whoever wrote it is not believed: lengths, counts and numbers are bounded, times must go forward,
 * and the last line may be torn. Pure.
 */
#ifndef WV_TUNE_STEPS_H
#define WV_TUNE_STEPS_H

#include "gpu/tune/engine.h"

#define WV_TUNE_STEPS_FILE_MAX (4U << 20) /* bytes that are read */
#define WV_TUNE_STEP_LINE_MAX 4096
/* A step longer than this is a clock gone wrong. */
#define WV_TUNE_STEP_NS_MAX 3600000000000ULL

struct wv_tune_steps {
	uint32_t n;
	uint64_t number[WV_TUNE_STEPS]; /* as the program counts, growing */
	uint64_t begin[WV_TUNE_STEPS];	/* CLOCK_MONOTONIC; the end of the step before, or later */
	uint64_t end[WV_TUNE_STEPS];
	/* From the end of the step before, so that nothing between two steps is left out. */
	uint64_t step_ns[WV_TUNE_STEPS];
	uint64_t wait_ns[WV_TUNE_STEPS]; /* of step_ns, waited for the loader; 0 if not told */
	double samples[WV_TUNE_STEPS], tokens[WV_TUNE_STEPS]; /* NAN: not told */
	float loss[WV_TUNE_STEPS];			      /* NAN: not told, or not a number */
	bool losses, waits;				      /* told in any step */
	bool hello, oom;
	uint32_t more;	     /* steps that found no room */
	uint64_t peak_bytes; /* the largest; 0: not told */
	int32_t tid;	     /* of the thread that trains; 0: not told */
	char torch[32];
	uint32_t ignored_knobs; /* bits, of the newest hello */
	char ignored[256];	/* knobs that the program could not set, "name: why; ..." */
	char why[WV_TUNE_TEXT]; /* "", or what is wrong with the first line that is */
};

/* 0; -EBADMSG: a whole line is wrong, ret->why says which; what stands before it is in *ret. */
int wv_tune_steps_parse(const char *text, size_t len, struct wv_tune_steps *ret);
/* The series of an outcome: n_steps, step_ns, loss, losses, peak_bytes. */
void wv_tune_steps_outcome(const struct wv_tune_steps *s, struct wv_tune_outcome *ret);

#endif
