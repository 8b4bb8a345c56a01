// SPDX-License-Identifier: GPL-2.0-only
#include "user/collect/heartbeat.h"

#include <sys/stat.h>

struct wv_beat wv_heartbeat_look(const char *file)
{
	struct stat st;

	if (stat(file, &st) < 0)
		return (struct wv_beat){0};
	return (struct wv_beat){
		.exists = true,
		.inode = st.st_ino,
		.mtime_s = st.st_mtim.tv_sec,
		.mtime_ns = (uint32_t)st.st_mtim.tv_nsec,
	};
}

static bool beat_differs(const struct wv_beat *a, const struct wv_beat *b)
{
	return a->inode != b->inode || a->mtime_s != b->mtime_s || a->mtime_ns != b->mtime_ns;
}

struct wv_heartbeat_result wv_heartbeat_observe(struct wv_heartbeat_watch *w, struct wv_beat beat,
						uint64_t every_ns, uint64_t now_ns)
{
	struct wv_heartbeat_result r = {0};
	uint64_t periods;

	if (!w->begun) {
		*w = (struct wv_heartbeat_watch){.begun = true, .last = beat, .changed_ns = now_ns};
		return r;
	}
	r.silent_ns = now_ns > w->changed_ns ? now_ns - w->changed_ns : 0;
	if (beat.exists && beat_differs(&w->last, &beat)) {
		/* it came at some time since the look before, when it was not overdue or was
		 * counted */
		r.missed_in_a_row = w->missed;
		r.news = w->missed ? WV_HEARTBEAT_BACK : WV_HEARTBEAT_NONE;
		*w = (struct wv_heartbeat_watch){
			.begun = true,
			.last = beat,
			.changed_ns = now_ns,
		};
		return r;
	}
	periods = every_ns && r.silent_ns > every_ns ? (r.silent_ns - 1) / every_ns : 0;
	if (periods > w->missed) {
		r.missed = periods - w->missed;
		r.news = w->missed ? WV_HEARTBEAT_NONE : WV_HEARTBEAT_MISSED;
		w->missed = periods;
	}
	return r;
}
