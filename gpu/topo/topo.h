/* SPDX-License-Identifier: GPL-2.0-only */
/* What connects the GPUs of a machine, and which of them fit together best. Pure: no I/O, no clock.
 */
#ifndef WV_GPU_TOPO_H
#define WV_GPU_TOPO_H

#include <stdint.h>

#define WV_TOPO_GPUS 64

/* How two GPUs reach each other without NVLink, nearest first. */
enum wv_topo_path {
	WV_TOPO_SELF,
	WV_TOPO_PIX,  /* one PCIe switch */
	WV_TOPO_PXB,  /* several switches */
	WV_TOPO_PHB,  /* a host bridge */
	WV_TOPO_NODE, /* host bridges of one NUMA node */
	WV_TOPO_SYS,  /* between NUMA nodes */
	WV_TOPO_PATH_N
};
extern const char *const wv_topo_paths[WV_TOPO_PATH_N];

struct wv_topo {
	unsigned n;
	int numa[WV_TOPO_GPUS];			  /* -1: not known */
	uint32_t pcie_mbs[WV_TOPO_GPUS];	  /* MB/s, one direction */
	uint8_t path[WV_TOPO_GPUS][WV_TOPO_GPUS]; /* enum wv_topo_path, symmetric */
	/* MB/s of all NVLinks of a pair together, direct or by NVSwitch; 0: none */
	uint32_t nvlink_mbs[WV_TOPO_GPUS][WV_TOPO_GPUS];
};

/* MB/s to rank pairs by: NVLink as declared; PCIe less the further it goes (a rank, no
 * measurement). */
uint32_t wv_topo_mbs(const struct wv_topo *t, unsigned a, unsigned b);

/* Better: a larger bottleneck, then fewer NUMA nodes, more bandwidth within, more left to others.
 */
struct wv_placement {
	uint64_t gpus;		 /* bit i: GPU i */
	uint32_t bottleneck_mbs; /* of the slowest pair; UINT32_MAX: one GPU */
	unsigned nodes;
	uint64_t inside_mbs, left_mbs; /* sums over pairs of the set, of free ones that are left */
};
void wv_placement_of(const struct wv_topo *t, uint64_t free, uint64_t gpus,
		     struct wv_placement *ret);
/* > 0: a is better; 0 only for the same set. */
int wv_placement_compare(const struct wv_placement *a, const struct wv_placement *b);
/* Best set of n free GPUs. -ENOSPC: fewer are free; -EINVAL. Exact; for many GPUs (more than a
 * million sets) -E2BIG. */
int wv_topo_place(const struct wv_topo *t, uint64_t free, unsigned n, struct wv_placement *ret);

#endif
