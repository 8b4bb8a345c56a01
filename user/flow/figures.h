/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Figures that workers tell the metrics endpoint (include/waveos/worker_figures.def), in pages that
 * the supervisor maps once and every worker inherits. They hold nothing but numbers and names of
 * the policy: a worker that was broken into could tell lies about figures, and nothing else. They
 * live as long as the supervisor: counters of a worker that is restarted go on.
 */
#ifndef WV_FLOW_FIGURES_H
#define WV_FLOW_FIGURES_H

#include <stdatomic.h>

#include "user/flow/policy.h"
#include "user/flow/sample.h"
#include "user/flow/snapshot.h"

enum wv_figure_id {
#define WV_FIGURE(WORKER, ID, ...) WV_FIG_##ID,
#include "waveos/worker_figures.def"
	WV_FIGURE_N
};

struct wv_figure_info {
	enum wv_worker_id worker;
	enum wv_signal_kind kind;
	enum wv_scale scale;
	const char *metric, *labels, *help;
};
extern const struct wv_figure_info wv_figure_infos[WV_FIGURE_N];

/* Maps the pages; before the first worker is forked. 0 or -errno. Again: 0, nothing is done. */
int wv_figures_open(void);
void wv_figures_close(void);

/* Without pages (tests, verbs that run a worker's code alone) these do nothing and give 0. */
void wv_figure_set(enum wv_figure_id id, uint64_t v);
void wv_figure_add(enum wv_figure_id id, uint64_t v);
uint64_t wv_figure_get(enum wv_figure_id id);

/* Rules and domains that have series of their own; the others are summed in the last entry, named
 * "__other__". */
#define WV_FIGURE_RULES 64
#define WV_FIGURE_DOMAINS 32

struct wv_rule_figure {
	char name[WV_POLICY_NAME];
	uint32_t open, pad; /* cgroups on which it is open, on trial or withheld now */
	uint64_t trips;
};
struct wv_domain_figure {
	char name[WV_POLICY_NAME], mode[WV_POLICY_NAME];
	uint32_t severity, pad; /* 0: the normal mode; larger: more severe */
};
/* What core says of its policy. */
struct wv_policy_figures {
	uint32_t n_rules, n_domains;
	uint32_t dry_run, enforces; /* attach --dry-run; enforce.enabled */
	struct wv_rule_figure rules[WV_FIGURE_RULES];
	struct wv_domain_figure domains[WV_FIGURE_DOMAINS];
};
/* Core's side: the struct to change between begin and end. NULL without pages. */
struct wv_policy_figures *wv_policy_figures_begin(void);
void wv_policy_figures_end(void);
/* A consistent copy. -ENOENT: no pages; -EAGAIN: core is stuck in the middle of a change. */
int wv_policy_figures_read(struct wv_policy_figures *ret);

#endif
