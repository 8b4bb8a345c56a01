/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is kept of a trial, and what follows from it. `planned` is the engine's question, `run` is
 * what the operating system told of the process; with the process's own steps the outcome follows
 * from them alone, so that whoever has the folder can work it out again.
 */
#ifndef WV_TUNE_RECORD_H
#define WV_TUNE_RECORD_H

#include <json-c/json.h>

#include "gpu/tune/engine.h"
#include "gpu/tune/steps.h"
#include "user/gpu/trial.h"
#include "user/tune/where.h"

struct wv_tune_exit {
	bool started; /* false: there was no process; why is error */
	int error;    /* negative errno */
	int exit_code, signal;
	bool timed_out, held;
	uint64_t oom_kills, host_peak_bytes, elapsed_ns;
	uint64_t power_mw; /* mean of all devices together; 0: not measured */
};

/* Objects belong to the caller (json_object_put); NULL: no memory. */
struct json_object *wv_tune_trial_json(const struct wv_tune_trial *t);
struct json_object *wv_tune_exit_json(const struct wv_tune_exit *r);
/* Knobs that are set, for WAVEOS_TUNE_KNOBS; cache_dir "": none. */
struct json_object *wv_tune_point_json(const struct wv_tune_point *p, const char *cache_dir);
/* 0, or -EBADMSG: something is missing or of another kind. ret is untouched then. */
int wv_tune_trial_read(struct json_object *o, struct wv_tune_trial *ret);
int wv_tune_exit_read(struct json_object *o, struct wv_tune_exit *ret);

/*
 * What the engine is told. where (MAY be NULL): the text of the file of where.h. templated: bits of
 * knobs that the command or its environment names, and the program therefore does not ignore,
 * whatever the Python package says. A process that ended well, but told no step after the warm-up,
 * failed. ret_why: for people, why it is not OK; "" if it is.
 */
void wv_tune_outcome_of(const struct wv_tune_trial *t, const struct wv_tune_exit *r,
			const struct wv_tune_steps *s, const char *where, size_t where_len,
			uint32_t templated, struct wv_tune_outcome *ret,
			char ret_why[WV_TUNE_TEXT]);
/* Samples (tokens) a second of the measured steps; 0: not told. */
double wv_tune_throughput(const struct wv_tune_trial *t, const struct wv_tune_steps *s,
			  bool tokens);

#endif
