// SPDX-License-Identifier: GPL-2.0-only
/*
 * The breaker's state machine against a naive exact reference, over wrapping clocks; what it may
 * never do; and what a machine is told to be able to enforce.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
// cmocka needs the headers above
#include <cmocka.h>

#include "user/enforce/breaker.h"
#include "waveos/breaker.h"

typedef unsigned __int128 u128;
typedef __int128 s128;

static uint64_t seed;

static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}
static uint64_t draw_to(uint64_t max)
{
	return draw() % (max + 1);
}
/* Small and large alike. */
static uint64_t draw_wide(uint64_t max)
{
	return draw_to(max >> draw_to(40));
}

/*
 * The reference: time counts from 0 and does not wrap; the backlog is an exact number of 1/limit
 * ns; phases are looked up by asking what follows from the declaration's own words.
 */
struct reference {
	uint64_t limit, per, burst, open, half, probes;
	s128 now, last; /* ns */
	s128 backlog;	/* 1/limit ns */
	s128 until;
	uint64_t used, admitted, refused, trips, transitions;
	enum wv_breaker_phase phase;
};

static void reference_time(struct reference *r, s128 now)
{
	r->now = now;
	if (r->phase == WV_BREAKER_OPEN && now >= r->until) {
		r->phase = WV_BREAKER_HALF_OPEN;
		r->until += (s128)r->half;
		r->used = 0;
		r->transitions++;
	}
	if (r->phase == WV_BREAKER_HALF_OPEN && now >= r->until) {
		r->phase = WV_BREAKER_CLOSED;
		r->last = r->until;
		r->backlog = 0;
		r->transitions++;
	}
	if (r->phase == WV_BREAKER_CLOSED) {
		r->backlog -= (now - r->last) * (s128)r->limit;
		r->last = now;
		if (r->backlog < 0)
			r->backlog = 0;
	}
}

static int reference_ask(struct reference *r, s128 now, uint64_t n)
{
	s128 after;

	reference_time(r, now);
	switch (r->phase) {
	case WV_BREAKER_CLOSED:
		after = r->backlog + (s128)n * (s128)r->per;
		if (after <= (s128)r->burst * (s128)r->per) {
			r->backlog = after;
			r->admitted += n;
			return 1;
		}
		break;
	case WV_BREAKER_HALF_OPEN:
		if ((u128)r->used + n <= r->probes) {
			r->used += n;
			r->admitted += n;
			return 1;
		}
		break;
	default:
		r->refused += n;
		return 0;
	}
	r->refused += n;
	r->trips++;
	r->transitions++;
	r->phase = WV_BREAKER_OPEN;
	r->until = now + (s128)r->open;
	return 0;
}

/* Declares anything that is in range. */
static void declare(struct reference *r, struct wv_breaker_rate *rate)
{
	do {
		*r = (struct reference){
			.limit = 1 + draw_wide(100000000),
			.burst = 1 + draw_wide(1000000),
			.per = 1000000 + draw_wide(86400ULL * 1000000000),
			.open = 10000000 + draw_wide(20000000000ULL),
			.half = 10000000 + draw_wide(20000000000ULL),
			.probes = 1 + draw_wide(1000),
		};
	} while (wv_breaker_rate_make(r->limit, r->per, r->burst, r->open, r->half, r->probes,
				      rate) < 0);
	rate->epoch = 1;
}

/* How long until the next ask: bursts, about the declared rate, long pauses, a phase's very end. */
static uint64_t pause_ns(const struct reference *r)
{
	switch (draw_to(5)) {
	case 5:
		return r->phase != WV_BREAKER_CLOSED && r->until > r->now
			       ? (uint64_t)(r->until - r->now)
			       : 0;
	case 0:
		return 0;
	case 1:
		return draw_to(3);
	case 2:
		return draw_to(2 * r->per / r->limit + 2);
	case 3:
		return draw_wide(r->open + r->half);
	default:
		return r->per / r->limit;
	}
}

