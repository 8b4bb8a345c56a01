/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of module `recover`: the part that runs chains, and the part that takes actions. */
#ifndef WV_RECOVER_RECOVERER_H
#define WV_RECOVER_RECOVERER_H

#include <json-c/json.h>
#include <systemd/sd-event.h>

#include "user/core/module.h"
#include "user/recover/recovery.h"

struct wv_recoverer {
	struct wv_agent *agent;
	struct wv_recover_state state;
	int state_error; /* 0, or why nothing is kept */
	bool dry_run;
	bool disarmed; /* as it was told last */
	bool resumed;  /* what a former agent left in flight was taken up */
	sd_event_source *timer, *inotify;
	/* for tests: takes every action in place of the real ones */
	int (*act)(const struct wv_act_request *q, const struct wv_step *step,
		   struct wv_act_result *ret);
};
extern struct wv_recoverer wv_recoverer;

/* recover.c: an event for a chain, with everything that follows */
void wv_recoverer_feed(struct wv_recoverer *x, struct wv_recovery *r, enum wv_chain_event event);
/* Time has passed: brings all chains up to it. */
void wv_recoverer_pump(struct wv_recoverer *x);
/* By name; NULL: none. */
const struct wv_domain *wv_recoverer_domain(const struct wv_recoverer *x, const char *name);
/* {cgroup, cgroup_key, domain, chain} */
struct json_object *wv_recoverer_fields(const struct wv_recovery *r);
void wv_recoverer_tell(struct wv_recoverer *x, const struct wv_recovery *r, const char *event,
		       struct json_object *more);

/* take.c: asks for a step. The intent is durable before it is taken; the outcome follows, maybe
 * later, with wv_recoverer_feed(). at: step of the chain, or WV_NONE. */
void wv_recoverer_take(struct wv_recoverer *x, struct wv_recovery *r, const struct wv_step *step,
		       uint32_t at);
/* Takes up an action that a former agent left without an outcome. */
void wv_recoverer_resume(struct wv_recoverer *x, struct wv_recovery *r);
/* Breaks off an action that takes too long. */
void wv_recoverer_check(struct wv_recoverer *x, struct wv_recovery *r, uint64_t now_ns);
/* Thaws, reconnects, lifts the throttle. */
void wv_recoverer_release(struct wv_recoverer *x, struct wv_recovery *r);
/* Tells enforcement what is throttled, before it starts. */
void wv_recoverer_throttles(struct wv_recoverer *x);

/* recover_probe.c: rows for `doctor` */
int wv_recoverer_probe(const struct wv_host *host, const struct wv_bpf *bpf,
		       struct wv_capabilities *caps);

/* request.c: requests by hand, <runtime>/requests (verb `recover`) */
void wv_recoverer_requests(struct wv_recoverer *x);
int wv_recoverer_listen(struct wv_recoverer *x);

#endif
