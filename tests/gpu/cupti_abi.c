// SPDX-License-Identifier: GPL-2.0-only
/* Holds gpu/cupti/abi.h against NVIDIA's headers, where those are: that it compiles is the test. */
#include "gpu/cupti/abi.h"

#if __has_include(<cupti.h>)
#include <cupti.h>

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
SAME(wv_cupti_kernel, start, KERNEL, start);
SAME(wv_cupti_kernel, end, KERNEL, end);
SAME(wv_cupti_kernel, device, KERNEL, deviceId);
SAME(wv_cupti_kernel, context, KERNEL, contextId);
SAME(wv_cupti_kernel, stream, KERNEL, streamId);
SAME(wv_cupti_kernel, correlation, KERNEL, correlationId);
SAME(wv_cupti_kernel, name, KERNEL, name);
SAME(wv_cupti_copy, copy_kind, CUpti_ActivityMemcpy6, copyKind);
SAME(wv_cupti_copy, bytes, CUpti_ActivityMemcpy6, bytes);
SAME(wv_cupti_copy, start, CUpti_ActivityMemcpy6, start);
SAME(wv_cupti_copy, end, CUpti_ActivityMemcpy6, end);
SAME(wv_cupti_copy, device, CUpti_ActivityMemcpy6, deviceId);
SAME(wv_cupti_copy, bytes, CUpti_ActivityMemset4, bytes);
SAME(wv_cupti_copy, start, CUpti_ActivityMemset4, start);
SAME(wv_cupti_copy, end, CUpti_ActivityMemset4, end);
SAME(wv_cupti_copy, device, CUpti_ActivityMemset4, deviceId);
SAME(wv_cupti_graph, start, CUpti_ActivityGraphTrace2, start);
SAME(wv_cupti_graph, end, CUpti_ActivityGraphTrace2, end);
SAME(wv_cupti_graph, device, CUpti_ActivityGraphTrace2, deviceId);
SAME(wv_cupti_graph, graph, CUpti_ActivityGraphTrace2, graphId);
SAME(wv_cupti_call, cbid, CUpti_ActivityAPI, cbid);
SAME(wv_cupti_call, start, CUpti_ActivityAPI, start);
SAME(wv_cupti_call, end, CUpti_ActivityAPI, end);
SAME(wv_cupti_call, process, CUpti_ActivityAPI, processId);
SAME(wv_cupti_call, thread, CUpti_ActivityAPI, threadId);
SAME(wv_cupti_overhead, start, CUpti_ActivityOverhead3, start);
SAME(wv_cupti_overhead, end, CUpti_ActivityOverhead3, end);
EQUAL(WV_CUPTI_MEMCPY, CUPTI_ACTIVITY_KIND_MEMCPY);
EQUAL(WV_CUPTI_MEMCPY2, CUPTI_ACTIVITY_KIND_MEMCPY2);
EQUAL(WV_CUPTI_MEMSET, CUPTI_ACTIVITY_KIND_MEMSET);
EQUAL(WV_CUPTI_DRIVER, CUPTI_ACTIVITY_KIND_DRIVER);
EQUAL(WV_CUPTI_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
EQUAL(WV_CUPTI_MARKER, CUPTI_ACTIVITY_KIND_MARKER);
EQUAL(WV_CUPTI_OVERHEAD, CUPTI_ACTIVITY_KIND_OVERHEAD);
EQUAL(WV_CUPTI_GRAPH_TRACE, CUPTI_ACTIVITY_KIND_GRAPH_TRACE);
EQUAL(WV_CUPTI_OK, CUPTI_SUCCESS);
EQUAL(WV_CUPTI_MAX_LIMIT_REACHED, CUPTI_ERROR_MAX_LIMIT_REACHED);
EQUAL(WV_CUPTI_NOT_COMPATIBLE, CUPTI_ERROR_NOT_COMPATIBLE);
EQUAL(WV_CUPTI_INSUFFICIENT_PRIVILEGES, CUPTI_ERROR_INSUFFICIENT_PRIVILEGES);
EQUAL(WV_CUPTI_MULTIPLE_SUBSCRIBERS, CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED);
EQUAL(WV_CBID_CTX_SYNCHRONIZE, CUPTI_DRIVER_TRACE_CBID_cuCtxSynchronize);
EQUAL(WV_CBID_EVENT_SYNCHRONIZE, CUPTI_DRIVER_TRACE_CBID_cuEventSynchronize);
EQUAL(WV_CBID_STREAM_SYNCHRONIZE, CUPTI_DRIVER_TRACE_CBID_cuStreamSynchronize);
EQUAL(WV_CBID_MEMCPY_HTOD_ASYNC, CUPTI_DRIVER_TRACE_CBID_cuMemcpyHtoDAsync_v2);
EQUAL(WV_CBID_LAUNCH_KERNEL, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel);
EQUAL(WV_CBID_LAUNCH_KERNEL_EX, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernelEx);
EQUAL(WV_CBID_GRAPH_LAUNCH, CUPTI_DRIVER_TRACE_CBID_cuGraphLaunch);
EQUAL(WV_CUPTI_HTOD, CUPTI_ACTIVITY_MEMCPY_KIND_HTOD);
EQUAL(WV_CUPTI_DTOH, CUPTI_ACTIVITY_MEMCPY_KIND_DTOH);
EQUAL(WV_CUPTI_DTOD, CUPTI_ACTIVITY_MEMCPY_KIND_DTOD);
EQUAL(WV_CUPTI_PTOP, CUPTI_ACTIVITY_MEMCPY_KIND_PTOP);
#endif

int main(void)
{
#if __has_include(<cupti.h>)
	return 0;
#else
	return 77;
#endif
}