static void random_run(uint64_t s, unsigned steps)
{
	struct wv_breaker_machine m = {0}, mirror;
	struct wv_breaker_rate rate;
	struct reference r;
	uint64_t start;
	s128 t = 0;

	seed = s * 0x9e3779b97f4a7c15ULL + 1;
	declare(&r, &rate);
	/* the clock wraps within the run, or begins at its very end, or anywhere */
	start = draw_to(2) ? UINT64_MAX - draw_wide(1ULL << 40) : draw() >> 1;
	m.tat_ns = start;
	for (unsigned i = 0; i < steps; i++) {
		uint64_t n = draw_to(9) ? 1 : 1 + draw_wide(2 * r.burst), trips = m.trips;
		int expected, got;

		t += (s128)pause_ns(&r);
		if (draw_to(3) == 0) { /* whoever only looks sees what the kernel will find */
			mirror = m;
			reference_time(&r, t);
			wv_breaker_settle(&mirror, &rate, start + (uint64_t)t);
			assert_int_equal(mirror.phase, r.phase);
			assert_int_equal(mirror.transitions, r.transitions);
			t += (s128)draw_to(2);
		}
		expected = reference_ask(&r, t, n);
		got = wv_breaker_ask(&m, &rate, start + (uint64_t)t, n);
		if (got != expected)
			fail_msg("seed %llu step %u: machine %d, reference %d, phase %u",
				 (unsigned long long)s, i, got, expected, m.phase);
		assert_int_equal(m.phase, r.phase);
		assert_int_equal(m.transitions, r.transitions);
		assert_int_equal(m.trips, r.trips);
		assert_int_equal(m.admitted, r.admitted);
		assert_int_equal(m.refused, r.refused);
		if (m.trips != trips) {
			assert_int_equal(m.trip_ns, start + (uint64_t)t);
			assert_true(m.trip_count >= n);
		}
		if (m.phase != WV_BREAKER_CLOSED)
			assert_int_equal(m.until_ns, start + (uint64_t)r.until);
	}
}

static void machine_random_is_the_reference(void **state)
{
	(void)state;
	for (uint64_t s = 0; s < 40000; s++)
		random_run(s, 400);
}

/*
 * Closed: between any two moments no more than burst + limit * t / per passes. Half open: no more
 * than probes. Open: nothing.
 */
static void machine_never_admits_more_than_declared(void **state)
{
	enum { MAX = 3000 };
	static struct {
		uint64_t at, units, period;
	} passed[MAX];

	(void)state;
	for (uint64_t s = 1; s < 60; s++) {
		struct wv_breaker_machine m = {0};
		uint64_t now, period = 0, probes = 0, n_passed = 0;
		struct wv_breaker_rate rate;
		struct reference r;

		seed = s * 0xd1342543de82ef95ULL + 1;
		declare(&r, &rate);
		now = m.tat_ns = UINT64_MAX - r.per;
		for (unsigned i = 0; i < MAX; i++) {
			uint64_t n = 1 + draw_to(draw_to(1) ? 0 : r.burst / 3), before;
			int admitted;

			now += pause_ns(&r);
			wv_breaker_settle(&m, &rate, now);
			period = m.transitions;
			before = m.phase;
			if (before == WV_BREAKER_HALF_OPEN && m.used == 0)
				probes = 0;
			admitted = wv_breaker_ask(&m, &rate, now, n);
			assert_false(admitted && before == WV_BREAKER_OPEN);
			if (admitted && before == WV_BREAKER_HALF_OPEN) {
				probes += n;
				assert_true(probes <= r.probes);
			}
			if (!admitted || before != WV_BREAKER_CLOSED)
				continue;
			passed[n_passed].at = now;
			passed[n_passed].units = n;
			passed[n_passed++].period = period;
			u128 sum = 0;
			for (uint64_t k = n_passed; k-- > 0 && passed[k].period == period;) {
				sum += passed[k].units;
				if ((sum - r.burst) * r.per >
					    (u128)(now - passed[k].at) * r.limit &&
				    sum > r.burst)
					fail_msg("seed %llu: more than declared",
						 (unsigned long long)s);
			}
		}
	}
}

static const struct {
	enum wv_breaker_phase phase;
	enum wv_breaker_cause cause;
	enum wv_breaker_phase next;
} table[] = {
	{WV_BREAKER_CLOSED, WV_BREAKER_ON_OVER, WV_BREAKER_OPEN},
	{WV_BREAKER_CLOSED, WV_BREAKER_ON_TIMEOUT, WV_BREAKER_CLOSED},
	{WV_BREAKER_OPEN, WV_BREAKER_ON_OVER, WV_BREAKER_OPEN},
	{WV_BREAKER_OPEN, WV_BREAKER_ON_TIMEOUT, WV_BREAKER_HALF_OPEN},
	{WV_BREAKER_HALF_OPEN, WV_BREAKER_ON_OVER, WV_BREAKER_OPEN},
	{WV_BREAKER_HALF_OPEN, WV_BREAKER_ON_TIMEOUT, WV_BREAKER_CLOSED},
};

