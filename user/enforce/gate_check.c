// SPDX-License-Identifier: GPL-2.0-only
/* What this machine can hold gates by: the answer to `policy check`, and rows for `doctor`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/core/host.h"
#include "user/core/module.h"
#include "user/enforce/gate.h"
#include "user/enforce/gate_modules.h"
#include "user/enforce/gate_selftest.h"

const char *const wv_gated_names[WV_GATED_N] = {
#define X(id, text) [WV_GATED_##id] = text,
	WV_GATED(X)
#undef X
};

static const char *const by_hook[WV_GATED_N] = {
	[WV_GATED_EXEC] = "LSM bprm_check_security",
	[WV_GATED_CONNECT] = "cgroup/connect4, connect6, sendmsg4, sendmsg6",
	[WV_GATED_BIND] = "cgroup/bind4, bind6",
	[WV_GATED_DEVICE] = "cgroup/dev",
	[WV_GATED_SYSCTL] = "cgroup/sysctl",
	[WV_GATED_MODULE] = "LSM kernel_load_data, kernel_read_file",
	[WV_GATED_PTRACE] = "LSM ptrace_access_check",
	[WV_GATED_MOUNT] = "LSM sb_mount, move_mount",
	[WV_GATED_PRIORITY] = "LSM task_setnice, setscheduler, setioprio",
};
#define BY_KILL "tracepoint sched_process_exec and SIGKILL"
#define BY_KILL_REASON                                                                             \
	"killed before its first instruction instead of refused; of a script only its "            \
	"interpreter "                                                                             \
	"is seen"
#define BY_CORRECTION "correction every tick"
#define BY_CORRECTION_REASON "not refused but put back at the next tick"

#define NO_SETSCHEDULER                                                                            \
	"a program sees no real-time priorities on this kernel: they are put back at the next "    \
	"tick"

/* Why the programs of an object are not there, or NULL. */
static const char *object_lacks(const struct wv_bpf *bpf, const char *object)
{
	return bpf && !wv_bpf_has(bpf, object) ? wv_bpf_reason(bpf, object) : NULL;
}

bool wv_gate_lsm_works(const struct wv_host *host, const struct wv_bpf *bpf)
{
	return host->lsm == 0 && !object_lacks(bpf, "gate_lsm");
}

static int unsupported(char *reason, size_t size, const char *text)
{
	snprintf(reason, size, "%s", text);
	return -EOPNOTSUPP;
}

static int lsm_lacks(const struct wv_host *host, const struct wv_bpf *bpf, char *reason,
		     size_t size)
{
	const char *why = object_lacks(bpf, "gate_lsm");

	if (host->lsm == 0)
		return unsupported(reason, size, why);
	if (!host->lsms[0])
		return unsupported(reason, size,
				   "the active security modules cannot be seen, or BPF ones are "
				   "refused");
	snprintf(reason, size, "bpf is not an active security module (lsm=%.80s)", host->lsms);
	return -EOPNOTSUPP;
}

/* Where the self-test of this process found a kind not to hold, that is what counts. */
static int believed(uint32_t kind, char *reason, size_t size)
{
	const char *why;

	if (wv_gate_proof(kind, &why) != WV_PROOF_PASSED)
		return 0;
	snprintf(reason, size, "self-test: %s", why);
	return -EOPNOTSUPP;
}

static int check_cgroup_kind(const struct wv_host *host, const struct wv_bpf *bpf, char *reason,
			     size_t size)
{
	const char *why = object_lacks(bpf, "gate");

	if (!host->cgroup2[0])
		why = "no cgroup v2 hierarchy is mounted";
	else if (!host->bpf_syscall)
		why = "the bpf system call is refused";
	return why ? unsupported(reason, size, why) : 0;
}

static int check_exec(const struct wv_host *host, const struct wv_bpf *bpf, char *by,
		      size_t by_size, char *reason, size_t size)
{
	const char *why = object_lacks(bpf, "gate_exec");

	if (wv_gate_lsm_works(host, bpf) && !wv_gate_exec_by_kill()) {
		snprintf(by, by_size, "%s", by_hook[WV_GATED_EXEC]);
		return 0;
	}
	if (host->flavour == WV_FLAVOUR_NONE)
		why = "no kind of tracepoint works here";
	if (why)
		return unsupported(reason, size, why);
	snprintf(by, by_size, "%s", BY_KILL);
	snprintf(reason, size, "%s", BY_KILL_REASON);
	return 0;
}

