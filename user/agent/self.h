/* SPDX-License-Identifier: GPL-2.0-only */
/* What the agent costs and loses: figures about itself for the snapshot. */
#ifndef WV_AGENT_SELF_H
#define WV_AGENT_SELF_H

#include "user/core/bpf.h"
#include "user/flow/snapshot.h"

/* Sums over the per-CPU counters of losses and events; processes' CPU time; programs' cost. Cheap.
 */
void wv_self_read(struct wv_self *self, const struct wv_bpf *bpf, const uint32_t *pids,
		  unsigned n_pids);
/* Resident memory and map memory: costs a walk of page tables, so call it rarely. */
void wv_self_read_memory(struct wv_self *self, const struct wv_bpf *bpf, const uint32_t *pids,
			 unsigned n_pids);

#endif
