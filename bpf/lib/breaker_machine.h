/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The breaker's state machine: closed, open, half open. Shared by the BPF programs and by the
 * user-space tests; no kernel types, no clock (time is an argument), no division but one in a
 * rare case.
 *
 * Closed is a bucket in its virtual scheduling form (bucket.h tells it): up to `burst` at once and
 * `limit` a `per`, exact at any limit, because what is below a nanosecond is carried in units of
 * 1/limit ns. More than that trips it. Open refuses everything until until_ns. Half open admits
 * `probes` until until_ns; one more trips it again, else it closes with an empty history.
 *
 * Time-driven transitions happen at until_ns, whenever someone asks or looks: whoever has the state
 * and the time can tell what the kernel will find (wv_breaker_settle()).
 *
 * Times are compared by signed difference, so the 64-bit clock may wrap; a breaker must not be left
 * alone for 2^63 ns (292 years).
 */
#ifndef WAVEOS_BREAKER_MACHINE_H
#define WAVEOS_BREAKER_MACHINE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define WV_BREAKER_INLINE static inline __attribute__((always_inline))

/* Row: (id, text) */
#define WV_BREAKER_PHASES(X)                                                                       \
	X(CLOSED, "closed")                                                                        \
	X(OPEN, "open")                                                                            \
	X(HALF_OPEN, "half-open")
enum wv_breaker_phase {
#define X(id, text) WV_BREAKER_##id,
	WV_BREAKER_PHASES(X)
#undef X
		WV_BREAKER_PHASE_N
};

/* What can happen. Row: (id, text) */
#define WV_BREAKER_CAUSES(X)                                                                       \
	X(OVER, "more was asked for than the phase admits")                                        \
	X(TIMEOUT, "the phase's time is over")
enum wv_breaker_cause {
#define X(id, text) WV_BREAKER_ON_##id,
	WV_BREAKER_CAUSES(X)
#undef X
		WV_BREAKER_CAUSE_N
};

/* All transitions: (phase, cause, next phase). What has no row changes nothing. */
#define WV_BREAKER_TRANSITIONS(X)                                                                  \
	X(CLOSED, OVER, OPEN)                                                                      \
	X(OPEN, TIMEOUT, HALF_OPEN)                                                                \
	X(HALF_OPEN, OVER, OPEN)                                                                   \
	X(HALF_OPEN, TIMEOUT, CLOSED)

#define WV_BREAKER_ROW(phase, cause) ((phase)*WV_BREAKER_CAUSE_N + (cause))

/* What the breaker is declared to be; made by wv_breaker_rate_make(). */
struct wv_breaker_rate {
	__u64 limit, burst;	   /* units; burst >= 1 */
	__u64 cost_ns, cost_rem;   /* of one unit: per / limit; rem in 1/limit ns */
	__u64 depth_ns, depth_rem; /* of burst units */
	__u64 open_ns, half_open_ns;
	__u64 probes;
	__u64 epoch; /* changes with every change of limit, per or burst */
};

struct wv_breaker_machine {
	__u64 tat_ns, tat_rem;	 /* closed: when the bucket is full again; rem in 1/limit ns */
	__u64 until_ns;		 /* open, half open: its end */
	__u64 used;		 /* half open: probes that passed */
	__u64 run_ns, run_count; /* closed: since when the bucket is not full, admitted since */
	__u64 admitted, refused; /* units, ever */
	__u64 trips;
	__u64 transitions; /* their number, ever: names each one */
	__u64 changed_ns;  /* of the last one */
	/* the last trip, and how many were asked for since when, the refused one included */
	__u64 trip_ns, trip_count, trip_since_ns;
	__u64 epoch; /* of the rate that tat is in */
	__u32 phase; /* enum wv_breaker_phase */
	__u32 pad;
};

/* Limits of a rate; wv_breaker_rate_make() refuses what is beyond. */
#define WV_BREAKER_MAX_LIMIT (1ULL << 32)
#define WV_BREAKER_MAX_BURST (1ULL << 27)
#define WV_BREAKER_MAX_NS (1ULL << 60) /* per, depth, open, half open: 36 years */

