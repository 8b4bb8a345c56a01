// SPDX-License-Identifier: GPL-2.0-only
/*
 * Words of the expression language. Numbers are read without the C library, whose reading depends
 * on the locale: digits times the unit is one exact integer, divided once by an exact power of ten,
 * so the result is the double that is nearest to what is written, on every machine.
 */
#include "user/policy/expr_lex.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "user/core/config.h"

#define EXACT (1ULL << 53) /* integers up to here are doubles */

/* ASCII only, whatever the locale */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

int wv_expr_fail(struct wv_expr_error *error, unsigned offset, const char *format, ...)
{
	va_list args;

	error->offset = offset;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	wv_make_printable(error->text);
	return -EINVAL;
}

static const struct {
	const char *name;
	uint64_t times, by;
	struct wv_dim dim;
} units[] = {
	{"ns", 1, 1000000000, {1, 0}},	{"us", 1, 1000000, {1, 0}},
	{"ms", 1, 1000, {1, 0}},	{"s", 1, 1, {1, 0}},
	{"m", 60, 1, {1, 0}},		{"h", 3600, 1, {1, 0}},
	{"d", 86400, 1, {1, 0}},	{"B", 1, 1, {0, 1}},
	{"k", 1 << 10, 1, {0, 1}},	{"K", 1 << 10, 1, {0, 1}},
	{"Ki", 1 << 10, 1, {0, 1}},	{"KiB", 1 << 10, 1, {0, 1}},
	{"M", 1 << 20, 1, {0, 1}},	{"Mi", 1 << 20, 1, {0, 1}},
	{"MiB", 1 << 20, 1, {0, 1}},	{"G", 1 << 30, 1, {0, 1}},
	{"Gi", 1 << 30, 1, {0, 1}},	{"GiB", 1 << 30, 1, {0, 1}},
	{"T", 1ULL << 40, 1, {0, 1}},	{"Ti", 1ULL << 40, 1, {0, 1}},
	{"TiB", 1ULL << 40, 1, {0, 1}},
};

/* Digits and at most nine places: *ret / *ret_by is what is written. The number of bytes, or 0. */
static unsigned decimal(const char *s, uint64_t *ret, uint64_t *ret_by)
{
	uint64_t v = 0, by = 1;
	const char *p = s;
	bool places = false;

	for (;; p++) {
		if (*p == '.' && !places && is_digit(p[1])) {
			places = true;
			continue;
		}
		if (!is_digit(*p))
			break;
		v = v * 10 + (uint64_t)(*p - '0');
		if (places)
			by *= 10;
		if (v >= EXACT || by > 1000000000)
			return 0;
	}
	*ret = v;
	*ret_by = by;
	return (unsigned)(p - s);
}

int wv_expr_number(const char *s, double *ret_value, struct wv_dim *ret_dim, bool *ret_percent,
		   struct wv_expr_error *ret_error)
{
	static const char *const names[] = {"ns", "us", "ms", "s", "m", "h", "d",
					    "B",  "K",	"M",  "G", "T", "%", NULL};
	uint64_t v, by, times = 1, unit_by = 1;
	unsigned n = decimal(s, &v, &by), len = 0;
	struct wv_dim dim = {0, 0};
	char name[16];

	if (!n)
		return wv_expr_fail(ret_error, 0,
				    "number too long; expected at most 15 digits, nine of them "
				    "after the point");
	while (is_letter(s[n + len]) || is_digit(s[n + len]))
		len++;
	*ret_percent = !len && s[n] == '%';
	if (*ret_percent) {
		unit_by = 100;
		len = 1;
	} else if (len) {
		size_t i;

		snprintf(name, sizeof(name), "%.*s", (int)len, s + n);
		for (i = 0; i < sizeof(units) / sizeof(*units); i++)
			if (strcmp(units[i].name, name) == 0)
				break;
		if (i == sizeof(units) / sizeof(*units)) {
			const char *near = wv_suggest(name, names);

			return wv_expr_fail(ret_error, n,
					    "unknown unit '%s'; expected ns, us, ms, s, m, h, d, "
					    "B, K, M, G, T or %%%s%s%s",
					    name, near ? "; did you mean '" : "", near ?: "",
					    near ? "'?" : "");
		}
		times = units[i].times;
		unit_by = units[i].by;
		dim = units[i].dim;
	}
	if (__builtin_mul_overflow(v, times, &v) || v >= EXACT)
		return wv_expr_fail(ret_error, 0, "number too large; expected less than 8192T");
	n += len;
	if (s[n] == '/' && s[n + 1] == 's' && !is_letter(s[n + 2]) && !is_digit(s[n + 2]) &&
	    !*ret_percent) {
		dim.seconds--;
		n += 2;
	}
	*ret_value = (double)v / ((double)by * (double)unit_by);
	*ret_dim = dim;
	return (int)n;
}

