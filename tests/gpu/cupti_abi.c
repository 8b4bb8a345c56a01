// SPDX-License-Identifier: GPL-2.0-only
/* Holds gpu/cupti/abi.h against NVIDIA's headers, where those are: most of it is that it compiles.
 */
#include "gpu/cupti/abi.h"

#if __has_include(<cupti.h>)
#include <string.h>

#include <cuda.h>
#include <cupti.h>
#include <cupti_activity_deprecated.h>

#define SAME(own, field, theirs, their_field)                                                      \
	_Static_assert(offsetof(struct own, field) == offsetof(theirs, their_field) &&             \
			       sizeof(((struct own *)0)->field) ==                                 \
				       sizeof(((theirs *)0)->their_field),                         \
		       #own "." #field)
#define EQUAL(a, b) _Static_assert((int)(a) == (int)(b), #a)

#if CUPTI_API_VERSION >= 130000
#define KERNEL CUpti_ActivityKernel10
#else
#define KERNEL CUpti_ActivityKernel9
#endif
SAME(wv_record_kernel, start, KERNEL, start);
SAME(wv_record_kernel, end, KERNEL, end);
SAME(wv_record_kernel, device, KERNEL, deviceId);
SAME(wv_record_kernel, context, KERNEL, contextId);
SAME(wv_record_kernel, stream, KERNEL, streamId);
SAME(wv_record_kernel, correlation, KERNEL, correlationId);
SAME(wv_record_kernel, name, KERNEL, name);
SAME(wv_record_copy, copy_kind, CUpti_ActivityMemcpy6, copyKind);
SAME(wv_record_copy, bytes, CUpti_ActivityMemcpy6, bytes);
SAME(wv_record_copy, start, CUpti_ActivityMemcpy6, start);
SAME(wv_record_copy, end, CUpti_ActivityMemcpy6, end);
SAME(wv_record_copy, device, CUpti_ActivityMemcpy6, deviceId);
SAME(wv_record_set, bytes, CUpti_ActivityMemset4, bytes);
SAME(wv_record_set, start, CUpti_ActivityMemset4, start);
SAME(wv_record_set, end, CUpti_ActivityMemset4, end);
SAME(wv_record_set, device, CUpti_ActivityMemset4, deviceId);
SAME(wv_record_graph, start, CUpti_ActivityGraphTrace2, start);
SAME(wv_record_graph, end, CUpti_ActivityGraphTrace2, end);
SAME(wv_record_graph, device, CUpti_ActivityGraphTrace2, deviceId);
SAME(wv_record_graph, graph, CUpti_ActivityGraphTrace2, graphId);
SAME(wv_record_api, cbid, CUpti_ActivityAPI, cbid);
SAME(wv_record_api, start, CUpti_ActivityAPI, start);
SAME(wv_record_api, end, CUpti_ActivityAPI, end);
SAME(wv_record_api, pid, CUpti_ActivityAPI, processId);
SAME(wv_record_api, tid, CUpti_ActivityAPI, threadId);
SAME(wv_record_overhead, start, CUpti_ActivityOverhead3, start);
SAME(wv_record_overhead, end, CUpti_ActivityOverhead3, end);
SAME(wv_record_copy, correlation, CUpti_ActivityMemcpy6, correlationId);
SAME(wv_record_set, correlation, CUpti_ActivityMemset4, correlationId);
SAME(wv_record_graph, correlation, CUpti_ActivityGraphTrace2, correlationId);
SAME(wv_record_api, correlation, CUpti_ActivityAPI, correlationId);
SAME(wv_record_sync, type, CUpti_ActivitySynchronization2, type);
SAME(wv_record_sync, start, CUpti_ActivitySynchronization2, start);
SAME(wv_record_sync, end, CUpti_ActivitySynchronization2, end);
SAME(wv_record_sync, context, CUpti_ActivitySynchronization2, contextId);
SAME(wv_record_kernel, start, CUpti_ActivityKernel4, start);
SAME(wv_record_kernel, device, CUpti_ActivityKernel4, deviceId);
SAME(wv_record_kernel, name, CUpti_ActivityKernel4, name);
SAME(wv_record_copy, device, CUpti_ActivityMemcpyPtoP4, deviceId);
SAME(wv_record_copy, end, CUpti_ActivityMemcpyPtoP4, end);
EQUAL(WV_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMCPY);
EQUAL(WV_KIND_MEMSET, CUPTI_ACTIVITY_KIND_MEMSET);
EQUAL(WV_KIND_KERNEL, CUPTI_ACTIVITY_KIND_KERNEL);
EQUAL(WV_KIND_DRIVER, CUPTI_ACTIVITY_KIND_DRIVER);
EQUAL(WV_KIND_RUNTIME, CUPTI_ACTIVITY_KIND_RUNTIME);
EQUAL(WV_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
EQUAL(WV_KIND_MARKER, CUPTI_ACTIVITY_KIND_MARKER);
EQUAL(WV_KIND_OVERHEAD, CUPTI_ACTIVITY_KIND_OVERHEAD);
EQUAL(WV_KIND_MEMCPY2, CUPTI_ACTIVITY_KIND_MEMCPY2);
EQUAL(WV_KIND_SYNCHRONIZATION, CUPTI_ACTIVITY_KIND_SYNCHRONIZATION);
EQUAL(WV_KIND_GRAPH_TRACE, CUPTI_ACTIVITY_KIND_GRAPH_TRACE);
EQUAL(WV_CUPTI_SUCCESS, CUPTI_SUCCESS);
EQUAL(WV_CUPTI_MAX_LIMIT_REACHED, CUPTI_ERROR_MAX_LIMIT_REACHED);
EQUAL(WV_CUPTI_NOT_COMPATIBLE, CUPTI_ERROR_NOT_COMPATIBLE);
EQUAL(WV_CUPTI_INVALID_KIND, CUPTI_ERROR_INVALID_KIND);
EQUAL(WV_CUPTI_HARDWARE_BUSY, CUPTI_ERROR_HARDWARE_BUSY);
EQUAL(WV_CUPTI_NOT_SUPPORTED, CUPTI_ERROR_NOT_SUPPORTED);
EQUAL(WV_CUPTI_INSUFFICIENT_PRIVILEGES, CUPTI_ERROR_INSUFFICIENT_PRIVILEGES);
EQUAL(WV_CUPTI_OLD_PROFILER, CUPTI_ERROR_OLD_PROFILER_API_INITIALIZED);
EQUAL(WV_CUPTI_LEGACY_PROFILER, CUPTI_ERROR_LEGACY_PROFILER_NOT_SUPPORTED);
EQUAL(WV_CUPTI_MULTIPLE_SUBSCRIBERS, CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED);
EQUAL(WV_CUPTI_UNKNOWN, CUPTI_ERROR_UNKNOWN);
EQUAL(WV_COPY_HTOD, CUPTI_ACTIVITY_MEMCPY_KIND_HTOD);
EQUAL(WV_COPY_DTOH, CUPTI_ACTIVITY_MEMCPY_KIND_DTOH);
EQUAL(WV_COPY_HTOA, CUPTI_ACTIVITY_MEMCPY_KIND_HTOA);
EQUAL(WV_COPY_ATOH, CUPTI_ACTIVITY_MEMCPY_KIND_ATOH);
EQUAL(WV_COPY_PTOP, CUPTI_ACTIVITY_MEMCPY_KIND_PTOP);
EQUAL(WV_THREAD_ID_SYSTEM, CUPTI_ACTIVITY_THREAD_ID_TYPE_SYSTEM);
EQUAL(WV_KERNEL_SIZE, sizeof(KERNEL));
EQUAL(WV_MEMCPY_SIZE, sizeof(CUpti_ActivityMemcpy6));
EQUAL(WV_MEMSET_SIZE, sizeof(CUpti_ActivityMemset4));
EQUAL(WV_GRAPH_SIZE, sizeof(CUpti_ActivityGraphTrace2));
EQUAL(WV_API_SIZE, sizeof(CUpti_ActivityAPI));
EQUAL(WV_SYNC_SIZE, sizeof(CUpti_ActivitySynchronization2));
EQUAL(WV_OVERHEAD_SIZE, sizeof(CUpti_ActivityOverhead3));
EQUAL(WV_MARKER_SIZE, sizeof(CUpti_ActivityMarker2));
#define R(id) CUPTI_RUNTIME_TRACE_CBID_##id
#define D(id) CUPTI_DRIVER_TRACE_CBID_##id
static const unsigned own[] = {WV_RUNTIME_LAUNCHES, WV_RUNTIME_COPIES, WV_RUNTIME_WAITS,
			       WV_DRIVER_LAUNCHES, WV_DRIVER_WAITS};
static const unsigned theirs[] = {
	R(cudaLaunchKernel_v7000),
	R(cudaLaunchKernel_ptsz_v7000),
	R(cudaLaunchCooperativeKernel_v9000),
	R(cudaLaunchCooperativeKernel_ptsz_v9000),
	R(cudaGraphLaunch_v10000),
	R(cudaGraphLaunch_ptsz_v10000),
	R(cudaLaunchKernelExC_v11060),
	R(cudaLaunchKernelExC_ptsz_v11060),
	R(__cudaLaunchKernel_v13000),
	R(__cudaLaunchKernel_ptsz_v13000),
	R(cudaMemcpy_v3020),
	R(cudaMemcpyAsync_v3020),
	R(cudaMemsetAsync_v3020),
	R(cudaMemcpy_ptds_v7000),
	R(cudaMemcpyAsync_ptsz_v7000),
	R(cudaMemsetAsync_ptsz_v7000),
	R(cudaStreamSynchronize_v3020),
	R(cudaEventSynchronize_v3020),
	R(cudaDeviceSynchronize_v3020),
	R(cudaStreamSynchronize_ptsz_v7000),
	D(cuLaunchKernel),
	D(cuLaunchKernel_ptsz),
	D(cuLaunchCooperativeKernel),
	D(cuLaunchCooperativeKernel_ptsz),
	D(cuGraphLaunch),
	D(cuGraphLaunch_ptsz),
	D(cuLaunchKernelEx),
	D(cuLaunchKernelEx_ptsz),
	D(cuCtxSynchronize),
	D(cuEventSynchronize),
	D(cuStreamSynchronize),
	D(cuStreamSynchronize_ptsz),
};
#endif

int main(void)
{
#if __has_include(<cupti.h>)
	_Static_assert(sizeof(own) == sizeof(theirs), "as many");
	return memcmp(own, theirs, sizeof(own)) != 0;
#else
	return 77;
#endif
}
