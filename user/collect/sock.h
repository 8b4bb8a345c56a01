/* SPDX-License-Identifier: GPL-2.0-only */
/* Parts of the socket collector, for user/collect/sock*.c and their tests. */
#ifndef WV_COLLECT_SOCK_H
#define WV_COLLECT_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Network namespaces other than the agent's own whose sockets are visited. */
#define WV_NETNS_MAX 128

struct wv_netns {
	uint64_t inode;
	pid_t pid; /* a process in it */
};
struct wv_netns_list {
	struct wv_netns list[WV_NETNS_MAX];
	size_t n;
	size_t left_out; /* namespaces over WV_NETNS_MAX */
};
/* Fills the list from the processes below proc ("/proc"); own is not among them. 0 or -errno. */
int wv_netns_find(const char *proc, uint64_t own, struct wv_netns_list *ret);
/* Inode of the namespace of a process, 0 if it is gone or may not be seen. */
uint64_t wv_netns_of(const char *proc, pid_t pid);

/* How many ticks a visit may come once in, so that it takes at most `budget_ns` a tick on average.
 */
unsigned wv_cadence(uint64_t cost_ns, uint64_t budget_ns);

/* What the kernel's files say about the TCP sockets of this network namespace. */
struct wv_tcp_files {
	uint64_t listeners, accept_depth, rx_bytes, tx_bytes, overflows;
};
/* Adds the sockets of one file with the layout of /proc/net/tcp. */
void wv_tcp_files_add(struct wv_tcp_files *t, FILE *f);
/* ListenOverflows of a file with the layout of /proc/net/netstat; 0 if it has none. */
uint64_t wv_listen_overflows(FILE *f);

#endif
