// SPDX-License-Identifier: GPL-2.0-only
/*
 * User half of bpf/sock.bpf.c: accept queues every tick; socket queues by visiting the sockets of
 * each network namespace. A visit of all namespaces is a round: it takes its share of a tick, goes
 * on in the next ticks, and its figures are shown when it is complete.
 *
 * Without BPF: /proc/net/tcp of the agent's own namespace, in the root's row.
 */
#include "waveos/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "skel/sock.btf.skel.h"
#include "skel/sock.raw.skel.h"
#include "user/collect/sock.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/module.h"

#define VISIT_SHARE 200	    /* visits take at most this part of the time: 5 ms of a second */
#define SOCKETS_A_READ 512  /* about 1 ms */
#define FIND_EVERY_TICKS 60 /* namespaces come and go slowly; looking costs 3 us a process */
#define QUIET_TICKS 60	    /* overflows of a cgroup are recorded again after such a rest */

static struct {
	uint64_t listen_pass, queue_pass;
	uint64_t round_ns;    /* what the round that is under way took so far */
	unsigned rest;	      /* ticks until the next round may start */
	unsigned round_ticks; /* in which it was at work */
	int iterator;	      /* of the namespace being visited; -1: no round is under way */
	bool round_done, listen_done; /* complete in this tick: the rows can be shown */
	size_t next;		      /* namespace of the list to be visited next */
	struct wv_netns_list others;
	uint64_t found_at; /* tick; 0: never */
	int own_fd; /* the agent's own network namespace, -1 where others cannot be entered */
	uint64_t own_inode;
	uint64_t *overflowed_at; /* [max_rows]: tick of the last overflow, 0: none yet */
	uint32_t max_rows;
} k = {.own_fd = -1, .iterator = -1};

/* A visit of the sockets of one namespace ------------------------------------------------------ */

/* An iterator of the current network namespace: it stays with the one in which it is made. */
static int open_iterator(const struct wv_bpf *bpf)
{
	int link = wv_bpf_link_fd(bpf, "sock_tcp"), fd;

	if (link < 0)
		return -ENOENT;
	fd = bpf_iter_create(link);
	return fd < 0 ? -errno : fd;
}

/* -ENOENT: the namespace is gone. A thread that cannot come back must not go on. */
static int open_iterator_of(const struct wv_bpf *bpf, const struct wv_netns *ns)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", ns->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != ns->inode)
		return -ENOENT;
	if (setns(fd, CLONE_NEWNET) < 0)
		return -errno;
	r = open_iterator(bpf);
	if (setns(k.own_fd, CLONE_NEWNET) < 0) {
		wv_log_errno(-errno, "sock", "return to the own network namespace");
		abort();
	}
	return r;
}

/* Visits some sockets: 1 if there are more, 0 at the end, -errno. */
static int visit(int fd)
{
	char tallies[SOCKETS_A_READ];
	ssize_t n = read(fd, tallies, sizeof(tallies));

	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return 1;
	return n < 0 ? -errno : 0;
}

/* Rounds --------------------------------------------------------------------------------------- */

static int write_passes(const struct wv_bpf *bpf)
{
	struct wv_sock_passes p = {.listen_pass = k.listen_pass, .queue_pass = k.queue_pass};
	int fd = wv_bpf_map_fd(bpf, "sock_passes");
	uint32_t zero = 0;

	if (fd < 0)
		return -ENOENT;
	return bpf_map_update_elem(fd, &zero, &p, BPF_ANY) < 0 ? -errno : 0;
}

static void find_others(struct wv_agent *agent)
{
	if (k.own_fd < 0 || (k.found_at && agent->sample.seq - k.found_at < FIND_EVERY_TICKS))
		return;
	k.found_at = agent->sample.seq ?: 1;
	if (wv_netns_find("/proc", k.own_inode, &k.others) == 0 && k.others.left_out)
		wv_log_info("sock",
			    "more than %d network namespaces: the sockets of some are not visited",
			    WV_NETNS_MAX);
}

