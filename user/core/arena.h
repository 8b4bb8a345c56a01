/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that is released at once: what belongs to one document or one policy. */
#ifndef WV_CORE_ARENA_H
#define WV_CORE_ARENA_H

#include <stddef.h>

struct wv_arena_block {
	struct wv_arena_block *next;
};
/* Starts as zero. */
struct wv_arena {
	struct wv_arena_block *blocks;
};

/* Zeroed memory that lives until wv_arena_done(); NULL: out of memory. */
void *wv_arena_alloc(struct wv_arena *a, size_t n, size_t size);
/* A copy of text; NULL: out of memory. */
char *wv_arena_strdup(struct wv_arena *a, const char *text);
void wv_arena_done(struct wv_arena *a);

#endif
