// SPDX-License-Identifier: GPL-2.0-only
/*
 * User half of bpf/net.bpf.c: traffic, TCP, drops and round-trip times. What the kernel refuses
 * comes from /proc/net for the machine as a whole (net_files.c), in the root's row.
 */
#include "waveos/net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "skel/net.btf.skel.h"
#include "skel/net.raw.skel.h"
#include "user/collect/net.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/module.h"

/* Words of the rows, in order, and the signals that they are. */
static const enum wv_signal net_signals[] = {
	WV_SIG_NET_RX_BYTES,   WV_SIG_NET_TX_BYTES, WV_SIG_NET_RX_PACKETS,
	WV_SIG_NET_TX_PACKETS, WV_SIG_NET_DROPS,
};
#define N_TRAFFIC 4 /* the first ones come from cgroup_skb, drops from a tracepoint */

static const enum wv_signal tcp_signals[] = {
	WV_SIG_TCP_CONNECTS,	WV_SIG_TCP_ACCEPTS,	WV_SIG_TCP_FAILURES,
	WV_SIG_TCP_RETRANSMITS, WV_SIG_TCP_RESETS_SENT, WV_SIG_TCP_RESETS_RECEIVED,
};
#define WORD(member) (offsetof(struct wv_tcp_row, member) / sizeof(__u64))
_Static_assert(WORD(connect_sum_ns) == ARRAY_SIZE(tcp_signals), "row order");

/* Programs of the cgroup types. They hang on the v2 root; the fallback of each is in probe(). */
static const struct {
	const char *name;
	enum bpf_prog_type type;
	bool v1_only;
} cgroup_programs[] = {
	{"net_ingress", BPF_PROG_TYPE_CGROUP_SKB, false},
	{"net_egress", BPF_PROG_TYPE_CGROUP_SKB, false},
	{"tcp_rtt", BPF_PROG_TYPE_SOCK_OPS, false},
	{"net_own", BPF_PROG_TYPE_CGROUP_SOCK, true},
};

/* Round-trip times of a slot that were there at the last tick. */
struct rtt_seen {
	uint64_t count, sum_ns;
};

static struct {
	bool traffic, tcp, drops; /* which hooks are in place; what is not comes from files */
	struct rtt_seen *rtt;	  /* [max_rows] */
	uint32_t max_rows;
	uint64_t connects; /* highest figure from files: it is a difference and must not go back */
} state;

/* Kernel half -----------------------------------------------------------------------------------
 */

/* The id of the v2 root; without a v2 mount it is 1 all the same. */
static uint64_t root_key(const struct wv_host *host)
{
	struct stat st;

	return host->cgroup2[0] && stat(host->cgroup2, &st) == 0 ? (uint64_t)st.st_ino : 1;
}

static int configure(struct bpf_object *obj, const struct wv_host *host,
		     _unused_ const struct wv_config *config)
{
	unsigned drop_args = 0, retransmit_args = 0;
	uint64_t key = root_key(host);
	int r;

	(void)wv_bpf_has_tracepoint("kfree_skb", &drop_args);
	(void)wv_bpf_has_tracepoint("tcp_retransmit_skb", &retransmit_args);
	r = wv_bpf_set_const(obj, "wv_root_key", &key, sizeof(key));
	if (r == 0)
		r = wv_bpf_set_const(obj, "net_drop_args", &drop_args, sizeof(drop_args));
	if (r == 0)
		r = wv_bpf_set_const(obj, "net_retransmit_args", &retransmit_args,
				     sizeof(retransmit_args));
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(cgroup_programs); i++)
		if (!host->cgroup2[0] || (cgroup_programs[i].v1_only && host->v1_ssid < 0) ||
		    libbpf_probe_bpf_prog_type(cgroup_programs[i].type, NULL) != 1)
			wv_bpf_skip_program(obj, cgroup_programs[i].name);
	if (host->v1_ssid < 0)
		wv_bpf_skip_program(obj, "net_adopt");
	return 0;
}

/* Entries that must always fit: what finds no place in the maps is counted there. */
static int put_other(struct bpf_object *obj, const struct wv_host *host)
{
	struct wv_drop_key key = {WV_SLOT_OTHER, WV_DROP_OTHER};
	int live = bpf_object__find_map_fd_by_name(obj, "net_drops");
	int base = bpf_object__find_map_fd_by_name(obj, "net_drops_base");
	_cleanup_free_ uint64_t *zeros = calloc(host->ncpu, sizeof(*zeros));

	if (!zeros)
		return -ENOMEM;
	if (bpf_map_update_elem(live, &key, zeros, BPF_ANY) < 0 ||
	    bpf_map_update_elem(base, &key, zeros, BPF_ANY) < 0)
		return -errno;
	return 0;
}

