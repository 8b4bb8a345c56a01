// SPDX-License-Identifier: GPL-2.0-only
/*
 * Figures of GPUs, by device: from the page that the worker of GPUs writes. Where a device does not
 * tell something there is no series, never a 0. Labels: device (NVML's index, else its place on the
 * page) and uuid, at most WV_GPU_DEVICES of them, and closed sets.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/export/metrics_plan.h"
#include "user/flow/gpu.h"

/* The worker writes once a second, and is back within seconds; a page that is older is of another
 * agent's life, or of one that watched GPUs then. */
#define GONE_NS 60000000000ULL

#define OFFSET(member) offsetof(struct wv_gpu_device_view, member)

/* One figure of a device: name, type, unit, where it stands; more: constant labels. */
static const struct figure {
	const char *name, *type, *more;
	enum wv_scale scale;
	size_t at;
	const char *help; /* NULL: the family of the row before */
} figures[] = {
	{"waveos_gpu_busy_ratio", "gauge", "", WV_PERMILLE, OFFSET(meter.busy_permille),
	 "Share of time in which any kernel ran, as NVML has it"},
	{"waveos_gpu_memory_used_bytes", "gauge", "", WV_ONE, OFFSET(meter.memory_used_bytes),
	 "Memory of the device in use"},
	{"waveos_gpu_memory_total_bytes", "gauge", "", WV_ONE, OFFSET(meter.memory_total_bytes),
	 "Memory of the device"},
	{"waveos_gpu_power_watts", "gauge", "", WV_PERMILLE, OFFSET(meter.power_mw), "Power draw"},
	{"waveos_gpu_energy_joules_total", "counter", "", WV_PERMILLE, OFFSET(meter.energy_mj),
	 "Energy since the driver was loaded"},
	{"waveos_gpu_temperature_celsius", "gauge", "", WV_ONE, OFFSET(meter.temperature_c),
	 "Temperature of the chip"},
	{"waveos_gpu_sm_clock_megahertz", "gauge", "", WV_ONE, OFFSET(meter.sm_clock_mhz),
	 "Clock of the multiprocessors"},
	{"waveos_gpu_memory_clock_megahertz", "gauge", "", WV_ONE, OFFSET(meter.memory_clock_mhz),
	 "Clock of the memory"},
	{"waveos_gpu_pcie_received_bytes_per_second", "gauge", "", WV_ONE,
	 OFFSET(meter.pcie_rx_bytes_s), "Bytes over PCIe to the device, of some 20 ms"},
	{"waveos_gpu_pcie_sent_bytes_per_second", "gauge", "", WV_ONE,
	 OFFSET(meter.pcie_tx_bytes_s), "Bytes over PCIe from the device, of some 20 ms"},
	{"waveos_gpu_ecc_uncorrected_errors", "gauge", "", WV_ONE, OFFSET(meter.ecc_errors),
	 "Memory errors that could not be corrected, since the driver was loaded"},
	{"waveos_gpu_throttle_reasons", "gauge", "", WV_ONE, OFFSET(meter.throttle),
	 "Why clocks are lowered: bits of nvmlClocksEventReasons"},
	{"waveos_gpu_observed_seconds_total", "counter", "", WV_NS, OFFSET(total.shares.window),
	 "Time of the device that is accounted for: kernel + exposed + memory + idle"},
	{"waveos_gpu_kernel_seconds_total", "counter", "", WV_NS, OFFSET(total.shares.kernel),
	 "Time in which a kernel ran that is not communication"},
	{"waveos_gpu_communication_seconds_total", "counter", "kind=\"exposed\"", WV_NS,
	 OFFSET(total.shares.exposed),
	 "Time in which communication kernels ran, alone (exposed) or beside others (overlapped)"},
	{"waveos_gpu_communication_seconds_total", "counter", "kind=\"overlapped\"", WV_NS,
	 OFFSET(total.shares.overlapped), NULL},
	{"waveos_gpu_memory_seconds_total", "counter", "", WV_NS, OFFSET(total.shares.memory),
	 "Time in which only copies and sets ran"},
	{"waveos_gpu_kernels_total", "counter", "", WV_ONE, OFFSET(total.kernels),
	 "Kernels that ended"},
	{"waveos_gpu_memcpy_bytes_total", "counter", "kind=\"host_to_device\"", WV_ONE,
	 OFFSET(total.copy_bytes[0]), "Bytes copied"},
	{"waveos_gpu_memcpy_bytes_total", "counter", "kind=\"device_to_host\"", WV_ONE,
	 OFFSET(total.copy_bytes[1]), NULL},
	{"waveos_gpu_memcpy_bytes_total", "counter", "kind=\"device_to_device\"", WV_ONE,
	 OFFSET(total.copy_bytes[2]), NULL},
	{"waveos_gpu_memcpy_bytes_total", "counter", "kind=\"peer\"", WV_ONE,
	 OFFSET(total.copy_bytes[3]), NULL},
	{"waveos_gpu_activity_records_dropped_total", "counter", "", WV_ONE, OFFSET(total.dropped),
	 "Activity records that CUPTI dropped: what they told is counted as idle"},
};

