// SPDX-License-Identifier: GPL-2.0-only
/* What files say about sockets: network namespaces of processes, /proc/net/tcp, /proc/net/netstat.
 */
#include "user/collect/sock.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

#define STATE_LISTEN 0x0a

uint64_t wv_netns_of(const char *proc, pid_t pid)
{
	char path[300], target[64];
	uint64_t inode;
	ssize_t len;

	snprintf(path, sizeof(path), "%s/%d/ns/net", proc, pid);
	len = readlink(path, target, sizeof(target) - 1);
	if (len <= 0)
		return 0;
	target[len] = '\0';
	return sscanf(target, "net:[%" SCNu64 "]", &inode) == 1 ? inode : 0;
}

static bool known(const struct wv_netns_list *l, uint64_t inode)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->list[i].inode == inode)
			return true;
	return false;
}

int wv_netns_find(const char *proc, uint64_t own, struct wv_netns_list *ret)
{
	_cleanup_closedir_ DIR *d = opendir(proc);
	uint64_t last = 0;

	if (!d)
		return -errno;
	ret->n = ret->left_out = 0;
	for (struct dirent *e; (e = readdir(d));) {
		pid_t pid = isdigit((unsigned char)e->d_name[0]) ? atoi(e->d_name) : 0;
		uint64_t inode = pid ? wv_netns_of(proc, pid) : 0;

		if (!inode || inode == own || inode == last || known(ret, inode))
			continue;
		last = inode;
		if (ret->n < WV_NETNS_MAX)
			ret->list[ret->n++] = (struct wv_netns){inode, pid};
		else
			ret->left_out++; /* at least this many: a namespace may count twice */
	}
	return 0;
}

unsigned wv_cadence(uint64_t cost_ns, uint64_t budget_ns)
{
	uint64_t ticks = (cost_ns + budget_ns - 1) / budget_ns;

	return ticks < 1 ? 1 : ticks > 30 ? 30 : (unsigned)ticks;
}

void wv_tcp_files_add(struct wv_tcp_files *t, FILE *f)
{
	unsigned state;
	uint64_t tx, rx;
	char line[512];

	while (fgets(line, sizeof(line), f)) {
		/* slot: local remote state tx:rx ... */
		if (sscanf(line, " %*d: %*s %*s %x %" SCNx64 ":%" SCNx64, &state, &tx, &rx) != 3)
			continue; /* the heading */
		if (state == STATE_LISTEN) {
			t->listeners++;
			t->accept_depth += rx;
			continue;
		}
		t->rx_bytes += rx;
		t->tx_bytes += tx;
	}
}

uint64_t wv_listen_overflows(FILE *f)
{
	_cleanup_free_ char *names = NULL, *values = NULL;
	size_t names_size = 0, values_size = 0;
	char *name, *value, *name_rest, *value_rest;

	while (getline(&names, &names_size, f) > 0 && getline(&values, &values_size, f) > 0) {
		name = strtok_r(names, " \n", &name_rest);
		value = strtok_r(values, " \n", &value_rest);
		while (name && value) {
			if (strcmp(name, "ListenOverflows") == 0)
				return strtoull(value, NULL, 10);
			name = strtok_r(NULL, " \n", &name_rest);
			value = strtok_r(NULL, " \n", &value_rest);
		}
	}
	return 0;
}
