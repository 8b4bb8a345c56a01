/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of modules `gate` and `priority`, for user/enforce/ only. */
#ifndef WV_ENFORCE_GATE_MODULES_H
#define WV_ENFORCE_GATE_MODULES_H

#include "user/core/module.h"
#include "user/enforce/gate_hooks.h"
#include "user/enforce/gate_store.h"
#include "user/flow/policy.h"

/* What is kept of the cgroup in a slot. */
struct wv_gate_seen {
	uint64_t key;
	uint32_t domain;
	bool root;
	uint16_t placed; /* bits of kinds whose place is on it */
	uint16_t told;	 /* bits of kinds whose outcome is in the record */
};

struct wv_gates {
	struct wv_agent *agent;
	struct wv_gate_store store;
	struct wv_gate_hooks hooks;
	int error; /* 0, or why there are no gates */
	bool dry_run, dirty;
	bool released;		   /* the kill switch lets go of everything */
	bool pending;		   /* some place still refers to lists of the last policy */
	struct wv_gate_seen *seen; /* by slot */
	uint32_t *lists; /* by index of gate, then of priority, in agent->policy; 0: none */
	uint32_t *flags; /* of gates: enum wv_gate_flags */
	size_t n_gates;
	uint32_t kinds;		/* bits of kinds that the policy has */
	int failed[WV_GATED_N]; /* why hooks that are called for all tasks are not attached, or 0 */
};

extern const char *const wv_gated_names[WV_GATED_N];

/* gate_check.c */
int wv_gate_kind_check(const struct wv_host *host, const struct wv_bpf *bpf, uint32_t kind,
		       char *by, size_t by_size, char *reason, size_t size);
bool wv_gate_lsm_works(const struct wv_host *host, const struct wv_bpf *bpf);
int wv_gate_probe(const struct wv_host *host, const struct wv_bpf *bpf,
		  struct wv_capabilities *caps);
int wv_priority_probe(const struct wv_host *host, const struct wv_bpf *bpf,
		      struct wv_capabilities *caps);

/* gate.c: whether programs are killed although LSM programs run here (their self-test failed). */
bool wv_gate_exec_by_kill(void);

/* gate_place.c: places, links and records brought to what the policy wants. */
int wv_gates_reconcile(struct wv_gates *g);
/* Places and links of a cgroup that is gone. */
void wv_gates_release(struct wv_gates *g, uint64_t key);

/* gate_record.c */
void wv_gate_record_event(struct wv_gates *g, const struct wv_event *event);
void wv_gate_record_selftest(struct wv_gates *g, uint32_t kind);
/* Outcome of each gate of a kind on a cgroup; error: 0 or why it is not in force there. */
void wv_gate_record_outcome(struct wv_gates *g, const struct wv_row *row, uint32_t slot,
			    uint32_t kind, int error, const char *reason);
void wv_gate_record_list(struct wv_gates *g, const char *gate, int kind, int fail,
			 const char *reason);

/* priority.c */
struct wv_priority_caps {
	int nice_min;			      /* -20: none */
	unsigned realtime_max;		      /* 99: none */
	unsigned io_class;		      /* best class, 1 to 3; 1: none */
	uint32_t nice_by, realtime_by, io_by; /* index in policy->priorities, WV_NONE */
};
/* The strictest of what holds on a cgroup: its own domain's and those of all above it. */
bool wv_priority_caps(const struct wv_agent *agent, uint32_t slot, struct wv_priority_caps *ret);

#endif
