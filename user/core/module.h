/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A module: one capability of the agent behind a const table of functions.
 * include/waveos/modules.def registers it. A NULL slot means that it has nothing to do there.
 */
#ifndef WV_CORE_MODULE_H
#define WV_CORE_MODULE_H

#include "user/core/bpf.h"
#include "user/core/cgroup.h"
#include "user/core/config.h"
#include "user/core/host.h"
#include "user/core/io.h"
#include "user/core/paths.h"
#include "user/flow/sample.h"

struct json_object;
struct wv_policy; /* user/flow/policy.h */
struct sd_event;

enum wv_capability_state { WV_CAP_OK, WV_CAP_FALLBACK, WV_CAP_MISSING };

/* A row of `doctor`: what is measured or enforced, with what, and why not with better. */
struct wv_capability {
	const char *module;
	char name[48];
	enum wv_capability_state state;
	char uses[64];
	char reason[160]; /* "" for WV_CAP_OK */
};

struct wv_capabilities {
	struct wv_capability *list;
	size_t n;
};
/* Appends; uses and reason may be printf results made by the caller. 0 or -ENOMEM. */
int wv_capability_add(struct wv_capabilities *c, const char *module, const char *name,
		      enum wv_capability_state state, const char *uses, const char *reason);

/* What modules of the core worker share. Owned by the worker. */
struct wv_agent {
	const struct wv_host *host;
	const struct wv_config *config;
	const struct wv_policy *policy; /* in force; an empty one if none was declared */
	const struct wv_paths *paths;
	const struct wv_io *io;
	struct wv_bpf *bpf;
	struct wv_sample sample; /* being filled; complete between ticks */
	struct wv_cgroups *cgroups;
	const char *run_id;
	bool dry_run;
	bool want_tick;			  /* set by a module: the next tick should come at once */
	struct sd_event *loop;		  /* of core; NULL while only the first limits are set */
	const _Atomic uint32_t *disarmed; /* kill switch, of the snapshot: wv_recover_armed() */
	int service_events;		  /* socket of the services worker, or -1 */
	/* Writes one record to events.jsonl: type and a JSON object whose reference is taken. See
	 * docs. */
	int (*record)(struct wv_agent *agent, const char *type, struct json_object *fields);
	/* Many decisions at once: while set, `decision` records are not made durable one by one;
	 * whoever sets it calls sync before it acts on any of them. */
	bool batch;
	int (*sync)(struct wv_agent *agent);
};

struct wv_module {
	const char *name, *summary;
	bool early; /* started alone at first, so that limits hold before the observers are loaded
		     */
	/* MAY: its BPF object */
	const struct wv_object *object;
	/*
	 * MUST: appends what it can do on this machine. bpf is the set that is in use, or NULL when
	 * nothing is loaded (then say what would be used, from host alone).
	 */
	int (*probe)(const struct wv_host *host, const struct wv_bpf *bpf,
		     struct wv_capabilities *caps);
	/* MAY: in core, once, when the set is loaded and the cgroups are known. State is the
	 * module's own. */
	int (*start)(struct wv_agent *agent);
	/* MAY: every tick: stores figures of live rows in agent->sample. */
	int (*sense)(struct wv_agent *agent);
	/* MAY: every tick, after all modules sensed: decides on the whole sample and acts */
	int (*decide)(struct wv_agent *agent);
	/* MAY: an event of one of the types in `events` */
	void (*event)(struct wv_agent *agent, const struct wv_event *event);
	uint32_t events; /* bit mask of 1 << enum wv_event_type */
	/* MAY: in core, between ticks: agent->policy is another one from now on (a reload) */
	int (*policy_changed)(struct wv_agent *agent);
	/* MAY: the slot is about to be given back: forget what is kept for it */
	void (*slot_gone)(struct wv_agent *agent, uint32_t slot);
	void (*stop)(struct wv_agent *agent);
};

#define WV_MAX_MODULES 32
extern const struct wv_module *const wv_modules[];
extern const size_t wv_modules_count;
const struct wv_module *wv_module_by_name(const char *name);

#endif
