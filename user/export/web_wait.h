/* SPDX-License-Identifier: GPL-2.0-only */
/* What the table of waiting requests (web_wait.c) and the routes that use it (web_api.c) share. */
#ifndef WV_EXPORT_WEB_WAIT_H
#define WV_EXPORT_WEB_WAIT_H

#include <openssl/sha.h>

#include "user/export/web_api.h"

#define WV_WEB_KNOWN_MAX 16
#define WV_WEB_NO_SLOT WV_WEB_ASKED_MAX

/* One request of a client; *state of the library. */
struct wv_web_asked {
	struct wv_web_api *api;
	struct MHD_Connection *c;
	unsigned slot; /* WV_WEB_NO_SLOT: it does not wait */
	bool submitted, answered;
	/* its body */
	int body;
	uint64_t bytes;
	unsigned refused; /* status that it will get, whatever follows */
	const char *why;
	/* the answer; data is NULL, malloc'ed, or mapped */
	struct wv_api_answer answer;
	char *data;
	size_t mapped;
};

struct wv_web_api {
	struct wv_web *web;
	sd_event *loop;
	int fd;
	sd_event_source *io, *deadline;
	uint32_t epoch;
	struct {
		struct wv_web_asked *asked; /* NULL: free */
		uint32_t use;
		uint64_t deadline_ns;
	} slots[WV_WEB_ASKED_MAX];
	/* clients that were allowed something a moment ago */
	struct {
		unsigned char who[SHA256_DIGEST_LENGTH];
		uint64_t until_ns;
	} known[WV_WEB_KNOWN_MAX];
	unsigned next_known;
	void (*resumed)(void *ctx);
	void (*reload)(void *ctx);
	void *ctx;
};

/* Takes a place in the table until the deadline (CLOCK_MONOTONIC); then it fails with 504. 0 with
 * the id that its answer has to have, or -EBUSY. */
int wv_web_wait_enter(struct wv_web_asked *q, uint64_t deadline_ns, uint64_t *ret_id);
void wv_web_wait_leave(struct wv_web_asked *q);

#endif
