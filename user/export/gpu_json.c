// SPDX-License-Identifier: GPL-2.0-only
#include "user/export/gpu_json.h"

#include <inttypes.h>

#define CHECKED(names, n, i) ((i) < (n) ? (names)[i] : "unknown")

static void member(struct wv_text *t, const char *name)
{
	if (t->len && t->data[t->len - 1] != '{')
		wv_text_str(t, ",");
	wv_text_json(t, name);
	wv_text_str(t, ":");
}

static void number(struct wv_text *t, const char *name, uint64_t v)
{
	member(t, name);
	wv_text_u64(t, v);
}

/* What a device does not tell is null, never 0. */
static void told(struct wv_text *t, const char *name, uint64_t v)
{
	member(t, name);
	if (v == UINT64_MAX)
		wv_text_str(t, "null");
	else
		wv_text_u64(t, v);
}

static void string(struct wv_text *t, const char *name, const char *v)
{
	member(t, name);
	wv_text_json(t, v);
}

static void begin(struct wv_text *t, const char *name)
{
	member(t, name);
	wv_text_str(t, "{");
}

static void end(struct wv_text *t)
{
	wv_text_str(t, "}");
}

static void by_name(struct wv_text *t, const char *name, const char *const *names,
		    const uint64_t *v, unsigned n)
{
	begin(t, name);
	for (unsigned i = 0; i < n; i++)
		number(t, names[i], v[i]);
	end(t);
}

static void sums(struct wv_text *t, const char *name, const struct wv_gpu_sums *s)
{
	static const char *const copies[] = {"host_to_device", "device_to_host", "device_to_device",
					     "peer"};

	begin(t, name);
	number(t, "window_ns", s->shares.window);
	number(t, "kernel_ns", s->shares.kernel);
	number(t, "comms_ns", s->shares.comms);
	number(t, "exposed_ns", s->shares.exposed);
	number(t, "overlapped_ns", s->shares.overlapped);
	number(t, "memory_ns", s->shares.memory);
	number(t, "idle_ns", s->shares.idle);
	by_name(t, "idle_cause_ns", wv_gpu_cause_names, s->cause_ns, WV_GPU_CAUSE_N);
	by_name(t, "input_ns", wv_gpu_input_names, s->input_ns, WV_GPU_INPUT_N);
	by_name(t, "copy_bytes", copies, s->copy_bytes, 4);
	number(t, "kernels", s->kernels);
	number(t, "graphs", s->graphs);
	number(t, "launches", s->launches);
	number(t, "syncs", s->syncs);
	number(t, "records", s->records);
	number(t, "dropped", s->dropped);
	number(t, "late_ns", s->late_ns);
	number(t, "closed_ns", s->closed_ns);
	number(t, "own_ns", s->own_ns);
	end(t);
}

static void seen(struct wv_text *t, uint32_t level, uint32_t degraded, uint32_t bottleneck)
{
	number(t, "level", level);
	string(t, "level_words", wv_gpu_level_words(level));
	number(t, "degraded", degraded);
	string(t, "degraded_words", wv_gpu_degraded_words(degraded));
	string(t, "bottleneck", CHECKED(wv_gpu_bottleneck_names, WV_GPU_BOUND_N, bottleneck));
	string(t, "advice", CHECKED(wv_gpu_advice, WV_GPU_BOUND_N, bottleneck));
}

static void device(struct wv_text *t, const struct wv_gpu_device_view *d, uint64_t now)
{
	const struct wv_gpu_meter *m = &d->meter;

	wv_text_str(t, "{");
	told(t, "index", d->index == UINT32_MAX ? UINT64_MAX : d->index);
	string(t, "uuid", d->uuid);
	string(t, "name", d->name);
	number(t, "processes", d->processes);
	seen(t, d->level, d->degraded, d->bottleneck);
	told(t, "recent_age_ns",
	     !d->recent_end ? UINT64_MAX : (now > d->recent_end ? now - d->recent_end : 0));
	begin(t, "meter");
	told(t, "busy_permille", m->busy_permille);
	told(t, "memory_used_bytes", m->memory_used_bytes);
	told(t, "memory_total_bytes", m->memory_total_bytes);
	told(t, "power_mw", m->power_mw);
	told(t, "energy_mj", m->energy_mj);
	told(t, "temperature_c", m->temperature_c);
	told(t, "sm_clock_mhz", m->sm_clock_mhz);
	told(t, "memory_clock_mhz", m->memory_clock_mhz);
	told(t, "throttle", m->throttle);
	told(t, "pcie_rx_bytes_s", m->pcie_rx_bytes_s);
	told(t, "pcie_tx_bytes_s", m->pcie_tx_bytes_s);
	told(t, "ecc_errors", m->ecc_errors);
	end(t);
	sums(t, "recent", &d->recent);
	sums(t, "total", &d->total);
	end(t);
}

static void process(struct wv_text *t, const struct wv_gpu_process_view *p, uint32_t n_devices)
{
	static const char *const origins[] = {"none", "told", "detected"};
	bool any = false;

	wv_text_str(t, "{");
	number(t, "pid", (uint64_t)p->pid);
	string(t, "comm", p->comm);
	number(t, "cgroup_id", p->cgroup_id);
	member(t, "devices");
	wv_text_str(t, "[");
	for (uint32_t i = 0; i < n_devices; i++)
		if (p->devices & (1ULL << i)) {
			wv_text_printf(t, "%s%" PRIu32, any ? "," : "", i);
			any = true;
		}
	wv_text_str(t, "]");
	seen(t, p->level, p->degraded, p->bottleneck);
	number(t, "steps", p->steps);
	number(t, "step_ns", p->step_ns);
	number(t, "confidence_permille", p->confidence_permille);
	string(t, "step_origin", CHECKED(origins, 3U, p->step_origin));
	number(t, "total_ns", p->total_ns);
	by_name(t, "cause_ns", wv_gpu_cause_names, p->cause_ns, WV_GPU_CAUSE_N);
	number(t, "recent_ns", p->recent_ns);
	by_name(t, "recent_cause_ns", wv_gpu_cause_names, p->recent_cause_ns, WV_GPU_CAUSE_N);
	by_name(t, "recent_input_ns", wv_gpu_input_names, p->recent_input_ns, WV_GPU_INPUT_N);
	number(t, "frames_dropped", p->frames_dropped);
	end(t);
}

void wv_gpu_view_json(const struct wv_gpu_view *v, uint64_t now, struct wv_text *t)
{
	wv_text_str(t, "{\"schema_version\":1,\"available\":true");
	number(t, "age_ns", now > v->updated ? now - v->updated : 0);
	member(t, "nvml");
	wv_text_str(t, v->nvml ? "true" : "false");
	member(t, "wakes");
	wv_text_str(t, v->wakes ? "true" : "false");
	member(t, "devices");
	wv_text_str(t, "[");
	for (uint32_t i = 0; i < v->n_devices; i++) {
		wv_text_str(t, i ? "," : "");
		device(t, &v->device[i], now);
	}
	wv_text_str(t, "]");
	member(t, "processes");
	wv_text_str(t, "[");
	for (uint32_t i = 0; i < v->n_processes; i++) {
		wv_text_str(t, i ? "," : "");
		process(t, &v->process[i], v->n_devices);
	}
	wv_text_str(t, "]}");
}
