/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of struct wv_bpf, for user/core/bpf*.c only. */
#ifndef WV_CORE_BPF_SET_H
#define WV_CORE_BPF_SET_H

#include <stdarg.h>

#include "user/core/bpf.h"
#include "user/core/sha256.h"
#include "waveos/wire.h"

#define WV_NAME_MAX 48
/* Ceilings of the set; exceeding one fails the load with -E2BIG, so raise them with the objects. */
#define WV_MAX_THINGS 128
#define WV_MAX_OBJECTS 24
#define WV_MAX_TABLES 32

/* A map, program or link: its name and our descriptor. */
struct wv_thing {
	char name[WV_NAME_MAX];
	int fd;
};

struct wv_things {
	struct wv_thing list[WV_MAX_THINGS];
	size_t n;
};

struct wv_table {
	struct wv_table_desc desc;
	int outer_fd;
	int *chunk_fds; /* [max_chunks], -1 where not open here */
};

struct wv_object_state {
	char name[WV_NAME_MAX];
	bool loaded;
	char reason[192];
};

struct wv_bpf {
	struct wv_paths paths;
	bool hooks;	 /* programs may be loaded: collect.hooks is not files */
	bool pinned;	 /* bpffs is there; else everything ends with the supervisor */
	bool pin_chunks; /* a chunk can be opened by its pin only (bpf_chunks.c) */
	bool adopted;
	bool inherited; /* slots and rows of a former set are kept, programs are new */
	uint64_t generation;
	uint32_t ncpu, max_slots, max_chunks, n_chunks;
	struct wv_things maps, progs, links;
	struct wv_things old_links; /* of the former set, until the new one is live */
	struct wv_things templates; /* inner maps of tables, only while an object is loaded */
	struct wv_object_state objects[WV_MAX_OBJECTS];
	size_t n_objects;
	struct wv_table tables[WV_MAX_TABLES];
	size_t n_tables;
	char build_id[WV_SHA256_HEX];
};

/* Descriptor of a name, or -1. */
int wv_things_find(const struct wv_things *t, const char *name);
/* Adds a name; takes the descriptor. -E2BIG when the ceiling is reached (then it is closed). */
int wv_things_add(struct wv_things *t, const char *name, int fd);

void wv_things_close(struct wv_things *t);

/* bpf_unpack.c */
/* Adds what names the build of this flavour to a sum. */
void wv_object_hash(const struct wv_object *o, enum wv_flavour flavour, struct wv_sha256 *sum);

/* bpf_load.c */
/* Loads, pins and attaches an object, or notes in its state why it is left out. */
void wv_object_load(struct wv_bpf *bpf, const struct wv_object *o, const struct wv_host *host,
		    const struct wv_config *config);
/* For libbpf_set_print(): keeps the last complaint as the reason of a refusal. */
int wv_libbpf_print(enum libbpf_print_level level, const char *format, va_list ap);

/* bpf_pins.c */
/* Makes sure that paths->bpffs is a bpffs and that the pin folders exist. */
int wv_pins_prepare(const struct wv_paths *paths);
/* Pins a descriptor as <pins>/<dir>/<name>, replacing a pin of that name atomically. */
int wv_pins_put(const struct wv_paths *paths, const char *dir, const char *name, int fd);
/* Opens everything below <pins>/<dir>. */
int wv_pins_open_all(const struct wv_paths *paths, const char *dir, struct wv_things *t);
/* Removes pins below <pins>/<dir> whose names are not in keep (NULL: all). */
int wv_pins_sweep(const struct wv_paths *paths, const char *dir, const struct wv_things *keep);
/* What the last loader wrote about its set: <runtime>/pins.json. */
int wv_manifest_write(const struct wv_bpf *bpf, const char *boot_id);
/* Whether a set was loaded in this boot, of whatever build. */
bool wv_manifest_of_boot(const struct wv_bpf *bpf, const char *boot_id);
/* 0 if the manifest is of this build and boot (objects filled), -ESTALE if not, -ENOENT if none. */
int wv_manifest_match(struct wv_bpf *bpf, const char *boot_id);

/* bpf_chunks.c */
/* Whether this process may not open a map by its number. */
bool wv_chunks_need_pins(void);
/* Descriptor of the chunk with this number, or -errno: -ENOENT, -ESTALE where the pin is another's.
 */
int wv_chunk_open(const struct wv_bpf *bpf, const char *table, uint32_t chunk, uint32_t id);
/* Pins a new chunk where others will need that. 0 or -errno; the descriptor stays the caller's. */
int wv_chunk_keep(const struct wv_bpf *bpf, const char *table, uint32_t chunk, int fd);

/* bpf_slots.c */
int wv_tables_init(struct wv_bpf *bpf, const struct wv_object *const *objects, size_t n_objects);
void wv_tables_done(struct wv_bpf *bpf);
/* Rows of one chunk of a table. */
static inline uint32_t wv_table_chunk_rows(const struct wv_bpf *bpf, const struct wv_table_desc *d)
{
	return WV_CHUNK_SLOTS * (d->per_cpu ? bpf->ncpu : 1);
}

/* bpf_btf.c: questions to the kernel's BTF, which is loaded at the first one */
/* Type id, or negative errno. kind: BTF_KIND_*. */
int wv_btf_id(const char *name, int kind);
/* Value of a name of an enum, or -ENOENT. */
int wv_btf_enum_value(const char *type, const char *name);
/* Frees the BTF; a later question loads it again. */
void wv_btf_release(void);

#endif
