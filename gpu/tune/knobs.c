// SPDX-License-Identifier: GPL-2.0-only
#include "gpu/tune/knobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/flow/gpu.h"

#define V(...) __VA_ARGS__
#define B(bound) (1U << WV_GPU_BOUND_##bound)
/* with a first number that is not counted: a list may be empty */
#define COUNT(...) (sizeof((int32_t[]){0, __VA_ARGS__}) / sizeof(int32_t) - 1)

const struct wv_tune_knob_def wv_tune_knobs[WV_TUNE_KNOB_N] = {
#define WV_TUNE_KNOB(id, name_, kind_, choices_, values_, helps_, numbers_, memory_, doc_)         \
	[WV_TUNE_##id] = {                                                                         \
		.name = name_,                                                                     \
		.choices = choices_,                                                               \
		.doc = doc_,                                                                       \
		.kind = WV_TUNE_##kind_,                                                           \
		.helps = helps_,                                                                   \
		.numbers = WV_TUNE_##numbers_,                                                     \
		.memory = WV_TUNE_##memory_,                                                       \
		.n_values = COUNT(values_),                                                        \
		.value = {values_},                                                                \
	},
#include "gpu/tune/knobs.def"
};

struct wv_tune_point wv_tune_point_unset(void)
{
	struct wv_tune_point p;

	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++)
		p.value[k] = WV_TUNE_UNSET;
	return p;
}

bool wv_tune_point_equal(const struct wv_tune_point *a, const struct wv_tune_point *b)
{
	return memcmp(a->value, b->value, sizeof(a->value)) == 0;
}

uint64_t wv_tune_point_hash(const struct wv_tune_point *p)
{
	uint64_t h = 0xcbf29ce484222325ULL; /* FNV-1a over values */

	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++) {
		h ^= (uint32_t)p->value[k];
		h *= 0x100000001b3ULL;
	}
	return h;
}

enum wv_tune_numbers wv_tune_point_numbers(const struct wv_tune_point *a,
					   const struct wv_tune_point *b)
{
	enum wv_tune_numbers most = WV_TUNE_EXACT;

	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++)
		if (a->value[k] != b->value[k] && wv_tune_knobs[k].numbers > most)
			most = wv_tune_knobs[k].numbers;
	return most;
}

const char *wv_tune_point_change(const struct wv_tune_point *from, const struct wv_tune_point *to,
				 char *buf, size_t size)
{
	char a[32], b[32];
	size_t at = 0;
	int n;

	if (size == 0)
		return buf;
	buf[0] = '\0';
	for (unsigned k = 0; k < WV_TUNE_KNOB_N && at < size; k++) {
		if (from->value[k] == to->value[k])
			continue;
		n = snprintf(buf + at, size - at, "%s%s %s->%s", at ? ", " : "",
			     wv_tune_knobs[k].name,
			     wv_tune_value_text(k, from->value[k], a, sizeof(a)),
			     wv_tune_value_text(k, to->value[k], b, sizeof(b)));
		at += n > 0 ? (size_t)n : 0;
	}
	if (at == 0)
		snprintf(buf, size, "no change");
	return buf;
}

int wv_tune_knob_find(const char *name, enum wv_tune_knob *ret_knob)
{
	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++) {
		if (strcmp(name, wv_tune_knobs[k].name) == 0) {
			*ret_knob = k;
			return 0;
		}
	}
	return -ENOENT;
}

/* The word of a choice, and its length; NULL: there are not as many. */
static const char *choice(enum wv_tune_knob knob, int32_t value, size_t *ret_len)
{
	const char *s = wv_tune_knobs[knob].choices;

	for (; value > 0 && s; value--) {
		s = strchr(s, '|');
		s = s ? s + 1 : NULL;
	}
	if (!s || value < 0)
		return NULL;
	*ret_len = strcspn(s, "|");
	return s;
}

const char *wv_tune_value_text(enum wv_tune_knob knob, int32_t value, char *buf, size_t size)
{
	const char *word = NULL;
	size_t len = 0;

	if (value == WV_TUNE_UNSET)
		snprintf(buf, size, "unset");
	else if (wv_tune_knobs[knob].kind == WV_TUNE_BOOL)
		snprintf(buf, size, "%s", value ? "true" : "false");
	else if (wv_tune_knobs[knob].kind == WV_TUNE_CHOICE &&
		 (word = choice(knob, value, &len)) != NULL)
		snprintf(buf, size, "%.*s", (int)len, word);
	else
		snprintf(buf, size, "%d", value);
	return buf;
}

