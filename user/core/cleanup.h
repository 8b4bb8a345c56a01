/* SPDX-License-Identifier: GPL-2.0-only */
/* Scoped cleanup: a resource is released when its variable leaves scope, unless it was taken. */
#ifndef WV_CORE_CLEANUP_H
#define WV_CORE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void wv_freep(void *p)
{
	free(*(void **)p);
}

static inline void wv_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void wv_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void wv_closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define _cleanup_free_ _cleanup_(wv_freep)
#define _cleanup_close_ _cleanup_(wv_closep)
#define _cleanup_fclose_ _cleanup_(wv_fclosep)
#define _cleanup_closedir_ _cleanup_(wv_closedirp)

/* Moves a resource out of its variable, so that the cleanup does nothing. */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *_pp = &(p);                                                         \
		__typeof__(p) _p = *_pp;                                                           \
		*_pp = NULL;                                                                       \
		_p;                                                                                \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *_fdp = &(fd);                                                                 \
		int _fd = *_fdp;                                                                   \
		*_fdp = -1;                                                                        \
		_fd;                                                                               \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))

#endif
