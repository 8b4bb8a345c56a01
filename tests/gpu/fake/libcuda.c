// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fake libcuda.so.1: FAKE_CUDA_DEVICES (1) devices with eight streams each. cuInit loads the fake
 * CUPTI that lies beside it, as frameworks do (not with FAKE_CUPTI_ABSENT=1), then what
 * CUDA_INJECTION64_PATH names, and calls its InitializeInjection.
 */
#include "tests/gpu/fake/fake.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEVICES 16
#define STREAMS 8
#define LATENCY_NS 5000	     /* from a launch to the begin, where the stream is empty */
#define LEAST_NS 2000	     /* of a kernel */
#define COPY_BYTES_PER_NS 20 /* GB/s */

enum {
	OK = 0,
	INVALID = 1,
	OUT_OF_MEMORY = 2,
	NOT_INITIALIZED = 3,
	NO_DEVICE = 100,
	BAD_DEVICE = 101
};
enum { CALL_LAUNCH = 307, CALL_GRAPH = 514, CALL_TO = 277, CALL_FROM = 279, CALL_SET = 216 };

struct graph {
	uint32_t id;
	uint64_t ns;
};

struct stream {
	uint32_t device, index;
	uint64_t end;
	struct graph *capture;
};

struct event {
	uint64_t at;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct stream streams[DEVICES][STREAMS];
static uint32_t used[DEVICES]; /* streams that were created; 0 is the default one */
static uint32_t correlations, graphs;
static int devices = -1;
static _Thread_local int current;
static void (*observer)(const struct fake_event *event);

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void until(uint64_t at)
{
	struct timespec t = {(time_t)(at / 1000000000ULL), (long)(at % 1000000000ULL)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
		;
}

void fake_cuda_observe(void (*fn)(const struct fake_event *event))
{
	observer = fn;
}

static void tell(const struct fake_event *e)
{
	if (observer)
		observer(e);
}

/* Puts work on the stream and tells it and the call. */
static int work(struct stream *s, struct fake_event *e, uint64_t ns, uint32_t cbid)
{
	uint64_t at = now();
	struct fake_event call = {.kind = FAKE_CALL, .detail = cbid, .begin = at};

	pthread_mutex_lock(&lock);
	if (s->capture) {
		s->capture->ns += ns;
		pthread_mutex_unlock(&lock);
		return OK;
	}
	e->begin = s->end > at + LATENCY_NS ? s->end : at + LATENCY_NS;
	e->end = s->end = e->begin + ns;
	e->correlation = call.correlation = ++correlations;
	pthread_mutex_unlock(&lock);
	e->device = s->device;
	e->context = s->device + 1;
	e->stream = s->index + 7;
	e->tid = call.tid = (uint32_t)gettid();
	call.end = now();
	tell(&call);
	tell(e);
	return OK;
}

static struct stream *stream_of(int device, int stream)
{
	if (devices < 0 || device < 0 || device >= devices || stream < 0 || stream >= STREAMS)
		return NULL;
	return &streams[device][stream];
}

static struct stream *stream_at(void *stream)
{
	return stream ? stream : stream_of(current, 0);
}

int fake_kernel(int device, int stream, const char *name, uint64_t ns)
{
	struct stream *s = stream_of(device, stream);
	struct fake_event e = {.kind = FAKE_KERNEL, .name = name};

	return s ? work(s, &e, ns < LEAST_NS ? LEAST_NS : ns, CALL_LAUNCH) : INVALID;
}

int fake_copy(int device, int stream, int kind, uint64_t bytes, uint64_t ns)
{
	struct stream *s = stream_of(device, stream);
	struct fake_event e = {.kind = FAKE_COPY, .bytes = bytes, .detail = (uint32_t)kind};

	return s ? work(s, &e, ns, kind == 2 ? CALL_FROM : CALL_TO) : INVALID;
}

int fake_set(int device, int stream, uint64_t bytes, uint64_t ns)
{
	struct stream *s = stream_of(device, stream);
	struct fake_event e = {.kind = FAKE_SET, .bytes = bytes};

	return s ? work(s, &e, ns, CALL_SET) : INVALID;
}

int fake_graph(int device, int stream, unsigned graph, uint64_t ns)
{
	struct stream *s = stream_of(device, stream);
	struct fake_event e = {.kind = FAKE_GRAPH, .detail = graph};

	return s ? work(s, &e, ns, CALL_GRAPH) : INVALID;
}

int fake_after(int device, int stream, int other)
{
	struct stream *s = stream_of(device, stream), *o = stream_of(device, other);

	if (!s || !o)
		return INVALID;
	pthread_mutex_lock(&lock);
	if (o->end > s->end)
		s->end = o->end;
	pthread_mutex_unlock(&lock);
	return OK;
}

static int wait_for(int device, uint64_t end, uint32_t stream)
{
	struct fake_event e = {.kind = FAKE_WAIT, .begin = now(), .stream = stream};

	e.device = (uint32_t)device;
	e.context = e.device + 1;
	e.tid = (uint32_t)gettid();
	e.detail = stream == UINT32_MAX ? 4 : 3;
	until(end);
	e.end = now();
	pthread_mutex_lock(&lock);
	e.correlation = ++correlations;
	pthread_mutex_unlock(&lock);
	tell(&e);
	return OK;
}

int fake_sync(int device, int stream)
{
	uint64_t end = 0;

	if (!stream_of(device, stream < 0 ? 0 : stream))
		return INVALID;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < STREAMS; i++)
		if ((stream < 0 || i == stream) && streams[device][i].end > end)
			end = streams[device][i].end;
	pthread_mutex_unlock(&lock);
	return wait_for(device, end, stream < 0 ? UINT32_MAX : (uint32_t)stream + 7);
}

/* --- the driver's API ------------------------------------------------------------------------ */

static void inject(void)
{
	const char *path = getenv("CUDA_INJECTION64_PATH"), *absent = getenv("FAKE_CUPTI_ABSENT");
	char beside[4096];
	int (*initialize)(void);
	Dl_info me;
	void *lib;

	if ((!absent || *absent != '1') && dladdr((void *)(uintptr_t)cuInit, &me) &&
	    strlen(me.dli_fname) < sizeof(beside) - 32) {
		char *slash;

		strcpy(beside, me.dli_fname);
		slash = strrchr(beside, '/');
		strcpy(slash ? slash + 1 : beside, "libcupti.so.13");
		dlopen(beside, RTLD_NOW | RTLD_GLOBAL);
	}
	if (!path || !*path)
		return;
	lib = dlopen(path, RTLD_NOW);
	if (!lib) {
		fprintf(stderr, "fake cuInit: %s\n", dlerror());
		return;
	}
	*(void **)&initialize = dlsym(lib, "InitializeInjection");
	if (initialize)
		initialize();
}

int cuInit(unsigned flags)
{
	const char *n = getenv("FAKE_CUDA_DEVICES");
	bool first;

	(void)flags;
	pthread_mutex_lock(&lock);
	first = devices < 0;
	if (first) {
		devices = n ? atoi(n) : 1;
		if (devices < 0 || devices > DEVICES)
			devices = 1;
		for (uint32_t d = 0; d < DEVICES; d++)
			for (uint32_t i = 0; i < STREAMS; i++)
				streams[d][i] = (struct stream){.device = d, .index = i};
	}
	pthread_mutex_unlock(&lock);
	if (first)
		inject();
	return devices ? OK : NO_DEVICE;
}

int cuDriverGetVersion(int *version)
{
	*version = 13000;
	return OK;
}

int cuDeviceGetCount(int *count)
{
	if (devices < 0)
		return NOT_INITIALIZED;
	*count = devices;
	return OK;
}

int cuDeviceGet(int *device, int ordinal)
{
	if (devices < 0)
		return NOT_INITIALIZED;
	if (ordinal < 0 || ordinal >= devices)
		return BAD_DEVICE;
	*device = ordinal;
	return OK;
}

int cuDeviceGetName(char *name, int len, int device)
{
	if (!stream_of(device, 0))
		return BAD_DEVICE;
	snprintf(name, (size_t)len, "Fake GPU");
	return OK;
}

int cuDeviceGetUuid_v2(void *uuid, int device)
{
	if (!stream_of(device, 0))
		return BAD_DEVICE;
	memset(uuid, 0xfa, 16);
	((unsigned char *)uuid)[15] = (unsigned char)device;
	return OK;
}

int cuDeviceGetUuid(void *uuid, int device)
{
	return cuDeviceGetUuid_v2(uuid, device);
}

int cuDevicePrimaryCtxRetain(void **context, int device)
{
	*context = stream_of(device, 0);
	return *context ? OK : BAD_DEVICE;
}

int cuCtxSetCurrent(void *context)
{
	current = context ? (int)((struct stream *)context)->device : 0;
	return OK;
}

int cuCtxSynchronize(void)
{
	return fake_sync(current, -1);
}

int cuModuleLoadData(void **module, const void *image)
{
	*module = (void *)(uintptr_t)image;
	return OK;
}

int cuModuleGetFunction(void **function, void *module, const char *name)
{
	(void)module;
	*function = strdup(name); /* a function is its name */
	return *function ? OK : OUT_OF_MEMORY;
}

int cuStreamCreate(void **stream, unsigned flags)
{
	struct stream *s;

	(void)flags;
	if (devices <= current)
		return NOT_INITIALIZED;
	pthread_mutex_lock(&lock);
	s = used[current] + 1 < STREAMS ? &streams[current][++used[current]] : NULL;
	pthread_mutex_unlock(&lock);
	*stream = s;
	return s ? OK : OUT_OF_MEMORY;
}

int cuStreamSynchronize(void *stream)
{
	struct stream *s = stream_at(stream);

	return s ? fake_sync((int)s->device, (int)s->index) : INVALID;
}

int cuStreamWaitEvent(void *stream, void *event, unsigned flags)
{
	struct stream *s = stream_at(stream);

	(void)flags;
	pthread_mutex_lock(&lock);
	if (((struct event *)event)->at > s->end)
		s->end = ((struct event *)event)->at;
	pthread_mutex_unlock(&lock);
	return OK;
}

int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
		   unsigned bz, unsigned shared, void *stream, void **args, void **extra)
{
	struct stream *s = stream_at(stream);
	struct fake_event e = {.kind = FAKE_KERNEL, .name = function};
	uint64_t ns = 0;

	(void)gx, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared, (void)extra;
	if (!s || !function)
		return INVALID;
	if (args)
		memcpy(&ns, args[0], sizeof(ns));
	return work(s, &e, ns < LEAST_NS ? LEAST_NS : ns, CALL_LAUNCH);
}

