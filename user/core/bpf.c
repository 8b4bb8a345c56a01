// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loads the BPF objects, or adopts what a former agent left pinned.
 *
 * Same build and boot: everything is opened from its pins, nothing is loaded. Otherwise the objects are
 * loaded beside the pinned ones, sharing their maps where the layout is the same; one store to wv_ctl
 * makes the new programs live and the old ones inert; then the old links go.
 */
#include "user/core/bpf.h"

#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "user/core/bpf_set.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"

/* The last complaint of libbpf or the verifier: the reason when an object is refused. */
static char last_complaint[160];

static int on_libbpf_print(enum libbpf_print_level level, const char *format, va_list ap)
{
	char line[512];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), format, ap);
	line[strcspn(line, "\n")] = '\0';
	snprintf(last_complaint, sizeof(last_complaint), "%.150s", line);
	wv_log_debug("libbpf", "%s", line);
	return 0;
}

/* Before 5.11 maps count against RLIMIT_MEMLOCK. Refusal is no error: newer kernels do not need it. */
static void raise_limits(void)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY}, files;

	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

static const void *object_elf(const struct wv_object *o, enum wv_flavour flavour, size_t *ret_size)
{
	if (flavour == WV_FLAVOUR_BTF || !o->elf_raw)
		return o->elf_btf(ret_size);
	return o->elf_raw(ret_size);
}

/* Names what would be loaded: the objects' bytes and everything that goes into them. */
static int build_id(struct wv_bpf *bpf, const struct wv_host *host, const struct wv_config *config,
		    const struct wv_object *const *objects, size_t n_objects)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	char facts[160];
	int r = -ENOMEM;

	if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL))
		goto out;
	snprintf(facts, sizeof(facts), "%d %u %d %u %llu %llu", host->flavour, host->ncpu, host->v1_ssid,
		 host->v1_hierarchy, (unsigned long long)config->collect_max_cgroups,
		 (unsigned long long)config->collect_event_ring);
	EVP_DigestUpdate(md, facts, strlen(facts));
	for (size_t i = 0; i < n_objects; i++) {
		size_t size;
		const void *elf = object_elf(objects[i], host->flavour, &size);

		EVP_DigestUpdate(md, elf, size);
	}
	if (!EVP_DigestFinal_ex(md, digest, &len))
		goto out;
	for (unsigned i = 0; i < len; i++)
		snprintf(bpf->build_id + 2 * i, 3, "%02x", digest[i]);
	r = 0;
out:
	EVP_MD_CTX_free(md);
	return r;
}

int wv_bpf_set_const(struct bpf_object *obj, const char *name, const void *value, size_t size)
{
	const struct btf *btf = bpf_object__btf(obj);
	const struct btf_var_secinfo *var;
	const struct btf_type *sec;
	struct bpf_map *map, *rodata = NULL;
	char *initial;
	size_t bytes;
	int id;

	bpf_object__for_each_map(map, obj)
		if (bpf_map__is_internal(map) && strstr(bpf_map__name(map), ".rodata"))
			rodata = map;
	id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	if (!rodata || id < 0)
		return -ENOENT;
	initial = (char *)bpf_map__initial_value(rodata, &bytes);
	sec = btf__type_by_id(btf, id);
	var = btf_var_secinfos(sec);
	for (unsigned i = 0; i < btf_vlen(sec); i++, var++) {
		const struct btf_type *t = btf__type_by_id(btf, var->type);

		if (strcmp(btf__name_by_offset(btf, t->name_off), name) != 0)
			continue;
		if (var->size != size || var->offset + size > bytes)
			return -EINVAL;
		memcpy(initial + var->offset, value, size);
		return 0;
	}
	return -ENOENT;
}

void wv_bpf_skip_program(struct bpf_object *obj, const char *prog)
{
	struct bpf_program *p = bpf_object__find_program_by_name(obj, prog);

	if (p)
		(void)bpf_program__set_autoload(p, false);
}

static void things_close(struct wv_things *t)
{
	for (size_t i = 0; i < t->n; i++)
		wv_closep(&t->list[i].fd);
	t->n = 0;
}

