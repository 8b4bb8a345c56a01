// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/gpu_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/export/gpu_json.h"

#define OLD_NS 10000000000ULL

static double percent(uint64_t part, uint64_t whole)
{
	return 100. * (double)part / (double)whole;
}

static void add_device(const struct wv_gpu_device_view *d, uint32_t i, FILE *f)
{
	const struct wv_gpu_shares *s = &d->recent.shares;

	fprintf(f, "%s%" PRIu32, i ? "; " : "", d->index == UINT32_MAX ? i : d->index);
	if (!s->window) {
		fprintf(f, " nothing told yet");
		return;
	}
	fprintf(f, " kernel %.0f %%, idle %.0f %%", percent(s->kernel, s->window),
		percent(s->idle, s->window));
	if (d->bottleneck < WV_GPU_BOUND_N)
		fprintf(f, " (%s)", wv_gpu_bottleneck_names[d->bottleneck]);
}

void wv_gpu_line_of(const struct wv_gpu_view *v, char *buf, size_t size)
{
	uint64_t now = wv_io_system.mono_ns(wv_io_system.ctx);
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	buf[0] = '\0';
	if (!f)
		return;
	fprintf(f, "%" PRIu32 " GPUs%s, %" PRIu32 " processes", v->n_devices,
		now > v->updated && now - v->updated > OLD_NS ? " (old figures)" : "",
		v->n_processes);
	for (uint32_t i = 0; i < v->n_devices; i++) {
		fputs(i ? "" : ": ", f);
		add_device(&v->device[i], i, f);
	}
	/* without a device, what holds the processes back is all there is */
	for (uint32_t i = 0; !v->n_devices && i < v->n_processes; i++)
		if (v->process[i].bottleneck < WV_GPU_BOUND_N)
			fprintf(f, "%s%" PRId32 " (%s)", i ? ", " : ": ", v->process[i].pid,
				wv_gpu_bottleneck_names[v->process[i].bottleneck]);
	if (fclose(f) == 0)
		snprintf(buf, size, "%s", text);
	free(text);
}

bool wv_gpu_line(const struct wv_paths *paths, char *buf, size_t size)
{
	_cleanup_free_ struct wv_gpu_view *v = malloc(sizeof(*v));

	if (!v || wv_gpu_page_read(paths->runtime, v) < 0)
		return false;
	wv_gpu_line_of(v, buf, size);
	return true;
}

struct json_object *wv_gpu_line_json(const struct wv_paths *paths)
{
	_cleanup_free_ struct wv_gpu_view *v = malloc(sizeof(*v));
	struct wv_text t = {.max = 1U << 20};
	struct json_object *o = NULL;

	if (!v || wv_gpu_page_read(paths->runtime, v) < 0)
		return NULL;
	wv_gpu_view_json(v, wv_io_system.mono_ns(wv_io_system.ctx), &t);
	if (wv_text_end(&t) == 0)
		o = json_tokener_parse(t.data);
	wv_text_done(&t);
	return o;
}
