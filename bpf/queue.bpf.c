// SPDX-License-Identifier: GPL-2.0-only
/*
 * Block requests per cgroup and device; softirq time per vector.
 *
 * Hooks: block_rq_issue, block_rq_complete, softirq_entry, softirq_exit.
 *
 * Latency is from the request's start_time_ns, which the kernel keeps for its own statistics (time
 * in the I/O scheduler included); only a queue with iostats switched off has none, then it is from
 * the issue.
 *
 * Whose a request is gets settled at issue and remembered until completion, which happens in
 * interrupt context: the issuing task's, if that task is in the blkcg that the bio carries (then it
 * is at least as precise: the io controller may be enabled for an ancestor only); else the bio's
 * blkcg, which is right for writeback too, if its hierarchy is one that the agent attributes; else
 * a kernel thread's own.
 */
#include "lib/waveos.bpf.h"
#include "waveos/queue.h"

#define PF_KTHREAD 0x00200000
#define OP_MASK 0xff
#define OP_DISCARD 3
#define OP_PASSTHROUGH                                                                             \
	32 /* from here on: drivers' own commands, which the kernel does not count as I/O */

WV_TABLE(queue_rows, struct wv_queue_row);

/* sized by user space to the facet's ceiling */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct wv_queue_dev_key);
	__type(value, struct wv_queue_dev);
} queue_devices SEC(".maps");

/* what found no place in queue_devices */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wv_queue_dev);
} queue_devices_other SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WV_QUEUE_REQUESTS);
	__type(key, __u64);
	__type(value, struct wv_queue_request);
} queue_requests SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WV_QUEUE_WAY_N);
	__type(key, __u32);
	__type(value, __u64);
} queue_ways SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wv_softirq);
} queue_softirqs SEC(".maps");

/* Whose a request is --------------------------------------------------------------------------- */

static __always_inline void count_way(enum wv_queue_way way)
{
	__u32 key = way;
	__u64 *n = bpf_map_lookup_elem(&queue_ways, &key);

	if (n)
		wv_add(*n, 1);
}

/* The blkcg that a request's first bio carries; NULL if none. */
static __always_inline struct blkcg *request_blkcg(struct request *rq)
{
	struct bio *bio = WV_READ(rq, bio);

	if (!bio || !bpf_core_field_exists(bio->bi_blkg))
		return NULL;
	return WV_READ2(bio, bi_blkg, blkcg);
}

/* Key of a blkcg's cgroup, if its hierarchy is one that attributes. */
static __always_inline bool blkcg_key(struct blkcg *blkcg, __u64 *ret_key)
{
	struct cgroup *cgrp = WV_READ(blkcg, css.cgroup);
	__u32 hierarchy = WV_READ2(cgrp, root, hierarchy_id);
	__u64 id = WV_READ2(cgrp, kn, id);

	if (!hierarchy) {
		*ret_key = id;
		return true;
	}
	if (wv_settings.v1_ssid >= 0 && hierarchy == wv_settings.v1_root_hierarchy) {
		*ret_key = id | WV_KEY_V1;
		return true;
	}
	return false;
}

/* What has to be known of the task that issues a request. */
struct issuer {
	__u64 key;
	__u64 blkcg; /* 0 if this kernel has none */
	bool kthread;
};

#define IO_SSID (bpf_core_enum_value(enum cgroup_subsys_id, io_cgrp_id) & 15)

static __always_inline void read_issuer(struct issuer *i)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct cgroup_subsys_state *css = NULL;
	struct css_set *set = BPF_CORE_READ(task, cgroups);

	i->key = wv_task_key_read(task);
	i->kthread = BPF_CORE_READ(task, flags) & PF_KTHREAD;
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, io_cgrp_id))
		bpf_core_read(&css, sizeof(css), &set->subsys[IO_SSID]);
	i->blkcg = (__u64)css; /* css is the first member of struct blkcg */
}

