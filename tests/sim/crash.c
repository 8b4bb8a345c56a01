// SPDX-License-Identifier: GPL-2.0-only
#include "tests/sim/crash.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static void *grow(void *list, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return list;
	*room = *room * 2 + 32;
	list = reallocarray(list, *room, size);
	if (!list)
		abort();
	return list;
}

void wv_sim_disk_init(struct wv_sim_disk *d, const struct wv_sim *s)
{
	*d = (struct wv_sim_disk){.s = s};
	wv_sim_image_copy(&d->durable, &s->base);
}

void wv_sim_disk_free(struct wv_sim_disk *d)
{
	wv_sim_image_free(&d->durable);
	free(d->parts);
	free(d->lanes);
	free(d->reach);
	*d = (struct wv_sim_disk){0};
}

/* Lanes ------------------------------------------------------------------------------------------
 */

static uint32_t lane_of(struct wv_sim_disk *d, enum wv_sim_part_kind kind, uint32_t ino,
			uint64_t sector)
{
	struct wv_sim_lane *l;

	for (uint32_t i = 0; kind != WV_SIM_NAME && i < d->n_lanes; i++)
		if (d->lanes[i].kind == kind && d->lanes[i].ino == ino &&
		    d->lanes[i].sector == sector)
			return i;
	d->lanes = grow(d->lanes, d->n_lanes, &d->room_lanes, sizeof(*l));
	l = &d->lanes[d->n_lanes];
	*l = (struct wv_sim_lane){.kind = kind, .ino = ino, .sector = sector};
	return d->n_lanes++;
}

static struct wv_sim_reach *reach_of(struct wv_sim_disk *d, uint32_t ino)
{
	for (size_t i = 0; i < d->n_reach; i++)
		if (d->reach[i].ino == ino)
			return &d->reach[i];
	d->reach = grow(d->reach, d->n_reach, &d->room_reach, sizeof(*d->reach));
	d->reach[d->n_reach] = (struct wv_sim_reach){.ino = ino};
	return &d->reach[d->n_reach++];
}

static void add_part(struct wv_sim_disk *d, enum wv_sim_part_kind kind, uint32_t op, uint32_t ino,
		     uint64_t off, uint32_t len)
{
	uint32_t lane = lane_of(d, kind, ino, kind == WV_SIM_DATA ? off / WV_SIM_SECTOR : 0);
	struct wv_sim_part *p;

	d->parts = grow(d->parts, d->n_parts, &d->room_parts, sizeof(*p));
	p = &d->parts[d->n_parts++];
	*p = (struct wv_sim_part){.kind = kind,
				  .op = op,
				  .lane = lane,
				  .place = d->lanes[lane].n++,
				  .off = off,
				  .len = len};
}

static void add_write(struct wv_sim_disk *d, uint32_t index, const struct wv_sim_op *op)
{
	struct wv_sim_reach *reach = reach_of(d, op->ino);
	uint64_t off = op->off, end = op->off + op->len;

	if (end > reach->end)
		reach->end = end;
	while (off < end) {
		uint64_t next = (off / WV_SIM_SECTOR + 1) * WV_SIM_SECTOR;

		if (next > end)
			next = end;
		add_part(d, WV_SIM_DATA, index, op->ino, off, (uint32_t)(next - off));
		off = next;
	}
	if (op->size != op->before)
		add_part(d, WV_SIM_SIZE, index, op->ino, 0, 0);
}

/* Parts ------------------------------------------------------------------------------------------
 */

/* A node that this image has not met yet is as it was when it was made. */
static void meet(const struct wv_sim_disk *d, struct wv_sim_image *im, uint32_t ino)
{
	if (ino < im->n && im->nodes[ino])
		return;
	wv_sim_image_put(im, ino, wv_sim_node_ref(d->s->born.nodes[ino]));
}

static void fill(unsigned char *bytes, uint64_t from, uint64_t to, bool garbage)
{
	if (to <= from)
		return;
	if (!garbage) {
		memset(bytes + from, 0, to - from);
		return;
	}
	/* lines of what may have been there before */
	for (uint64_t i = from; i < to; i++)
		bytes[i] = i % 23 == 22 ? '\n' : (unsigned char)('!' + i * 7 % 90);
}

/* Bytes after the end of the file are kept until its size is known. */
static struct wv_sim_node *touch(struct wv_sim_disk *d, struct wv_sim_image *im, uint32_t ino,
				 bool garbage)
{
	struct wv_sim_reach *reach = reach_of(d, ino);
	struct wv_sim_node *node;

	meet(d, im, ino);
	node = wv_sim_image_edit(im, ino);
	if (!reach->touched) {
		wv_sim_node_reserve(node, reach->end > node->len ? reach->end : node->len);
		fill(node->bytes, node->len, reach->end, garbage);
		reach->touched = true;
	}
	return node;
}

