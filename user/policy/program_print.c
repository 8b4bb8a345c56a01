// SPDX-License-Identifier: GPL-2.0-only
/* Programs as text: the operations, and the expression that one stands for. */
#include <stdarg.h>

#include "user/policy/program.h"

struct text {
	char *buf;
	size_t size, len;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	if (t->len + 1 >= t->size)
		return;
	va_start(args, format);
	n = vsnprintf(t->buf + t->len, t->size - t->len, format, args);
	va_end(args);
	if (n > 0)
		t->len += (size_t)n;
	if (t->len >= t->size)
		t->len = t->size - 1;
}

static void put_column(struct text *t, const struct wv_column *c)
{
	static const char *const kinds[] = {
#define X(id, text, of) text,
		WV_COLUMN_KINDS(X)
#undef X
	};

	switch (c->kind) {
	case WV_COLUMN_AGE:
		put(t, "age");
		break;
	case WV_COLUMN_VALUE:
		put(t, "%s", wv_signals[c->index].name);
		break;
	case WV_COLUMN_QUANTILE:
		put(t, "quantile(%s, %.9g)", wv_hists[c->index].name, c->q);
		break;
	case WV_COLUMN_COUNT:
	case WV_COLUMN_MEAN:
		put(t, "%s(%s)", kinds[c->kind], wv_hists[c->index].name);
		break;
	default:
		put(t, "%s(%s)", kinds[c->kind], wv_signals[c->index].name);
	}
}

/* 9: brackets are needed around it nowhere; 1: nearly everywhere */
static int binding(const struct wv_op *op)
{
	switch (op->code) {
	case WV_OP_OR:
		return 1;
	case WV_OP_AND:
		return 2;
	case WV_OP_NOT:
		return 3;
	case WV_OP_ADD:
	case WV_OP_SUB:
	case WV_OP_ADDK:
	case WV_OP_KSUB:
		return 5;
	case WV_OP_MUL:
	case WV_OP_DIV:
	case WV_OP_MULK:
	case WV_OP_DIVK:
	case WV_OP_KDIV:
		return 6;
	default:
		return wv_ops[op->code].gives == WV_GIVES_TRUTH ? 4 : 9;
	}
}

static void put_op(struct text *t, const struct wv_program_set *s, uint16_t i, unsigned depth);

static void put_operand(struct text *t, const struct wv_program_set *s, uint16_t i, int above,
			unsigned depth)
{
	bool brackets = binding(&s->ops[i]) < above;

	if (brackets)
		put(t, "(");
	put_op(t, s, i, depth);
	if (brackets)
		put(t, ")");
}

static void put_infix(struct text *t, const struct wv_program_set *s, const struct wv_op *op,
		      unsigned depth)
{
	int level = binding(op);
	bool k_first = op->code == WV_OP_KSUB || op->code == WV_OP_KDIV;
	bool k = wv_ops[op->code].setting == WV_SETTING_K;

	if (k_first) {
		put(t, "%.9g %s ", op->k, wv_ops[op->code].text);
		put_operand(t, s, op->a, level + 1, depth);
		return;
	}
	put_operand(t, s, op->a, level, depth);
	if (op->code == WV_OP_ADDK && op->k < 0)
		put(t, " - %.9g", -op->k);
	else if (k)
		put(t, " %s %.9g", wv_ops[op->code].text, op->k);
	else {
		put(t, " %s ", wv_ops[op->code].text);
		put_operand(t, s, op->b, level + 1, depth);
	}
}