/* The tracepoint of a program's section, or NULL. */
static const char *section_tracepoint(const struct bpf_program *p)
{
	const char *section = bpf_program__section_name(p);

	if (strncmp(section, "tp_btf/", 7) == 0 || strncmp(section, "raw_tp/", 7) == 0)
		return section + 7;
	return NULL;
}

static bool attaches_by_section(const struct bpf_program *p)
{
	return section_tracepoint(p) || strncmp(bpf_program__section_name(p), "iter", 4) == 0;
}

/*
 * The number of chunks, and a chunk as a template. libbpf 1.1 cannot resize the inner map that the
 * source declares (it dereferences an object that inner maps do not have), so a real one replaces it.
 */
static int size_table(struct wv_bpf *bpf, struct bpf_map *map, const struct wv_table_desc *d)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "wv_template", sizeof(__u32), d->row_bytes,
				wv_table_chunk_rows(bpf, d), NULL),
	    r;

	if (fd < 0)
		return -errno;
	r = wv_things_add(&bpf->templates, d->map, fd);
	if (r == 0)
		r = bpf_map__set_inner_map_fd(map, fd);
	return r < 0 ? r : bpf_map__set_max_entries(map, bpf->max_chunks);
}

/* Sizes that depend on the machine or the configuration; the rest is in the sources. */
static int size_map(struct wv_bpf *bpf, struct bpf_map *map, const struct wv_object *o,
		    const struct wv_config *config)
{
	const char *name = bpf_map__name(map);

	for (const struct wv_table_desc *d = o->tables; d && d->map; d++) {
		if (strcmp(name, d->map) != 0)
			continue;
		return size_table(bpf, map, d);
	}
	if (strcmp(name, "wv_slots") == 0 || strcmp(name, "wv_free_slots") == 0)
		return bpf_map__set_max_entries(map, bpf->max_slots);
	if (strcmp(name, "wv_events") == 0)
		return bpf_map__set_max_entries(map, (__u32)config->collect_event_ring);
	if (strcmp(name, "cpu_states") == 0)
		return bpf_map__set_max_entries(map, bpf->ncpu);
	return 0;
}

static int configure_object(struct wv_bpf *bpf, struct bpf_object *obj, const struct wv_object *o,
			    const struct wv_host *host, const struct wv_config *config)
{
	struct wv_settings settings = {
		.generation = bpf->generation,
		.ncpu = bpf->ncpu,
		.v1_ssid = host->v1_ssid,
		.v1_root_hierarchy = host->v1_hierarchy,
	};
	struct bpf_program *p;
	struct bpf_map *map;
	int r, fd;

	r = wv_bpf_set_const(obj, "wv_settings", &settings, sizeof(settings));
	if (r < 0 && r != -ENOENT)
		return r;
	bpf_object__for_each_map(map, obj) {
		fd = wv_things_find(&bpf->maps, bpf_map__name(map));
		r = fd >= 0 ? bpf_map__reuse_fd(map, fd) : size_map(bpf, map, o, config);
		if (r < 0)
			return r;
	}
	bpf_object__for_each_program(p, obj) {
		const char *tp = section_tracepoint(p);

		if (tp && !wv_bpf_has_tracepoint(tp, NULL))
			(void)bpf_program__set_autoload(p, false);
	}
	return o->configure ? o->configure(obj, host, config) : 0;
}

int wv_bpf_keep_link(struct wv_bpf *bpf, struct bpf_link *link, const char *name)
{
	int fd = fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 3), r = 0;

	bpf_link__disconnect(link); /* destroying it must not detach: our own descriptor keeps it */
	if (fd < 0)
		r = -errno;
	else if (bpf->pinned)
		r = wv_pins_put(&bpf->paths, "links", name, fd);
	bpf_link__destroy(link);
	if (fd < 0)
		return r;
	if (r < 0) {
		close(fd);
		return r;
	}
	return wv_things_add(&bpf->links, name, fd);
}

static int keep_map(struct wv_bpf *bpf, const struct bpf_map *map)
{
	const char *name = bpf_map__name(map);
	int fd, r;

	if (bpf_map__is_internal(map) || wv_things_find(&bpf->maps, name) >= 0)
		return 0;
	fd = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	r = bpf->pinned ? wv_pins_put(&bpf->paths, "maps", name, fd) : 0;
	if (r < 0) {
		close(fd);
		return r;
	}
	return wv_things_add(&bpf->maps, name, fd);
}