static __always_inline void get_issuer(struct issuer *i)
{
#ifndef WV_RAW_TP
	/* since 5.11; saves a dozen probe reads */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)) {
		struct task_struct *task = bpf_get_current_task_btf();
		struct css_set *set = task->cgroups;

		i->key = wv_task_key(task);
		i->kthread = task->flags & PF_KTHREAD;
		i->blkcg = 0;
		if (bpf_core_enum_value_exists(enum cgroup_subsys_id, io_cgrp_id))
			i->blkcg = (__u64)set->subsys[IO_SSID];
		return;
	}
#endif
	read_issuer(i);
}

/* Key of the cgroup that a request is charged to, in the context of its issue. */
static __always_inline bool issue_key(struct request *rq, __u64 *ret_key)
{
	struct blkcg *blkcg = request_blkcg(rq);
	struct issuer by;

	get_issuer(&by);
	if (!by.kthread && (!blkcg || by.blkcg == (__u64)blkcg)) {
		*ret_key = by.key;
		count_way(WV_QUEUE_WAY_TASK);
		return true;
	}
	if (blkcg && blkcg_key(blkcg, ret_key)) {
		count_way(WV_QUEUE_WAY_BLKCG);
		return true;
	}
	if (by.kthread) {
		*ret_key = by.key;
		count_way(WV_QUEUE_WAY_KTHREAD);
		return true;
	}
	count_way(WV_QUEUE_WAY_UNKNOWN);
	return false;
}

/* key 0: nobody's, in `other` by intent */
static __always_inline __u32 key_slot(__u64 key)
{
	return key ? wv_key_slot(key) : WV_SLOT_OTHER;
}

/* Where a request is counted ------------------------------------------------------------------- */

struct request___old {
	struct gendisk *rq_disk; /* before 5.17 */
} __attribute__((preserve_access_index));

static __always_inline __u32 request_dev(struct request *rq)
{
	struct gendisk *disk;

	if (bpf_core_field_exists(struct request___old, rq_disk))
		disk = WV_READ((struct request___old *)rq, rq_disk);
	else
		disk = WV_READ2(rq, q, disk);
	return (__u32)WV_READ(disk, major) << 20 | (__u32)WV_READ(disk, first_minor);
}

/* Entry of a cgroup's device, made if need be; the shared one when the map is full. */
static __always_inline struct wv_queue_dev *device_entry(__u32 slot, __u32 dev, __u32 *ret_known)
{
	struct wv_queue_dev_key key = {.slot = slot, .dev = dev};
	struct wv_queue_dev *d = bpf_map_lookup_elem(&queue_devices, &key), zero = {};
	__u32 index = 0;
	long err;

	*ret_known = 1;
	if (d)
		return d;
	err = bpf_map_update_elem(&queue_devices, &key, &zero, BPF_NOEXIST);
	d = bpf_map_lookup_elem(&queue_devices, &key);
	if (d)
		return d;
	*ret_known = 0;
	wv_count_place(WV_PLACE_FACET_FULL, err);
	return bpf_map_lookup_elem(&queue_devices_other, &index);
}

/* Takes a request out of what is in flight where its issue put it in. slot: of its cgroup now. */
static __always_inline void flight_end(const struct wv_queue_request *r, __u32 slot)
{
	struct wv_queue_dev_key key = {.slot = r->slot, .dev = r->dev};
	struct wv_queue_row *row;
	struct wv_queue_dev *d;
	__u32 index = 0;

	/* the cgroup went or got a slot meanwhile: `other` has the count, or inherits it
	 * (slot_gone) */
	row = wv_row(queue_rows, slot == r->slot ? slot : WV_SLOT_OTHER);
	if (row)
		wv_add(row->ended, 1);
	if (!r->dev_known)
		d = bpf_map_lookup_elem(&queue_devices_other, &index);
	else if (slot == r->slot || r->slot == WV_SLOT_OTHER)
		d = bpf_map_lookup_elem(&queue_devices, &key);
	else
		return; /* its entry was merged into the parent's, with what was in flight left out
			 */
	if (d)
		wv_add(d->ended, 1);
}

