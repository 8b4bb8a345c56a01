// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fake libcupti.so.13: the activity API over what the fake driver does. Records are given out as
 * the real one does: buffers that are full, or at a flush, once all in them has ended. Faults are
 * asked for by environment:
 *   FAKE_CUPTI_FAIL=NAME=CODE[,NAME=CODE]  that function fails with that result
 *   FAKE_CUPTI_DROP=N     every Nth record is dropped and counted
 *   FAKE_CUPTI_UNTIMED=N  every Nth record has no times
 *   FAKE_CUPTI_STEAL=MS   after so long another profiler has taken the callbacks: nothing comes
 *   FAKE_CUPTI_VERSION=N  what cuptiGetVersion says (130001)
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gpu/cupti/abi.h"
#include "tests/gpu/fake/fake.h"

#define KINDS 64
#define CALLBACKS 1024
#define WAITING 64 /* full buffers whose records have not ended */

struct buffer {
	uint8_t *data;
	size_t size, used;
	uint64_t end; /* of its latest record, CLOCK_MONOTONIC */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t giving = PTHREAD_MUTEX_INITIALIZER;
static struct buffer open_buffer, waiting[WAITING];
static unsigned n_waiting;
static bool enabled[KINDS], runtime[CALLBACKS], driver[CALLBACKS];
static wv_cupti_request_fn request;
static wv_cupti_complete_fn complete;
static wv_cupti_time_fn clock_fn;
static size_t dropped, seen;
static uint64_t steal_at;
static bool worker;

static uint64_t monotonic(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static unsigned long setting(const char *name)
{
	const char *s = getenv(name);

	return s ? strtoul(s, NULL, 10) : 0;
}

/* The result that a function is to fail with, or 0. */
static int fault(const char *name)
{
	const char *s = getenv("FAKE_CUPTI_FAIL");
	size_t len = strlen(name);

	for (; s && *s; s = strchr(s, ','), s = s ? s + 1 : NULL)
		if (strncmp(s, name, len) == 0 && s[len] == '=')
			return atoi(s + len + 1);
	return 0;
}
#define FAULT()                                                                                    \
	do {                                                                                       \
		int fault_r = fault(__func__);                                                     \
		if (fault_r)                                                                       \
			return fault_r;                                                            \
	} while (0)

/* Gives out buffers that are complete; the open one, too, if `part`. */
static void give(bool part)
{
	struct buffer out[WAITING + 1];
	unsigned n = 0, kept = 0;
	uint64_t at = monotonic(CLOCK_MONOTONIC);

	pthread_mutex_lock(&giving); /* in order */
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < n_waiting; i++) {
		if (waiting[i].end <= at)
			out[n++] = waiting[i];
		else
			waiting[kept++] = waiting[i];
	}
	n_waiting = kept;
	if (part && open_buffer.used && open_buffer.end <= at) {
		out[n++] = open_buffer;
		open_buffer = (struct buffer){.data = NULL};
	}
	pthread_mutex_unlock(&lock);
	for (unsigned i = 0; i < n; i++)
		complete(NULL, 0, out[i].data, out[i].size, out[i].used);
	pthread_mutex_unlock(&giving);
}

static void *work(void *arg)
{
	(void)arg;
	for (;;) {
		usleep(20000);
		give(false);
	}
	return NULL;
}

/* Room for a record that ends at `end`; NULL: dropped. With the lock held. */
static void *room(size_t size, uint64_t end)
{
	struct buffer *b = &open_buffer;
	size_t most = 0;
	void *at;

	if (b->data && b->used + size > b->size) {
		if (n_waiting == WAITING)
			return NULL;
		waiting[n_waiting++] = *b;
		*b = (struct buffer){.data = NULL};
	}
	if (!b->data) {
		if (!request)
			return NULL;
		request(&b->data, &b->size, &most);
		if (!b->data)
			return NULL;
	}
	at = b->data + b->used;
	memset(at, 0, size);
	b->used += size;
	if (end > b->end)
		b->end = end;
	return at;
}

static void fill(void *at, const struct fake_event *e, uint64_t shift)
{
	uint64_t begin = e->begin + shift, end = e->end + shift;

	if (setting("FAKE_CUPTI_UNTIMED") && seen % setting("FAKE_CUPTI_UNTIMED") == 0)
		begin = end = 0;
	switch (e->kind) {
	case FAKE_KERNEL:
		*(struct wv_record_kernel *)at =
			(struct wv_record_kernel){.kind = WV_KIND_CONCURRENT_KERNEL,
						  .start = begin,
						  .end = end,
						  .completed = end,
						  .device = e->device,
						  .context = e->context,
						  .stream = e->stream,
						  .correlation = e->correlation,
						  .name = e->name};
		break;
	case FAKE_COPY:
		*(struct wv_record_copy *)at =
			(struct wv_record_copy){.kind = WV_KIND_MEMCPY,
						.copy_kind = (uint8_t)e->detail,
						.bytes = e->bytes,
						.start = begin,
						.end = end,
						.device = e->device,
						.context = e->context,
						.stream = e->stream,
						.correlation = e->correlation};
		break;
	case FAKE_SET:
		*(struct wv_record_set *)at = (struct wv_record_set){.kind = WV_KIND_MEMSET,
								     .bytes = e->bytes,
								     .start = begin,
								     .end = end,
								     .device = e->device,
								     .context = e->context,
								     .stream = e->stream,
								     .correlation = e->correlation};
		break;
	case FAKE_GRAPH:
		*(struct wv_record_graph *)at =
			(struct wv_record_graph){.kind = WV_KIND_GRAPH_TRACE,
						 .correlation = e->correlation,
						 .start = begin,
						 .end = end,
						 .device = e->device,
						 .graph = e->detail,
						 .context = e->context,
						 .stream = e->stream};
		break;
	case FAKE_CALL:
		*(struct wv_record_api *)at = (struct wv_record_api){.kind = WV_KIND_DRIVER,
								     .cbid = e->detail,
								     .start = begin,
								     .end = end,
								     .pid = (uint32_t)getpid(),
								     .tid = e->tid,
								     .correlation = e->correlation};
		break;
	case FAKE_WAIT:
		*(struct wv_record_sync *)at =
			(struct wv_record_sync){.kind = WV_KIND_SYNCHRONIZATION,
						.type = e->detail,
						.start = begin,
						.end = end,
						.correlation = e->correlation,
						.context = e->context,
						.stream = e->stream};
		break;
	}
}

static void on_event(const struct fake_event *e)
{
	static const struct {
		uint32_t kind;
		size_t size;
	} of[] = {
		[FAKE_KERNEL] = {WV_KIND_CONCURRENT_KERNEL, WV_KERNEL_SIZE},
		[FAKE_COPY] = {WV_KIND_MEMCPY, WV_MEMCPY_SIZE},
		[FAKE_SET] = {WV_KIND_MEMSET, WV_MEMSET_SIZE},
		[FAKE_GRAPH] = {WV_KIND_GRAPH_TRACE, WV_GRAPH_SIZE},
		[FAKE_CALL] = {WV_KIND_DRIVER, WV_API_SIZE},
		[FAKE_WAIT] = {WV_KIND_SYNCHRONIZATION, WV_SYNC_SIZE},
	};
	bool wanted = enabled[of[e->kind].kind] ||
		      (e->kind == FAKE_CALL && e->detail < CALLBACKS && driver[e->detail]);
	uint64_t shift;
	void *at;

	if (!wanted || (steal_at && monotonic(CLOCK_MONOTONIC) > steal_at))
		return;
	shift = (clock_fn ? clock_fn() : monotonic(CLOCK_REALTIME)) - monotonic(CLOCK_MONOTONIC);
	/* the two readings are not at one time */
	if (shift + 1000000 < 2000000)
		shift = 0;
	pthread_mutex_lock(&lock);
	seen++;
	at = setting("FAKE_CUPTI_DROP") && seen % setting("FAKE_CUPTI_DROP") == 0
		     ? NULL
		     : room(of[e->kind].size, e->end);
	if (at)
		fill(at, e, shift);
	else
		dropped++;
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin(void)
{
	void (*observe)(void (*)(const struct fake_event *));
	void *cuda = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);

	*(void **)&observe = dlsym(cuda ? cuda : RTLD_DEFAULT, "fake_cuda_observe");
	if (observe)
		observe(on_event);
	if (setting("FAKE_CUPTI_STEAL"))
		steal_at = monotonic(CLOCK_MONOTONIC) + setting("FAKE_CUPTI_STEAL") * 1000000ULL;
}

/* --- CUPTI's API ----------------------------------------------------------------------------- */

int cuptiGetVersion(uint32_t *version);
int cuptiActivityRegisterCallbacks(wv_cupti_request_fn ask, wv_cupti_complete_fn done);
int cuptiActivityRegisterTimestampCallback(wv_cupti_time_fn fn);
int cuptiActivityEnable(uint32_t kind);
int cuptiActivityDisable(uint32_t kind);
int cuptiActivityFlushAll(uint32_t flag);
int cuptiActivityGetNextRecord(uint8_t *buffer, size_t valid, struct wv_record **record);
int cuptiActivityGetNumDroppedRecords(void *context, uint32_t stream, size_t *ret);
int cuptiActivityEnableRuntimeApi(uint32_t cbid, uint8_t enable);
int cuptiActivityEnableDriverApi(uint32_t cbid, uint8_t enable);
int cuptiSetThreadIdType(uint32_t type);
int cuptiActivitySetAttribute(uint32_t attribute, size_t *size, void *value);

int cuptiGetVersion(uint32_t *version)
{
	FAULT();
	*version = setting("FAKE_CUPTI_VERSION") ? (uint32_t)setting("FAKE_CUPTI_VERSION") : 130001;
	return 0;
}

int cuptiActivityRegisterCallbacks(wv_cupti_request_fn ask, wv_cupti_complete_fn done)
{
	pthread_t t;

	FAULT();
	pthread_mutex_lock(&lock);
	request = ask;
	complete = done;
	if (!worker && pthread_create(&t, NULL, work, NULL) == 0) {
		pthread_detach(t);
		worker = true;
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

int cuptiActivityRegisterTimestampCallback(wv_cupti_time_fn fn)
{
	FAULT();
	clock_fn = fn;
	return 0;
}

int cuptiActivityEnable(uint32_t kind)
{
	char name[48];
	int r;

	FAULT();
	/* cuptiActivityEnable/10=35: one kind only */
	strcpy(name, "cuptiActivityEnable/");
	name[20] = (char)('0' + kind / 10 % 10);
	name[21] = (char)('0' + kind % 10);
	name[22] = 0;
	r = fault(name);
	if (r || kind >= KINDS)
		return r ? r : WV_CUPTI_INVALID_KIND;
	enabled[kind] = true;
	return 0;
}

int cuptiActivityDisable(uint32_t kind)
{
	FAULT();
	if (kind < KINDS)
		enabled[kind] = false;
	return 0;
}

int cuptiActivityFlushAll(uint32_t flag)
{
	FAULT();
	(void)flag;
	if (complete)
		give(true);
	return 0;
}

int cuptiActivityGetNextRecord(uint8_t *buffer, size_t valid, struct wv_record **record)
{
	uint8_t *at = buffer;
	static const size_t size[KINDS] = {
		[WV_KIND_CONCURRENT_KERNEL] = WV_KERNEL_SIZE,
		[WV_KIND_MEMCPY] = WV_MEMCPY_SIZE,
		[WV_KIND_MEMSET] = WV_MEMSET_SIZE,
		[WV_KIND_GRAPH_TRACE] = WV_GRAPH_SIZE,
		[WV_KIND_DRIVER] = WV_API_SIZE,
		[WV_KIND_RUNTIME] = WV_API_SIZE,
		[WV_KIND_SYNCHRONIZATION] = WV_SYNC_SIZE,
		[WV_KIND_OVERHEAD] = WV_OVERHEAD_SIZE,
		[WV_KIND_MARKER] = WV_MARKER_SIZE,
	};

	FAULT();
	if (*record) {
		size_t len = (*record)->kind < KINDS ? size[(*record)->kind] : 0;

		if (!len)
			return WV_CUPTI_INVALID_KIND;
		at = (uint8_t *)*record + len;
	}
	if (at >= buffer + valid)
		return WV_CUPTI_MAX_LIMIT_REACHED;
	*record = (struct wv_record *)at;
	return (*record)->kind < KINDS && size[(*record)->kind] ? 0 : WV_CUPTI_INVALID_KIND;
}

int cuptiActivityGetNumDroppedRecords(void *context, uint32_t stream, size_t *ret)
{
	FAULT();
	(void)context, (void)stream;
	pthread_mutex_lock(&lock);
	*ret = dropped;
	dropped = 0;
	pthread_mutex_unlock(&lock);
	return 0;
}

int cuptiActivityEnableRuntimeApi(uint32_t cbid, uint8_t enable)
{
	FAULT();
	if (cbid < CALLBACKS)
		runtime[cbid] = enable;
	return 0;
}

int cuptiActivityEnableDriverApi(uint32_t cbid, uint8_t enable)
{
	FAULT();
	if (cbid < CALLBACKS)
		driver[cbid] = enable;
	return 0;
}

int cuptiSetThreadIdType(uint32_t type)
{
	FAULT();
	return type > 1;
}

int cuptiActivitySetAttribute(uint32_t attribute, size_t *size, void *value)
{
	FAULT();
	(void)attribute, (void)size, (void)value;
	return 0;
}