/* A link that is refused leaves its figures to the fallback; the other hooks stay. */
static int attach(struct wv_bpf *bpf, struct bpf_object *obj, const struct wv_host *host)
{
	_cleanup_close_ int fd = -1;
	int r = put_other(obj, host);

	if (r < 0 || !host->cgroup2[0])
		return r;
	fd = open(host->cgroup2, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		wv_log_warn(-errno, "net", "%s", host->cgroup2);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(cgroup_programs); i++) {
		const char *name = cgroup_programs[i].name;
		struct bpf_program *p = bpf_object__find_program_by_name(obj, name);
		struct bpf_link *link;

		if (!p || !bpf_program__autoload(p))
			continue;
		link = bpf_program__attach_cgroup(p, fd);
		r = link ? wv_bpf_keep_link(bpf, link, name) : -errno;
		if (r < 0)
			wv_log_warn(r, "net", "attach %s to %s", name, host->cgroup2);
	}
	return 0;
}

/* Figures ---------------------------------------------------------------------------------------
 */

static void store_net(void *ctx, uint32_t slot, const uint64_t *words)
{
	struct wv_sample *s = ctx;

	if (!wv_sample_row(s, slot))
		return;
	for (size_t i = state.traffic ? 0 : N_TRAFFIC; i < ARRAY_SIZE(net_signals); i++)
		wv_sample_set(s, slot, net_signals[i], words[i]);
}

/* Mean of what came since the last tick, in microseconds; 0 where nothing came. */
static uint64_t mean_rtt_us(uint32_t slot, const uint64_t *words)
{
	struct rtt_seen now = {.sum_ns = words[WORD(rtt_sum_ns)]}, *seen = &state.rtt[slot];
	uint64_t us = 0;

	for (unsigned i = 0; i < WV_HIST_BUCKETS; i++)
		now.count += words[WORD(rtt) + i];
	if (now.count > seen->count && now.sum_ns >= seen->sum_ns)
		us = (now.sum_ns - seen->sum_ns) / (now.count - seen->count) / 1000;
	*seen = now;
	return us;
}

static void store_tcp(void *ctx, uint32_t slot, const uint64_t *words)
{
	struct wv_sample *s = ctx;

	if (!wv_sample_row(s, slot) || slot >= state.max_rows)
		return;
	for (size_t i = 0; state.tcp && i < ARRAY_SIZE(tcp_signals); i++)
		wv_sample_set(s, slot, tcp_signals[i], words[i]);
	wv_sample_set_hist(s, slot, WV_HIST_CONNECT_LATENCY, words + WORD(connect_latency),
			   words[WORD(connect_sum_ns)]);
	wv_sample_set_hist(s, slot, WV_HIST_TCP_RTT, words + WORD(rtt), words[WORD(rtt_sum_ns)]);
	wv_sample_set(s, slot, WV_SIG_TCP_SRTT, mean_rtt_us(slot, words));
}

static int sense_files(struct wv_agent *agent)
{
	int slot = wv_cgroups_slot_by_path(agent, "/"), r;
	struct wv_sample *s = &agent->sample;
	struct wv_net_files f;

	if (slot < 0)
		return 0;
	r = wv_net_files_read(agent->io, &f);
	if (r < 0)
		return r;
	if (!state.traffic) {
		wv_sample_set(s, (uint32_t)slot, WV_SIG_NET_RX_BYTES, f.rx_bytes);
		wv_sample_set(s, (uint32_t)slot, WV_SIG_NET_TX_BYTES, f.tx_bytes);
		wv_sample_set(s, (uint32_t)slot, WV_SIG_NET_RX_PACKETS, f.rx_packets);
		wv_sample_set(s, (uint32_t)slot, WV_SIG_NET_TX_PACKETS, f.tx_packets);
	}
	if (!state.drops)
		wv_sample_set(s, (uint32_t)slot, WV_SIG_NET_DROPS, f.drops);
	if (state.tcp)
		return 0;
	/* attempts that failed count as opened when they start and as failed when they end */
	if (f.active_opens > f.attempt_fails && f.active_opens - f.attempt_fails > state.connects)
		state.connects = f.active_opens - f.attempt_fails;
	wv_sample_set(s, (uint32_t)slot, WV_SIG_TCP_CONNECTS, state.connects);
	wv_sample_set(s, (uint32_t)slot, WV_SIG_TCP_ACCEPTS, f.passive_opens);
	wv_sample_set(s, (uint32_t)slot, WV_SIG_TCP_FAILURES, f.attempt_fails);
	wv_sample_set(s, (uint32_t)slot, WV_SIG_TCP_RETRANSMITS, f.retransmits);
	wv_sample_set(s, (uint32_t)slot, WV_SIG_TCP_RESETS_SENT, f.resets_sent);
	return 0;
}