static void apply(struct wv_sim_disk *d, struct wv_sim_image *im, const struct wv_sim_part *p,
		  uint32_t len, bool garbage)
{
	const struct wv_sim_op *op = &d->s->ops[p->op];
	struct wv_sim_node *node;

	if (p->kind == WV_SIM_NAME) {
		for (unsigned i = 0; i < op->n_changes; i++) {
			const struct wv_sim_change *c = &op->change[i];

			if (p->over & 1U << i)
				continue;
			meet(d, im, c->dir);
			if (c->ino != WV_SIM_NONE)
				meet(d, im, c->ino);
			wv_sim_image_set(im, c->dir, c->name, c->ino);
		}
		return;
	}
	node = touch(d, im, op->ino, garbage);
	if (p->kind == WV_SIM_DATA) {
		memcpy(node->bytes + p->off, op->bytes + (p->off - op->off), len);
		return;
	}
	/* a truncation that grows a file makes zeros, one that shrinks it forgets the bytes */
	if (op->kind == WV_SIM_TRUNCATE) {
		uint64_t end = reach_of(d, op->ino)->end;

		wv_sim_node_reserve(node, op->size);
		fill(node->bytes, node->len, op->size, false);
		fill(node->bytes, op->size, end, garbage);
	}
	wv_sim_node_reserve(node, op->size);
	node->len = op->size;
}

static void untouch(struct wv_sim_disk *d)
{
	for (size_t i = 0; i < d->n_reach; i++)
		d->reach[i].touched = false;
}

static bool concerns(const struct wv_sim_disk *d, const struct wv_sim_part *p, uint32_t ino)
{
	const struct wv_sim_op *op = &d->s->ops[p->op];

	if (p->kind != WV_SIM_NAME)
		return op->ino == ino;
	for (unsigned i = 0; i < op->n_changes; i++)
		if (op->change[i].dir == ino)
			return true;
	return false;
}

/* Makes lanes anew from the parts that are left. */
static void renumber(struct wv_sim_disk *d)
{
	d->n_lanes = 0;
	for (size_t i = 0; i < d->n_parts; i++) {
		struct wv_sim_part *p = &d->parts[i];

		p->lane = lane_of(d, p->kind, d->s->ops[p->op].ino,
				  p->kind == WV_SIM_DATA ? p->off / WV_SIM_SECTOR : 0);
		p->place = d->lanes[p->lane].n++;
	}
}

/*
 * A sync that failed writes nothing, and no later one writes what it should have: the kernel takes
 * those pages for clean. Only where a later write dirtied the same sector does it go along. Names
 * are metadata: they stay to be written, or the file system refuses everything from then on.
 */
static bool is_written(const struct wv_sim_disk *d, size_t i)
{
	if (!d->parts[i].refused)
		return true;
	for (size_t k = i + 1; k < d->n_parts; k++)
		if (d->parts[k].lane == d->parts[i].lane && !d->parts[k].refused)
			return true;
	return false;
}

/* Which of the names of `a` (bit by bit) `b` sets, too. */
static unsigned names_again(const struct wv_sim_op *a, const struct wv_sim_op *b)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < a->n_changes; i++)
		for (unsigned k = 0; k < b->n_changes; k++)
			if (a->change[i].dir == b->change[k].dir &&
			    a->change[i].name == b->change[k].name)
				mask |= 1U << i;
	return mask;
}

/* Parts from before `op`, which is on disk by now, do not undo what it did. */
static void drop_undone(struct wv_sim_disk *d, uint32_t index)
{
	const struct wv_sim_op *op = &d->s->ops[index];
	size_t left = 0;

	for (size_t i = 0; i < d->n_parts; i++) {
		struct wv_sim_part *p = &d->parts[i];
		const struct wv_sim_op *old = &d->s->ops[p->op];
		bool cut_off = op->kind == WV_SIM_TRUNCATE && p->kind == WV_SIM_DATA &&
			       old->ino == op->ino && p->off >= op->size;

		if (p->op < index && p->kind == WV_SIM_NAME)
			p->over |= names_again(old, op);
		if (p->op >= index ||
		    !(cut_off || (p->kind == WV_SIM_NAME && p->over == (1U << old->n_changes) - 1)))
			d->parts[left++] = *p;
	}
	d->n_parts = left;
}

static void sync_node(struct wv_sim_disk *d, uint32_t ino, bool failed)
{
	size_t left = 0, n_old = d->n_parts, n_done = 0;
	uint32_t *done;

	if (failed) {
		for (size_t i = 0; i < d->n_parts; i++)
			d->parts[i].refused |=
				d->parts[i].kind != WV_SIM_NAME && concerns(d, &d->parts[i], ino);
		return;
	}
	done = calloc(n_old + 1, sizeof(*done));
	if (!done)
		abort();
	untouch(d);
	for (size_t i = 0; i < d->n_parts; i++) {
		struct wv_sim_part *p = &d->parts[i];

		if (!concerns(d, p, ino) || !is_written(d, i)) {
			d->parts[left++] = *p;
			continue;
		}
		apply(d, &d->durable, p, p->len, false);
		done[n_done++] = p->op;
	}
	d->n_parts = left;
	for (size_t i = 0; i < n_done && d->n_parts; i++)
		drop_undone(d, done[i]);
	free(done);
	renumber(d);
}

