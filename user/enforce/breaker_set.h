/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of module `breaker`, for user/enforce/breaker*.c only: the places as the maps have them.
 *
 * Map breaker_configs is the record of what is placed. Heads, links and counts follow from it and
 * are put right when a new agent adopts, wherever the last one died.
 */
#ifndef WV_ENFORCE_BREAKER_SET_H
#define WV_ENFORCE_BREAKER_SET_H

#include "user/enforce/breaker.h"
#include "waveos/breaker.h"

enum wv_breaker_link {
	WV_BREAKER_LINK_CONNECT4,
	WV_BREAKER_LINK_CONNECT6,
	WV_BREAKER_LINK_EGRESS,
	WV_BREAKER_LINK_INGRESS,
	WV_BREAKER_LINK_N
};

struct wv_breaker_place {
	uint32_t id;
	uint32_t breaker; /* index in the policy, or WV_NONE until it is matched */
	bool keep;	  /* while a cgroup is brought up to date: wanted */
	struct wv_breaker_config config;
	struct wv_breaker_machine kernel; /* as last read */
	struct wv_breaker_machine seen;	  /* up to here everything is recorded */
};

struct wv_breaker_set {
	const struct wv_host *host;
	const struct wv_paths *paths;
	const struct wv_bpf *bpf;
	int ctl_fd, heads_fd, configs_fd, seen_fd, binds_fd;
	int net_fd, task_fd;
	uint64_t task_flags; /* BPF_F_LOCK where the task states have a lock */
	int prog_fd[WV_BREAKER_LINK_N];
	struct wv_breaker_place *places;
	size_t n, room;
	uint32_t last_id;
};

/* breaker_places.c */

/* -ENOENT: the kernel did not take the object. Release with wv_breaker_set_done(). */
int wv_breaker_set_open(struct wv_breaker_set *s, const struct wv_bpf *bpf,
			const struct wv_paths *paths, const struct wv_host *host);
void wv_breaker_set_done(struct wv_breaker_set *s);
/* Takes over every place that a former agent left, and puts heads and counts right. */
int wv_breaker_set_adopt(struct wv_breaker_set *s);
struct wv_breaker_place *wv_breaker_set_find(struct wv_breaker_set *s, uint64_t cgroup,
					     uint32_t hook, const char *name);
struct wv_breaker_place *wv_breaker_set_by_id(struct wv_breaker_set *s, uint32_t id);
/*
 * Places a breaker at a cgroup, or brings one that is there up to date; its state stays. path: of
 * the cgroup, for network hooks. 1 if anything changed, 0 if it was so, -errno with *reason
 * filled.
 */
int wv_breaker_set_put(struct wv_breaker_set *s, const struct wv_breaker_config *config,
		       const char *path, struct wv_breaker_place **ret, char *reason, size_t size);
/* Whether a place is what is declared. */
bool wv_breaker_place_is(const struct wv_breaker_place *p, const struct wv_breaker_config *config);
/* Takes a place away; pointers to other places are void afterwards. */
void wv_breaker_set_remove(struct wv_breaker_set *s, struct wv_breaker_place *p);
/* Reads a place's state into p->kernel. */
int wv_breaker_place_read(const struct wv_breaker_set *s, struct wv_breaker_place *p);
/* Notes p->seen for the next agent. */
int wv_breaker_place_save(const struct wv_breaker_set *s, const struct wv_breaker_place *p);
/* Sets the state as it is given; for a new place and for the self-test. */
int wv_breaker_place_write(const struct wv_breaker_set *s, uint32_t id, uint32_t hook,
			   const struct wv_breaker_machine *m);
/* A number that no place has, or 0. */
uint32_t wv_breaker_set_number(struct wv_breaker_set *s);
/* Whether a program works on this very map. */
bool wv_breaker_prog_uses(int prog_fd, int map_fd);
int wv_breaker_ctl_read(const struct wv_breaker_set *s, struct wv_breaker_ctl *ret);
int wv_breaker_ctl_write(const struct wv_breaker_set *s, const struct wv_breaker_ctl *ctl);

/* breaker_check.c: rows for `doctor` */
int wv_breaker_probe(const struct wv_host *host, const struct wv_bpf *bpf,
		     struct wv_capabilities *caps);

/* breaker_gate.c */

/*
 * Decides whether gate programs or tracepoints hold starts of tasks: tries the former out on a
 * child in a cgroup made for it, unless these very programs passed before.
 */
void wv_breaker_gates_settle(struct wv_breaker_set *s);
/* What denies starts at a hook in this set: "LSM ...", "fmod_ret ...", or NULL: tracepoints kill.
 */
const char *wv_breaker_gate_name(const struct wv_bpf *bpf, uint32_t hook);

/* breaker_record.c: lines of events.jsonl */

extern const char *const wv_breaker_phase_names[WV_BREAKER_PHASE_N];

enum wv_breaker_outcome {
	WV_BREAKER_CHANGED,
	WV_BREAKER_ALREADY,
	WV_BREAKER_FAILED,
	WV_BREAKER_NOT_ENFORCED,
	WV_BREAKER_REMOVED,
};
/* Before anything is done. */
void wv_breaker_record_decision(struct wv_agent *agent, uint32_t slot, uint64_t cgroup,
				const char *name, uint32_t breaker, bool apply, bool dry_run);
void wv_breaker_record_outcome(struct wv_agent *agent, uint32_t slot, uint64_t cgroup,
			       const char *name, enum wv_breaker_outcome outcome, const char *uses,
			       const char *reason);
/* m: right after the transition. ev: MAY be NULL. missed: trips before it that no one told of. */
void wv_breaker_record_transition(struct wv_agent *agent, const struct wv_breaker_place *p,
				  const struct wv_breaker_machine *m, const struct wv_event *ev,
				  uint64_t missed);

#endif