static void machine_every_phase_and_cause_has_its_next(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(wv_breaker_next(table[i].phase, table[i].cause), table[i].next);
	assert_int_equal(sizeof(table) / sizeof(table[0]), WV_BREAKER_PHASE_N * WV_BREAKER_CAUSE_N);
}

#define SECOND 1000000000ULL

static struct wv_breaker_rate ten_a_second(uint64_t burst)
{
	struct wv_breaker_rate rate;

	assert_int_equal(wv_breaker_rate_make(10, SECOND, burst, 5 * SECOND, 2 * SECOND, 3, &rate),
			 0);
	rate.epoch = 1;
	return rate;
}

static void machine_open_ends_to_the_nanosecond(void **state)
{
	struct wv_breaker_rate rate = ten_a_second(4);
	struct wv_breaker_machine m = {.tat_ns = 100};

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_true(wv_breaker_ask(&m, &rate, 100, 1));
	assert_false(wv_breaker_ask(&m, &rate, 100, 1));
	assert_int_equal(m.trip_count, 5);
	assert_int_equal(m.phase, WV_BREAKER_OPEN);
	assert_false(wv_breaker_ask(&m, &rate, 99 + 5 * SECOND, 1));
	assert_true(wv_breaker_ask(&m, &rate, 100 + 5 * SECOND, 1));
	assert_int_equal(m.phase, WV_BREAKER_HALF_OPEN);
	assert_true(wv_breaker_ask(&m, &rate, 101 + 5 * SECOND, 2));
	wv_breaker_settle(&m, &rate, 99 + 7 * SECOND);
	assert_int_equal(m.phase, WV_BREAKER_HALF_OPEN);
	wv_breaker_settle(&m, &rate, 100 + 7 * SECOND);
	assert_int_equal(m.phase, WV_BREAKER_CLOSED);
	assert_int_equal(m.transitions, 3);
	/* closed with an empty history: the whole burst is there */
	assert_true(wv_breaker_ask(&m, &rate, 100 + 7 * SECOND, 4));
}

static void machine_one_probe_too_many_trips_again(void **state)
{
	struct wv_breaker_rate rate = ten_a_second(1);
	struct wv_breaker_machine m = {.phase = WV_BREAKER_OPEN, .until_ns = 50, .trips = 1};

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(wv_breaker_ask(&m, &rate, 60, 1));
	assert_false(wv_breaker_ask(&m, &rate, 61, 1));
	assert_int_equal(m.phase, WV_BREAKER_OPEN);
	assert_int_equal(m.until_ns, 61 + 5 * SECOND);
	assert_int_equal(m.trips, 2);
	assert_int_equal(m.trip_count, 4);
}

static void machine_another_rate_keeps_state(void **state)
{
	struct wv_breaker_rate rate = ten_a_second(100), slower;
	struct wv_breaker_machine m = {.tat_ns = 7};
	unsigned passed = 0;

	(void)state;
	assert_true(wv_breaker_ask(&m, &rate, 7, 20));
	assert_int_equal(wv_breaker_rate_make(1, SECOND, 2, SECOND, SECOND, 1, &slower), 0);
	slower.epoch = 2;
	/* one second of the old backlog is left: half of the new bucket */
	while (passed < 10 && wv_breaker_ask(&m, &slower, 7 + SECOND, 1))
		passed++;
	assert_int_equal(passed, 1);
	assert_int_equal(m.admitted, 21);
	assert_int_equal(m.trips, 1);
	/* more backlog than the new bucket has room for is an empty bucket, not more */
	m = (struct wv_breaker_machine){.tat_ns = 7};
	assert_true(wv_breaker_ask(&m, &rate, 7, 100));
	wv_breaker_rerate(&m, &slower, 8);
	assert_true(wv_breaker_ask(&m, &slower, 8 + SECOND, 1));
}

static void machine_pass_refuses_while_open_only(void **state)
{
	struct wv_breaker_rate rate = ten_a_second(1);
	struct wv_breaker_machine m = {.phase = WV_BREAKER_OPEN, .until_ns = 50};

	(void)state;
	assert_false(wv_breaker_pass(&m, &rate, 49));
	assert_int_equal(m.refused, 1);
	assert_true(wv_breaker_pass(&m, &rate, 50));
	assert_int_equal(m.phase, WV_BREAKER_HALF_OPEN);
	assert_int_equal(m.used, 0);
	assert_true(wv_breaker_pass(&m, &rate, 50 + 2 * SECOND));
	assert_int_equal(m.phase, WV_BREAKER_CLOSED);
}

