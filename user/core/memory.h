/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Gives back memory that only starting up needed: free heap, and file pages (code, constants),
 * which come back from the page cache when they are used. Pages that this process changed are kept.
 * In two steps, so that a sandbox may close between them.
 */
#ifndef WV_CORE_MEMORY_H
#define WV_CORE_MEMORY_H

/* Finds the mappings whose pages may go: reads /proc. What is mapped later is not among them. */
void wv_memory_scan(void);
/* Gives them back, and free heap: needs madvise(2) alone. */
void wv_memory_trim(void);

#endif
