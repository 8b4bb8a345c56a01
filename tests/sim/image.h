/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A tree of files as one value: nodes by number, shared between images and copied when they change.
 * Node 0 is the root folder. A name is one pointer per spelling (wv_sim_name), so that names are
 * compared as pointers.
 */
#ifndef WV_SIM_IMAGE_H
#define WV_SIM_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define WV_SIM_NONE UINT32_MAX
#define WV_SIM_HASH_SIZE 16

enum wv_sim_kind { WV_SIM_FILE, WV_SIM_DIR, WV_SIM_LINK };

struct wv_sim_entry {
	const char *name;
	uint32_t ino;
};

struct wv_sim_node {
	unsigned refs;
	enum wv_sim_kind kind;
	bool hashed; /* hash is that of the bytes */
	unsigned char hash[WV_SIM_HASH_SIZE];
	/* file: content; link: its text */
	size_t len, room;
	unsigned char *bytes;
	/* folder: sorted by name */
	size_t n_entries, room_entries;
	struct wv_sim_entry *entries;
};

struct wv_sim_image {
	uint32_t n, room;
	struct wv_sim_node **nodes; /* NULL: this number was never heard of here */
};

/* The one copy of this spelling, kept until the process ends. */
const char *wv_sim_name(const char *name, size_t len);

struct wv_sim_node *wv_sim_node_new(enum wv_sim_kind kind);
struct wv_sim_node *wv_sim_node_ref(struct wv_sim_node *node);
void wv_sim_node_unref(struct wv_sim_node *node);
/* Bytes for at least `len`; grows the room, not the length. */
void wv_sim_node_reserve(struct wv_sim_node *node, size_t len);

/* An image with an empty root folder. */
void wv_sim_image_init(struct wv_sim_image *im);
void wv_sim_image_copy(struct wv_sim_image *to, const struct wv_sim_image *from);
void wv_sim_image_free(struct wv_sim_image *im);
/* Puts a node (its reference goes to the image) under a number. */
void wv_sim_image_put(struct wv_sim_image *im, uint32_t ino, struct wv_sim_node *node);
/* The node for changing it: a copy if others share it. */
struct wv_sim_node *wv_sim_image_edit(struct wv_sim_image *im, uint32_t ino);
/* Sets dir/name to ino; WV_SIM_NONE removes it. */
void wv_sim_image_set(struct wv_sim_image *im, uint32_t dir, const char *name, uint32_t ino);
uint32_t wv_sim_image_get(const struct wv_sim_image *im, uint32_t dir, const char *name);
/* Of all that can be reached from the root: names, kinds, bytes. Numbers of nodes do not count. */
void wv_sim_image_hash(struct wv_sim_image *im, unsigned char ret[WV_SIM_HASH_SIZE]);
uint64_t wv_sim_image_bytes(const struct wv_sim_image *im);
void wv_sim_image_print(const struct wv_sim_image *im, FILE *f);

#endif
