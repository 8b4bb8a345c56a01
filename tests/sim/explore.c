// SPDX-License-Identifier: GPL-2.0-only
/*
 * A point is a place in the trace after which a power cut is tried. Choices at one point are made
 * exhaustively where there are few, otherwise those that find most come first (nothing survives,
 * all does, all up to some part with that one torn at every byte, all but one, only one), then
 * random ones. A state is opened once, and again when more has been promised since.
 */
#include "tests/sim/explore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/seen.h"
#include "user/core/cleanup.h"

/* ways to tear a part, besides the sweep over every byte */
#define CUTS 2
/* rounds without a new state, after which there is nothing more to see */
#define BARREN 5
/* of how many states that a second power cut left one is opened with a third one */
#define NEST_EVERY 20
/* states of a round that are opened with power cuts in their recovery, once the round is through */
#define LATER 32

struct later {
	struct wv_sim_image im;
	size_t n_facts;
};

struct explorer {
	const struct wv_sim_scenario *scenario;
	const struct wv_sim_limits *limits;
	struct wv_sim_result *res;
	struct wv_sim_seen states, opened;
	uint64_t random;
	uint64_t seed;			      /* of this round */
	struct wv_sim_fault fault, run_fault; /* now, and of the run that this is about */
	const struct wv_sim *run;
	uint64_t stop_at; /* distinct states, for now */
	struct later later[LATER];
	unsigned n_later;
	uint64_t n_asked; /* for a place among them */
};

/* One point of one trace. */
struct point {
	struct explorer *x;
	struct wv_sim_disk *d;
	uint32_t op;
	size_t n_facts;
	unsigned depth;
	uint64_t left; /* choices */
};

static void explore(struct explorer *x, const struct wv_sim *s, unsigned depth);

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static bool is_done(const struct explorer *x)
{
	return x->res->distinct >= x->stop_at || (x->limits->stop && x->res->violations > 0);
}

static void print_fault(const struct wv_sim_fault *f)
{
	if (f->at)
		printf("       calls %u to %u of it fail: %s\n", f->at, f->at + f->count - 1,
		       strerror(-f->error));
	if (f->room)
		printf("       the disk has room for %" PRIu64 " bytes\n", f->room);
	if (f->jump_at)
		printf("       the clock jumps by %" PRId64 " s\n", f->jump_ns / 1000000000);
}

static void tell_violation(struct point *p, struct wv_sim_image *im, const char *why)
{
	struct explorer *x = p->x;
	bool in_order = wv_sim_disk_names_in_order(p->d);

	x->res->out_of_order += !in_order;
	if (!x->res->violations++)
		snprintf(x->res->why, sizeof(x->res->why), "%s", why);
	if (x->res->violations > x->limits->show)
		return;
	printf("VIOLATION %s: %s\n", x->scenario->name, why);
	printf("  round with seed %llu, power cut %u in a row, after op %u%s\n",
	       (unsigned long long)x->seed, p->depth + 1, p->op,
	       in_order ? "" : ", names out of order");
	if (p->depth) {
		struct wv_sim_disk run = {.s = x->run};

		printf("  the run, cut somewhere:\n");
		print_fault(&x->run_fault);
		wv_sim_disk_print(&run, UINT32_MAX, stdout);
	}
	printf("  %s:\n", p->depth ? "recovery" : "the run");
	print_fault(&x->fault);
	wv_sim_disk_print(p->d, p->op, stdout);
	printf("  what the disk holds:\n");
	wv_sim_image_print(im, stdout);
	fflush(stdout);
}

/* Any of a round's states may be among those, early and late ones alike. */
static void keep_for_later(struct explorer *x, const struct wv_sim_image *im, size_t n_facts)
{
	uint64_t at = x->n_asked++;

	if (at >= LATER)
		at = wv_sim_next(&x->random) % x->n_asked;
	if (at >= LATER)
		return;
	if (at < x->n_later)
		wv_sim_image_free(&x->later[at].im);
	else
		x->n_later++;
	wv_sim_image_copy(&x->later[at].im, im);
	x->later[at].n_facts = n_facts;
}

/* Opens an image as a start after a power cut does. The caller frees ret. */
static int recover(struct explorer *x, const struct wv_sim *s, const struct wv_sim_image *im,
		   size_t n_facts, unsigned depth, const struct wv_sim_fault *fault,
		   struct wv_sim *ret, char *why, size_t size)
{
	wv_sim_mount(ret, im, s->facts, n_facts, x->seed + depth + 1);
	ret->wall_ns += 60000000000ULL * (depth + 1);
	ret->no_truncate = x->limits->plant.kind == WV_SIM_PLANT_NO_TRUNCATE;
	wv_sim_trace(ret);
	if (fault)
		wv_sim_break(ret, fault);
	x->res->opened++;
	return x->scenario->check(ret, why, size);
}

