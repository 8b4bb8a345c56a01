// SPDX-License-Identifier: GPL-2.0-only
/* A profile as JSON, and as events for Perfetto. */
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/gpu/profile.h"

static void put(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static void put_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static struct json_object *causes(const uint64_t ns[WV_GPU_CAUSE_N])
{
	struct json_object *o = json_object_new_object();

	for (unsigned i = 0; i < WV_GPU_CAUSE_N; i++)
		put(o, wv_gpu_cause_names[i], ns[i]);
	return o;
}

static struct json_object *inputs(const uint64_t ns[WV_GPU_INPUT_N])
{
	struct json_object *o = json_object_new_object();

	for (unsigned i = 0; i < WV_GPU_INPUT_N; i++)
		put(o, wv_gpu_input_names[i], ns[i]);
	return o;
}

/* One array of numbers a point: shorter than objects, of which there may be thousands. */
static struct json_object *time_line(const struct wv_profile_device *d)
{
	struct json_object *o = json_object_new_object(), *rows = json_object_new_array();
	struct json_object *titles = json_object_new_array();
	static const char *const names[] = {
		"begin_ns",  "end_ns", "kernel_ns", "exposed_comms_ns", "overlapped_comms_ns",
		"memory_ns", "idle_ns"};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		json_object_array_add(titles, json_object_new_string(names[i]));
	for (unsigned i = 0; i < d->n; i++) {
		const struct wv_profile_point *p = &d->line[i];
		const uint64_t v[] = {p->begin,	     p->end,	p->kernel, p->exposed,
				      p->overlapped, p->memory, p->idle};
		struct json_object *row = json_object_new_array();

		for (unsigned k = 0; k < ARRAY_SIZE(v); k++)
			json_object_array_add(row, json_object_new_uint64(v[k]));
		json_object_array_add(rows, row);
	}
	json_object_object_add(o, "columns", titles);
	json_object_object_add(o, "rows", rows);
	return o;
}

/* A step's is its mean length at the mean power; NULL where the counter was not seen to move twice.
 */
static struct json_object *energy(const struct wv_profile_device *d,
				  const struct wv_profile_steps *st)
{
	uint64_t ns = d->energy.last_at - d->energy.first_at;
	uint64_t mj = d->energy.last_mj - d->energy.first_mj;
	struct json_object *o;

	if (!ns)
		return NULL;
	o = json_object_new_object();
	put(o, "mj", mj);
	put(o, "ns", ns);
	json_object_object_add(o, "mean_watts",
			       json_object_new_double(wv_energy_watts(&d->energy)));
	json_object_object_add(
		o, "step_mj",
		st->seen ? json_object_new_double((double)mj / (double)ns * (double)st->total_ns /
						  (double)st->seen)
			 : NULL);
	return o;
}

static void put_device(struct json_object *list, const struct wv_profile_device *d,
		       const struct wv_profile_steps *st)
{
	struct json_object *o = json_object_new_object(), *a;
	const struct wv_gpu_shares *s = &d->sums.shares;

	put_text(o, "uuid", d->uuid);
	put_text(o, "name", d->name);
	put(o, "windows", d->windows);
	put(o, "window_ns", s->window);
	put(o, "kernel_ns", s->kernel);
	put(o, "comms_ns", s->comms);
	put(o, "exposed_comms_ns", s->exposed);
	put(o, "overlapped_comms_ns", s->overlapped);
	put(o, "memory_ns", s->memory);
	put(o, "idle_ns", s->idle);
	json_object_object_add(o, "invariant_worst_error", json_object_new_double(d->worst_error));
	json_object_object_add(o, "idle_cause_ns", causes(d->sums.cause_ns));
	json_object_object_add(o, "input_ns", inputs(d->sums.input_ns));
	json_object_object_add(o, "energy", energy(d, st));
	put(o, "kernels", d->sums.kernels);
	put(o, "graphs", d->sums.graphs);
	put(o, "launches", d->sums.launches);
	put(o, "syncs", d->sums.syncs);
	put(o, "copied_to_device_bytes", d->sums.copy_bytes[0]);
	put(o, "copied_from_device_bytes", d->sums.copy_bytes[1]);
	put(o, "records", d->sums.records);
	put(o, "records_dropped", d->sums.dropped);
	put(o, "late_ns", d->sums.late_ns);
	put(o, "closed_ns", d->sums.closed_ns);
	put(o, "library_cpu_ns", d->sums.own_ns);
	a = json_object_new_array();
	for (unsigned i = 0; i < d->names; i++) {
		struct json_object *k = json_object_new_object();

		put_text(k, "name", d->top[i].name);
		put(k, "ns", d->top[i].ns);
		put(k, "count", d->top[i].n);
		json_object_array_add(a, k);
	}
	json_object_object_add(o, "top_kernels", a);
	a = json_object_new_array();
	for (unsigned i = 0; i < d->gaps; i++) {
		struct json_object *g = json_object_new_object();

		put(g, "begin_ns", d->gap[i].begin);
		put(g, "end_ns", d->gap[i].end);
		put_text(g, "cause", wv_gpu_cause_names[d->gap[i].cause]);
		json_object_array_add(a, g);
	}
	json_object_object_add(o, "longest_gaps", a);
	json_object_object_add(o, "time_line", time_line(d));
	json_object_array_add(list, o);
}

static struct json_object *steps_json(const struct wv_profile_steps *st)
{
	struct json_object *o = json_object_new_object(), *a = json_object_new_array();

	put(o, "count", st->seen);
	put(o, "total_ns", st->total_ns);
	put(o, "kept_every", st->every);
	json_object_object_add(o, "cause_ns", causes(st->cause_ns));
	json_object_object_add(o, "input_ns", inputs(st->input_ns));
	for (unsigned i = 0; i < st->n; i++) {
		const struct wv_gpu_told_step *s = &st->kept[i];
		struct json_object *e = json_object_new_object();

		put(e, "number", s->number);
		put(e, "pid", (uint64_t)s->pid);
		put(e, "begin_ns", s->begin);
		put(e, "end_ns", s->end);
		put(e, "confidence_permille", s->confidence_permille);
		json_object_object_add(e, "cause_ns", causes(s->cause_ns));
		json_object_array_add(a, e);
	}
	json_object_object_add(o, "steps", a);
	return o;
}

struct json_object *wv_profile_json(const struct wv_profile *p)
{
	struct json_object *o = json_object_new_object(), *a = json_object_new_array();

	put(o, "schema_version", 1);
	for (unsigned i = 0; p->argv && p->argv[i]; i++)
		json_object_array_add(a, json_object_new_string(p->argv[i]));
	json_object_object_add(o, "command", a);
	json_object_object_add(o, "wait_status", json_object_new_int(p->status));
	put(o, "begin_ns", p->begin);
	put(o, "end_ns", p->end);
	json_object_object_add(o, "waits_explained", json_object_new_boolean(p->waits));
	put_text(o, "bottleneck", wv_gpu_bottleneck_names[p->bottleneck]);
	a = json_object_new_array();
	for (unsigned i = 0; i < p->devices; i++)
		put_device(a, &p->device[i], &p->steps);
	json_object_object_add(o, "devices", a);
	json_object_object_add(o, "training", steps_json(&p->steps));
	a = json_object_new_object();
	put(a, "total_ns", p->main_ns);
	json_object_object_add(a, "cause_ns", causes(p->main_cause_ns));
	json_object_object_add(a, "input_ns", inputs(p->main_input_ns));
	json_object_object_add(o, "main_thread", a);
	return o;
}

/* --- trace events ---------------------------------------------------------------------------- */

/* "Trace Event Format" (Chromium): ts and dur are microseconds. */
static struct json_object *event(const char *phase, const char *name, unsigned pid, unsigned tid,
				 uint64_t at)
{
	struct json_object *e = json_object_new_object();

	put_text(e, "ph", phase);
	put_text(e, "name", name);
	put(e, "pid", pid);
	put(e, "tid", tid);
	json_object_object_add(e, "ts", json_object_new_double((double)at / 1000));
	return e;
}

static void add_span(struct json_object *list, const char *name, unsigned pid, unsigned tid,
		     uint64_t begin, uint64_t end, struct json_object *args)
{
	struct json_object *e = event("X", name, pid, tid, begin);

	json_object_object_add(e, "dur", json_object_new_double((double)(end - begin) / 1000));
	if (args)
		json_object_object_add(e, "args", args);
	json_object_array_add(list, e);
}

static void add_name(struct json_object *list, const char *what, unsigned pid, unsigned tid,
		     const char *name)
{
	struct json_object *e = event("M", what, pid, tid, 0), *args = json_object_new_object();

	put_text(args, "name", name);
	json_object_object_add(e, "args", args);
	json_object_array_add(list, e);
}

static void add_counter(struct json_object *list, unsigned pid, const struct wv_profile_point *p,
			uint64_t zero)
{
	static const char *const names[] = {"kernel", "exposed comms", "memory", "idle"};
	const uint64_t ns[] = {p->kernel, p->exposed, p->memory, p->idle};
	struct json_object *e = event("C", "share of time", pid, 0, p->begin - zero);
	struct json_object *args = json_object_new_object();
	double whole = (double)(p->end - p->begin);

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		json_object_object_add(args, names[i],
				       json_object_new_double((double)ns[i] / whole));
	json_object_object_add(e, "args", args);
	json_object_array_add(list, e);
}

struct json_object *wv_profile_trace(const struct wv_profile *p)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	uint64_t zero = p->begin;

	for (unsigned i = 0; i < p->devices; i++) {
		const struct wv_profile_device *d = &p->device[i];

		add_name(list, "process_name", i + 1, 0, d->uuid[0] ? d->uuid : "device");
		add_name(list, "thread_name", i + 1, 1, "longest idle gaps, by cause");
		for (unsigned k = 0; k < d->n; k++)
			if (d->line[k].begin >= zero)
				add_counter(list, i + 1, &d->line[k], zero);
		for (unsigned k = 0; k < d->gaps; k++)
			if (d->gap[k].begin >= zero)
				add_span(list, wv_gpu_cause_names[d->gap[k].cause], i + 1, 1,
					 d->gap[k].begin - zero, d->gap[k].end - zero, NULL);
	}
	for (unsigned i = 0; i < p->steps.n; i++) {
		const struct wv_gpu_told_step *s = &p->steps.kept[i];
		char name[32];

		if (s->begin < zero)
			continue;
		snprintf(name, sizeof(name), "step %llu", (unsigned long long)s->number);
		add_span(list, name, 1000 + (unsigned)s->pid, (unsigned)s->tid, s->begin - zero,
			 s->end - zero, causes(s->cause_ns));
	}
	json_object_object_add(o, "displayTimeUnit", json_object_new_string("ms"));
	json_object_object_add(o, "traceEvents", list);
	return o;
}