int cuEventCreate(void **event, unsigned flags)
{
	(void)flags;
	*event = calloc(1, sizeof(struct event));
	return *event ? OK : OUT_OF_MEMORY;
}

int cuEventRecord(void *event, void *stream)
{
	struct stream *s = stream_at(stream);
	uint64_t at = now();

	pthread_mutex_lock(&lock);
	((struct event *)event)->at = s->end > at ? s->end : at;
	pthread_mutex_unlock(&lock);
	return OK;
}

int cuEventElapsedTime(float *ms, void *from, void *to)
{
	*ms = (float)((double)((struct event *)to)->at - (double)((struct event *)from)->at) / 1e6F;
	return OK;
}

int cuMemAlloc_v2(uint64_t *p, size_t bytes)
{
	(void)bytes;
	*p = 0x700000000000ULL;
	return OK;
}

int cuMemHostAlloc(void **p, size_t bytes, unsigned flags)
{
	(void)flags;
	*p = malloc(bytes);
	return *p ? OK : OUT_OF_MEMORY;
}

static int copy(void *stream, int kind, size_t bytes)
{
	struct stream *s = stream_at(stream);

	return s ? fake_copy((int)s->device, (int)s->index, kind, bytes,
			     1000 + bytes / COPY_BYTES_PER_NS)
		 : INVALID;
}