static void open_image(struct point *p, struct wv_sim_image *im, bool fresh)
{
	struct explorer *x = p->x;
	const struct wv_sim_limits *l = x->limits;
	bool nest = fresh && p->depth + 1 < l->depth;
	char why[256] = "";
	struct wv_sim f;

	if (recover(x, p->d->s, im, p->n_facts, p->depth, NULL, &f, why, sizeof(why)) < 0) {
		tell_violation(p, im, why);
	} else if (nest && p->depth == 0) {
		keep_for_later(x, im, p->n_facts);
	} else if (nest && wv_sim_next(&x->random) % NEST_EVERY == 0) {
		wv_sim_plant(&f, &l->plant, true);
		explore(x, &f, p->depth + 1);
	}
	wv_sim_free(&f);
}

/* Something that goes wrong: in a run of so many calls, or in a recovery, which makes fewer. */
static struct wv_sim_fault draw_fault(struct explorer *x, unsigned calls)
{
	static const int errors[] = {-ENOSPC, -EROFS, -EIO, -EIO};
	static const unsigned counts[] = {1, 1, 2, 3, 1000000};
	static const int64_t jumps_s[] = {-86400 * 365LL, -3600, 3600, 86400 * 365LL};
	struct wv_sim_fault f = {.error = -EIO};

	switch (wv_sim_next(&x->random) % 6) {
	case 0:
		f.room = 1 + wv_sim_next(&x->random) % 30000;
		break;
	case 1:
		f.jump_at = 1 + (unsigned)(wv_sim_next(&x->random) % 20);
		f.jump_ns = jumps_s[wv_sim_next(&x->random) % ARRAY_SIZE(jumps_s)] * 1000000000;
		break;
	default:
		f.at = 1 + (unsigned)(wv_sim_next(&x->random) % (calls ? calls : 1));
		f.error = errors[wv_sim_next(&x->random) % ARRAY_SIZE(errors)];
		f.count = counts[wv_sim_next(&x->random) % ARRAY_SIZE(counts)];
	}
	return f;
}

/*
 * Power cuts in the recoveries of a round's states: about as many states as the round had. Every
 * third of these recoveries meets a fault: it may fail, but not do harm.
 */
static void explore_later(struct explorer *x, const struct wv_sim *s, uint64_t states)
{
	struct wv_sim_fault none = {0}, of_run = x->fault;

	for (unsigned i = 0; i < x->n_later; i++) {
		struct later *l = &x->later[i];
		bool faulty = x->limits->faults && i % 3 == 2;
		char why[256] = "";
		struct wv_sim f = {0};

		x->stop_at = x->res->distinct + states / x->n_later + 1;
		x->fault = faulty ? draw_fault(x, 60) : none;
		if (!is_done(x) &&
		    (recover(x, s, &l->im, l->n_facts, 0, &x->fault, &f, why, sizeof(why)) == 0 ||
		     faulty)) {
			wv_sim_plant(&f, &x->limits->plant, true);
			explore(x, &f, 1);
		}
		wv_sim_free(&f);
		wv_sim_image_free(&l->im);
	}
	x->fault = of_run;
	x->n_later = 0;
	x->n_asked = 0;
}

static size_t promised(const struct point *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_facts; i++)
		n += p->d->s->facts[i].acked;
	return n;
}

/* Opens the state of the present choice, if it is new. */
static void choose(struct point *p, bool garbage)
{
	struct explorer *x = p->x;
	unsigned char hash[WV_SIM_HASH_SIZE];
	struct wv_sim_image im;
	size_t acks = promised(p);
	bool fresh;

	if (!p->left || is_done(x))
		return;
	p->left--;
	x->res->tried++;
	wv_sim_disk_image(p->d, garbage, &im);
	wv_sim_image_hash(&im, hash);
	fresh = wv_sim_seen_add(&x->states, hash);
	x->res->distinct += fresh;
	x->res->nested += fresh && p->depth;
	for (size_t i = 0; i < sizeof(acks); i++)
		hash[i] ^= (unsigned char)(acks * 0x9e3779b97f4a7c15ULL >> (8 * i));
	if (wv_sim_seen_add(&x->opened, hash))
		open_image(p, &im, fresh);
	wv_sim_image_free(&im);
}

/* Choices of a lane: so many parts and nothing, or a torn one, of the next. */
static uint64_t lane_choices(const struct wv_sim_lane *l)
{
	return l->kind == WV_SIM_DATA ? (uint64_t)l->n * (1 + CUTS) + 1 : (uint64_t)l->n + 1;
}

