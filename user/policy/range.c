// SPDX-License-Identifier: GPL-2.0-only
#include "user/policy/range.h"

#include <math.h>

/* A number within [low, high], or a truth. */
struct range {
	double low, high;
	bool may_be_true, may_be_false;
};

static struct range numbers(double low, double high)
{
	return (struct range){.low = low, .high = high};
}

static struct range truths(bool may_be_true, bool may_be_false)
{
	return (struct range){.may_be_true = may_be_true, .may_be_false = may_be_false};
}

/* 0 times infinity is 0 here: the unbounded end is never reached. */
static double times(double a, double b)
{
	return a == 0 || b == 0 ? 0 : a * b;
}

static struct range product(struct range a, struct range b)
{
	double p[] = {times(a.low, b.low), times(a.low, b.high), times(a.high, b.low),
		      times(a.high, b.high)};
	struct range r = numbers(p[0], p[0]);

	for (int i = 1; i < 4; i++) {
		r.low = p[i] < r.low ? p[i] : r.low;
		r.high = p[i] > r.high ? p[i] : r.high;
	}
	return r;
}

static struct range quotient(struct range a, struct range b)
{
	if (b.low <= 0 && b.high >= 0) /* may be anything of the sign that both allow */
		return a.low >= 0 && b.low >= 0 ? numbers(0, INFINITY)
						: numbers(-INFINITY, INFINITY);
	return product(a, numbers(1 / b.high, 1 / b.low));
}

static struct range call(const struct wv_expr_node *n, const struct range *arg)
{
	switch ((enum wv_fn)n->fn) {
	case WV_FN_DELTA:
		/* of a number that may fall it is of either sign; of a counter it is not, but who
		 * can tell here */
	case WV_FN_SLOPE:
		return numbers(-INFINITY, INFINITY);
	case WV_FN_AVG:
	case WV_FN_MIN:
	case WV_FN_MAX:
	case WV_FN_EWMA:
		return arg[0];
	case WV_FN_RATIO:
		return arg[0].low >= 0 && arg[1].low >= 0 ? numbers(0, INFINITY)
							  : numbers(-INFINITY, INFINITY);
	case WV_FN_SHARE:
		return numbers(0, 1);
	case WV_FN_ABS:
		return numbers(0, fmax(fabs(arg[0].low), fabs(arg[0].high)));
	case WV_FN_LEAST:
	case WV_FN_GREATEST: {
		bool least = n->fn == WV_FN_LEAST;
		struct range r = arg[0];

		for (unsigned i = 1; i < n->n_args; i++) {
			r.low = least ? fmin(r.low, arg[i].low) : fmax(r.low, arg[i].low);
			r.high = least ? fmin(r.high, arg[i].high) : fmax(r.high, arg[i].high);
		}
		return r;
	}
	default: /* rates, percentiles, means, counts, sums above a target */
		return numbers(0, INFINITY);
	}
}

static struct range compare(const struct wv_expr_node *n, struct range a, struct range b)
{
	switch ((enum wv_expr_kind)n->kind) {
	case WV_EXPR_GT:
		return truths(a.high > b.low, a.low <= b.high);
	case WV_EXPR_GE:
		return truths(a.high >= b.low, a.low < b.high);
	case WV_EXPR_LT:
		return truths(a.low < b.high, a.high >= b.low);
	case WV_EXPR_LE:
		return truths(a.low <= b.high, a.high > b.low);
	default: { /* equal, or not */
		bool meet = a.low <= b.high && b.low <= a.high;
		bool same = a.low == a.high && b.low == b.high && a.low == b.low;

		return n->kind == WV_EXPR_EQ ? truths(meet, !same) : truths(!same, meet);
	}
	}
}

static struct range node(const struct wv_expr_node *n, const struct range *of)
{
	struct range arg[WV_EXPR_ARGS] = {{0}};

	for (unsigned i = 0; i < n->n_args; i++)
		arg[i] = of[n->args[i]];
	if (n->constant && !n->truth)
		return numbers(n->value, n->value);
	switch ((enum wv_expr_kind)n->kind) {
	case WV_EXPR_LITERAL:
		return numbers(n->value, n->value);
	case WV_EXPR_SIGNAL:
	case WV_EXPR_AGE:
	case WV_EXPR_HIST:
		return numbers(0, INFINITY);
	case WV_EXPR_CALL:
		return call(n, arg);
	case WV_EXPR_NEG:
		return numbers(-arg[0].high, -arg[0].low);
	case WV_EXPR_ADD:
		return numbers(arg[0].low + arg[1].low, arg[0].high + arg[1].high);
	case WV_EXPR_SUB:
		return numbers(arg[0].low - arg[1].high, arg[0].high - arg[1].low);
	case WV_EXPR_MUL:
		return product(arg[0], arg[1]);
	case WV_EXPR_DIV:
		return quotient(arg[0], arg[1]);
	case WV_EXPR_AND:
		return truths(arg[0].may_be_true && arg[1].may_be_true,
			      arg[0].may_be_false || arg[1].may_be_false);
	case WV_EXPR_OR:
		return truths(arg[0].may_be_true || arg[1].may_be_true,
			      arg[0].may_be_false && arg[1].may_be_false);
	case WV_EXPR_NOT:
		return truths(arg[0].may_be_false, arg[0].may_be_true);
	default:
		return compare(n, arg[0], arg[1]);
	}
}

struct wv_range_verdict wv_expr_range(const struct wv_expr *e)
{
	struct range of[WV_EXPR_NODES];

	for (unsigned i = 0; i < e->n_nodes; i++)
		of[i] = node(&e->nodes[i], of);
	return (struct wv_range_verdict){of[e->root].may_be_true, of[e->root].may_be_false};
}
