// SPDX-License-Identifier: GPL-2.0-only
/* gpu info: the page of the worker of GPUs, as text or JSON. */
#include <inttypes.h>
#include <stdio.h>

#include "user/cmd/gpu_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/export/gpu_json.h"

static const char examples[] = "  waveos-bpf gpu info\n  waveos-bpf gpu info --json\n";
static const struct wv_option options[] = {{0}};

/* Names come from processes: nothing of them may steer a terminal. */
static void print_name(const char *s)
{
	for (; *s; s++)
		putchar(*s >= ' ' && *s <= '~' ? *s : '?');
}

static void print_share(const char *name, uint64_t part, uint64_t whole)
{
	if (part)
		printf("    %-12s %5.1f %%\n", name, 100. * (double)part / (double)whole);
}

static void print_meter(const struct wv_gpu_meter *m)
{
	printf("  meters:");
	if (m->busy_permille != UINT64_MAX)
		printf(" busy %.0f %%", (double)m->busy_permille / 10);
	if (m->memory_used_bytes != UINT64_MAX && m->memory_total_bytes != UINT64_MAX)
		printf(" memory %.1f of %.1f GiB", (double)m->memory_used_bytes / (1U << 30),
		       (double)m->memory_total_bytes / (1U << 30));
	if (m->power_mw != UINT64_MAX)
		printf(" power %.0f W", (double)m->power_mw / 1e3);
	if (m->temperature_c != UINT64_MAX)
		printf(" %" PRIu64 " C", m->temperature_c);
	if (m->sm_clock_mhz != UINT64_MAX)
		printf(" %" PRIu64 " MHz", m->sm_clock_mhz);
	if (m->throttle != UINT64_MAX && m->throttle)
		printf(" throttle bits 0x%" PRIx64, m->throttle);
	printf("\n");
}

static void print_seen(uint32_t level, uint32_t degraded, uint32_t bottleneck)
{
	printf("  seen: %s (level %" PRIu32 ")", wv_gpu_level_words(level), level);
	if (degraded)
		printf("; less than was asked for: %s", wv_gpu_degraded_words(degraded));
	printf("\n");
	if (bottleneck < WV_GPU_BOUND_N)
		printf("  bottleneck: %s (%s)\n", wv_gpu_bottleneck_names[bottleneck],
		       wv_gpu_advice[bottleneck]);
}

static void print_device(const struct wv_gpu_device_view *d)
{
	const struct wv_gpu_sums *s = &d->recent;
	uint64_t whole = s->shares.window;

	print_name(d->uuid);
	printf(" ");
	print_name(d->name);
	printf("\n");
	print_meter(&d->meter);
	print_seen(d->level, d->degraded, d->bottleneck);
	if (!whole) {
		printf("  no activity was told yet\n");
		return;
	}
	printf("  of the newest %.1f s that are known:\n", (double)whole / 1e9);
	print_share("kernel", s->shares.kernel, whole);
	print_share("comms alone", s->shares.exposed, whole);
	print_share("copies alone", s->shares.memory, whole);
	print_share("idle", s->shares.idle, whole);
	for (unsigned i = 0; i < WV_GPU_CAUSE_N; i++)
		print_share(wv_gpu_cause_names[i], s->cause_ns[i], whole);
	if (s->dropped)
		printf("  %" PRIu64 " records were lost: what they told is in idle\n", s->dropped);
}

static void print_process(const struct wv_gpu_process_view *p)
{
	printf("process %" PRId32 " ", p->pid);
	print_name(p->comm);
	printf("\n");
	print_seen(p->level, p->degraded, p->bottleneck);
	if (p->step_ns && p->step_origin == WV_GPU_STEP_DETECTED)
		printf("  steps of about %.1f ms, by what repeats on the device, confidence %.0f "
		       "%%\n",
		       (double)p->step_ns / 1e6, (double)p->confidence_permille / 10);
	else if (p->step_ns)
		printf("  %" PRIu64 " steps, %.2f ms each (median of the newest), confidence "
		       "%.0f %%\n",
		       p->steps, (double)p->step_ns / 1e6, (double)p->confidence_permille / 10);
	if (!p->recent_ns)
		return;
	printf("  of its training thread's time:\n");
	for (unsigned i = 0; i < WV_GPU_CAUSE_N; i++)
		print_share(wv_gpu_cause_names[i], p->recent_cause_ns[i], p->recent_ns);
}

static void print_text(const struct wv_gpu_view *v, uint64_t now)
{
	if (now > v->updated && now - v->updated > 10 * 1000000000ULL)
		printf("These figures are %.0f s old: the worker of GPUs does not write.\n",
		       (double)(now - v->updated) / 1e9);
	if (!v->nvml)
		printf("No meters: the library of NVML does not answer.\n");
	if (!v->wakes)
		printf("Waits are not explained: BPF for it is not loaded.\n");
	if (!v->n_devices)
		printf("No device.\n");
	for (uint32_t i = 0; i < v->n_devices; i++)
		print_device(&v->device[i]);
	for (uint32_t i = 0; i < v->n_processes; i++)
		print_process(&v->process[i]);
}

static int print_json(const struct wv_gpu_view *v, uint64_t now)
{
	struct wv_text text = {.max = 1U << 20};
	int r;

	wv_gpu_view_json(v, now, &text);
	r = wv_text_end(&text);
	if (r == 0)
		puts(text.data);
	wv_text_done(&text);
	return r < 0 ? WV_EXIT_INTERNAL : WV_EXIT_OK;
}

int wv_gpu_info_cmd(struct wv_cli *cli, int argc, char **argv)
{
	int r = wv_cli_parse(cli, argc, argv, "gpu info", examples, options, NULL, NULL);
	_cleanup_free_ struct wv_gpu_view *v = NULL;
	uint64_t now;

	if (r < 0)
		return -r;
	v = malloc(sizeof(*v));
	if (!v)
		return WV_EXIT_INTERNAL;
	if (wv_gpu_page_read(cli->paths.runtime, v) < 0) {
		fprintf(stderr, "waveos-bpf gpu info: no agent watches GPUs here; see gpu.enabled "
				"in docs/config.md\n");
		return WV_EXIT_FINDING;
	}
	now = wv_io_system.mono_ns(wv_io_system.ctx);
	if (cli->json)
		return print_json(v, now);
	print_text(v, now);
	return WV_EXIT_OK;
}