int wv_gate_kind_check(const struct wv_host *host, const struct wv_bpf *bpf, uint32_t kind,
		       char *by, size_t by_size, char *reason, size_t size)
{
	const char *why = object_lacks(bpf, "gate");
	int r;

	by[0] = reason[0] = '\0';
	if (why) /* it makes the maps that all share */
		return unsupported(reason, size, why);
	r = believed(kind, reason, size);
	if (r < 0)
		return r;
	if (kind == WV_GATED_EXEC)
		return check_exec(host, bpf, by, by_size, reason, size);
	if (wv_gate_at_cgroup(kind))
		r = check_cgroup_kind(host, bpf, reason, size);
	else if (!wv_gate_lsm_works(host, bpf))
		r = lsm_lacks(host, bpf, reason, size);
	if (r == 0)
		snprintf(by, by_size, "%s", by_hook[kind]);
	return r;
}

int wv_gate_check(const struct wv_host *host, const struct wv_bpf *bpf, const struct wv_gate *g,
		  char *by, size_t by_size, char *reason, size_t size)
{
	struct wv_gate_entries entries;
	int r = wv_gate_compile(g, NULL, &entries, reason, size);

	by[0] = '\0';
	if (r < 0)
		return r;
	wv_gate_entries_done(&entries);
	return wv_gate_kind_check(host, bpf, (uint32_t)g->kind, by, by_size, reason, size);
}

int wv_priority_check(const struct wv_host *host, const struct wv_bpf *bpf,
		      const struct wv_priority *p, char *by, size_t by_size, char *reason,
		      size_t size)
{
	int r = wv_gate_kind_check(host, bpf, WV_GATED_PRIORITY, by, by_size, reason, size);

	if (r == 0 && bpf && wv_bpf_prog_fd(bpf, WV_GATE_SETSCHEDULER) < 0) {
		snprintf(by, by_size, "LSM task_setnice, setioprio; correction");
		snprintf(reason, size, "%s", NO_SETSCHEDULER);
		r = p->realtime_max < 99 && p->fail == WV_FAIL_CLOSED ? -EOPNOTSUPP : 0;
		return r;
	}
	if (r == 0 || p->fail == WV_FAIL_CLOSED)
		return r;
	snprintf(by, by_size, "%s", BY_CORRECTION);
	snprintf(reason, size, "%s", BY_CORRECTION_REASON);
	return 0;
}

int wv_gates_refuse(const struct wv_host *host, const struct wv_bpf *bpf, const struct wv_policy *p,
		    char *why, size_t size)
{
	char by[64], reason[160];
	int r;

	for (size_t i = 0; p->features[WV_FEATURE_GATES] && i < p->n_gates; i++) {
		const struct wv_gate *g = &p->gates[i];

		r = wv_gate_check(host, bpf, g, by, sizeof(by), reason, sizeof(reason));
		if (r == 0 || (r == -EOPNOTSUPP && g->fail == WV_FAIL_OPEN))
			continue;
		snprintf(why, size, "gate '%s'%s: %s", g->name,
			 r == -EOPNOTSUPP ? " (fail: closed) cannot be enforced here" : "", reason);
		return r;
	}
	for (size_t i = 0; p->features[WV_FEATURE_PRIORITY] && i < p->n_priorities; i++) {
		const struct wv_priority *c = &p->priorities[i];

		r = wv_priority_check(host, bpf, c, by, sizeof(by), reason, sizeof(reason));
		if (r == 0)
			continue;
		snprintf(why, size, "priority '%s' (fail: closed) cannot be enforced here: %s",
			 c->name, reason);
		return r;
	}
	return 0;
}

int wv_gate_probe(const struct wv_host *host, const struct wv_bpf *bpf,
		  struct wv_capabilities *caps)
{
	char name[48], by[64], reason[160];
	int r = 0;

	for (uint32_t kind = 0; r == 0 && kind < WV_GATED_PRIORITY; kind++) {
		int lacks =
			wv_gate_kind_check(host, bpf, kind, by, sizeof(by), reason, sizeof(reason));

		snprintf(name, sizeof(name), "gate %s", wv_gated_names[kind]);
		r = wv_capability_add(caps, "gate", name,
				      lacks < 0	  ? WV_CAP_MISSING
				      : reason[0] ? WV_CAP_FALLBACK
						  : WV_CAP_OK,
				      by, reason);
	}
	return r;
}

int wv_priority_probe(const struct wv_host *host, const struct wv_bpf *bpf,
		      struct wv_capabilities *caps)
{
	const struct wv_priority open = {.fail = WV_FAIL_OPEN};
	char by[64], reason[160];

	(void)wv_priority_check(host, bpf, &open, by, sizeof(by), reason, sizeof(reason));
	return wv_capability_add(caps, "priority", "cap priorities",
				 reason[0] ? WV_CAP_FALLBACK : WV_CAP_OK, by, reason);
}