/* Whether a value is one of the knob's kind, and in a range that no machine exceeds. */
static bool sensible(enum wv_tune_knob knob, int32_t value)
{
	size_t len;

	switch (wv_tune_knobs[knob].kind) {
	case WV_TUNE_BOOL:
		return value == 0 || value == 1;
	case WV_TUNE_CHOICE:
		return choice(knob, value, &len) != NULL;
	case WV_TUNE_INT:
		break;
	}
	if (knob == WV_TUNE_ZERO)
		return value >= 0 && value <= 3;
	/* none but the number of workers can be zero */
	return value >= (knob == WV_TUNE_WORKERS ? 0 : 1) && value <= 1 << 20;
}

int wv_tune_value_parse(enum wv_tune_knob knob, const char *text, int32_t *ret_value)
{
	char buf[32], *end;
	long n;

	if (wv_tune_knobs[knob].kind != WV_TUNE_INT) {
		for (int32_t i = 0; sensible(knob, i); i++) {
			if (strcmp(text, wv_tune_value_text(knob, i, buf, sizeof(buf))) == 0) {
				*ret_value = i;
				return 0;
			}
		}
		return -EINVAL;
	}
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || *end || n > INT32_MAX || !sensible(knob, (int32_t)n))
		return -EINVAL;
	*ret_value = (int32_t)n;
	return 0;
}

void wv_tune_space_init(struct wv_tune_space *s)
{
	*s = (struct wv_tune_space){.world = 1};
	s->start = wv_tune_point_unset();
}

int wv_tune_space_add(struct wv_tune_space *s, enum wv_tune_knob knob, int32_t value)
{
	int32_t *v = s->knob[knob].value;
	uint32_t i = 0;

	if (knob == WV_TUNE_ACCUMULATE || !sensible(knob, value))
		return -EINVAL;
	while (i < s->knob[knob].n && v[i] < value)
		i++;
	if (i < s->knob[knob].n && v[i] == value)
		return 0;
	if (s->knob[knob].n == WV_TUNE_VALUES)
		return -ENOSPC;
	memmove(&v[i + 1], &v[i], (s->knob[knob].n - i) * sizeof(v[0]));
	v[i] = value;
	s->knob[knob].n++;
	return 0;
}

void wv_tune_space_allow(struct wv_tune_space *s, enum wv_tune_knob knob)
{
	const struct wv_tune_knob_def *def = &wv_tune_knobs[knob];

	for (uint32_t i = 0; i < def->n_values; i++)
		if (knob != WV_TUNE_WORKERS || s->cpus == 0 ||
		    (uint32_t)def->value[i] <= 2 * s->cpus)
			(void)wv_tune_space_add(s, knob, def->value[i]);
}

static bool divides(const struct wv_tune_space *s, int32_t micro)
{
	return micro > 0 && s->global_batch % ((uint64_t)(uint32_t)micro * s->world) == 0;
}

/* Values of MICRO that do not divide the global batch cannot be tried. */
static void drop_indivisible(struct wv_tune_space *s)
{
	int32_t *v = s->knob[WV_TUNE_MICRO].value;
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->knob[WV_TUNE_MICRO].n; i++)
		if (divides(s, v[i]))
			v[n++] = v[i];
	s->knob[WV_TUNE_MICRO].n = n;
}

const char *wv_tune_space_close(struct wv_tune_space *s)
{
	if (s->world == 0 || s->world > 65536)
		return "the number of processes makes no sense";
	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++) {
		if (s->start.value[k] == WV_TUNE_UNSET || k == WV_TUNE_ACCUMULATE)
			continue;
		if (!sensible(k, s->start.value[k]))
			return "a value of the start is none of its knob";
		if (s->knob[k].n && wv_tune_space_add(s, k, s->start.value[k]) < 0)
			return "a knob has too many values";
	}
	if (s->global_batch == 0) {
		if (s->knob[WV_TUNE_MICRO].n)
			return "batch.micro cannot be searched without the global batch";
		return NULL;
	}
	if (s->knob[WV_TUNE_MICRO].n && s->start.value[WV_TUNE_MICRO] == WV_TUNE_UNSET)
		return "batch.micro is searched, but the start does not say its value";
	drop_indivisible(s);
	if (!wv_tune_space_settle(s, &s->start))
		return "the start's batch.micro times processes does not divide the global batch";
	return NULL;
}

bool wv_tune_space_settle(const struct wv_tune_space *s, struct wv_tune_point *p)
{
	int32_t micro = p->value[WV_TUNE_MICRO];

	for (unsigned k = 0; k < WV_TUNE_KNOB_N; k++) {
		bool found = p->value[k] == s->start.value[k] || k == WV_TUNE_ACCUMULATE;

		for (uint32_t i = 0; i < s->knob[k].n && !found; i++)
			found = p->value[k] == s->knob[k].value[i];
		if (!found)
			return false;
	}
	if (s->global_batch == 0 || micro == WV_TUNE_UNSET)
		return true;
	if (!divides(s, micro))
		return false;
	p->value[WV_TUNE_ACCUMULATE] = (int32_t)(s->global_batch / ((uint32_t)micro * s->world));
	return true;
}