static int begin_round(struct wv_agent *agent, bool has_listen)
{
	int r;

	k.queue_pass++;
	if (!has_listen)
		k.listen_pass++;
	r = write_passes(agent->bpf);
	if (r < 0)
		return r;
	find_others(agent);
	k.next = 0;
	k.round_ns = 0;
	k.round_ticks = 0;
	r = open_iterator(agent->bpf);
	if (r < 0)
		return r;
	k.iterator = r;
	return 0;
}

/* Opens the iterator of the next namespace that is still there; -ENOENT if there is none. */
static int next_namespace(struct wv_agent *agent)
{
	int r;

	while (k.next < k.others.n) {
		r = open_iterator_of(agent->bpf, &k.others.list[k.next++]);
		if (r == -EPERM) {
			wv_log_warn(r, "sock",
				    "enter a network namespace: only the own one is visited");
			wv_closep(&k.own_fd);
			k.own_fd = -1;
			k.others.n = 0;
		} else if (r != -ENOENT) {
			k.iterator = r;
			return r < 0 ? r : 0;
		}
	}
	return -ENOENT;
}

/* Visits as many sockets of the round as fit in this tick. */
static int visit_some(struct wv_agent *agent, bool has_listen)
{
	uint64_t start = agent->io->mono_ns(agent->io->ctx), used;
	uint64_t budget = agent->config->agent_tick / VISIT_SHARE;
	unsigned due;
	int r = k.iterator < 0 ? begin_round(agent, has_listen) : 0;

	do {
		if (r >= 0)
			r = visit(k.iterator);
		if (r <= 0) {
			wv_closep(&k.iterator);
			k.iterator = -1;
		}
		if (r == 0)
			r = next_namespace(agent);
		used = agent->io->mono_ns(agent->io->ctx) - start;
	} while (r >= 0 && used < budget);
	k.round_ns += used;
	k.round_ticks++;
	if (r >= 0)
		return 0; /* goes on in the next tick */
	k.round_done = r == -ENOENT;
	/* a namespace's table is walked in one go, empty or not: that may take more than the share
	 */
	due = wv_cadence(k.round_ns, budget);
	k.rest = due > k.round_ticks ? due - k.round_ticks : 0;
	return k.round_done ? 0 : r;
}

/* Accept queues of all listeners that are known, in any namespace. */
static int visit_listeners(struct wv_agent *agent)
{
	int prog = wv_bpf_prog_fd(agent->bpf, "sock_listen"), r;
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	if (prog < 0)
		return -ENOENT;
	k.listen_pass++;
	r = write_passes(agent->bpf);
	if (r == 0 && bpf_prog_test_run_opts(prog, &opts) < 0)
		r = -errno;
	return r;
}

/* Rows ----------------------------------------------------------------------------------------- */

/* A cgroup started to lose connections: one record, and another only after a rest. */
static void note_overflow(struct wv_agent *agent, uint32_t slot, const struct wv_row *row,
			  uint64_t lost)
{
	uint64_t now = agent->sample.seq ?: 1;
	struct json_object *o;
	bool record;

	if (slot >= k.max_rows)
		return;
	record = !k.overflowed_at[slot] || now - k.overflowed_at[slot] > QUIET_TICKS;
	k.overflowed_at[slot] = now;
	if (!record || !agent->record)
		return;
	o = json_object_new_object();
	if (!o)
		return;
	json_object_object_add(o, "cgroup", json_object_new_string(row->path));
	json_object_object_add(o, "connections", json_object_new_uint64(lost));
	json_object_object_add(o, "accept_queue",
			       json_object_new_uint64(row->f.v[WV_SIG_SOCK_ACCEPT_DEPTH]));
	json_object_object_add(o, "accept_queue_limit",
			       json_object_new_uint64(row->f.v[WV_SIG_SOCK_ACCEPT_MAX]));
	(void)agent->record(agent, "accept-overflow", o);
}

