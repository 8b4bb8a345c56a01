/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A process that does one thing for the anchor worker, with rights of its own: to talk HTTP, or to
 * use the TPM. It has no descriptor but its socket and standard error, and ends with the worker.
 */
#ifndef WV_EVIDENCE_ANCHOR_HELPER_H
#define WV_EVIDENCE_ANCHOR_HELPER_H

#include <stddef.h>

struct wv_helper {
	int fd;
	int control; /* the worker's: it is told that we live, and watched while an answer is due */
};

struct wv_helper_work {
	const char *name;     /* of the process, at most 15 bytes */
	int (*confine)(void); /* gives up rights, for good. 0 or -errno */
	void *ctx;
	/* Answers: >= 0 or -errno, *ret (to be freed; MAY stay NULL) with *ret_len bytes. */
	int (*serve)(void *ctx, const char *request, size_t len, char **ret, size_t *ret_len);
};

/* 0 or -errno. The process is forked; it serves until the socket ends. */
int wv_helper_start(struct wv_helper *h, int control, const struct wv_helper_work *work);
/*
 * What the work answers; *ret has a NUL behind its *ret_len bytes. -EPIPE: it is gone; -ETIMEDOUT:
 * it took longer than a minute; -ECANCELED: the worker is to end. Of no more use after these.
 */
int wv_helper_ask(struct wv_helper *h, const void *request, size_t len, char **ret,
		  size_t *ret_len);

#endif
