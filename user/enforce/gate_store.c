// SPDX-License-Identifier: GPL-2.0-only
#include "user/enforce/gate_store.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/flow/figures.h"
#include "user/enforce/gate_inode.h"

static int map_fds(struct wv_gate_store *s, const struct wv_bpf *bpf)
{
	const struct {
		int *fd;
		const char *name;
	} maps[] = {
		{&s->places_fd, "gate_places"}, {&s->caps_fd, "gate_caps"},
		{&s->lists_fd, "gate_lists"},	{&s->addresses_fd, "gate_addresses"},
		{&s->texts_fd, "gate_texts"},	{&s->devices_fd, "gate_devices"},
		{&s->inodes_fd, "gate_inodes"}, {&s->levels_fd, "gate_levels"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		*maps[i].fd = wv_bpf_map_fd(bpf, maps[i].name);
		if (*maps[i].fd < 0)
			return -ENOENT;
	}
	return 0;
}

static struct wv_gate_stored *add_list(struct wv_gate_store *s, uint32_t number, const char *name,
				       uint32_t kind, const uint8_t digest[32])
{
	struct wv_gate_stored *grown, *l;

	grown = reallocarray(s->lists, s->n_lists + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	s->lists = grown;
	l = &s->lists[s->n_lists++];
	*l = (struct wv_gate_stored){.number = number, .kind = kind};
	snprintf(l->name, sizeof(l->name), "%s", name);
	memcpy(l->digest, digest, sizeof(l->digest));
	if (number >= s->next_number)
		s->next_number = number + 1;
	return l;
}

int wv_gate_store_open(struct wv_gate_store *s, const struct wv_bpf *bpf)
{
	struct wv_gate_list row;
	uint32_t key, *from = NULL;
	int r;

	*s = (struct wv_gate_store){.next_number = 1};
	r = map_fds(s, bpf);
	if (r < 0)
		return r;
	for (key = 0; bpf_map_get_next_key(s->lists_fd, from, &key) == 0; from = &key) {
		if (bpf_map_lookup_elem(s->lists_fd, &key, &row) < 0)
			continue;
		row.name[sizeof(row.name) - 1] = '\0';
		if (!add_list(s, key, row.name, row.kind, row.digest))
			return -ENOMEM;
	}
	for (key = 0; key < WV_GATED_N; key++)
		(void)bpf_map_lookup_elem(s->levels_fd, &key, &s->levels[key]);
	s->unwanted = true; /* an agent that died left entries without a list, maybe */
	return 0;
}

static void forget_list(struct wv_gate_stored *l)
{
	for (size_t i = 0; i < l->n_watched; i++)
		free(l->watched[i].path);
	free(l->watched);
	l->watched = NULL;
	l->n_watched = 0;
}

void wv_gate_store_close(struct wv_gate_store *s)
{
	for (size_t i = 0; i < s->n_lists; i++)
		forget_list(&s->lists[i]);
	free(s->lists);
	s->lists = NULL;
	s->n_lists = 0;
}

void wv_gate_store_begin(struct wv_gate_store *s)
{
	for (size_t i = 0; i < s->n_lists; i++)
		s->lists[i].wanted = false;
	s->unwanted = s->n_lists > 0;
}

struct wv_gate_stored *wv_gate_store_find(struct wv_gate_store *s, uint32_t number)
{
	for (size_t i = 0; i < s->n_lists; i++)
		if (s->lists[i].number == number)
			return &s->lists[i];
	return NULL;
}

int wv_gate_store_counters(const struct wv_gate_store *s, uint32_t number, struct wv_gate_list *ret)
{
	return bpf_map_lookup_elem(s->lists_fd, &number, ret) < 0 ? -errno : 0;
}

void wv_gate_store_count(struct wv_gate_store *s)
{
	struct wv_gate_list now;

	for (size_t i = 0; i < s->n_lists; i++) {
		struct wv_gate_stored *l = &s->lists[i];

		if (l->kind >= WV_GATED_N || wv_gate_store_counters(s, l->number, &now) < 0)
			continue;
		wv_figure_add(WV_FIG_GATE_DENIED_EXEC + l->kind, now.denied - l->denied);
		wv_figure_add(WV_FIG_GATE_AUDITED, now.audited - l->audited);
		wv_figure_add(WV_FIG_GATE_EVENTS_SUPPRESSED, now.suppressed - l->suppressed);
		l->denied = now.denied;
		l->audited = now.audited;
		l->suppressed = now.suppressed;
	}
}
_Static_assert(WV_FIG_GATE_DENIED_PRIORITY - WV_FIG_GATE_DENIED_EXEC == WV_GATED_N - 1,
	       "a row a kind, in its order");

/* Entries ---------------------------------------------------------------------------------------
 */

static int put_entries(struct wv_gate_store *s, uint32_t number, const struct wv_gate_entries *e)
{
	for (size_t i = 0; i < e->n_addresses; i++) {
		struct wv_gate_address_key key = e->addresses[i].key;

		key.list = number;
		if (bpf_map_update_elem(s->addresses_fd, &key, &e->addresses[i].value, BPF_ANY) < 0)
			return -errno;
	}
	for (size_t i = 0; i < e->n_texts; i++) {
		struct wv_gate_text_key key = e->texts[i].key;

		key.list = number;
		if (bpf_map_update_elem(s->texts_fd, &key, &e->texts[i].value, BPF_ANY) < 0)
			return -errno;
	}
	for (size_t i = 0; i < e->n_devices; i++) {
		struct wv_gate_device_key key = e->devices[i].key;

		key.list = number;
		if (bpf_map_update_elem(s->devices_fd, &key, &e->devices[i].value, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

/* Where the list's programs are now. Their inodes may be in the map already. */
static int watch_programs(struct wv_gate_store *s, struct wv_gate_stored *l,
			  const struct wv_gate_entries *e)
{
	if (l->n_watched || !e->n_programs)
		return 0;
	l->watched = calloc(e->n_programs, sizeof(*l->watched));
	if (!l->watched)
		return -ENOMEM;
	for (size_t i = 0; i < e->n_programs; i++) {
		l->watched[i].path = strdup(e->programs[i].path);
		l->watched[i].value = e->programs[i].value;
		if (!l->watched[i].path)
			return -ENOMEM;
		l->n_watched++;
	}
	(void)wv_gate_watch_list(s->inodes_fd, l);
	return 0;
}

int wv_gate_store_put(struct wv_gate_store *s, const char *name, uint32_t kind,
		      const struct wv_gate_entries *entries)
{
	struct wv_gate_list row = {.kind = kind};
	struct wv_gate_stored *l = NULL;
	uint32_t number;
	int r;

	for (size_t i = 0; i < s->n_lists; i++)
		if (s->lists[i].kind == kind && strcmp(s->lists[i].name, name) == 0 &&
		    memcmp(s->lists[i].digest, entries->digest, sizeof(entries->digest)) == 0)
			l = &s->lists[i];
	if (l) {
		l->wanted = true;
		r = watch_programs(s, l, entries);
		return r < 0 ? r : (int)l->number;
	}
	number = s->next_number;
	r = put_entries(s, number, entries);
	if (r < 0)
		return r;
	l = add_list(s, number, name, kind, entries->digest);
	if (!l)
		return -ENOMEM;
	l->wanted = true;
	r = watch_programs(s, l, entries);
	if (r < 0)
		return r;
	snprintf(row.name, sizeof(row.name), "%s", name);
	memcpy(row.digest, entries->digest, sizeof(row.digest));
	if (bpf_map_update_elem(s->lists_fd, &number, &row, BPF_ANY) < 0)
		return -errno;
	return (int)number;
}

/* Sweep -----------------------------------------------------------------------------------------
 */

/* Returns when every program that runs now has ended: they run in RCU read sections. */
static void wait_for_programs(void)
{
	struct timespec pause = {.tv_nsec = 20000000};

	/* refused with nohz_full: then a pause far longer than any of these programs runs */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0)
		nanosleep(&pause, NULL);
}

/* Deletes the keys whose list, `list_at` bytes into the key, is not there any more. */
static void sweep_map(struct wv_gate_store *s, int fd, size_t key_size, size_t list_at)
{
	char key[sizeof(struct wv_gate_text_key)], next[sizeof(key)];
	bool have = bpf_map_get_next_key(fd, NULL, next) == 0;

	while (have) {
		const struct wv_gate_stored *l;
		uint32_t number;

		memcpy(key, next, key_size);
		have = bpf_map_get_next_key(fd, key, next) == 0;
		memcpy(&number, key + list_at, sizeof(number));
		l = wv_gate_store_find(s, number);
		if (!l)
			(void)bpf_map_delete_elem(fd, key);
	}
}

void wv_gate_store_sweep(struct wv_gate_store *s)
{
	if (!s->unwanted)
		return;
	s->unwanted = false;
	wait_for_programs();
	for (size_t i = s->n_lists; i-- > 0;) {
		if (s->lists[i].wanted)
			continue;
		(void)bpf_map_delete_elem(s->lists_fd, &s->lists[i].number);
		forget_list(&s->lists[i]);
		s->lists[i] = s->lists[--s->n_lists];
	}
	sweep_map(s, s->addresses_fd, sizeof(struct wv_gate_address_key),
		  offsetof(struct wv_gate_address_key, list));
	sweep_map(s, s->texts_fd, sizeof(struct wv_gate_text_key),
		  offsetof(struct wv_gate_text_key, list));
	sweep_map(s, s->devices_fd, sizeof(struct wv_gate_device_key),
		  offsetof(struct wv_gate_device_key, list));
	sweep_map(s, s->inodes_fd, sizeof(struct wv_gate_inode_key),
		  offsetof(struct wv_gate_inode_key, list));
	for (size_t i = 0; i < s->n_lists; i++)
		wv_gate_watch_strays(s->inodes_fd, &s->lists[i]);
}

unsigned wv_gate_store_watch(struct wv_gate_store *s)
{
	unsigned changed = 0;

	for (size_t i = 0; i < s->n_lists; i++)
		changed += wv_gate_watch_list(s->inodes_fd, &s->lists[i]);
	return changed;
}

/* Places ----------------------------------------------------------------------------------------
 */

/* Puts this value there, or takes it away where value is NULL. */
static int set(int fd, const void *key, const void *value, void *now, size_t size)
{
	bool there = bpf_map_lookup_elem(fd, key, now) == 0;

	if (!value) {
		if (!there)
			return 0;
		return bpf_map_delete_elem(fd, key) < 0 ? -errno : 1;
	}
	if (there && memcmp(now, value, size) == 0)
		return 0;
	return bpf_map_update_elem(fd, key, value, BPF_ANY) < 0 ? -errno : 1;
}

int wv_gate_store_place(struct wv_gate_store *s, uint64_t cgroup, uint32_t kind,
			const struct wv_gate_place *place)
{
	struct wv_gate_place_key key = {.cgroup = cgroup, .kind = kind};
	struct wv_gate_place now;

	return set(s->places_fd, &key, place && place->n ? place : NULL, &now, sizeof(now));
}

int wv_gate_store_caps(struct wv_gate_store *s, uint64_t cgroup, const struct wv_gate_caps *caps)
{
	struct wv_gate_caps now;

	return set(s->caps_fd, &cgroup, caps, &now, sizeof(now));
}

int wv_gate_store_each(struct wv_gate_store *s,
		       void (*fn)(void *ctx, uint64_t cgroup, uint32_t kind), void *ctx)
{
	struct wv_gate_place_key key, next;
	uint64_t cap, next_cap;
	bool have = bpf_map_get_next_key(s->places_fd, NULL, &next) == 0;

	while (have) {
		key = next;
		have = bpf_map_get_next_key(s->places_fd, &key, &next) == 0;
		fn(ctx, key.cgroup, key.kind);
	}
	have = bpf_map_get_next_key(s->caps_fd, NULL, &next_cap) == 0;
	while (have) {
		cap = next_cap;
		have = bpf_map_get_next_key(s->caps_fd, &cap, &next_cap) == 0;
		fn(ctx, cap, WV_GATED_PRIORITY);
	}
	return 0;
}

int wv_gate_store_levels(struct wv_gate_store *s, uint32_t kind, uint32_t mask)
{
	if (s->levels[kind] == mask)
		return 0;
	if (bpf_map_update_elem(s->levels_fd, &kind, &mask, BPF_ANY) < 0)
		return -errno;
	s->levels[kind] = mask;
	return 0;
}
