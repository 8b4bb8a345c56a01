// SPDX-License-Identifier: GPL-2.0-only
/*
 * User half of bpf/queue.bpf.c: block requests per cgroup and device, softirq time. Without its
 * hooks: the machine's own figures (/sys/block, /proc/softirqs, /proc/stat), in the root's row.
 */
#include "waveos/queue.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "skel/queue.btf.skel.h"
#include "skel/queue.raw.skel.h"
#include "user/collect/queue.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/module.h"

#define MAX_DEVICES 1024	      /* entries of queue_devices: the facet's ceiling */
#define LOST_AFTER_NS 300000000000ULL /* drivers give up on a request much sooner */
#define LOOK_FOR_LOST 30	      /* ticks */
#define ERRORS_RECORDED_A_TICK 16     /* a dying disk may report thousands a second */

static struct {
	struct wv_queue_dev_key *keys; /* [MAX_DEVICES], as last read */
	struct wv_queue_dev *values;
	uint32_t n;
	uint64_t carried; /* requests in flight of cgroups that went: they end in `other` */
	unsigned recorded, suppressed; /* error records since the last tick */
	uint32_t root;		       /* slot of machine-wide figures */
} q;

/* Rows of cgroups ------------------------------------------------------------------------------ */

/* Words of struct wv_queue_row that are signals as they stand, in order. */
static const enum wv_signal row_signals[] = {
	WV_SIG_IO_READ_BYTES, WV_SIG_IO_WRITE_BYTES, WV_SIG_IO_READS,
	WV_SIG_IO_WRITES,     WV_SIG_IO_ERRORS,
};

static void store_row(void *ctx, uint32_t slot, const uint64_t *words)
{
	const struct wv_queue_row *row = (const void *)words;
	struct wv_sample *s = ctx;
	uint64_t issued = row->issued;

	if (slot == WV_SLOT_OTHER)
		issued += q.carried;
	for (size_t i = 0; i < ARRAY_SIZE(row_signals); i++)
		wv_sample_set(s, slot, row_signals[i], words[i]);
	wv_sample_set(s, slot, WV_SIG_IO_INFLIGHT, wv_queue_in_flight(issued, row->ended));
	wv_sample_set_hist(s, slot, WV_HIST_IO_LATENCY, (const uint64_t *)row->latency,
			   row->latency_sum_ns);
}

/* Devices -------------------------------------------------------------------------------------- */

static void add_device(struct wv_sample *s, uint32_t slot, const char *name,
		       const struct wv_queue_dev *d)
{
	struct wv_facet_row *f = wv_sample_add_facet(s, WV_FACET_BLKDEV, slot, name);

	if (!f)
		return;
	f->v[0] = d->read_bytes;
	f->v[1] = d->write_bytes;
	f->v[2] = d->requests;
	f->v[3] = d->errors;
	f->v[4] = wv_queue_in_flight(d->issued, d->ended);
}

static int read_devices(const struct wv_bpf *bpf)
{
	int fd = wv_bpf_map_fd(bpf, "queue_devices");
	uint32_t count = MAX_DEVICES, out;

	if (fd < 0)
		return -ENOENT;
	if (bpf_map_lookup_batch(fd, NULL, &out, q.keys, q.values, &count, NULL) < 0 &&
	    errno != ENOENT)
		return -errno;
	q.n = count;
	return 0;
}

static int sense_devices(struct wv_agent *agent)
{
	int r = read_devices(agent->bpf), fd = wv_bpf_map_fd(agent->bpf, "queue_devices_other");
	struct wv_queue_dev rest;
	uint32_t zero = 0;

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < q.n; i++)
		if (wv_sample_row(&agent->sample, q.keys[i].slot))
			add_device(&agent->sample, q.keys[i].slot,
				   wv_device_name(q.keys[i].dev, agent->sample.seq), &q.values[i]);
	if (fd >= 0 && bpf_map_lookup_elem(fd, &zero, &rest) == 0 && rest.issued + rest.requests)
		add_device(&agent->sample, WV_SLOT_OTHER, "other", &rest);
	return 0;
}

/* Runs one of the programs that take arguments; what it does is best effort. */
static void run_program(const struct wv_bpf *bpf, const char *name, uint64_t *args, size_t n)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int prog = wv_bpf_prog_fd(bpf, name);

	opts.ctx_in = args;
	opts.ctx_size_in = (__u32)(n * sizeof(*args));
	if (prog < 0 || bpf_prog_test_run_opts(prog, &opts) < 0)
		(void)wv_log_full(LOG_DEBUG, prog < 0 ? -ENOENT : -errno, "queue", "run %s", name);
}

