// SPDX-License-Identifier: GPL-2.0-only
/*
 * User half of bpf/error.bpf.c. Counters are complete; records of single errors are bounded per
 * kind, and each says how many of its kind were left out before it.
 */
#include "user/collect/error.h"

#include "waveos/error.h"

#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "skel/error.btf.skel.h"
#include "skel/error.raw.skel.h"
#include "user/core/bpf_set.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/core/module.h"

#define NSEC 1000000000ULL

static const struct hw_source {
	const char *tracepoint, *program;
} hw_sources[WV_HW_N] = {
#define X(id, tracepoint, program) [WV_HW_##id] = {tracepoint, program},
	WV_HW_SOURCES(X)
#undef X
};

/* A non-zero exit is everyday life of a shell, the others are not. */
static struct limits {
	struct wv_record_limit signals, exits, allocs, hw;
} limits;
static const struct limits fresh_limits = {
	.signals = {.burst = 64, .every_ns = NSEC},
	.exits = {.burst = 16, .every_ns = 10 * NSEC},
	.allocs = {.burst = 16, .every_ns = NSEC},
	.hw = {.burst = 64, .every_ns = NSEC},
};

bool wv_record_limit_take(struct wv_record_limit *l, uint64_t now_ns, uint64_t *ret_suppressed)
{
	uint64_t back = now_ns > l->since_ns ? (now_ns - l->since_ns) / l->every_ns : 0;

	l->since_ns += back * l->every_ns;
	if (back >= l->used) {
		l->used = 0;
		l->since_ns = now_ns;
	} else {
		l->used -= (uint32_t)back;
	}
	if (l->used >= l->burst) {
		l->suppressed++;
		return false;
	}
	l->used++;
	*ret_suppressed = l->suppressed;
	l->suppressed = 0;
	return true;
}

/* Records ---------------------------------------------------------------------------------------
 */

static void add_string(struct json_object *o, const char *key, const char *value)
{
	if (value[0])
		json_object_object_add(o, key, json_object_new_string(value));
}

/* Path of the cgroup that an event is about, "other" if it is not known by a slot of its own. */
static const char *event_path(struct wv_agent *agent, const struct wv_event *ev)
{
	const struct wv_row *row = wv_sample_row(&agent->sample, ev->slot);

	return row && row->key == ev->key ? row->path : "other";
}

/* Fields that every record of an error with a subject begins with; NULL if there is no memory. */
static struct json_object *subject_fields(struct wv_agent *agent, const struct wv_event *ev,
					  uint64_t suppressed)
{
	struct json_object *o = json_object_new_object();
	char comm[sizeof(ev->comm) + 1] = {0};

	if (!o)
		return NULL;
	memcpy(comm, ev->comm, sizeof(ev->comm));
	json_object_object_add(o, "event_mono_ns", json_object_new_uint64(ev->mono_ns));
	json_object_object_add(o, "cgroup", json_object_new_string(event_path(agent, ev)));
	json_object_object_add(o, "comm", json_object_new_string(comm));
	json_object_object_add(o, "pid", json_object_new_int64(ev->pid));
	if (suppressed)
		json_object_object_add(o, "suppressed", json_object_new_uint64(suppressed));
	return o;
}

static void record_exit(struct wv_agent *agent, const struct wv_event *h)
{
	const struct wv_event_exit *ev = (const struct wv_event_exit *)h;
	bool by_signal = h->type == WV_EV_FATAL_SIGNAL;
	int signal = (int)(ev->status & 0x7f);
	struct json_object *o;
	uint64_t suppressed;
	const char *name;

	if (!wv_record_limit_take(by_signal ? &limits.signals : &limits.exits, h->mono_ns,
				  &suppressed))
		return;
	o = subject_fields(agent, h, suppressed);
	if (!o)
		return;
	json_object_object_add(o, "ppid", json_object_new_int64(ev->ppid));
	if (by_signal) {
		name = sigabbrev_np(signal);
		json_object_object_add(o, "signal", json_object_new_int(signal));
		add_string(o, "signal_name", name ?: "");
		json_object_object_add(o, "core_dumped",
				       json_object_new_boolean(ev->status & 0x80));
	} else {
		json_object_object_add(o, "status", json_object_new_int(ev->status >> 8 & 0xff));
	}
	(void)agent->record(agent, by_signal ? "fatal-signal" : "exit-nonzero", o);
}

