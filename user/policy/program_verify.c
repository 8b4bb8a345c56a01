// SPDX-License-Identifier: GPL-2.0-only
/*
 * The verifier: what the evaluator relies on without looking, proved once. A set that passes cannot
 * make it read or write outside of its memory, run longer than its cost, or take a value for
 * another one.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/policy/program.h"

struct verify {
	const struct wv_program_set *s;
	uint16_t *holder[2]; /* by register: the operation whose value it holds */
	uint32_t state;	     /* columns given out so far */
	char *why;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static int refuse(const struct verify *v, const char *format,
							...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(v->why, v->size, format, args);
	va_end(args);
	return -EINVAL;
}

static int verify_sizes(const struct verify *v)
{
	const struct wv_program_set *s = v->s;

	if (s->n_ops > WV_OPS_MAX || s->n_columns > WV_COLUMNS_MAX ||
	    s->n_programs > WV_PROGRAMS_MAX || s->n_refs > WV_PROGRAMS_MAX * WV_PROGRAM_OPS ||
	    s->n_state > WV_STATE_MAX || s->n_numbers > WV_REGISTERS_MAX ||
	    s->n_truths > WV_REGISTERS_MAX)
		return refuse(v, "larger than a set may be");
	if ((s->n_ops && !s->ops) || (s->n_columns && !s->columns) ||
	    (s->n_programs && !s->programs) || (s->n_refs && !s->refs))
		return refuse(v, "a part is missing");
	for (uint32_t i = 0; i < s->n_columns; i++)
		if (!wv_column_valid(&s->columns[i]))
			return refuse(v, "column %u is of nothing that there is", i);
	return 0;
}

/* One operand: there, before its user, of the right type, and still in its register. */
static int verify_operand(const struct verify *v, uint32_t i, uint16_t operand, bool wanted,
			  enum wv_gives type)
{
	const struct wv_op *o;

	if (!wanted)
		return operand == WV_NO_OP ? 0 : refuse(v, "op %u: an operand too many", i);
	if (operand >= i)
		return refuse(v, "op %u: operand %u does not stand before it", i, operand);
	o = &v->s->ops[operand];
	if (wv_ops[o->code].gives != type)
		return refuse(v, "op %u: operand %u is of another type", i, operand);
	if (wv_op_has_register(o) && v->holder[type][o->dst] != operand)
		return refuse(v, "op %u: operand %u is no longer in its register", i, operand);
	return 0;
}

static int verify_dst(const struct verify *v, uint32_t i, const struct wv_op *op)
{
	const struct wv_program_set *s = v->s;
	enum wv_gives gives = wv_ops[op->code].gives;

	if (op->code == WV_OP_COLUMN)
		return op->dst < s->n_columns ? 0 : refuse(v, "op %u: no such column", i);
	if (op->code == WV_OP_OUT)
		return op->dst < s->n_programs && s->programs[op->dst].out == i
			       ? 0
			       : refuse(v, "op %u: not the end of its program", i);
	if (!wv_op_has_register(op))
		return op->dst == 0 ? 0 : refuse(v, "op %u: needs no register", i);
	if (op->dst >= (gives == WV_GIVES_NUMBER ? s->n_numbers : s->n_truths))
		return refuse(v, "op %u: no such register", i);
	/* operands are read while the result is written */
	for (unsigned k = 0; k < 2; k++) {
		uint16_t operand = k ? op->b : op->a;

		if (operand != WV_NO_OP && wv_op_has_register(&s->ops[operand]) &&
		    wv_ops[s->ops[operand].code].gives == gives && s->ops[operand].dst == op->dst)
			return refuse(v, "op %u: writes over its operand", i);
	}
	v->holder[gives][op->dst] = (uint16_t)i;
	return 0;
}

static int verify_op(struct verify *v, uint32_t i)
{
	const struct wv_op *op = &v->s->ops[i];
	const struct wv_op_info *info;
	enum wv_gives type;
	bool one, two;
	int r;

	if (op->code >= WV_OP_N)
		return refuse(v, "op %u: unknown code %u", i, op->code);
	info = &wv_ops[op->code];
	one = info->takes != WV_TAKES_NONE;
	two = info->takes == WV_TAKES_NN || info->takes == WV_TAKES_TT;
	type = info->takes == WV_TAKES_T || info->takes == WV_TAKES_TT ? WV_GIVES_TRUTH
								       : WV_GIVES_NUMBER;
	r = verify_operand(v, i, op->a, one, type) ?: verify_operand(v, i, op->b, two, type);
	if (r < 0)
		return r;
	if (!(op->k >= -1e100 && op->k <= 1e100))
		return refuse(v, "op %u: its number is too large or none", i);
	if (info->setting == WV_SETTING_NS ? op->ns < 1 || op->ns > WV_WINDOW_MAX_NS : op->ns != 0)
		return refuse(v, "op %u: its duration is out of range", i);
	if (op->state != (info->state ? v->state : 0))
		return refuse(v, "op %u: its state is not its own", i);
	v->state += info->state;
	if (v->state > v->s->n_state)
		return refuse(v, "op %u: its state is out of range", i);
	return verify_dst(v, i, op);
}

