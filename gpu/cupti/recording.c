// SPDX-License-Identifier: GPL-2.0-only
/*
 * WAVEOS_GPU_RECORD: raw activity buffers to a file, for tests. Items of {type, bytes, key}: a name
 * (1; key is the pointer that records hold) before the first buffer (2; key is the time) with it.
 * Only for who asks for it: it writes to the disk in CUPTI's thread.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gpu/cupti/cupti.h"

#define NAMES 4096 /* a cache: a name that was pushed out is written again */

static int file = -1;
static const char *written[NAMES];

static void put(uint32_t type, uint64_t key, const void *data, size_t len)
{
	struct {
		uint32_t type, bytes;
		uint64_t key;
	} head = {type, (uint32_t)len, key};

	if (write(file, &head, sizeof(head)) != (ssize_t)sizeof(head) ||
	    write(file, data, len) != (ssize_t)len) {
		close(file);
		file = -1;
	}
}

void wv_recording_open(const char *path)
{
	file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file >= 0)
		put(0, WV_GPU_MAGIC, "", 0);
}

void wv_recording_add(wv_next_fn next, uint8_t *buffer, size_t valid)
{
	struct wv_record *record = NULL;

	if (file < 0)
		return;
	while (next(buffer, valid, &record) == WV_CUPTI_SUCCESS && record) {
		const struct wv_record_kernel *k = (const void *)record;
		size_t slot;

		if ((k->kind != WV_KIND_KERNEL && k->kind != WV_KIND_CONCURRENT_KERNEL) || !k->name)
			continue;
		slot = ((uintptr_t)k->name >> 4) % NAMES;
		if (written[slot] != k->name && file >= 0)
			put(1, (uintptr_t)k->name, k->name, strlen(k->name) + 1);
		written[slot] = k->name;
	}
	if (file >= 0)
		put(2, wv_now(), buffer, valid);
}

void wv_recording_forget(void)
{
	if (file >= 0)
		close(file);
	file = -1;
}
