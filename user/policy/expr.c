// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parser of conditions: recursive descent, one function a level of precedence. Nodes are appended
 * when they are complete, so arguments always stand before those that use them.
 */
#include "user/policy/expr.h"

#include <errno.h>
#include <string.h>

#include "user/core/config.h"
#include "user/flow/sample.h"
#include "user/policy/expr_lex.h"

const struct wv_fn_info wv_fns[WV_FN_N] = {
#define WV_FN(id, name, first, least, most, usage, help)                                           \
	[WV_FN_##id] = {name, usage, help, WV_ARG_##first, least, most},
#include "user/policy/expr.def"
};

struct parser {
	const char *text;
	struct wv_token token; /* not yet taken */
	struct wv_expr *e;
	struct wv_expr_error *error;
	unsigned depth;
	unsigned end; /* of the word taken last */
};

static int parse_or(struct parser *p);
static int parse_not(struct parser *p);

static int take(struct parser *p)
{
	p->end = p->token.offset + p->token.length;
	return wv_expr_lex(p->text, p->end, &p->token, p->error);
}

static bool at_operator(const struct parser *p, enum wv_expr_kind op)
{
	return p->token.kind == WV_TOKEN_OPERATOR && p->token.op == op;
}

static int unexpected(struct parser *p, const char *expected)
{
	if (p->token.kind == WV_TOKEN_END)
		return wv_expr_fail(p->error, p->token.offset,
				    "the condition ends here; expected %s", expected);
	return wv_expr_fail(p->error, p->token.offset, "unexpected '%.*s'; expected %s",
			    (int)(p->token.length < 40 ? p->token.length : 40),
			    p->text + p->token.offset, expected);
}

/* Appends a node that began at offset and ends with the word taken last. */
static int append(struct parser *p, struct wv_expr_node node, unsigned offset)
{
	if (p->e->n_nodes >= WV_EXPR_NODES)
		return wv_expr_fail(p->error, offset,
				    "the condition is too long; expected at most %d numbers, names "
				    "and operators",
				    WV_EXPR_NODES);
	node.offset = (uint16_t)offset;
	node.length = (uint16_t)(p->end - offset);
	p->e->nodes[p->e->n_nodes] = node;
	return (int)p->e->n_nodes++;
}

static int deeper(struct parser *p)
{
	if (++p->depth <= WV_EXPR_DEPTH)
		return 0;
	return wv_expr_fail(p->error, p->token.offset,
			    "nested too deeply; expected at most %d levels", WV_EXPR_DEPTH);
}

static int find_fn(const char *name)
{
	for (int i = 0; i < WV_FN_N; i++)
		if (strcmp(wv_fns[i].name, name) == 0)
			return i;
	return -1;
}

static int find_hist(const char *name)
{
	for (int i = 0; i < WV_HIST_N; i++)
		if (strcmp(wv_hists[i].name, name) == 0)
			return i;
	return -1;
}

static int unknown_name(struct parser *p, const struct wv_token *t, const char *name, bool call)
{
	const char *names[WV_FN_N + WV_SIG_N + WV_HIST_N + 2], *near;
	size_t n = 0;

	for (int i = 0; call && i < WV_FN_N; i++)
		names[n++] = wv_fns[i].name;
	for (int i = 0; !call && i < WV_SIG_N; i++)
		names[n++] = wv_signals[i].name;
	for (int i = 0; !call && i < WV_HIST_N; i++)
		names[n++] = wv_hists[i].name;
	if (!call)
		names[n++] = "age";
	names[n] = NULL;
	near = wv_suggest(name, names);
	return wv_expr_fail(p->error, t->offset, "unknown %s '%.60s'%s%s%s",
			    call ? "function" : "signal", name,
			    near   ? "; did you mean '"
			    : call ? "; docs/policy-expressions.md lists them"
				   : "; docs/signals.md lists them",
			    near ?: "", near ? "'?" : "");
}

static int parse_call(struct parser *p, const struct wv_token *name, int fn)
{
	struct wv_expr_node node = {.kind = WV_EXPR_CALL, .fn = (uint8_t)fn};
	const struct wv_fn_info *info = &wv_fns[fn];
	int r = take(p); /* the bracket */

	while (r == 0) {
		if (p->token.kind == WV_TOKEN_CLOSE && node.n_args < info->least)
			return unexpected(p, info->usage);
		r = parse_or(p);
		if (r < 0)
			return r;
		node.args[node.n_args++] = (uint8_t)r;
		r = 0;
		if (p->token.kind == WV_TOKEN_CLOSE && node.n_args >= info->least)
			break;
		if (p->token.kind != WV_TOKEN_COMMA || node.n_args >= info->most)
			return unexpected(p, info->usage);
		r = take(p);
	}
	if (r == 0)
		r = take(p);
	return r < 0 ? r : append(p, node, name->offset);
}

static int parse_name(struct parser *p)
{
	struct wv_token t = p->token;
	struct wv_expr_node node = {0};
	char name[64];
	int r = take(p);

	if (r < 0)
		return r;
	if (t.length >= sizeof(name))
		return wv_expr_fail(p->error, t.offset, "name too long; expected a signal");
	memcpy(name, p->text + t.offset, t.length);
	name[t.length] = '\0';
	if (p->token.kind == WV_TOKEN_OPEN) {
		r = find_fn(name);
		return r < 0 ? unknown_name(p, &t, name, true) : parse_call(p, &t, r);
	}
	node.index = wv_signal_by_name(name);
	node.kind = WV_EXPR_SIGNAL;
	if (node.index < 0) {
		node.index = find_hist(name);
		node.kind = WV_EXPR_HIST;
	}
	if (strcmp(name, "age") == 0) {
		node.index = 0;
		node.kind = WV_EXPR_AGE;
	}
	if (node.index >= 0)
		return append(p, node, t.offset);
	r = find_fn(name);
	if (r >= 0)
		return wv_expr_fail(p->error, t.offset, "'%s' is a function; expected %s", name,
				    wv_fns[r].usage);
	return unknown_name(p, &t, name, false);
}

static int parse_primary(struct parser *p)
{
	struct wv_token t = p->token;
	int r, inner;

	switch (t.kind) {
	case WV_TOKEN_NUMBER:
		r = take(p);
		return r < 0 ? r
			     : append(p,
				      (struct wv_expr_node){.kind = WV_EXPR_LITERAL,
							    .constant = true,
							    .percent = t.percent,
							    .dim = t.dim,
							    .value = t.value},
				      t.offset);
	case WV_TOKEN_NAME:
		return parse_name(p);
	case WV_TOKEN_OPEN:
		r = take(p);
		inner = r < 0 ? r : parse_or(p);
		if (inner < 0)
			return inner;
		if (p->token.kind != WV_TOKEN_CLOSE)
			return unexpected(p, "')' or an operator");
		r = take(p);
		return r < 0 ? r : inner;
	default:
		return unexpected(p, "a signal, a number, a function or '('");
	}
}

static int parse_sign(struct parser *p)
{
	struct wv_expr_node node = {.kind = WV_EXPR_NEG, .n_args = 1};
	unsigned offset = p->token.offset;
	int r = deeper(p);

	if (r < 0)
		return r;
	if (!at_operator(p, WV_EXPR_SUB)) {
		r = parse_primary(p);
		p->depth--;
		return r;
	}
	r = take(p);
	if (r == 0)
		r = parse_sign(p);
	p->depth--;
	if (r < 0)
		return r;
	node.args[0] = (uint8_t)r;
	return append(p, node, offset);
}

/* A chain of operators of one level, from the left. */
static int parse_chain(struct parser *p, int (*operand)(struct parser *p), enum wv_expr_kind one,
		       enum wv_expr_kind other)
{
	unsigned offset = p->token.offset;
	int left = operand(p);

	while (left >= 0 && (at_operator(p, one) || at_operator(p, other))) {
		struct wv_expr_node node = {.kind = (uint8_t)p->token.op, .n_args = 2};
		int r = take(p), right = r < 0 ? r : operand(p);

		if (right < 0)
			return right;
		node.args[0] = (uint8_t)left;
		node.args[1] = (uint8_t)right;
		left = append(p, node, offset);
	}
	return left;
}

static int parse_product(struct parser *p)
{
	return parse_chain(p, parse_sign, WV_EXPR_MUL, WV_EXPR_DIV);
}

static int parse_sum(struct parser *p)
{
	return parse_chain(p, parse_product, WV_EXPR_ADD, WV_EXPR_SUB);
}

static bool at_comparison(const struct parser *p)
{
	return p->token.kind == WV_TOKEN_OPERATOR && p->token.op >= WV_EXPR_GT &&
	       p->token.op <= WV_EXPR_NE;
}

static int parse_comparison(struct parser *p)
{
	struct wv_expr_node node = {.n_args = 2};
	unsigned offset = p->token.offset;
	int left = parse_sum(p), right, r;

	if (left < 0 || !at_comparison(p))
		return left;
	node.kind = (uint8_t)p->token.op;
	r = take(p);
	right = r < 0 ? r : parse_sum(p);
	if (right < 0)
		return right;
	if (at_comparison(p))
		return unexpected(p, "'and' between two comparisons: a < b and b < c");
	node.args[0] = (uint8_t)left;
	node.args[1] = (uint8_t)right;
	return append(p, node, offset);
}

static int parse_not(struct parser *p)
{
	struct wv_expr_node node = {.kind = WV_EXPR_NOT, .n_args = 1};
	unsigned offset = p->token.offset;
	int r;

	if (!at_operator(p, WV_EXPR_NOT))
		return parse_comparison(p);
	r = deeper(p);
	if (r == 0)
		r = take(p);
	if (r == 0)
		r = parse_not(p);
	p->depth--;
	if (r < 0)
		return r;
	node.args[0] = (uint8_t)r;
	return append(p, node, offset);
}

static int parse_and(struct parser *p)
{
	return parse_chain(p, parse_not, WV_EXPR_AND, WV_EXPR_AND);
}

static int parse_or(struct parser *p)
{
	return parse_chain(p, parse_and, WV_EXPR_OR, WV_EXPR_OR);
}

int wv_expr_parse(struct wv_expr *e, const char *text, struct wv_expr_error *ret_error)
{
	struct parser p = {.text = text, .e = e, .error = ret_error};
	int r;

	e->n_nodes = 0;
	e->root = 0;
	if (strlen(text) > WV_EXPR_TEXT_MAX)
		return wv_expr_fail(ret_error, WV_EXPR_TEXT_MAX,
				    "the condition is too long; expected at most %d bytes",
				    WV_EXPR_TEXT_MAX);
	r = wv_expr_lex(text, 0, &p.token, ret_error);
	if (r == 0)
		r = parse_or(&p);
	if (r < 0)
		return r;
	if (p.token.kind != WV_TOKEN_END)
		return unexpected(&p, "an operator or the end");
	e->root = (unsigned)r;
	return wv_expr_check(e, text, ret_error);
}
