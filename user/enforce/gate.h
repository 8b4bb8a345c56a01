/* SPDX-License-Identifier: GPL-2.0-only */
/* Gates and caps on priority: what the rest of the agent asks. */
#ifndef WV_ENFORCE_GATE_H
#define WV_ENFORCE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wv_bpf;
struct wv_gate;
struct wv_host;
struct wv_paths;
struct wv_policy;
struct wv_priority;

/*
 * Whether this machine can hold a gate (in audit: see what it would refuse), and by what. bpf: the
 * set in use, or NULL when nothing is loaded: then what would be used. 0 with *by filled; *reason
 * is not empty where that is weaker than a refusal, and says how. -EOPNOTSUPP with *reason filled;
 * -EINVAL: an entry of its lists cannot be understood. A kind that failed its self-test in this
 * process is not held.
 */
int wv_gate_check(const struct wv_host *host, const struct wv_bpf *bpf, const struct wv_gate *g,
		  char *by, size_t by_size, char *reason, size_t size);
/*
 * The same for caps on priority. -EOPNOTSUPP for one that says `fail: closed` where the kernel does
 * not refuse: it could only be corrected afterwards.
 */
int wv_priority_check(const struct wv_host *host, const struct wv_bpf *bpf,
		      const struct wv_priority *p, char *by, size_t by_size, char *reason,
		      size_t size);

/*
 * Whether a policy is to be refused as a whole: an entry that cannot be understood, or a gate or
 * cap that says `fail: closed` and cannot be held here. 0, or what the check said with *why filled.
 */
int wv_gates_refuse(const struct wv_host *host, const struct wv_bpf *bpf, const struct wv_policy *p,
		    char *why, size_t size);

/* Whether any is pinned. */
bool wv_gates_in_force(const struct wv_paths *paths);

#endif
