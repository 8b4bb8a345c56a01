// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/host.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "user/core/bpf_set.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "waveos/wire.h"

const char *const wv_controller_names[WV_CTRL_N] = {
	[WV_CTRL_CPU] = "cpu",	       [WV_CTRL_CPUACCT] = "cpuacct", [WV_CTRL_MEMORY] = "memory",
	[WV_CTRL_IO] = "blkio",	       [WV_CTRL_PIDS] = "pids",	      [WV_CTRL_CPUSET] = "cpuset",
	[WV_CTRL_FREEZER] = "freezer",
};

/* A tracepoint that fires rarely, for probing an attach. */
#define PROBE_TRACEPOINT "cgroup_mkdir"
/* A function that exists for tests of trampolines. */
#define PROBE_FUNCTION "bpf_fentry_test1"

static void read_line(const char *path, char *buf, size_t size)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");

	buf[0] = '\0';
	if (f && fgets(buf, (int)size, f))
		buf[strcspn(buf, "\n")] = '\0';
}

/* Loads `return 0` as this type and attaches it for an instant. Returns 0 or -errno. */
static int try_program(enum bpf_prog_type type, enum bpf_attach_type attach, int btf_id,
		       const char *raw_name)
{
	static const struct bpf_insn ret0[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach,
		    .attach_btf_id = btf_id > 0 ? (__u32)btf_id : 0);
	_cleanup_close_ int prog = -1, link = -1;

	prog = bpf_prog_load(type, "wv_probe", "GPL", ret0, ARRAY_SIZE(ret0), &opts);
	if (prog < 0)
		return -errno;
	link = bpf_raw_tracepoint_open(raw_name, prog);
	return link < 0 ? -errno : 0;
}

static void probe_hooks(struct wv_host *h)
{
	int id;

	h->btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
	id = wv_btf_id("btf_trace_" PROBE_TRACEPOINT, BTF_KIND_TYPEDEF);
	h->tp_btf = id < 0 ? id : try_program(BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, id, NULL);
	h->raw_tp = try_program(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0, PROBE_TRACEPOINT);
	id = wv_btf_id(PROBE_FUNCTION, BTF_KIND_FUNC);
	h->trampoline =
		id < 0 ? id : try_program(BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, id, NULL);
	h->kprobe =
		access("/sys/bus/event_source/devices/kprobe/type", R_OK) == 0 ? 0 : -EOPNOTSUPP;

	read_line("/sys/kernel/security/lsm", h->lsms, sizeof(h->lsms));
	/* an LSM program attaches without error where bpf is not an active module, and never fires
	 */
	id = wv_btf_id("bpf_lsm_bprm_check_security", BTF_KIND_FUNC);
	if (!strstr(h->lsms, "bpf") || id < 0)
		h->lsm = -EOPNOTSUPP;
	else
		h->lsm = try_program(BPF_PROG_TYPE_LSM, BPF_LSM_MAC, id, NULL);
	h->flavour = h->tp_btf == 0		? WV_FLAVOUR_BTF
		     : h->raw_tp == 0 && h->btf ? WV_FLAVOUR_RAW
						: WV_FLAVOUR_NONE;
}

/* Octal escapes of /proc/self/mounts: space, tab, backslash and newline. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*out++ = (char)(((s[1] - '0') << 6) | ((s[2] - '0') << 3) | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

static bool has_word(const char *list, const char *word, const char *separators)
{
	size_t len = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += len)
		if ((p == list || strchr(separators, p[-1])) &&
		    (!p[len] || strchr(separators, p[len])))
			return true;
	return false;
}

static void probe_mounts(struct wv_host *h)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mounts", "re");
	char line[1024], dir[256], type[32], opts[512], path[300], controllers[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %255s %31s %511s", dir, type, opts) != 3)
			continue;
		unescape(dir);
		if (strcmp(type, "cgroup2") == 0 && !h->cgroup2[0])
			snprintf(h->cgroup2, sizeof(h->cgroup2), "%s", dir);
		if (strcmp(type, "cgroup") != 0)
			continue;
		for (int c = 0; c < WV_CTRL_N; c++)
			if (has_word(opts, wv_controller_names[c], ",") && !h->v1[c][0])
				snprintf(h->v1[c], sizeof(h->v1[c]), "%s", dir);
	}
	if (!h->cgroup2[0])
		return;
	snprintf(path, sizeof(path), "%s/cgroup.controllers", h->cgroup2);
	read_line(path, controllers, sizeof(controllers));
	for (int c = 0; c < WV_CTRL_N; c++)
		h->v2_controller[c] =
			has_word(controllers, c == WV_CTRL_IO ? "io" : wv_controller_names[c], " ");
}

/*
 * Where v1 hierarchies hold the machine's tasks, all of them are in the v2 root. The v1 hierarchy
 * with the most cgroups tells them apart; memory wins a tie, for every container runtime sets it.
 */
