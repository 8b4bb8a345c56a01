/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Planted bugs: what a run would have done if its code had one. The trace is changed, not the code
 * (NO_TRUNCATE: the call), so that each is tried on every scenario and on recovery, too.
 */
#ifndef WV_SIM_PLANT_H
#define WV_SIM_PLANT_H

#include "tests/sim/simfs.h"

/* Row: (id, name, what) */
#define WV_SIM_PLANTS(X)                                                                           \
	X(NONE, "none", "nothing")                                                                 \
	X(NO_FILE_SYNC, "no-file-sync", "fsync of files is left out")                              \
	X(NO_DIR_SYNC, "no-dir-sync", "fsync of folders is left out")                              \
	X(EARLY_RENAME, "early-rename", "rename comes before what is written to the file")         \
	X(EARLY_ACK, "early-ack", "a promise is made before the fsync that it waits for")          \
	X(NO_TRUNCATE, "no-truncate", "ftruncate says that it worked, and does nothing")           \
	X(ONE_SYNC, "one-sync", "the n-th fsync of the run is left out")

enum wv_sim_plant_kind {
#define X(id, name, what) WV_SIM_PLANT_##id,
	WV_SIM_PLANTS(X)
#undef X
		WV_SIM_PLANT_N
};
#define WV_SIM_FINDS(id) (1U << WV_SIM_PLANT_##id)
extern const char *const wv_sim_plant_names[WV_SIM_PLANT_N];

struct wv_sim_plant {
	enum wv_sim_plant_kind kind;
	unsigned nth; /* ONE_SYNC: from 1, syncs of the run, not of recoveries */
};

/* Changes the trace of a run, or (nested) of a recovery. */
void wv_sim_plant(struct wv_sim *s, const struct wv_sim_plant *plant, bool nested);
unsigned wv_sim_syncs(const struct wv_sim *s);

#endif
