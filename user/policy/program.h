/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Programs: the conditions of a policy as bounded bytecode without loops. A set holds them all in
 * one list of operations; what several conditions have in common stands in it once. Operations name
 * their operands by index, which is always smaller than their own.
 *
 * Bounds: WV_PROGRAM_OPS operations a condition, WV_EXPR_DEPTH registers a condition,
 * WV_PROGRAMS_MAX conditions (two a rule), WV_OPS_MAX operations and WV_STATE_MAX state columns in
 * all. wv_program_verify() proves them, of what was compiled and of what came from elsewhere.
 */
#ifndef WV_POLICY_PROGRAM_H
#define WV_POLICY_PROGRAM_H

#include <stdio.h>

#include "user/policy/columns.h"
#include "user/policy/expr.h"

#define WV_RULES_MAX 1024
#define WV_PROGRAMS_MAX (2 * WV_RULES_MAX)
#define WV_PROGRAM_OPS 64
#define WV_OPS_MAX 65535
#define WV_REGISTERS_MAX (WV_PROGRAMS_MAX * WV_EXPR_DEPTH)
#define WV_STATE_MAX 8192 /* columns: 64 KiB a lane */
#define WV_WINDOW_MAX_NS 86400000000000ULL
#define WV_PANES 8	      /* closed parts of a sliding window; one more is being filled */
#define WV_NUMBER_LIMIT 1e150 /* a product or quotient beyond is unknown */
#define WV_NO_OP UINT16_MAX

enum wv_opcode {
#define WV_OP(id, text, gives, takes, setting, state, cost) WV_OP_##id,
#include "user/policy/program.def"
	WV_OP_N
};

enum wv_gives { WV_GIVES_NUMBER, WV_GIVES_TRUTH, WV_GIVES_NOTHING };
enum wv_takes { WV_TAKES_NONE, WV_TAKES_N, WV_TAKES_NN, WV_TAKES_T, WV_TAKES_TT };
enum wv_op_setting { WV_SETTING_NONE, WV_SETTING_K, WV_SETTING_NS };

struct wv_op_info {
	const char *id, *text;
	enum wv_gives gives;
	enum wv_takes takes;
	enum wv_op_setting setting;
	unsigned state, cost_ps;
};
extern const struct wv_op_info wv_ops[WV_OP_N];

struct wv_op {
	uint8_t code; /* enum wv_opcode */
	uint8_t pad;
	uint16_t dst;	/* register; COLUMN: of the set's columns; OUT: program */
	uint16_t a, b;	/* operations before this one, WV_NO_OP if none */
	uint32_t state; /* first of its state columns */
	uint32_t owner; /* CUSUM: rule whose closing sets it to 0 */
	double k;	/* CUSUM: target + slack */
	uint64_t ns;	/* window, half-life */
};
_Static_assert(sizeof(struct wv_op) == 32, "hashed as bytes");

struct wv_program {
	uint32_t owner;	    /* rule */
	uint16_t out;	    /* its OUT */
	uint16_t n_refs;    /* operations that it needs, OUT included ... */
	uint32_t first_ref; /* ... in the set's refs, ascending */
};

struct wv_program_set {
	struct wv_op *ops;
	struct wv_column *columns;
	struct wv_program *programs;
	uint16_t *refs;
	uint32_t n_ops, n_columns, n_programs, n_refs;
	uint32_t n_numbers, n_truths; /* registers; set by wv_program_finish() */
	uint32_t n_state;
	/* only while compiling */
	uint16_t *hash;
	uint32_t ops_room, refs_room, hash_room;
};

/* An empty set. Release with wv_program_set_done(). 0 or -ENOMEM. */
int wv_program_set_init(struct wv_program_set *s);
void wv_program_set_done(struct wv_program_set *s);
/*
 * Compiles a condition; owner is the rule that it belongs to (its `condition` and its `clear` share
 * what they have in common, cusum() included; other rules share all but that). Returns the
 * program's index, or -EINVAL, -E2BIG with *ret_error filled, or -ENOMEM; then the set is as it
 * was.
 */
int wv_program_add(struct wv_program_set *s, uint32_t owner, const char *text,
		   struct wv_expr_error *ret_error);
/* Gives out registers. After it no more programs are added and the set is read-only. 0, -E2BIG,
 * -ENOMEM. */
int wv_program_finish(struct wv_program_set *s);

/* What a set may cost at most, on every lane at every tick. */
struct wv_program_cost {
	uint32_t n_programs, n_ops, n_columns, n_registers;
	uint64_t ps_per_lane;	 /* time, as measured on the machine of docs/benchmarks.md */
	uint64_t bytes_per_lane; /* state and inputs that wv_vm_init() takes for each lane */
	uint64_t bytes_fixed;	 /* ... and in any case */
};
/*
 * Proves that a finished set keeps within its bounds: every index, type, setting, register and
 * state column. 0, or -EINVAL with what is wrong in why (size bytes). ret_cost may be NULL.
 */
int wv_program_verify(const struct wv_program_set *s, struct wv_program_cost *ret_cost, char *why,
		      size_t size);

/* The operations, one a line, and for each program its condition. */
void wv_program_print(const struct wv_program_set *s, FILE *f);
/*
 * An operation as an expression ("rate(net_tx_bytes) > 1048576"), cut to fit. Returns buf. The set
 * must be verified.
 */
const char *wv_program_text(const struct wv_program_set *s, uint16_t op, char *buf, size_t size);

/* For the verifier and the compiler. */
/* Whether an operation's value is in its first state column rather than in a register. */
static inline bool wv_op_value_in_state(const struct wv_op *op)
{
	return op->code == WV_OP_DIFF || op->code == WV_OP_EWMA || op->code == WV_OP_CUSUM;
}
static inline bool wv_op_has_register(const struct wv_op *op)
{
	return op->code != WV_OP_COLUMN && op->code != WV_OP_OUT && !wv_op_value_in_state(op);
}
static inline bool wv_op_is_window(const struct wv_op *op)
{
	return op->code >= WV_OP_WAVG && op->code <= WV_OP_WMAX;
}
/* Registers of each kind that these operations (ascending) need when run in order. */
unsigned wv_program_pressure(const struct wv_program_set *s, const uint16_t *refs, unsigned n);

#endif
