/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads of the start, which live for milliseconds. Their stacks are ours and go with them: those
 * of the C library stay mapped for the next thread, in this process and in each that it forks.
 */
#ifndef WV_CORE_THREAD_H
#define WV_CORE_THREAD_H

#include <pthread.h>

struct wv_thread {
	pthread_t id;
	void *stack;
};

/* 0 or -errno; then fn was not called. */
int wv_thread_start(struct wv_thread *t, void *(*fn)(void *arg), void *arg);
/* Waits for its end and frees the stack. */
void wv_thread_join(struct wv_thread *t);

#endif
