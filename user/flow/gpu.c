// SPDX-License-Identifier: GPL-2.0-only
#include "user/flow/gpu.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/core/cleanup.h"

#define X(id, name, doc) [WV_GPU_CAUSE_##id] = name,
const char *const wv_gpu_cause_names[WV_GPU_CAUSE_N] = {WV_GPU_CAUSES(X)};
#undef X
#define X(id, name, doc) [WV_GPU_INPUT_##id] = name,
const char *const wv_gpu_input_names[WV_GPU_INPUT_N] = {WV_GPU_INPUTS(X)};
#undef X
#define X(id, name, doc) [WV_GPU_BOUND_##id] = name,
const char *const wv_gpu_bottleneck_names[WV_GPU_BOUND_N] = {WV_GPU_BOTTLENECKS(X)};
#undef X

#define X(id, name, doc) [WV_GPU_BOUND_##id] = doc,
const char *const wv_gpu_advice[WV_GPU_BOUND_N] = {WV_GPU_BOTTLENECKS(X)};
#undef X

const char *wv_gpu_degraded_words(uint32_t degraded)
{
	static const char *const words[] = {
		[WV_GPU_AS_ASKED] = "as asked for",
		[WV_GPU_NO_CUPTI] = "no CUPTI library that fits is in the process",
		[WV_GPU_CONFLICT] = "another profiler has the process",
		[WV_GPU_REFUSED] = "the driver refuses it",
		[WV_GPU_TOO_COSTLY] = "it cost more than its limit",
		[WV_GPU_LOSING] = "records were lost",
	};

	return degraded < ARRAY_SIZE(words) ? words[degraded] : "not known";
}

const char *wv_gpu_level_words(uint32_t level)
{
	static const char *const words[] = {
		[WV_GPU_L0] = "meters and waits only",
		[WV_GPU_L1] = "kernels and copies",
		[WV_GPU_L2] = "kernels, copies, launches and synchronisations",
		[WV_GPU_L3] = "all, with markers",
	};

	return level < ARRAY_SIZE(words) ? words[level] : "not known";
}

/* A file of our size, made if need be. */
static int open_sized(int runtime)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	for (unsigned i = 0; i < 2; i++) {
		wv_closep(&fd);
		fd = openat(runtime, WV_GPU_VIEW_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			    0644);
		if (fd < 0 || fstat(fd, &st) < 0)
			return -errno;
		if (st.st_size == 0 && ftruncate(fd, sizeof(struct wv_gpu_view)) < 0)
			return -errno;
		if (st.st_size == 0 || st.st_size == sizeof(struct wv_gpu_view))
			return TAKE_FD(fd);
		if (unlinkat(runtime, WV_GPU_VIEW_FILE, 0) < 0)
			return -errno;
	}
	return -EAGAIN;
}

static struct wv_gpu_view *map(int fd, bool write)
{
	struct wv_gpu_view *v = mmap(NULL, sizeof(*v), write ? PROT_READ | PROT_WRITE : PROT_READ,
				     MAP_SHARED, fd, 0);

	return v == MAP_FAILED ? NULL : v;
}

struct wv_gpu_view *wv_gpu_view_map(int runtime, bool write)
{
	_cleanup_close_ int fd = -1;
	struct wv_gpu_view *v;
	struct stat st;

	fd = write ? open_sized(runtime)
		   : openat(runtime, WV_GPU_VIEW_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size != sizeof(*v))
		return NULL;
	v = map(fd, write);
	if (v && write)
		v->layout = sizeof(*v);
	if (v && v->layout != sizeof(*v)) {
		wv_gpu_view_unmap(v);
		return NULL;
	}
	return v;
}

const struct wv_gpu_view *wv_gpu_view_watch(int runtime)
{
	_cleanup_close_ int fd = open_sized(runtime);

	return fd < 0 ? NULL : map(fd, false);
}

void wv_gpu_view_unmap(const struct wv_gpu_view *v)
{
	if (v)
		munmap((void *)(uintptr_t)v, sizeof(*v));
}

