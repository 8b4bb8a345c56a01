/* SPDX-License-Identifier: GPL-2.0-only */
/* CRC32C (Castagnoli, RFC 3720 appendix B.4): what guards frames on disk against torn and rotten
 * bytes. It is no signature. */
#ifndef WV_SPOOL_CRC32C_H
#define WV_SPOOL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from an earlier result (or a seed; 0 gives the standard sum). Pure, any thread. */
uint32_t wv_crc32c(uint32_t crc, const void *buf, size_t len);
/* The same without the CPU's instruction, for tests and other CPUs. */
uint32_t wv_crc32c_table(uint32_t crc, const void *buf, size_t len);

#endif
