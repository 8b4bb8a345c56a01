/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is used of CUPTI's and the driver's binary interface, so that neither is needed to build.
 * Records are read by their beginnings only, which have been the same from CUDA 11.1 to 13; a field
 * that moved would be found by tests/gpu/cupti_abi.c, which holds all of this against NVIDIA's own
 * headers where those are.
 */
#ifndef WV_CUPTI_ABI_H
#define WV_CUPTI_ABI_H

#include <stddef.h>
#include <stdint.h>

/* CUpti_ActivityKind */
enum {
	WV_CUPTI_MEMCPY = 1,
	WV_CUPTI_MEMSET = 2,
	WV_CUPTI_DRIVER = 4,
	WV_CUPTI_CONCURRENT_KERNEL = 10,
	WV_CUPTI_MARKER = 12,
	WV_CUPTI_OVERHEAD = 17,
	WV_CUPTI_MEMCPY2 = 22, /* between devices */
	WV_CUPTI_GRAPH_TRACE = 51,
};

/* CUptiResult */
enum {
	WV_CUPTI_OK = 0,
	WV_CUPTI_MAX_LIMIT_REACHED = 12, /* no more records in the buffer */
	WV_CUPTI_NOT_COMPATIBLE = 14,
	WV_CUPTI_INSUFFICIENT_PRIVILEGES = 35,
	WV_CUPTI_MULTIPLE_SUBSCRIBERS = 39,
};

/* CUpti_driver_api_trace_cbid: calls that begin work, and calls that wait for it */
enum {
	WV_CBID_CTX_SYNCHRONIZE = 17,
	WV_CBID_EVENT_SYNCHRONIZE = 121,
	WV_CBID_STREAM_SYNCHRONIZE = 126,
	WV_CBID_MEMCPY_HTOD_ASYNC = 277,
	WV_CBID_LAUNCH_KERNEL = 307,
	WV_CBID_GRAPH_LAUNCH = 514,
	WV_CBID_LAUNCH_KERNEL_EX = 652,
};

/* CUpti_ActivityMemcpyKind */
enum {
	WV_CUPTI_HTOD = 1,
	WV_CUPTI_DTOH = 2,
	WV_CUPTI_DTOD = 8,
	WV_CUPTI_PTOP = 10,
};

/* Records are packed to 8 bytes; each begins with its kind. */
struct wv_cupti_kernel {
	uint32_t kind, config[3];
	uint64_t start, end, completed;
	uint32_t device, context, stream;
	uint32_t dimensions[10]; /* grid, block, and two sizes of shared memory, local memory */
	uint32_t correlation;
	uint64_t grid_id;
	const char *name;
};

struct wv_cupti_copy { /* MEMCPY, MEMCPY2 and MEMSET */
	uint32_t kind;
	uint8_t copy_kind, rest[3]; /* of a set: its value */
	uint64_t bytes, start, end;
	uint32_t device;
};

struct wv_cupti_graph {
	uint32_t kind, correlation;
	uint64_t start, end;
	uint32_t device, graph;
};

struct wv_cupti_call {
	uint32_t kind, cbid;
	uint64_t start, end;
	uint32_t process, thread, correlation;
};

struct wv_cupti_overhead {
	uint32_t kind, head[5];
	uint64_t start, end;
};

typedef void (*wv_cupti_request)(uint8_t **buffer, size_t *size, size_t *max_records);
typedef void (*wv_cupti_complete)(void *context, uint32_t stream, uint8_t *buffer, size_t size,
				  size_t valid);
typedef uint64_t (*wv_cupti_timestamp)(void);

/* Row: (name without "cupti", arguments, whether it MUST be there) */
#define WV_CUPTI_FUNCTIONS(X)                                                                      \
	X(GetVersion, (uint32_t * version), 1)                                                     \
	X(ActivityRegisterCallbacks, (wv_cupti_request request, wv_cupti_complete complete), 1)    \
	X(ActivityEnable, (uint32_t kind), 1)                                                      \
	X(ActivityDisable, (uint32_t kind), 1)                                                     \
	X(ActivityGetNextRecord, (uint8_t * buffer, size_t valid, void **record), 1)               \
	X(ActivityGetNumDroppedRecords, (void *context, uint32_t stream, size_t *dropped), 1)      \
	X(ActivityFlushAll, (uint32_t flag), 1)                                                    \
	X(ActivityFlushPeriod, (uint32_t ms), 0)                                                   \
	X(ActivityRegisterTimestampCallback, (wv_cupti_timestamp timestamp), 0)                    \
	X(ActivityEnableDriverApi, (uint32_t cbid, uint8_t enable), 0)

/* The driver; CUdevice is an int. */
#define WV_CUDA_FUNCTIONS(X)                                                                       \
	X(DeviceGetCount, (int *n), 1)                                                             \
	X(DeviceGet, (int *device, int i), 1)                                                      \
	X(DeviceGetName, (char *name, int size, int device), 1)                                    \
	X(DeviceGetUuid_v2, (unsigned char uuid[16], int device), 0) /* a MIG slice's own */       \
	X(DeviceGetUuid, (unsigned char uuid[16], int device), 0)

#endif
