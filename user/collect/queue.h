/* SPDX-License-Identifier: GPL-2.0-only */
/* Names and the machine's own figures of block devices and softirqs. */
#ifndef WV_COLLECT_QUEUE_H
#define WV_COLLECT_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

/* What is in flight by two counters that were not read at one instant: never negative. */
static inline uint64_t wv_queue_in_flight(uint64_t issued, uint64_t ended)
{
	return issued > ended ? issued - ended : 0;
}

/*
 * Name of a block device (major << 20 | minor), "major:minor" if it has none any more. Names are
 * cached for a while; seq is the tick. Valid until the next call.
 */
const char *wv_device_name(uint32_t dev, uint64_t seq);
/* Text of a request's error: a negative errno or a positive blk_status_t. Valid until the next
 * call. */
const char *wv_block_error(int error);

/* Since boot, as <dir>/<device>/stat has it. */
struct wv_disk {
	uint64_t reads, read_bytes, writes, write_bytes, in_flight;
	bool stacked; /* on top of other block devices or of a file: counted there as well */
};
/* Calls fn for each disk below dir (/sys/block) that was ever used. 0 or -errno. */
int wv_disks_read(const char *dir, void (*fn)(void *ctx, const char *name, const struct wv_disk *d),
		  void *ctx);
/*
 * Calls fn for each vector of <proc>/softirqs with its runs, and once for "all" with the time of
 * <proc>/stat (the kernel keeps no time per vector). 0 or -errno.
 */
int wv_softirqs_read(const char *proc,
		     void (*fn)(void *ctx, const char *name, uint64_t time_ns, uint64_t runs),
		     void *ctx);

#endif
