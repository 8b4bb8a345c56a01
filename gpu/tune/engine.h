/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tuner's mind: it says which trial comes next and is told what came of it. Pure: no I/O, no
 * clock, no random numbers but those of its seed, so that the same answers give the same questions.
 * Resuming is telling it the log again (wv_tune_replay). Memory is bounded and taken once.
 *
 * One trial is one process that runs `steps` steps of the training with the knobs of `point` and
 * then ends. A step is one step of the optimizer: one global batch, however it is cut.
 *
 *	wv_tune_new(); while (wv_tune_next(t, &trial) > 0) { run it; wv_tune_told(t, &outcome); }
 *	wv_tune_result(t, &result);
 */
#ifndef WV_TUNE_ENGINE_H
#define WV_TUNE_ENGINE_H

#include "gpu/tune/knobs.h"
#include "user/flow/gpu.h"

#define WV_TUNE_STEPS 512 /* durations of a trial, at most */
#define WV_TUNE_RUNS 64	  /* trials of a tuning, at most */
#define WV_TUNE_TEXT 160

/* Row: (ID, name, what it is) */
#define WV_TUNE_PURPOSES(X)                                                                        \
	X(BASELINE, "baseline", "the start, to diagnose it")                                       \
	X(PROBE, "probe", "a candidate for the first time")                                        \
	X(RUNG, "rung", "a candidate again and longer: not decided yet")                           \
	X(CONFIRM_A, "confirm-a", "the start, against the best candidate")                         \
	X(CONFIRM_B, "confirm-b", "the best candidate, against the start")

enum wv_tune_purpose {
#define X(id, name, doc) WV_TUNE_##id,
	WV_TUNE_PURPOSES(X)
#undef X
		WV_TUNE_PURPOSE_N
};
extern const char *const wv_tune_purpose_names[WV_TUNE_PURPOSE_N];

struct wv_tune_trial {
	uint32_t id; /* 0, 1, ...: the place in the log */
	enum wv_tune_purpose purpose;
	uint32_t pair;	/* of a confirmation: A and B of one pair have one seed, and are compared */
	uint32_t steps; /* to run in all, warm-up included; <= WV_TUNE_STEPS */
	uint32_t warmup;     /* of them, what is left out at least; more if they are unsteady */
	uint64_t seed;	     /* of the training: WAVEOS_TUNE_SEED */
	uint64_t timeout_ns; /* the runner ends it then (status TIMEOUT): budget or far too slow */
	struct wv_tune_point point;
	char reason[WV_TUNE_TEXT]; /* why it is tried, for people */
};

#define WV_TUNE_STATUSES(X)                                                                        \
	X(OK, "ok", "it ran to its end")                                                           \
	X(OOM, "oom", "out of memory, of device or host")                                          \
	X(DIVERGED, "diverged", "its losses are not those of the same training")                   \
	X(FAILED, "failed", "the process failed in another way")                                   \
	X(TIMEOUT, "timeout", "it was ended")

enum wv_tune_status {
#define X(id, name, doc) WV_TUNE_##id,
	WV_TUNE_STATUSES(X)
#undef X
		WV_TUNE_STATUS_N
};
extern const char *const wv_tune_status_names[WV_TUNE_STATUS_N];

/*
 * Where the time of the measured steps went. window: of the device, or, where no device tells
 * (device false), of the training thread; then kernel, exposed and memory are 0 and HOST holds its
 * computation. kernel + exposed + memory + sum of cause_ns = window. window 0: not known.
 */
struct wv_tune_shares {
	bool device;
	uint64_t window, kernel, exposed, memory;
	uint64_t cause_ns[WV_GPU_CAUSE_N], input_ns[WV_GPU_INPUT_N];
};

struct wv_tune_outcome {
	enum wv_tune_status
		status;	  /* runner: OK, OOM, FAILED, TIMEOUT; the engine finds DIVERGED */
	uint32_t n_steps; /* also of a trial that failed: what it did */
	uint64_t step_ns[WV_TUNE_STEPS]; /* in order, warm-up included */
	float loss[WV_TUNE_STEPS];	 /* of the same steps; NAN where the program told none... */
	bool losses;			 /* ... and false if it told none at all */
	uint64_t peak_bytes;		 /* of device memory; 0: not known */
	uint64_t elapsed_ns;		 /* whole trial: start and end of the process included */
	uint32_t ignored; /* bits of knobs that the program did not turn: not tried again */
	struct wv_tune_shares shares;
};

