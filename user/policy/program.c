// SPDX-License-Identifier: GPL-2.0-only
/* A set of programs: adding conditions, sharing what they have in common, giving out registers. */
#include "user/policy/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/policy/compile.h"

const struct wv_op_info wv_ops[WV_OP_N] = {
#define WV_OP(id, text, gives, takes, setting, state, cost)                                        \
	[WV_OP_##id] = {#id,   text, WV_GIVES_##gives, WV_TAKES_##takes, WV_SETTING_##setting,     \
			state, cost},
#include "user/policy/program.def"
};

int wv_program_set_init(struct wv_program_set *s)
{
	*s = (struct wv_program_set){
		.columns = calloc(WV_COLUMNS_MAX, sizeof(*s->columns)),
		.programs = calloc(WV_PROGRAMS_MAX, sizeof(*s->programs)),
	};
	if (s->columns && s->programs)
		return 0;
	wv_program_set_done(s);
	return -ENOMEM;
}

void wv_program_set_done(struct wv_program_set *s)
{
	free(s->ops);
	free(s->columns);
	free(s->programs);
	free(s->refs);
	free(s->hash);
	*s = (struct wv_program_set){0};
}

static uint32_t hash_of(const struct wv_op *op)
{
	uint64_t words[sizeof(*op) / 8], h = 0x9e3779b97f4a7c15ULL;

	memcpy(words, op, sizeof(words));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		h = (h ^ words[i]) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	return (uint32_t)h;
}

/* The operation without what the set gives it: what makes it the same as another one. */
static struct wv_op bare(struct wv_op op)
{
	op.state = 0;
	if (op.code != WV_OP_COLUMN)
		op.dst = 0;
	return op;
}

/* Whether two bare operations are the same. */
static bool same_op(const struct wv_op *a, const struct wv_op *b)
{
	return a->code == b->code && a->dst == b->dst && a->a == b->a && a->b == b->b &&
	       a->owner == b->owner && a->k == b->k && a->ns == b->ns;
}

static void hash_insert(struct wv_program_set *s, uint16_t index)
{
	struct wv_op op = bare(s->ops[index]);
	uint32_t at = hash_of(&op) & (s->hash_room - 1);

	while (s->hash[at] != WV_NO_OP)
		at = (at + 1) & (s->hash_room - 1);
	s->hash[at] = index;
}

/* Room for n operations, at most half full. */
static int rehash(struct wv_program_set *s, uint32_t n)
{
	uint32_t room = s->hash_room ? s->hash_room : 256;
	uint16_t *hash;

	while (room / 2 < n)
		room *= 2;
	hash = malloc(room * sizeof(*hash));
	if (!hash)
		return -ENOMEM;
	free(s->hash);
	s->hash = hash;
	s->hash_room = room;
	memset(hash, 0xff, room * sizeof(*hash));
	for (uint32_t i = 0; i < s->n_ops; i++)
		hash_insert(s, (uint16_t)i);
	return 0;
}

/* The array with room for one more element, or NULL: then it is as it was. */
static void *grow(void *array, uint32_t n, uint32_t *room, size_t size)
{
	uint32_t more = *room ? *room * 2 : 256;
	void *p;

	if (n < *room)
		return array;
	p = realloc(array, more * size);
	if (p)
		*room = more;
	return p;
}

int wv_program_emit(struct wv_program_set *s, struct wv_op op)
{
	struct wv_op other;
	void *p;
	int r = 0;

	if ((s->n_ops + 1) * 2 > s->hash_room)
		r = rehash(s, s->n_ops + 1);
	if (r < 0)
		return r;
	for (uint32_t at = hash_of(&op) & (s->hash_room - 1); s->hash[at] != WV_NO_OP;
	     at = (at + 1) & (s->hash_room - 1)) {
		other = bare(s->ops[s->hash[at]]);
		if (same_op(&other, &op))
			return s->hash[at];
	}
	if (s->n_ops >= WV_OPS_MAX || s->n_state + wv_ops[op.code].state > WV_STATE_MAX)
		return -E2BIG;
	p = grow(s->ops, s->n_ops, &s->ops_room, sizeof(*s->ops));
	if (!p)
		return -ENOMEM;
	s->ops = p;
	op.state = wv_ops[op.code].state ? s->n_state : 0;
	s->n_state += wv_ops[op.code].state;
	s->ops[s->n_ops] = op;
	hash_insert(s, (uint16_t)s->n_ops);
	return (int)s->n_ops++;
}