void wv_sim_disk_step(struct wv_sim_disk *d, uint32_t index)
{
	const struct wv_sim_op *op = &d->s->ops[index];

	switch (op->kind) {
	case WV_SIM_WRITE:
		add_write(d, index, op);
		break;
	case WV_SIM_TRUNCATE:
		(void)reach_of(d, op->ino);
		add_part(d, WV_SIM_SIZE, index, op->ino, 0, 0);
		break;
	case WV_SIM_ENTRY:
		add_part(d, WV_SIM_NAME, index, op->ino, 0, 0);
		break;
	case WV_SIM_SYNC:
		sync_node(d, op->ino, op->failed);
		break;
	case WV_SIM_FACT:
		break;
	}
}

void wv_sim_disk_keep_none(struct wv_sim_disk *d)
{
	for (uint32_t i = 0; i < d->n_lanes; i++)
		d->lanes[i].kept = d->lanes[i].cut = 0;
}

void wv_sim_disk_keep_until(struct wv_sim_disk *d, size_t part)
{
	wv_sim_disk_keep_none(d);
	for (size_t i = 0; i < part && i < d->n_parts; i++)
		d->lanes[d->parts[i].lane].kept++;
}

void wv_sim_disk_image(struct wv_sim_disk *d, bool garbage, struct wv_sim_image *ret)
{
	untouch(d);
	wv_sim_image_copy(ret, &d->durable);
	for (size_t i = 0; i < d->n_parts; i++) {
		const struct wv_sim_part *p = &d->parts[i];
		const struct wv_sim_lane *l = &d->lanes[p->lane];

		if (p->place < l->kept)
			apply(d, ret, p, p->len, garbage);
		else if (p->place == l->kept && l->cut && p->kind == WV_SIM_DATA)
			apply(d, ret, p, l->cut < p->len ? l->cut : p->len, garbage);
	}
}

bool wv_sim_disk_names_in_order(const struct wv_sim_disk *d)
{
	for (size_t i = 0; i < d->n_parts; i++) {
		const struct wv_sim_part *p = &d->parts[i];

		if (p->kind != WV_SIM_NAME || d->lanes[p->lane].kept)
			continue;
		for (size_t k = i + 1; k < d->n_parts; k++) {
			const struct wv_sim_part *q = &d->parts[k];

			if (q->kind == WV_SIM_NAME && d->lanes[q->lane].kept &&
			    concerns(d, q, d->s->ops[p->op].change[0].dir))
				return false;
		}
	}
	return true;
}

/* For people -------------------------------------------------------------------------------------
 */

static void print_op(const struct wv_sim_op *op, FILE *f)
{
	switch (op->kind) {
	case WV_SIM_WRITE:
		fprintf(f, "write     node %u, %zu bytes at %llu: ", op->ino, op->len,
			(unsigned long long)op->off);
		for (size_t i = 0; i < op->len && i < 48; i++)
			fputc(isprint(op->bytes[i]) ? op->bytes[i] : '.', f);
		break;
	case WV_SIM_TRUNCATE:
		fprintf(f, "truncate  node %u, %llu -> %llu", op->ino,
			(unsigned long long)op->before, (unsigned long long)op->size);
		break;
	case WV_SIM_ENTRY:
		for (unsigned i = 0; i < op->n_changes; i++) {
			fprintf(f, i ? ", " : "names     ");
			fprintf(f, "%s in folder %u", op->change[i].name, op->change[i].dir);
			if (op->change[i].ino == WV_SIM_NONE)
				fprintf(f, " goes");
			else
				fprintf(f, " is node %u", op->change[i].ino);
		}
		break;
	case WV_SIM_SYNC:
		fprintf(f, "sync      node %u%s", op->ino, op->failed ? ": failed" : "");
		break;
	case WV_SIM_FACT:
		fprintf(f, "-- %s: %s %llu", op->fact.acked ? "promised" : "tried", op->fact.what,
			(unsigned long long)op->fact.n);
		break;
	}
	fputc('\n', f);
}

void wv_sim_disk_print(const struct wv_sim_disk *d, uint32_t last, FILE *f)
{
	size_t k = 0;

	for (uint32_t i = 0; i <= last && i < d->s->n_ops; i++) {
		fprintf(f, "  %4u ", i);
		print_op(&d->s->ops[i], f);
		for (; k < d->n_parts && d->parts[k].op == i; k++) {
			const struct wv_sim_part *p = &d->parts[k];
			const struct wv_sim_lane *l = &d->lanes[p->lane];
			bool torn = p->place == l->kept && l->cut && p->kind == WV_SIM_DATA;

			fprintf(f, "         %s: %s",
				p->kind == WV_SIM_DATA	 ? "data"
				: p->kind == WV_SIM_SIZE ? "size"
							 : "names",
				p->place < l->kept ? "survives"
				: torn		   ? "torn"
						   : "lost");
			if (p->kind == WV_SIM_DATA)
				fprintf(f, " (%llu+%u", (unsigned long long)p->off, p->len);
			if (p->kind == WV_SIM_DATA && torn)
				fprintf(f, ", the first %u bytes survive", l->cut);
			fprintf(f, p->kind == WV_SIM_DATA ? ")\n" : "\n");
		}
	}
}
