/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device's log: one append-only Merkle log in <state>/log. A record is a line of canonical
 * JSON; its leaf is the line without the newline; its seq is its place, from 1, so that leaf seq -
 * 1 is it.
 *
 *   events.jsonl            the open segment
 *   <first seq, 20 digits>.jsonl, .jsonl.zst   closed segments
 *   hashes                  leaf hashes, 32 bytes each, of all records ever, retired ones included
 *   checkpoint              the newest signed note; checkpoints: all of them, an empty line between
 *   lock                    flock'ed by whoever appends
 *
 * Several processes may append: each call takes the lock, takes in what others added, and goes on
 * after it. What wv_tlog_commit() acknowledged survives power loss; recovery is the only way to
 * open it: a torn last line is cut off, and hashes are completed from the lines.
 */
#ifndef WV_EVIDENCE_TLOG_H
#define WV_EVIDENCE_TLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "user/core/io.h"
#include "user/evidence/note.h"

#define WV_RECORD_MAX (64U << 10) /* bytes of a line, newline included */

struct wv_tlog;

struct wv_tlog_options {
	const struct wv_secret_key *key;    /* kept by the caller; NULL: no checkpoints are made */
	const char *name;		    /* of the key, and origin of the log */
	uint64_t segment_bytes, segment_ns; /* a segment is closed over these; 0: never */
	uint64_t checkpoint_records, checkpoint_ns; /* at most so far apart; 0: only when asked */
	int compress_level;			    /* zstd of closed segments; 0: not compressed */
};

/* Opens <state>/log, made if need be. *ret_cut (MAY be NULL): bytes of a torn line that were cut
 * off. -EBADMSG: what is there is no such log; nothing is changed then. */
int wv_tlog_open(struct wv_tlog **ret, const struct wv_io *io, const char *state,
		 const struct wv_tlog_options *options, uint64_t *ret_cut);
void wv_tlog_close(struct wv_tlog *l);

/* Writes the line of record `seq`, without newline, into buf of `room` bytes. Its length, or
 * -errno. */
typedef ssize_t (*wv_tlog_compose_fn)(void *ctx, uint64_t seq, char *buf, size_t room);
/* Appends a record: all of it or, on failure, nothing. Not durable before wv_tlog_commit(). */
int wv_tlog_append(struct wv_tlog *l, wv_tlog_compose_fn compose, void *ctx, uint64_t *ret_seq);
/* All that was appended is on disk; closes the segment and signs a checkpoint where they are due.
 */
int wv_tlog_commit(struct wv_tlog *l);
/* Signs a checkpoint now (after a commit). -ENOKEY without a key. */
int wv_tlog_checkpoint(struct wv_tlog *l);
/* Closes the open segment now. */
int wv_tlog_rotate(struct wv_tlog *l);

uint64_t wv_tlog_size(const struct wv_tlog *l);

/* Reading: records from seq `from` on, of all segments, compressed ones too. Does not need the
 * lock. */
struct wv_tlog_reader;
int wv_tlog_read_open(struct wv_tlog_reader **ret, const struct wv_io *io, const char *state,
		      uint64_t from);
/* 1 with a line (valid until the next call, NUL-terminated, no newline), 0 at the end, or -errno.
 */
int wv_tlog_read(struct wv_tlog_reader *r, uint64_t *ret_seq, const char **ret_line,
		 size_t *ret_len);
void wv_tlog_read_close(struct wv_tlog_reader *r);

#endif
