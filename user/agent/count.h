/* SPDX-License-Identifier: GPL-2.0-only */
/* Counts what core records into the figures of the metrics endpoint, by closed sets of words. */
#ifndef WV_AGENT_COUNT_H
#define WV_AGENT_COUNT_H

struct json_object;

/* One record of core: `decision`, `action`, `alert`, `mode` and `outcome` are counted, others are
 * none of its business. */
void wv_count_record(const char *type, struct json_object *fields);

#endif