/* Takes requests out of what is in flight that no device keeps that long. */
static void forget_lost(const struct wv_bpf *bpf, uint64_t now)
{
	int fd = wv_bpf_map_fd(bpf, "queue_requests");
	uint64_t key, *prev = NULL, lost[16];
	struct wv_queue_request r;
	size_t n = 0;

	/* bounded: a key that goes away while we walk makes the walk start anew */
	for (unsigned i = 0; i < WV_QUEUE_REQUESTS && n < ARRAY_SIZE(lost); i++, prev = &key) {
		if (fd < 0 || bpf_map_get_next_key(fd, prev, &key) < 0)
			break;
		if (bpf_map_lookup_elem(fd, &key, &r) == 0 && r.start_ns + LOST_AFTER_NS < now)
			lost[n++] = key;
	}
	for (size_t i = 0; i < n; i++)
		run_program(bpf, "queue_forget", &lost[i], 1);
}

static void slot_gone(struct wv_agent *agent, uint32_t slot)
{
	const struct wv_row *row = wv_sample_row(&agent->sample, slot);

	if (!row || !q.keys || !wv_bpf_has(agent->bpf, "queue"))
		return;
	q.carried += row->f.v[WV_SIG_IO_INFLIGHT];
	/* most cgroups of a churning machine never touch a disk: they cost no read of the map */
	if (!row->f.v[WV_SIG_IO_READS] && !row->f.v[WV_SIG_IO_WRITES] &&
	    !row->f.v[WV_SIG_IO_ERRORS] && !row->f.v[WV_SIG_IO_INFLIGHT])
		return;
	if (read_devices(agent->bpf) < 0)
		return;
	for (uint32_t i = 0; i < q.n; i++) {
		uint64_t args[] = {slot, row->parent_slot, q.keys[i].dev};

		if (q.keys[i].slot == slot)
			run_program(agent->bpf, "queue_fold", args, ARRAY_SIZE(args));
	}
}

/* Softirqs ------------------------------------------------------------------------------------- */

static const char *const softirq_names[WV_SOFTIRQS] = {
	"hi",	    "timer",   "net_tx", "net_rx",  "block",
	"irq_poll", "tasklet", "sched",	 "hrtimer", "rcu",
};

static void add_softirq(struct wv_sample *s, const char *name, uint64_t time_ns, uint64_t runs)
{
	struct wv_facet_row *f = wv_sample_add_facet(s, WV_FACET_SOFTIRQ, q.root, name);

	if (!f)
		return;
	f->v[0] = time_ns;
	f->v[1] = runs;
}

static int sense_softirqs(struct wv_agent *agent)
{
	int fd = wv_bpf_map_fd(agent->bpf, "queue_softirqs");
	_cleanup_free_ struct wv_softirq *cpus = NULL;
	uint32_t zero = 0;

	if (fd < 0)
		return -ENOENT;
	cpus = calloc(agent->host->ncpu, sizeof(*cpus));
	if (!cpus)
		return -ENOMEM;
	if (bpf_map_lookup_elem(fd, &zero, cpus) < 0)
		return -errno;
	for (unsigned v = 0; v < WV_SOFTIRQS; v++) {
		uint64_t time_ns = 0, runs = 0;

		for (unsigned cpu = 0; cpu < agent->host->ncpu; cpu++) {
			time_ns += cpus[cpu].time_ns[v];
			runs += cpus[cpu].runs[v];
		}
		add_softirq(&agent->sample, softirq_names[v], time_ns, runs);
	}
	return 0;
}

/* Without hooks -------------------------------------------------------------------------------- */

static void softirq_from_files(void *ctx, const char *name, uint64_t time_ns, uint64_t runs)
{
	add_softirq(ctx, name, time_ns, runs);
}

static void disk_from_files(void *ctx, const char *name, const struct wv_disk *d)
{
	struct wv_sample *s = ctx;
	struct wv_row *row = wv_sample_row(s, q.root);
	struct wv_facet_row *f = wv_sample_add_facet(s, WV_FACET_BLKDEV, q.root, name);

	if (f) {
		f->v[0] = d->read_bytes;
		f->v[1] = d->write_bytes;
		f->v[2] = d->reads + d->writes;
		f->v[4] = d->in_flight;
	}
	if (!row || d->stacked)
		return; /* what is below it counts the same bytes */
	row->f.v[WV_SIG_IO_READ_BYTES] += d->read_bytes;
	row->f.v[WV_SIG_IO_WRITE_BYTES] += d->write_bytes;
	row->f.v[WV_SIG_IO_READS] += d->reads;
	row->f.v[WV_SIG_IO_WRITES] += d->writes;
	row->f.v[WV_SIG_IO_INFLIGHT] += d->in_flight;
}