WV_BREAKER_INLINE __u32 wv_breaker_next(__u32 phase, __u32 cause)
{
	switch (WV_BREAKER_ROW(phase, cause)) {
#define X(from, on, to)                                                                            \
	case WV_BREAKER_ROW(WV_BREAKER_##from, WV_BREAKER_ON_##on):                                \
		return WV_BREAKER_##to;
		WV_BREAKER_TRANSITIONS(X)
#undef X
	default:
		return phase;
	}
}

/* Enters a phase at a time. */
WV_BREAKER_INLINE void wv_breaker_enter(struct wv_breaker_machine *m,
					const struct wv_breaker_rate *rate, __u32 phase, __u64 at)
{
	m->phase = phase;
	m->transitions++;
	m->changed_ns = at;
	m->used = 0;
	if (phase == WV_BREAKER_OPEN) {
		m->trips++;
		m->trip_ns = at;
		m->until_ns = at + rate->open_ns;
	} else if (phase == WV_BREAKER_HALF_OPEN) {
		m->until_ns = at + rate->half_open_ns;
	} else {
		m->tat_ns = m->run_ns = at;
		m->tat_rem = m->run_count = 0;
	}
}

/* One transition that time has brought. False: none is due. */
WV_BREAKER_INLINE int wv_breaker_settle_one(struct wv_breaker_machine *m,
					    const struct wv_breaker_rate *rate, __u64 now)
{
	if (m->phase == WV_BREAKER_CLOSED || (__s64)(now - m->until_ns) < 0)
		return 0;
	wv_breaker_enter(m, rate, wv_breaker_next(m->phase, WV_BREAKER_ON_TIMEOUT), m->until_ns);
	return 1;
}

/* All transitions that time has brought: open, half open, closed. */
WV_BREAKER_INLINE void wv_breaker_settle(struct wv_breaker_machine *m,
					 const struct wv_breaker_rate *rate, __u64 now)
{
	if (wv_breaker_settle_one(m, rate, now))
		(void)wv_breaker_settle_one(m, rate, now);
}

/* After a change of the rate: a backlog that was made at the old one is an empty bucket at most. */
WV_BREAKER_INLINE void wv_breaker_rerate(struct wv_breaker_machine *m,
					 const struct wv_breaker_rate *rate, __u64 now)
{
	__s64 ahead = m->tat_ns - now;

	m->epoch = rate->epoch;
	m->tat_rem = 0;
	if (ahead > 0 && (__u64)ahead > rate->depth_ns)
		m->tat_ns = now + rate->depth_ns;
}

/* Closed: takes n units from the bucket, or nothing and returns 0. */
WV_BREAKER_INLINE int wv_breaker_take(struct wv_breaker_machine *m,
				      const struct wv_breaker_rate *rate, __u64 now, __u64 n)
{
	__u64 ahead = m->tat_ns - now, rem = m->tat_rem, carry;

	if ((__s64)ahead < 0 || (!ahead && !rem)) { /* full; what is below 0 is below 1 ns, too */
		ahead = rem = 0;
		m->run_ns = now;
		m->run_count = 0;
	}
	if (n > rate->burst)
		return 0;
	ahead += n * rate->cost_ns;
	rem += n * rate->cost_rem;
	if (rem >= rate->limit) {
		carry = n == 1 ? 1 : rem / (rate->limit ?: 1);
		rem -= carry * rate->limit;
		ahead += carry;
	}
	if (ahead > rate->depth_ns || (ahead == rate->depth_ns && rem > rate->depth_rem))
		return 0;
	m->tat_ns = now + ahead;
	m->tat_rem = rem;
	m->run_count += n;
	return 1;
}

/* Asks for n units. 1: admitted; 0: refused. Whether it tripped shows in m->trips. */
WV_BREAKER_INLINE int wv_breaker_ask(struct wv_breaker_machine *m,
				     const struct wv_breaker_rate *rate, __u64 now, __u64 n)
{
	int admitted = 0;
	__u32 next;

	if (m->epoch != rate->epoch)
		wv_breaker_rerate(m, rate, now);
	wv_breaker_settle(m, rate, now);
	if (m->phase == WV_BREAKER_CLOSED) {
		admitted = wv_breaker_take(m, rate, now, n);
		m->trip_count = admitted ? m->trip_count : m->run_count + n;
		m->trip_since_ns = admitted ? m->trip_since_ns : m->run_ns;
	} else if (m->phase == WV_BREAKER_HALF_OPEN) {
		admitted = n <= rate->probes && m->used <= rate->probes - n;
		m->trip_count = admitted ? m->trip_count : m->used + n;
		m->trip_since_ns = admitted ? m->trip_since_ns : m->changed_ns;
		m->used += admitted ? n : 0;
	}
	if (admitted) {
		m->admitted += n;
		return 1;
	}
	m->refused += n;
	next = wv_breaker_next(m->phase, WV_BREAKER_ON_OVER);
	if (next != m->phase)
		wv_breaker_enter(m, rate, next, now);
	return 0;
}

/*
 * For what a breaker refuses while it is open but does not count (starts of tasks after OOM kills):
 * 1: passes, 0: refused.
 */
WV_BREAKER_INLINE int wv_breaker_pass(struct wv_breaker_machine *m,
				      const struct wv_breaker_rate *rate, __u64 now)
{
	wv_breaker_settle(m, rate, now);
	if (m->phase != WV_BREAKER_OPEN)
		return 1;
	m->refused++;
	return 0;
}

#ifdef __SIZEOF_INT128__
/* A rate from what was declared. 0, or -1 where a figure is out of range. For user space. */
static inline int wv_breaker_rate_make(__u64 limit, __u64 per_ns, __u64 burst, __u64 open_ns,
				       __u64 half_open_ns, __u64 probes,
				       struct wv_breaker_rate *ret)
{
	unsigned __int128 depth;

	burst = burst ?: 1;
	if (!limit || limit > WV_BREAKER_MAX_LIMIT || !per_ns || per_ns > WV_BREAKER_MAX_NS ||
	    burst > WV_BREAKER_MAX_BURST || open_ns > WV_BREAKER_MAX_NS ||
	    half_open_ns > WV_BREAKER_MAX_NS)
		return -1;
	depth = (unsigned __int128)per_ns * burst;
	if (depth / limit > WV_BREAKER_MAX_NS)
		return -1;
	*ret = (struct wv_breaker_rate){
		.limit = limit,
		.burst = burst,
		.cost_ns = per_ns / limit,
		.cost_rem = per_ns % limit,
		.depth_ns = (__u64)(depth / limit),
		.depth_rem = (__u64)(depth % limit),
		.open_ns = open_ns,
		.half_open_ns = half_open_ns,
		.probes = probes,
	};
	return 0;
}
#endif

#endif
