/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of module `recover`: what is going on at each cgroup, and the file that survives the
 * agent: <state>/recover/chains.json, replaced atomically through the I/O seam.
 *
 * Invariants, at every instant and after a crash at any of them:
 *  - an action is in the file (and, where the log can be written, in the log) before it is taken;
 *  - what is in the file as taken and has no outcome is asked for again with `resumed`, and then
 *    finds done what was done;
 *  - what is held (frozen, isolated, throttled) is in the file for as long as it may be in force.
 */
#ifndef WV_RECOVER_RECOVERY_H
#define WV_RECOVER_RECOVERY_H

#include "user/core/io.h"
#include "user/recover/act.h"
#include "user/recover/chain.h"

struct json_object;

#define WV_RECOVER_DIR "recover"
#define WV_RECOVER_FILE "chains.json"
#define WV_RECOVERIES_MAX 1024
#define WV_REBOOTS_MAX 2		     /* reboots ... */
#define WV_REBOOT_WINDOW_NS 3600000000000ULL /* ... in this time, by the wall clock */
#define WV_PENDING_MAX 4

enum wv_hold_kind {
	WV_HOLD_FROZEN = 1 << 0,
	WV_HOLD_ISOLATED = 1 << 1,
	WV_HOLD_THROTTLED = 1 << 2,
	WV_HOLD_MODE = 1 << 3,

};

/* An action with a durable intent and no outcome. */
struct wv_flight {
	char id[96]; /* "": none */
	struct wv_step step;
	uint32_t at; /* step of the chain; WV_NONE: a rule's own */
	uint64_t intent_boot_ns, started_mono_ns;
	bool resumed;
};

struct wv_recovery {
	uint64_t key;	/* of the cgroup as it was last seen */
	char path[256]; /* a restarted unit has another cgroup under the same path */
	char domain[WV_POLICY_NAME];
	char chain[WV_POLICY_NAME]; /* "": none runs */
	struct wv_chain_run run;
	struct wv_flight flight;
	uint32_t holds; /* enum wv_hold_kind */
	uint64_t throttle_ppm;
	char mode[WV_POLICY_NAME]; /* that the domain is held in */
	struct json_object *cause;
	/* not in the file: */
	uint32_t chain_index; /* in the policy; WV_NONE: it is not there any more */
	struct wv_actor actor;
	uint64_t actor_due_ns;
	void *source;				/* of the event loop, for actor.fd */
	struct wv_step pending[WV_PENDING_MAX]; /* of rules, behind the one in flight */
	unsigned n_pending;
};

struct wv_domain_budget {
	char domain[WV_POLICY_NAME];
	struct wv_restarts restarts;
};

struct wv_recover_state {
	const struct wv_io *io;
	int dir; /* -1: not open */
	char boot_id[40];
	struct wv_recovery **list; /* at stable addresses */
	size_t n;
	struct wv_domain_budget *budgets;
	size_t n_budgets;
	uint64_t reboots_wall_ns[WV_REBOOTS_MAX];
	uint64_t actions; /* asked for so far: makes their ids unique */
	bool dirty;
	/* what a former boot left: a reboot that was asked for, and has happened */
	char rebooted_id[96];
};

/*
 * Opens <state>/recover, making the folder, and reads the file. Of another boot only the times of
 * reboots stay. -EBADMSG: the file is there but is none of ours; nothing is changed then.
 */
int wv_recover_state_open(struct wv_recover_state *s, const struct wv_io *io, const char *state,
			  const char *boot_id);
void wv_recover_state_close(struct wv_recover_state *s);
/* Makes memory durable. */
int wv_recover_state_save(struct wv_recover_state *s);
char *wv_recover_state_print(const struct wv_recover_state *s);

/* By path and hierarchy. */
struct wv_recovery *wv_recover_find(const struct wv_recover_state *s, uint64_t key,
				    const char *path);
/* Finds or adds; NULL: no memory or too many. */
struct wv_recovery *wv_recover_add(struct wv_recover_state *s, uint64_t key, const char *path,
				   const char *domain);
/* Whether there is nothing to remember of it. */
bool wv_recovery_is_over(const struct wv_recovery *r);
/* Forgets those that are over. */
void wv_recover_sweep(struct wv_recover_state *s);
/* Restart budget of a domain, made if need be; NULL: no memory. */
struct wv_restarts *wv_recover_budget(struct wv_recover_state *s, const char *domain);
/* Notes a reboot; -EBUSY if there were too many already. */
int wv_recover_note_reboot(struct wv_recover_state *s, uint64_t wall_ns);

#endif