/* Issue ---------------------------------------------------------------------------------------- */

static __always_inline void on_issue(struct request *rq)
{
	struct wv_queue_request *old, r = {};
	__u64 address = (__u64)rq;
	struct wv_queue_row *row;
	struct wv_queue_dev *d;
	long err;

	/* a flush carries no data and the drivers' own commands are no I/O */
	if (!WV_READ(rq, __data_len) || (WV_READ(rq, cmd_flags) & OP_MASK) >= OP_PASSTHROUGH)
		return;
	r.alloc_ns = WV_READ(rq, start_time_ns);
	r.dev = request_dev(rq);
	old = bpf_map_lookup_elem(&queue_requests, &address);
	if (old) {
		if (old->alloc_ns == r.alloc_ns && r.alloc_ns)
			return;			     /* requeued and issued again */
		flight_end(old, key_slot(old->key)); /* freed without completion */
	}
	r.start_ns = r.alloc_ns ?: bpf_ktime_get_ns();
	if (!issue_key(rq, &r.key))
		r.key = 0;
	r.slot = key_slot(r.key);
	d = device_entry(r.slot, r.dev, &r.dev_known);
	err = bpf_map_update_elem(&queue_requests, &address, &r, BPF_ANY);
	if (err) {
		wv_count_place(WV_PLACE_START_INSERT, err);
		return;
	}
	row = wv_row(queue_rows, r.slot);
	if (row)
		wv_add(row->issued, 1);
	if (d)
		wv_add(d->issued, 1);
}

WV_TP("block_rq_issue")
int BPF_PROG(queue_issue, struct request *rq)
{
	if (wv_live())
		on_issue(rq);
	return 0;
}

/* before 5.11; user space loads the one that fits */
WV_TP("block_rq_issue")
int BPF_PROG(queue_issue_q, struct request_queue *q, struct request *rq)
{
	if (wv_live())
		on_issue(rq);
	return 0;
}

/* Completion ----------------------------------------------------------------------------------- */

static __always_inline void emit_error(struct request *rq, int error, __u32 bytes, __u32 dev,
				       __u64 key, __u32 slot)
{
	struct wv_event_io_error *ev = wv_event_reserve(WV_EV_IO_ERROR, sizeof(*ev));

	if (!ev)
		return;
	ev->h.key = key;
	ev->h.slot = slot;
	ev->sector = WV_READ(rq, __sector);
	ev->bytes = bytes;
	ev->dev = dev;
	ev->error = error;
	ev->op = WV_READ(rq, cmd_flags) & OP_MASK;
	wv_event_submit(ev);
}

/* Adds what just completed. whole: it was the rest of the request. */
static __always_inline void count_data(struct wv_queue_row *row, struct wv_queue_dev *d, __u32 op,
				       __u32 bytes, int error, bool whole)
{
	bool write = op & 1;

	if (error) {
		if (row)
			wv_add(row->errors, 1);
		if (d)
			wv_add(d->errors, 1);
		bytes = 0;
	}
	if (op == OP_DISCARD)
		return; /* moves no data */
	if (row && write) {
		wv_add(row->write_bytes, bytes);
		wv_add(row->writes, whole);
	} else if (row) {
		wv_add(row->read_bytes, bytes);
		wv_add(row->reads, whole);
	}
	if (d) {
		if (write)
			wv_add(d->write_bytes, bytes);
		else
			wv_add(d->read_bytes, bytes);
		wv_add(d->requests, whole);
	}
}

