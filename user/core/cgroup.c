// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module `cgroup`: which cgroups there are and which slot each owns.
 *
 * The kernel half gives a slot in the tracepoint of mkdir. This half walks what existed before,
 * resolves what the tracepoint could not, and takes slots back once a removed cgroup's last figures
 * are folded into its parent.
 */
#include "user/core/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "skel/cgroup.btf.skel.h"
#include "skel/cgroup.raw.skel.h"
#include "user/core/cgroup_index.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/module.h"

/* Free slots to keep for cgroups to come: what a busy node creates between two ticks. */
#define SPARE_SLOTS 128
/* A removed cgroup's row is read once more after this: its last tasks may still be on their way
 * out. */
#define GONE_GRACE_NS 10000000ULL
/* Directories deeper than this are not walked (the kernel's own default limit is far above). */
#define MAX_DEPTH 64

int wv_cgroups_slot(const struct wv_cgroups *c, uint64_t key)
{
	return wv_index_find(&c->index, key);
}

int wv_cgroups_slot_by_path(const struct wv_agent *agent, const char *path)
{
	const struct wv_sample *s = &agent->sample;
	int v1 = -1;

	for (uint32_t slot = 1; slot < s->used_rows; slot++) {
		const struct wv_row *row = &s->rows[slot];

		if (!(row->flags & WV_ROW_LIVE) || strcmp(row->path, path) != 0)
			continue;
		if (!(row->key & WV_KEY_V1))
			return (int)slot;
		v1 = (int)slot;
	}
	return v1;
}

/* Map from key to slot, or -1 where no kernel half gives slots (files only, or only limits are
 * loaded). */
static int slot_index(const struct wv_agent *agent)
{
	return wv_bpf_has(agent->bpf, "cgroup") ? wv_bpf_map_fd(agent->bpf, "wv_slots") : -1;
}

static void row_set_path(struct wv_row *row, const char *path, size_t len)
{
	row->flags &= ~(uint32_t)WV_ROW_CUT;
	if (len >= sizeof(row->path)) { /* the end tells containers apart */
		path += len - (sizeof(row->path) - 1);
		len = sizeof(row->path) - 1;
		row->flags |= WV_ROW_CUT;
	}
	memcpy(row->path, path, len);
	row->path[len] = '\0';
	row->path_len = (uint16_t)len;
}

/* Starts the row of a slot. */
static int row_add(struct wv_agent *agent, uint32_t slot, uint64_t key, uint64_t parent_key,
		   unsigned level, const char *path)
{
	struct wv_sample *s = &agent->sample;
	struct wv_row *row = &s->rows[slot];
	int parent, r;

	if (slot >= s->max_rows)
		return -ERANGE;
	r = wv_index_put(&agent->cgroups->index, key, slot);
	if (r < 0)
		return r;
	memset(row, 0, sizeof(*row));
	row->key = key;
	row->parent_key = parent_key;
	row->level = (uint16_t)level;
	row->flags = WV_ROW_LIVE | WV_ROW_ACTIVE;
	row->created_mono_ns = agent->io->mono_ns(agent->io->ctx);
	row_set_path(row, path, strlen(path));
	parent = wv_index_find(&agent->cgroups->index, parent_key);
	row->parent_slot = parent_key != key && parent >= 0 ? (uint32_t)parent : WV_SLOT_OTHER;
	if (slot >= s->used_rows)
		s->used_rows = slot + 1;
	agent->cgroups->live++;
	return 0;
}

static void row_remove(struct wv_agent *agent, uint32_t slot)
{
	struct wv_sample *s = &agent->sample;

	wv_index_remove(&agent->cgroups->index, s->rows[slot].key);
	s->rows[slot].flags = 0;
	memset(&s->base[slot], 0, sizeof(s->base[slot]));
	while (s->used_rows > 1 && !(s->rows[s->used_rows - 1].flags & WV_ROW_LIVE))
		s->used_rows--;
	agent->cgroups->live--;
}

/* Slot that BPF or this process gave the key, taking one if none did; -ENOSPC: it stays in `other`.
 */
static int slot_for(struct wv_agent *agent, uint64_t key, uint32_t *ret_slot)
{
	int index = slot_index(agent), r;
	uint32_t slot;

	if (index < 0) { /* no BPF here: rows are numbered by us alone */
		for (slot = 1; slot < agent->sample.max_rows; slot++)
			if (!(agent->sample.rows[slot].flags & WV_ROW_LIVE))
				break;
		if (slot == agent->sample.max_rows)
			return -ENOSPC;
		*ret_slot = slot;
		return 0;
	}
	if (bpf_map_lookup_elem(index, &key, ret_slot) == 0)
		return 0;
	r = wv_bpf_slot_take(agent->bpf, &slot);
	if (r < 0)
		return r;
	if (bpf_map_update_elem(index, &key, &slot, BPF_NOEXIST) == 0) {
		*ret_slot = slot;
		return 0;
	}
	r = -errno;
	(void)wv_bpf_slot_give(agent->bpf, slot);
	if (r != -EEXIST)
		return r;
	return bpf_map_lookup_elem(index, &key, ret_slot) < 0 ? -errno : 0;
}

