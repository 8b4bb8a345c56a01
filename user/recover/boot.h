/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Why the agent starts: what ended the one before it, or the machine under it. Gathered once by the
 * supervisor before it does anything else, told by core as one `boot` record.
 */
#ifndef WV_RECOVER_BOOT_H
#define WV_RECOVER_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "user/core/io.h"
#include "user/core/paths.h"

struct json_object;

/* Row: (id, text) */
#define WV_BOOT_REASONS(X)                                                                         \
	X(FIRST, "first start")                                                                    \
	X(ORDERLY, "orderly")                                                                      \
	X(AGENT_CRASH, "agent crash")                                                              \
	X(PANIC, "panic")                                                                          \
	X(OOPS, "oops")                                                                            \
	X(WATCHDOG, "watchdog")                                                                    \
	X(POWER_ON, "power-on or unknown")
enum wv_boot_reason {
#define X(id, text) WV_BOOT_##id,
	WV_BOOT_REASONS(X)
#undef X
		WV_BOOT_N
};
extern const char *const wv_boot_reason_names[WV_BOOT_N];

enum wv_last_run { WV_LAST_RUN_NONE, WV_LAST_RUN_CLOSED, WV_LAST_RUN_OPEN };

/* What speaks for one reason or another. */
struct wv_boot_evidence {
	bool same_boot;	     /* the last run was of this boot */
	bool marker;	     /* <state>/orderly is there ... */
	char marker_why[16]; /* ... "stop" or "reboot" */
	char marker_id[96];  /* action that asked for the reboot, "" if none */
	enum wv_last_run last_run;
	char last_run_id[64], last_boot_id[40];
	char last_record[48];		/* type of its last record */
	uint64_t last_wall_ns;		/* time of its last record */
	uint32_t watchdog_flags;	/* WDIOF_* of all watchdogs, as they were at this boot */
	char watchdog[64];		/* which one has flags, or the first */
	bool pstore_panic, pstore_oops; /* in a file that was not there before */
	unsigned pstore_files;		/* new ones */
	char pstore_first[64];		/* name of the first new one */
	char pstore_line[160];		/* what it says first */
};

/* Pure: the reason that the evidence is strongest for. */
enum wv_boot_reason wv_boot_classify(const struct wv_boot_evidence *e);

/* Where the evidence lies; tests have their own places. */
struct wv_boot_places {
	const char *state;	    /* folder of the agent */
	const char *pstore;	    /* /sys/fs/pstore */
	const char *watchdog_class; /* /sys/class/watchdog */
	const char *boot_id;
	const char *own_run; /* may be there already; NULL: it is not */
};
/* Reads all of it; what cannot be read is no evidence. Remembers the pstore files that it saw. */
void wv_boot_gather(const struct wv_io *io, const struct wv_boot_places *places,
		    struct wv_boot_evidence *ret);
struct json_object *wv_boot_json(const struct wv_boot_evidence *e, enum wv_boot_reason reason);

/* <state>/orderly: the machine, or the agent, is about to end on purpose. */
int wv_marker_write(const struct wv_io *io, const char *state, const char *boot_id, const char *why,
		    const char *id);
void wv_marker_remove(const struct wv_io *io, const char *state);

#endif
