// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loads the BPF objects, or adopts what a former agent left pinned.
 *
 * Same build and boot: everything is opened from its pins, nothing is loaded. Otherwise the objects
 * are loaded beside the pinned ones, sharing their maps where the layout is the same; one store to
 * wv_ctl makes the new programs live and the old ones inert; then the old links go.
 */
#include "user/core/bpf.h"

#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "user/core/bpf_set.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/core/sha256.h"

/* Before 5.11 maps count against RLIMIT_MEMLOCK. Refusal is no error: newer kernels do not need it.
 */
static void raise_limits(void)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY}, files;

	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* Names what would be loaded: the objects' bytes and everything that goes into them. */
static void build_id(struct wv_bpf *bpf, const struct wv_host *host, const struct wv_config *config,
		     const struct wv_object *const *objects, size_t n_objects)
{
	struct wv_sha256 sum;
	char facts[160];

	wv_sha256_init(&sum);
	snprintf(facts, sizeof(facts), "%d %u %d %u %llu %llu", host->flavour, host->ncpu,
		 host->v1_ssid, host->v1_hierarchy, (unsigned long long)config->collect_max_cgroups,
		 (unsigned long long)config->collect_event_ring);
	wv_sha256_add(&sum, facts, strlen(facts));
	for (size_t i = 0; i < n_objects; i++)
		wv_object_hash(objects[i], host->flavour, &sum);
	wv_sha256_end(&sum, bpf->build_id);
}

/* Pinned maps of another layout cannot be shared: then the old set goes and counting starts anew.
 */
static bool maps_compatible(const struct wv_bpf *bpf, const struct wv_object *const *objects,
			    size_t n_objects, const struct wv_things *old)
{
	struct bpf_map_info info;
	__u32 len = sizeof(info), id, zero = 0;
	int fd = wv_things_find(old, "wv_slots"), inner;
	bool ok;

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0 ||
	    info.max_entries != bpf->max_slots)
		return false;
	for (size_t i = 0; i < n_objects; i++) {
		for (const struct wv_table_desc *d = objects[i]->tables; d && d->map; d++) {
			fd = wv_things_find(old, d->map);
			if (fd < 0)
				return false; /* a new table would lack the chunks of the slots in
						 use */
			if (bpf_map_lookup_elem(fd, &zero, &id) < 0)
				return false;
			inner = wv_chunk_open(bpf, d->map, 0, id);
			len = sizeof(info);
			ok = inner >= 0 && bpf_obj_get_info_by_fd(inner, &info, &len) == 0 &&
			     info.value_size == d->row_bytes &&
			     info.max_entries == wv_table_chunk_rows(bpf, d);
			wv_closep(&inner);
			if (!ok)
				return false;
		}
	}
	return true;
}

static int adopt(struct wv_bpf *bpf)
{
	int r = wv_pins_open_all(&bpf->paths, "maps", &bpf->maps);

	if (r == 0)
		r = wv_pins_open_all(&bpf->paths, "progs", &bpf->progs);
	if (r == 0)
		r = wv_pins_open_all(&bpf->paths, "links", &bpf->links);
	if (r == 0 && (bpf->maps.n == 0 || bpf->links.n == 0))
		r = -ESTALE;
	if (r < 0) {
		wv_things_close(&bpf->maps);
		wv_things_close(&bpf->progs);
		wv_things_close(&bpf->links);
	}
	return r;
}

static bool same_layout(const struct wv_things *old, const struct wv_kept_map *k)
{
	int fd = wv_things_find(old, k->name);
	struct bpf_map_info info;
	__u32 len = sizeof(info);

	return fd < 0 || (bpf_obj_get_info_by_fd(fd, &info, &len) == 0 &&
			  info.key_size == k->key_bytes && info.value_size == k->value_bytes);
}

/* Takes over what an object keeps, whatever the layout of the tables: it does not depend on slots.
 */
static void take_kept_maps(struct wv_bpf *bpf, const struct wv_object *object,
			   struct wv_things *old)
{
	bool same = true;

	for (const struct wv_kept_map *k = object->kept; k && k->name; k++)
		same &= same_layout(old, k);
	for (const struct wv_kept_map *k = object->kept; same && k && k->name; k++)
		for (size_t i = 0; i < old->n; i++)
			if (strcmp(old->list[i].name, k->name) == 0)
				(void)wv_things_add(&bpf->maps, k->name, TAKE_FD(old->list[i].fd));
	if (!same)
		wv_log_info("bpf", "pinned maps of %s have another layout: its state starts anew",
			    object->name);
}

/* Only these are kept over an upgrade; a map with private state of one object starts anew with it.
 */