static void labels_of(const struct wv_gpu_device_view *d, uint32_t i, struct wv_text *t)
{
	t->len = 0;
	wv_text_printf(t, "device=\"%" PRIu32 "\",uuid=\"", d->index == UINT32_MAX ? i : d->index);
	wv_text_label(t, d->uuid);
	wv_text_str(t, "\"");
}

static uint64_t permille(uint64_t part, uint64_t whole)
{
	return (uint64_t)((double)part * 1000 / (double)whole + 0.5);
}

static void identity(const struct wv_gpu_view *v, struct wv_metrics_out *out)
{
	struct wv_text t = {.max = 4096};

	wv_out_family(out, "waveos_gpu_info", "info", "A device");
	for (uint32_t i = 0; i < v->n_devices; i++) {
		labels_of(&v->device[i], i, &t);
		wv_text_str(&t, ",model=\"");
		wv_text_label(&t, v->device[i].name);
		wv_text_str(&t, "\"");
		wv_out_value(out, t.data, t.len, "", 1, WV_ONE);
	}
	wv_text_done(&t);
}

static void plain(const struct wv_gpu_view *v, struct wv_metrics_out *out)
{
	struct wv_text t = {.max = 4096};

	for (size_t f = 0; f < ARRAY_SIZE(figures); f++) {
		if (figures[f].help)
			wv_out_family(out, figures[f].name, figures[f].type, figures[f].help);
		for (uint32_t i = 0; i < v->n_devices; i++) {
			const char *base = (const char *)&v->device[i];
			uint64_t value;

			memcpy(&value, base + figures[f].at, sizeof(value));
			labels_of(&v->device[i], i, &t);
			if (value != UINT64_MAX)
				wv_out_value(out, t.data, t.len, figures[f].more, value,
					     figures[f].scale);
		}
	}
	wv_text_done(&t);
}

/* n series a device: names[k] is the label's value, of() the figure's, UINT64_MAX: no series. */
static void by_name(const struct wv_gpu_view *v, struct wv_metrics_out *out, const char *label,
		    const char *const *names, unsigned n, enum wv_scale scale,
		    uint64_t (*of)(const struct wv_gpu_device_view *d, unsigned k))
{
	struct wv_text t = {.max = 4096};
	char more[64];

	for (uint32_t i = 0; i < v->n_devices; i++)
		for (unsigned k = 0; k < n; k++) {
			uint64_t value = of(&v->device[i], k);

			labels_of(&v->device[i], i, &t);
			snprintf(more, sizeof(more), "%s=\"%s\"", label, names ? names[k] : "");
			if (value != UINT64_MAX)
				wv_out_value(out, t.data, t.len, names ? more : "", value, scale);
		}
	wv_text_done(&t);
}

static uint64_t idle_total(const struct wv_gpu_device_view *d, unsigned k)
{
	return d->total.cause_ns[k];
}

static uint64_t share_of_recent(const struct wv_gpu_device_view *d, uint64_t part)
{
	return d->recent.shares.window ? permille(part, d->recent.shares.window) : UINT64_MAX;
}

static uint64_t idle_recent(const struct wv_gpu_device_view *d, unsigned k)
{
	return share_of_recent(d, d->recent.cause_ns[k]);
}

static uint64_t stall_recent(const struct wv_gpu_device_view *d, unsigned k _unused_)
{
	return share_of_recent(d, d->recent.cause_ns[WV_GPU_CAUSE_INPUT]);
}

static uint64_t exposed_recent(const struct wv_gpu_device_view *d, unsigned k _unused_)
{
	return share_of_recent(d, d->recent.shares.exposed);
}

