// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slots and tables: which slot a cgroup owns and where its rows are. Tables are arrays of chunks; a
 * chunk is added to every table before any of its slots can be taken, so a program never finds a
 * slot without a row.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/bpf_set.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/thread.h"

int wv_tables_init(struct wv_bpf *bpf, const struct wv_object *const *objects, size_t n_objects)
{
	for (size_t i = 0; i < n_objects; i++) {
		if (!wv_bpf_has(bpf, objects[i]->name))
			continue;
		for (const struct wv_table_desc *d = objects[i]->tables; d && d->map; d++) {
			struct wv_table *t = &bpf->tables[bpf->n_tables];

			if (bpf->n_tables == WV_MAX_TABLES)
				return -E2BIG;
			*t = (struct wv_table){.desc = *d,
					       .outer_fd = wv_things_find(&bpf->maps, d->map)};
			if (t->outer_fd < 0)
				return wv_log_errno(-ENOENT, "bpf", "table %s", d->map);
			t->chunk_fds = malloc(bpf->max_chunks * sizeof(int));
			if (!t->chunk_fds)
				return -ENOMEM;
			for (uint32_t c = 0; c < bpf->max_chunks; c++)
				t->chunk_fds[c] = -1;
			bpf->n_tables++;
		}
	}
	return 0;
}

void wv_tables_done(struct wv_bpf *bpf)
{
	for (size_t i = 0; i < bpf->n_tables; i++) {
		for (uint32_t c = 0; c < bpf->max_chunks; c++)
			wv_closep(&bpf->tables[i].chunk_fds[c]);
		free(bpf->tables[i].chunk_fds);
	}
	bpf->n_tables = 0;
}

/* Descriptor of an existing chunk; -ENOENT if the table has none there. */
static int chunk_fd(const struct wv_bpf *bpf, struct wv_table *t, uint32_t chunk)
{
	__u32 id;
	int fd;

	if (t->chunk_fds[chunk] >= 0)
		return t->chunk_fds[chunk];
	if (bpf_map_lookup_elem(t->outer_fd, &chunk, &id) < 0)
		return -errno;
	fd = wv_chunk_open(bpf, t->desc.map, chunk, id);
	if (fd >= 0)
		t->chunk_fds[chunk] = fd;
	return fd;
}

/*
 * Adding a chunk waits for an RCU grace period in the kernel (map-in-map updates do), some 15 ms.
 * Tables wait at the same time, each in a thread, and a table's chunks are added in one batch where
 * the kernel has that, so that a start with many cgroups waits about once.
 */
struct grow {
	struct wv_bpf *bpf;
	struct wv_table *table;
	uint32_t from, to; /* chunks */
	int result;
	struct wv_thread thread;
	bool threaded;
};

static int grow_create(struct grow *g, __u32 *indexes, __u32 *fds)
{
	for (uint32_t chunk = g->from; chunk < g->to; chunk++) {
		/* a core that died half way made it */
		int fd = chunk_fd(g->bpf, g->table, chunk), r;

		if (fd < 0)
			fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "wv_chunk", sizeof(__u32),
					    g->table->desc.row_bytes,
					    wv_table_chunk_rows(g->bpf, &g->table->desc), NULL);
		if (fd < 0)
			return -errno;
		g->table->chunk_fds[chunk] = fd;
		r = wv_chunk_keep(g->bpf, g->table->desc.map, chunk, fd);
		if (r < 0)
			return r;
		indexes[chunk - g->from] = chunk;
		fds[chunk - g->from] = (__u32)fd;
	}
	return 0;
}

static void *grow_table(void *arg)
{
	struct grow *g = arg;
	uint32_t n = g->to - g->from;
	__u32 count = n;
	_cleanup_free_ __u32 *indexes = calloc(n, sizeof(*indexes)), *fds = calloc(n, sizeof(*fds));

	g->result = indexes && fds ? grow_create(g, indexes, fds) : -ENOMEM;
	if (g->result < 0)
		return NULL;
	if (n > 1 && bpf_map_update_batch(g->table->outer_fd, indexes, fds, &count, NULL) == 0)
		return NULL;
	for (uint32_t i = 0; i < n; i++)
		if (bpf_map_update_elem(g->table->outer_fd, &indexes[i], &fds[i], BPF_ANY) < 0)
			g->result = -errno;
	return NULL;
}

