/* SPDX-License-Identifier: GPL-2.0-only */
/* Between the compiler and its set: emitting operations. */
#ifndef WV_POLICY_COMPILE_H
#define WV_POLICY_COMPILE_H

#include "user/policy/program.h"

/* Index of this operation in the set, found or added (dst and state are given by the set; for a
 * COLUMN dst is taken as it is). -E2BIG or -ENOMEM. */
int wv_program_emit(struct wv_program_set *s, struct wv_op op);
/* Index of a column, found or added. -E2BIG. */
int wv_program_column(struct wv_program_set *s, struct wv_column c);
/* Operation that gives the expression's value, its operands before it. -E2BIG or -ENOMEM. */
int wv_program_compile(struct wv_program_set *s, const struct wv_expr *e, uint32_t owner);

#endif
