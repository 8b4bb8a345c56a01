/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A tuning's specification, as its owner writes it (docs/gpu-tune-spec.md): what is kept, which
 * knobs may be turned and how far, and what it may cost. Keys are rows of gpu/tune/spec.def and
 * gpu/tune/knobs.def. Pure but for the count of CPUs, which the caller gives.
 */
#ifndef WV_TUNE_SPEC_H
#define WV_TUNE_SPEC_H

#include "gpu/tune/engine.h"
#include "user/core/arena.h"
#include "user/core/config.h"
#include "user/flow/policy.h"

#define WV_TUNE_SPEC_MAX (1U << 20)
#define WV_TUNE_ENVIRONMENT 64

enum wv_tune_metric { WV_TUNE_SAMPLES, WV_TUNE_TOKENS };

struct wv_tune_spec {
	char name[64];
	uint64_t global_batch, world, cpus; /* 0: not given */
	int metric;			    /* enum wv_tune_metric */
	struct wv_strings arguments, data;  /* templates; paths */
	char cache_dir[256];		    /* "": not given */

	uint64_t budget_ns, trials, timeout_ns;
	uint64_t device_memory, host_memory, pids; /* memory 0: no limit is known or held */
	uint64_t gain_permille, seed;
	bool guard;
	uint64_t warmup_steps, probe_steps, confirm_steps, pairs_min, pairs_max;

	struct {
		const char *name, *value; /* value is a template */
	} environment[WV_TUNE_ENVIRONMENT];
	size_t n_environment;

	struct wv_tune_space space; /* closed */
	struct wv_tune_limits limits;
	struct wv_arena arena; /* what the texts point to */
};

/* cpus: of this machine, where the text gives none. 0, or -EINVAL with *ret_error filled. Release
 * with wv_tune_spec_done() on 0 only. */
int wv_tune_spec_parse(struct wv_tune_spec *ret, const char *name, const char *text, size_t len,
		       uint32_t cpus, struct wv_config_error *ret_error);
void wv_tune_spec_done(struct wv_tune_spec *s);

/*
 * Replaces {knob}, {seed} and {steps} of a template by a trial's values; other braces stay. *ret is
 * malloc'ed. -ENODATA: a knob that the trial does not set, *ret_knob (MAY be NULL) is its name.
 */
int wv_tune_spec_expand(const char *template, const struct wv_tune_trial *trial, char **ret,
			const char **ret_knob);

#endif