static int sense(struct wv_agent *agent)
{
	int r = 0;

	if (wv_bpf_has(agent->bpf, "net")) {
		r = wv_bpf_table_read(agent->bpf, "net_rows", agent->sample.used_rows, store_net,
				      &agent->sample);
		if (r == 0)
			r = wv_bpf_table_read(agent->bpf, "tcp_rows", agent->sample.used_rows,
					      store_tcp, &agent->sample);
		if (r == 0 && state.drops)
			r = wv_net_drops_sense(agent);
	}
	if (r == 0 && !(state.traffic && state.tcp && state.drops))
		r = sense_files(agent);
	return r;
}

static void slot_gone(struct wv_agent *agent, uint32_t slot)
{
	struct wv_row *row = wv_sample_row(&agent->sample, slot);

	if (slot < state.max_rows)
		state.rtt[slot] = (struct rtt_seen){0};
	if (state.drops && row && row->f.v[WV_SIG_NET_DROPS])
		wv_net_drops_fold(agent, slot);
}

/* Life ------------------------------------------------------------------------------------------
 */

static bool linked(const struct wv_bpf *bpf, const char *prog)
{
	return wv_bpf_has(bpf, "net") && wv_bpf_link_fd(bpf, prog) >= 0;
}

/* Lets the iterator give the sockets that are open already to the tasks that have them (v1
 * machines). */
static void adopt_sockets(struct wv_agent *agent)
{
	int link = wv_bpf_link_fd(agent->bpf, "net_adopt");
	_cleanup_close_ int iter = -1;
	char buf[64];
	ssize_t n;

	if (link < 0)
		return;
	iter = bpf_iter_create(link);
	if (iter < 0) {
		wv_log_warn(-errno, "net", "iterator over open sockets");
		return;
	}
	do
		n = read(iter, buf, sizeof(buf));
	while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	if (n < 0)
		wv_log_warn(-errno, "net", "iterator over open sockets");
}

static int start(struct wv_agent *agent)
{
	memset(&state, 0, sizeof(state));
	state.rtt = calloc(agent->sample.max_rows, sizeof(*state.rtt));
	if (!state.rtt)
		return -ENOMEM;
	state.max_rows = agent->sample.max_rows;
	state.traffic = linked(agent->bpf, "net_ingress") && linked(agent->bpf, "net_egress");
	state.tcp = linked(agent->bpf, "tcp_state");
	state.drops = linked(agent->bpf, "net_drop");
	adopt_sockets(agent);
	return 0;
}

static void stop(_unused_ struct wv_agent *agent)
{
	free(state.rtt);
	memset(&state, 0, sizeof(state));
	wv_net_drops_stop();
}

/* What is there ---------------------------------------------------------------------------------
 */

/* Why a program is not in place; "" if it is, or would be. */
static const char *why_not(const struct wv_host *host, const struct wv_bpf *bpf, const char *prog,
			   enum bpf_prog_type type)
{
	if (host->flavour == WV_FLAVOUR_NONE)
		return "the kernel takes neither BTF nor raw tracepoint programs";
	if (bpf && !wv_bpf_has(bpf, "net"))
		return wv_bpf_reason(bpf, "net");
	if (type != BPF_PROG_TYPE_UNSPEC && !host->cgroup2[0])
		return "cgroup v2 is not mounted";
	if (bpf)
		return wv_bpf_link_fd(bpf, prog) >= 0
			       ? ""
			       : "the kernel refused the program or its link";
	if (type != BPF_PROG_TYPE_UNSPEC && libbpf_probe_bpf_prog_type(type, NULL) != 1)
		return "the kernel does not take this type of program";
	return "";
}

static int probe_drops(const struct wv_host *host, const struct wv_bpf *bpf, const char *tp,
		       struct wv_capabilities *caps)
{
	const char *reason = why_not(host, bpf, "net_drop", BPF_PROG_TYPE_UNSPEC);
	unsigned args = 0;
	char uses[64];

