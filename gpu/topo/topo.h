/* SPDX-License-Identifier: GPL-2.0-only */
/* What connects the GPUs of a machine, and which of them fit together best. Pure: no I/O, no clock.
 */
#ifndef WV_GPU_TOPO_H
#define WV_GPU_TOPO_H

#include <stddef.h>
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
	WV_TOPO_MIG,  /* slices of one GPU, which have no way to each other but the host's memory */
	WV_TOPO_PATH_N
};
extern const char *const wv_topo_paths[WV_TOPO_PATH_N];

#define WV_TOPO_NODES 16
#define WV_TOPO_BRIDGES 6

struct wv_topo_node { /* NUMA node */
	int id;
	char cpus[128]; /* as in cpuset.cpus: "0-15,32-47" */
};

struct wv_topo_gpu { /* or a MIG slice: whatever a job is given by its UUID */
	char uuid[64], name[48], pci[16],
		device[64]; /* device: UUID of the GPU of a slice, or "" */
	unsigned sm;	    /* 90: compute capability 9.0 */
	unsigned pcie_gen, pcie_width;
	unsigned switch_links; /* NVLinks to NVSwitch */
	uint64_t memory_bytes;
	char bridge[WV_TOPO_BRIDGES][16]; /* upstream ports of PCIe switches, nearest first */
	unsigned bridges;
	char root[16]; /* PCI root, "0000:00"; "": not known */
};

struct wv_topo {
	unsigned n, n_nodes;
	char source[128]; /* where it comes from, for people */
	struct wv_topo_node node[WV_TOPO_NODES];
	struct wv_topo_gpu gpu[WV_TOPO_GPUS];
	char nvswitch[16]; /* PCI address of one, "": there is none */
	uint32_t link_mbs; /* of one NVLink, one direction */
	char cpu_vendor[16], cpu_arch[16];
	unsigned cpu_family, cpu_model;
	int numa[WV_TOPO_GPUS];			   /* -1: not known */
	uint8_t links[WV_TOPO_GPUS][WV_TOPO_GPUS]; /* direct NVLinks */
	/* made by wv_topo_complete() of what stands above */
	uint32_t pcie_mbs[WV_TOPO_GPUS];	  /* MB/s, one direction */
	uint8_t path[WV_TOPO_GPUS][WV_TOPO_GPUS]; /* enum wv_topo_path, symmetric */
	/* MB/s of all NVLinks of a pair together, direct or by NVSwitch; 0: none */
	uint32_t nvlink_mbs[WV_TOPO_GPUS][WV_TOPO_GPUS];
};

/* Paths and bandwidths from bridges, NUMA nodes and links. */
void wv_topo_complete(struct wv_topo *t);

/* topo_json.c: schema_version 1, see docs/gpu-topology.md. *ret is completed. -EBADMSG: `why` tells
 * what is wrong; -E2BIG; -ENOMEM. */
int wv_topo_parse(const char *text, struct wv_topo *ret, char why[96]);
/* To be freed; NULL: no memory. */
char *wv_topo_json(const struct wv_topo *t);
/* topo_text.c. To be freed; NULL: no memory. */
char *wv_topo_matrix(const struct wv_topo *t);
/* For NCCL_TOPO_FILE: elements and attributes as NCCL itself dumps them. MIG slices are left out.
 */
char *wv_topo_nccl(const struct wv_topo *t);
/* A local feature file of Node Feature Discovery: labels of the node. */
char *wv_topo_nfd(const struct wv_topo *t);
/* CPUs of the NUMA nodes of these GPUs, as for cpuset.cpus; "" where a node is not known. 0 or
 * -ENOBUFS. */
int wv_topo_cpus(const struct wv_topo *t, uint64_t gpus, char *buf, size_t size);

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