static void put_call(struct text *t, const struct wv_program_set *s, const struct wv_op *op,
		     unsigned depth)
{
	const struct wv_op_info *info = &wv_ops[op->code];
	const struct wv_op *x = &s->ops[op->a];
	bool inner =
		(op->code == WV_OP_WRATE || op->code == WV_OP_WSUM || op->code == WV_OP_PERSEC);
	const char *name = info->text;

	/* these are of a change, which the language does not write by itself */
	if (inner && x->code == WV_OP_DIFF)
		name = op->code == WV_OP_WSUM ? "delta" : "slope";
	else if (op->code == WV_OP_WSUM || op->code == WV_OP_DIFF)
		name = "delta";
	put(t, "%s(", name);
	if (op->code == WV_OP_KRATIO)
		put(t, "%.9g, ", op->k);
	if (inner && x->code == WV_OP_DIFF)
		put_op(t, s, x->a, depth);
	else if (inner && x->code == WV_OP_COLUMN && s->columns[x->dst].kind == WV_COLUMN_DELTA)
		put(t, "%s", wv_signals[s->columns[x->dst].index].name);
	else
		put_op(t, s, op->a, depth);
	if (info->takes == WV_TAKES_NN) {
		put(t, ", ");
		put_op(t, s, op->b, depth);
	}
	if (info->setting == WV_SETTING_NS)
		put(t, ", %.9gs", (double)op->ns / 1e9);
	if (info->setting == WV_SETTING_K && op->code != WV_OP_KRATIO)
		put(t, op->code == WV_OP_CUSUM ? ", %.9g, 0" : ", %.9g", op->k);
	put(t, ")");
}

static void put_op(struct text *t, const struct wv_program_set *s, uint16_t i, unsigned depth)
{
	const struct wv_op *op = &s->ops[i];

	/* a verified program has at most so many operations; a tree of them repeats what is shared
	 */
	if (depth >= WV_PROGRAM_OPS || t->len + 1 >= t->size)
		return;
	depth++;
	switch (op->code) {
	case WV_OP_COLUMN:
		put_column(t, &s->columns[op->dst]);
		break;
	case WV_OP_OUT:
		put_op(t, s, op->a, depth);
		break;
	case WV_OP_NOT:
		put(t, "not ");
		put_operand(t, s, op->a, 4, depth);
		break;
	default:
		if (binding(op) < 9)
			put_infix(t, s, op, depth);
		else
			put_call(t, s, op, depth);
	}
}

const char *wv_program_text(const struct wv_program_set *s, uint16_t op, char *buf, size_t size)
{
	struct text t = {buf, size, 0};

	if (size)
		*buf = '\0';
	if (op < s->n_ops)
		put_op(&t, s, op, 0);
	return buf;
}

static void print_place(const struct wv_op *op, FILE *f)
{
	if (op->code == WV_OP_COLUMN)
		fprintf(f, " c%u", op->dst);
	else if (op->code == WV_OP_OUT)
		fprintf(f, " p%u", op->dst);
	else if (wv_op_value_in_state(op))
		fprintf(f, " s%u", op->state);
	else
		fprintf(f, " %c%u", wv_ops[op->code].gives == WV_GIVES_TRUTH ? 't' : 'r', op->dst);
}

void wv_program_print(const struct wv_program_set *s, FILE *f)
{
	char buf[WV_EXPR_TEXT_MAX + 1];

	for (uint32_t i = 0; i < s->n_ops; i++) {
		const struct wv_op *op = &s->ops[i];
		const struct wv_op_info *info = &wv_ops[op->code];

		fprintf(f, "%5u ", i);
		print_place(op, f);
		fprintf(f, " = %s", info->id);
		if (op->code == WV_OP_COLUMN)
			fprintf(f, " %s", wv_program_text(s, (uint16_t)i, buf, sizeof(buf)));
		if (op->a != WV_NO_OP)
			print_place(&s->ops[op->a], f);
		if (op->b != WV_NO_OP)
			print_place(&s->ops[op->b], f);
		if (info->setting == WV_SETTING_K)
			fprintf(f, " %.9g", op->k);
		if (info->setting == WV_SETTING_NS)
			fprintf(f, " %.9gs", (double)op->ns / 1e9);
		if (info->state && !wv_op_value_in_state(op))
			fprintf(f, " s%u", op->state);
		fputc('\n', f);
	}
	for (uint32_t p = 0; p < s->n_programs; p++)
		fprintf(f, "p%u: %s\n", p,
			wv_program_text(s, s->programs[p].out, buf, sizeof(buf)));
}
