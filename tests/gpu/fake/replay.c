// SPDX-License-Identifier: GPL-2.0-only
/*
 * replay FILE [CUPTI]: a recording of WAVEOS_GPU_RECORD through the library's parser and reducers;
 * prints a line a window and one of sums. CUPTI: the library whose GetNextRecord is used (NVIDIA's
 * works without a driver); without it, the sizes of gpu/cupti/abi.h.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/cupti/cupti.h"

#define NAMES 65536

static struct {
	uint64_t key;
	char *name;
} names[NAMES];
static unsigned n_names;
static struct wv_sink sink = {.slack_ns = 500000000};

static int next_by_size(uint8_t *buffer, size_t valid, struct wv_record **record)
{
	uint8_t *at = buffer;

	if (*record) {
		switch ((*record)->kind) {
		case WV_KIND_CONCURRENT_KERNEL:
			at += WV_KERNEL_SIZE;
			break;
		case WV_KIND_MEMCPY:
			at += WV_MEMCPY_SIZE;
			break;
		case WV_KIND_MEMSET:
			at += WV_MEMSET_SIZE;
			break;
		case WV_KIND_GRAPH_TRACE:
			at += WV_GRAPH_SIZE;
			break;
		case WV_KIND_DRIVER:
		case WV_KIND_RUNTIME:
			at += WV_API_SIZE;
			break;
		case WV_KIND_SYNCHRONIZATION:
			at += WV_SYNC_SIZE;
			break;
		case WV_KIND_OVERHEAD:
			at += WV_OVERHEAD_SIZE;
			break;
		default:
			return WV_CUPTI_INVALID_KIND;
		}
		at = (uint8_t *)*record + (at - buffer);
	}
	if (at + 8 > buffer + valid)
		return WV_CUPTI_MAX_LIMIT_REACHED;
	*record = (struct wv_record *)at;
	return 0;
}

static const char *name_of(uint64_t key)
{
	for (unsigned i = n_names; i-- > 0;)
		if (names[i].key == key)
			return names[i].name;
	return "?";
}

static bool tell(uint64_t now)
{
	const struct wv_gpu_window *w;

	for (unsigned i = 0; i < WV_GPU_DEVICES; i++) {
		while (sink.device[i] && wv_gpu_reduce_tell(sink.device[i], now, &w)) {
			printf("window %u %" PRIu64 " kernel %" PRIu64 " exposed %" PRIu64
			       " memory %" PRIu64 " idle %" PRIu64 " late %" PRIu64 "\n",
			       w->device, w->begin, w->kernel_ns, w->exposed_ns, w->memory_ns,
			       w->idle_ns, w->late_ns);
			if (w->kernel_ns + w->exposed_ns + w->memory_ns + w->idle_ns !=
			    w->end - w->begin) {
				fprintf(stderr, "replay: the sums are not the window\n");
				return false;
			}
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	struct {
		uint32_t type, bytes;
		uint64_t key;
	} head;
	void *lib = argc > 2 ? dlopen(argv[2], RTLD_NOW) : NULL;
	wv_next_fn next = next_by_size;
	FILE *f = argc > 1 ? fopen(argv[1], "re") : NULL;
	uint64_t last = 0;
	bool good = true;

	if (argc > 2)
		*(void **)&next = lib ? dlsym(lib, "cuptiActivityGetNextRecord") : NULL;
	if (!f || !next) {
		fprintf(stderr, "replay: cannot open: %s\n", f ? dlerror() : "no recording");
		return 2;
	}
	while (good && fread(&head, sizeof(head), 1, f) == 1) {
		struct wv_record *record = NULL;
		uint8_t *data = head.bytes <= 16 << 20 ? malloc(head.bytes + 8) : NULL;

		if (!data || fread(data, 1, head.bytes, f) != head.bytes)
			return 1;
		if (head.type == 1 && n_names < NAMES) {
			data[head.bytes] = 0;
			names[n_names].key = head.key;
			names[n_names++].name = (char *)data;
			continue;
		}
		while (head.type == 2 && next(data, head.bytes, &record) == 0) {
			struct wv_record_kernel *k = (void *)record;

			if (k->kind == WV_KIND_CONCURRENT_KERNEL)
				k->name = name_of((uintptr_t)k->name);
		}
		if (head.type == 2) {
			wv_records_take(&sink, next, data, head.bytes);
			last = head.key;
			good = tell(last);
		}
		free(data);
	}
	good = good && tell(last + 2 * WV_GPU_SLACK_MOST_NS);
	printf("records %" PRIu64 "\n", sink.records);
	return !good;
}