static int sense_files(struct wv_agent *agent)
{
	static const enum wv_signal summed[] = {
		WV_SIG_IO_READ_BYTES, WV_SIG_IO_WRITE_BYTES, WV_SIG_IO_READS,
		WV_SIG_IO_WRITES,     WV_SIG_IO_INFLIGHT,
	};
	int r, r2;

	for (size_t i = 0; i < ARRAY_SIZE(summed); i++)
		wv_sample_set(&agent->sample, q.root, summed[i], 0);
	r = wv_disks_read("/sys/block", disk_from_files, &agent->sample);
	r2 = wv_softirqs_read("/proc", softirq_from_files, &agent->sample);
	return r < 0 ? r : r2;
}

/* Module --------------------------------------------------------------------------------------- */

static int start(struct wv_agent *agent)
{
	q.keys = calloc(MAX_DEVICES, sizeof(*q.keys));
	q.values = calloc(MAX_DEVICES, sizeof(*q.values));
	(void)agent;
	return q.keys && q.values ? 0 : -ENOMEM;
}

static void stop(struct wv_agent *agent)
{
	(void)agent;
	free(q.keys);
	free(q.values);
	memset(&q, 0, sizeof(q));
}

static int sense(struct wv_agent *agent)
{
	int slot = wv_cgroups_slot_by_path(agent, "/"), r, r2;

	q.root = slot < 0 ? WV_SLOT_OTHER : (uint32_t)slot;
	if (q.suppressed)
		wv_log_info("queue", "%u I/O errors were counted but not recorded", q.suppressed);
	q.recorded = q.suppressed = 0;
	if (!wv_bpf_has(agent->bpf, "queue"))
		return sense_files(agent);
	r = wv_bpf_table_read(agent->bpf, "queue_rows", agent->sample.used_rows, store_row,
			      &agent->sample);
	if (r < 0)
		return r;
	if (agent->sample.seq % LOOK_FOR_LOST == 0)
		forget_lost(agent->bpf, agent->io->mono_ns(agent->io->ctx));
	r = sense_devices(agent);
	r2 = sense_softirqs(agent);
	return r < 0 ? r : r2;
}

static void event(struct wv_agent *agent, const struct wv_event *header)
{
	static const char *const ops[] = {"read", "write", "flush", "discard"};
	const struct wv_event_io_error *ev = (const void *)header;
	const struct wv_row *row = wv_sample_row(&agent->sample, header->slot);
	struct json_object *o;

	if (header->size < sizeof(*ev) || !agent->record)
		return;
	if (q.recorded >= ERRORS_RECORDED_A_TICK) {
		q.suppressed++;
		return;
	}
	o = json_object_new_object();
	if (!o)
		return;
	q.recorded++;
	json_object_object_add(o, "cgroup", json_object_new_string(row ? row->path : "other"));
	json_object_object_add(o, "device",
			       json_object_new_string(wv_device_name(ev->dev, agent->sample.seq)));
	json_object_object_add(
		o, "op", json_object_new_string(ev->op < ARRAY_SIZE(ops) ? ops[ev->op] : "other"));
	json_object_object_add(o, "sector", json_object_new_uint64(ev->sector));
	json_object_object_add(o, "bytes", json_object_new_uint64(ev->bytes));
	json_object_object_add(o, "error", json_object_new_string(wv_block_error(ev->error)));
	(void)agent->record(agent, "io-error", o);
}

/* "issuing task 98 %, blkcg 2 %", from the counts of the set that runs; "" if there are none. */
static void ways_text(const struct wv_bpf *bpf, char *buf, size_t size)
{
	static const char *const names[] = {
#define X(id, text) text,
		WV_QUEUE_WAYS(X)
#undef X
	};
	int fd = wv_bpf_map_fd(bpf, "queue_ways");
	uint64_t n[WV_QUEUE_WAY_N] = {0}, total = 0;
	size_t len = 0;

	buf[0] = '\0';
	for (uint32_t i = 0; fd >= 0 && i < WV_QUEUE_WAY_N; i++)
		if (bpf_map_lookup_elem(fd, &i, &n[i]) == 0)
			total += n[i];
	for (unsigned i = 0; total && i < WV_QUEUE_WAY_N; i++)
		if (n[i] && len < size)
			len += (size_t)snprintf(buf + len, size - len, "%s%s %" PRIu64 " %%",
						len ? ", " : "", names[i],
						(n[i] * 100 + total / 2) / total);
}