static void reuse_pinned_maps(struct wv_bpf *bpf, const struct wv_object *const *objects,
			      size_t n_objects)
{
	static const char *const shared[] = {"wv_ctl", "wv_slots", "wv_free_slots"};
	struct wv_things old = {0};

	/* held until the new set is live: replacing a link's pin would end it */
	(void)wv_pins_open_all(&bpf->paths, "links", &bpf->old_links);
	if (wv_pins_open_all(&bpf->paths, "maps", &old) == 0)
		for (size_t i = 0; i < n_objects; i++)
			take_kept_maps(bpf, objects[i], &old);
	if (!old.n || !maps_compatible(bpf, objects, n_objects, &old)) {
		if (old.n)
			wv_log_info("bpf", "pinned maps have another layout: counters start anew");
		wv_things_close(&old);
		for (const char *const *dir =
			     (const char *const[]){"links", "progs", "maps", "chunks", NULL};
		     *dir; dir++)
			(void)wv_pins_sweep(&bpf->paths, *dir, &bpf->maps);
		return;
	}
	for (size_t i = 0; i < old.n; i++) {
		bool keep = false;

		for (size_t s = 0; s < ARRAY_SIZE(shared); s++)
			keep |= strcmp(old.list[i].name, shared[s]) == 0;
		for (size_t o = 0; o < n_objects; o++)
			for (const struct wv_table_desc *d = objects[o]->tables; d && d->map; d++)
				keep |= strcmp(old.list[i].name, d->map) == 0;
		bpf->inherited = true;
		if (keep)
			(void)wv_things_add(&bpf->maps, old.list[i].name, TAKE_FD(old.list[i].fd));
	}
	wv_things_close(&old);
}

static int write_ctl(struct wv_bpf *bpf, uint64_t generation)
{
	struct wv_ctl ctl = {.generation = generation, .lifecycle = bpf->generation};
	int fd = wv_bpf_map_fd(bpf, "wv_ctl");
	__u32 zero = 0;

	if (fd < 0)
		return -ENOENT;
	return bpf_map_update_elem(fd, &zero, &ctl, BPF_ANY) < 0 ? -errno : 0;
}

int wv_bpf_set_live(struct wv_bpf *bpf, bool live)
{
	return write_ctl(bpf, live ? bpf->generation : 0);
}

/* Objects of one kind; what the others share is pinned by then. */
static void load_objects(struct wv_bpf *bpf, const struct wv_host *host,
			 const struct wv_config *config, const struct wv_object *const *objects,
			 size_t n_objects, bool early)
{
	for (size_t i = 0; i < n_objects; i++)
		if (objects[i]->early == early)
			wv_object_load(bpf, objects[i], host, config);
}

/* The part of a new set that the first limit needs. */
static void load_early(struct wv_bpf *bpf, const struct wv_host *host,
		       const struct wv_config *config, const struct wv_object *const *objects,
		       size_t n_objects, const struct wv_bpf_steps *steps)
{
	bpf->generation++;
	if (bpf->pinned)
		reuse_pinned_maps(bpf, objects, n_objects);
	load_objects(bpf, host, config, objects, n_objects, true);
	if (bpf->n_objects)
		steps->early(steps->ctx, bpf);
}

/*
 * Makes the loaded set the live one. Where it inherits the slots of a former set, all at once; else
 * only the hooks that give slots: core makes the rest live when it has walked what existed before.
 */
static int go_live(struct wv_bpf *bpf, const struct wv_host *host)
{
	int r;

	if (!wv_bpf_has(bpf, "cgroup"))
		return 0; /* nothing is loaded: files only */
	r = wv_bpf_slots_recover(bpf);
	if (r == 0)
		r = write_ctl(bpf, bpf->adopted || bpf->inherited ? bpf->generation : 0);
	if (r < 0 || !bpf->pinned)
		return r;
	(void)wv_pins_sweep(&bpf->paths, "links", &bpf->links);
	(void)wv_pins_sweep(&bpf->paths, "progs", &bpf->progs);
	(void)wv_pins_sweep(&bpf->paths, "maps", &bpf->maps);
	return wv_manifest_write(bpf, host->boot_id);
}

static struct wv_bpf *new_set(const struct wv_paths *paths, const struct wv_host *host,
			      const struct wv_config *config)
{
	struct wv_bpf *bpf = calloc(1, sizeof(*bpf));
	int r;

	if (!bpf)
		return NULL;
	bpf->paths = *paths;
	bpf->ncpu = host->ncpu;
	bpf->max_slots = (uint32_t)config->collect_max_cgroups;
	bpf->max_chunks = (bpf->max_slots + WV_CHUNK_SLOTS - 1) / WV_CHUNK_SLOTS;
	bpf->hooks = config->collect_hooks != WV_HOOKS_FILES;
	if (!bpf->hooks)
		return bpf;
	r = wv_pins_prepare(paths);
	bpf->pinned = r == 0;
	bpf->pin_chunks = bpf->pinned && wv_chunks_need_pins();
	if (r < 0)
		wv_log_warn(r, "bpf", "no bpffs at %s: nothing will outlive the agent",
			    paths->bpffs);
	return bpf;
}

