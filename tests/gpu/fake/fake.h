/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A driver and a CUPTI that have no GPU: what is launched "runs" in stream order for as long as it
 * says, in real time, and comes out of the fake CUPTI as activity records in NVIDIA's layout. Only
 * for tests: see README.md.
 */
#ifndef WV_GPU_FAKE_H
#define WV_GPU_FAKE_H

#include <stddef.h>
#include <stdint.h>

enum fake_kind { FAKE_KERNEL, FAKE_COPY, FAKE_SET, FAKE_GRAPH, FAKE_CALL, FAKE_WAIT };

/* What the driver tells the fake CUPTI. Times are CLOCK_MONOTONIC, nanoseconds. */
struct fake_event {
	enum fake_kind kind;
	uint32_t device, context, stream, correlation;
	uint64_t begin, end;
	const char *name; /* of a kernel; lives as long as the process */
	uint64_t bytes;
	uint32_t detail; /* copy kind, graph id, or callback id of a call */
	uint32_t tid;
};

/* libcuda.so.1: the fake CUPTI sets what is called for each event. */
void fake_cuda_observe(void (*fn)(const struct fake_event *event));

/* To play a script without modules and functions; stream is 0 to 7. 0 or a CUDA error. */
int fake_kernel(int device, int stream, const char *name, uint64_t ns);
int fake_copy(int device, int stream, int kind, uint64_t bytes, uint64_t ns);
int fake_set(int device, int stream, uint64_t bytes, uint64_t ns);
int fake_graph(int device, int stream, unsigned graph, uint64_t ns);
/* Stream `stream` begins what comes next after all that `other` has now. */
int fake_after(int device, int stream, int other);
/* Waits until the stream has no work; -1: all streams of the device. */
int fake_sync(int device, int stream);

/* The driver API as the profiler's tests use it (cuda.h). */
int cuInit(unsigned flags);
int cuDriverGetVersion(int *version);
int cuDeviceGetCount(int *count);
int cuDeviceGet(int *device, int ordinal);
int cuDeviceGetName(char *name, int len, int device);
int cuDeviceGetUuid(void *uuid, int device);
int cuDeviceGetUuid_v2(void *uuid, int device);
int cuDevicePrimaryCtxRetain(void **context, int device);
int cuCtxSetCurrent(void *context);
int cuCtxSynchronize(void);
int cuModuleLoadData(void **module, const void *image);
int cuModuleGetFunction(void **function, void *module, const char *name);
int cuStreamCreate(void **stream, unsigned flags);
int cuStreamSynchronize(void *stream);
int cuStreamWaitEvent(void *stream, void *event, unsigned flags);
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
		   unsigned bz, unsigned shared, void *stream, void **args, void **extra);
int cuEventCreate(void **event, unsigned flags);
int cuEventRecord(void *event, void *stream);
int cuEventElapsedTime(float *ms, void *from, void *to);
int cuMemAlloc_v2(uint64_t *p, size_t bytes);
int cuMemHostAlloc(void **p, size_t bytes, unsigned flags);
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream);
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream);
int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void *stream);
int cuStreamBeginCapture_v2(void *stream, int mode);
int cuStreamEndCapture(void *stream, void **graph);
int cuGraphInstantiateWithFlags(void **exec, void *graph, unsigned long long flags);
int cuGraphLaunch(void *exec, void *stream);

#endif
