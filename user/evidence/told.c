// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/told.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

uint64_t wv_subtree(uint64_t at, uint64_t end)
{
	uint64_t size = at ? at & -at : 1ULL << 62;

	while (size > end - at)
		size /= 2;
	return size;
}

void wv_told_done(struct wv_told_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->list[i].roots);
	free(l->list);
	*l = (struct wv_told_list){0};
}

static void drop(struct wv_told_list *l, size_t i)
{
	free(l->list[i].roots);
	l->list[i] = l->list[--l->n];
}

struct node {
	uint64_t at, size;
	struct wv_hash root;
};
struct nodes {
	struct node list[WV_SUBTREES_MAX + 1];
	size_t n;
};

/* The next subtree to the right; with it those that are whole now become one. */
static void push(struct nodes *x, const struct node *next)
{
	x->list[x->n++] = *next;
	while (x->n > 1) {
		struct node *a = &x->list[x->n - 2], *b = &x->list[x->n - 1];

		if (a->size != b->size || a->at % (2 * a->size) != 0)
			break;
		wv_merkle_node(&a->root, &b->root, &a->root);
		a->size *= 2;
		x->n--;
	}
}

static void push_all(struct nodes *x, const struct wv_told *t)
{
	struct node next = {.at = t->first - 1};

	for (size_t i = 0; i < t->n_roots && x->n < WV_SUBTREES_MAX; i++, next.at += next.size) {
		next.size = wv_subtree(next.at, t->last);
		next.root = t->roots[i];
		push(x, &next);
	}
}

/* b begins where a ends: a is both, b nothing. */
static int join(struct wv_told *a, const struct wv_told *b)
{
	_cleanup_free_ struct nodes *x = calloc(1, sizeof(*x));
	struct wv_hash *roots = NULL;

	if (!x)
		return -ENOMEM;
	if (a->n_roots && b->n_roots) {
		push_all(x, a);
		push_all(x, b);
		roots = calloc(x->n, sizeof(*roots));
		if (!roots)
			return -ENOMEM;
	}
	for (size_t i = 0; i < x->n; i++)
		roots[i] = x->list[i].root;
	free(a->roots);
	a->roots = roots;
	a->n_roots = x->n;
	a->last = b->last;
	/* both records are needed: the older goes first */
	if (b->seq < a->seq)
		a->seq = b->seq;
	return 0;
}

/* One pair of neighbours becomes one range. 1: there was such a pair. */
static int join_some(struct wv_told_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		for (size_t k = 0; k < l->n; k++) {
			int r;

			if (l->list[i].last + 1 != l->list[k].first)
				continue;
			r = join(&l->list[i], &l->list[k]);
			if (r < 0)
				return r;
			drop(l, k);
			return 1;
		}
	return 0;
}

static bool parse_root(struct json_object *o, struct wv_hash *ret)
{
	const char *text = json_object_get_string(o);

	if (!text || strlen(text) != (size_t)(2 * WV_HASH_SIZE) ||
	    strspn(text, "0123456789abcdef") != (size_t)(2 * WV_HASH_SIZE))
		return false;
	for (unsigned i = 0; i < WV_HASH_SIZE; i++) {
		const char digits[] = {text[2 * i], text[2 * i + 1], 0};

		ret->bytes[i] = (unsigned char)strtoul(digits, NULL, 16);
	}
	return true;
}

/* Roots that are not as many as the range has subtrees, or no hashes, count as not known. */
static int parse_roots(struct json_object *list, struct wv_told *t)
{
	size_t n = 0, have;

	for (uint64_t at = t->first - 1; at < t->last; n++)
		at += wv_subtree(at, t->last);
	have = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	if (have != n)
		return 0;
	t->roots = calloc(n, sizeof(*t->roots));
	if (!t->roots)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (!parse_root(json_object_array_get_idx(list, i), &t->roots[i]))
			return 0;
	t->n_roots = n;
	return 0;
}

static uint64_t get_u64(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

int wv_told_add(struct wv_told_list *l, struct json_object *o)
{
	struct wv_told t = {
		.first = get_u64(o, "first"), .last = get_u64(o, "last"), .seq = get_u64(o, "seq")};
	struct json_object *roots = NULL;
	struct wv_told *more;
	int r;

	if (!t.first || t.first > t.last || t.last > 1ULL << 62)
		return 0;
	(void)json_object_object_get_ex(o, "roots", &roots);
	r = parse_roots(roots, &t);
	more = r == 0 ? realloc(l->list, (l->n + 1) * sizeof(*more)) : NULL;
	if (!more) {
		free(t.roots);
		return -ENOMEM;
	}
	l->list = more;
	for (size_t i = l->n; i-- > 0;)
		if (t.first <= l->list[i].first && l->list[i].last <= t.last)
			drop(l, i);
	l->list[l->n++] = t;
	while ((r = join_some(l)) == 1)
		;
	return r;
}

void wv_told_add_root(struct json_object *list, const struct wv_hash *h)
{
	char hex[2 * WV_HASH_SIZE + 1];

	for (unsigned i = 0; i < WV_HASH_SIZE; i++)
		snprintf(hex + (size_t)(2 * i), 3, "%02x", h->bytes[i]);
	json_object_array_add(list, json_object_new_string(hex));
}

struct json_object *wv_told_json(const struct wv_told *t)
{
	struct json_object *o = json_object_new_object(), *roots = json_object_new_array();

	json_object_object_add(o, "first", json_object_new_uint64(t->first));
	json_object_object_add(o, "last", json_object_new_uint64(t->last));
	for (size_t i = 0; i < t->n_roots; i++)
		wv_told_add_root(roots, &t->roots[i]);
	json_object_object_add(o, "roots", roots);
	return o;
}
