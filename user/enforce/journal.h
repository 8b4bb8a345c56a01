/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The journal of changed cgroup files: <state>/enforce/journal.json, replaced atomically.
 *
 * Invariants, at every instant and after a crash at any of them:
 *  - a file's value before our first change is durable before that change is made;
 *  - a file is put back only if it still shows what we wrote, else it is left and reported;
 *  - a change whose outcome is unknown (`want` set) is resolved by reading the file.
 */
#ifndef WV_ENFORCE_JOURNAL_H
#define WV_ENFORCE_JOURNAL_H

#include <stdio.h>

#include "user/enforce/cgroupfs.h"

#define WV_JOURNAL_DIR "enforce"
#define WV_JOURNAL_FILE "journal.json"

/* A file that we changed or are about to change. */
struct wv_journal_entry {
	uint64_t key;	 /* cgroup */
	uint64_t folder; /* inode of the file's folder, in its own hierarchy */
	enum wv_item item;
	enum wv_cgfile_form form;
	char path[WV_CGFILE_PATH];
	char device[24];
	char old[WV_CGFILE_VALUE];  /* before our first change */
	char ours[WV_CGFILE_VALUE]; /* what we wrote last and saw there; "" if nothing yet */
	char want[WV_CGFILE_VALUE]; /* intent without an outcome; "" if none */
};

/*
 * A budget that is in force. A new agent does not forget that a condition held; one of the same run
 * does not decide again what was decided without a condition.
 */
struct wv_journal_force {
	char budget[64];
	uint64_t key;
};

struct wv_journal {
	const struct wv_io *io;
	int dir;
	char boot_id[40];
	char run_id[64]; /* that wrote it last; "" for a new journal */
	struct wv_journal_entry *entries;
	size_t n_entries, room_entries;
	struct wv_journal_force *force;
	size_t n_force, room_force;
	bool dirty; /* memory is ahead of the file */
};

/*
 * Opens the journal below the state folder, making the folder (not the file). Entries of another
 * boot are dropped: cgroups do not survive one. Intents without outcome are resolved. -EBADMSG: the
 * file is there but is no journal; nothing is changed then. Release with wv_journal_close().
 */
int wv_journal_open(struct wv_journal *j, const struct wv_io *io, const char *state,
		    const char *boot_id);
void wv_journal_close(struct wv_journal *j);
/* Makes memory durable. */
int wv_journal_save(struct wv_journal *j);

enum wv_outcome {
	WV_OUTCOME_CHANGED,	 /* written, and read back */
	WV_OUTCOME_ALREADY,	 /* it was so */
	WV_OUTCOME_RESTORED,	 /* the old value is back */
	WV_OUTCOME_NOT_OURS,	 /* someone else changed it since: left alone */
	WV_OUTCOME_GONE,	 /* the cgroup is gone */
	WV_OUTCOME_FAILED,	 /* see error; what was there is still there */
	WV_OUTCOME_NOT_ENFORCED, /* this machine has no such limit */
};
extern const char *const wv_outcome_names[];

/* What came of one file. */
struct wv_file_result {
	enum wv_outcome outcome;
	int error;		      /* negative errno of WV_OUTCOME_FAILED */
	char before[WV_CGFILE_VALUE]; /* "" if unknown */
	char after[WV_CGFILE_VALUE];
};

/*
 * Brings files to their values: reads, and where something differs, makes the intents durable (one
 * save for all), writes, reads back, makes the outcomes durable. Files with a reason come out as
 * NOT_ENFORCED. Returns 0 or the error that kept the intents from becoming durable (then nothing
 * was written).
 */
int wv_journal_apply(struct wv_journal *j, const struct wv_cgfile *files, size_t n,
		     struct wv_file_result *results);
/* Puts one entry's file back. The entry is removed unless the outcome is FAILED. Not saved. */
void wv_journal_revert(struct wv_journal *j, size_t entry, struct wv_file_result *ret);
/* Index of the entry of a file, or -1. */
long wv_journal_find(const struct wv_journal *j, const char *path, const char *device);

/* Notes or forgets that a budget is in force. Not saved. 0 or -ENOMEM. */
int wv_journal_set_force(struct wv_journal *j, const char *budget, uint64_t key, bool in_force);

/* journal_file.c: the file's text */
char *wv_journal_print(const struct wv_journal *j);
int wv_journal_parse(struct wv_journal *j, const char *text);
/* Adds an empty entry; NULL: out of memory. */
struct wv_journal_entry *wv_journal_add(struct wv_journal *j);

#endif