/* Makes sure that a cgroup has a row; a known one gets its path refreshed (it may have been
 * renamed). */
static int cgroup_known(struct wv_agent *agent, uint64_t key, uint64_t parent_key, unsigned level,
			const char *path)
{
	int slot = wv_index_find(&agent->cgroups->index, key), r;
	uint32_t fresh;

	if (slot >= 0) {
		agent->sample.rows[slot].flags &= ~(uint32_t)WV_ROW_GONE;
		row_set_path(&agent->sample.rows[slot], path, strlen(path));
		return 0;
	}
	r = slot_for(agent, key, &fresh);
	if (r == -ENOSPC) {
		agent->cgroups->over_ceiling++;
		return 0;
	}
	return r < 0 ? r : row_add(agent, fresh, key, parent_key, level, path);
}

struct walk {
	struct wv_agent *agent;
	uint64_t bit;	 /* WV_KEY_V1 or 0 */
	char path[4096]; /* of the cgroup being walked, "" for the root */
};

/* dirfd is taken over. */
static int walk_dir(struct walk *w, int dirfd, uint64_t parent_key, unsigned level)
{
	_cleanup_closedir_ DIR *d = fdopendir(dirfd);
	size_t len = strlen(w->path);
	struct dirent *e;
	struct stat st;
	uint64_t key;
	int r, fd;

	if (!d) {
		close(dirfd);
		return -errno;
	}
	if (fstat(dirfd, &st) < 0)
		return -errno;
	key = (uint64_t)st.st_ino | w->bit;
	r = cgroup_known(w->agent, key, parent_key, level, len ? w->path : "/");
	if (r < 0 || level >= MAX_DEPTH)
		return r;
	while ((e = readdir(d))) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		if (len + strlen(e->d_name) + 2 > sizeof(w->path))
			continue;
		fd = openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			continue; /* it is gone already */
		snprintf(w->path + len, sizeof(w->path) - len, "/%s", e->d_name);
		r = walk_dir(w, fd, key, level + 1);
		w->path[len] = '\0';
		if (r < 0)
			return r;
	}
	return 0;
}

static int walk_mount(struct wv_agent *agent, const char *mount, uint64_t bit)
{
	struct walk w = {.agent = agent, .bit = bit};
	int fd;

	if (!mount[0])
		return 0;
	fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? wv_log_errno(-errno, "cgroup", "walk %s", mount) : walk_dir(&w, fd, 0, 0);
}

/* Rows that a former core published: keep those whose slot is still theirs, and look at all again.
 */
static int adopt_rows(struct wv_agent *agent)
{
	struct wv_sample *s = &agent->sample;
	int index = slot_index(agent), r;

	for (uint32_t i = 1; i < s->used_rows; i++) {
		struct wv_row *row = &s->rows[i];
		uint32_t slot = 0;

		if (!(row->flags & WV_ROW_LIVE))
			continue;
		if (index >= 0 && (bpf_map_lookup_elem(index, &row->key, &slot) < 0 || slot != i)) {
			row->flags = 0;
			memset(&s->base[i], 0, sizeof(s->base[i]));
			continue;
		}
		r = wv_index_put(&agent->cgroups->index, row->key, i);
		if (r < 0)
			return r;
		row->flags |= WV_ROW_GONE; /* until the walk finds it */
		agent->cgroups->live++;
	}
	return 0;
}

/* Slots of cgroups that came and went while no agent looked have no row: put them back. */
static void reclaim_orphans(struct wv_agent *agent)
{
	int index = slot_index(agent);
	uint64_t key, next, *prev = NULL;
	uint32_t slot;

	if (index < 0)
		return;
	while (bpf_map_get_next_key(index, prev, &next) == 0) {
		key = next;
		prev = &key;
		if (wv_index_find(&agent->cgroups->index, key) >= 0 ||
		    bpf_map_lookup_elem(index, &key, &slot) < 0)
			continue;
		if (bpf_map_delete_elem(index, &key) == 0)
			(void)wv_bpf_slot_give(agent->bpf, slot);
		prev = NULL; /* the key that we stood on is gone */
	}
}