static int keep_program(struct wv_bpf *bpf, const struct bpf_program *p)
{
	const char *name = bpf_program__name(p);
	int fd = fcntl(bpf_program__fd(p), F_DUPFD_CLOEXEC, 3), r;

	if (fd < 0)
		return -errno;
	r = bpf->pinned ? wv_pins_put(&bpf->paths, "progs", name, fd) : 0;
	if (r < 0) {
		close(fd);
		return r;
	}
	return wv_things_add(&bpf->progs, name, fd);
}

static int keep_and_attach(struct wv_bpf *bpf, struct bpf_object *obj, const struct wv_object *o,
			   const struct wv_host *host)
{
	struct bpf_program *p;
	struct bpf_map *map;
	int r;

	bpf_object__for_each_map(map, obj) {
		r = keep_map(bpf, map);
		if (r < 0)
			return r;
	}
	bpf_object__for_each_program(p, obj) {
		struct bpf_link *link;

		if (!bpf_program__autoload(p))
			continue;
		r = keep_program(bpf, p);
		if (r < 0)
			return r;
		if (!attaches_by_section(p))
			continue;
		link = bpf_program__attach(p);
		r = link ? wv_bpf_keep_link(bpf, link, bpf_program__name(p)) : -errno;
		if (r < 0)
			return wv_log_warn(r, "bpf", "attach %s", bpf_program__name(p));
	}
	return o->attach ? o->attach(bpf, obj, host) : 0;
}

static int load_flavour(struct wv_bpf *bpf, const struct wv_object *o, enum wv_flavour flavour,
			const struct wv_host *host, const struct wv_config *config)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = o->name);
	struct bpf_object *obj;
	const void *elf;
	size_t size;
	int r;

	last_complaint[0] = '\0';
	elf = object_elf(o, flavour, &size);
	obj = bpf_object__open_mem(elf, size, &opts);
	if (!obj)
		return -errno;
	r = configure_object(bpf, obj, o, host, config);
	if (r == 0)
		r = bpf_object__load(obj);
	if (r == 0)
		r = keep_and_attach(bpf, obj, o, host);
	bpf_object__close(obj); /* descriptors that we keep are duplicates */
	things_close(&bpf->templates);
	return r;
}

static void load_object(struct wv_bpf *bpf, const struct wv_object *o, const struct wv_host *host,
			const struct wv_config *config)
{
	struct wv_object_state *state = &bpf->objects[bpf->n_objects++];
	uint64_t begin = wv_io_system.mono_ns(NULL);
	int r;

	*state = (struct wv_object_state){0};
	snprintf(state->name, sizeof(state->name), "%s", o->name);
	if (host->flavour == WV_FLAVOUR_NONE) {
		snprintf(state->reason, sizeof(state->reason), "no kind of hook works here or collect.hooks is files");
		return;
	}
	r = load_flavour(bpf, o, host->flavour, host, config);
	if (r < 0 && r != -EPERM && host->flavour == WV_FLAVOUR_BTF && o->elf_raw) {
		wv_log_info("bpf", "%s: BTF build refused (%s), trying raw tracepoints", o->name, last_complaint);
		r = load_flavour(bpf, o, WV_FLAVOUR_RAW, host, config);
	}
	state->loaded = r == 0;
	wv_log_debug("bpf", "object %s took %llu us", o->name,
		     (unsigned long long)(wv_io_system.mono_ns(NULL) - begin) / 1000);
	if (r < 0) {
		snprintf(state->reason, sizeof(state->reason), "%s: %s", strerror(-r), last_complaint);
		wv_log_warn(r, "bpf", "object %s is left out (%s)", o->name, last_complaint);
	}
}

