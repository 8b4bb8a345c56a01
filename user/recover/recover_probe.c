// SPDX-License-Identifier: GPL-2.0-only
/* What recovery can do on this machine, for `doctor`. */
#include <unistd.h>

#include "user/recover/recoverer.h"

int wv_recoverer_probe(const struct wv_host *host, const struct wv_bpf *bpf,
		       struct wv_capabilities *caps)
{
	bool isolate = host->cgroup2[0] && (!bpf || wv_bpf_has(bpf, "isolate"));
	bool systemd = access("/run/systemd/system", F_OK) == 0;
	bool kill = host->cgroup2[0];
	int r;

	r = wv_capability_add(caps, "recover", "kill", kill ? WV_CAP_OK : WV_CAP_FALLBACK,
			      kill ? "cgroup.kill where it exists, and signals"
				   : "a signal to each process",
			      kill ? "" : "no cgroup v2 hierarchy is mounted");
	if (r == 0)
		r = wv_capability_add(caps, "recover", "restart units",
				      systemd ? WV_CAP_OK : WV_CAP_FALLBACK,
				      systemd ? "systemd" : "the agent's own supervisor",
				      systemd ? "" : "systemd is not PID 1 here");
	if (r == 0)
		r = wv_capability_add(caps, "recover", "isolate network",
				      isolate ? WV_CAP_OK : WV_CAP_MISSING,
				      isolate ? "cgroup_skb programs" : "",
				      isolate		 ? ""
				      : host->cgroup2[0] ? wv_bpf_reason(bpf, "isolate")
							 : "no cgroup v2 hierarchy is mounted");
	return r;
}