static void store_row(void *ctx, uint32_t slot, const uint64_t *words)
{
	const struct wv_sock_row *w = (const void *)words;
	struct wv_agent *agent = ctx;
	struct wv_sample *s = &agent->sample;
	const struct wv_row *row = wv_sample_row(s, slot);
	bool listens = w->listen_pass == k.listen_pass, has = w->queue_pass == k.queue_pass;
	uint64_t before;

	if (!row)
		return;
	before = row->f.v[WV_SIG_SOCK_ACCEPT_OVERFLOWS];
	if (k.listen_done) {
		wv_sample_set(s, slot, WV_SIG_SOCK_LISTENERS, listens ? w->listeners : 0);
		wv_sample_set(s, slot, WV_SIG_SOCK_ACCEPT_DEPTH, listens ? w->accept_depth : 0);
		wv_sample_set(s, slot, WV_SIG_SOCK_ACCEPT_MAX, listens ? w->accept_max : 0);
	}
	wv_sample_set(s, slot, WV_SIG_SOCK_ACCEPT_OVERFLOWS, w->overflows);
	if (row->f.v[WV_SIG_SOCK_ACCEPT_OVERFLOWS] > before)
		note_overflow(agent, slot, row, row->f.v[WV_SIG_SOCK_ACCEPT_OVERFLOWS] - before);
	if (!k.round_done)
		return; /* the last complete round stands */
	wv_sample_set(s, slot, WV_SIG_SOCK_RX_QUEUE, has ? w->rx_bytes : 0);
	wv_sample_set(s, slot, WV_SIG_SOCK_TX_QUEUE, has ? w->tx_bytes : 0);
	wv_sample_set(s, slot, WV_SIG_SOCK_BACKLOG, has ? w->backlog_bytes : 0);
}

/* Without BPF ---------------------------------------------------------------------------------- */

static int sense_files(struct wv_agent *agent)
{
	static const char *const files[] = {"/proc/net/tcp", "/proc/net/tcp6"};
	int slot = wv_cgroups_slot_by_path(agent, "/");
	uint32_t root = slot < 0 ? WV_SLOT_OTHER : (uint32_t)slot;
	struct wv_tcp_files t = {0};

	if (k.rest) {
		k.rest--;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_fclose_ FILE *f = fopen(files[i], "re");

		if (f)
			wv_tcp_files_add(&t, f);
	}
	_cleanup_fclose_ FILE *netstat = fopen("/proc/net/netstat", "re");

	if (!netstat)
		return -errno;
	wv_sample_set(&agent->sample, root, WV_SIG_SOCK_LISTENERS, t.listeners);
	wv_sample_set(&agent->sample, root, WV_SIG_SOCK_ACCEPT_DEPTH, t.accept_depth);
	wv_sample_set(&agent->sample, root, WV_SIG_SOCK_RX_QUEUE, t.rx_bytes);
	wv_sample_set(&agent->sample, root, WV_SIG_SOCK_TX_QUEUE, t.tx_bytes);
	wv_sample_set(&agent->sample, root, WV_SIG_SOCK_ACCEPT_OVERFLOWS,
		      wv_listen_overflows(netstat));
	k.rest = 4; /* the kernel walks its whole table for the files: 5 ticks apart */
	return 0;
}

/* Module --------------------------------------------------------------------------------------- */

static int sense(struct wv_agent *agent)
{
	bool has_listen = wv_bpf_prog_fd(agent->bpf, "sock_listen") >= 0;
	int r = 0, r2 = 0;

	if (!wv_bpf_has(agent->bpf, "sock"))
		return sense_files(agent);
	k.round_done = false;
	if (k.rest)
		k.rest--;
	else
		r = visit_some(agent, has_listen);
	if (has_listen)
		r2 = visit_listeners(agent);
	k.listen_done = has_listen ? r2 == 0 : k.round_done;
	if (r == 0)
		r = r2;
	r2 = wv_bpf_table_read(agent->bpf, "sock_rows", agent->sample.used_rows, store_row, agent);
	return r < 0 ? r : r2;
}

