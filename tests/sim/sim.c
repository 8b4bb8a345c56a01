// SPDX-License-Identifier: GPL-2.0-only
/* Life of a simulated machine: made, mounted after a power cut, and what its program says of
 * itself. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/simfs.h"

uint64_t wv_sim_next(uint64_t *state)
{
	/* splitmix64 */
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static void begin(struct wv_sim *s, uint64_t seed)
{
	*s = (struct wv_sim){.io = wv_sim_io,
			     .mounted = true,
			     .random = seed,
			     .mono_ns = 1000000000ULL,
			     .wall_ns = 1700000000000000000ULL};
	s->io.ctx = s;
}

void wv_sim_init(struct wv_sim *s, uint64_t seed)
{
	begin(s, seed);
	wv_sim_image_init(&s->now);
}

void wv_sim_mount(struct wv_sim *s, const struct wv_sim_image *im, const struct wv_sim_fact *facts,
		  size_t n_facts, uint64_t seed)
{
	begin(s, seed);
	wv_sim_image_copy(&s->now, im);
	s->room_facts = n_facts + 16;
	s->facts = calloc(s->room_facts, sizeof(*s->facts));
	if (!s->facts)
		abort();
	if (n_facts)
		memcpy(s->facts, facts, n_facts * sizeof(*facts));
	s->n_facts = n_facts;
}

void wv_sim_free(struct wv_sim *s)
{
	if (!s->mounted)
		return;
	wv_sim_image_free(&s->now);
	wv_sim_image_free(&s->base);
	wv_sim_image_free(&s->born);
	for (size_t i = 0; i < s->n_ops; i++)
		free(s->ops[i].bytes);
	free(s->ops);
	free(s->facts);
	*s = (struct wv_sim){0};
}

void wv_sim_break(struct wv_sim *s, const struct wv_sim_fault *fault)
{
	s->fault = *fault;
	s->calls = s->failed = s->clock_reads = 0;
	if (fault->room)
		s->capacity = wv_sim_image_bytes(&s->now) + fault->room;
}

void wv_sim_trace(struct wv_sim *s)
{
	wv_sim_image_copy(&s->base, &s->now);
	s->base_facts = s->n_facts;
	s->tracing = true;
}

static void tell(struct wv_sim *s, const char *what, uint64_t n, bool acked)
{
	if (s->n_facts == s->room_facts) {
		s->room_facts = s->room_facts * 2 + 16;
		s->facts = reallocarray(s->facts, s->room_facts, sizeof(*s->facts));
		if (!s->facts)
			abort();
	}
	s->facts[s->n_facts++] = (struct wv_sim_fact){.what = what, .n = n, .acked = acked};
	wv_sim_record(s, WV_SIM_FACT)->fact = s->facts[s->n_facts - 1];
	if (s->told)
		s->told(&s->facts[s->n_facts - 1]);
}

void wv_sim_try(struct wv_sim *s, const char *what, uint64_t n)
{
	tell(s, what, n, false);
}

void wv_sim_ack(struct wv_sim *s, const char *what, uint64_t n)
{
	tell(s, what, n, true);
}

bool wv_sim_told(const struct wv_sim *s, const char *what, uint64_t n, bool acked)
{
	for (size_t i = s->n_facts; i-- > 0;)
		if (s->facts[i].acked == acked && s->facts[i].n == n &&
		    strcmp(s->facts[i].what, what) == 0)
			return true;
	return false;
}

uint64_t wv_sim_greatest(const struct wv_sim *s, const char *what, bool acked)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->n_facts; i++)
		if (s->facts[i].acked == acked && strcmp(s->facts[i].what, what) == 0 &&
		    s->facts[i].n > n)
			n = s->facts[i].n;
	return n;
}

uint64_t wv_sim_pick(struct wv_sim *s, uint64_t n)
{
	return wv_sim_next(&s->random) % n;
}
