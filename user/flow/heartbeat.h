/* SPDX-License-Identifier: GPL-2.0-only */
/* A file that a service touches at least every so often; a missed heartbeat is charged to its
 * cgroup. */
#ifndef WV_FLOW_HEARTBEAT_H
#define WV_FLOW_HEARTBEAT_H

#include <stdint.h>

struct wv_heartbeat {
	char name[64];
	char file[256];
	char cgroup[256]; /* path whose row counts it; "/" if not given */
	uint64_t every_ns;
};

#endif