static void rate_out_of_range_is_refused(void **state)
{
	struct wv_breaker_rate rate;

	(void)state;
	assert_int_equal(wv_breaker_rate_make(0, 1, 1, 1, 1, 1, &rate), -1);
	assert_int_equal(wv_breaker_rate_make(1, 0, 1, 1, 1, 1, &rate), -1);
	assert_int_equal(wv_breaker_rate_make(1, 86400 * SECOND, 100000000, 1, 1, 1, &rate), -1);
	assert_int_equal(wv_breaker_rate_make(100000000, 86400 * SECOND, 100000000, 1, 1, 1, &rate),
			 0);
	assert_int_equal(rate.depth_ns, 86400 * SECOND);
	assert_int_equal(wv_breaker_rate_make(3, SECOND, 0, 1, 1, 1, &rate), 0);
	assert_int_equal(rate.burst, 1);
	assert_int_equal(rate.cost_ns, 333333333);
	assert_int_equal(rate.cost_rem, 1);
}

/* What a machine can do ------------------------------------------------------------------------ */

static struct wv_host able_host(void)
{
	struct wv_host h = {.bpf_syscall = true,
			    .flavour = WV_FLAVOUR_BTF,
			    .lsm = -EOPNOTSUPP,
			    .trampoline = -EPERM};

	strcpy(h.cgroup2, "/sys/fs/cgroup");
	return h;
}

static int check(const struct wv_host *h, int kind, int action, char text[160])
{
	const struct wv_breaker b = {
		.kind = kind, .action = action, .limit = 1, .per_ns = SECOND, .burst = 1};

	return wv_breaker_check(h, NULL, &b, text, 160);
}

static void check_names_what_enforces(void **state)
{
	struct wv_host h = able_host();
	char text[160];

	(void)state;
	assert_int_equal(check(&h, WV_BREAKER_CONNECTS, WV_BREAKER_DENY, text), 0);
	assert_string_equal(text, "cgroup/connect4, connect6");
	assert_int_equal(check(&h, WV_BREAKER_FORKS, WV_BREAKER_DENY, text), 0);
	assert_string_equal(text, "tracepoint + SIGKILL");
	h.trampoline = 0;
	assert_int_equal(check(&h, WV_BREAKER_EXECS, WV_BREAKER_KILL, text), 0);
	assert_string_equal(text, "fmod_ret");
	h.lsm = 0;
	assert_int_equal(check(&h, WV_BREAKER_FORKS, WV_BREAKER_KILL, text), 0);
	assert_string_equal(text, "LSM");
}

static void check_says_why_not(void **state)
{
	struct wv_host h = able_host();
	char text[160];

	(void)state;
	assert_int_equal(check(&h, WV_BREAKER_CONNECTS, WV_BREAKER_KILL, text), -EOPNOTSUPP);
	assert_non_null(strstr(text, "action deny"));
	h.cgroup2[0] = '\0';
	assert_int_equal(check(&h, WV_BREAKER_EGRESS_PACKETS, WV_BREAKER_DENY, text), -EOPNOTSUPP);
	assert_int_equal(check(&h, WV_BREAKER_FORKS, WV_BREAKER_DENY, text), 0);
	h.flavour = WV_FLAVOUR_NONE;
	assert_int_equal(check(&h, WV_BREAKER_FORKS, WV_BREAKER_DENY, text), -EOPNOTSUPP);
	h.bpf_syscall = false;
	assert_int_equal(check(&h, WV_BREAKER_OOM_KILLS, WV_BREAKER_DENY, text), -EOPNOTSUPP);
	assert_string_equal(text, "the bpf system call is refused");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machine_random_is_the_reference),
		cmocka_unit_test(machine_never_admits_more_than_declared),
		cmocka_unit_test(machine_every_phase_and_cause_has_its_next),
		cmocka_unit_test(machine_open_ends_to_the_nanosecond),
		cmocka_unit_test(machine_one_probe_too_many_trips_again),
		cmocka_unit_test(machine_another_rate_keeps_state),
		cmocka_unit_test(machine_pass_refuses_while_open_only),
		cmocka_unit_test(rate_out_of_range_is_refused),
		cmocka_unit_test(check_names_what_enforces),
		cmocka_unit_test(check_says_why_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
