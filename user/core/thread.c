// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/thread.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* System calls and a file buffer need a tenth of it; the lowest page is a guard. */
#define STACK_BYTES (256U << 10)

int wv_thread_start(struct wv_thread *t, void *(*fn)(void *arg), void *arg)
{
	size_t guard = (size_t)sysconf(_SC_PAGESIZE);
	pthread_attr_t attr;
	char *stack;
	int r;

	stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	r = mprotect(stack, guard, PROT_NONE) < 0 ? errno : pthread_attr_init(&attr);
	if (r == 0) {
		r = pthread_attr_setstack(&attr, stack + guard, STACK_BYTES - guard);
		if (r == 0)
			r = pthread_create(&t->id, &attr, fn, arg);
		(void)pthread_attr_destroy(&attr);
	}
	if (r) {
		munmap(stack, STACK_BYTES);
		return -r;
	}
	t->stack = stack;
	return 0;
}

void wv_thread_join(struct wv_thread *t)
{
	(void)pthread_join(t->id, NULL);
	munmap(t->stack, STACK_BYTES);
	*t = (struct wv_thread){0};
}