int wv_program_column(struct wv_program_set *s, struct wv_column c)
{
	for (uint32_t i = 0; i < s->n_columns; i++)
		if (s->columns[i].kind == c.kind && s->columns[i].index == c.index &&
		    s->columns[i].q == c.q)
			return (int)i;
	if (s->n_columns >= WV_COLUMNS_MAX)
		return -E2BIG;
	s->columns[s->n_columns] = c;
	return (int)s->n_columns++;
}

static int ascending(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* All that `root` needs, itself included, ascending. Their number, or -E2BIG. */
static int needs(const struct wv_program_set *s, uint16_t root, uint16_t refs[WV_PROGRAM_OPS])
{
	unsigned n = 1;

	refs[0] = root;
	for (unsigned i = 0; i < n; i++) {
		const uint16_t operands[2] = {s->ops[refs[i]].a, s->ops[refs[i]].b};

		for (unsigned k = 0; k < 2; k++) {
			bool found = operands[k] == WV_NO_OP;

			for (unsigned j = 0; j < n && !found; j++)
				found = refs[j] == operands[k];
			if (found)
				continue;
			if (n >= WV_PROGRAM_OPS)
				return -E2BIG;
			refs[n++] = operands[k];
		}
	}
	qsort(refs, n, sizeof(*refs), ascending);
	return (int)n;
}

/* Index in refs of the last operation that uses each; itself if none does. */
static void last_uses(const struct wv_program_set *s, const uint16_t *refs, unsigned n,
		      unsigned *ret)
{
	for (unsigned i = 0; i < n; i++) {
		const uint16_t operands[2] = {s->ops[refs[i]].a, s->ops[refs[i]].b};

		ret[i] = i;
		for (unsigned k = 0; k < 2; k++)
			for (unsigned j = 0; j < i; j++)
				if (refs[j] == operands[k])
					ret[j] = i;
	}
}

unsigned wv_program_pressure(const struct wv_program_set *s, const uint16_t *refs, unsigned n)
{
	unsigned last[WV_PROGRAM_OPS], live[2] = {0, 0}, most = 0;

	last_uses(s, refs, n, last);
	for (unsigned i = 0; i < n; i++) {
		if (wv_op_has_register(&s->ops[refs[i]]))
			live[wv_ops[s->ops[refs[i]].code].gives]++;
		for (unsigned k = 0; k < 2; k++)
			most = live[k] > most ? live[k] : most;
		for (unsigned j = 0; j <= i; j++)
			if (last[j] == i && wv_op_has_register(&s->ops[refs[j]]))
				live[wv_ops[s->ops[refs[j]].code].gives]--;
	}
	return most;
}

static int add_program(struct wv_program_set *s, uint32_t owner, const struct wv_expr *e,
		       struct wv_expr_error *error)
{
	uint16_t refs[WV_PROGRAM_OPS];
	int r = wv_program_compile(s, e, owner), n;
	void *p;

	if (r >= 0)
		r = wv_program_emit(s,
				    (struct wv_op){.code = WV_OP_OUT,
						   .a = (uint16_t)r,
						   .b = WV_NO_OP,
						   /* never found again: each program has its own */
						   .k = (double)s->n_programs});
	if (r == -E2BIG)
		wv_expr_fail(
			error, 0,
			"the policy's conditions are too many; expected at most %d operations, "
			"%d inputs and %d columns of state in all",
			WV_OPS_MAX, WV_COLUMNS_MAX, WV_STATE_MAX);
	if (r < 0)
		return r;
	n = needs(s, (uint16_t)r, refs);
	if (n < 0 || wv_program_pressure(s, refs, (unsigned)n) > WV_EXPR_DEPTH) {
		wv_expr_fail(
			error, 0,
			n < 0 ? "the condition is too long; expected at most %d operations"
			      : "the condition is too deep; expected at most %d values at a time",
			n < 0 ? WV_PROGRAM_OPS : WV_EXPR_DEPTH);
		return -E2BIG;
	}
	while (s->n_refs + (uint32_t)n > s->refs_room) {
		p = grow(s->refs, s->refs_room, &s->refs_room, sizeof(*s->refs));
		if (!p)
			return -ENOMEM;
		s->refs = p;
	}
	memcpy(s->refs + s->n_refs, refs, (size_t)n * sizeof(*refs));
	s->programs[s->n_programs] = (struct wv_program){
		.owner = owner, .out = (uint16_t)r, .n_refs = (uint16_t)n, .first_ref = s->n_refs};
	s->ops[r].dst = (uint16_t)s->n_programs;
	s->n_refs += (uint32_t)n;
	return (int)s->n_programs++;
}

int wv_program_add(struct wv_program_set *s, uint32_t owner, const char *text,
		   struct wv_expr_error *ret_error)
{
	struct wv_program_set before = *s;
	struct wv_expr e;
	int r;

	if (s->n_programs >= WV_PROGRAMS_MAX) {
		wv_expr_fail(ret_error, 0, "too many conditions; expected at most %d",
			     WV_PROGRAMS_MAX);
		return -E2BIG;
	}
	r = wv_expr_parse(&e, text, ret_error);
	if (r < 0)
		return r;
	r = add_program(s, owner, &e, ret_error);
	if (r >= 0)
		return r;
	s->n_ops = before.n_ops;
	s->n_columns = before.n_columns;
	s->n_state = before.n_state;
	memset(s->hash, 0xff, s->hash_room * sizeof(*s->hash));
	for (uint32_t i = 0; i < s->n_ops; i++)
		hash_insert(s, (uint16_t)i);
	return r;
}

/* Registers of one kind: those that are free, and how many there are. */
struct pool {
	uint16_t *free;
	uint32_t n_free, n;
};

static int take_register(struct pool *p)
{
	if (p->n_free)
		return p->free[--p->n_free];
	return p->n < WV_REGISTERS_MAX ? (int)p->n++ : -E2BIG;
}

static int give_registers(struct wv_program_set *s, uint32_t *last, struct pool pools[2])
{
	for (uint32_t i = 0; i < s->n_ops; i++) {
		last[i] = i;
		if (s->ops[i].a != WV_NO_OP)
			last[s->ops[i].a] = i;
		if (s->ops[i].b != WV_NO_OP)
			last[s->ops[i].b] = i;
	}
	for (uint32_t i = 0; i < s->n_ops; i++) {
		struct wv_op *op = &s->ops[i];
		const uint32_t ends[3] = {op->a, op->b == op->a ? WV_NO_OP : op->b, i};

		if (wv_op_has_register(op)) {
			int r = take_register(&pools[wv_ops[op->code].gives]);

			if (r < 0)
				return r;
			op->dst = (uint16_t)r;
		}
		/* only now: no operation writes over its own operands */
		for (unsigned k = 0; k < 3; k++) {
			const struct wv_op *o = ends[k] == WV_NO_OP ? NULL : &s->ops[ends[k]];

			if (o && last[ends[k]] == i && wv_op_has_register(o)) {
				struct pool *p = &pools[wv_ops[o->code].gives];

				p->free[p->n_free++] = o->dst;
			}
		}
	}
	return 0;
}

int wv_program_finish(struct wv_program_set *s)
{
	uint32_t *last = calloc(s->n_ops + 1, sizeof(*last));
	struct pool pools[2] = {0};
	int r = -ENOMEM;

	for (unsigned k = 0; k < 2; k++)
		pools[k].free = calloc(s->n_ops + 1, sizeof(*pools[k].free));
	if (last && pools[0].free && pools[1].free)
		r = give_registers(s, last, pools);
	if (r == 0) {
		s->n_numbers = pools[WV_GIVES_NUMBER].n;
		s->n_truths = pools[WV_GIVES_TRUTH].n;
		free(s->hash);
		s->hash = NULL;
		s->hash_room = 0;
	}
	free(last);
	free(pools[0].free);
	free(pools[1].free);
	return r;
}
