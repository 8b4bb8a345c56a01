// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which devices honour departure times: a dump of the queueing disciplines over rtnetlink. A device
 * paces if its root is fq, or a multi-queue root whose queues are all fq. What changes between two
 * refreshes is noticed one tick later.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/enforce/netlimit.h"

/* Devices that are looked at; on more, the rest is policed. */
#define MAX_DEVICES 256
/* /proc/<pid>/ns/pid of the initial namespace has this inode on every kernel
 * (include/linux/proc_ns.h) */
#define INITIAL_PID_NS 0xEFFFFFFCU
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#define TIMEOUT_US 200000

struct device {
	uint32_t ifindex;
	bool root_fq, root_multi, child_fq, child_other;
};

struct devices {
	struct device list[MAX_DEVICES];
	size_t n;
};

static struct device *device_of(struct devices *d, uint32_t ifindex)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->list[i].ifindex == ifindex)
			return &d->list[i];
	if (d->n == MAX_DEVICES)
		return NULL;
	d->list[d->n] = (struct device){.ifindex = ifindex};
	return &d->list[d->n++];
}

static bool paces(const struct device *d)
{
	return d->root_fq || (d->root_multi && d->child_fq && !d->child_other);
}

static void take_qdisc(struct devices *devices, const struct nlmsghdr *h)
{
	const struct tcmsg *tc = NLMSG_DATA(h);
	const struct rtattr *a = TCA_RTA(tc);
	int len = (int)h->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*tc));
	const char *kind = NULL;
	struct device *d;

	for (; RTA_OK(a, len); a = RTA_NEXT(a, len))
		if (a->rta_type == TCA_KIND)
			kind = RTA_DATA(a);
	/* clsact and ingress are no queues */
	if (!kind || tc->tcm_parent == TC_H_INGRESS)
		return;
	d = device_of(devices, (uint32_t)tc->tcm_ifindex);
	if (!d)
		return;
	if (tc->tcm_parent == TC_H_ROOT) {
		d->root_fq = strcmp(kind, "fq") == 0;
		d->root_multi = strcmp(kind, "mq") == 0;
	} else if (strcmp(kind, "fq") == 0) {
		d->child_fq = true;
	} else {
		d->child_other = true;
	}
}

/* One message buffer of the dump. 1: more to come, 0: the end, or -errno. */
static int take_messages(struct devices *devices, const void *buf, ssize_t n)
{
	const struct nlmsghdr *h = buf;
	unsigned len = (unsigned)n;

	for (; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(h))->error ?: -EPROTO;
		if (h->nlmsg_type == RTM_NEWQDISC &&
		    h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct tcmsg)))
			take_qdisc(devices, h);
	}
	return 1;
}

static int dump_qdiscs(struct devices *devices)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	static const struct timeval timeout = {.tv_usec = TIMEOUT_US};
	/* one thread; a netlink message is at most this long (NLMSG_GOODSIZE and some) */
	static char buf[32768] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct {
		struct nlmsghdr h;
		struct tcmsg tc;
	} request = {
		.h = {.nlmsg_len = sizeof(request),
		      .nlmsg_type = RTM_GETQDISC,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
	};
	int r = 1;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	while (r > 0) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		r = take_messages(devices, buf, n);
	}
	return r;
}

/*
 * This namespace as the programs tag sockets: 0 for the initial one, else its cookie. In the
 * initial process namespace process 1 lives in the initial network namespace, so equality with it
 * decides; else the cookie, which sockets show since 5.14.
 */
static int own_netns(uint64_t *ret)
{
	_cleanup_close_ int fd = -1;
	struct stat pid, own, first;
	socklen_t len = sizeof(*ret);
	uint64_t cookie;

	if (stat("/proc/self/ns/pid", &pid) == 0 && pid.st_ino == INITIAL_PID_NS &&
	    stat("/proc/self/ns/net", &own) == 0 && stat("/proc/1/ns/net", &first) == 0 &&
	    own.st_ino == first.st_ino) {
		*ret = 0;
		return 0;
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0)
		return -errno;
	*ret = cookie;
	return 0;
}

static int update_map(int map, uint64_t netns, const struct devices *devices)
{
	struct wv_limit_device key = {0}, next;
	bool first = true;
	__u8 yes = 1;
	int n = 0;

	/* what no longer paces goes first: a stamp that nobody honours would be no limit at all */
	while (bpf_map_get_next_key(map, first ? NULL : &key, &next) == 0) {
		bool keep = false;

		for (size_t i = 0; i < devices->n; i++)
			keep |= next.netns == netns && next.ifindex == devices->list[i].ifindex &&
				paces(&devices->list[i]);
		if (keep) {
			key = next;
			first = false;
		} else if (bpf_map_delete_elem(map, &next) < 0) {
			return -errno;
		}
	}
	for (size_t i = 0; i < devices->n; i++) {
		key = (struct wv_limit_device){.netns = netns, .ifindex = devices->list[i].ifindex};
		if (!paces(&devices->list[i]))
			continue;
		if (bpf_map_update_elem(map, &key, &yes, BPF_ANY) < 0)
			return -errno;
		n++;
	}
	return n;
}

int wv_pacers_refresh(struct wv_netlimit *n, char *reason, size_t size)
{
	static struct devices devices; /* 4 KiB off the stack; one thread */
	uint64_t netns = 0;
	int r;

	devices.n = 0;
	r = dump_qdiscs(&devices);
	if (r < 0 && reason)
		snprintf(reason, size, "list of queues: %s", strerror(-r));
	if (r == 0) {
		r = own_netns(&netns);
		if (r < 0 && reason)
			snprintf(reason, size, "network namespace cannot be told: %s",
				 strerror(-r));
	}
	if (r < 0)
		devices.n = 0;
	else
		r = 0;
	n->pace = false;
	if (n->pacers_fd >= 0) {
		int paced = update_map(n->pacers_fd, netns, &devices);

		n->pace = paced > 0;
		return r < 0 ? r : paced;
	}
	for (size_t i = 0; i < devices.n; i++)
		r += r >= 0 && paces(&devices.list[i]);
	return r;
}
