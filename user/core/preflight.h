/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pre-flight of a start: what this machine and this process's rights allow, from files and one
 * system call, in milliseconds. `doctor` looks longer (it loads programs); this says what a start
 * would have to do without, and whether it can start at all.
 */
#ifndef WV_CORE_PREFLIGHT_H
#define WV_CORE_PREFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/core/term.h"

enum wv_preflight_row {
	WV_PRE_KERNEL,
	WV_PRE_BTF,
	WV_PRE_CGROUPS,
	WV_PRE_RIGHTS,
	WV_PRE_LSM,
	WV_PRE_PRESSURE,
	WV_PRE_BPFFS,
	WV_PRE_N
};

struct wv_preflight_item {
	const char *name;
	enum wv_mark mark;
	char found[192];     /* what is there */
	const char *instead; /* static; what the agent does without it; "" where nothing is missing
			      */
};

struct wv_preflight {
	struct wv_preflight_item items[WV_PRE_N];
	bool denied;	   /* the agent cannot start: rights are missing */
	char missing[160]; /* of the capabilities that a start needs, "CAP_BPF CAP_PERFMON"; "" if
			      none */
};

/* The capabilities that a start needs, in the words of setcap(8) and of systemd.exec(5). */
#define WV_PREFLIGHT_SETCAP "cap_bpf,cap_perfmon,cap_net_admin+ep"
#define WV_PREFLIGHT_UNIT "CAP_BPF CAP_PERFMON CAP_NET_ADMIN"

/* Looks. effective: bits of this process's effective capabilities. bpffs: where pins go. */
void wv_preflight(struct wv_preflight *ret, uint64_t effective, const char *bpffs);
/* Of this process, from /proc/self/status; 0 where that cannot be read. */
uint64_t wv_preflight_effective(void);

#endif