int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream)
{
	(void)to, (void)from;
	return copy(stream, 1, bytes);
}

int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream)
{
	(void)to, (void)from;
	return copy(stream, 2, bytes);
}

int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void *stream)
{
	struct stream *s = stream_at(stream);

	(void)to, (void)value;
	return s ? fake_set((int)s->device, (int)s->index, bytes, LEAST_NS + bytes / 1000)
		 : INVALID;
}

int cuStreamBeginCapture_v2(void *stream, int mode)
{
	struct stream *s = stream_at(stream);
	struct graph *g = calloc(1, sizeof(*g));

	(void)mode;
	if (!s || !g) {
		free(g);
		return OUT_OF_MEMORY;
	}
	pthread_mutex_lock(&lock);
	g->id = ++graphs;
	s->capture = g;
	pthread_mutex_unlock(&lock);
	return OK;
}

int cuStreamEndCapture(void *stream, void **graph)
{
	struct stream *s = stream_at(stream);

	pthread_mutex_lock(&lock);
	*graph = s->capture;
	s->capture = NULL;
	pthread_mutex_unlock(&lock);
	return *graph ? OK : INVALID;
}

int cuGraphInstantiateWithFlags(void **exec, void *graph, unsigned long long flags)
{
	(void)flags;
	*exec = graph;
	return OK;
}

int cuGraphLaunch(void *exec, void *stream)
{
	struct stream *s = stream_at(stream);
	struct graph *g = exec;

	return s && g ? fake_graph((int)s->device, (int)s->index, g->id, g->ns) : INVALID;
}
