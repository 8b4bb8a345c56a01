/* SPDX-License-Identifier: GPL-2.0-only */
/* From the lists of a gate to entries of the kernel's maps (include/waveos/gate.h). */
#ifndef WV_ENFORCE_GATE_COMPILE_H
#define WV_ENFORCE_GATE_COMPILE_H

#include <stddef.h>
#include <stdint.h>

#include "user/flow/policy.h"
#include "waveos/gate.h"

/* Entries that one gate's lists may become. */
#define WV_GATE_MAX_ENTRIES 2048

struct wv_gate_address {
	struct wv_gate_address_key key;
	uint32_t value;
};

struct wv_gate_text {
	struct wv_gate_text_key key;
	uint32_t value;
};

struct wv_gate_device {
	struct wv_gate_device_key key;
	uint32_t value;
};

/* A program that is listed by its whole path: its file is looked up again and again. */
struct wv_gate_program {
	char *path;
	uint32_t value;
};

/* `list` is 0 in all keys: whoever installs them gives the number. */
struct wv_gate_entries {
	uint8_t digest[32]; /* of kind and entries */
	uint32_t flags;	    /* enum wv_gate_flags */
	struct wv_gate_address *addresses;
	size_t n_addresses;
	struct wv_gate_text *texts;
	size_t n_texts;
	struct wv_gate_device *devices;
	size_t n_devices;
	struct wv_gate_program *programs;
	size_t n_programs;
};

/*
 * resolve: MAY: what a path leads to when links are followed (malloc'ed), or NULL; it is listed in
 * addition. Returns 0, -EINVAL with *why filled (the entry and what is wrong with it), -E2BIG,
 * -ENOMEM. Pure but for resolve.
 */
int wv_gate_compile(const struct wv_gate *g, char *(*resolve)(const char *path),
		    struct wv_gate_entries *ret, char *why, size_t size);
void wv_gate_entries_done(struct wv_gate_entries *e);

#endif
