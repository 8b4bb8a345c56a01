/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Heartbeats: a service touches a file at least every so often. What counts is that the file
 * changed since the last look; how long ago that was is measured by the monotonic clock, so that a
 * jump of the wall clock neither hides nor invents a miss.
 */
#ifndef WV_COLLECT_HEARTBEAT_H
#define WV_COLLECT_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

/* What a look at the file gave. */
struct wv_beat {
	bool exists;
	uint64_t inode;
	int64_t mtime_s;
	uint32_t mtime_ns;
};

struct wv_heartbeat_watch {
	bool begun;
	struct wv_beat last;
	uint64_t changed_ns; /* monotonic: when the file was last seen changed; at first: first look
			      */
	uint64_t missed;     /* periods missed since then */
};

enum wv_heartbeat_news { WV_HEARTBEAT_NONE, WV_HEARTBEAT_MISSED, WV_HEARTBEAT_BACK };

/* One look. missed: periods that were missed since the look before; silent_ns: since the last
 * change. */
struct wv_heartbeat_result {
	enum wv_heartbeat_news
		news; /* MISSED at the first miss only, BACK at the first beat after */
	uint64_t missed;
	uint64_t missed_in_a_row; /* with BACK: how many it had missed */
	uint64_t silent_ns;
};

/* Looks at a file. Whatever keeps it from being seen is "does not exist". */
struct wv_beat wv_heartbeat_look(const char *file);
/* Judges a look at time now_ns. Pure. A file that vanishes is no beat. */
struct wv_heartbeat_result wv_heartbeat_observe(struct wv_heartbeat_watch *w, struct wv_beat beat,
						uint64_t every_ns, uint64_t now_ns);

#endif