static void record_alloc(struct wv_agent *agent, const struct wv_event *h)
{
	const struct wv_event_alloc *ev = (const struct wv_event_alloc *)h;
	char text[WV_ALLOC_TEXT + 1] = {0};
	struct json_object *o;
	uint64_t suppressed;

	if (!wv_record_limit_take(&limits.allocs, h->mono_ns, &suppressed))
		return;
	o = subject_fields(agent, h, suppressed);
	if (!o)
		return;
	memcpy(text, ev->text, WV_ALLOC_TEXT);
	text[strcspn(text, "\n")] = '\0';
	add_string(o, "message", text);
	(void)agent->record(agent, "alloc-failure", o);
}

static void record_hw(struct wv_agent *agent, const struct wv_event *h)
{
	const struct wv_event_hw *ev = (const struct wv_event_hw *)h;
	char text[WV_HW_TEXT + 1] = {0}, detail[24];
	struct json_object *o;
	uint64_t suppressed;

	if (!wv_record_limit_take(&limits.hw, h->mono_ns, &suppressed))
		return;
	o = json_object_new_object();
	if (!o)
		return;
	json_object_object_add(o, "event_mono_ns", json_object_new_uint64(h->mono_ns));
	json_object_object_add(o, "source",
			       json_object_new_string(ev->source < WV_HW_N
							      ? hw_sources[ev->source].tracepoint
							      : "unknown"));
	json_object_object_add(o, "count", json_object_new_int64(ev->count));
	snprintf(detail, sizeof(detail), "0x%llx", (unsigned long long)ev->detail);
	json_object_object_add(o, "detail", json_object_new_string(detail));
	memcpy(text, ev->what, WV_HW_TEXT);
	add_string(o, "what", text);
	memcpy(text, ev->where, WV_HW_TEXT);
	add_string(o, "where", text);
	if (suppressed)
		json_object_object_add(o, "suppressed", json_object_new_uint64(suppressed));
	(void)agent->record(agent, "hw-error", o);
}

static void event(struct wv_agent *agent, const struct wv_event *ev)
{
	static const struct {
		uint32_t size;
		void (*record)(struct wv_agent *agent, const struct wv_event *ev);
	} kinds[WV_EV_N] = {
		[WV_EV_FATAL_SIGNAL] = {sizeof(struct wv_event_exit), record_exit},
		[WV_EV_EXIT_NONZERO] = {sizeof(struct wv_event_exit), record_exit},
		[WV_EV_ALLOC_FAILURE] = {sizeof(struct wv_event_alloc), record_alloc},
		[WV_EV_HW_ERROR] = {sizeof(struct wv_event_hw), record_hw},
	};

	if (ev->type < WV_EV_N && kinds[ev->type].record && ev->size >= kinds[ev->type].size)
		kinds[ev->type].record(agent, ev);
}

/* Figures ---------------------------------------------------------------------------------------
 */

static void store_row(void *ctx, uint32_t slot, const uint64_t *words)
{
	const struct wv_error_row *row = (const struct wv_error_row *)words;
	struct wv_sample *s = ctx;

	wv_sample_set(s, slot, WV_SIG_ERR_FATAL_SIGNALS, row->fatal_signals);
	wv_sample_set(s, slot, WV_SIG_ERR_EXITS_NONZERO, row->exits_nonzero);
	wv_sample_set(s, slot, WV_SIG_ERR_ALLOC_FAILURES, row->alloc_failures);
}