void wv_gpu_view_begin(struct wv_gpu_view *v)
{
	/* a writer that died in the middle left it odd: then it stays odd until end() */
	uint64_t seq = atomic_load_explicit(&v->seq, memory_order_relaxed) | 1;

	atomic_store_explicit(&v->seq, seq, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

void wv_gpu_view_end(struct wv_gpu_view *v)
{
	uint64_t seq = atomic_load_explicit(&v->seq, memory_order_relaxed);

	atomic_store_explicit(&v->seq, seq + 1, memory_order_release);
}

int wv_gpu_view_read(const struct wv_gpu_view *v, struct wv_gpu_view *ret)
{
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t seq = atomic_load_explicit(&v->seq, memory_order_acquire);

		if (seq & 1) {
			sched_yield();
			continue;
		}
		memcpy(ret, v, sizeof(*ret));
		atomic_thread_fence(memory_order_acquire);
		if (ret->n_devices > WV_GPU_DEVICES)
			ret->n_devices = WV_GPU_DEVICES;
		if (ret->n_processes > WV_GPU_VIEW_PROCESSES)
			ret->n_processes = WV_GPU_VIEW_PROCESSES;
		if (atomic_load_explicit(&v->seq, memory_order_relaxed) == seq)
			return ret->layout == sizeof(*ret) && ret->updated ? 0 : -ENOENT;
	}
	return -EAGAIN;
}

int wv_gpu_page_read(const char *runtime, struct wv_gpu_view *ret)
{
	_cleanup_close_ int dir = open(runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct wv_gpu_view *page = dir < 0 ? NULL : wv_gpu_view_map(dir, false);
	int r = page ? wv_gpu_view_read(page, ret) : -ENOENT;

	wv_gpu_view_unmap(page);
	return r;
}

/*
 * A device that is busy for 85 % of the time or more is bound by computation: what is left is not
 * worth a search (gpu.md: 60 -> 85 % is the gain looked for). Below that the largest of what is
 * not hidden counts, where it is at least 5 % of the time; less is within the noise of a step.
 */
#define BUSY_PERMILLE 850
#define LEAST_PERMILLE 50

enum wv_gpu_bottleneck wv_gpu_bottleneck_of(const struct wv_gpu_sums *d,
					    const struct wv_gpu_process_view *s)
{
	static const enum wv_gpu_bottleneck of_cause[WV_GPU_CAUSE_N] = {
		[WV_GPU_CAUSE_INPUT] = WV_GPU_BOUND_INPUT,
		[WV_GPU_CAUSE_SYNC] = WV_GPU_BOUND_SYNC,
		[WV_GPU_CAUSE_CHECKPOINT] = WV_GPU_BOUND_CHECKPOINT,
		[WV_GPU_CAUSE_HOST] = WV_GPU_BOUND_LAUNCH,
		[WV_GPU_CAUSE_RUNQUEUE] = WV_GPU_BOUND_CPU,
		[WV_GPU_CAUSE_LOCK] = WV_GPU_BOUND_LAUNCH,
		[WV_GPU_CAUSE_LAUNCH] = WV_GPU_BOUND_LAUNCH,
		[WV_GPU_CAUSE_UNKNOWN] = WV_GPU_BOUND_NONE,
	};
	uint64_t share[WV_GPU_BOUND_N] = {0}, whole, unknown;
	const uint64_t *cause_ns;
	enum wv_gpu_bottleneck most = WV_GPU_BOUND_NONE;

	if (d && d->shares.window) {
		whole = d->shares.window;
		if (d->shares.kernel >= whole / 1000 * BUSY_PERMILLE)
			return WV_GPU_BOUND_COMPUTE;
		cause_ns = d->cause_ns;
		share[WV_GPU_BOUND_COMMS] = d->shares.exposed;
		share[WV_GPU_BOUND_COPY] = d->shares.memory;
	} else if (s && s->recent_ns) {
		whole = s->recent_ns;
		/* without a device, the thread's own work is the computation */
		if (s->recent_cause_ns[WV_GPU_CAUSE_HOST] >= whole / 1000 * BUSY_PERMILLE)
			return WV_GPU_BOUND_COMPUTE;
		cause_ns = s->recent_cause_ns;
	} else {
		return WV_GPU_BOUND_NONE;
	}
	for (unsigned i = 0; i < WV_GPU_CAUSE_N; i++)
		if (d || i != WV_GPU_CAUSE_HOST)
			share[of_cause[i]] += cause_ns[i];
	unknown = share[WV_GPU_BOUND_NONE];
	share[WV_GPU_BOUND_NONE] = 0;
	for (unsigned i = 0; i < WV_GPU_BOUND_N; i++)
		if (share[i] > share[most])
			most = i;
	if (unknown > share[most] && unknown >= whole / 1000 * LEAST_PERMILLE)
		return WV_GPU_BOUND_NONE;
	return share[most] >= whole / 1000 * LEAST_PERMILLE ? most : WV_GPU_BOUND_COMPUTE;
}
