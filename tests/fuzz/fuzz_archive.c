// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target of bundles' files. An even first byte: the rest is the file as it is. Odd: the
 * rest is a tar, which is compressed first, so that what stands behind the checksum of zstd is
 * reached. Nothing is signed, so nothing may be taken with trust; without it, what is handed out
 * must have the hash of the manifest. Built with clang -fsanitize=fuzzer,address,undefined.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "user/bundle/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static int file_of(const void *bytes, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || wv_io_write_all(&wv_io_system, fd, bytes, len) < 0 || lseek(fd, 0, SEEK_SET))
		__builtin_trap();
	return fd;
}

static void read_all(int fd)
{
	struct wv_manifest_error error = {""};
	const struct wv_bundle_file *f;
	struct wv_bundle_reader *r;
	char buf[512];
	int n = wv_bundle_read_unverified(&r, fd, &error);

	if (n < 0) {
		if (!*error.text)
			__builtin_trap();
		return;
	}
	while ((n = wv_bundle_read_next(r, &f)) > 0) {
		struct wv_sha256 sum;
		char hex[WV_SHA256_HEX];
		ssize_t got;

		wv_sha256_init(&sum);
		while ((got = wv_bundle_read_bytes(r, buf, sizeof(buf))) > 0)
			wv_sha256_add(&sum, buf, (size_t)got);
		wv_sha256_end(&sum, hex);
		if (got == 0 && strcmp(hex, f->sha256) != 0)
			__builtin_trap();
		if (got < 0)
			break;
	}
	wv_bundle_read_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	size_t size = ZSTD_compressBound(len);
	char *packed;
	int fd;

	if (!len)
		return 0;
	if (bytes[0] % 2 == 0) {
		fd = file_of(bytes + 1, len - 1);
	} else {
		packed = malloc(size);
		if (!packed)
			__builtin_trap();
		size = ZSTD_compress(packed, size, bytes + 1, len - 1, 1);
		fd = file_of(packed, size);
		free(packed);
	}
	read_all(fd);
	close(fd);
	return 0;
}
