/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the log's engine share; see tlog.h for the files. */
#ifndef WV_EVIDENCE_TLOG_INTERNAL_H
#define WV_EVIDENCE_TLOG_INTERNAL_H

#include "user/evidence/tlog.h"

#define WV_TLOG_MODE 0640
#define WV_TLOG_LOCK_NAME "lock"
#define WV_TLOG_TIDY_NAME "tidy"
#define WV_TLOG_TREE_NAME "tree"

struct wv_tlog {
	const struct wv_io *io;
	struct wv_tlog_options o;
	char name[WV_ORIGIN_SIZE];
	char *state;
	int dirfd, lockfd, fd, hashfd; /* fd, hashfd: -1 after a failed load */

	unsigned locked; /* calls that need the lock, one in another */
	bool flocked;	 /* also without such a call, while `torn` */
	uint64_t epoch;	 /* bytes of the lock file when the files were looked at */

	struct wv_merkle tree;
	uint64_t first, len; /* open segment: its first seq; bytes of whole lines */
	uint64_t begun_ns;   /* wall time of its first record, 0: it is empty */
	bool dirty;	     /* there is something that was not synced */
	bool doubt;	     /* a sync failed: the file's pages are no longer to be trusted */
	bool dir_dirty;	     /* a name may not be durable */
	bool behind;	     /* hashes lack some */
	bool hashes_doubt;   /* a sync of theirs failed: those of the open segment are made anew */
	bool gap;	     /* lines that a checkpoint covers are missing: said once */

	/* a transaction: where it began, what is not yet written */
	bool open, torn; /* torn: bytes after begin_len must be cut first */
	uint64_t begin_len, begin_ns;
	struct wv_merkle begin_tree;
	char *buf;
	size_t used, room;
	struct wv_hash *leaves;
	size_t n_leaves, leaves_room;

	uint64_t checkpoint_size, checkpoint_ns; /* newest; when it was made or seen (monotonic) */
	int told; /* last failure of rotation or checkpoint that was logged */
};

/* tlog.c */
int wv_tlog_lock(struct wv_tlog *l);
void wv_tlog_unlock(struct wv_tlog *l);
int wv_tlog_bump(struct wv_tlog *l);
int wv_tlog_cut(struct wv_tlog *l, uint64_t len);
/* With the lock: everything is on disk. */
int wv_tlog_sync(struct wv_tlog *l);

/* tlog_recover.c: with the lock */
int wv_tlog_load(struct wv_tlog *l, uint64_t *ret_cut);
int wv_tlog_catch_up(struct wv_tlog *l, uint64_t size);
void wv_tlog_close_files(struct wv_tlog *l);
int wv_tlog_heal(struct wv_tlog *l);

/* tlog_hashes.c: with the lock */
int wv_tlog_hashes_fit(struct wv_tlog *l);
int wv_tlog_hashes_sync(struct wv_tlog *l);
int wv_tlog_hashes_append(struct wv_tlog *l, const struct wv_hash *h, size_t n);
int wv_tlog_hashes_rebuild(struct wv_tlog *l, uint64_t have, uint64_t to);
int wv_tlog_hashes_add(struct wv_tlog *l, struct wv_merkle *m, uint64_t to);
void wv_tlog_tree_load(struct wv_tlog *l, uint64_t max, struct wv_merkle *ret);
int wv_tlog_tree_save(struct wv_tlog *l);

/* tlog_checkpoint.c */
int wv_tlog_checkpoint_read(struct wv_tlog *l, struct wv_checkpoint *ret);
int wv_tlog_checkpoints_repair(struct wv_tlog *l);
int wv_tlog_checkpoint_make(struct wv_tlog *l);

/* tlog_segments.c */
int wv_tlog_rotate_locked(struct wv_tlog *l);
int wv_tlog_open_segment(struct wv_tlog *l);
int wv_tlog_tidy_lock(struct wv_tlog *l, bool wait); /* fd to close, or -errno */

/* lines of a file, one after the other */
struct wv_scan {
	const struct wv_io *io;
	int fd;
	uint64_t off;  /* of the next line */
	uint64_t from; /* of buf in the file */
	char *buf;
	size_t used, pos;
	bool ended;
};
int wv_scan_init(struct wv_scan *s, const struct wv_io *io, int fd, uint64_t off);
/* 1 with a line (without newline), 0 if no whole line is left, -EFBIG for one that is too long. */
int wv_scan_next(struct wv_scan *s, const char **ret_line, size_t *ret_len);
void wv_scan_done(struct wv_scan *s);

static inline void wv_scan_donep(struct wv_scan *s)
{
	wv_scan_done(s);
}

#endif
