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

struct wv_gpu_view *wv_gpu_view_map(int runtime, bool write)
{
	_cleanup_close_ int fd = openat(runtime, WV_GPU_VIEW_FILE,
					(write ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC, 0644);
	struct wv_gpu_view *v;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	if ((size_t)st.st_size != sizeof(*v) &&
	    (!write || ftruncate(fd, 0) < 0 || ftruncate(fd, sizeof(*v)) < 0))
		return NULL;
	v = mmap(NULL, sizeof(*v), write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (v == MAP_FAILED)
		return NULL;
	if (write)
		v->layout = sizeof(*v);
	if (v->layout != sizeof(*v)) {
		munmap(v, sizeof(*v));
		return NULL;
	}
	return v;
}

void wv_gpu_view_unmap(struct wv_gpu_view *v)
{
	if (v)
		munmap(v, sizeof(*v));
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
		if (atomic_load_explicit(&v->seq, memory_order_relaxed) == seq)
			return ret->updated ? 0 : -ENOENT;
	}
	return -EAGAIN;
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
	uint64_t share[WV_GPU_BOUND_N] = {0}, whole;
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
	share[WV_GPU_BOUND_NONE] = 0;
	for (unsigned i = 0; i < WV_GPU_BOUND_N; i++)
		if (share[i] > share[most])
			most = i;
	return share[most] >= whole / 1000 * LEAST_PERMILLE ? most : WV_GPU_BOUND_COMPUTE;
}