static __always_inline void on_complete(struct request *rq, int error, __u32 bytes)
{
	__u64 address = (__u64)rq, start = WV_READ(rq, start_time_ns), key = 0, ns;
	__u32 op = WV_READ(rq, cmd_flags) & OP_MASK, slot, dev, known;
	bool whole = bytes >= WV_READ(rq, __data_len);
	struct wv_queue_request *r;
	struct wv_queue_row *row;
	struct blkcg *blkcg;

	if (!bytes || op >= OP_PASSTHROUGH)
		return;
	dev = request_dev(rq);
	r = bpf_map_lookup_elem(&queue_requests, &address);
	if (r) {
		key = r->key;
		start = r->start_ns;
		slot = key_slot(key);
	} else { /* issued before the hooks, or not followed */
		blkcg = request_blkcg(rq);
		slot = blkcg && blkcg_key(blkcg, &key) ? wv_key_slot(key) : WV_SLOT_OTHER;
	}
	row = wv_row(queue_rows, slot);
	count_data(row, device_entry(slot, dev, &known), op, bytes, error, whole);
	if (error)
		emit_error(rq, error, bytes, dev, key, slot);
	if (!whole)
		return;
	if (r) {
		flight_end(r, slot);
		bpf_map_delete_elem(&queue_requests, &address);
	}
	if (!row || !start || op == OP_DISCARD)
		return;
	ns = bpf_ktime_get_ns() - start;
	if ((__s64)ns < 0)
		ns = 0;
	wv_add(row->latency_sum_ns, ns);
	wv_add(row->latency[wv_hist_bucket(ns)], 1);
}

/* error: negative errno before 5.16, blk_status_t since */
WV_TP("block_rq_complete")
int BPF_PROG(queue_complete, struct request *rq, int error, unsigned int bytes)
{
	if (wv_live())
		on_complete(rq, error, bytes);
	return 0;
}

/*
 * Run by user space when a cgroup is gone: adds what its device counted to its parent's entry and
 * removes it, so that no device's sum goes back. Arguments: slot, slot of the parent, device.
 */
SEC("raw_tp")
int queue_fold(struct bpf_raw_tracepoint_args *ctx)
{
	struct wv_queue_dev_key from = {.slot = ctx->args[0], .dev = ctx->args[2]};
	struct wv_queue_dev *d = bpf_map_lookup_elem(&queue_devices, &from), *into;
	__u32 known;

	if (!d)
		return 0;
	into = device_entry(ctx->args[1], from.dev, &known);
	if (!into || into == d)
		return 0;
	wv_add(into->read_bytes, d->read_bytes);
	wv_add(into->write_bytes, d->write_bytes);
	wv_add(into->requests, d->requests);
	wv_add(into->errors, d->errors);
	bpf_map_delete_elem(&queue_devices, &from);
	return 0;
}

/*
 * Run by user space for a request that should have completed long ago (its completion was not
 * seen): takes it out of what is in flight. Argument: the map's key.
 */
SEC("raw_tp")
int queue_forget(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 address = ctx->args[0];
	struct wv_queue_request *r = bpf_map_lookup_elem(&queue_requests, &address);

	if (!r)
		return 0;
	flight_end(r, key_slot(r->key));
	bpf_map_delete_elem(&queue_requests, &address);
	return 0;
}

/* Softirqs ------------------------------------------------------------------------------------- */

WV_TP("softirq_entry")
int BPF_PROG(queue_softirq_in, unsigned int vector)
{
	struct wv_softirq *s;
	__u32 zero = 0;

	if (!wv_live())
		return 0;
	s = bpf_map_lookup_elem(&queue_softirqs, &zero);
	if (s)
		s->entered_ns = bpf_ktime_get_ns();
	return 0;
}

WV_TP("softirq_exit")
int BPF_PROG(queue_softirq_out, unsigned int vector)
{
	struct wv_softirq *s;
	__u32 zero = 0;
	__u64 ns;

	if (!wv_live())
		return 0;
	s = bpf_map_lookup_elem(&queue_softirqs, &zero);
	if (!s || !s->entered_ns || vector >= WV_SOFTIRQS)
		return 0;
	ns = bpf_ktime_get_ns() - s->entered_ns;
	s->entered_ns = 0;
	if (ns > WV_SOFTIRQ_MAX_NS)
		return 0; /* the observers stood still in between */
	s->time_ns[vector] += ns;
	s->runs[vector]++;
	return 0;
}
