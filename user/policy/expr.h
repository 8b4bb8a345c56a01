/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The expression language of rules (docs/policy-expressions.md): text in, a checked tree out. No
 * allocation: a tree is one struct. Values are doubles in base units: seconds, bytes, plain numbers
 * (a percentage is a plain number: 5% is 0.05).
 */
#ifndef WV_POLICY_EXPR_H
#define WV_POLICY_EXPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WV_EXPR_NODES 160
#define WV_EXPR_ARGS 8
/* Brackets, functions and signs may be nested so deep; a program needs at most as many registers.
 */
#define WV_EXPR_DEPTH 16
#define WV_EXPR_TEXT_MAX 511 /* bytes */

enum wv_fn {
#define WV_FN(id, name, first, least, most, usage, help) WV_FN_##id,
#include "user/policy/expr.def"
	WV_FN_N
};

enum wv_fn_arg { WV_ARG_COUNTER, WV_ARG_CHANGE, WV_ARG_LEVEL, WV_ARG_SIGNAL, WV_ARG_HIST };

struct wv_fn_info {
	const char *name, *usage, *help;
	enum wv_fn_arg first;
	unsigned least, most;
};
extern const struct wv_fn_info wv_fns[WV_FN_N];

enum wv_expr_kind {
	WV_EXPR_LITERAL,
	WV_EXPR_SIGNAL,
	WV_EXPR_HIST,
	WV_EXPR_AGE,
	WV_EXPR_CALL,
	WV_EXPR_NEG,
	WV_EXPR_ADD,
	WV_EXPR_SUB,
	WV_EXPR_MUL,
	WV_EXPR_DIV,
	WV_EXPR_GT,
	WV_EXPR_GE,
	WV_EXPR_LT,
	WV_EXPR_LE,
	WV_EXPR_EQ,
	WV_EXPR_NE,
	WV_EXPR_AND,
	WV_EXPR_OR,
	WV_EXPR_NOT,
};

/* Powers of the base units: {-1, 1} is bytes a second. */
struct wv_dim {
	int8_t seconds, bytes;
};

struct wv_expr_node {
	uint8_t kind; /* enum wv_expr_kind */
	uint8_t fn;   /* CALL: enum wv_fn */
	uint8_t n_args;
	uint8_t args[WV_EXPR_ARGS]; /* nodes, all before this one */
	bool truth;		    /* a condition, not a number */
	bool constant;		    /* only literals below; value is what it comes to */
	bool percent;		    /* LITERAL with % */
	bool per_second;	    /* a rate: may meet "10M" for "10M/s" */
	struct wv_dim dim;
	uint16_t offset, length; /* where it stands in the text, bytes */
	int index;		 /* SIGNAL: enum wv_signal, HIST: enum wv_hist_id */
	double value;		 /* constant: in base units */
};

struct wv_expr {
	struct wv_expr_node nodes[WV_EXPR_NODES]; /* arguments before those that use them */
	unsigned n_nodes, root;
};

/* What is wrong, where (bytes from the start of the text), and what to write instead. */
struct wv_expr_error {
	unsigned offset;
	char text[256];
};

/*
 * Parses and checks a condition. 0, or -EINVAL with *ret_error filled; *e is then undefined. The
 * caller puts file, line and column before the message.
 */
int wv_expr_parse(struct wv_expr *e, const char *text, struct wv_expr_error *ret_error);
/* Second half of wv_expr_parse(): types and dimensions of a parsed tree. 0 or -EINVAL, as there. */
int wv_expr_check(struct wv_expr *e, const char *text, struct wv_expr_error *ret_error);
/* Fills the error and returns -EINVAL. */
int wv_expr_fail(struct wv_expr_error *error, unsigned offset, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * A number as it is written ("100ms", "64M", "5%", "1.5", "10M/s"), in base units and rounded once.
 * Returns its length in bytes, or -EINVAL with *ret_error filled (offsets from s).
 */
int wv_expr_number(const char *s, double *ret_value, struct wv_dim *ret_dim, bool *ret_percent,
		   struct wv_expr_error *ret_error);

#endif
