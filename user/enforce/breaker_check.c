// SPDX-License-Identifier: GPL-2.0-only
/* By what a breaker is enforced on this machine, or why not: for `policy check`, `apply`, `doctor`.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/enforce/breaker_set.h"

#define X(id, text)                                                                                \
	_Static_assert((int)WV_BREAKER_AT_##id == (int)WV_BREAKER_##text, "one kind a hook");
X(FORK, FORKS)
X(EXEC, EXECS)
X(CONNECT, CONNECTS)
X(EGRESS, EGRESS_PACKETS)
X(INGRESS, INGRESS_PACKETS)
X(OOM, OOM_KILLS)
#undef X
_Static_assert((int)WV_BREAKER_HOOK_N == (int)WV_BREAKER_N, "one kind a hook");

/* The network hooks; NULL: a start of a task. */
static const char *const net_hooks[WV_BREAKER_HOOK_N] = {
	[WV_BREAKER_AT_CONNECT] = "cgroup/connect4, connect6",
	[WV_BREAKER_AT_EGRESS] = "cgroup_skb/egress",
	[WV_BREAKER_AT_INGRESS] = "cgroup_skb/ingress",
};

static const char *no_object(const struct wv_host *host, const struct wv_bpf *bpf)
{
	if (!host->bpf_syscall)
		return "the bpf system call is refused";
	if (host->flavour == WV_FLAVOUR_NONE)
		return "no kind of hook works here or collect.hooks is files";
	return bpf && !wv_bpf_has(bpf, "breaker") ? wv_bpf_reason(bpf, "breaker") : NULL;
}

/* What refuses a start at this hook. */
static const char *start_gate(const struct wv_host *host, const struct wv_bpf *bpf, uint32_t hook)
{
	const char *gate = NULL;

	if (bpf)
		gate = wv_breaker_gate_name(bpf, hook);
	else if (host->lsm == 0)
		gate = "LSM";
	else if (host->trampoline == 0)
		gate = "fmod_ret";
	return gate ?: "tracepoint + SIGKILL";
}

static const char *oom_hook(const struct wv_bpf *bpf)
{
	unsigned args = 0;

	if (bpf) /* which of the two was loaded; kernel BTF need not be read again */
		return wv_bpf_prog_fd(bpf, "breaker_oom_mark") >= 0 ? "mark_victim"
								    : "sched_process_exit";
	return wv_bpf_has_tracepoint("mark_victim", &args) && args >= 2 ? "mark_victim"
									: "sched_process_exit";
}

static int check_start(const struct wv_host *host, const struct wv_bpf *bpf, uint32_t hook,
		       char *reason, size_t size)
{
	static const char *const points[] = {[WV_BREAKER_AT_FORK] = "sched_process_fork",
					     [WV_BREAKER_AT_EXEC] = "sched_process_exec"};

	if (hook == WV_BREAKER_AT_OOM) {
		snprintf(reason, size, "%s, then %s", oom_hook(bpf),
			 start_gate(host, bpf, WV_BREAKER_AT_FORK));
		return 0;
	}
	if (bpf && !wv_breaker_gate_name(bpf, hook) &&
	    wv_bpf_prog_fd(bpf, hook == WV_BREAKER_AT_FORK ? "breaker_fork" : "breaker_exec") < 0) {
		snprintf(reason, size, "the kernel has no tracepoint %s", points[hook]);
		return -EOPNOTSUPP;
	}
	snprintf(reason, size, "%s", start_gate(host, bpf, hook));
	return 0;
}

int wv_breaker_check(const struct wv_host *host, const struct wv_bpf *bpf,
		     const struct wv_breaker *b, char *reason, size_t size)
{
	const char *obstacle = no_object(host, bpf), *net = net_hooks[b->kind];
	struct wv_breaker_rate rate;

	if (wv_breaker_rate_make(b->limit, b->per_ns, b->burst, b->open_ns, b->half_open_ns,
				 b->probes, &rate) < 0) {
		snprintf(reason, size,
			 "limit, per or burst is out of range: a full burst may take 36 years");
		return -ERANGE;
	}
	if (!obstacle && net && !host->cgroup2[0])
		obstacle = "no cgroup v2 hierarchy is mounted";
	if (!obstacle && net && b->action == WV_BREAKER_KILL)
		obstacle = "connects and packets can be denied, not killed: use action deny";
	if (obstacle) {
		snprintf(reason, size, "%s", obstacle);
		return -EOPNOTSUPP;
	}
	if (!net)
		return check_start(host, bpf, (uint32_t)b->kind, reason, size);
	snprintf(reason, size, "%s", net);
	return 0;
}

/* Rows for `doctor`. */
int wv_breaker_probe(const struct wv_host *host, const struct wv_bpf *bpf,
		     struct wv_capabilities *caps)
{
	static const char *const names[WV_BREAKER_HOOK_N] = {
		"fork breakers",	  "exec breakers",	     "connect breakers",
		"egress packet breakers", "ingress packet breakers", "OOM kill breakers"};
	int r = 0;

	for (int i = 0; r == 0 && i < WV_BREAKER_HOOK_N; i++) {
		const struct wv_breaker b = {.kind = i, .limit = 1, .per_ns = 1, .burst = 1};
		bool missing, weaker;
		char text[160] = "";

		missing = wv_breaker_check(host, bpf, &b, text, sizeof(text)) < 0;
		weaker = !missing && strstr(text, "SIGKILL");
		r = wv_capability_add(caps, "breaker", names[i],
				      missing  ? WV_CAP_MISSING
				      : weaker ? WV_CAP_FALLBACK
					       : WV_CAP_OK,
				      missing ? "" : text,
				      missing  ? text
				      : weaker ? "a start cannot be denied here: it is killed"
					       : "");
	}
	return r;
}