static void other_row(struct wv_sample *s)
{
	struct wv_row *other = &s->rows[WV_SLOT_OTHER];

	other->flags |= WV_ROW_LIVE;
	row_set_path(other, "other", strlen("other"));
	if (!s->used_rows)
		s->used_rows = 1;
}

/* How many cgroups the walk will about find: room for them is made at once. */
static uint32_t estimate(const struct wv_host *host)
{
	_cleanup_fclose_ FILE *stat = NULL, *v1 = NULL;
	unsigned n = 0, count, total = 1;
	char path[300], line[128], name[64];

	snprintf(path, sizeof(path), "%s/cgroup.stat", host->cgroup2);
	stat = fopen(path, "re");
	while (stat && fgets(line, sizeof(line), stat))
		if (sscanf(line, "nr_descendants %u", &n) == 1)
			total += n;
	v1 = host->v1_ssid >= 0 ? fopen("/proc/cgroups", "re") : NULL;
	while (v1 && fgets(line, sizeof(line), v1))
		if (sscanf(line, "%63s %*u %u", name, &count) == 2 &&
		    strcmp(name, wv_controller_names[host->v1_attribution]) == 0)
			total += count;
	return total;
}

static int walk_all(struct wv_agent *agent)
{
	int r = walk_mount(agent, agent->host->cgroup2, 0);

	if (r == 0 && agent->host->v1_ssid >= 0)
		r = walk_mount(agent, agent->host->v1[agent->host->v1_attribution], WV_KEY_V1);
	return r;
}

/* Without hooks nobody tells of new and removed cgroups: the tree is walked again. */
static int sense(struct wv_agent *agent)
{
	if (slot_index(agent) >= 0)
		return 0;
	for (uint32_t slot = 1; slot < agent->sample.used_rows; slot++)
		if (agent->sample.rows[slot].flags & WV_ROW_LIVE)
			agent->sample.rows[slot].flags |= WV_ROW_GONE;
	return walk_all(agent); /* what it finds is not gone */
}

static int start(struct wv_agent *agent)
{
	int r = 0;

	agent->cgroups = calloc(1, sizeof(*agent->cgroups));
	if (!agent->cgroups)
		return -ENOMEM;
	agent->cgroups->gone_ns = calloc(agent->sample.max_rows, sizeof(uint64_t));
	agent->cgroups->reap_list = calloc(agent->sample.max_rows, sizeof(uint32_t));
	if (!agent->cgroups->gone_ns || !agent->cgroups->reap_list)
		return -ENOMEM;
	r = wv_index_init(&agent->cgroups->index, agent->sample.max_rows);
	if (r == 0 && wv_bpf_has(agent->bpf, "cgroup"))
		r = wv_bpf_slots_recover(agent->bpf);
	if (r == 0 && wv_bpf_has(agent->bpf, "cgroup"))
		r = wv_bpf_slots_reserve(agent->bpf, estimate(agent->host) + 1, SPARE_SLOTS);
	other_row(&agent->sample);
	if (r == 0)
		r = adopt_rows(agent);
	if (r == 0)
		r = walk_all(agent);
	if (r < 0)
		return r;
	reclaim_orphans(agent);
	if (!wv_bpf_has(agent->bpf, "cgroup"))
		return 0;
	r = wv_bpf_set_live(agent->bpf, true); /* every cgroup has its slot: now hooks may count */
	return r < 0 ? r : wv_bpf_slots_reserve(agent->bpf, agent->cgroups->live + 1, SPARE_SLOTS);
}

static void on_event(struct wv_agent *agent, const struct wv_event *event)
{
	const struct wv_event_cgroup *ev = (const void *)event;
	int slot, r;

	if (event->size < sizeof(*ev))
		return;
	if (event->type == WV_EV_CGROUP_NEW) {
		r = cgroup_known(agent, event->key, ev->parent_key, ev->level,
				 ev->path_len ? ev->path : "(unknown)");
		if (r < 0)
			(void)wv_log_errno(r, "cgroup", "add %s", ev->path);
		return;
	}
	slot = wv_index_find(&agent->cgroups->index, event->key);
	if (slot < 0)
		return;
	agent->sample.rows[slot].flags |= WV_ROW_GONE;
	agent->cgroups->gone_ns[slot] = event->mono_ns;
	agent->cgroups->gone_pending++;
	/* a burst of removals holds slots that a burst of creations needs */
	if (agent->cgroups->gone_pending > SPARE_SLOTS / 2)
		agent->want_tick = true;
}