static const struct {
	enum wv_controller ctrl;
	const char *enum_name; /* in enum cgroup_subsys_id */
} attributions[] = {
	{WV_CTRL_MEMORY, "memory_cgrp_id"},
	{WV_CTRL_CPU, "cpu_cgrp_id"},
	{WV_CTRL_PIDS, "pids_cgrp_id"},
	{WV_CTRL_CPUACCT, "cpuacct_cgrp_id"},
};

static void probe_attribution(struct wv_host *h)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/cgroups", "re");
	unsigned hierarchy, count, enabled, best = 0;
	char line[256], name[64];

	h->v1_ssid = -1;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %u %u %u", name, &hierarchy, &count, &enabled) != 4 ||
		    !hierarchy || !enabled)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(attributions); i++) {
			enum wv_controller c = attributions[i].ctrl;

			if (strcmp(name, wv_controller_names[c]) != 0 || !h->v1[c][0])
				continue;
			if (count < best || (count == best && c != WV_CTRL_MEMORY))
				continue;
			best = count;
			h->v1_attribution = c;
			h->v1_ssid = 0; /* known when BTF is read */
			h->v1_hierarchy = hierarchy;
		}
	}
}

/* The id that BPF finds the hierarchy by; without it v2 alone attributes. */
static void probe_ssid(struct wv_host *h)
{
	if (h->v1_ssid < 0)
		return;
	h->v1_ssid = -1;
	for (size_t i = 0; i < ARRAY_SIZE(attributions); i++)
		if (attributions[i].ctrl == h->v1_attribution)
			h->v1_ssid =
				wv_btf_enum_value("cgroup_subsys_id", attributions[i].enum_name);
	if (h->v1_ssid < 0) {
		h->v1_ssid = -1;
		h->v1_hierarchy = 0;
	}
}

void wv_host_probe_cgroups(struct wv_host *h)
{
	_cleanup_close_ int map = -1;
	struct utsname uts;
	int n;

	*h = (struct wv_host){.v1_ssid = -1};
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "wv_probe", 4, 8, 1, NULL);
	h->bpf_syscall = map >= 0;
	if (uname(&uts) == 0)
		snprintf(h->kernel, sizeof(h->kernel), "%.79s", uts.release);
	read_line("/proc/sys/kernel/random/boot_id", h->boot_id, sizeof(h->boot_id));
	n = libbpf_num_possible_cpus();
	h->ncpu = n > 0 ? (unsigned)n : 1;
	h->psi = access("/proc/pressure/cpu", R_OK) == 0;
	probe_mounts(h);
	probe_attribution(h);
}

void wv_host_probe_hooks(struct wv_host *h)
{
	probe_hooks(h);
	probe_ssid(h);
}

void wv_host_choose_hooks(struct wv_host *h, enum wv_hooks hooks)
{
	if (hooks == WV_HOOKS_FILES)
		h->flavour = WV_FLAVOUR_NONE;
	else if (hooks == WV_HOOKS_RAW && h->raw_tp == 0)
		h->flavour = WV_FLAVOUR_RAW;
}

void wv_host_probe(struct wv_host *h)
{
	wv_host_probe_cgroups(h);
	wv_host_probe_hooks(h);
}

int wv_host_cgroup_file(const struct wv_host *h, uint64_t key, const char *path,
			enum wv_controller ctrl, const char *file2, const char *file1, char *buf,
			unsigned size)
{
	const char *below = strcmp(path, "/") == 0 ? "" : path;

	/* a v1 row's path is the same in every v1 hierarchy that its runtime uses */
	if (key & WV_KEY_V1) {
		if (!file1 || !h->v1[ctrl][0])
			return -ENOENT;
		snprintf(buf, size, "%s%s/%s", h->v1[ctrl], below, file1);
		return 1;
	}
	if (file2 && h->cgroup2[0]) {
		snprintf(buf, size, "%s%s/%s", h->cgroup2, below, file2);
		return 2;
	}
	return -ENOENT;
}
