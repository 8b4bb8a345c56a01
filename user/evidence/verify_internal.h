/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the verification share. Three passes, each over all CPUs: lines against the
 * stored leaf hashes (verify_lines.c), their order (verify_order.c), leaf hashes against the
 * signed roots (verify_tree.c).
 */
#ifndef WV_EVIDENCE_VERIFY_INTERNAL_H
#define WV_EVIDENCE_VERIFY_INTERNAL_H

#include <stddef.h>

#include "user/evidence/tlog.h"
#include "user/evidence/verify.h"

/* A file with lines. */
struct wv_verify_file {
	char name[WV_SEGMENT_NAME_SIZE];
	uint64_t first, last; /* seqs that it should have; last 0: the open segment */
	uint64_t size;	      /* bytes that are looked at */
	bool zst, skipped;
	size_t part, n_parts;
};

enum wv_run_kind {
	WV_RUN_GOOD, /* records first..last, next to each other, as their leaf hashes say */
	WV_RUN_NEW,  /* one that says to be a record that has no leaf hash yet */
	WV_RUN_BAD,  /* one that is no record of the log: `first` is what it says to be */
};
struct wv_run {
	enum wv_run_kind kind;
	uint64_t first, last;
	struct wv_hash leaf; /* not of good ones */
};

struct wv_range {
	uint64_t first, last;
};
struct wv_ranges {
	struct wv_range *list;
	size_t n, room;
};
int wv_ranges_add(struct wv_ranges *r, uint64_t first, uint64_t last);
/* Takes first..last out of the ranges; how many numbers were in. */
uint64_t wv_ranges_take(struct wv_ranges *r, uint64_t first, uint64_t last);

/* A piece of a file that one thread reads. */
struct wv_part {
	const struct wv_verify_file *file;
	uint64_t off, end;
	struct wv_run *runs;
	size_t n_runs, room;
	struct wv_ranges odd;	  /* records that were logged in another form, or another's seq */
	struct wv_ranges retired; /* that records here say were deleted */
	uint64_t records, bytes;
	bool torn;
	int error;
};

/* A signed statement of the log's state. */
struct wv_state_claim {
	struct wv_checkpoint c;
	uint64_t signed_by; /* bits of keys; 0: by nobody */
	uint64_t cosigned_s;
	const char *note;
	size_t len;
	const char *file;
	bool fits, checked;
	struct wv_hash local; /* of its leaves in the last block */
	int error;
};

struct wv_verify {
	const struct wv_verify_options *o;
	struct wv_verify_report *report;
	int dirfd;
	unsigned threads;

	struct wv_hash *leaves;
	uint64_t n_leaves; /* stored ones, and later those of new records too */
	uint64_t stored;
	size_t room;

	struct wv_verify_file *files;
	size_t n_files;
	struct wv_part *parts;
	size_t n_parts;

	char *notes[3];		       /* texts that claims point into */
	struct wv_state_claim *claims; /* by size */
	size_t n_claims;

	/* lines that took the place of a record: the leaf hash may be what is wrong */
	struct wv_run *replaced;
	size_t n_replaced, replaced_room;

	struct wv_hash *blocks; /* roots, for the time of one pass */
	int error;
};

/* Calls fn(v, i) for i in 0..n-1, from several threads. The first -errno of any, or 0. */
int wv_verify_parallel(struct wv_verify *v, size_t n, int (*fn)(struct wv_verify *v, size_t i));
/* Adds a finding; the text is for people. */
void wv_verify_found(struct wv_verify *v, enum wv_finding_kind kind, uint64_t first, uint64_t last,
		     const char *format, ...) _printf_(5, 6);
/* A place behind the last one in a list that doubles. NULL: out of memory. */
void *wv_grow(void *list, size_t *room, size_t n, size_t size);

int wv_verify_part(struct wv_verify *v, size_t i);
int wv_verify_order(struct wv_verify *v);
int wv_verify_claims(struct wv_verify *v);
int wv_verify_tree(struct wv_verify *v);

#endif
