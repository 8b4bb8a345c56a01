/*
 * The kernel's breaker: the table, and around it what bpf/lib/breaker_machine.h does, in ticks. Those who ask do it as
 * often as they like, for one to three units at once. The bucket is counted exactly, in 1/limit ticks.
 *
 * Unless something is broken on purpose the code runs beside it, on the same asks at the same times, and has to come to
 * the same answers in all states. It is told of time only when it is asked, as in the kernel.
 */
#define CAP 8 /* ticks of a run that are counted */

#ifdef BREAK_LIMIT
#define DEPTH (burst * per + 1) /* a little more than the limit is admitted */
#else
#define DEPTH (burst * per)
#endif
#ifdef BREAK_TRIP
#define OVER (ahead + n * per >= DEPTH) /* at the limit already */
#else
#define OVER (n > burst || ahead + n * per > DEPTH)
#endif
#ifdef BREAK_PROBES
#define PROBES (probes + 1)
#else
#define PROBES probes
#endif
#ifdef BREAK_OPEN
#define PASSES_OPEN (used == 0) /* one is let through */
#else
#define PASSES_OPEN false
#endif
#ifdef BREAK_TIME
#define OPEN_TICKS (len_open - 1)
#else
#define OPEN_TICKS len_open
#endif
#ifdef BREAK_USED
#define KEPT used /* a phase begins with what the last one used */
#else
#define KEPT 0
#endif

byte phase = CLOSED, next, cause;
byte limit, per, burst, probes, len_open, len_half; /* chosen once */
byte left; /* open, half open: ticks to its end */
byte used; /* half open: units that passed */
byte ahead; /* closed: what the bucket lacks */
byte n; bool admitted; /* the ask */
byte before, trip_count, trip_ticks; /* where it found the breaker; what is told of a trip */
bool asked; /* the last step was one; else time passed */

/* what must hold is told by these */
byte age; /* open, half open: ticks in it */
byte passed_half; /* units that passed in this half open */
byte units, ticks; /* closed: units since the bucket was full, and ticks */
/* any window of time while closed, begun at will: what was admitted in it beyond limit a per; a window that comes to
   less than nothing is left for one that begins later */
bool watching; byte excess;

bool same = true;
#ifndef BREAK
c_decl {
\#include "bpf/lib/breaker_machine.h"
}
c_state "struct wv_breaker_machine m" "Global"
c_code {
	enum { NOW = 1000, OLD = 900 };

	static void make_rate(struct wv_breaker_rate *ret)
	{
		(void)wv_breaker_rate_make(now.limit, now.per, now.burst, now.len_open, now.len_half, now.probes, ret);
	}

	/* Takes out what no answer depends on, so that states are found again. */
	static void normalise(void)
	{
		struct wv_breaker_machine *m = &now.m;

		m->admitted = m->refused = m->trips = m->transitions = 0;
		m->trip_ns = m->trip_count = m->trip_since_ns = 0;
		if (m->phase != WV_BREAKER_HALF_OPEN)
			m->changed_ns = 0;
		if (m->phase != WV_BREAKER_CLOSED) {
			m->tat_ns = m->tat_rem = m->run_ns = m->run_count = 0;
			if (m->until_ns < OLD)
				m->until_ns = OLD;
			return;
		}
		m->until_ns = 0;
		if (m->tat_ns < NOW || (m->tat_ns == NOW && !m->tat_rem) || now.ticks == 8 /* CAP */) {
			m->run_ns = m->run_count = 0;
			if (m->tat_ns < NOW)
				m->tat_ns = m->tat_rem = 0;
		}
	}

	static int same_phase(void)
	{
		struct wv_breaker_machine m = now.m;
		struct wv_breaker_rate rate;

		make_rate(&rate);
		wv_breaker_settle(&m, &rate, NOW);
		return m.phase == now.phase && (m.phase != WV_BREAKER_HALF_OPEN || m.used == now.used) &&
		       (m.phase == WV_BREAKER_CLOSED || m.until_ns == NOW + now.left);
	}

	static int same_answer(void)
	{
		struct wv_breaker_rate rate;
		int closed = now.before == WV_BREAKER_CLOSED, same;
		__u64 trips;

		make_rate(&rate);
		wv_breaker_settle(&now.m, &rate, NOW);
		trips = now.m.trips;
		same = wv_breaker_ask(&now.m, &rate, NOW, now.n) == now.admitted;
		if (now.m.trips != trips && (!closed || now.trip_ticks < 8 /* CAP */)) /* what it tells of a trip */
			same = same && now.m.trip_ns == NOW && now.m.trip_count == now.trip_count &&
			       now.m.trip_since_ns == NOW - now.trip_ticks;
		same = same && same_phase();
		normalise();
		return same;
	}

	static int same_later(void)
	{
		now.m.tat_ns -= now.m.tat_ns != 0;
		now.m.run_ns -= now.m.run_ns != 0;
		now.m.until_ns -= now.m.until_ns != 0;
		now.m.changed_ns -= now.m.changed_ns != 0;
		normalise();
		return same_phase();
	}
}
#define COMPARE_ANSWER c_code { now.same = same_answer(); }; assert(same)
#define COMPARE_LATER c_code { now.same = same_later(); }; assert(same)
#else
#define COMPARE_ANSWER skip
#define COMPARE_LATER skip
#endif

