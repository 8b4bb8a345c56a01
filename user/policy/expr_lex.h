/* SPDX-License-Identifier: GPL-2.0-only */
/* Words of the expression language; only for its parser. */
#ifndef WV_POLICY_EXPR_LEX_H
#define WV_POLICY_EXPR_LEX_H

#include "user/policy/expr.h"

enum wv_token_kind {
	WV_TOKEN_END,
	WV_TOKEN_NUMBER,
	WV_TOKEN_NAME,
	WV_TOKEN_OPEN,
	WV_TOKEN_CLOSE,
	WV_TOKEN_COMMA,
	WV_TOKEN_OPERATOR, /* op says which */
};

struct wv_token {
	enum wv_token_kind kind;
	enum wv_expr_kind op;
	unsigned offset, length; /* bytes in the text */
	double value;		 /* NUMBER */
	struct wv_dim dim;
	bool percent;
};

/* The word at or after offset. 0 or -EINVAL with the error filled. */
int wv_expr_lex(const char *text, unsigned offset, struct wv_token *ret,
		struct wv_expr_error *error);

#endif
