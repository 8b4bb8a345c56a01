// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a checked tree to operations. Literals become settings of the operation that uses them, and
 * what means the same is written in one way (a < b as b > a, x - 2 as x + -2), so that conditions
 * share it.
 */
#include "user/policy/compile.h"

#include <errno.h>

#include "user/flow/sample.h"

struct compile {
	struct wv_program_set *set;
	const struct wv_expr *e;
	uint32_t owner;
};

static int compile(const struct compile *c, const struct wv_expr_node *n);

static const struct wv_expr_node *arg(const struct compile *c, const struct wv_expr_node *n,
				      unsigned i)
{
	return &c->e->nodes[n->args[i]];
}

static int emit_column(const struct compile *c, enum wv_column_kind kind, int index, double q)
{
	int r = wv_program_column(
		c->set,
		(struct wv_column){.kind = (uint8_t)kind, .index = (uint16_t)index, .q = q});

	if (r < 0)
		return r;
	return wv_program_emit(c->set, (struct wv_op){.code = WV_OP_COLUMN,
						      .dst = (uint16_t)r,
						      .a = WV_NO_OP,
						      .b = WV_NO_OP});
}

/* One operand (an operation, or an error that is passed on) and a setting. */
static int emit_one(const struct compile *c, enum wv_opcode code, int a, double k, uint64_t ns)
{
	if (a < 0)
		return a;
	return wv_program_emit(c->set, (struct wv_op){.code = (uint8_t)code,
						      .a = (uint16_t)a,
						      .b = WV_NO_OP,
						      .owner = code == WV_OP_CUSUM ? c->owner : 0,
						      .k = k,
						      .ns = ns});
}

static int emit_two(const struct compile *c, enum wv_opcode code, const struct wv_expr_node *x,
		    const struct wv_expr_node *y)
{
	bool swaps = code == WV_OP_ADD || code == WV_OP_MUL || code == WV_OP_LEAST ||
		     code == WV_OP_GREATEST || code == WV_OP_EQ || code == WV_OP_NE ||
		     code == WV_OP_AND || code == WV_OP_OR;
	int a = compile(c, x), b = a < 0 ? a : compile(c, y), t = a;

	if (b < 0)
		return b;
	if (swaps && a > b) {
		a = b;
		b = t;
	}
	return wv_program_emit(
		c->set, (struct wv_op){.code = (uint8_t)code, .a = (uint16_t)a, .b = (uint16_t)b});
}

static uint64_t to_ns(const struct wv_expr_node *n)
{
	double ns = n->value * 1e9 + 0.5;

	return ns < 1 ? 1 : (uint64_t)ns;
}

static int compile_least(const struct compile *c, const struct wv_expr_node *n)
{
	bool least = n->fn == WV_FN_LEAST, has_k = false;
	double k = 0;
	int r = -1;

	for (unsigned i = 0; i < n->n_args; i++) {
		const struct wv_expr_node *x = arg(c, n, i);
		int a;

		if (x->constant) {
			if (!has_k || (least ? x->value < k : x->value > k))
				k = x->value;
			has_k = true;
			continue;
		}
		a = compile(c, x);
		if (a < 0)
			return a;
		r = r < 0 ? a
			  : wv_program_emit(c->set,
					    (struct wv_op){
						    .code = least ? WV_OP_LEAST : WV_OP_GREATEST,
						    .a = (uint16_t)(a < r ? a : r),
						    .b = (uint16_t)(a < r ? r : a),
					    });
		if (r < 0)
			return r;
	}
	return has_k ? emit_one(c, least ? WV_OP_LEASTK : WV_OP_GREATESTK, r, k, 0) : r;
}

/* What changed since the last sample: of a counter an input, of anything else kept here. */
static int compile_change(const struct compile *c, const struct wv_expr_node *x)
{
	if (x->kind == WV_EXPR_SIGNAL && wv_signal_is_counter((enum wv_signal)x->index))
		return emit_column(c, WV_COLUMN_DELTA, x->index, 0);
	return emit_one(c, WV_OP_DIFF, compile(c, x), 0, 0);
}

