/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Verification of a log's folder (tlog.h) by what was signed. Reads only; trusts nothing but the
 * keys that it is given.
 *
 * The signed roots vouch for the leaf hashes, and those name the record that differs. Somebody who
 * rewrote the leaf hashes too leaves a root that does not fit: then the records between the last
 * checkpoint that fits and the first that does not are named as a range, for no more can be known.
 */
#ifndef WV_EVIDENCE_VERIFY_H
#define WV_EVIDENCE_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "user/core/cleanup.h"
#include "user/evidence/note.h"

enum wv_finding_kind {
	WV_FINDING_ALTERED,    /* a record's bytes are not those that were logged */
	WV_FINDING_INSERTED,   /* a line that was never logged, in front of record `first` */
	WV_FINDING_DROPPED,    /* records that are missing between others */
	WV_FINDING_REORDERED,  /* a record that stands behind a later one */
	WV_FINDING_REPEATED,   /* a record that is there twice */
	WV_FINDING_TRUNCATED,  /* records at the end that are missing */
	WV_FINDING_BEGINNING,  /* records at the beginning that are missing, and nothing says why */
	WV_FINDING_SEGMENT,    /* the file that held these is missing, and nothing says it may */
	WV_FINDING_FORM,       /* logged so, but not in canonical form */
	WV_FINDING_UNREADABLE, /* a file that cannot be read, or is damaged */
	WV_FINDING_HASHES,     /* the stored leaf hash is wrong; the record itself is right */
	WV_FINDING_REWRITTEN,  /* records and leaf hashes: somewhere in the range */
	WV_FINDING_CHECKPOINT, /* a checkpoint that is not signed, or not of this log */
	WV_FINDING_ROLLBACK,   /* a witness saw a longer log, or another one */
	WV_FINDING_ANCHOR,     /* a quote of the TPM that does not hold, or is not of this log */
	WV_FINDING_N,
};
extern const char *const wv_finding_names[WV_FINDING_N];

/* Records first..last; 0: none in particular. */
struct wv_finding {
	enum wv_finding_kind kind;
	uint64_t first, last;
	char text[256];
};

#define WV_FINDINGS_MAX 1000

struct wv_verify_options {
	const struct wv_note_verifier *keys; /* the first is the log's, the others are witnesses' */
	unsigned n_keys;		     /* at least 1, at most 64 */
	uint64_t from;			     /* lines of records before are not read; 0: all */
	unsigned threads;		     /* 0: as there are CPUs, at most 8 */
};

struct wv_verify_report {
	uint64_t records, bytes;     /* lines that were checked */
	uint64_t first, last;	     /* seqs of the oldest and newest line that is there; 0: none */
	uint64_t retired;	     /* records whose lines the log itself says were deleted */
	uint64_t leaves;	     /* leaf hashes */
	uint64_t checkpoints;	     /* good ones, of different sizes */
	uint64_t covered;	     /* records that the newest good checkpoint vouches for */
	struct wv_hash root;	     /* of it */
	uint64_t cosigned;	     /* records that a witness vouches for */
	uint64_t cosigned_s;	     /* when it did (Unix time) */
	unsigned cosigners;	     /* how many did there */
	uint64_t anchors;	     /* good quotes of the TPM (wv_verify_anchors()) */
	uint64_t anchored;	     /* records that the newest of them vouches for */
	uint32_t anchor_resets;	     /* the TPM's count then ... */
	uint64_t anchor_clock_ms;    /* ... and its clock */
	bool torn;		     /* a line without end at the end: somebody is writing */
	struct wv_finding *findings; /* ordered by record */
	unsigned n_findings;
	uint64_t more; /* that found no place */
};

/*
 * Verifies the log in this folder. 0 if it could be done, whatever was found, else -errno (-ENOENT:
 * there is no log). Release with wv_verify_done().
 */
int wv_verify(const char *folder, const struct wv_verify_options *options,
	      struct wv_verify_report *ret);
void wv_verify_done(struct wv_verify_report *r);

/* Adds a finding that was made elsewhere. */
void wv_verify_add(struct wv_verify_report *r, enum wv_finding_kind kind, uint64_t first,
		   uint64_t last, const char *format, ...) _printf_(5, 6);

/* Notes of a file of checkpoints, one after the other: the next one's bytes from *at on; NULL at
 * the end. */
const char *wv_notes_next(const char *text, size_t len, size_t *at, size_t *ret_len);

#endif
