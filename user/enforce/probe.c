// SPDX-License-Identifier: GPL-2.0-only
/* What this machine can be held to: rows for `doctor`. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/enforce/enforcer.h"

/* A limit through a file, on v2 and on v1. */
static const struct {
	const char *name;
	enum wv_controller ctrl;
	const char *file2, *file1;
	const char *weaker; /* why the v1 file is less; NULL: it is the same */
} rows[] = {
	{"limit CPU quota", WV_CTRL_CPU, "cpu.max", "cpu.cfs_quota_us", NULL},
	{"limit CPU weight", WV_CTRL_CPU, "cpu.weight", "cpu.shares", NULL},
	{"limit memory (high)", WV_CTRL_MEMORY, "memory.high", "memory.soft_limit_in_bytes",
	 "the soft limit only says who is reclaimed first"},
	{"limit memory (max)", WV_CTRL_MEMORY, "memory.max", "memory.limit_in_bytes", NULL},
	{"limit block I/O", WV_CTRL_IO, "io.max", "blkio.throttle.*_device",
	 "blkio sees direct and read I/O, not write-back"},
	{"limit tasks", WV_CTRL_PIDS, "pids.max", "pids.max", NULL},
};

static int probe_files(const struct wv_host *h, struct wv_capabilities *caps)
{
	char uses[64], reason[160];
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *ctrl = wv_controller_names[rows[i].ctrl];
		enum wv_capability_state state = WV_CAP_MISSING;

		uses[0] = reason[0] = '\0';
		if (h->v2_controller[rows[i].ctrl]) {
			state = WV_CAP_OK;
			snprintf(uses, sizeof(uses), "v2 %s", rows[i].file2);
		} else if (h->v1[rows[i].ctrl][0]) {
			state = rows[i].weaker ? WV_CAP_FALLBACK : WV_CAP_OK;
			snprintf(uses, sizeof(uses), "v1 %s", rows[i].file1);
			snprintf(reason, sizeof(reason), "%s", rows[i].weaker ?: "");
		} else {
			snprintf(reason, sizeof(reason), "no hierarchy has the %s controller",
				 ctrl);
		}
		r = wv_capability_add(caps, "budget", rows[i].name, state, uses, reason);
	}
	return r;
}

static int probe_pacing(const struct wv_host *h, const struct wv_bpf *bpf,
			struct wv_capabilities *caps)
{
	struct wv_netlimit n = {
		.host = h,
		.pacers_fd = bpf ? wv_bpf_map_fd(bpf, "limit_pacers") : -1,
	};
	char uses[64] = "drop over the rate (policing)",
	     reason[160] = "no device here has fq as root queue";
	int devices = wv_pacers_refresh(&n, reason, sizeof(reason));

	if (devices > 0) {
		snprintf(uses, sizeof(uses), "departure times on %d device(s) with fq", devices);
		reason[0] = '\0';
	}
	return wv_capability_add(caps, "budget", "egress without loss (pacing)",
				 devices > 0 ? WV_CAP_OK : WV_CAP_FALLBACK, uses, reason);
}

/* prlimit(2): other users' processes only with CAP_SYS_RESOURCE, also for root. */
static int probe_open_files(struct wv_capabilities *caps)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	bool all = syscall(SYS_capget, &head, data) == 0 &&
		   data[CAP_SYS_RESOURCE / 32].effective & 1U << CAP_SYS_RESOURCE % 32;

	return wv_capability_add(
		caps, "budget", "limit open files of a process", all ? WV_CAP_OK : WV_CAP_FALLBACK,
		all ? "prlimit, once a tick" : "prlimit on own processes",
		all ? "" : "without CAP_SYS_RESOURCE those of other users are refused");
}

int wv_enforce_probe(const struct wv_host *host, const struct wv_bpf *bpf,
		     struct wv_capabilities *caps)
{
	static const struct {
		const char *name, *uses;
	} net[] = {
		{"limit egress rate", "cgroup_skb/egress"},
		{"limit ingress rate", "cgroup_skb/ingress"},
		{"limit connect rate", "cgroup/connect4, connect6"},
	};
	const char *reason = "";
	int r = probe_files(host, caps);

	r = r ?: probe_open_files(caps);

	if (!host->cgroup2[0])
		reason = "no cgroup v2 hierarchy is mounted";
	else if (!host->bpf_syscall)
		reason = "the bpf system call is refused";
	else if (bpf && !wv_bpf_has(bpf, "limit"))
		reason = wv_bpf_reason(bpf, "limit");
	for (size_t i = 0; r == 0 && i < sizeof(net) / sizeof(net[0]); i++)
		r = wv_capability_add(caps, "budget", net[i].name,
				      reason[0] ? WV_CAP_MISSING : WV_CAP_OK,
				      reason[0] ? "" : net[i].uses, reason);
	if (r == 0 && !reason[0])
		r = probe_pacing(host, bpf, caps);
	return r;
}