static uint32_t part_len(const struct wv_sim_disk *d, uint32_t lane, uint32_t place)
{
	for (size_t i = 0; i < d->n_parts; i++)
		if (d->parts[i].lane == lane && d->parts[i].place == place)
			return d->parts[i].len;
	return 0;
}

static void set_lane(struct wv_sim_disk *d, uint32_t lane, uint64_t choice)
{
	struct wv_sim_lane *l = &d->lanes[lane];
	uint32_t len;

	if (l->kind != WV_SIM_DATA) {
		l->kept = (uint32_t)choice;
		l->cut = 0;
		return;
	}
	l->kept = (uint32_t)(choice / (1 + CUTS));
	len = part_len(d, lane, l->kept);
	switch (choice % (1 + CUTS)) {
	case 0:
		l->cut = 0;
		break;
	case 1:
		l->cut = (len + 1) / 2;
		break;
	default:
		l->cut = len ? len - 1 : 0;
	}
}

static uint64_t count_choices(const struct wv_sim_disk *d, uint64_t max)
{
	uint64_t n = 1;

	for (uint32_t i = 0; i < d->n_lanes && n <= max; i++)
		n *= lane_choices(&d->lanes[i]);
	return n;
}

static void choose_all(struct point *p, bool garbage)
{
	struct wv_sim_disk *d = p->d;
	uint64_t total = count_choices(d, UINT32_MAX);

	for (uint64_t i = 0; i < total && !is_done(p->x); i++) {
		uint64_t rest = i;

		for (uint32_t k = 0; k < d->n_lanes; k++) {
			uint64_t n = lane_choices(&d->lanes[k]);

			set_lane(d, k, rest % n);
			rest /= n;
		}
		choose(p, garbage);
	}
}

/* All parts up to one, and that one torn at every byte: what an appending program leaves. */
static void choose_torn(struct point *p, size_t part, bool garbage)
{
	struct wv_sim_disk *d = p->d;
	const struct wv_sim_part *q = &d->parts[part];
	struct wv_sim_lane *l;

	if (q->kind != WV_SIM_DATA)
		return;
	wv_sim_disk_keep_until(d, part);
	l = &d->lanes[q->lane];
	for (uint32_t size = 0; size < 2; size++) { /* the file as long as before, or grown */
		for (l->cut = 1; l->cut < q->len; l->cut++)
			choose(p, garbage);
		l->cut = 0;
		for (size_t i = part; i < d->n_parts; i++)
			if (d->parts[i].kind == WV_SIM_SIZE && d->parts[i].op == q->op)
				d->lanes[d->parts[i].lane].kept = d->parts[i].place + 1;
	}
}

static void choose_likely(struct point *p, bool garbage)
{
	struct wv_sim_disk *d = p->d;

	for (size_t i = 0; i <= d->n_parts; i++) {
		wv_sim_disk_keep_until(d, d->n_parts - i);
		choose(p, garbage);
	}
	for (size_t i = 0; i < d->n_parts; i++) {
		wv_sim_disk_keep_until(d, d->n_parts);
		d->lanes[d->parts[i].lane].kept = d->parts[i].place;
		choose(p, garbage);
		wv_sim_disk_keep_none(d);
		d->lanes[d->parts[i].lane].kept = d->parts[i].place + 1;
		choose(p, garbage);
	}
}

/* Lanes independently, with a bias of this choice: mostly lost, mostly kept, or even. */
static void choose_random(struct point *p, bool garbage)
{
	struct wv_sim_disk *d = p->d;
	uint64_t *random = &p->x->random;
	uint64_t bias = wv_sim_next(random) % 5;

	wv_sim_disk_keep_until(d, d->n_parts);
	if (bias == 4)
		wv_sim_disk_keep_until(d, wv_sim_next(random) % (d->n_parts + 1));
	for (uint32_t i = 0; i < d->n_lanes; i++) {
		uint64_t draw = wv_sim_next(random) % 10;

		if (bias == 0 && draw) {
			d->lanes[i].kept = d->lanes[i].cut = 0;
			continue;
		}
		if ((bias == 1 || bias == 4) && draw > 1)
			continue;
		set_lane(d, i, wv_sim_next(random) % lane_choices(&d->lanes[i]));
		if (d->lanes[i].cut)
			d->lanes[i].cut = 1 + (uint32_t)(wv_sim_next(random) %
							 part_len(d, i, d->lanes[i].kept));
	}
	choose(p, garbage);
}

