// SPDX-License-Identifier: GPL-2.0-only
/*
 * Types and dimensions. Every node is a number with powers of seconds and bytes, or a condition.
 * Numbers that are added or compared must be of one dimension. Literals get some leave, as people
 * write them: 0 is of any; a plain number may stand for bytes; and beside a rate "10M" is "10M/s".
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/flow/sample.h"
#include "user/policy/expr.h"

#define DIM_TEXT 64

struct check {
	struct wv_expr *e;
	const char *text;
	struct wv_expr_error *error;
};

static const struct wv_dim plain = {0, 0};

static bool same(struct wv_dim a, struct wv_dim b)
{
	return a.seconds == b.seconds && a.bytes == b.bytes;
}

/* What a number of this dimension is called, and how one is written. */
static const char *describe(struct wv_dim dim, char buf[DIM_TEXT])
{
	static const struct {
		struct wv_dim dim;
		const char *text;
	} known[] = {
		{{0, 0}, "a plain number, such as 1.5 or 5%"},
		{{1, 0}, "seconds, such as 100ms"},
		{{0, 1}, "bytes, such as 64M"},
		{{-1, 0}, "a number a second, such as 100/s"},
		{{-1, 1}, "bytes a second, such as 10M/s"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (same(known[i].dim, dim))
			return known[i].text;
	snprintf(buf, DIM_TEXT, "seconds^%d bytes^%d", dim.seconds, dim.bytes);
	return buf;
}

static const struct wv_expr_node *arg(const struct check *c, const struct wv_expr_node *n,
				      unsigned i)
{
	return &c->e->nodes[n->args[i]];
}

static int fail_at(const struct check *c, const struct wv_expr_node *n, const char *what)
{
	return wv_expr_fail(c->error, n->offset, "'%.*s' %s",
			    (int)(n->length < 60 ? n->length : 60), c->text + n->offset, what);
}

/* A number that can be used by itself: no condition, no bare counter, no bare histogram. */
static int number(const struct check *c, const struct wv_expr_node *n)
{
	char buf[160];

	if (n->truth)
		return fail_at(c, n, "is a condition; expected a number");
	if (n->kind == WV_EXPR_HIST) {
		snprintf(buf, sizeof(buf), "is a histogram; write p99(%s) or mean(%s)",
			 wv_hists[n->index].name, wv_hists[n->index].name);
		return fail_at(c, n, buf);
	}
	if (n->kind == WV_EXPR_SIGNAL && wv_signal_is_counter((enum wv_signal)n->index)) {
		snprintf(buf, sizeof(buf),
			 "is a counter, it only grows; write rate(%s) or delta(%s)",
			 wv_signals[n->index].name, wv_signals[n->index].name);
		return fail_at(c, n, buf);
	}
	return 0;
}

static int condition(const struct check *c, const struct wv_expr_node *n)
{
	if (n->truth)
		return 0;
	return number(c, n) ?: fail_at(c, n, "is a number; expected a comparison, such as x > 1");
}

/* Whether a literal may stand for a number of this dimension. */
static bool may_stand_for(const struct wv_expr_node *literal, const struct wv_expr_node *n)
{
	struct wv_dim d = n->dim;

	if (!literal->constant)
		return false;
	if (literal->value == 0)
		return true;
	if (literal->percent)
		return false;
	if (same(literal->dim, plain) && d.bytes == 1 &&
	    (d.seconds == 0 || (n->per_second && d.seconds == -1)))
		return true;
	d.seconds++;
	return n->per_second && same(literal->dim, d);
}

/* Gives *ret the dimension that both have. */
static int alike(const struct check *c, const struct wv_expr_node *a, const struct wv_expr_node *b,
		 struct wv_expr_node *ret)
{
	char abuf[DIM_TEXT], bbuf[DIM_TEXT];
	const struct wv_expr_node *n = a;

	if (!same(a->dim, b->dim)) {
		if (may_stand_for(a, b))
			n = b;
		else if (!may_stand_for(b, a))
			return wv_expr_fail(c->error, b->offset, "'%.*s' is %s, but '%.*s' is %s",
					    (int)(b->length < 40 ? b->length : 40),
					    c->text + b->offset, describe(b->dim, bbuf),
					    (int)(a->length < 40 ? a->length : 40),
					    c->text + a->offset, describe(a->dim, abuf));
	}
	ret->dim = n->dim;
	ret->per_second = a->per_second || b->per_second;
	return 0;
}

/* Powers stay small: 64 factors of at most 1 cannot leave an int8_t, but a chain of squares could.
 */
static int multiply(const struct check *c, struct wv_expr_node *n, const struct wv_expr_node *a,
		    const struct wv_expr_node *b, int sign)
{
	int seconds = a->dim.seconds + sign * b->dim.seconds,
	    bytes = a->dim.bytes + sign * b->dim.bytes;

	if (seconds < -8 || seconds > 8 || bytes < -8 || bytes > 8)
		return fail_at(c, n, "multiplies too many dimensions");
	n->dim = (struct wv_dim){(int8_t)seconds, (int8_t)bytes};
	n->per_second = (a->per_second && same(b->dim, plain)) ||
			(sign > 0 && b->per_second && same(a->dim, plain));
	return 0;
}

/* An argument that must be a literal of a dimension, within (above, up to most]. */
static int setting(const struct check *c, const struct wv_expr_node *n, struct wv_dim dim,
		   double above, double most, const char *expected)
{
	int r = number(c, n);

	if (r < 0)
		return r;
	if (!n->constant || !same(n->dim, dim) || n->value <= above || n->value > most)
		return fail_at(c, n, expected);
	return 0;
}

static int check_window(const struct check *c, const struct wv_expr_node *call,
			const struct wv_expr_node *n)
{
	bool extreme = call->fn == WV_FN_MIN || call->fn == WV_FN_MAX;

	return setting(c, n, (struct wv_dim){1, 0}, 0, 86400,
		       call->fn == WV_FN_EWMA
			       ? "is no half-life; expected a duration of at most 1d, such as 30s"
		       : extreme && !n->constant
			       ? "is no window; expected a duration of at most 1d, such as 10s; of "
				 "two values: least(a, b), greatest(a, b)"
			       : "is no window; expected a duration of at most 1d, such as 10s");
}

static struct wv_dim signal_dim(int signal)
{
	switch (wv_signals[signal].scale) {
	case WV_NS:
	case WV_US:
		return (struct wv_dim){1, 0};
	case WV_BYTES_SCALE:
		return (struct wv_dim){0, 1};
	default:
		return plain;
	}
}

static int check_first(const struct check *c, const struct wv_expr_node *n,
		       const struct wv_expr_node *x)
{
	char buf[200];
	bool signal = x->kind == WV_EXPR_SIGNAL;

	switch (wv_fns[n->fn].first) {
	case WV_ARG_COUNTER:
		if (signal && wv_signal_is_counter((enum wv_signal)x->index))
			return 0;
		snprintf(buf, sizeof(buf), "is no counter; expected %s; of what may fall: %s",
			 wv_fns[n->fn].usage, wv_fns[WV_FN_SLOPE].usage);
		return fail_at(c, x, buf);
	case WV_ARG_SIGNAL:
		if (signal)
			return 0;
		snprintf(buf, sizeof(buf), "is no signal; expected %s", wv_fns[n->fn].usage);
		return fail_at(c, x, buf);
	case WV_ARG_HIST:
		if (x->kind == WV_EXPR_HIST)
			return 0;
		snprintf(buf, sizeof(buf), "is no histogram; expected %s, of runq_latency, ...",
			 wv_fns[n->fn].usage);
		return fail_at(c, x, buf);
	case WV_ARG_CHANGE:
		if (signal)
			return 0;
		/* fallthrough */
	default:
		if (x->constant && n->fn != WV_FN_RATIO && n->fn != WV_FN_LEAST &&
		    n->fn != WV_FN_GREATEST)
			return fail_at(c, x, "is a number as written; expected a signal");
		return number(c, x);
	}
}

/* least(), greatest(): all of one dimension, and not only literals. */
static int check_variadic(const struct check *c, struct wv_expr_node *n)
{
	const struct wv_expr_node *pivot = arg(c, n, 0), *x;
	struct wv_expr_node so_far;
	int r;

	for (unsigned i = 1; i < n->n_args; i++) {
		x = arg(c, n, i);
		so_far = *pivot;
		so_far.dim = n->dim;
		so_far.per_second = n->per_second;
		r = number(c, x) ?: alike(c, &so_far, x, n);
		if (r < 0)
			return r;
		if (pivot->constant)
			pivot = x;
	}
	return pivot->constant ? fail_at(c, n, "has only numbers as written; expected a signal")
			       : 0;
}

static int check_call(const struct check *c, struct wv_expr_node *n)
{
	const struct wv_expr_node *x = arg(c, n, 0), *y = n->n_args > 1 ? arg(c, n, 1) : NULL;
	int r = check_first(c, n, x);

	if (r < 0)
		return r;
	n->dim = x->dim;
	n->per_second = x->per_second;
	switch (n->fn) {
	case WV_FN_RATE:
	case WV_FN_SLOPE:
		n->dim.seconds--;
		n->per_second = true;
		return y ? check_window(c, n, y) : 0;
	case WV_FN_DELTA:
	case WV_FN_AVG:
	case WV_FN_MIN:
	case WV_FN_MAX:
	case WV_FN_EWMA:
		return y ? check_window(c, n, y) : 0;
	case WV_FN_CUSUM:
		for (unsigned i = 1; i < 3 && r == 0; i++) {
			struct wv_expr_node ignored;

			y = arg(c, n, i);
			r = number(c, y);
			if (r == 0 && !y->constant)
				r = fail_at(c, y, "changes; expected a number as written");
			if (r == 0)
				r = alike(c, x, y, &ignored);
		}
		return r;
	case WV_FN_P50:
	case WV_FN_P90:
	case WV_FN_P99:
	case WV_FN_MEAN:
		n->dim = (struct wv_dim){1, 0};
		return 0;
	case WV_FN_QUANTILE:
		n->dim = (struct wv_dim){1, 0};
		return setting(c, y, plain, 0, 1,
			       "is no quantile; expected a number above 0 and at "
			       "most 1, such as 0.95 or 95%");
	case WV_FN_COUNT:
	case WV_FN_SHARE:
		n->dim = plain;
		return 0;
	case WV_FN_RATIO:
		r = number(c, y);
		if (r == 0 && y->constant)
			r = fail_at(c, y, "is a number as written; divide by it with /");
		return r ?: multiply(c, n, x, y, -1);
	case WV_FN_LEAST:
	case WV_FN_GREATEST:
		return check_variadic(c, n);
	default:
		return 0;
	}
}

/* Literals among themselves come to one number here, so that none is left in a program. */
static int fold(const struct check *c, struct wv_expr_node *n)
{
	double a = arg(c, n, 0)->value, b = n->n_args > 1 ? arg(c, n, 1)->value : 0, v;

	switch (n->kind) {
	case WV_EXPR_NEG:
		v = 0 - a;
		break;
	case WV_EXPR_ADD:
		v = a + b;
		break;
	case WV_EXPR_SUB:
		v = a - b;
		break;
	case WV_EXPR_MUL:
		v = a * b;
		break;
	default:
		if (b == 0)
			return fail_at(c, n, "divides by zero");
		v = a / b;
	}
	if (!(v < 1e100 && v > -1e100))
		return fail_at(c, n, "is too large");
	n->constant = true;
	n->value = v;
	return 0;
}

static int check_arithmetic(const struct check *c, struct wv_expr_node *n)
{
	const struct wv_expr_node *a = arg(c, n, 0), *b = n->n_args > 1 ? arg(c, n, 1) : a;
	int r = number(c, a) ?: number(c, b);

	if (r < 0)
		return r;
	switch (n->kind) {
	case WV_EXPR_NEG:
		n->dim = a->dim;
		n->per_second = a->per_second;
		n->percent = a->constant && a->percent;
		break;
	case WV_EXPR_MUL:
	case WV_EXPR_DIV:
		r = multiply(c, n, a, b, n->kind == WV_EXPR_MUL ? 1 : -1);
		break;
	default:
		r = alike(c, a, b, n);
	}
	if (r == 0 && n->kind == WV_EXPR_DIV && b->constant && b->value == 0)
		return fail_at(c, n, "divides by zero");
	return r == 0 && a->constant && b->constant ? fold(c, n) : r;
}

static int check_node(const struct check *c, struct wv_expr_node *n)
{
	struct wv_expr_node ignored;
	int r;

	switch (n->kind) {
	case WV_EXPR_LITERAL:
	case WV_EXPR_HIST:
		return 0;
	case WV_EXPR_SIGNAL:
		n->dim = signal_dim(n->index);
		return 0;
	case WV_EXPR_AGE:
		n->dim = (struct wv_dim){1, 0};
		return 0;
	case WV_EXPR_CALL:
		return check_call(c, n);
	case WV_EXPR_AND:
	case WV_EXPR_OR:
		n->truth = true;
		return condition(c, arg(c, n, 0)) ?: condition(c, arg(c, n, 1));
	case WV_EXPR_NOT:
		n->truth = true;
		return condition(c, arg(c, n, 0));
	case WV_EXPR_NEG:
	case WV_EXPR_ADD:
	case WV_EXPR_SUB:
	case WV_EXPR_MUL:
	case WV_EXPR_DIV:
		return check_arithmetic(c, n);
	default: /* a comparison */
		n->truth = true;
		r = number(c, arg(c, n, 0)) ?: number(c, arg(c, n, 1));
		if (r == 0 && arg(c, n, 0)->constant && arg(c, n, 1)->constant)
			r = fail_at(c, n, "compares numbers as written; expected a signal");
		return r ?: alike(c, arg(c, n, 0), arg(c, n, 1), &ignored);
	}
}

int wv_expr_check(struct wv_expr *e, const char *text, struct wv_expr_error *ret_error)
{
	struct check c = {e, text, ret_error};

	for (unsigned i = 0; i < e->n_nodes; i++) {
		int r = check_node(&c, &e->nodes[i]);

		if (r < 0)
			return r;
	}
	return condition(&c, &e->nodes[e->root]);
}
