// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each program keeps the times of its last failures in a ring: it loops when the oldest of as many
 * as are asked for is not older than the window. Programs are found by a hash with chains of table
 * indices.
 */
#include "user/collect/crashloop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

#define COMM_SIZE 16
#define HASH_SIZE 256
#define NONE UINT16_MAX

struct program {
	char comm[COMM_SIZE];
	uint32_t slot;
	uint32_t n;	/* times in the ring */
	uint32_t next;	/* place of the next time */
	uint16_t chain; /* next program with this hash, or next free one */
	bool used;
	bool looping; /* told; quiet until a window passes without a failure */
	uint64_t last_ns;
};

struct wv_crashloops {
	uint32_t exits;
	uint64_t window_ns, evicted;
	uint16_t heads[HASH_SIZE];
	uint16_t free;
	struct program programs[WV_CRASHLOOP_MAX];
	uint64_t times[]; /* [WV_CRASHLOOP_MAX][exits] */
};

int wv_crashloops_new(struct wv_crashloops **ret, uint32_t exits, uint64_t window_ns)
{
	struct wv_crashloops *c;

	if (exits < 1)
		return -EINVAL;
	c = calloc(1, sizeof(*c) + sizeof(uint64_t) * WV_CRASHLOOP_MAX * exits);
	if (!c)
		return -ENOMEM;
	c->exits = exits;
	c->window_ns = window_ns;
	for (unsigned i = 0; i < HASH_SIZE; i++)
		c->heads[i] = NONE;
	for (unsigned i = 0; i < WV_CRASHLOOP_MAX; i++)
		c->programs[i].chain = i + 1 < WV_CRASHLOOP_MAX ? (uint16_t)(i + 1) : NONE;
	*ret = c;
	return 0;
}

void wv_crashloops_free(struct wv_crashloops *c)
{
	free(c);
}

uint64_t wv_crashloops_evicted(const struct wv_crashloops *c)
{
	return c->evicted;
}

/* FNV-1a */
static unsigned hash_of(uint32_t slot, const char comm[COMM_SIZE])
{
	uint32_t h = 2166136261u;

	for (unsigned i = 0; i < sizeof(slot); i++)
		h = (h ^ (slot >> 8 * i & 0xff)) * 16777619u;
	for (unsigned i = 0; i < COMM_SIZE; i++)
		h = (h ^ (unsigned char)comm[i]) * 16777619u;
	return (h ^ h >> 16) % HASH_SIZE;
}

static void forget(struct wv_crashloops *c, uint16_t index)
{
	struct program *p = &c->programs[index];
	uint16_t *link = &c->heads[hash_of(p->slot, p->comm)];

	while (*link != index)
		link = &c->programs[*link].chain;
	*link = p->chain;
	*p = (struct program){.chain = c->free};
	c->free = index;
}

static uint16_t quietest(const struct wv_crashloops *c)
{
	uint16_t best = 0;

	for (uint16_t i = 1; i < WV_CRASHLOOP_MAX; i++)
		if (c->programs[i].last_ns < c->programs[best].last_ns)
			best = i;
	return best;
}

/* The program's index, made room for if it is new. */
static uint16_t find(struct wv_crashloops *c, uint32_t slot, const char comm[COMM_SIZE],
		     uint64_t now_ns)
{
	uint16_t *head = &c->heads[hash_of(slot, comm)], i;
	struct program *p;

	for (i = *head; i != NONE; i = c->programs[i].chain)
		if (c->programs[i].slot == slot &&
		    memcmp(c->programs[i].comm, comm, COMM_SIZE) == 0)
			return i;
	if (c->free == NONE) {
		i = quietest(c);
		if (now_ns < c->programs[i].last_ns + c->window_ns)
			c->evicted++;
		forget(c, i);
	}
	i = c->free;
	p = &c->programs[i];
	c->free = p->chain;
	*p = (struct program){.slot = slot, .used = true, .chain = *head, .last_ns = now_ns};
	memcpy(p->comm, comm, COMM_SIZE);
	*head = i;
	return i;
}

bool wv_crashloops_failed(struct wv_crashloops *c, uint32_t slot, const char *comm, uint64_t now_ns,
			  uint64_t *ret_in_ns)
{
	char name[COMM_SIZE] = {0};
	struct program *p;
	uint64_t *times, oldest;
	uint16_t index;

	memcpy(name, comm, strnlen(comm, COMM_SIZE));
	index = find(c, slot, name, now_ns);
	p = &c->programs[index];
	times = c->times + (size_t)index * c->exits;
	if (now_ns < p->last_ns)
		now_ns = p->last_ns;
	if (now_ns - p->last_ns > c->window_ns) {
		p->looping = false;
		p->n = 0;
	}
	p->last_ns = now_ns;
	times[p->next] = now_ns;
	p->next = (p->next + 1) % c->exits;
	if (p->n < c->exits)
		p->n++;
	if (p->looping || p->n < c->exits)
		return false;
	oldest = times[p->next]; /* the ring is full: its oldest is the one that is overwritten next
				  */
	if (now_ns - oldest > c->window_ns)
		return false;
	p->looping = true;
	*ret_in_ns = now_ns - oldest;
	return true;
}

void wv_crashloops_slot_gone(struct wv_crashloops *c, uint32_t slot)
{
	for (uint16_t i = 0; i < WV_CRASHLOOP_MAX; i++)
		if (c->programs[i].used && c->programs[i].slot == slot)
			forget(c, i);
}