static int compile_call(const struct compile *c, const struct wv_expr_node *n)
{
	const struct wv_expr_node *x = arg(c, n, 0), *y = n->n_args > 1 ? arg(c, n, 1) : NULL;

	switch (n->fn) {
	case WV_FN_RATE:
		return y ? emit_one(c, WV_OP_WRATE, compile_change(c, x), 0, to_ns(y))
			 : emit_column(c, WV_COLUMN_RATE, x->index, 0);
	case WV_FN_DELTA:
		return y ? emit_one(c, WV_OP_WSUM, compile_change(c, x), 0, to_ns(y))
			 : compile_change(c, x);
	case WV_FN_SLOPE:
		return y ? emit_one(c, WV_OP_WRATE, compile_change(c, x), 0, to_ns(y))
			 : emit_one(c, WV_OP_PERSEC, compile_change(c, x), 0, 0);
	case WV_FN_AVG:
		return emit_one(c, WV_OP_WAVG, compile(c, x), 0, to_ns(y));
	case WV_FN_MIN:
		return emit_one(c, WV_OP_WMIN, compile(c, x), 0, to_ns(y));
	case WV_FN_MAX:
		return emit_one(c, WV_OP_WMAX, compile(c, x), 0, to_ns(y));
	case WV_FN_EWMA:
		return emit_one(c, WV_OP_EWMA, compile(c, x), 0, to_ns(y));
	case WV_FN_CUSUM:
		return emit_one(c, WV_OP_CUSUM, compile(c, x), y->value + arg(c, n, 2)->value, 0);
	case WV_FN_P50:
		return emit_column(c, WV_COLUMN_QUANTILE, x->index, 0.5);
	case WV_FN_P90:
		return emit_column(c, WV_COLUMN_QUANTILE, x->index, 0.9);
	case WV_FN_P99:
		return emit_column(c, WV_COLUMN_QUANTILE, x->index, 0.99);
	case WV_FN_QUANTILE:
		return emit_column(c, WV_COLUMN_QUANTILE, x->index, y->value);
	case WV_FN_MEAN:
		return emit_column(c, WV_COLUMN_MEAN, x->index, 0);
	case WV_FN_COUNT:
		return emit_column(c, WV_COLUMN_COUNT, x->index, 0);
	case WV_FN_SHARE:
		return emit_column(c, WV_COLUMN_SHARE, x->index, 0);
	case WV_FN_RATIO:
		return x->constant ? emit_one(c, WV_OP_KRATIO, compile(c, y), x->value, 0)
				   : emit_two(c, WV_OP_RATIO, x, y);
	case WV_FN_ABS:
		return emit_one(c, WV_OP_ABS, compile(c, x), 0, 0);
	default:
		return compile_least(c, n);
	}
}

/* Arithmetic and comparisons: by how it is with two operands, with the literal on the right, and on
 * the left. */
static const struct {
	enum wv_opcode both, right, left;
	bool swap; /* `both` takes the operands in the other order */
} forms[] = {
	[WV_EXPR_ADD] = {WV_OP_ADD, WV_OP_ADDK, WV_OP_ADDK, false},
	[WV_EXPR_SUB] = {WV_OP_SUB, WV_OP_ADDK, WV_OP_KSUB, false},
	[WV_EXPR_MUL] = {WV_OP_MUL, WV_OP_MULK, WV_OP_MULK, false},
	[WV_EXPR_DIV] = {WV_OP_DIV, WV_OP_DIVK, WV_OP_KDIV, false},
	[WV_EXPR_GT] = {WV_OP_GT, WV_OP_GTK, WV_OP_LTK, false},
	[WV_EXPR_GE] = {WV_OP_GE, WV_OP_GEK, WV_OP_LEK, false},
	[WV_EXPR_LT] = {WV_OP_GT, WV_OP_LTK, WV_OP_GTK, true},
	[WV_EXPR_LE] = {WV_OP_GE, WV_OP_LEK, WV_OP_GEK, true},
	[WV_EXPR_EQ] = {WV_OP_EQ, WV_OP_EQK, WV_OP_EQK, false},
	[WV_EXPR_NE] = {WV_OP_NE, WV_OP_NEK, WV_OP_NEK, false},
};

static int compile(const struct compile *c, const struct wv_expr_node *n)
{
	const struct wv_expr_node *x = n->n_args ? arg(c, n, 0) : NULL,
				  *y = n->n_args > 1 ? arg(c, n, 1) : NULL;

	switch (n->kind) {
	case WV_EXPR_SIGNAL:
		return emit_column(c, WV_COLUMN_VALUE, n->index, 0);
	case WV_EXPR_AGE:
		return emit_column(c, WV_COLUMN_AGE, 0, 0);
	case WV_EXPR_CALL:
		return compile_call(c, n);
	case WV_EXPR_NEG:
		return emit_one(c, WV_OP_KSUB, compile(c, x), 0, 0);
	case WV_EXPR_AND:
		return emit_two(c, WV_OP_AND, x, y);
	case WV_EXPR_OR:
		return emit_two(c, WV_OP_OR, x, y);
	case WV_EXPR_NOT:
		return emit_one(c, WV_OP_NOT, compile(c, x), 0, 0);
	case WV_EXPR_LITERAL:
	case WV_EXPR_HIST:
		return -EINVAL; /* never: their users take them */
	default:
		if (y->constant)
			return emit_one(c, forms[n->kind].right, compile(c, x),
					n->kind == WV_EXPR_SUB ? -y->value : y->value, 0);
		if (x->constant)
			return emit_one(c, forms[n->kind].left, compile(c, y), x->value, 0);
		return forms[n->kind].swap ? emit_two(c, forms[n->kind].both, y, x)
					   : emit_two(c, forms[n->kind].both, x, y);
	}
}

int wv_program_compile(struct wv_program_set *s, const struct wv_expr *e, uint32_t owner)
{
	struct compile c = {s, e, owner};

	return compile(&c, &e->nodes[e->root]);
}