inline enter() {
	/* closed -> open -> half open -> closed or open */
	assert(!(phase == CLOSED) || next == OPEN);
	assert(!(phase == OPEN) || next == HALF_OPEN);
	assert(!(phase == HALF_OPEN) || next == CLOSED || next == OPEN);
	/* open for as long as it was declared; half open, too, unless more than the probes is asked for */
	assert(!(phase == OPEN) || age == len_open);
	assert(!(phase == HALF_OPEN && next == CLOSED) || age == len_half);
	assert(!(phase == HALF_OPEN && next == OPEN) || passed_half + n > probes);
	phase = next; used = KEPT; age = 0; passed_half = 0;
	left = (phase == OPEN -> OPEN_TICKS : (phase == HALF_OPEN -> len_half : 0));
	ahead = 0; units = 0; ticks = 0; watching = false; excess = 0
}

/* what time has brought: open, half open, closed */
inline settle() {
	n = 0; cause = ON_TIMEOUT;
	if :: phase != CLOSED && left == 0 -> look_up(); enter() :: else fi;
	if :: phase != CLOSED && left == 0 -> look_up(); enter() :: else fi
}

inline ask() {
	before = phase; admitted = false;
	if
	:: phase == CLOSED ->
		if :: ahead == 0 -> units = 0; ticks = 0 :: else fi;
		trip_count = units + n; trip_ticks = ticks;
		if
		:: !OVER -> admitted = true; ahead = ahead + n * per; units = units + n
		:: else
		fi
	:: phase == HALF_OPEN ->
		trip_count = used + n; trip_ticks = age;
		if :: used + n <= PROBES -> admitted = true; used = used + n :: else fi
	:: else ->
		if :: PASSES_OPEN -> admitted = true; used = 1 :: else fi
	fi;
	/* open admits nothing; half open not more than the probes */
	assert(!(before == OPEN) || !admitted);
	if :: before == HALF_OPEN && admitted -> passed_half = passed_half + n :: else fi;
	assert(passed_half <= probes);
	/* closed admits not more than the limit, in any window of time */
	if :: watching && admitted -> excess = excess + n * per :: else fi;
	assert(excess <= burst * per);
	/* and refuses only what would be more: in the run, which is what the breaker tells */
	assert(!(before == CLOSED && !admitted && ticks < CAP) ||
		(units + n) * per > burst * per + ticks * limit);
	if
	:: !admitted ->
		cause = ON_OVER; look_up();
		if :: next != phase -> enter() :: else fi
	:: else
	fi;
	/* what is refused trips, and what is admitted changes nothing */
	assert(phase == (admitted -> before : OPEN))
}

inline later() {
	if :: left > 0 -> left-- :: else fi;
	if :: phase != CLOSED -> age++ :: else fi;
	ahead = (ahead > limit -> ahead - limit : 0);
	if
	:: ahead == 0 -> units = 0; ticks = 0
	:: ahead > 0 && ticks < CAP -> ticks++
	:: else -> units = 0
	fi;
	if
	:: watching && excess >= limit -> excess = excess - limit
	:: watching && excess < limit -> watching = false; excess = 0
	:: else
	fi
}

active proctype breaker() {
	atomic {
		if
		:: limit = 1; per = 1; burst = 1
		:: limit = 1; per = 2; burst = 2
		:: limit = 2; per = 3; burst = 2 /* a unit is no whole number of ticks */
		fi;
		if :: probes = 0 :: probes = 1 :: probes = 2 fi;
		if :: len_open = 1 :: len_open = 2 fi;
		if :: len_half = 0 :: len_half = 1 :: len_half = 2 fi
	};
	do
	:: atomic {
		if :: n = 1 :: n = 2 :: n = 3 fi;
		if :: phase == CLOSED && !watching -> watching = true :: true fi;
		d_step {
			ask();
			COMPARE_ANSWER;
			asked = true; n = 0; before = 0; next = 0; cause = 0; admitted = false; trip_count = 0; trip_ticks = 0
		}
	}
	:: d_step {
		later();
		settle();
		COMPARE_LATER;
		/* never past its time */
		assert(!(phase == OPEN) || age < len_open);
		asked = false; next = 0; cause = 0
	}
	od
}

/* open is left always, whatever is asked, as long as time passes */
ltl leaves_open { ([]<> !asked) -> ([]<> (phase != OPEN)) }
/* when no one asks any more it closes and stays so */
ltl closes { (<>[] !asked) -> (<>[] (phase == CLOSED)) }
