// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why a condition came out as it did, on one lane: the program once more in scalar code, from the
 * inputs and the state that the last run left. Nothing is changed. The same operations in the same
 * order as in vm_block.c, so the same numbers; a test compares them.
 */
#include <float.h>
#include <math.h>

#include "user/policy/lanes.h"
#include "user/policy/vm.h"

struct value {
	double num;
	bool known, truth;
};

struct explain {
	const struct wv_vm *vm;
	const uint16_t *refs;
	uint32_t lane;
	struct value values[WV_PROGRAM_OPS];
};

static const struct value *operand(const struct explain *e, uint16_t op)
{
	unsigned i = 0;

	while (e->refs[i] != op)
		i++;
	return &e->values[i];
}

static struct value sensible(bool known, double v)
{
	return (struct value){.num = v, .known = known && __builtin_fabs(v) <= WV_NUMBER_LIMIT};
}

static struct value number(const struct wv_op *op, struct value a, struct value b, double seconds)
{
	bool known = a.known && b.known;
	double x = a.num, y = b.num;

	switch (op->code) {
	case WV_OP_ADD:
	case WV_OP_ADDK:
		return (struct value){.num = x + y, .known = known};
	case WV_OP_SUB:
		return (struct value){.num = x - y, .known = known};
	case WV_OP_KSUB:
		return (struct value){.num = y - x, .known = known};
	case WV_OP_MUL:
	case WV_OP_MULK:
		return sensible(known, x * y);
	case WV_OP_DIV:
	case WV_OP_DIVK:
		return sensible(known, x / y);
	case WV_OP_KDIV:
		return sensible(known, y / x);
	case WV_OP_RATIO:
		return sensible(known, y == 0 ? 0 : x / y);
	case WV_OP_KRATIO:
		return sensible(known, x == 0 ? 0 : y / x);
	case WV_OP_LEAST:
	case WV_OP_LEASTK:
		return (struct value){.num = x < y ? x : y, .known = known};
	case WV_OP_GREATEST:
	case WV_OP_GREATESTK:
		return (struct value){.num = x > y ? x : y, .known = known};
	case WV_OP_ABS:
		return (struct value){.num = __builtin_fabs(x), .known = known};
	default: /* PERSEC */
		return sensible(known, x / seconds);
	}
}

static struct value comparison(const struct wv_op *op, struct value a, struct value b)
{
	double x = a.num, y = b.num;
	bool holds;

	switch (op->code) {
	case WV_OP_GT:
	case WV_OP_GTK:
		holds = x > y;
		break;
	case WV_OP_GE:
	case WV_OP_GEK:
		holds = x >= y;
		break;
	case WV_OP_LTK:
		holds = x < y;
		break;
	case WV_OP_LEK:
		holds = x <= y;
		break;
	case WV_OP_EQ:
	case WV_OP_EQK:
		holds = x == y;
		break;
	default:
		holds = x != y;
	}
	return (struct value){.known = a.known && b.known, .truth = a.known && b.known && holds};
}

static struct value logic(const struct wv_op *op, struct value a, struct value b)
{
	bool a_false = a.known && !a.truth, b_false = b.known && !b.truth;

	if (op->code == WV_OP_AND)
		return (struct value){.truth = a.truth && b.truth,
				      .known = (a.known && b.known) || a_false || b_false};
	if (op->code == WV_OP_OR)
		return (struct value){.truth = a.truth || b.truth,
				      .known = (a.known && b.known) || a.truth || b.truth};
	return (struct value){.truth = a_false, .known = a.known};
}

/* What is in a column of this block on this lane. */
static struct value column(const struct explain *e, const double *num, const uint64_t *known,
			   size_t columns, uint32_t index)
{
	size_t at = (size_t)(e->lane / 64) * columns + index;

	return (struct value){.num = num[at * 64 + e->lane % 64],
			      .known = known[at] >> e->lane % 64 & 1};
}

static struct value window(const struct explain *e, uint16_t i)
{
	const struct wv_vm *vm = e->vm;
	const struct wv_op *op = &vm->set->ops[i];
	struct value filling = column(e, vm->state, vm->state_known, vm->set->n_state,
				      op->state + WV_PANES),
		     closed = column(e, vm->state, vm->state_known, vm->set->n_state,
				     op->state + WV_PANES + 1);
	double x = closed.num, y = filling.num;
	struct value v = {.known = filling.known && closed.known};

	if (op->code == WV_OP_WMIN)
		v.num = x < y ? x : y;
	else if (op->code == WV_OP_WMAX)
		v.num = x > y ? x : y;
	else
		v.num = (x + y) / vm->windows[vm->steps[i].window].divisor;
	return v;
}

static struct value value_of(const struct explain *e, uint16_t i)
{
	const struct wv_vm *vm = e->vm;
	const struct wv_op *op = &vm->set->ops[i];
	struct value a = {0}, b = {.num = op->k, .known = true};

	if (op->code == WV_OP_COLUMN)
		return column(e, vm->columns.num, vm->columns.known, vm->columns.n_specs, op->dst);
	if (wv_op_value_in_state(op))
		return column(e, vm->state, vm->state_known, vm->set->n_state, op->state);
	if (wv_op_is_window(op))
		return window(e, i);
	a = *operand(e, op->a);
	if (op->b != WV_NO_OP)
		b = *operand(e, op->b);
	if (op->code <= WV_OP_PERSEC)
		return number(op, a, b, wv_double_of(vm->columns.dt_ns) / 1e9);
	return op->code <= WV_OP_NEK ? comparison(op, a, b) : logic(op, a, b);
}

unsigned wv_vm_explain(const struct wv_vm *vm, uint32_t program, uint32_t lane, struct wv_term *ret,
		       unsigned max)
{
	struct explain e = {.vm = vm, .lane = lane};
	const struct wv_program *p;
	unsigned n = 0;

	if (program >= vm->set->n_programs || lane / 64 >= vm->n_blocks)
		return 0;
	p = &vm->set->programs[program];
	e.refs = vm->set->refs + p->first_ref;
	/* the last one is OUT */
	for (unsigned i = 0; i + 1 < p->n_refs && n < max; i++) {
		const struct wv_op *op = &vm->set->ops[e.refs[i]];

		e.values[i] = value_of(&e, e.refs[i]);
		if (op->code < WV_OP_GT || op->code > WV_OP_NEK)
			continue;
		ret[n++] = (struct wv_term){
			.op = e.refs[i],
			.known = e.values[i].known,
			.holds = e.values[i].truth,
			.left = operand(&e, op->a)->known ? operand(&e, op->a)->num : NAN,
			.right = op->b == WV_NO_OP	     ? op->k
				 : operand(&e, op->b)->known ? operand(&e, op->b)->num
							     : NAN,
		};
	}
	return n;
}
