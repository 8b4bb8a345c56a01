/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which records were retired, as a fold over the log's records of it. Neighbouring ranges are one,
 * with the roots of the complete subtrees (RFC 6962) that make it up: those of a union follow from
 * those of its parts, so that no leaf has to be read.
 */
#ifndef WV_EVIDENCE_TOLD_H
#define WV_EVIDENCE_TOLD_H

#include <json-c/json.h>

#include "user/evidence/merkle.h"

#define WV_SUBTREES_MAX 128 /* of a range of 64-bit numbers */

struct wv_told {
	uint64_t first, last; /* seqs */
	uint64_t seq;	      /* of the oldest record that is needed to tell of the whole range */
	struct wv_hash *roots;
	size_t n_roots; /* 0: not known */
};
struct wv_told_list {
	struct wv_told *list;
	size_t n;
};

/* Size of the complete subtree that begins at leaf `at` and ends at `end` or before; at < end. */
uint64_t wv_subtree(uint64_t at, uint64_t end);

/* Takes in what a record says, or an entry of wv_told_json() with its `seq`. Ranges that it covers
 * are told by it from here on. A record without a sensible range counts as none. 0 or -ENOMEM. */
int wv_told_add(struct wv_told_list *l, struct json_object *o);
/* Members first, last, roots. */
struct json_object *wv_told_json(const struct wv_told *t);
void wv_told_done(struct wv_told_list *l);

/* Adds a root to a list, in hex. */
void wv_told_add_root(struct json_object *list, const struct wv_hash *h);

#endif