/* A program's list of what it needs is complete, in order, and short enough. */
static int verify_program(const struct verify *v, uint32_t p)
{
	const struct wv_program_set *s = v->s;
	const struct wv_program *program = &s->programs[p];
	const uint16_t *refs;
	uint32_t n = program->n_refs;

	if (n < 1 || n > WV_PROGRAM_OPS || program->first_ref > s->n_refs ||
	    n > s->n_refs - program->first_ref)
		return refuse(v, "program %u: its operations are too many or out of range", p);
	refs = s->refs + program->first_ref;
	if (program->out >= s->n_ops || refs[n - 1] != program->out ||
	    s->ops[program->out].code != WV_OP_OUT || s->ops[program->out].dst != p)
		return refuse(v, "program %u: does not end with its result", p);
	/* ascending up to one that there is: so all of them are there */
	for (uint32_t i = 1; i < n; i++)
		if (refs[i] <= refs[i - 1])
			return refuse(v, "program %u: operations out of order", p);
	for (uint32_t i = 0; i < n; i++) {
		const uint16_t operands[2] = {s->ops[refs[i]].a, s->ops[refs[i]].b};

		for (unsigned k = 0; k < 2; k++) {
			bool found = operands[k] == WV_NO_OP;

			for (uint32_t j = 0; j < i && !found; j++)
				found = refs[j] == operands[k];
			if (!found)
				return refuse(v, "program %u: operation %u is missing", p,
					      operands[k]);
		}
	}
	if (wv_program_pressure(s, refs, n) > WV_EXPR_DEPTH)
		return refuse(v, "program %u: too many values at a time", p);
	return 0;
}

static void cost_of(const struct wv_program_set *s, struct wv_program_cost *ret)
{
	*ret = (struct wv_program_cost){
		.n_programs = s->n_programs,
		.n_ops = s->n_ops,
		.n_columns = s->n_columns,
		.n_registers = s->n_numbers + s->n_truths,
		.bytes_per_lane = s->n_state * sizeof(double) + s->n_state / 8 +
				  wv_columns_bytes(s->columns, s->n_columns, WV_BLOCK_LANES) /
					  WV_BLOCK_LANES +
				  s->n_programs / 2 + s->n_ops / 512 + 1,
		.bytes_fixed = (uint64_t)s->n_numbers * WV_BLOCK_LANES * sizeof(double) +
			       (uint64_t)s->n_ops * sizeof(struct wv_op) * 2,
	};
	for (uint32_t i = 0; i < s->n_ops; i++)
		ret->ps_per_lane += wv_ops[s->ops[i].code].cost_ps;
	for (uint32_t i = 0; i < s->n_columns; i++)
		ret->ps_per_lane += s->columns[i].kind == WV_COLUMN_QUANTILE ? 60000
				    : s->columns[i].kind >= WV_COLUMN_COUNT  ? 40000
									     : 6000;
}

int wv_program_verify(const struct wv_program_set *s, struct wv_program_cost *ret_cost, char *why,
		      size_t size)
{
	struct verify v = {.s = s, .why = why, .size = size};
	int r = verify_sizes(&v);

	if (r < 0)
		return r;
	for (unsigned k = 0; k < 2; k++)
		v.holder[k] = malloc(WV_REGISTERS_MAX * sizeof(*v.holder[k]));
	r = v.holder[0] && v.holder[1] ? 0 : -ENOMEM;
	for (unsigned k = 0; k < 2 && r == 0; k++)
		memset(v.holder[k], 0xff, WV_REGISTERS_MAX * sizeof(*v.holder[k]));
	for (uint32_t i = 0; i < s->n_ops && r == 0; i++)
		r = verify_op(&v, i);
	if (r == 0 && v.state != s->n_state)
		r = refuse(&v, "state that no operation has");
	for (uint32_t p = 0; p < s->n_programs && r == 0; p++)
		r = verify_program(&v, p);
	free(v.holder[0]);
	free(v.holder[1]);
	if (r == 0 && ret_cost)
		cost_of(s, ret_cost);
	return r;
}