/* Hardware belongs to no cgroup: the root row has the sum, a facet each source that is watched. */
static int store_hw(struct wv_agent *agent)
{
	int fd = wv_bpf_map_fd(agent->bpf, "error_hw");
	int root = wv_cgroups_slot_by_path(agent, "/");
	uint64_t sum = 0, n;

	if (fd < 0 || root < 0)
		return fd < 0 ? fd : 0;
	for (uint32_t i = 0; i < WV_HW_N; i++) {
		struct wv_facet_row *facet;

		if (wv_bpf_link_fd(agent->bpf, hw_sources[i].program) < 0)
			continue;
		if (bpf_map_lookup_elem(fd, &i, &n) < 0)
			return -errno;
		sum += n;
		facet = wv_sample_add_facet(&agent->sample, WV_FACET_HWERR, (uint32_t)root,
					    hw_sources[i].tracepoint);
		if (facet)
			facet->v[0] = n;
	}
	wv_sample_set(&agent->sample, (uint32_t)root, WV_SIG_ERR_HARDWARE, sum);
	return 0;
}

static int sense(struct wv_agent *agent)
{
	int r;

	if (!wv_bpf_has(agent->bpf, "error"))
		return 0;
	r = wv_bpf_table_read(agent->bpf, "error_rows", agent->sample.used_rows, store_row,
			      &agent->sample);
	return r < 0 ? r : store_hw(agent);
}

static int start(struct wv_agent *agent _unused_)
{
	limits = fresh_limits;
	return 0;
}

/* What this machine can do ----------------------------------------------------------------------
 */

/*
 * A kprobe outlives the agent only where perf events are links (5.15 and newer); before, the
 * kernel's log is the better source.
 */
static bool kprobe_works(const struct wv_host *host)
{
	return host->kprobe == 0 &&
	       wv_btf_enum_value("bpf_link_type", "BPF_LINK_TYPE_PERF_EVENT") >= 0;
}

static int probe_exits(const struct wv_host *host, const char *refusal,
		       struct wv_capabilities *caps)
{
	bool btf = host->flavour == WV_FLAVOUR_BTF;

	if (refusal)
		return wv_capability_add(caps, "error", "fatal signals, non-zero exits",
					 WV_CAP_MISSING, "", refusal);
	return wv_capability_add(caps, "error", "fatal signals, non-zero exits",
				 btf ? WV_CAP_OK : WV_CAP_FALLBACK,
				 btf ? "tp_btf/sched_process_exit" : "raw_tp/sched_process_exit",
				 btf ? "" : "BTF tracepoints are refused");
}

static int probe_allocs(const struct wv_host *host, const struct wv_bpf *bpf, const char *refusal,
			struct wv_capabilities *caps)
{
	static const char name[] = "allocation failures";
	bool kprobe = kprobe_works(host),
	     console = !kprobe && wv_bpf_has_tracepoint("console", NULL);

	if (bpf && !refusal) {
		kprobe = wv_bpf_link_fd(bpf, "error_alloc_kprobe") >= 0;
		console = wv_bpf_link_fd(bpf, "error_alloc_console") >= 0;
	}
	if (refusal)
		return wv_capability_add(caps, "error", name, WV_CAP_MISSING, "", refusal);
	if (kprobe)
		return wv_capability_add(caps, "error", name, WV_CAP_OK, "kprobe/warn_alloc", "");
	if (console)
		return wv_capability_add(caps, "error", name, WV_CAP_FALLBACK, "console",
					 "no lasting kprobe on warn_alloc: only what the kernel "
					 "logs is counted, at most one in 10 s");
	return wv_capability_add(caps, "error", name, WV_CAP_MISSING, "",
				 "warn_alloc takes no kprobe and there is no tracepoint console");
}

