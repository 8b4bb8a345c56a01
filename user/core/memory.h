/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WV_CORE_MEMORY_H
#define WV_CORE_MEMORY_H

/*
 * Gives back memory that only starting up needed: free heap, and file pages (code, constants),
 * which come back from the page cache when they are used. Pages that this process changed are kept.
 */
void wv_memory_trim(void);

#endif
