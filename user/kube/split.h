/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cuts the objects out of what a Kubernetes API server sends, piece by piece as it comes, so that
 * no more than one object is ever held: a list of all pods of a machine may have megabytes.
 * The objects themselves are for a JSON parser; here only strings and brackets are told apart.
 */
#ifndef WV_KUBE_SPLIT_H
#define WV_KUBE_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WV_KUBE_DEPTH_MAX 64
/* etcd holds objects of 1.5 MiB; as JSON they are somewhat larger */
#define WV_KUBE_OBJECT_MAX (4U << 20)

enum wv_kube_part {
	WV_KUBE_PART_EVENT,    /* of a watch: one after the other */
	WV_KUBE_PART_METADATA, /* of a list: the value of its key `metadata` */
	WV_KUBE_PART_ITEM,     /* of a list: a member of its `items` */
};

struct wv_kube_split {
	bool list;  /* a list, or the stream of a watch */
	size_t max; /* bytes of one object; larger ones are left out and counted */
	/* json: NUL-terminated, valid during the call. Non-zero ends the feeding. MUST */
	int (*part)(void *ctx, enum wv_kube_part part, const char *json, size_t len);
	void *ctx;
	uint64_t too_large; /* objects that were left out */
	/* private */
	uint64_t kinds; /* bit d: the bracket at depth d is [ */
	unsigned depth, kept_depth;
	bool string, escaped, keeping, skipping, ended;
	enum wv_kube_part kept;
	char key[16]; /* the last text at depth 1, cut */
	size_t key_len, len, room;
	char *bytes;
};

/* For the next answer: as new, but with its buffer. The members that are not private stay. */
void wv_kube_split_begin(struct wv_kube_split *s, bool list);
/* 0; -EBADMSG: it is no JSON of that form, nothing more is taken; -ENOMEM; or what part() said. */
int wv_kube_split_feed(struct wv_kube_split *s, const char *bytes, size_t len);
/* Whether what came ends where an object ends (a list: the list itself). */
bool wv_kube_split_whole(const struct wv_kube_split *s);
void wv_kube_split_done(struct wv_kube_split *s);

#endif
