// SPDX-License-Identifier: GPL-2.0-only
/* Chunks of tables, for a process that did not make them. The kernel gives a map by its number to
 * CAP_SYS_ADMIN only; where that is missing (a container, the hardened unit) each chunk is pinned,
 * and the pin is checked by its number. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>

#include "user/core/bpf_set.h"
#include "user/core/cleanup.h"

#define DIR_NAME "chunks"

bool wv_chunks_need_pins(void)
{
	int fd = bpf_map_get_fd_by_id(0); /* no map has this number */

	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == EPERM;
}

int wv_chunk_open(const struct wv_bpf *bpf, const char *table, uint32_t chunk, uint32_t id)
{
	char path[WV_PATH_SIZE * 2];
	struct bpf_map_info info = {0};
	_cleanup_close_ int fd = -1;
	__u32 len = sizeof(info);

	if (!bpf->pin_chunks) {
		fd = bpf_map_get_fd_by_id(id);
		return fd < 0 ? -errno : TAKE_FD(fd);
	}
	snprintf(path, sizeof(path), "%s/" DIR_NAME "/%s_%u", bpf->paths.pins, table, chunk);
	fd = bpf_obj_get(path);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	return info.id == id ? TAKE_FD(fd) : -ESTALE;
}

int wv_chunk_keep(const struct wv_bpf *bpf, const char *table, uint32_t chunk, int fd)
{
	char name[WV_NAME_MAX + 16];

	if (!bpf->pin_chunks)
		return 0;
	snprintf(name, sizeof(name), "%s_%u", table, chunk);
	return wv_pins_put(&bpf->paths, DIR_NAME, name, fd);
}
