/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A budget: what a cgroup (and its subtree) may use. The type that travels from the configuration
 * through the evaluator to the enforcers. Absent limits are WV_UNSET. Where one may be a share of
 * what the parent has (user/core/share.h), whoever enforces resolves it first.
 */
#ifndef WV_FLOW_BUDGET_H
#define WV_FLOW_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define WV_UNSET UINT64_MAX

/* When a conditional budget is applied and released; signal < 0: always in force. */
struct wv_condition {
	int signal;	       /* enum wv_signal */
	bool rate;	       /* compare the signal's change a second, not its value */
	double above;	       /* trips when > above ... */
	uint64_t for_ns;       /* ... for this long */
	double clear;	       /* releases when < clear (<= above) ... */
	uint64_t clear_for_ns; /* ... for this long */
};

struct wv_budget {
	char name[64];	  /* unique; default: the cgroup pattern */
	char cgroup[256]; /* fnmatch(3) pattern of the path below the hierarchy's root, e.g.
			     "/batch.slice/" "*"; "" where domain is given */
	char domain[64];  /* of the policy; "" where cgroup is given */
	uint32_t domain_index;
	uint64_t modes; /* bit per mode of the policy in which it is in force; 0: in any */
	struct wv_condition when;
	uint64_t cpu_quota_us, cpu_period_us; /* CPU time per period (default 100 ms), or a share */
	uint64_t cpu_weight;		      /* 1 to 10000, 100 is the default of the kernel */
	uint64_t memory_high_bytes, memory_max_bytes; /* or a share */
	uint64_t io_rbps, io_wbps, io_riops, io_wiops;
	char io_device[32];		  /* "major:minor", or a path such as /dev/vda */
	uint64_t pids_max;		  /* or a share */
	uint64_t files_max;		  /* open files of each process */
	uint64_t egress_bps, ingress_bps; /* bits a second of IP packets */
	uint64_t egress_pps, ingress_pps; /* packets a second */
	uint64_t connects_ps;		  /* connects a second */
	uint64_t burst_bytes; /* tokens of the byte buckets; defaults: docs/enforcement.md */
	uint64_t burst_packets, burst_connects;
	uint64_t forks_ps, execs_ps; /* of a policy's domain; become breakers when it is read */
	unsigned line;		     /* in the configuration file */
};

#endif
