/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory for secrets: pages of their own, locked (they never reach swap), left out of core dumps,
 * zero in a forked child, wiped when they are given back.
 */
#ifndef WV_SECRET_LOCKED_H
#define WV_SECRET_LOCKED_H

#include <stdbool.h>
#include <stddef.h>

struct wv_locked {
	char *p; /* NULL: none; starts zeroed */
	size_t size;
};

/* size: at least so many bytes, whole pages are taken. 0 or -ENOMEM. Where RLIMIT_MEMLOCK does not
 * let it be locked it is used all the same: see wv_locked_refused(). */
int wv_locked_alloc(struct wv_locked *m, size_t size);
/* Wiped and given back; m is empty then. */
void wv_locked_free(struct wv_locked *m);
/* errno of the last time that this process was not allowed to lock, 0: never. */
int wv_locked_refused(void);

#endif
