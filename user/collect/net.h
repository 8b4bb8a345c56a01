/* SPDX-License-Identifier: GPL-2.0-only */
/* Parts of the network collector, for user/collect/net*.c and their tests. */
#ifndef WV_COLLECT_NET_H
#define WV_COLLECT_NET_H

#include <stddef.h>
#include <stdint.h>

#include "user/core/io.h"
#include "user/flow/sample.h"
#include "waveos/net.h"

struct wv_agent;

/* net_files.c: what the kernel's own files say about the whole machine (this network namespace) */
struct wv_net_files {
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets, drops;
	uint64_t active_opens, passive_opens, attempt_fails, retransmits, resets_sent;
};

/*
 * Adds what one file says: the text of /proc/net/snmp, netstat ("Group: names" above "Group:
 * values"), snmp6 ("name value" lines) or dev. A figure that a kernel does not have stays 0.
 */
void wv_net_files_add_pairs(struct wv_net_files *f, char *text);
void wv_net_files_add_lines(struct wv_net_files *f, char *text);
void wv_net_files_add_devices(struct wv_net_files *f, char *text);
/* Reads all of them. -errno of the first that cannot be read; snmp6 may be missing. */
int wv_net_files_read(const struct wv_io *io, struct wv_net_files *ret);

/* net_drops.c: drops by reason */
struct wv_drop_count {
	struct wv_drop_key key;
	uint64_t count;
};

#define WV_DROP_COUNTS_MAX 1024 /* of the facet family, facets.def */

struct wv_drop_counts {
	struct wv_drop_count list[WV_DROP_COUNTS_MAX];
	size_t n;
};

/* Adds to the entry of the key, or appends one; what does not fit is added to `other`. */
void wv_drop_counts_add(struct wv_drop_counts *c, struct wv_drop_key key, uint64_t count);
/* The label of a reason: the kernel's name without its prefix (NULL: unknown), or a word of our
 * own. */
void wv_drop_label(uint32_t reason, const char *kernel_name, char *buf, size_t size);

/* Appends this tick's facet rows. Maps are those of the set. */
int wv_net_drops_sense(struct wv_agent *agent);
/* Moves what the slot counted to its parent. */
void wv_net_drops_fold(struct wv_agent *agent, uint32_t slot);
/* Forgets the names of reasons. */
void wv_net_drops_stop(void);

#endif
