/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A spool: inputs -> chunks -> writer -> segments -> outputs.
 *
 * One thread takes in (sd-event), one appends and syncs, and each output has one. A chunk is a
 * frame in the making: records go from the socket straight into its buffer, and from there to the
 * file by one write. It is kept until it is durable, so that it can be written again. Outputs see
 * only what is durable: what is delivered was never lost before, and numbers are never given twice.
 */
#ifndef WV_SPOOL_SPOOL_H
#define WV_SPOOL_SPOOL_H

#include <pthread.h>
#include <stdbool.h>

#include "user/core/config.h"
#include "user/spool/config.h"
#include "user/spool/store.h"

struct wv_worker_context; /* user/agent/core.h */
struct wv_paths;

/* Whether the configuration asks for this worker. */
bool wv_spool_wanted(const struct wv_config *config);
/* The worker: runs all spools until told to stop; returns its exit status. */
int wv_spool_run(const struct wv_worker_context *ctx);

struct wv_spool_run_options {
	const struct wv_config *config;
	const struct wv_paths *paths;
	int control;	       /* socket of the supervisor, or -1 */
	const char *only;      /* name of a spool, NULL: all */
	bool drain;	       /* no inputs: deliver what is buffered, then end */
	uint64_t drain_for_ns; /* but not longer than this; 0: as long as it takes */
	bool keep_rights;      /* stay who we are */
	uint64_t *left;	       /* gets how many records outputs have not had; may be NULL */
};
/* The same in the foreground. Returns an exit code (enum wv_exit). */
int wv_spool_run_alone(const struct wv_spool_run_options *options);

/* Folder of a spool into ret. -ENAMETOOLONG. */
int wv_spool_folder(const struct wv_spool_config *c, const struct wv_paths *paths, char *ret,
		    size_t size);

/* Bytes of records that a chunk may hold. */
#define WV_CHUNK_BYTES WV_SPOOL_RECORD_MAX
/* Chunks that wait for the disk: then inputs are not read any more. */
#define WV_PENDING_MAX (24U << 20)

struct wv_chunk {
	struct wv_chunk *next;
	struct wv_frame frame;
	unsigned input; /* index in the spool */
	enum wv_spool_full when_full;
	uint64_t conn;	  /* stream: which connection, 0: gone or none */
	uint64_t mark;	  /* stream: records of the connection up to here; file: offset */
	uint64_t file[2]; /* file: device, inode */
	bool appended, dropped;
	bool unwritten;	  /* given up at the end: neither durable nor dropped */
	size_t used;	  /* bytes of records in buf */
	uint8_t *records; /* where they start in buf */
	uint8_t buf[];	  /* header, name of the input, WV_CHUNK_BYTES and 4 more */
};

struct wv_input_count {
	uint64_t records, bytes, dropped, kernel_dropped, cut, refused;
};

struct wv_output; /* output.h */

struct wv_spool {
	const struct wv_spool_config *config;
	const struct wv_spool_input_config *inputs[WV_SPOOL_INPUTS_MAX];
	const struct wv_spool_output_config *output_configs[WV_SPOOL_OUTPUTS_MAX];
	size_t n_inputs, n_outputs;
	const struct wv_io *io;
	char path[320];
	int dir, lock_fd;
	int done_fd;		     /* eventfd: chunks are durable, or there is room again */
	struct wv_spool_store store; /* the writer's */
	pthread_t writer;
	bool writer_runs, was_run;
	struct wv_output *outputs[WV_SPOOL_OUTPUTS_MAX];
	struct wv_chunk *pool; /* of the thread that takes in: empty chunks */

	pthread_mutex_t mutex; /* all below */
	pthread_cond_t work;   /* for the writer */
	pthread_cond_t news;   /* for outputs: more is durable, or stop */
	struct wv_chunk *queue, **queue_end, *done;
	uint64_t pending_bytes; /* of chunks that are not durable */
	struct wv_pos durable;
	uint64_t oldest, used;
	uint64_t gap;		 /* dropped, but not yet in the log */
	uint64_t saved_below;	 /* segments that no output needs */
	bool waits_for_room;	 /* an input was told to wait */
	bool closing;		 /* what was read is taken in any case */
	bool ending;		 /* no more chunks will come */
	bool ended;		 /* the writer has none left */
	bool stop;		 /* outputs stop at once */
	bool drain;		 /* outputs end when all is delivered ... */
	uint64_t drain_until_ns; /* ... or at this time, 0: never */
	int disk_error;		 /* last one of the writer, 0 when it works */
	uint64_t disk_told_ns;	 /* 0: no failure was told */
	uint64_t disk_errors, dropped_newest;
	struct wv_input_count in[WV_SPOOL_INPUTS_MAX];
};

/* spool.c */
int wv_spool_open(struct wv_spool *s, const struct wv_config *config,
		  const struct wv_spool_config *c, const struct wv_paths *paths,
		  const struct wv_io *io);
/* Starts writer and outputs; a drain will take no longer than this (0: as long as it takes). */
int wv_spool_start(struct wv_spool *s, uint64_t drain_for_ns);
/* No more input: outputs end when they have delivered all. True when they have, or in time could
 * not. */
bool wv_spool_drain(struct wv_spool *s);
/* Waits until the writer has nothing left. */
void wv_spool_end_writer(struct wv_spool *s);
/* The same, then ends the outputs, and frees all. Returns how many records outputs have not had. */
uint64_t wv_spool_close(struct wv_spool *s);
/* A chunk for records of an input, NULL if too much waits for the disk. */
struct wv_chunk *wv_chunk_new(struct wv_spool *s, unsigned input);
/* An empty chunk for the next one who wants one; wv_spool_shrink() frees them. */
void wv_chunk_recycle(struct wv_spool *s, struct wv_chunk *c);
void wv_spool_shrink(struct wv_spool *s);
/*
 * Hands a chunk with `used` bytes and its frame's count and type to the writer. False: there is no
 * room and it is to wait; done_fd will tell. Otherwise the chunk is no longer the caller's, also if
 * it was dropped and counted.
 */
bool wv_chunk_submit(struct wv_spool *s, struct wv_chunk *c);
/* All that became durable since; a list that the caller frees. */
struct wv_chunk *wv_spool_take_done(struct wv_spool *s);
/* Whether reading should pause. */
bool wv_spool_is_busy(struct wv_spool *s);
/* writer.c */
void *wv_spool_writer(void *spool);
/* status.c: what `spool status --json` prints, also in <folder>/status.json. Allocated. */
struct json_object *wv_spool_status(struct wv_spool *s);
int wv_spool_write_status(struct wv_spool *s);
/* Sums over spools: each adds its own. */
struct wv_spool_figures {
	uint64_t received, delivered, dead, buffered; /* records */
	uint64_t lost_input, lost_kernel, lost_buffer, lost_damaged;
	uint64_t used_bytes, max_bytes, output_errors, disk_errors;
};
void wv_spool_sum(struct wv_spool *s, struct wv_spool_figures *sum);

/* Times a condition variable is waited for: now + ns on CLOCK_MONOTONIC. */
void wv_spool_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t ns);

#endif
