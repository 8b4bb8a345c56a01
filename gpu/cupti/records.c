// SPDX-License-Identifier: GPL-2.0-only
/* From CUPTI's records to the reducers' activities. Used by the library and by the replay. */
#include <string.h>
#include <sys/mman.h>

#include "gpu/cupti/cupti.h"

static struct wv_gpu_reducer *device_of(struct wv_sink *s, uint32_t device)
{
	void *at;

	if (device >= WV_GPU_DEVICES) {
		s->odd++;
		return NULL;
	}
	if (!s->device[device]) {
		at = mmap(NULL, sizeof(struct wv_gpu_reducer), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED)
			return NULL;
		wv_gpu_reduce_init(at, device, s->slack_ns);
		s->device[device] = at;
	}
	return s->device[device];
}

static void add(struct wv_sink *s, uint32_t device, const struct wv_gpu_activity *a)
{
	struct wv_gpu_reducer *r = device_of(s, device);

	if (r)
		wv_gpu_reduce_add(r, a);
}

static void on_kernel(struct wv_sink *s, const struct wv_record_kernel *k)
{
	struct wv_gpu_activity a = {.begin = k->start, .end = k->end};

	a.name = k->name ? k->name : "?";
	a.class = wv_gpu_classify(a.name);
	add(s, k->device, &a);
}

static void on_copy(struct wv_sink *s, const struct wv_record_copy *c)
{
	struct wv_gpu_activity a = {.class = WV_GPU_MEMORY, .begin = c->start, .end = c->end};

	a.bytes = c->bytes;
	switch (c->copy_kind) {
	case WV_COPY_HTOD:
	case WV_COPY_HTOA:
		a.copy = WV_GPU_TO_DEVICE;
		break;
	case WV_COPY_DTOH:
	case WV_COPY_ATOH:
		a.copy = WV_GPU_FROM_DEVICE;
		break;
	case WV_COPY_PTOP:
		a.copy = WV_GPU_PEER;
		break;
	default:
		a.copy = WV_GPU_WITHIN;
	}
	if (c->kind == WV_KIND_MEMCPY2)
		a.copy = WV_GPU_PEER;
	add(s, c->device, &a);
}

static void on_graph(struct wv_sink *s, const struct wv_record_graph *g)
{
	struct wv_gpu_activity a = {.class = WV_GPU_KERNEL, .begin = g->start, .end = g->end};

	a.name = "CUDA graph";
	a.graph = true;
	add(s, g->device, &a);
}

static bool is_wait(const struct wv_record_api *c)
{
	static const uint32_t runtime[] = {WV_RUNTIME_WAITS}, driver[] = {WV_DRIVER_WAITS};
	const uint32_t *waits = c->kind == WV_KIND_RUNTIME ? runtime : driver;

	_Static_assert(sizeof(runtime) == sizeof(driver), "one length");
	for (size_t i = 0; i < sizeof(runtime) / sizeof(runtime[0]); i++)
		if (waits[i] == c->cbid)
			return true;
	return false;
}

/* A record of a call does not say of which device it was: all have it. */
static void on_call(struct wv_sink *s, const struct wv_gpu_launch *l)
{
	for (unsigned i = 0; i < WV_GPU_DEVICES; i++)
		if (s->device[i])
			wv_gpu_reduce_launch(s->device[i], l);
}

static void on_record(struct wv_sink *s, const struct wv_record *record)
{
	const struct wv_record_set *set = (const void *)record;
	const struct wv_record_api *call = (const void *)record;
	const struct wv_record_sync *sync = (const void *)record;
	struct wv_gpu_activity a = {.class = WV_GPU_MEMORY};
	struct wv_gpu_launch l;

	switch (record->kind) {
	case WV_KIND_KERNEL:
	case WV_KIND_CONCURRENT_KERNEL:
		on_kernel(s, (const void *)record);
		break;
	case WV_KIND_MEMCPY:
	case WV_KIND_MEMCPY2:
		on_copy(s, (const void *)record);
		break;
	case WV_KIND_MEMSET:
		a.begin = set->start;
		a.end = set->end;
		add(s, set->device, &a);
		break;
	case WV_KIND_GRAPH_TRACE:
		on_graph(s, (const void *)record);
		break;
	case WV_KIND_RUNTIME:
	case WV_KIND_DRIVER:
		l = (struct wv_gpu_launch){.at = call->start, .end = call->end, .tid = call->tid};
		l.sync = is_wait(call);
		/* a call of the runtime that makes one of the driver has two records */
		if (call->correlation != s->correlation || !call->correlation)
			on_call(s, &l);
		s->correlation = call->correlation;
		break;
	case WV_KIND_SYNCHRONIZATION:
		/* cuStreamWaitEvent (2) does not hold up the thread */
		l = (struct wv_gpu_launch){.at = sync->start, .end = sync->end, .sync = true};
		if (sync->type != 2)
			on_call(s, &l);
		break;
	default:
		break;
	}
}

void wv_records_take(struct wv_sink *s, wv_next_fn next, uint8_t *buffer, size_t valid)
{
	struct wv_record *record = NULL;

	while (next(buffer, valid, &record) == WV_CUPTI_SUCCESS && record) {
		s->records++;
		on_record(s, record);
	}
}

void wv_sink_forget(struct wv_sink *s)
{
	for (unsigned i = 0; i < WV_GPU_DEVICES; i++)
		if (s->device[i])
			munmap(s->device[i], sizeof(*s->device[i]));
	memset(s, 0, sizeof(*s));
}
