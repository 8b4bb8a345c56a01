/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * samples.wvs: what rules were evaluated on, every tick, so that a run can be replayed against any
 * policy. Docs: docs/artifacts.md.
 *
 * A text header names the signals and histograms, so that another version of the agent can read it.
 * Then one zlib stream, flushed after each frame: a file whose end is torn gives everything up to
 * the last whole frame. Frames hold differences to the one before; each segment starts anew.
 */
#ifndef WV_EVIDENCE_SAMPLES_H
#define WV_EVIDENCE_SAMPLES_H

#include <stdbool.h>

#include "user/core/io.h"
#include "user/flow/sample.h"

#define WV_SAMPLES_NAME "samples.wvs"
#define WV_SAMPLES_TEMPORARY ".samples.wvs.tmp"

/* What stands between two ticks. */
enum wv_samples_mark {
	WV_SAMPLES_POLICY = 'P',  /* another policy from here on; text: its digest */
	WV_SAMPLES_RESTART = 'R', /* core started: evaluators know nothing of before */
};

struct wv_samples_writer;
/*
 * Starts the temporary of a segment for at most max_rows rows; one that a core left that died
 * becomes a segment as it is. *ret is to be released with wv_samples_close(). 0 or -errno.
 */
int wv_samples_open(struct wv_samples_writer **ret, const struct wv_io *io, int dirfd,
		    uint32_t max_rows, unsigned keep);
/*
 * Appends a tick, or a mark. After a failure the segment takes no more (what is in it stays
 * readable) until the next rotation. 0 or -errno.
 */
int wv_samples_tick(struct wv_samples_writer *w, const struct wv_sample *s);
int wv_samples_mark(struct wv_samples_writer *w, enum wv_samples_mark mark, const char *text);
/* Completes the segment (fsync, rename) and starts the next one unless final. */
int wv_samples_rotate(struct wv_samples_writer *w, bool final);
void wv_samples_close(struct wv_samples_writer *w);

/* Reader ----------------------------------------------------------------------------------------
 */

struct wv_samples_reader;
/* Reads all segments of a run in order; max_rows: slots that there may be. -ENOENT: the run has
 * none; -EBADMSG: not such a file. */
int wv_samples_read_open(struct wv_samples_reader **ret, int dirfd, uint32_t max_rows);
/* The next frame: 'T' and *ret_sample (valid until the next call), a mark with *ret_text, 0 at the
 * end, or -EBADMSG. */
int wv_samples_read(struct wv_samples_reader *r, const struct wv_sample **ret_sample,
		    const char **ret_text);
void wv_samples_read_close(struct wv_samples_reader *r);

#endif
