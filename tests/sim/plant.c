// SPDX-License-Identifier: GPL-2.0-only
#include "tests/sim/plant.h"

#include <stdlib.h>
#include <string.h>

const char *const wv_sim_plant_names[WV_SIM_PLANT_N] = {
#define X(id, name, what) [WV_SIM_PLANT_##id] = (name),
	WV_SIM_PLANTS(X)
#undef X
};

static bool is_dir(const struct wv_sim *s, uint32_t ino)
{
	return s->now.nodes[ino]->kind == WV_SIM_DIR;
}

static void drop(struct wv_sim *s, size_t i)
{
	free(s->ops[i].bytes);
	memmove(&s->ops[i], &s->ops[i + 1], (s->n_ops - i - 1) * sizeof(*s->ops));
	s->n_ops--;
}

/* Puts op `from` before op `to`, which came earlier. */
static void move(struct wv_sim *s, size_t from, size_t to)
{
	struct wv_sim_op op = s->ops[from];

	memmove(&s->ops[to + 1], &s->ops[to], (from - to) * sizeof(*s->ops));
	s->ops[to] = op;
}

static void rename_early(struct wv_sim *s, size_t i)
{
	const struct wv_sim_op *op = &s->ops[i];
	uint32_t ino = op->change[1].ino;
	size_t to = i;

	if (op->n_changes < 2)
		return;
	for (size_t k = i; k-- > 0;) {
		if (s->ops[k].kind == WV_SIM_ENTRY && s->ops[k].change[0].ino == ino)
			break; /* it was made there */
		if (s->ops[k].kind != WV_SIM_ENTRY && s->ops[k].kind != WV_SIM_FACT &&
		    s->ops[k].ino == ino)
			to = k;
	}
	move(s, i, to);
}

/* Before the first sync since the thing was tried. */
static void ack_early(struct wv_sim *s, size_t i)
{
	const struct wv_sim_fact *fact = &s->ops[i].fact;
	size_t to = i;

	for (size_t k = i; k-- > 0;) {
		const struct wv_sim_fact *f = &s->ops[k].fact;

		if (s->ops[k].kind == WV_SIM_SYNC)
			to = k;
		if (s->ops[k].kind == WV_SIM_FACT && f->n == fact->n && !f->acked &&
		    strcmp(f->what, fact->what) == 0)
			break;
	}
	move(s, i, to);
}

static bool is_dropped(const struct wv_sim *s, const struct wv_sim_plant *plant, size_t i,
		       unsigned nth)
{
	const struct wv_sim_op *op = &s->ops[i];
	bool sync = op->kind == WV_SIM_SYNC;

	switch (plant->kind) {
	case WV_SIM_PLANT_NO_FILE_SYNC:
		return sync && !is_dir(s, op->ino);
	case WV_SIM_PLANT_NO_DIR_SYNC:
		return sync && is_dir(s, op->ino);
	case WV_SIM_PLANT_ONE_SYNC:
		return sync && nth == plant->nth;
	default:
		return false;
	}
}

/* Facts in the order that they have now. */
static void order_facts(struct wv_sim *s)
{
	size_t n = s->base_facts;

	for (size_t i = 0; i < s->n_ops; i++)
		if (s->ops[i].kind == WV_SIM_FACT)
			s->facts[n++] = s->ops[i].fact;
}

void wv_sim_plant(struct wv_sim *s, const struct wv_sim_plant *plant, bool nested)
{
	unsigned nth = 0;

	if (plant->kind == WV_SIM_PLANT_NONE || (plant->kind == WV_SIM_PLANT_ONE_SYNC && nested))
		return;
	for (size_t i = 0; i < s->n_ops; i++) {
		nth += s->ops[i].kind == WV_SIM_SYNC;
		if (is_dropped(s, plant, i, nth))
			drop(s, i--);
		else if (plant->kind == WV_SIM_PLANT_EARLY_RENAME && s->ops[i].kind == WV_SIM_ENTRY)
			rename_early(s, i);
		else if (plant->kind == WV_SIM_PLANT_EARLY_ACK && s->ops[i].kind == WV_SIM_FACT &&
			 s->ops[i].fact.acked)
			ack_early(s, i);
	}
	order_facts(s);
}

unsigned wv_sim_syncs(const struct wv_sim *s)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->n_ops; i++)
		n += s->ops[i].kind == WV_SIM_SYNC;
	return n;
}