/*
 * What would be adopted is known by its build id, which names the hooks in use, and probing those
 * takes longer than to load a limit. So where there is nothing to adopt, limits come first.
 */
static void load_or_adopt(struct wv_bpf *bpf, const struct wv_host *host,
			  const struct wv_config *config, const struct wv_object *const *objects,
			  size_t n_objects, const struct wv_bpf_steps *steps)
{
	bool known = bpf->pinned && wv_manifest_of_boot(bpf, host->boot_id), begun = false;

	if (!known && bpf->hooks) {
		load_early(bpf, host, config, objects, n_objects, steps);
		begun = true;
	}
	steps->probe_hooks(steps->ctx);
	build_id(bpf, host, config, objects, n_objects);
	if (known && wv_manifest_match(bpf, host->boot_id) == 0)
		bpf->adopted = adopt(bpf) == 0;
	if (bpf->adopted)
		return;
	if (!begun) {
		bpf->n_objects = 0; /* those of the set that could not be adopted */
		load_early(bpf, host, config, objects, n_objects, steps);
	}
	load_objects(bpf, host, config, objects, n_objects, false);
}

int wv_bpf_open(struct wv_bpf **ret, const struct wv_paths *paths, const struct wv_host *host,
		const struct wv_config *config, const struct wv_object *const *objects,
		size_t n_objects, const struct wv_bpf_steps *steps)
{
	struct wv_bpf *bpf;
	int r;

	if (n_objects > WV_MAX_OBJECTS)
		return -E2BIG;
	libbpf_set_print(wv_libbpf_print);
	raise_limits();
	bpf = new_set(paths, host, config);
	if (!bpf)
		return -ENOMEM;
	load_or_adopt(bpf, host, config, objects, n_objects, steps);
	r = wv_tables_init(bpf, objects, n_objects);
	if (r == 0)
		r = go_live(bpf, host);
	wv_things_close(&bpf->old_links);
	wv_btf_release();
	if (r < 0) {
		wv_bpf_close(bpf);
		return r;
	}
	*ret = bpf;
	return 0;
}

void wv_bpf_close(struct wv_bpf *bpf)
{
	if (!bpf)
		return;
	wv_tables_done(bpf);
	wv_things_close(&bpf->links);
	wv_things_close(&bpf->progs);
	wv_things_close(&bpf->maps);
	free(bpf);
}

bool wv_bpf_adopted(const struct wv_bpf *bpf)
{
	return bpf->adopted;
}

int wv_bpf_map_fd(const struct wv_bpf *bpf, const char *map)
{
	return wv_things_find(&bpf->maps, map);
}

int wv_bpf_prog_fd(const struct wv_bpf *bpf, const char *prog)
{
	return wv_things_find(&bpf->progs, prog);
}

int wv_bpf_link_fd(const struct wv_bpf *bpf, const char *prog)
{
	return wv_things_find(&bpf->links, prog);
}

static const struct wv_object_state *object_state(const struct wv_bpf *bpf, const char *object)
{
	for (size_t i = 0; i < bpf->n_objects; i++)
		if (strcmp(bpf->objects[i].name, object) == 0)
			return &bpf->objects[i];
	return NULL;
}

bool wv_bpf_has(const struct wv_bpf *bpf, const char *object)
{
	const struct wv_object_state *state = object_state(bpf, object);

	return state && state->loaded;
}

const char *wv_bpf_reason(const struct wv_bpf *bpf, const char *object)
{
	const struct wv_object_state *state = object_state(bpf, object);

	return state ? state->reason : "no such object";
}

bool wv_bpf_prog_at(const struct wv_bpf *bpf, size_t i, const char **ret_name, int *ret_fd)
{
	if (i >= bpf->progs.n)
		return false;
	*ret_name = bpf->progs.list[i].name;
	*ret_fd = bpf->progs.list[i].fd;
	return true;
}

/* The kernel prints what it accounts for a map in the descriptor's fdinfo. */
static uint64_t map_bytes(int fd)
{
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long long bytes = 0;
	char path[64], line[128];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			break;
	return bytes;
}

uint64_t wv_bpf_map_bytes(const struct wv_bpf *bpf)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < bpf->maps.n; i++)
		bytes += map_bytes(bpf->maps.list[i].fd);
	for (size_t i = 0; i < bpf->n_tables; i++)
		for (uint32_t c = 0; c < bpf->n_chunks; c++)
			if (bpf->tables[i].chunk_fds[c] >= 0)
				bytes += map_bytes(bpf->tables[i].chunk_fds[c]);
	return bytes;
}
