// SPDX-License-Identifier: GPL-2.0-only
#include "user/secret/locked.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/core/log.h"

static int refused;

int wv_locked_alloc(struct wv_locked *m, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	size = size ? (size + page - 1) / page * page : page;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	/* an older kernel knows less advice; what it knows it takes */
	(void)madvise(p, size, MADV_DONTDUMP);
	(void)madvise(p, size, MADV_WIPEONFORK);
	if (mlock(p, size) < 0) {
		if (!refused)
			(void)wv_log_warn(-errno, "secret",
					  "secrets cannot be locked in memory and may reach swap; "
					  "raise RLIMIT_MEMLOCK (LimitMEMLOCK= of the unit)");
		refused = errno;
	}
	*m = (struct wv_locked){.p = p, .size = size};
	return 0;
}

void wv_locked_free(struct wv_locked *m)
{
	if (!m->p)
		return;
	explicit_bzero(m->p, m->size);
	(void)munmap(m->p, m->size); /* unlocks them, too */
	*m = (struct wv_locked){.p = NULL};
}

int wv_locked_refused(void)
{
	return refused;
}