static int start(struct wv_agent *agent)
{
	struct wv_sock_passes p = {0};
	struct stat st;
	uint32_t zero = 0;
	int fd = wv_bpf_map_fd(agent->bpf, "sock_passes");

	/* rows of an earlier core carry numbers up to these */
	if (fd >= 0 && bpf_map_lookup_elem(fd, &zero, &p) == 0) {
		k.listen_pass = p.listen_pass;
		k.queue_pass = p.queue_pass;
	}
	k.own_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (k.own_fd >= 0 && fstat(k.own_fd, &st) == 0)
		k.own_inode = st.st_ino;
	k.max_rows = agent->sample.max_rows;
	k.overflowed_at = calloc(k.max_rows, sizeof(*k.overflowed_at));
	return k.overflowed_at ? 0 : -ENOMEM;
}

static void slot_gone(struct wv_agent *agent, uint32_t slot)
{
	(void)agent;
	if (slot < k.max_rows)
		k.overflowed_at[slot] = 0;
}

static void stop(struct wv_agent *agent)
{
	(void)agent;
	wv_closep(&k.own_fd);
	wv_closep(&k.iterator);
	free(k.overflowed_at);
	memset(&k, 0, sizeof(k));
	k.own_fd = k.iterator = -1;
}

static bool can_walk_maps(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_FUNC_for_each_map_elem,
				       NULL) == 1;
}

static int probe(const struct wv_host *host, const struct wv_bpf *bpf, struct wv_capabilities *caps)
{
	bool hooks = host->flavour != WV_FLAVOUR_NONE && (!bpf || wv_bpf_has(bpf, "sock"));
	bool listen = hooks && (bpf ? wv_bpf_prog_fd(bpf, "sock_listen") >= 0 : can_walk_maps());
	const char *reason = "";
	int r;

	if (!hooks)
		reason = bpf && !wv_bpf_has(bpf, "sock")
				 ? wv_bpf_reason(bpf, "sock")
				 : "no BPF iterators here: the root's row only";
	r = wv_capability_add(caps, "sock", "accept queues", listen ? WV_CAP_OK : WV_CAP_FALLBACK,
			      listen  ? "inet_sock_set_state, sk_ack_backlog"
			      : hooks ? "iter/tcp"
				      : "/proc/net/tcp, /proc/net/netstat",
			      listen  ? ""
			      : hooks ? "the kernel cannot walk a map in a program (before 5.13)"
				      : reason);
	if (r < 0)
		return r;
	return wv_capability_add(caps, "sock", "socket queues", hooks ? WV_CAP_OK : WV_CAP_FALLBACK,
				 hooks ? "iter/tcp in each network namespace" : "/proc/net/tcp",
				 reason);
}

static int configure(struct bpf_object *obj, const struct wv_host *host,
		     const struct wv_config *config)
{
	struct stat st;
	uint64_t root = host->cgroup2[0] && stat(host->cgroup2, &st) == 0 ? st.st_ino : 1;
	bool visit = !can_walk_maps();
	int r;

	(void)config;
	r = wv_bpf_set_const(obj, "wv_root_key", &root, sizeof(root));
	if (r == 0)
		r = wv_bpf_set_const(obj, "sock_visit_listeners", &visit, sizeof(visit));
	if (visit)
		wv_bpf_skip_program(obj, "sock_listen");
	return r;
}

static const void *elf_btf(size_t *size)
{
	return sock_btf__elf_bytes(size);
}

static const void *elf_raw(size_t *size)
{
	return sock_raw__elf_bytes(size);
}

static const struct wv_table_desc tables[] = {
	{"sock_rows", sizeof(struct wv_sock_row), false},
	{0},
};

static const struct wv_object object = {
	.name = "sock",
	.elf_btf = elf_btf,
	.elf_raw = elf_raw,
	.tables = tables,
	.configure = configure,
};

const struct wv_module wv_module_sock = {
	.name = "sock",
	.summary = "TCP accept queues and their overflows, bytes queued in sockets",
	.object = &object,
	.probe = probe,
	.start = start,
	.sense = sense,
	.slot_gone = slot_gone,
	.stop = stop,
};
