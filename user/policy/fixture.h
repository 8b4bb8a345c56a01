/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fixture of a policy: what cgroups show over time, written by hand, and which decisions must
 * come of it (docs/policy-test.md). Samples are made from it tick by tick; nothing else is
 * simulated.
 */
#ifndef WV_POLICY_FIXTURE_H
#define WV_POLICY_FIXTURE_H

#include "user/core/config.h"
#include "user/flow/decision.h"
#include "user/flow/policy.h"
#include "user/flow/sample.h"
#include "user/policy/rule_state.h"

#define WV_FIXTURE_CGROUPS 64

struct wv_expectation {
	uint64_t at_ns; /* since the first sample, counted in ticks */
	char rule[WV_POLICY_NAME], cgroup[WV_ROW_PATH_MAX];
	uint8_t to;    /* enum wv_rule_state_id */
	bool withheld; /* it trips, but may not act */
	unsigned line;
};

struct wv_mode_expectation {
	uint64_t at_ns;
	char domain[WV_POLICY_NAME], mode[WV_POLICY_NAME];
	unsigned line;
};

struct wv_fixture;
/* 0 with *ret to be released by wv_fixture_free(), or -errno with *ret_error filled. */
int wv_fixture_load(struct wv_fixture **ret, const char *path, struct wv_config_error *ret_error);
int wv_fixture_load_memory(struct wv_fixture **ret, const char *name, const char *text, size_t len,
			   struct wv_config_error *ret_error);
void wv_fixture_free(struct wv_fixture *f);

/* Folder beside the fixture with recorded samples (samples.wvs), instead of steps; "": none. */
const char *wv_fixture_recorded(const struct wv_fixture *f);
/* What must happen, in the order of the file. */
const struct wv_expectation *wv_fixture_expected(const struct wv_fixture *f, size_t *ret_n);
const struct wv_mode_expectation *wv_fixture_modes(const struct wv_fixture *f, size_t *ret_n);
uint64_t wv_fixture_tick_ns(const struct wv_fixture *f);
/* The next sample, valid until the next call; NULL at the end. */
const struct wv_sample *wv_fixture_next(struct wv_fixture *f);

#endif
