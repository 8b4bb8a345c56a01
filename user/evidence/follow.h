/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Follows the device's log for a sink (alerts, OTLP): every record once, over restarts, from a
 * cursor of the sink's own in <state>/follow/<name>. What was delivered after the cursor was last
 * kept is delivered again after a crash: at least once, never lost while the log has it.
 */
#ifndef WV_EVIDENCE_FOLLOW_H
#define WV_EVIDENCE_FOLLOW_H

#include "user/core/io.h"

#define WV_FOLLOW_FOLDER "follow" /* in <state> */

struct wv_follow;

/*
 * name: of the sink, letters and dashes. first: the record that a sink without a cursor begins with
 * (1: the oldest); it has one from then on. state must outlive it; the log need not be there yet.
 */
int wv_follow_open(struct wv_follow **ret, const struct wv_io *io, const char *state,
		   const char *name, uint64_t first);
/*
 * 1 with the next record (its line is valid until the next call, NUL-terminated, no newline), 0 if
 * there is none now: ask again later; or -errno, after which it may be asked again, too.
 */
int wv_follow_next(struct wv_follow *f, uint64_t *ret_seq, const char **ret_line, size_t *ret_len);
/* Records that were retired before they could be read, since it was opened. */
uint64_t wv_follow_missed(const struct wv_follow *f);
/* The newest record that was kept as delivered; 0: none. */
uint64_t wv_follow_kept(const struct wv_follow *f);
/* All records up to seq are delivered: kept durably. Cheap to call when seq did not move. */
int wv_follow_done(struct wv_follow *f, uint64_t seq);
/* Back to the first record after the last one that was kept as delivered. */
void wv_follow_rewind(struct wv_follow *f);
void wv_follow_close(struct wv_follow *f);

#endif
