/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a disk may hold after a power cut: a walk along the trace of a run keeps what is durable and
 * the parts that are not, and makes an image for every choice of which parts had reached the disk.
 *
 * Parts are in lanes, and of a lane the first so many survive: a lane is a 512-byte sector of a
 * file, the size of a file, or one change of names (each of which is a lane of its own: names of
 * one folder may survive in any combination, also the later without the earlier). A sector's next
 * part may be torn at any byte.
 */
#ifndef WV_SIM_CRASH_H
#define WV_SIM_CRASH_H

#include "tests/sim/simfs.h"

#define WV_SIM_SECTOR 512

enum wv_sim_part_kind { WV_SIM_DATA, WV_SIM_SIZE, WV_SIM_NAME };

struct wv_sim_part {
	enum wv_sim_part_kind kind;
	uint32_t op; /* in the trace */
	uint32_t lane;
	uint32_t place; /* in the lane, from 0 */
	uint64_t off;	/* DATA */
	uint32_t len;
	bool refused;  /* a sync that should have written it failed */
	unsigned over; /* NAME: changes (by bit) that later ones have replaced on disk */
};

struct wv_sim_lane {
	enum wv_sim_part_kind kind;
	uint32_t ino, n; /* parts */
	uint64_t sector;
	/* the choice: parts that survive, and bytes of the next one */
	uint32_t kept, cut;
};

/* A file with parts: how far they reach, and whether this image has its own copy yet. */
struct wv_sim_reach {
	uint32_t ino;
	uint64_t end;
	bool touched;
};

struct wv_sim_disk {
	const struct wv_sim *s;
	struct wv_sim_image durable;
	struct wv_sim_part *parts;
	size_t n_parts, room_parts;
	struct wv_sim_lane *lanes;
	uint32_t n_lanes;
	size_t room_lanes;
	struct wv_sim_reach *reach;
	size_t n_reach, room_reach;
};

void wv_sim_disk_init(struct wv_sim_disk *d, const struct wv_sim *s);
void wv_sim_disk_free(struct wv_sim_disk *d);
/* Takes in the op of this index. Choices are undefined after it. */
void wv_sim_disk_step(struct wv_sim_disk *d, uint32_t op);
void wv_sim_disk_keep_none(struct wv_sim_disk *d);
/* The parts before this one, all lanes together in order of time. */
void wv_sim_disk_keep_until(struct wv_sim_disk *d, size_t part);
/* The image of the present choice. garbage: what a grown file has where its data is missing. */
void wv_sim_disk_image(struct wv_sim_disk *d, bool garbage, struct wv_sim_image *ret);
/* Whether the names of each folder survive in the order in which they changed, which is all that a
 * journalling file system would show. */
bool wv_sim_disk_names_in_order(const struct wv_sim_disk *d);
/* The trace up to an op, and of each part whether it survived. */
void wv_sim_disk_print(const struct wv_sim_disk *d, uint32_t op, FILE *f);

#endif