static uint64_t bound(const struct wv_gpu_device_view *d, unsigned k)
{
	return d->bottleneck == k;
}

static uint64_t level(const struct wv_gpu_device_view *d, unsigned k _unused_)
{
	return d->level;
}

void wv_metrics_gpu(const struct wv_gpu_view *v, struct wv_metrics_out *out)
{
	identity(v, out);
	plain(v, out);
	wv_out_family(out, "waveos_gpu_idle_seconds_total", "counter",
		      "Time in which nothing ran on the device, by cause");
	by_name(v, out, "cause", wv_gpu_cause_names, WV_GPU_CAUSE_N, WV_NS, idle_total);
	wv_out_family(out, "waveos_gpu_idle_ratio", "gauge",
		      "Share of the newest second in which nothing ran, by cause");
	by_name(v, out, "cause", wv_gpu_cause_names, WV_GPU_CAUSE_N, WV_PERMILLE, idle_recent);
	wv_out_family(out, "waveos_gpu_dataloader_stall_ratio", "gauge",
		      "Share of the newest second in which the device waited for input");
	by_name(v, out, "", NULL, 1, WV_PERMILLE, stall_recent);
	wv_out_family(out, "waveos_gpu_exposed_communication_ratio", "gauge",
		      "Share of the newest second in which only communication ran");
	by_name(v, out, "", NULL, 1, WV_PERMILLE, exposed_recent);
	wv_out_family(out, "waveos_gpu_bottleneck", "gauge",
		      "1: what holds the device back most; 0: the others");
	by_name(v, out, "bottleneck", wv_gpu_bottleneck_names, WV_GPU_BOUND_N, WV_ONE, bound);
	wv_out_family(out, "waveos_gpu_level", "gauge",
		      "How much is looked at, 0 (meters) to 3 (markers); worst of its processes");
	by_name(v, out, "", NULL, 1, WV_ONE, level);
}

/* The row of a cgroup that has series of its own in this scrape; NULL: none. */
static const struct wv_plan_row *row_of(const struct wv_metrics *m, const struct wv_sample *s,
					uint64_t cgroup_id)
{
	for (uint32_t i = 0; cgroup_id && i < m->n_rows; i++)
		if (s->rows[m->rows[i].slot].key == cgroup_id && m->rows[i].label_len)
			return &m->rows[i];
	return NULL;
}

/* Whether an earlier process on the page is of the same cgroup: a series is written once. */
static bool told_before(const struct wv_gpu_view *v, uint32_t i)
{
	for (uint32_t k = 0; k < i; k++)
		if (v->process[k].cgroup_id == v->process[i].cgroup_id)
			return true;
	return false;
}

/*
 * Steps by cgroup. No counters: a process that leaves the page takes its count along, and a sum of
 * those that are left would go back.
 */
static void steps(const struct wv_gpu_view *v, const struct wv_metrics *m,
		  const struct wv_sample *s, struct wv_metrics_out *out)
{
	wv_out_family(out, "waveos_gpu_step_seconds", "gauge",
		      "Median of the newest training steps that programs told; the longest of the "
		      "cgroup's processes");
	for (uint32_t i = 0; i < v->n_processes; i++) {
		const struct wv_plan_row *row = row_of(m, s, v->process[i].cgroup_id);
		uint64_t longest = 0;

		if (!row || told_before(v, i))
			continue;
		for (uint32_t k = i; k < v->n_processes; k++)
			if (v->process[k].cgroup_id == v->process[i].cgroup_id &&
			    v->process[k].step_origin != WV_GPU_STEP_DETECTED &&
			    v->process[k].step_ns > longest)
				longest = v->process[k].step_ns;
		if (longest)
			wv_out_value(out, m->labels.data + row->label_at, row->label_len, "",
				     longest, WV_NS);
	}
}

void wv_metrics_gpu_page(const struct wv_gpu_view *page, const struct wv_metrics *m,
			 const struct wv_sample *s, struct wv_metrics_out *out)
{
	_cleanup_free_ struct wv_gpu_view *v = page ? malloc(sizeof(*v)) : NULL;

	if (!v || wv_gpu_view_read(page, v) < 0 ||
	    wv_io_system.mono_ns(wv_io_system.ctx) > v->updated + GONE_NS)
		return;
	wv_metrics_gpu(v, out);
	steps(v, m, s, out);
}
