/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is used of CUPTI and of the CUDA driver, declared here so that neither is needed to build.
 * Of each record only the head that has been the same from CUDA 11 to 13; later versions append.
 * tests/gpu/abi.c holds every number against NVIDIA's headers where those are installed.
 */
#ifndef WV_CUPTI_ABI_H
#define WV_CUPTI_ABI_H

#include <stddef.h>
#include <stdint.h>

enum {
	WV_CUPTI_SUCCESS = 0,
	WV_CUPTI_MAX_LIMIT_REACHED = 12,
	WV_CUPTI_NOT_COMPATIBLE = 14,
	WV_CUPTI_INVALID_KIND = 21,
	WV_CUPTI_HARDWARE_BUSY = 26,
	WV_CUPTI_NOT_SUPPORTED = 27,
	WV_CUPTI_INSUFFICIENT_PRIVILEGES = 35,
	WV_CUPTI_OLD_PROFILER = 36,
	WV_CUPTI_LEGACY_PROFILER = 38,
	WV_CUPTI_MULTIPLE_SUBSCRIBERS = 39,
	WV_CUPTI_UNKNOWN = 999,
};

enum {
	WV_KIND_MEMCPY = 1,
	WV_KIND_MEMSET = 2,
	WV_KIND_KERNEL = 3,
	WV_KIND_DRIVER = 4,
	WV_KIND_RUNTIME = 5,
	WV_KIND_CONCURRENT_KERNEL = 10,
	WV_KIND_MARKER = 12,
	WV_KIND_OVERHEAD = 17,
	WV_KIND_MEMCPY2 = 22, /* between devices */
	WV_KIND_SYNCHRONIZATION = 38,
	WV_KIND_GRAPH_TRACE = 51,
};

enum {
	WV_COPY_HTOD = 1,
	WV_COPY_DTOH = 2,
	WV_COPY_HTOA = 3,
	WV_COPY_ATOH = 4,
	WV_COPY_PTOP = 10,
};

/* Records are packed to 8 bytes. Sizes are of the newest version that is known. */
#define WV_KERNEL_SIZE 216
#define WV_MEMCPY_SIZE 96
#define WV_MEMSET_SIZE 88
#define WV_GRAPH_SIZE 56
#define WV_API_SIZE 40
#define WV_SYNC_SIZE 56
#define WV_OVERHEAD_SIZE 56
#define WV_MARKER_SIZE 56

struct wv_record {
	uint32_t kind;
};

struct wv_record_kernel {
	uint32_t kind;
	uint32_t unused0[3];
	uint64_t start, end;
	uint64_t completed;
	uint32_t device, context, stream;
	uint32_t unused1[10];
	uint32_t correlation;
	uint64_t grid;
	const char *name;
};

struct wv_record_copy {
	uint32_t kind;
	uint8_t copy_kind, unused0[3];
	uint64_t bytes, start, end;
	uint32_t device, context, stream, correlation; /* of MEMCPY2: another place */
};

struct wv_record_set {
	uint32_t kind, value;
	uint64_t bytes, start, end;
	uint32_t device, context, stream, correlation;
};

struct wv_record_graph {
	uint32_t kind, correlation;
	uint64_t start, end;
	uint32_t device, graph, context, stream;
};

struct wv_record_api {
	uint32_t kind, cbid;
	uint64_t start, end;
	uint32_t pid, tid, correlation, returned;
};

struct wv_record_sync {
	uint32_t kind, type;
	uint64_t start, end;
	uint32_t correlation, context, stream, event;
};

struct wv_record_overhead {
	uint32_t kind, overhead;
	uint32_t unused0[4];
	uint64_t start, end;
};

/* Callback ids of the runtime and of the driver. */
#define WV_RUNTIME_LAUNCHES 211, 214, 269, 270, 311, 312, 430, 431, 505, 506
#define WV_RUNTIME_COPIES 31, 41, 51, 215, 225, 235
#define WV_RUNTIME_WAITS 131, 137, 165, 239
#define WV_DRIVER_LAUNCHES 307, 442, 477, 478, 514, 515, 652, 653
#define WV_DRIVER_WAITS 17, 121, 126, 440

#define WV_THREAD_ID_SYSTEM 1

typedef void (*wv_cupti_request_fn)(uint8_t **buffer, size_t *size, size_t *max_records);
typedef void (*wv_cupti_complete_fn)(void *context, uint32_t stream, uint8_t *buffer, size_t size,
				     size_t valid);
typedef uint64_t (*wv_cupti_time_fn)(void);

/* Row: (slot, CUPTI's name, arguments, 1: nothing goes without it). All return 0 or an error. */
#define WV_CUPTI_CALLS(X)                                                                          \
	X(version, cuptiGetVersion, (uint32_t * version), 1)                                       \
	X(register_callbacks, cuptiActivityRegisterCallbacks,                                      \
	  (wv_cupti_request_fn, wv_cupti_complete_fn), 1)                                          \
	X(register_time, cuptiActivityRegisterTimestampCallback, (wv_cupti_time_fn), 1)            \
	X(enable, cuptiActivityEnable, (uint32_t kind), 1)                                         \
	X(disable, cuptiActivityDisable, (uint32_t kind), 1)                                       \
	X(flush, cuptiActivityFlushAll, (uint32_t flag), 1)                                        \
	X(next, cuptiActivityGetNextRecord,                                                        \
	  (uint8_t * buffer, size_t valid, struct wv_record * *record), 1)                         \
	X(dropped, cuptiActivityGetNumDroppedRecords,                                              \
	  (void *context, uint32_t stream, size_t *dropped), 1)                                    \
	X(enable_runtime, cuptiActivityEnableRuntimeApi, (uint32_t cbid, uint8_t enable), 0)       \
	X(enable_driver, cuptiActivityEnableDriverApi, (uint32_t cbid, uint8_t enable), 0)         \
	X(thread_id_type, cuptiSetThreadIdType, (uint32_t type), 0)                                \
	X(set_attribute, cuptiActivitySetAttribute,                                                \
	  (uint32_t attribute, size_t * size, void *value), 0)

struct wv_cupti {
#define X(slot, name, arguments, needed) int(*slot) arguments;
	WV_CUPTI_CALLS(X)
#undef X
};

#endif