struct wv_tune_limits {
	uint32_t trials;	       /* that search: baseline, probes, rungs */
	uint32_t runs;		       /* and confirmations: all processes */
	uint64_t budget_ns;	       /* for all of it; 0: no limit */
	uint32_t rung_steps[3];	       /* measured steps of probe, first and second rung */
	uint32_t warmup_steps;	       /* before them */
	uint32_t confirm_steps;	       /* measured steps of one segment */
	uint32_t pairs_min, pairs_max; /* segments an arm; 3 <= min <= max */
	uint32_t gain_ppm;	       /* what the lower bound has to exceed: 10000 is 1 % */
	uint32_t memory_permille;      /* of the limit that may be used: 920 */
	bool guard;		       /* compare losses; false: the user vouches for all knobs */
	uint64_t seed;
};

/* Defaults; each constant has its reason in engine.c. */
struct wv_tune_limits wv_tune_limits_default(void);

struct wv_tune;
/*
 * space: closed (wv_tune_space_close); both are copied. Owned by the caller: wv_tune_free.
 * NULL: no memory, or limits that make no sense (errno ENOMEM, EINVAL).
 */
struct wv_tune *wv_tune_new(const struct wv_tune_space *space, const struct wv_tune_limits *limits);
void wv_tune_free(struct wv_tune *t);

/*
 * The next trial: 1. 0: finished. The same one again until it was told of.
 */
int wv_tune_next(struct wv_tune *t, struct wv_tune_trial *ret);
/* What came of the trial that next gave. -EINVAL: none is out, or numbers that make no sense. */
int wv_tune_told(struct wv_tune *t, const struct wv_tune_outcome *outcome);
/*
 * Tells a whole log. -ESTALE: it is of another space, other limits or another version: the trial at
 * *ret_at is not the one that this tuner asks for. ret_at may be NULL.
 */
int wv_tune_replay(struct wv_tune *t, const struct wv_tune_trial *trials,
		   const struct wv_tune_outcome *outcomes, size_t n, size_t *ret_at);

enum wv_tune_guard {
	WV_TUNE_GUARD_EXACT,	  /* nothing was changed that touches numbers */
	WV_TUNE_GUARD_EQUIVALENT, /* losses lie within the band of the start's own */
	WV_TUNE_GUARD_DIVERGED,
	WV_TUNE_GUARD_UNKNOWN, /* no losses were told: only exact and rounding knobs were tried */
	WV_TUNE_GUARD_OFF,
};
extern const char *const wv_tune_guard_names[];

enum wv_tune_end {
	WV_TUNE_RUNNING,
	WV_TUNE_IMPROVED,    /* point is better than the start: proved */
	WV_TUNE_KEPT,	     /* nothing was found that is better for certain: point is the start */
	WV_TUNE_NO_BASELINE, /* the start itself does not run */
};
extern const char *const wv_tune_end_names[];

struct wv_tune_result {
	enum wv_tune_end end;
	struct wv_tune_point point;
	/* gain of throughput of the best candidate over the start: 0.5 is 1.5 times as fast */
	double gain, gain_low, gain_high; /* 95 % interval; all 0 if nothing was confirmed */
	uint32_t pairs;			  /* that it rests on */
	enum wv_tune_guard guard;
	enum wv_gpu_bottleneck was, is; /* of the start, of the point */
	uint32_t trials, runs;
	uint64_t elapsed_ns;
	char why[WV_TUNE_TEXT];	       /* it ended */
	char guard_text[WV_TUNE_TEXT]; /* what was compared, and how near */
};

void wv_tune_result(const struct wv_tune *t, struct wv_tune_result *ret);
/* The best point so far and its mean step as far as it was measured (0: not yet). */
void wv_tune_best(const struct wv_tune *t, struct wv_tune_point *ret, uint64_t *ret_step_ns);

/* Of shares; also for what is shown. Parts in 1e6 of the window that a bottleneck accounts for. */
uint32_t wv_tune_share_ppm(const struct wv_tune_shares *s, enum wv_gpu_bottleneck bound);
/* The largest of them, COMPUTE if none is worth it, NONE if nothing is known. */
enum wv_gpu_bottleneck wv_tune_bound(const struct wv_tune_shares *s);

#endif
