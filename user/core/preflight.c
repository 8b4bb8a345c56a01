// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/preflight.h"

#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/host.h"

/* linux/capability.h of older systems has neither */
#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#define CAP_BPF 39
#endif

static const struct {
	int bit;
	const char *name;
} needed[] = {{CAP_BPF, "CAP_BPF"}, {CAP_PERFMON, "CAP_PERFMON"}};

/* Not needed to start; each with what does not work without it. */
static const struct {
	int bit;
	const char *name;
} wanted[] = {
	{CAP_NET_ADMIN,
	 "CAP_NET_ADMIN"}, /* the chart's profile observe has none (docs/kubernetes.md) */
	{CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
	{CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE"},
	{CAP_SYS_PTRACE, "CAP_SYS_PTRACE"},
	{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"},
	{CAP_KILL, "CAP_KILL"},
};

static bool has(uint64_t effective, int bit)
{
	return effective >> bit & 1;
}

uint64_t wv_preflight_effective(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/status", "re");
	unsigned long long caps = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			break;
	return caps;
}

static void append(char *text, size_t size, const char *word)
{
	size_t len = strlen(text);

	snprintf(text + len, size - len, "%s%s", len ? " " : "", word);
}

static void look_at_rights(struct wv_preflight *p, uint64_t effective)
{
	struct wv_preflight_item *item = &p->items[WV_PRE_RIGHTS];
	char lacks[sizeof(item->found)] = "";

	/* CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON, and was all that there was before 5.8
	 */
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (!has(effective, needed[i].bit) && !has(effective, CAP_SYS_ADMIN))
			append(p->missing, sizeof(p->missing), needed[i].name);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (!has(effective, wanted[i].bit))
			append(lacks, sizeof(lacks), wanted[i].name);
	*item = (struct wv_preflight_item){.name = "capabilities", .instead = ""};
	if (p->missing[0]) {
		item->mark = WV_MARK_MISSING;
		snprintf(item->found, sizeof(item->found), "missing: %.170s", p->missing);
		item->instead = "no program can be loaded: see below";
	} else if (lacks[0]) {
		item->mark = WV_MARK_FALLBACK;
		snprintf(item->found, sizeof(item->found), "without %.170s", lacks);
		item->instead = "what needs them is left out and said (doctor); figures stay";
	} else {
		snprintf(item->found, sizeof(item->found), "all that it uses");
	}
}

static void look_at_kernel(struct wv_preflight *p, const struct wv_host *h)
{
	struct wv_preflight_item *item = &p->items[WV_PRE_KERNEL];

	*item = (struct wv_preflight_item){.name = "kernel", .instead = ""};
	snprintf(item->found, sizeof(item->found), "%s, bpf() %s", h->kernel,
		 h->bpf_syscall ? "works" : "is refused");
	if (!h->bpf_syscall) {
		item->mark = WV_MARK_MISSING;
		item->instead = "no program can be loaded";
	}
	item = &p->items[WV_PRE_BTF];
	*item = (struct wv_preflight_item){.name = "BTF", .instead = ""};
	snprintf(item->found, sizeof(item->found), "%s/sys/kernel/btf/vmlinux",
		 access("/sys/kernel/btf/vmlinux", R_OK) == 0 ? "" : "no ");
	if (item->found[0] == 'n') {
		item->mark = WV_MARK_MISSING;
		item->instead = "figures come from /proc and cgroup files only";
	}
}

static void look_at_cgroups(struct wv_preflight *p, const struct wv_host *h)
{
	struct wv_preflight_item *item = &p->items[WV_PRE_CGROUPS];
	bool v1 = false;

	*item = (struct wv_preflight_item){.name = "cgroups", .instead = ""};
	for (int c = 0; c < WV_CTRL_N; c++)
		v1 |= h->v1[c][0] != '\0';
	if (!h->cgroup2[0] && !v1) {
		item->mark = WV_MARK_MISSING;
		snprintf(item->found, sizeof(item->found), "none is mounted");
		item->instead = "all tasks count as one";
	} else if (v1) {
		item->mark = WV_MARK_FALLBACK;
		snprintf(item->found, sizeof(item->found), "%s",
			 h->cgroup2[0] ? "v1 and v2 (hybrid)" : "v1 only");
		item->instead = "limits through v1 files; pressure of v2 cgroups and the machine";
	} else {
		snprintf(item->found, sizeof(item->found), "v2 at %.180s", h->cgroup2);
	}
	item = &p->items[WV_PRE_PRESSURE];
	*item = (struct wv_preflight_item){.name = "pressure", .instead = ""};
	snprintf(item->found, sizeof(item->found), "%s/proc/pressure", h->psi ? "" : "no ");
	if (!h->psi) {
		item->mark = WV_MARK_FALLBACK;
		item->instead = "waits are seen by hooks only";
	}
}

static void look_at_lsm(struct wv_preflight *p)
{
	struct wv_preflight_item *item = &p->items[WV_PRE_LSM];
	_cleanup_fclose_ FILE *f = fopen("/sys/kernel/security/lsm", "re");
	char list[128] = "";

	if (f && !fgets(list, sizeof(list), f))
		list[0] = '\0';
	list[strcspn(list, "\n")] = '\0';
	*item = (struct wv_preflight_item){.name = "LSM", .instead = ""};
	snprintf(item->found, sizeof(item->found), "%s",
		 list[0] ? list : "unknown (securityfs is not mounted or not readable)");
	if (!strstr(list, "bpf")) {
		item->mark = WV_MARK_FALLBACK;
		item->instead = "gates without the bpf LSM: exec is killed instead of refused, "
				"mount, ptrace and module are not held";
	}
}

static void look_at_bpffs(struct wv_preflight *p, const char *bpffs, uint64_t effective)
{
	struct wv_preflight_item *item = &p->items[WV_PRE_BPFFS];
	struct statfs fs;
	bool mounted = statfs(bpffs, &fs) == 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC;

	*item = (struct wv_preflight_item){.name = "bpffs", .instead = ""};
	snprintf(item->found, sizeof(item->found), "%s%.170s",
		 mounted			 ? ""
		 : has(effective, CAP_SYS_ADMIN) ? "will be mounted at "
						 : "none at ",
		 bpffs);
	if (!mounted && !has(effective, CAP_SYS_ADMIN)) {
		item->mark = WV_MARK_FALLBACK;
		item->instead = "limits in the kernel end with the agent";
	}
}

void wv_preflight(struct wv_preflight *ret, uint64_t effective, const char *bpffs)
{
	struct wv_host host;

	*ret = (struct wv_preflight){0};
	wv_host_probe_cgroups(&host);
	look_at_rights(ret, effective);
	look_at_kernel(ret, &host);
	look_at_cgroups(ret, &host);
	look_at_lsm(ret);
	look_at_bpffs(ret, bpffs, effective);
	ret->denied = !host.bpf_syscall || ret->missing[0];
}
