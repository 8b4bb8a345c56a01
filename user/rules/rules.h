/* SPDX-License-Identifier: GPL-2.0-only */
/* What the rest of the agent asks of rules. */
#ifndef WV_RULES_RULES_H
#define WV_RULES_RULES_H

#include <stdint.h>

/* Pairs of rule and cgroup that are open now (core worker only). */
uint32_t wv_rules_open(void);

#endif