static const struct {
	const char *text;
	enum wv_token_kind kind;
	enum wv_expr_kind op;
} marks[] = {
	{">=", WV_TOKEN_OPERATOR, WV_EXPR_GE},
	{"<=", WV_TOKEN_OPERATOR, WV_EXPR_LE},
	{"==", WV_TOKEN_OPERATOR, WV_EXPR_EQ},
	{"!=", WV_TOKEN_OPERATOR, WV_EXPR_NE},
	{">", WV_TOKEN_OPERATOR, WV_EXPR_GT},
	{"<", WV_TOKEN_OPERATOR, WV_EXPR_LT},
	{"+", WV_TOKEN_OPERATOR, WV_EXPR_ADD},
	{"-", WV_TOKEN_OPERATOR, WV_EXPR_SUB},
	{"*", WV_TOKEN_OPERATOR, WV_EXPR_MUL},
	{"/", WV_TOKEN_OPERATOR, WV_EXPR_DIV},
	{"(", WV_TOKEN_OPEN, 0},
	{")", WV_TOKEN_CLOSE, 0},
	{",", WV_TOKEN_COMMA, 0},
};

/* What other languages write, and what is meant here. */
static const struct {
	const char *text, *here;
} foreign[] = {{"&&", "and"}, {"||", "or"}, {"=", "=="}, {"!", "not"}};

static int lex_mark(const char *text, struct wv_token *ret, struct wv_expr_error *error)
{
	const char *s = text + ret->offset;

	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
		if (strncmp(s, marks[i].text, strlen(marks[i].text)) != 0)
			continue;
		ret->kind = marks[i].kind;
		ret->op = marks[i].op;
		ret->length = (unsigned)strlen(marks[i].text);
		return 0;
	}
	for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++)
		if (strncmp(s, foreign[i].text, strlen(foreign[i].text)) == 0)
			return wv_expr_fail(error, ret->offset, "unexpected '%s'; write '%s'",
					    foreign[i].text, foreign[i].here);
	if (*s == '.')
		return wv_expr_fail(error, ret->offset,
				    "unexpected '.'; a number begins with a digit, such as 0.5");
	return wv_expr_fail(error, ret->offset, "unexpected character '%c'", *s);
}

static void lex_name(const char *text, struct wv_token *ret)
{
	static const struct {
		const char *text;
		enum wv_expr_kind op;
	} words[] = {{"and", WV_EXPR_AND}, {"or", WV_EXPR_OR}, {"not", WV_EXPR_NOT}};
	const char *s = text + ret->offset;

	while (is_letter(s[ret->length]) || is_digit(s[ret->length]))
		ret->length++;
	ret->kind = WV_TOKEN_NAME;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strlen(words[i].text) != ret->length ||
		    strncmp(s, words[i].text, ret->length) != 0)
			continue;
		ret->kind = WV_TOKEN_OPERATOR;
		ret->op = words[i].op;
	}
}

int wv_expr_lex(const char *text, unsigned offset, struct wv_token *ret,
		struct wv_expr_error *error)
{
	int r;

	while (text[offset] && strchr(" \t\r\n", text[offset]))
		offset++;
	*ret = (struct wv_token){.offset = offset};
	if (!text[offset])
		return 0;
	if (is_letter(text[offset])) {
		lex_name(text, ret);
		return 0;
	}
	if (!is_digit(text[offset]))
		return lex_mark(text, ret, error);
	r = wv_expr_number(text + offset, &ret->value, &ret->dim, &ret->percent, error);
	if (r < 0) {
		error->offset += offset;
		return r;
	}
	ret->kind = WV_TOKEN_NUMBER;
	ret->length = (unsigned)r;
	return 0;
}