static void cut_here(struct explorer *x, struct wv_sim_disk *d, uint32_t op, size_t n_facts,
		     unsigned depth)
{
	uint64_t max = depth ? x->limits->nested : x->limits->choices;
	struct point p = {
		.x = x, .d = d, .op = op, .n_facts = n_facts, .depth = depth, .left = max};
	bool few = count_choices(d, max) * (1 + x->scenario->garbage) <= max;
	size_t torn = d->n_parts;

	x->res->points++;
	if (few) {
		p.left = UINT64_MAX;
		for (int g = 0; g <= x->scenario->garbage; g++)
			choose_all(&p, g);
	} else {
		x->res->sampled++;
		choose_likely(&p, false);
	}
	/* the last write, torn at every byte, if there is one */
	while (torn > 0 && d->parts[torn - 1].kind != WV_SIM_DATA)
		torn--;
	if (torn > 0 && !depth)
		choose_torn(&p, torn - 1, x->scenario->garbage && wv_sim_next(&x->random) % 2);
	while (!few && p.left && !is_done(x))
		choose_random(&p, x->scenario->garbage && wv_sim_next(&x->random) % 4 == 0);
}

/*
 * Power cuts all along a trace. Where the next op adds parts and nothing is sampled, a cut there
 * leaves every state that one here would, so only places before a sync or a promise and the end
 * count.
 */
static void explore(struct explorer *x, const struct wv_sim *s, unsigned depth)
{
	uint64_t max = depth ? x->limits->nested : x->limits->choices;
	size_t n_facts = s->base_facts;
	struct wv_sim_disk d;
	bool due = depth == 0;

	wv_sim_disk_init(&d, s);
	for (uint32_t i = 0; i < s->n_ops && !is_done(x); i++) {
		const struct wv_sim_op *op = &s->ops[i];
		const struct wv_sim_op *next = i + 1 < s->n_ops ? op + 1 : NULL;
		bool adds = next && next->kind <= WV_SIM_ENTRY;

		wv_sim_disk_step(&d, i);
		if (op->kind == WV_SIM_FACT)
			n_facts++;
		if (op->kind <= WV_SIM_ENTRY || (op->kind == WV_SIM_FACT && op->fact.acked))
			due = true;
		if (!due || (adds && count_choices(&d, max) <= max))
			continue;
		if (next && next->kind == WV_SIM_FACT && !next->fact.acked)
			continue;
		cut_here(x, &d, i, n_facts, depth);
		due = false;
	}
	wv_sim_disk_free(&d);
}

/* One run and all its cuts. *ret_calls: calls that could have failed. */
static int round_of(struct explorer *x, const struct wv_sim_fault *fault, unsigned *ret_calls)
{
	const struct wv_sim_scenario *sc = x->scenario;
	uint64_t before = x->res->distinct;
	struct wv_sim s;
	int r;

	wv_sim_init(&s, x->seed);
	r = sc->setup ? sc->setup(&s) : 0;
	if (r == 0) {
		s.no_truncate = x->limits->plant.kind == WV_SIM_PLANT_NO_TRUNCATE;
		wv_sim_trace(&s);
		x->run = &s;
		x->fault = x->run_fault = *fault;
		wv_sim_break(&s, fault);
		r = sc->run(&s);
	}
	if (r == 0) {
		*ret_calls = s.calls;
		x->res->ops += s.n_ops;
		x->res->rounds++;
		x->res->syncs = wv_sim_syncs(&s);
		x->stop_at = UINT64_MAX;
		wv_sim_plant(&s, &x->limits->plant, false);
		explore(x, &s, 0);
		explore_later(x, &s, x->res->distinct - before);
	}
	wv_sim_free(&s);
	return r;
}

int wv_sim_explore(const struct wv_sim_scenario *scenario, const struct wv_sim_limits *limits,
		   struct wv_sim_result *ret)
{
	struct explorer x = {.scenario = scenario, .limits = limits, .res = ret};
	const struct wv_sim_fault none = {.error = -EIO};
	uint64_t start = now_ns();
	unsigned barren = 0;
	int r = 0;

	*ret = (struct wv_sim_result){0};
	for (uint64_t i = 0; r == 0 && barren < BARREN && i < limits->rounds; i++) {
		uint64_t before = ret->distinct;
		unsigned calls = 0;

		x.seed = limits->seed + i;
		x.random = x.seed * 0x2545f4914f6cdd1dULL + 1;
		x.stop_at = limits->distinct;
		if (is_done(&x))
			break;
		r = round_of(&x, &none, &calls);
		for (unsigned k = 0; r == 0 && calls && k < limits->faults; k++) {
			const struct wv_sim_fault fault = draw_fault(&x, calls);
			unsigned made;

			r = round_of(&x, &fault, &made);
		}
		barren = ret->distinct > before ? 0 : barren + 1;
	}
	ret->ns = now_ns() - start;
	wv_sim_seen_free(&x.states);
	wv_sim_seen_free(&x.opened);
	return r;
}