/* Folds a removed cgroup's last figures into its parent and gives its slot back. */
static void reap(struct wv_agent *agent, uint32_t slot)
{
	struct wv_row *row = &agent->sample.rows[slot];
	int index = slot_index(agent), r;

	wv_sample_fold(&agent->sample, slot, row->parent_slot);
	for (size_t i = 0; i < wv_modules_count; i++)
		if (wv_modules[i]->slot_gone)
			wv_modules[i]->slot_gone(agent, slot);
	if (index >= 0) {
		(void)bpf_map_delete_elem(index, &row->key);
		r = wv_bpf_slot_give(agent->bpf, slot);
		if (r < 0)
			(void)wv_log_warn(r, "cgroup", "give back slot %u", slot);
	}
	agent->cgroups->gone_ns[slot] = 0;
	row_remove(agent, slot);
}

/* Children before parents, so that what they leave is passed on. */
static int by_level_descending(const void *a, const void *b, void *rows)
{
	const struct wv_row *r = rows;

	return (int)r[*(const uint32_t *)b].level - (int)r[*(const uint32_t *)a].level;
}

void wv_cgroups_reap(struct wv_agent *agent, uint64_t sensed_ns)
{
	struct wv_sample *s = &agent->sample;
	struct wv_cgroups *c = agent->cgroups;
	uint32_t n = 0;
	int r;

	for (uint32_t slot = 1; slot < s->used_rows; slot++)
		if ((s->rows[slot].flags & WV_ROW_LIVE) && (s->rows[slot].flags & WV_ROW_GONE) &&
		    c->gone_ns[slot] + GONE_GRACE_NS <= sensed_ns)
			c->reap_list[n++] = slot;
	qsort_r(c->reap_list, n, sizeof(*c->reap_list), by_level_descending, s->rows);
	for (uint32_t i = 0; i < n; i++)
		reap(agent, c->reap_list[i]);
	c->gone_pending -= c->gone_pending < n ? c->gone_pending : n;
	r = wv_bpf_has(agent->bpf, "cgroup")
		    ? wv_bpf_slots_reserve(agent->bpf, c->live + 1, SPARE_SLOTS)
		    : 0;
	if (r < 0)
		(void)wv_log_warn(r, "cgroup", "reserve slots");
}

static int probe(const struct wv_host *host, const struct wv_bpf *bpf, struct wv_capabilities *caps)
{
	char uses[64], reason[160];
	bool v2 = host->cgroup2[0], v1 = host->v1_ssid >= 0;
	int r;

	snprintf(uses, sizeof(uses), "%s%s%s", v2 ? "cgroup v2" : "", v2 && v1 ? ", then v1 " : "",
		 v1 ? wv_controller_names[host->v1_attribution] : "");
	r = wv_capability_add(caps, "cgroup", "attribution", v2 ? WV_CAP_OK : WV_CAP_MISSING, uses,
			      v2 ? "" : "no cgroup2 file system is mounted");
	if (r < 0)
		return r;
	if (host->flavour == WV_FLAVOUR_NONE || (bpf && !wv_bpf_has(bpf, "cgroup"))) {
		snprintf(reason, sizeof(reason), "%.150s",
			 bpf ? wv_bpf_reason(bpf, "cgroup")
			     : "no kind of tracepoint program works here");
		return wv_capability_add(caps, "cgroup", "lifecycle", WV_CAP_FALLBACK,
					 "walk of the tree every tick", reason);
	}
	return wv_capability_add(caps, "cgroup", "lifecycle", WV_CAP_OK,
				 host->flavour == WV_FLAVOUR_BTF ? "tp_btf/cgroup_mkdir"
								 : "raw_tp/cgroup_mkdir",
				 "");
}

static void stop(struct wv_agent *agent)
{
	if (!agent->cgroups)
		return;
	wv_index_done(&agent->cgroups->index);
	free(agent->cgroups->gone_ns);
	free(agent->cgroups->reap_list);
	free(agent->cgroups);
	agent->cgroups = NULL;
}

static const void *elf_btf(size_t *size)
{
	return cgroup_btf__elf_bytes(size);
}

static const void *elf_raw(size_t *size)
{
	return cgroup_raw__elf_bytes(size);
}

static const struct wv_object object = {
	.name = "cgroup",
	.elf_btf = elf_btf,
	.elf_raw = elf_raw,
};

const struct wv_module wv_module_cgroup = {
	.name = "cgroup",
	.early = true,
	.summary = "life and identity of cgroups",
	.object = &object,
	.probe = probe,
	.start = start,
	.sense = sense,
	.event = on_event,
	.events = 1u << WV_EV_CGROUP_NEW | 1u << WV_EV_CGROUP_GONE,
	.stop = stop,
};
