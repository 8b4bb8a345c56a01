/* SPDX-License-Identifier: GPL-2.0-only */
/* The state of rules and modes for the metrics endpoint. Internal to the module `rules`. */
#ifndef WV_RULES_FIGURES_H
#define WV_RULES_FIGURES_H

#include "user/core/module.h"
#include "user/policy/engine.h"

/* After a start and a reload: rules of the same name go on counting. */
void wv_rules_figures_policy(const struct wv_agent *agent);
/* After a tick's decisions; engine may be NULL (no rules). Cheap where nothing changed. */
void wv_rules_figures_tick(const struct wv_agent *agent, const struct wv_engine *engine,
			   const struct wv_rule_decision *list, size_t n);

#endif
