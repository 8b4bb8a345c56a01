/* SPDX-License-Identifier: GPL-2.0-only */
/* Network: rows, drop reasons and connect start times that bpf/net.bpf.c and user/collect/net.c
 * share. */
#ifndef WAVEOS_NET_H
#define WAVEOS_NET_H

#include "waveos/wire.h"

/* Per cgroup and CPU, one cache line: what every packet touches. All fields are u64 counters. */
struct wv_net_row {
	__u64 rx_bytes; /* of IP packets, IP header included; a GSO/GRO packet has one header */
	__u64 tx_bytes;
	__u64 rx_packets; /* segments of a GSO/GRO packet count one each */
	__u64 tx_packets;
	__u64 drops;
	__u64 reserved[3];
};
_Static_assert(sizeof(struct wv_net_row) == 64, "one cache line a CPU");

/* Per cgroup, shared by the CPUs: what happens once a connection or more rarely than a packet. */
struct wv_tcp_row {
	__u64 connects;
	__u64 accepts;
	__u64 failures;
	__u64 retransmits; /* segments, as the kernel's RetransSegs */
	__u64 resets_sent;
	__u64 resets_received;
	__u64 connect_sum_ns;
	__u64 rtt_sum_ns;
	__u64 connect_latency[WV_HIST_BUCKETS];
	__u64 rtt[WV_HIST_BUCKETS];
};
_Static_assert(sizeof(struct wv_tcp_row) == 448, "wire layout");

/* Key of map net_drops; its value is a u64 counter per CPU. */
struct wv_drop_key {
	__u32 slot;
	__u32 reason; /* enum skb_drop_reason of the running kernel, or one of WV_DROP_* */
};
_Static_assert(sizeof(struct wv_drop_key) == 8, "wire layout");

#define WV_DROP_OTHER 0xffffffffU	/* the map is full */
#define WV_DROP_UNSPECIFIED 0xfffffffeU /* this kernel gives no reasons (before 5.17) */
#define WV_DROP_KEYS 1024

/* Value of map tcp_starts: a connect that is under way. */
struct wv_tcp_start {
	__u64 start_ns; /* monotonic */
	__u64 key;	/* cgroup of the task that connects */
};
_Static_assert(sizeof(struct wv_tcp_start) == 16, "wire layout");

#define WV_TCP_STARTS 4096

#endif
