/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The BPF side of the agent as a set: objects are loaded once by the supervisor, or adopted from
 * their pins when the same build runs already. Links and maps are pinned, so they outlive the
 * agent; workers inherit the file descriptors.
 */
#ifndef WV_CORE_BPF_H
#define WV_CORE_BPF_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/core/config.h"
#include "user/core/host.h"
#include "user/core/paths.h"

struct wv_bpf;

/* A table (WV_TABLE in bpf/lib/maps.bpf.h): rows of u64 per slot, and per CPU if per_cpu. */
struct wv_table_desc {
	const char *map;
	uint32_t row_bytes;
	bool per_cpu;
};

/* A map whose content goes over to the programs of a newer build, if key and value are as large. */
struct wv_kept_map {
	const char *name;
	uint32_t key_bytes, value_bytes;
};

/* One BPF object: the kernel half of a subsystem. */
struct wv_object {
	const char *name;
	/* loaded before the others and before hooks are probed: what the first limit needs.
	 * elf_raw MUST be NULL, and its programs MUST NOT ask wv_settings which v1 hierarchy
	 * attributes: that is known with the hooks only. */
	bool early;
	/* The two builds, packed, from the generated headers (bpf_unpack.c). elf_raw MAY be NULL
	 * (no tracepoints). */
	const void *(*elf_btf)(size_t *ret_size);
	const void *(*elf_raw)(size_t *ret_size);
	const struct wv_table_desc *tables; /* MAY; ends with map == NULL */
	/* MAY; ends with name == NULL. All of an object's, or none, if one has another layout. */
	const struct wv_kept_map *kept;
	/* MAY: before load: sizes of own maps, own constants, programs that this kernel does not
	 * take. */
	int (*configure)(struct bpf_object *obj, const struct wv_host *host,
			 const struct wv_config *config);
	/*
	 * MAY: after load: attaches what libbpf cannot attach by section name; every link goes
	 * through wv_bpf_keep_link(). Programs with tp_btf, raw_tp and iter sections are attached
	 * before this call, unless configure() said bpf_program__set_autoattach(p, false).
	 */
	int (*attach)(struct wv_bpf *bpf, struct bpf_object *obj, const struct wv_host *host);
	const struct wv_object *also; /* MAY: another object of the same module */
};

/* ELF bytes of the build of this flavour; the caller frees them. -ENOMEM, -EBADMSG. */
int wv_object_unpack(const struct wv_object *o, enum wv_flavour flavour, void **ret_elf,
		     size_t *ret_size);

/* What the opener does on the way; both MUST be there. */
struct wv_bpf_steps {
	/* The early objects are loaded and the others are not; bpf has the early ones only. */
	void (*early)(void *ctx, struct wv_bpf *bpf);
	/* Completes `host` with hooks and flavour. Takes tens of milliseconds, and first limits do
	 * not wait for it. */
	void (*probe_hooks)(void *ctx);
	void *ctx;
};

/*
 * Loads or adopts all objects. `host` is probed for cgroups; hooks are probed on the way. Where
 * nothing of this boot can be adopted, the early objects come before that. steps->early is not
 * called when everything is adopted: then limits are in force already. An object that the kernel
 * refuses is left out and the reason kept (wv_bpf_reason()); that is no error. Errors: -EPERM (no
 * right to use BPF), -ENOMEM and the like.
 */
int wv_bpf_open(struct wv_bpf **ret, const struct wv_paths *paths, const struct wv_host *host,
		const struct wv_config *config, const struct wv_object *const *objects,
		size_t n_objects, const struct wv_bpf_steps *steps);
/* Closes file descriptors; pins and what they hold stay. */
void wv_bpf_close(struct wv_bpf *bpf);
/* Removes every pin of the agent below paths->pins, whoever made it. Works without an open set. */
int wv_bpf_unpin_all(const struct wv_paths *paths);

bool wv_bpf_adopted(const struct wv_bpf *bpf);
/* File descriptors, owned by the set; -1 if there is no such thing. */
int wv_bpf_map_fd(const struct wv_bpf *bpf, const char *map);
int wv_bpf_prog_fd(const struct wv_bpf *bpf, const char *prog);
int wv_bpf_link_fd(const struct wv_bpf *bpf, const char *prog);
/* Whether an object is loaded; if not, why (valid while the set lives). */
bool wv_bpf_has(const struct wv_bpf *bpf, const char *object);
const char *wv_bpf_reason(const struct wv_bpf *bpf, const char *object);
/* Per program: name and fd, i from 0; false at the end. */
bool wv_bpf_prog_at(const struct wv_bpf *bpf, size_t i, const char **ret_name, int *ret_fd);
/* Bytes that the kernel accounts to all maps of the set, table chunks included. */
uint64_t wv_bpf_map_bytes(const struct wv_bpf *bpf);

/* For wv_object.attach: pins the link under this name and takes it over (also on failure). */
int wv_bpf_keep_link(struct wv_bpf *bpf, struct bpf_link *link, const char *name);
/* For wv_object.configure: sets a `const volatile` variable of the object. -ENOENT if there is
 * none. */
int wv_bpf_set_const(struct bpf_object *obj, const char *name, const void *value, size_t size);
/*
 * For wv_object.configure: whether kernel BTF has the tracepoint `name`, and with how many
 * arguments
 * (*ret_args, without the leading void *; may be NULL). Use it to not load a program whose hook is
 * missing.
 */
bool wv_bpf_has_tracepoint(const char *name, unsigned *ret_args);
/* For wv_object.configure: whether kernel BTF has a function of this name. */
bool wv_bpf_has_function(const char *name);
/* For wv_object.configure: leaves a program out, with the reason for `doctor`. */
void wv_bpf_skip_program(struct bpf_object *obj, const char *prog);

/* Stops (false) or resumes all observing hooks at once, without detaching. */
int wv_bpf_set_live(struct wv_bpf *bpf, bool live);

/* Slots and tables ------------------------------------------------------------------------------
 */

/*
 * Puts slots in order at the start of a core worker, whatever the last one left: chunks are
 * counted, and slots that are neither used nor free are cleared and freed. Call before the other
 * slot functions.
 */
int wv_bpf_slots_recover(struct wv_bpf *bpf);
/* Takes a free slot, adding chunks when they run out; -ENOSPC at the ceiling. */
int wv_bpf_slot_take(struct wv_bpf *bpf, uint32_t *ret_slot);
/* Zeroes the slot's rows in every table and puts it back. */
int wv_bpf_slot_give(struct wv_bpf *bpf, uint32_t slot);
/* Adds chunks until `used` slots and `spare` free ones fit, or the ceiling is reached. */
int wv_bpf_slots_reserve(struct wv_bpf *bpf, uint32_t used, uint32_t spare);
/* Slots that tables have room for now. */
uint32_t wv_bpf_slots_capacity(const struct wv_bpf *bpf);

/*
 * Reads a whole table, summed over CPUs where it is per CPU, and calls fn for each slot below
 * used_rows with the row as an array of u64. One system call a chunk. Returns 0 or -errno of the
 * first failure.
 */
int wv_bpf_table_read(struct wv_bpf *bpf, const char *map, uint32_t used_rows,
		      void (*fn)(void *ctx, uint32_t slot, const uint64_t *row), void *ctx);

#endif