/* Pinned maps of another layout cannot be shared: then the old set goes and counting starts anew. */
static bool maps_compatible(const struct wv_bpf *bpf, const struct wv_object *const *objects, size_t n_objects,
			    const struct wv_things *old)
{
	struct bpf_map_info info;
	__u32 len = sizeof(info), id, zero = 0;
	int fd = wv_things_find(old, "wv_slots"), inner;
	bool ok;

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0 || info.max_entries != bpf->max_slots)
		return false;
	for (size_t i = 0; i < n_objects; i++) {
		for (const struct wv_table_desc *d = objects[i]->tables; d && d->map; d++) {
			fd = wv_things_find(old, d->map);
			if (fd < 0)
				return false; /* a new table would lack the chunks of the slots in use */
			if (bpf_map_lookup_elem(fd, &zero, &id) < 0)
				return false;
			inner = bpf_map_get_fd_by_id(id);
			len = sizeof(info);
			ok = inner >= 0 && bpf_obj_get_info_by_fd(inner, &info, &len) == 0 &&
			     info.value_size == d->row_bytes && info.max_entries == wv_table_chunk_rows(bpf, d);
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
		things_close(&bpf->maps);
		things_close(&bpf->progs);
		things_close(&bpf->links);
	}
	return r;
}

/* Only these are kept over an upgrade; a map with private state of one object starts anew with it. */
static void reuse_pinned_maps(struct wv_bpf *bpf, const struct wv_object *const *objects, size_t n_objects)
{
	static const char *const shared[] = {"wv_ctl", "wv_slots", "wv_free_slots"};
	struct wv_things old = {0};

	if (wv_pins_open_all(&bpf->paths, "maps", &old) < 0 || !old.n ||
	    !maps_compatible(bpf, objects, n_objects, &old)) {
		if (old.n)
			wv_log_info("bpf", "pinned maps have another layout: counters start anew");
		things_close(&old);
		for (const char *const *dir = (const char *const[]){"links", "progs", "maps", NULL}; *dir; dir++)
			(void)wv_pins_sweep(&bpf->paths, *dir, NULL);
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
	things_close(&old);
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

static void load_all(struct wv_bpf *bpf, const struct wv_host *host, const struct wv_config *config,
		     const struct wv_object *const *objects, size_t n_objects, const struct wv_bpf_early *early)
{
	bpf->generation++;
	if (bpf->pinned)
		reuse_pinned_maps(bpf, objects, n_objects);
	for (size_t i = 0; i < n_objects; i++)
		if (objects[i]->early)
			load_object(bpf, objects[i], host, config);
	if (early && bpf->n_objects)
		early->fn(early->ctx, bpf);
	for (size_t i = 0; i < n_objects; i++)
		if (!objects[i]->early)
			load_object(bpf, objects[i], host, config);
}

/*
 * Makes the loaded set the live one. Where it inherits the slots of a former set, all at once; else only
 * the hooks that give slots: core makes the rest live when it has walked what existed before.
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

int wv_bpf_open(struct wv_bpf **ret, const struct wv_paths *paths, const struct wv_host *host,
		const struct wv_config *config, const struct wv_object *const *objects, size_t n_objects,
		const struct wv_bpf_early *early)
{
	struct wv_bpf *bpf;
	int r;

	if (n_objects > WV_MAX_OBJECTS)
		return -E2BIG;
	bpf = calloc(1, sizeof(*bpf));
	if (!bpf)
		return -ENOMEM;
	libbpf_set_print(on_libbpf_print);
	raise_limits();
	bpf->paths = *paths;
	bpf->ncpu = host->ncpu;
	bpf->max_slots = (uint32_t)config->collect_max_cgroups;
	bpf->max_chunks = (bpf->max_slots + WV_CHUNK_SLOTS - 1) / WV_CHUNK_SLOTS;

	r = build_id(bpf, host, config, objects, n_objects);
	if (r == 0 && host->flavour != WV_FLAVOUR_NONE) {
		int pins = wv_pins_prepare(paths);

		bpf->pinned = pins == 0;
		if (pins < 0)
			wv_log_warn(pins, "bpf", "no bpffs at %s: nothing will outlive the agent", paths->bpffs);
	}
	if (r == 0 && bpf->pinned && wv_manifest_match(bpf, host->boot_id) == 0)
		bpf->adopted = adopt(bpf) == 0;
	if (r == 0 && !bpf->adopted) {
		bpf->n_objects = 0;
		load_all(bpf, host, config, objects, n_objects, early);
	}
	if (r == 0)
		r = wv_tables_init(bpf, objects, n_objects);
	if (r == 0)
		r = go_live(bpf, host);
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
	things_close(&bpf->links);
	things_close(&bpf->progs);
	things_close(&bpf->maps);
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
