// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/arena.h"

#include <stdlib.h>
#include <string.h>

void *wv_arena_alloc(struct wv_arena *a, size_t n, size_t size)
{
	struct wv_arena_block *b;
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) ||
	    __builtin_add_overflow(bytes, sizeof(*b), &bytes))
		return NULL;
	b = calloc(1, bytes);
	if (!b)
		return NULL;
	b->next = a->blocks;
	a->blocks = b;
	return b + 1;
}

char *wv_arena_strdup(struct wv_arena *a, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = wv_arena_alloc(a, 1, size);

	return copy ? memcpy(copy, text, size) : NULL;
}

void wv_arena_done(struct wv_arena *a)
{
	while (a->blocks) {
		struct wv_arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
}