	if (reason[0])
		return wv_capability_add(caps, "net", "drops", WV_CAP_FALLBACK,
					 "/proc/net/{dev,snmp,snmp6}", reason);
	snprintf(uses, sizeof(uses), "%s/kfree_skb", tp);
	(void)wv_bpf_has_tracepoint("kfree_skb", &args);
	if (args < 3)
		return wv_capability_add(
			caps, "net", "drops", WV_CAP_FALLBACK, uses,
			"the kernel gives no reasons of drops: all are `unspecified`");
	if (args < 4)
		return wv_capability_add(
			caps, "net", "drops", WV_CAP_FALLBACK, uses,
			"the kernel does not name the receiving socket: drops of received "
			"packets are in the root's row");
	return wv_capability_add(caps, "net", "drops", WV_CAP_OK, uses, "");
}

/* On v1 machines: by what means a socket is given to the cgroup of its task. */
static int probe_owner(const struct wv_host *host, const struct wv_bpf *bpf,
		       struct wv_capabilities *caps)
{
	const char *reason;

	if (host->v1_ssid < 0)
		return 0;
	reason = why_not(host, bpf, "net_own", BPF_PROG_TYPE_CGROUP_SOCK);
	if (reason[0])
		return wv_capability_add(caps, "net", "sockets of v1 cgroups", WV_CAP_MISSING, "",
					 reason);
	if (host->flavour == WV_FLAVOUR_RAW)
		return wv_capability_add(
			caps, "net", "sockets of v1 cgroups", WV_CAP_FALLBACK, "socket storage",
			"raw tracepoints cannot read socket storage: accepts, resets, "
			"retransmits and drops are in the root's row");
	return wv_capability_add(caps, "net", "sockets of v1 cgroups", WV_CAP_OK, "socket storage",
				 "");
}

static int probe(const struct wv_host *host, const struct wv_bpf *bpf, struct wv_capabilities *caps)
{
	const char *tp = host->flavour == WV_FLAVOUR_RAW ? "raw_tp" : "tp_btf", *reason;
	char uses[64];
	int r;

	reason = why_not(host, bpf, "net_egress", BPF_PROG_TYPE_CGROUP_SKB);
	if (!reason[0])
		reason = why_not(host, bpf, "net_ingress", BPF_PROG_TYPE_CGROUP_SKB);
	r = wv_capability_add(
		caps, "net", "bytes, packets", reason[0] ? WV_CAP_FALLBACK : WV_CAP_OK,
		reason[0] ? "/proc/net/{snmp,netstat,snmp6}" : "cgroup_skb at the v2 root", reason);
	if (r < 0)
		return r;
	reason = why_not(host, bpf, "tcp_state", BPF_PROG_TYPE_UNSPEC);
	snprintf(uses, sizeof(uses), "%s/inet_sock_set_state, tcp_*", tp);
	r = wv_capability_add(caps, "net", "TCP connections, retransmits, resets",
			      reason[0] ? WV_CAP_FALLBACK : WV_CAP_OK,
			      reason[0] ? "/proc/net/snmp" : uses, reason);
	if (r < 0)
		return r;
	reason = why_not(host, bpf, "tcp_rtt", BPF_PROG_TYPE_SOCK_OPS);
	r = wv_capability_add(caps, "net", "TCP round-trip times",
			      reason[0] ? WV_CAP_MISSING : WV_CAP_OK,
			      reason[0] ? "" : "sockops at the v2 root", reason);
	if (r == 0)
		r = probe_drops(host, bpf, tp, caps);
	if (r == 0)
		r = probe_owner(host, bpf, caps);
	return r;
}

static const void *elf_btf(size_t *size)
{
	return net_btf__elf_bytes(size);
}

static const void *elf_raw(size_t *size)
{
	return net_raw__elf_bytes(size);
}

static const struct wv_table_desc tables[] = {
	{"net_rows", sizeof(struct wv_net_row), true},
	{"tcp_rows", sizeof(struct wv_tcp_row), false},
	{0},
};

static const struct wv_object object = {
	.name = "net",
	.elf_btf = elf_btf,
	.elf_raw = elf_raw,
	.tables = tables,
	.configure = configure,
	.attach = attach,
};

const struct wv_module wv_module_net = {
	.name = "net",
	.summary = "traffic, TCP connections, round-trip times, drops with the kernel's reason",
	.object = &object,
	.probe = probe,
	.start = start,
	.sense = sense,
	.slot_gone = slot_gone,
	.stop = stop,
};
