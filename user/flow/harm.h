/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who hurts whom: two samples become a ranked list of cgroups that waited, each with the one that
 * made it wait most. Pure: no clock, no I/O, no state.
 *
 * How it judges. A cgroup's waiting is a measured figure (run queue delay; direct reclaim or
 * pressure; pressure or time of block requests). Whose fault it is, is not measured by any kernel:
 * it is told by who took what the victim waited for. A cgroup answers only for what it took more
 * than the victim itself did, as a share of all that was taken. So equals hurt nobody, and a
 * cgroup's own many threads are not blamed on others. Waiting for an own limit is not blamed on
 * others either: its cause is WV_HARM_LIMIT.
 */
#ifndef WV_FLOW_HARM_H
#define WV_FLOW_HARM_H

#include "user/flow/sample.h"

enum wv_harm_kind {
	WV_HARM_CPU,	/* tasks were runnable and did not run */
	WV_HARM_MEMORY, /* tasks reclaimed memory instead of working */
	WV_HARM_IO,	/* tasks waited for block devices */
	WV_HARM_N
};
enum wv_harm_cause {
	WV_HARM_OTHER, /* another cgroup took it */
	WV_HARM_LIMIT, /* a quota or limit of the victim, or of a cgroup above it (culprit) */
};
/*
 * HIGH: the resource was short (CPU: 85 % busy), and the culprit took at least half of what others
 * than the victim took of it. MEDIUM: at least three tenths. LOW: less, or the samples are less
 * than 0.9 s apart, or the CPUs were less than half busy, so that chance or affinity made it wait.
 */
enum wv_harm_confidence { WV_HARM_LOW, WV_HARM_MEDIUM, WV_HARM_HIGH };

extern const char *const wv_harm_kinds[WV_HARM_N]; /* "cpu", "memory", "io" */
extern const char *const wv_harm_causes[2];	   /* "other", "limit" */
extern const char *const wv_harm_confidences[3];   /* "low", "medium", "high" */

struct wv_harm {
	enum wv_harm_kind kind;
	enum wv_harm_cause cause;
	enum wv_harm_confidence confidence;
	uint32_t victim, culprit; /* slots of `now` */
	uint64_t span_ns;	  /* time that the figures cover */
	/* All waiting of the victim in that time: the sum over its tasks, so it may exceed it. */
	uint64_t wait_ns;
	/* The part of it that the culprit answers for. */
	uint64_t blamed_ns;
	/* CPU: blamed / (wait + run), what the victim lost of what it needed. Others: of the time.
	 */
	uint32_t lost_permille;
	/* Of all that was taken in the scope (the machine, or the subtree whose limit is reached).
	 */
	uint32_t share_permille;
	/* What each took a second: CPU in CPUs, memory in bytes of new pages, I/O in requests in
	 * flight (or bytes a second, where no request was seen to end: see by_bytes). For
	 * WV_HARM_LIMIT 0. */
	double culprit_took, victim_took;
	bool by_bytes;
};

/*
 * Writes at most max rows to ret, the worst first (blamed time weighed by what of its need the
 * victim lost), and their number to *ret_n. before: the same slots earlier, or NULL: then rates are
 * means since each row was first seen, and files that count since the cgroup was made (pressure,
 * throttling) are left out. ncpu: CPUs that are online. Returns 0 or -ENOMEM.
 *
 * What costs a victim less than 2 % of one task's time, or less than 5 % of its need, is no harm.
 */
int wv_harm_rank(const struct wv_sample *now, const struct wv_sample *before, unsigned ncpu,
		 struct wv_harm *ret, size_t max, size_t *ret_n);

#endif
