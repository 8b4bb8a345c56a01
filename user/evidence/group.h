/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Group commit for many threads. Submitters compose their lines into the open batch; one thread
 * hashes and writes it, another syncs what was written and acknowledges it, so that hashing,
 * writing and the disk work at the same time. Memory is bounded: who submits waits for room.
 *
 * While there is anything to do the log's lock is held; it is given up when all is acknowledged,
 * and at least every WV_GROUP_HOLD_NS for a moment, for other processes.
 */
#ifndef WV_EVIDENCE_GROUP_H
#define WV_EVIDENCE_GROUP_H

#include "user/evidence/tlog.h"

#define WV_GROUP_HOLD_NS 500000000ULL

struct wv_group;

struct wv_group_options {
	size_t batch_bytes;    /* of a batch, two are held; 0: 1 MiB. At least 2 * WV_RECORD_MAX */
	size_t unsynced_bytes; /* written at most before the disk has it; 0: 8 MiB */
	/* Called in the order of the records, by one thread, for n records from `first` on, which
	 * are on disk (error 0) or not in the log at all (-errno; their seqs are given anew). MAY
	 * be NULL. It must not submit. */
	void (*acknowledged)(void *ctx, uint64_t first, uint64_t n, int error);
	void *ctx;
};

/* The log is the group's until it is closed; io as it was opened with. */
int wv_group_open(struct wv_group **ret, struct wv_tlog *l, const struct wv_group_options *options);
/*
 * Composes a record and returns: it is not yet in the log. compose is called with a lock held and
 * must not block. *ret_ticket (MAY be NULL) is for wv_group_wait(). -errno: compose's, or why the
 * log cannot be had.
 */
int wv_group_submit(struct wv_group *g, wv_tlog_compose_fn compose, void *ctx, uint64_t *ret_seq,
		    uint64_t *ret_ticket);
/* Waits until it is decided: 0 on disk, -errno not in the log. -ESTALE: long ago, and forgotten. */
int wv_group_wait(struct wv_group *g, uint64_t ticket);
/* Everything submitted is decided. 0, or the error of the last batch. */
int wv_group_flush(struct wv_group *g);
/* Flushes, too. The log is the caller's again. */
void wv_group_close(struct wv_group *g);

#endif