/* Adds n chunks to all tables, then frees their slots. */
static int chunks_add(struct wv_bpf *bpf, uint32_t n)
{
	int queue = wv_bpf_map_fd(bpf, "wv_free_slots"), r = 0;
	uint32_t from = bpf->n_chunks, to = from + n;
	struct grow grow[WV_MAX_TABLES];

	if (to > bpf->max_chunks)
		to = bpf->max_chunks;
	if (from == to)
		return -ENOSPC;
	for (size_t i = 0; i < bpf->n_tables; i++) {
		grow[i] =
			(struct grow){.bpf = bpf, .table = &bpf->tables[i], .from = from, .to = to};
		grow[i].threaded = wv_thread_start(&grow[i].thread, grow_table, &grow[i]) == 0;
		if (!grow[i].threaded)
			(void)grow_table(&grow[i]);
	}
	for (size_t i = 0; i < bpf->n_tables; i++) {
		if (grow[i].threaded)
			wv_thread_join(&grow[i].thread);
		if (grow[i].result < 0)
			r = wv_log_errno(grow[i].result, "bpf", "add chunks to table %s",
					 bpf->tables[i].desc.map);
	}
	if (r < 0)
		return r;
	bpf->n_chunks = to;
	for (uint32_t slot = from * WV_CHUNK_SLOTS; slot < to * WV_CHUNK_SLOTS; slot++)
		if (slot != WV_SLOT_OTHER && slot < bpf->max_slots &&
		    bpf_map_update_elem(queue, NULL, &slot, BPF_ANY) < 0)
			return -errno;
	return 0;
}

static bool all_tables_have(struct wv_bpf *bpf, uint32_t chunk)
{
	for (size_t i = 0; i < bpf->n_tables; i++)
		if (chunk_fd(bpf, &bpf->tables[i], chunk) < 0)
			return false;
	return bpf->n_tables > 0;
}

static int table_clear(struct wv_bpf *bpf, struct wv_table *t, uint32_t slot)
{
	uint32_t rows = t->desc.per_cpu ? bpf->ncpu : 1, first = slot % WV_CHUNK_SLOTS * rows;
	_cleanup_free_ void *zero = calloc(1, t->desc.row_bytes);
	int fd = chunk_fd(bpf, t, slot / WV_CHUNK_SLOTS);

	if (fd < 0)
		return fd;
	if (!zero)
		return -ENOMEM;
	for (uint32_t i = first; i < first + rows; i++)
		if (bpf_map_update_elem(fd, &i, zero, BPF_ANY) < 0)
			return -errno;
	return 0;
}

static int slot_clear(struct wv_bpf *bpf, uint32_t slot)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < bpf->n_tables; i++)
		r = table_clear(bpf, &bpf->tables[i], slot);
	return r;
}

enum slot_state { SLOT_ASTRAY, SLOT_FREE, SLOT_USED };

/*
 * Marks what is in the queue of free slots, by taking each and putting it back: new cgroups go on
 * finding slots meanwhile. So many turns as there are slots reach all.
 */
