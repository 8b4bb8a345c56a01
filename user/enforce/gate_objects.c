// SPDX-License-Identifier: GPL-2.0-only
/* The BPF objects of gates: sizes of their maps, and which programs this kernel takes. */
#include "user/enforce/gate_objects.h"

#include <bpf/btf.h>
#include <errno.h>
#include <string.h>

#include "waveos/gate.h"

#include "skel/gate.btf.skel.h"
#include "skel/gate.raw.skel.h"
#include "skel/gate_exec.btf.skel.h"
#include "skel/gate_exec.raw.skel.h"
#include "skel/gate_lsm.btf.skel.h"
#include "user/core/bpf_set.h"
#include "user/core/cleanup.h"
#include "user/enforce/gate_hooks.h"
#include "user/enforce/gate_store.h"

/* Entries are allocated as they are made; the size of an empty map is 16 bytes an entry. */
#define MAX_PLACES 4096
#define MAX_CAPS 1024
#define MAX_ADDRESSES 16384
#define MAX_TEXTS 16384
#define MAX_DEVICES 4096
#define MAX_INODES 4096

static int size_maps(struct bpf_object *obj)
{
	static const struct {
		const char *name;
		__u32 entries;
	} sizes[] = {
		{"gate_places", MAX_PLACES},	   {"gate_caps", MAX_CAPS},
		{"gate_lists", WV_GATE_MAX_LISTS}, {"gate_addresses", MAX_ADDRESSES},
		{"gate_texts", MAX_TEXTS},	   {"gate_devices", MAX_DEVICES},
		{"gate_inodes", MAX_INODES},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(sizes); i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(obj, sizes[i].name);

		/* one that another object made has its size */
		if (map && bpf_map__max_entries(map) != sizes[i].entries)
			r = bpf_map__set_max_entries(map, sizes[i].entries);
	}
	return r == -EBUSY ? 0 : r;
}

static int configure(struct bpf_object *obj, const struct wv_host *host _unused_,
		     const struct wv_config *config _unused_)
{
	struct bpf_program *p;

	/* attached when a gate needs it: user/enforce/gate_hooks.c */
	bpf_object__for_each_program(p, obj)(void) bpf_program__set_autoattach(p, false);
	return size_maps(obj);
}

static int configure_lsm(struct bpf_object *obj, const struct wv_host *host,
			 const struct wv_config *config)
{
	struct bpf_program *p;
	char name[64];

	/* before 5.15 a program cannot see what task_setscheduler is called for */
	if (wv_btf_enum_value("bpf_func_id", "BPF_FUNC_task_pt_regs") < 0)
		wv_bpf_skip_program(obj, WV_GATE_SETSCHEDULER);
	bpf_object__for_each_program(p, obj)
	{
		snprintf(name, sizeof(name), "bpf_lsm_%s",
			 bpf_program__section_name(p) + strlen("lsm/"));
		if (host->lsm != 0 || wv_btf_id(name, BTF_KIND_FUNC) < 0)
			(void)bpf_program__set_autoload(p, false);
	}
	return configure(obj, host, config);
}

static const void *elf(size_t *size)
{
	return gate_btf__elf_bytes(size);
}

static const void *elf_raw(size_t *size)
{
	return gate_raw__elf_bytes(size);
}

static const void *exec_elf(size_t *size)
{
	return gate_exec_btf__elf_bytes(size);
}

static const void *exec_elf_raw(size_t *size)
{
	return gate_exec_raw__elf_bytes(size);
}

static const void *lsm_elf(size_t *size)
{
	return gate_lsm_btf__elf_bytes(size);
}

static const struct wv_object exec_object = {
	.name = "gate_exec",
	.elf_btf = exec_elf,
	.elf_raw = exec_elf_raw,
	.configure = configure,
};

const struct wv_object wv_gate_object = {
	.name = "gate",
	.elf_btf = elf,
	.elf_raw = elf_raw,
	.configure = configure,
	.also = &exec_object,
};

const struct wv_object wv_gate_lsm_object = {
	.name = "gate_lsm",
	.elf_btf = lsm_elf, /* loaded where LSM programs run: those kernels have BTF */
	.configure = configure_lsm,
};
