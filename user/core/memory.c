// SPDX-License-Identifier: GPL-2.0-only
#include "user/core/memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>

#include "user/core/cleanup.h"

/* The agent and its libraries have about a hundred; those that are over just stay. */
#define MAX_MAPPINGS 192

static struct {
	struct mapping {
		unsigned long start, end;
	} list[MAX_MAPPINGS];
	size_t n;
} clean;

void wv_memory_scan(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/smaps", "re");
	bool candidate =
		false; /* the last entry of the list is of the mapping that is being read */
	unsigned long start, end, inode, kb;
	char line[512], mode[8];

	clean.n = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %7s %*x %*s %lu", &start, &end, mode, &inode) == 4) {
			/* a shared mapping is someone's work in progress */
			candidate = inode != 0 && mode[1] == '-' && mode[3] == 'p' &&
				    clean.n < MAX_MAPPINGS;
			if (candidate)
				clean.list[clean.n++] = (struct mapping){start, end};
		} else if (candidate && (sscanf(line, "Anonymous: %lu", &kb) == 1 ||
					 sscanf(line, "Swap: %lu", &kb) == 1)) {
			/* copies that this process made, such as relocated pointers, exist nowhere
			 * else */
			if (kb) {
				candidate = false;
				clean.n--;
			}
		}
	}
}

void wv_memory_trim(void)
{
	malloc_trim(0);
	for (size_t i = 0; i < clean.n; i++)
		(void)madvise((void *)clean.list[i].start, clean.list[i].end - clean.list[i].start,
			      MADV_DONTNEED);
}