static int probe_hw(const struct wv_bpf *bpf, const char *refusal, struct wv_capabilities *caps)
{
	static const char name[] = "hardware errors";
	char uses[160] = "";
	size_t n = 0;

	if (refusal)
		return wv_capability_add(caps, "error", name, WV_CAP_MISSING, "", refusal);
	for (size_t i = 0; i < WV_HW_N; i++) {
		const struct hw_source *s = &hw_sources[i];

		if (bpf ? wv_bpf_link_fd(bpf, s->program) < 0
			: !wv_bpf_has_tracepoint(s->tracepoint, NULL))
			continue;
		n += (size_t)snprintf(uses + n, sizeof(uses) - n, "%s%s", n ? " " : "",
				      s->tracepoint);
	}
	if (!n)
		return wv_capability_add(
			caps, "error", name, WV_CAP_MISSING, "",
			"this kernel has none of the tracepoints that report them");
	return wv_capability_add(caps, "error", name, WV_CAP_OK, uses, "");
}

static int probe(const struct wv_host *host, const struct wv_bpf *bpf, struct wv_capabilities *caps)
{
	const char *refusal = NULL;
	int r;

	if (host->flavour == WV_FLAVOUR_NONE)
		refusal = "no kind of tracepoint program works here or collect.hooks is files";
	else if (bpf && !wv_bpf_has(bpf, "error"))
		refusal = wv_bpf_reason(bpf, "error");
	r = probe_exits(host, refusal, caps);
	if (r == 0)
		r = probe_allocs(host, bpf, refusal, caps);
	return r < 0 ? r : probe_hw(bpf, refusal, caps);
}

/* The object ------------------------------------------------------------------------------------
 */

static int configure(struct bpf_object *obj, const struct wv_host *host,
		     const struct wv_config *config _unused_)
{
	__u32 group_dead = 0;
	unsigned args = 0;
	struct bpf_map *ended;

	if (wv_bpf_has_tracepoint("sched_process_exit", &args) && args >= 2)
		group_dead = 1;
	wv_bpf_skip_program(obj, kprobe_works(host) ? "error_alloc_console" : "error_alloc_kprobe");
	ended = bpf_object__find_map_by_name(obj, "error_ended");
	if (group_dead && ended && bpf_map__set_max_entries(ended, 1) < 0)
		return -errno;
	return wv_bpf_set_const(obj, "error_group_dead", &group_dead, sizeof(group_dead));
}

/* A refused kprobe costs one figure, not the object. */
static int attach(struct wv_bpf *bpf, struct bpf_object *obj, const struct wv_host *host _unused_)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(obj, "error_alloc_kprobe");
	struct bpf_link *link;
	int r;

	if (!prog || !bpf_program__autoload(prog))
		return 0;
	link = bpf_program__attach(prog);
	r = link ? wv_bpf_keep_link(bpf, link, "error_alloc_kprobe") : -errno;
	if (r < 0)
		(void)wv_log_warn(r, "error",
				  "kprobe on warn_alloc: allocation failures are not counted");
	return 0;
}

static const void *elf_btf(size_t *size)
{
	return error_btf__elf_bytes(size);
}

static const void *elf_raw(size_t *size)
{
	return error_raw__elf_bytes(size);
}

static const struct wv_table_desc tables[] = {
	{"error_rows", sizeof(struct wv_error_row), false},
	{0},
};

static const struct wv_object object = {
	.name = "error",
	.elf_btf = elf_btf,
	.elf_raw = elf_raw,
	.tables = tables,
	.configure = configure,
	.attach = attach,
};

const struct wv_module wv_module_error = {
	.name = "error",
	.summary = "Fatal signals, failed exits, failed allocations, hardware errors",
	.object = &object,
	.probe = probe,
	.start = start,
	.sense = sense,
	.event = event,
	.events = 1u << WV_EV_FATAL_SIGNAL | 1u << WV_EV_EXIT_NONZERO | 1u << WV_EV_ALLOC_FAILURE |
		  1u << WV_EV_HW_ERROR,
};
