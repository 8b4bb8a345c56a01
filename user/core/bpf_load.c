// SPDX-License-Identifier: GPL-2.0-only
/* Loads one BPF object: sizes, constants, which programs, then pins and attaches what came of it.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "user/core/bpf_set.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/core/log.h"

/* The last complaint of libbpf or the verifier: the reason when an object is refused. */
static char last_complaint[160];

int wv_libbpf_print(enum libbpf_print_level level, const char *format, va_list ap)
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

int wv_bpf_set_const(struct bpf_object *obj, const char *name, const void *value, size_t size)
{
	const struct btf *btf = bpf_object__btf(obj);
	const struct btf_var_secinfo *var;
	const struct btf_type *sec;
	struct bpf_map *map, *rodata = NULL;
	char *initial;
	size_t bytes;
	int id;

	bpf_object__for_each_map(map, obj) if (bpf_map__is_internal(map) &&
					       strstr(bpf_map__name(map), ".rodata")) rodata = map;
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
 * source declares (it dereferences an object that inner maps do not have), so a real one replaces
 * it.
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
	bpf_object__for_each_map(map, obj)
	{
		fd = wv_things_find(&bpf->maps, bpf_map__name(map));
		r = fd >= 0 ? bpf_map__reuse_fd(map, fd) : size_map(bpf, map, o, config);
		if (r < 0)
			return r;
	}
	bpf_object__for_each_program(p, obj)
	{
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

	bpf_object__for_each_map(map, obj)
	{
		r = keep_map(bpf, map);
		if (r < 0)
			return r;
	}
	bpf_object__for_each_program(p, obj)
	{
		struct bpf_link *link;

		if (!bpf_program__autoload(p))
			continue;
		r = keep_program(bpf, p);
		if (r < 0)
			return r;
		if (!attaches_by_section(p) || !bpf_program__autoattach(p))
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
	_cleanup_free_ void *elf = NULL;
	struct bpf_object *obj;
	size_t size;
	int r;

	last_complaint[0] = '\0';
	r = wv_object_unpack(o, flavour, &elf, &size);
	if (r < 0)
		return r;
	obj = bpf_object__open_mem(elf, size, &opts);
	if (!obj)
		return -errno;
	r = configure_object(bpf, obj, o, host, config);
	if (r == 0)
		r = bpf_object__load(obj);
	if (r == 0)
		r = keep_and_attach(bpf, obj, o, host);
	bpf_object__close(obj); /* descriptors that we keep are duplicates */
	wv_things_close(&bpf->templates);
	return r;
}

void wv_object_load(struct wv_bpf *bpf, const struct wv_object *o, const struct wv_host *host,
		    const struct wv_config *config)
{
	struct wv_object_state *state = &bpf->objects[bpf->n_objects++];
	uint64_t begin = wv_io_system.mono_ns(NULL);
	int r;

	*state = (struct wv_object_state){0};
	snprintf(state->name, sizeof(state->name), "%s", o->name);
	/* what has no tracepoints does without hooks, and is loaded before those are probed */
	if (!bpf->hooks || (host->flavour == WV_FLAVOUR_NONE && !o->early)) {
		snprintf(state->reason, sizeof(state->reason),
			 "no kind of hook works here or collect.hooks is files");
		return;
	}
	r = load_flavour(bpf, o, host->flavour, host, config);
	if (r < 0 && r != -EPERM && host->flavour == WV_FLAVOUR_BTF && o->elf_raw) {
		wv_log_info("bpf", "%s: BTF build refused (%s), trying raw tracepoints", o->name,
			    last_complaint);
		r = load_flavour(bpf, o, WV_FLAVOUR_RAW, host, config);
	}
	state->loaded = r == 0;
	wv_log_debug("bpf", "object %s took %llu us", o->name,
		     (unsigned long long)(wv_io_system.mono_ns(NULL) - begin) / 1000);
	if (r < 0) {
		snprintf(state->reason, sizeof(state->reason), "%s: %s", strerror(-r),
			 last_complaint);
		wv_log_warn(r, "bpf", "object %s is left out (%s)", o->name, last_complaint);
	}
}
