/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An output: a thread that turns frames into batches, delivers each until it is acknowledged, and
 * then moves its cursor. What was delivered since the cursor was last saved is delivered again
 * after a crash (at least once, never not at all).
 */
#ifndef WV_SPOOL_OUTPUT_H
#define WV_SPOOL_OUTPUT_H

#include "user/spool/cursor.h"
#include "user/spool/encode.h"
#include "user/spool/sink.h"
#include "user/spool/spool.h"

struct wv_output {
	struct wv_spool *spool;
	const struct wv_spool_output_config *config;
	struct wv_sink sink;
	pthread_t thread;
	bool runs;
	char cursor_name[WV_SPOOL_NAME + 8], host[256];
	struct wv_reader reader;
	struct wv_encoder encoder;
	struct wv_text body;
	bool dirty;	  /* the cursor moved since it was saved */
	bool save_failed; /* and that was told */
	uint64_t saved_ns;
	unsigned failures; /* in a row */
	struct wv_spool_store dead;
	int dead_dir;

	/* under spool->mutex: for status, and for the writer which removes segments */
	struct wv_cursor cursor;
	uint64_t saved_segment;
	uint64_t errors, batches, bytes, dead_dropped;
	char last_error[200];
};

/* Loads the cursor and opens the sink. */
int wv_output_new(struct wv_output **ret, struct wv_spool *s,
		  const struct wv_spool_output_config *c);
/* All records before this one are done with. */
uint64_t wv_output_seq(const struct wv_output *o);
int wv_output_start(struct wv_output *o);
void wv_output_join(struct wv_output *o);
void wv_output_free(struct wv_output *o);

/* dead.c: puts records of a batch into the dead letters of the output. 0 or -errno. */
int wv_output_bury(struct wv_output *o, struct wv_pos from, struct wv_pos to);
void wv_output_dead_close(struct wv_output *o);

#endif
