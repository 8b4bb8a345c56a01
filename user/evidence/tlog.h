/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device's log: one append-only Merkle log in <state>/log. A record is a line of canonical
 * JSON; its leaf is the line without the newline; its seq is its place, from 1, so that leaf seq -
 * 1 is it.
 *
 *   events.jsonl            the open segment
 *   <first>-<last>.jsonl    closed segments, seqs of 20 digits; .jsonl.zst when compressed
 *   hashes                  leaf hashes, 32 bytes each, of all records ever, retired ones included
 *   checkpoint              the newest signed note; checkpoints: all of them, an empty line after
 *                           each
 *   tree                    roots of the subtrees of all closed segments: made anew when missing
 *   torn-<seq>              bytes that recovery cut off and that held whole lines
 *   lock                    flock'ed by whoever appends; grows by a byte whenever files change
 *                           otherwise than by appending, so that other writers look again
 *   tidy                    flock'ed by whoever compresses or retires
 *
 * Several processes may append: each call takes the lock, takes in what others added, and goes on
 * after it. What wv_tlog_commit() acknowledged survives power loss; recovery is the only way to
 * open it: a torn last line is cut off, and hashes are completed from the lines. What a checkpoint
 * covers is never cut: there the leaf hashes are what the log goes on from, so that an altered line
 * stays one that can be named.
 */
#ifndef WV_EVIDENCE_TLOG_H
#define WV_EVIDENCE_TLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "user/core/io.h"
#include "user/evidence/note.h"

#define WV_RECORD_MAX (64U << 10) /* bytes of a line, newline included */

#define WV_TLOG_FOLDER "log" /* below the state folder */
#define WV_TLOG_OPEN_NAME "events.jsonl"
#define WV_TLOG_HASHES_NAME "hashes"
#define WV_TLOG_CHECKPOINT_NAME "checkpoint"
#define WV_TLOG_CHECKPOINTS_NAME "checkpoints"

struct wv_tlog;

struct wv_tlog_options {
	const struct wv_secret_key *key;    /* kept by the caller; NULL: no checkpoints are made */
	const char *name;		    /* of the key, and origin of the log; copied */
	uint64_t segment_bytes, segment_ns; /* a segment is closed over these; 0: never */
	uint64_t checkpoint_records, checkpoint_ns; /* at most so far apart; 0: only when asked */
	int compress_level;			    /* zstd of closed segments; 0: not compressed */
	bool defer_compress; /* only wv_tlog_compress() compresses, not wv_tlog_commit() */
};

/* Opens <state>/log, made if need be. *ret_cut (MAY be NULL): bytes of a torn line that were cut
 * off. -EBADMSG: what is there is no such log; nothing is changed then. */
int wv_tlog_open(struct wv_tlog **ret, const struct wv_io *io, const char *state,
		 const struct wv_tlog_options *options, uint64_t *ret_cut);
void wv_tlog_close(struct wv_tlog *l);

/* Writes the line of record `seq`, without newline, into buf of `room` bytes. Its length, or
 * -errno (-EMSGSIZE if it does not fit). */
typedef ssize_t (*wv_tlog_compose_fn)(void *ctx, uint64_t seq, char *buf, size_t room);
/* Appends a record: all of it or, on failure, nothing. Not durable before wv_tlog_commit(). */
int wv_tlog_append(struct wv_tlog *l, wv_tlog_compose_fn compose, void *ctx, uint64_t *ret_seq);
/* All that was appended is on disk; closes the segment and signs a checkpoint where they are due
 * (that those fail is logged, and tried again by the next commit). On failure nothing since the
 * last commit is acknowledged; it is still in the log and may or may not survive. */
int wv_tlog_commit(struct wv_tlog *l);

/*
 * Several records as one: appends from begin to end are written with one write. The lock is held.
 * end: 0, or -errno with none of them in the log. durable: on disk, too, as by commit.
 */
int wv_tlog_begin(struct wv_tlog *l);
int wv_tlog_end(struct wv_tlog *l, bool durable);
void wv_tlog_abort(struct wv_tlog *l);

/* Signs a checkpoint now (after a commit, which it does itself if need be). -ENOKEY without a key;
 * 0 and nothing done if the newest one has all records. */
int wv_tlog_checkpoint(struct wv_tlog *l);
/* Closes the open segment now, unless it is empty. */
int wv_tlog_rotate(struct wv_tlog *l);
/* Compresses one closed segment that is not yet. 1: done one; 0: there was none, or another
 * process is at it. Does not hold the lock of those who append. */
int wv_tlog_compress(struct wv_tlog *l);

/* Records in the log, as far as this process has looked. */
uint64_t wv_tlog_size(const struct wv_tlog *l);
/* Size of the newest checkpoint; 0: none. */
uint64_t wv_tlog_checkpointed(const struct wv_tlog *l);
/* Size and root now, other processes' records included. */
int wv_tlog_head(struct wv_tlog *l, uint64_t *ret_size, struct wv_hash *ret_root);
/* wv_merkle_leaves_fn of an open log (ctx: struct wv_tlog *). */
int wv_tlog_leaves(void *ctx, uint64_t first, size_t n, struct wv_hash *ret);

/* Reading: records from seq `from` on, of all segments, compressed ones too; what is retired is
 * skipped. Does not need the lock. At the end it may be asked again later, for what came since. */
struct wv_tlog_reader;
int wv_tlog_read_open(struct wv_tlog_reader **ret, const struct wv_io *io, const char *state,
		      uint64_t from);
/* The same of a log's folder, such as a copy. */
int wv_tlog_read_open_folder(struct wv_tlog_reader **ret, const struct wv_io *io,
			     const char *folder, uint64_t from);
/* 1 with a line (valid until the next call, NUL-terminated, no newline), 0 at the end, or -errno.
 */
int wv_tlog_read(struct wv_tlog_reader *r, uint64_t *ret_seq, const char **ret_line,
		 size_t *ret_len);
void wv_tlog_read_close(struct wv_tlog_reader *r);

/* A closed segment. */
struct wv_segment {
	uint64_t first, last;
	uint64_t bytes;	 /* of its file */
	bool plain, zst; /* which files are there; both after a crash, then plain counts */
};
/* Closed segments below the log's folder, oldest first; to be freed. */
int wv_segments_list(const struct wv_io *io, int dirfd, struct wv_segment **ret, size_t *ret_n);
#define WV_SEGMENT_NAME_SIZE 64
const char *wv_segment_name(const struct wv_segment *s, bool zst, char buf[WV_SEGMENT_NAME_SIZE]);

/* A text (with its quotes, as it stands) or number that is a member of the record itself, not of an
 * object in it. -ENOENT if there is none. */
int wv_record_member(const char *line, size_t len, const char *name, const char **ret,
		     size_t *ret_len);
/* A whole number that is a member of the record itself (not of an object in it). -ENOENT if there
 * is none. */
int wv_record_number(const char *line, size_t len, const char *name, uint64_t *ret);

#endif