static int mark_free(int queue, uint8_t *state, uint32_t capacity)
{
	uint32_t slot;

	for (uint32_t i = 0; i < capacity; i++) {
		if (bpf_map_lookup_and_delete_elem(queue, NULL, &slot) < 0)
			return errno == ENOENT ? 0 : -errno;
		if (slot >= capacity) /* comes back with its chunk */
			continue;
		state[slot] = SLOT_FREE;
		if (bpf_map_update_elem(queue, NULL, &slot, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

static void mark_used(int index, uint8_t *state, uint32_t capacity)
{
	__u64 key, *prev = NULL;
	uint32_t slot;

	for (; bpf_map_get_next_key(index, prev, &key) == 0; prev = &key)
		if (bpf_map_lookup_elem(index, &key, &slot) == 0 && slot < capacity)
			state[slot] = SLOT_USED;
}

int wv_bpf_slots_recover(struct wv_bpf *bpf)
{
	int index = wv_bpf_map_fd(bpf, "wv_slots"), queue = wv_bpf_map_fd(bpf, "wv_free_slots"), r;
	_cleanup_free_ uint8_t *state = NULL;
	uint32_t slot, capacity;

	if (index < 0 || queue < 0)
		return -ENOENT;
	bpf->n_chunks = 0;
	while (bpf->n_chunks < bpf->max_chunks && all_tables_have(bpf, bpf->n_chunks))
		bpf->n_chunks++;
	if (!bpf->n_chunks)
		return chunks_add(bpf, 1);

	capacity = wv_bpf_slots_capacity(bpf);
	state = calloc(capacity, sizeof(*state));
	if (!state)
		return -ENOMEM;
	r = mark_free(queue, state, capacity);
	if (r < 0)
		return r;
	mark_used(index, state, capacity);
	/* the rest was on its way when a core died, perhaps with figures of its last cgroup */
	for (slot = WV_SLOT_OTHER + 1; r == 0 && slot < capacity; slot++)
		if (state[slot] == SLOT_ASTRAY)
			r = slot_clear(bpf, slot);
	mark_used(index, state, capacity); /* or on its way from the queue to the index just now */
	for (slot = WV_SLOT_OTHER + 1; r == 0 && slot < capacity; slot++)
		if (state[slot] == SLOT_ASTRAY &&
		    bpf_map_update_elem(queue, NULL, &slot, BPF_ANY) < 0)
			r = -errno;
	return r;
}

uint32_t wv_bpf_slots_capacity(const struct wv_bpf *bpf)
{
	uint32_t slots = bpf->n_chunks * WV_CHUNK_SLOTS;

	return slots < bpf->max_slots ? slots : bpf->max_slots;
}

int wv_bpf_slots_reserve(struct wv_bpf *bpf, uint32_t used, uint32_t spare)
{
	uint32_t want = used + spare, have = wv_bpf_slots_capacity(bpf);
	int r;

	if (want > bpf->max_slots)
		want = bpf->max_slots;
	if (have >= want)
		return 0;
	r = chunks_add(bpf, (want - have + WV_CHUNK_SLOTS - 1) / WV_CHUNK_SLOTS);
	return r == -ENOSPC ? 0 : r;
}

int wv_bpf_slot_take(struct wv_bpf *bpf, uint32_t *ret_slot)
{
	int queue = wv_bpf_map_fd(bpf, "wv_free_slots"), r;

	if (queue < 0)
		return -ENOENT;
	for (;;) {
		if (bpf_map_lookup_and_delete_elem(queue, NULL, ret_slot) == 0)
			return 0;
		if (errno != ENOENT)
			return -errno;
		r = chunks_add(bpf, 1);
		if (r < 0)
			return r;
	}
}

int wv_bpf_slot_give(struct wv_bpf *bpf, uint32_t slot)
{
	int queue = wv_bpf_map_fd(bpf, "wv_free_slots"), r;

	if (queue < 0)
		return -ENOENT;
	r = slot_clear(bpf, slot);
	if (r < 0)
		return r;
	return bpf_map_update_elem(queue, NULL, &slot, BPF_ANY) < 0 ? -errno : 0;
}

struct reader {
	struct wv_bpf *bpf;
	struct wv_table *table;
	uint32_t used_rows, keys_size;
	uint64_t *values;
	void (*fn)(void *ctx, uint32_t slot, const uint64_t *row);
	void *ctx;
};

/* Sums the CPUs of each slot of one chunk into its first row and hands it on. */
static void chunk_emit(struct reader *rd, uint32_t chunk)
{
	uint32_t words = rd->table->desc.row_bytes / sizeof(uint64_t);
	uint32_t rows = rd->table->desc.per_cpu ? rd->bpf->ncpu : 1;

	for (uint32_t i = 0; i < WV_CHUNK_SLOTS; i++) {
		uint32_t slot = chunk * WV_CHUNK_SLOTS + i;
		uint64_t *row = rd->values + (size_t)i * rows * words;

		if (slot >= rd->used_rows)
			return;
		for (uint32_t cpu = 1; cpu < rows; cpu++)
			for (uint32_t w = 0; w < words; w++)
				row[w] += row[cpu * words + w];
		rd->fn(rd->ctx, slot, row);
	}
}

static int chunk_read(struct reader *rd, uint32_t chunk, __u32 *keys)
{
	__u32 rows = wv_table_chunk_rows(rd->bpf, &rd->table->desc), count = rows, out = 0;
	int fd = chunk_fd(rd->bpf, rd->table, chunk);

	if (fd < 0)
		return fd;
	/* ENOENT says that the end was reached, which for an array is after the last row */
	if (bpf_map_lookup_batch(fd, NULL, &out, keys, rd->values, &count, NULL) < 0 &&
	    errno != ENOENT)
		return -errno;
	if (count != rows)
		return -EIO;
	chunk_emit(rd, chunk);
	return 0;
}

int wv_bpf_table_read(struct wv_bpf *bpf, const char *map, uint32_t used_rows,
		      void (*fn)(void *ctx, uint32_t slot, const uint64_t *row), void *ctx)
{
	struct reader rd = {.bpf = bpf, .used_rows = used_rows, .fn = fn, .ctx = ctx};
	_cleanup_free_ uint64_t *values = NULL;
	_cleanup_free_ __u32 *keys = NULL;
	uint32_t rows;
	int r = 0;

	for (size_t i = 0; i < bpf->n_tables && !rd.table; i++)
		if (strcmp(bpf->tables[i].desc.map, map) == 0)
			rd.table = &bpf->tables[i];
	if (!rd.table)
		return -ENOENT;
	rows = wv_table_chunk_rows(bpf, &rd.table->desc);
	rd.values = values = malloc((size_t)rows * rd.table->desc.row_bytes);
	keys = malloc(rows * sizeof(*keys));
	if (!values || !keys)
		return -ENOMEM;
	for (uint32_t chunk = 0;
	     r == 0 && chunk < bpf->n_chunks && chunk * WV_CHUNK_SLOTS < used_rows; chunk++)
		r = chunk_read(&rd, chunk, keys);
	return r;
}
