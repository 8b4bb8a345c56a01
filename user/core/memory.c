// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>

#include "user/core/cleanup.h"

/* A mapping of /proc/self/smaps, its lines being read. */
struct mapping {
	unsigned long start, end;
	bool of_file, clean;
};

static void drop(const struct mapping *m)
{
	if (m->of_file && m->clean)
		(void)madvise((void *)m->start, m->end - m->start, MADV_DONTNEED);
}

void wv_memory_trim(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/smaps", "re");
	struct mapping m = {0};
	char line[512], mode[8];
	unsigned long start, end, inode, kb;

	malloc_trim(0);
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %7s %*x %*s %lu", &start, &end, mode, &inode) == 4) {
			drop(&m);
			/* a shared mapping is someone's work in progress; private pages are checked
			 * below */
			m = (struct mapping){start, end,
					     inode != 0 && mode[1] == '-' && mode[3] == 'p', true};
		} else if (sscanf(line, "Anonymous: %lu", &kb) == 1 ||
			   sscanf(line, "Swap: %lu", &kb) == 1) {
			/* copies that this process made, such as relocated pointers, exist nowhere
			 * else */
			m.clean = m.clean && kb == 0;
		}
	}
	drop(&m);
}
