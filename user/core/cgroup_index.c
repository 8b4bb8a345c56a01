// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/cgroup_index.h"

#include <errno.h>
#include <stdlib.h>

/* Fibonacci hashing: kernfs ids are small consecutive numbers. */
static size_t home(const struct wv_index *ix, uint64_t key)
{
	return (size_t)((key * 0x9e3779b97f4a7c15ULL) >> 32) & ix->mask;
}

int wv_index_init(struct wv_index *ix, size_t max)
{
	size_t size = 16;

	while (size < max * 2)
		size *= 2;
	*ix = (struct wv_index){
		.keys = calloc(size, sizeof(uint64_t)),
		.slots = calloc(size, sizeof(uint32_t)),
		.mask = size - 1,
		.max = max,
	};
	if (ix->keys && ix->slots)
		return 0;
	wv_index_done(ix);
	return -ENOMEM;
}

void wv_index_done(struct wv_index *ix)
{
	free(ix->keys);
	free(ix->slots);
	*ix = (struct wv_index){0};
}

int wv_index_find(const struct wv_index *ix, uint64_t key)
{
	if (!key || !ix->keys)
		return -1;
	for (size_t i = home(ix, key); ix->keys[i]; i = (i + 1) & ix->mask)
		if (ix->keys[i] == key)
			return (int)ix->slots[i];
	return -1;
}

int wv_index_put(struct wv_index *ix, uint64_t key, uint32_t slot)
{
	size_t i;

	if (!key)
		return -EINVAL;
	for (i = home(ix, key); ix->keys[i]; i = (i + 1) & ix->mask) {
		if (ix->keys[i] == key) {
			ix->slots[i] = slot;
			return 0;
		}
	}
	if (ix->used >= ix->max)
		return -ENOSPC;
	ix->keys[i] = key;
	ix->slots[i] = slot;
	ix->used++;
	return 0;
}

void wv_index_remove(struct wv_index *ix, uint64_t key)
{
	size_t i, j;

	for (i = home(ix, key); ix->keys[i] != key; i = (i + 1) & ix->mask)
		if (!ix->keys[i])
			return;
	/* close the gap: move back what may not be reached over it */
	for (j = (i + 1) & ix->mask; ix->keys[j]; j = (j + 1) & ix->mask) {
		size_t h = home(ix, ix->keys[j]);

		if (((j - h) & ix->mask) < ((j - i) & ix->mask))
			continue;
		ix->keys[i] = ix->keys[j];
		ix->slots[i] = ix->slots[j];
		i = j;
	}
	ix->keys[i] = 0;
	ix->used--;
}
