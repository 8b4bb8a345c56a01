/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is known of the bundles of a machine: per (kind, name) a slot with the bundles seen there
 * and the state of each. States change by one table, actions[state][event]; each change is a record
 * of the log, and what is known is the fold of these records. Pure.
 *
 * Invariants, whatever records come: in a slot at most one bundle is in trial or failed and at most
 * one is confirmed; the last known good (wv_bundle_good) is never collected; `highest` never falls.
 */
#ifndef WV_BUNDLE_STATE_H
#define WV_BUNDLE_STATE_H

#include <json-c/json.h>

#include "user/bundle/manifest.h"

/* Row: (id, name in records). */
#define WV_BUNDLE_STATES(X)                                                                        \
	X(ABSENT, "absent")	      /* not here (any more) */                                    \
	X(STAGED, "staged")	      /* whole on disk, not used */                                \
	X(TRIAL, "trial")	      /* used, and watched */                                      \
	X(CONFIRMED, "confirmed")     /* the last known good; used unless there is a trial */      \
	X(FAILED, "failed")	      /* still used, to be rolled back at once */                  \
	X(ROLLED_BACK, "rolled-back") /* was used, and is not any more */                          \
	X(SUPERSEDED, "superseded")   /* was confirmed before the present one */

/* What happens to a bundle. */
#define WV_BUNDLE_EVENTS(X)                                                                        \
	X(STAGED)      /* is whole under its name */                                               \
	X(ACTIVATED)   /* the switch was made */                                                   \
	X(BOOTED)      /* the agent starts while it is in trial */                                 \
	X(CONFIRMED)   /* by its health rules or by hand */                                        \
	X(FAILED)      /* health, crash, boot loop, timeout, damage, or by hand */                 \
	X(ROLLED_BACK) /* the switch away from it was made */                                      \
	X(RESTORED)    /* that switch led to it */                                                 \
	X(SUPERSEDED)  /* another one of its slot was confirmed */                                 \
	X(DAMAGED)     /* it is not used now, and its files are not what they were */              \
	X(COLLECTED)   /* removed */

enum wv_bundle_state {
#define X(id, name) WV_BUNDLE_##id,
	WV_BUNDLE_STATES(X)
#undef X
		WV_BUNDLE_STATE_N
};
enum wv_bundle_event {
#define X(id) WV_BUNDLE_EV_##id,
	WV_BUNDLE_EVENTS(X)
#undef X
		WV_BUNDLE_EVENT_N
};
extern const char *const wv_bundle_state_names[WV_BUNDLE_STATE_N];
/* The table. -1: the event cannot be in that state, and a record of it changes nothing. */
int wv_bundle_next(enum wv_bundle_state state, enum wv_bundle_event event);

/* What is done, as records name it. Row: (id, name). */
#define WV_BUNDLE_DEEDS(X)                                                                         \
	X(NONE, "none")                                                                            \
	X(STAGE, "stage")                                                                          \
	X(ACTIVATE, "activate")                                                                    \
	X(BOOT, "boot")                                                                            \
	X(CONFIRM, "confirm")                                                                      \
	X(FAIL, "fail") /* and the intent of the rollback that follows */                          \
	X(ROLLBACK, "rollback")                                                                    \
	X(DAMAGE, "damage")                                                                        \
	X(COLLECT, "collect")                                                                      \
	X(HOOKS, "hooks")                                                                          \
	X(PIN, "pin")                                                                              \
	X(UNPIN, "unpin")
enum wv_bundle_deed_id {
#define X(id, name) WV_DEED_##id,
	WV_BUNDLE_DEEDS(X)
#undef X
		WV_DEED_N
};
extern const char *const wv_bundle_deed_names[WV_DEED_N];

enum wv_bundle_phase { WV_PHASE_INTENT, WV_PHASE_DONE, WV_PHASE_FAILED };