/* What attributes a request, and how well. */
static int probe_attribution(const struct wv_host *host, const struct wv_bpf *bpf, bool hooks,
			     struct wv_capabilities *caps)
{
	char uses[64] = "blkcg, issuing task", ways[80] = "", reason[160] = "";
	bool blkcg = host->v2_controller[WV_CTRL_IO] ||
		     (host->v1_ssid >= 0 && host->v1_attribution == WV_CTRL_IO);

	if (!hooks)
		return wv_capability_add(
			caps, "queue", "block I/O per cgroup", WV_CAP_MISSING, "",
			"no block hooks: the machine's figures stand in the root's row");
	if (bpf)
		ways_text(bpf, ways, sizeof(ways));
	if (!blkcg) {
		snprintf(uses, sizeof(uses), "issuing task");
		snprintf(reason, sizeof(reason),
			 "the io controller is in a v1 hierarchy: writeback counts in the root%s%s",
			 ways[0] ? "; " : "", ways);
	} else {
		snprintf(reason, sizeof(reason), "%s", ways);
	}
	return wv_capability_add(caps, "queue", "block I/O per cgroup",
				 blkcg ? WV_CAP_OK : WV_CAP_FALLBACK, uses, reason);
}

static int probe(const struct wv_host *host, const struct wv_bpf *bpf, struct wv_capabilities *caps)
{
	static const struct {
		const char *name, *hooks, *files;
	} rows[] = {
		{"block I/O, latency, in flight", "block_rq_issue, block_rq_complete",
		 "/sys/block"},
		{"softirq time", "softirq_entry, softirq_exit", "/proc/softirqs, /proc/stat"},
	};
	const char *kind = host->flavour == WV_FLAVOUR_BTF ? "tp_btf" : "raw_tp", *reason = "";
	bool hooks = host->flavour != WV_FLAVOUR_NONE;
	char uses[64];
	int r;

	if (!hooks)
		reason = "the kernel takes neither BTF nor raw tracepoint programs";
	else if (bpf && !wv_bpf_has(bpf, "queue")) {
		hooks = false;
		reason = wv_bpf_reason(bpf, "queue");
	} else if (host->flavour == WV_FLAVOUR_RAW) {
		reason = "BTF tracepoints are refused";
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (hooks)
			snprintf(uses, sizeof(uses), "%s/%s", kind, rows[i].hooks);
		else
			snprintf(uses, sizeof(uses), "%s", rows[i].files);
		r = wv_capability_add(caps, "queue", rows[i].name,
				      reason[0] ? WV_CAP_FALLBACK : WV_CAP_OK, uses, reason);
		if (r < 0)
			return r;
	}
	return probe_attribution(host, bpf, hooks, caps);
}

static int configure(struct bpf_object *obj, const struct wv_host *host,
		     const struct wv_config *config)
{
	unsigned args = 0;

	(void)host;
	(void)config;
	/* before 5.11 the request comes second, after its queue */
	if (wv_bpf_has_tracepoint("block_rq_issue", &args))
		wv_bpf_skip_program(obj, args > 1 ? "queue_issue" : "queue_issue_q");
	return 0;
}

static const void *elf_btf(size_t *size)
{
	return queue_btf__elf_bytes(size);
}

static const void *elf_raw(size_t *size)
{
	return queue_raw__elf_bytes(size);
}

static const struct wv_table_desc tables[] = {
	{"queue_rows", sizeof(struct wv_queue_row), false},
	{0},
};

static const struct wv_object object = {
	.name = "queue",
	.elf_btf = elf_btf,
	.elf_raw = elf_raw,
	.tables = tables,
	.configure = configure,
};

const struct wv_module wv_module_queue = {
	.name = "queue",
	.summary = "Block I/O per cgroup and device, requests in flight, softirq time",
	.object = &object,
	.probe = probe,
	.start = start,
	.sense = sense,
	.event = event,
	.events = 1U << WV_EV_IO_ERROR,
	.slot_gone = slot_gone,
	.stop = stop,
};
