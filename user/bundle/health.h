/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What becomes of a trial, by the health rules of its manifest. Each rule is looked at every
 * every_ns; `failures` looks in a row that fail end the trial. within_ns is how long an answer may
 * take (http), how old a change may be (file) or a sample (agent); and looks that fail so soon
 * after the begin of the trial do not count. When all rules have held without a break for trial_ns,
 * it is well. A trial that is neither ends by timeout. Times are monotonic: the wall clock is never
 * looked at. Pure, but for the probes.
 */
#ifndef WV_BUNDLE_HEALTH_H
#define WV_BUNDLE_HEALTH_H

#include "user/bundle/manifest.h"
#include "user/core/paths.h"

/* More rules than that are refused at install. */
#define WV_HEALTH_RULES_MAX 32
#define WV_HEALTH_WHY 160

/* What a probe remembers from look to look. */
struct wv_health_memory {
	bool seen;
	uint64_t a, b, changed_ns;
};

/* One look: 0 well, 1 not (why says what), -errno: it cannot be told (counts as not). */
typedef int (*wv_health_probe_fn)(void *ctx, const struct wv_health_rule *rule,
				  struct wv_health_memory *memory, uint64_t now_ns,
				  char why[WV_HEALTH_WHY]);

enum wv_health_verdict { WV_HEALTH_WAIT, WV_HEALTH_WELL, WV_HEALTH_ILL };

struct wv_health {
	const struct wv_manifest *m;
	uint64_t begin_ns, well_since_ns; /* 0: not all rules hold */
	struct wv_health_one {
		uint64_t next_ns;
		uint32_t in_a_row; /* failed looks */
		bool held;	   /* once */
		struct wv_health_memory memory;
		char why[WV_HEALTH_WHY]; /* the last one, "" */
	} rules[WV_HEALTH_RULES_MAX];
};

/* m is kept by the caller. */
void wv_health_begin(struct wv_health *h, const struct wv_manifest *m, uint64_t now_ns);
/* Looks at what is due. why: of an ILL verdict. *ret_next_ns: when to call again. */
enum wv_health_verdict wv_health_step(struct wv_health *h, wv_health_probe_fn probe, void *ctx,
				      uint64_t now_ns, uint64_t *ret_next_ns, char why[200]);

/* health_probe.c: the real ones; ctx is a const struct wv_paths *. */
int wv_health_probe(void *ctx, const struct wv_health_rule *rule, struct wv_health_memory *memory,
		    uint64_t now_ns, char why[WV_HEALTH_WHY]);
/* Whether the rule can be looked at here at all. 0 or -errno with why. */
int wv_health_can(const struct wv_health_rule *rule, char why[WV_HEALTH_WHY]);

#endif