/* One record: type bundle-intent or bundle-outcome. */
struct wv_bundle_record {
	enum wv_bundle_deed_id deed;
	enum wv_bundle_phase phase;
	enum wv_bundle_kind kind;
	char name[WV_BUNDLE_NAME_SIZE], id[WV_SHA256_HEX], version[32];
	uint64_t counter;
	char target[WV_SHA256_HEX];   /* ROLLBACK: to what; "" nothing */
	char run[64];		      /* BOOT: start of the agent that is counted */
	enum wv_bundle_moment moment; /* HOOKS */
	char cause[200];	      /* for people */
	int error;		      /* positive errno, 0 none */
	uint64_t seq, wall_ns;	      /* where and when it stands in the log */
};

struct wv_bundle_entry {
	char id[WV_SHA256_HEX], version[32];
	enum wv_bundle_state state;
	uint64_t counter, since_wall_ns; /* since: in this state, for people */
	uint64_t confirmed_seq;		 /* record that confirmed or restored it; 0 never */
	bool pinned;
	char cause[200]; /* of the last failure */
};

struct wv_bundle_slot {
	enum wv_bundle_kind kind;
	char name[WV_BUNDLE_NAME_SIZE];
	uint64_t highest; /* counter ever staged here */
	struct wv_bundle_entry *entries;
	unsigned n;
	uint32_t boots; /* starts of the agent in this trial */
	char run[64];	/* the last one that was counted */
	/* a deed whose intent is recorded and whose outcome is not */
	enum wv_bundle_deed_id pending;
	char pending_id[WV_SHA256_HEX];
	/* hooks that are still to be run: of which bundle, "" none; by moment */
	char hooks[3][WV_SHA256_HEX];
};

#define WV_BUNDLE_SLOTS_MAX 64
#define WV_BUNDLE_ENTRIES_MAX 32 /* of a slot */

struct wv_bundle_states {
	struct wv_bundle_slot *slots;
	unsigned n;
	uint64_t seq;	       /* folded up to this record, included */
	uint64_t refused;      /* records that the table does not allow */
	uint64_t snapshot_seq; /* newest bundle-state record; 0 none */
};

void wv_bundle_states_done(struct wv_bundle_states *s);
/* Folds one record. 0, -EINVAL: the table refuses it (counted, nothing else changed), -ENOMEM,
 * -ENOSPC: too many slots or bundles. */
int wv_bundle_apply(struct wv_bundle_states *s, const struct wv_bundle_record *r);
/* Whether wv_bundle_apply() would take it. */
int wv_bundle_may(const struct wv_bundle_states *s, const struct wv_bundle_record *r);

struct wv_bundle_slot *wv_bundle_slot(const struct wv_bundle_states *s, enum wv_bundle_kind kind,
				      const char *name);
struct wv_bundle_entry *wv_bundle_entry(const struct wv_bundle_slot *slot, const char *id);
/* First entry in a state, or NULL. */
struct wv_bundle_entry *wv_bundle_in(const struct wv_bundle_slot *slot, enum wv_bundle_state state);
/* What is to be used: trial or failed, else confirmed; NULL: nothing. */
struct wv_bundle_entry *wv_bundle_active(const struct wv_bundle_slot *slot);
/* The last known good beside the one that is in use: where a rollback leads. NULL: nowhere. */
struct wv_bundle_entry *wv_bundle_good(const struct wv_bundle_slot *slot);
/* Whether gc keeps it. */
bool wv_bundle_kept(const struct wv_bundle_slot *slot, const struct wv_bundle_entry *e);

/* state_text.c: as records and as the file that caches the fold. ----------------------------------
 */

#define WV_BUNDLE_INTENT "bundle-intent"
#define WV_BUNDLE_OUTCOME "bundle-outcome"
#define WV_BUNDLE_STATE "bundle-state"

const char *wv_bundle_record_type(const struct wv_bundle_record *r);
/* Fields of a record; NULL: out of memory. */
struct json_object *wv_bundle_record_fields(const struct wv_bundle_record *r);
/* From a line of the log: 1 a record of bundles, 2 a bundle-state, 0 of another type, -EBADMSG. */
int wv_bundle_record_parse(const char *line, struct wv_bundle_record *ret,
			   struct wv_bundle_states *ret_snapshot);
/* All that is known; folded back by wv_bundle_states_parse(). */
struct json_object *wv_bundle_states_fields(const struct wv_bundle_states *s);
int wv_bundle_states_parse(struct json_object *o, struct wv_bundle_states *ret);

#endif
