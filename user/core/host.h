/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What this machine offers, probed once (never guessed from a version). Used to choose hooks and by
 * `doctor`.
 */
#ifndef WV_CORE_HOST_H
#define WV_CORE_HOST_H

#include <stdbool.h>
#include <stdint.h>

/* collect.hooks, in the order of its choices in config.def */
enum wv_hooks { WV_HOOKS_AUTO, WV_HOOKS_BTF, WV_HOOKS_RAW, WV_HOOKS_FILES };

enum wv_flavour { WV_FLAVOUR_NONE, WV_FLAVOUR_BTF, WV_FLAVOUR_RAW };

enum wv_controller {
	WV_CTRL_CPU,
	WV_CTRL_CPUACCT,
	WV_CTRL_MEMORY,
	WV_CTRL_IO, /* v1: blkio */
	WV_CTRL_PIDS,
	WV_CTRL_CPUSET,
	WV_CTRL_FREEZER,
	WV_CTRL_N
};

struct wv_host {
	char kernel[80]; /* uname -r, for people only */
	char boot_id[40];
	unsigned ncpu; /* possible CPUs */
	bool btf;      /* /sys/kernel/btf/vmlinux */
	int tp_btf;    /* 0: works; else negative errno of loading or attaching one */
	int raw_tp;
	int trampoline; /* fentry */
	int lsm;	/* 0: bpf is an active LSM and a program loads; -EOPNOTSUPP: not active */
	int kprobe;
	bool bpf_syscall; /* maps can be created at all */
	bool psi;
	char lsms[128]; /* active security modules, "" if unknown */
	/* cgroups: mount points without trailing slash, "" where there is none */
	char cgroup2[256];
	char v1[WV_CTRL_N][256];
	bool v2_controller[WV_CTRL_N];	   /* in the v2 root's cgroup.controllers */
	enum wv_controller v1_attribution; /* which v1 hierarchy attributes tasks of the v2 root */
	int v1_ssid;			   /* its cgroup_subsys_id, or -1: v2 alone attributes */
	uint32_t v1_hierarchy;		   /* its hierarchy id (/proc/cgroups) */
	enum wv_flavour flavour;	   /* of hooks to use: the best that works */
};

extern const char *const wv_controller_names[WV_CTRL_N]; /* v1 names: "cpu", "blkio", ... */

/* Probes everything; loads and discards a few tiny programs. Never fails: what is missing says why.
 */
void wv_host_probe(struct wv_host *h);
/*
 * The same in two steps, for a start that is in a hurry to enforce: cgroups and clocks first (no
 * kernel BTF is read; v1_ssid is 0 where a v1 hierarchy attributes), hooks afterwards.
 */
void wv_host_probe_cgroups(struct wv_host *h);
void wv_host_probe_hooks(struct wv_host *h);
/* Takes what was asked for, where it works, instead of the best. */
void wv_host_choose_hooks(struct wv_host *h, enum wv_hooks hooks);

/*
 * Path of a controller's file for a cgroup, into buf: on v2 <cgroup2><path>/<file2>, on v1
 * <v1 mount><path>/<file1>. key says which hierarchy the path is of. A NULL file means that the
 * hierarchy has no such file. Returns 2 or 1 (which hierarchy it is), or -ENOENT where neither has
 * it.
 */
int wv_host_cgroup_file(const struct wv_host *h, uint64_t key, const char *path,
			enum wv_controller ctrl, const char *file2, const char *file1, char *buf,
			unsigned size);

#endif
