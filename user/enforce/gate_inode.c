// SPDX-License-Identifier: GPL-2.0-only
#include "user/enforce/gate_inode.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "user/core/cleanup.h"
#include "user/enforce/gate_store.h"

#define NS_PER_S 1000000000LL

/* The mount that a descriptor is on, and (since 5.14) the inode's own number. */
static int read_fdinfo(int fd, int *ret_mount, uint64_t *ret_ino)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	*ret_mount = -1;
	while (fgets(line, sizeof(line), f)) {
		(void)sscanf(line, "mnt_id: %d", ret_mount);
		(void)sscanf(line, "ino: %" SCNu64, ret_ino);
	}
	return *ret_mount < 0 ? -ENODATA : 0;
}

/* Device of the super block of a mount. */
static int read_mount_device(int mount, uint32_t *ret)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;

	if (!f)
		return -errno;
	while (getline(&line, &room, f) > 0) {
		unsigned major, minor;
		int id;

		if (sscanf(line, "%d %*d %u:%u", &id, &major, &minor) != 3 || id != mount)
			continue;
		*ret = major << 20 | minor;
		return 0;
	}
	return -ENOENT;
}

int wv_gate_inode(const char *path, uint32_t *ret_dev, uint64_t *ret_ino)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	uint64_t ino;
	struct stat st;
	int mount, r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	ino = st.st_ino;
	r = read_fdinfo(fd, &mount, &ino);
	if (r == 0)
		r = read_mount_device(mount, ret_dev);
	if (r < 0)
		return r;
	*ret_ino = ino;
	return 0;
}

/* Whether stat(2) shows something else than last time; notes what it shows. */
static bool stat_changed(struct wv_gate_watched *w)
{
	struct stat st = {0};
	int64_t ctime_ns;

	if (stat(w->path, &st) < 0)
		st = (struct stat){0};
	ctime_ns = st.st_ctim.tv_sec * NS_PER_S + st.st_ctim.tv_nsec;
	if (st.st_dev == w->seen_dev && st.st_ino == w->seen_ino && ctime_ns == w->seen_ctime_ns)
		return false;
	w->seen_dev = st.st_dev;
	w->seen_ino = st.st_ino;
	w->seen_ctime_ns = ctime_ns;
	return true;
}

/* What all programs of the list that are this file say of it. */
static uint32_t value_of(const struct wv_gate_stored *l, uint32_t dev, uint64_t ino)
{
	uint32_t value = 0;

	for (size_t i = 0; i < l->n_watched; i++)
		if (l->watched[i].ino == ino && l->watched[i].dev == dev)
			value |= l->watched[i].value;
	return value;
}

static void put_inode(int fd, const struct wv_gate_stored *l, uint32_t dev, uint64_t ino)
{
	struct wv_gate_inode_key key = {.list = l->number, .dev = dev, .ino = ino};
	uint32_t value = value_of(l, dev, ino);

	if (!ino)
		return;
	if (value)
		(void)bpf_map_update_elem(fd, &key, &value, BPF_ANY);
	else
		(void)bpf_map_delete_elem(fd, &key);
}

unsigned wv_gate_watch_list(int inodes_fd, struct wv_gate_stored *l)
{
	unsigned changed = 0;

	for (size_t i = 0; i < l->n_watched; i++) {
		struct wv_gate_watched *w = &l->watched[i];
		uint32_t old_dev = w->dev;
		uint64_t old_ino = w->ino;

		if (!stat_changed(w))
			continue;
		if (wv_gate_inode(w->path, &w->dev, &w->ino) < 0)
			w->dev = 0, w->ino = 0;
		if (w->dev == old_dev && w->ino == old_ino)
			continue;
		put_inode(inodes_fd, l, w->dev, w->ino); /* the new one first */
		put_inode(inodes_fd, l, old_dev, old_ino);
		changed++;
	}
	return changed;
}

void wv_gate_watch_strays(int inodes_fd, const struct wv_gate_stored *l)
{
	struct wv_gate_inode_key key, next;
	bool have = l->n_watched && bpf_map_get_next_key(inodes_fd, NULL, &next) == 0;

	while (have) {
		key = next;
		have = bpf_map_get_next_key(inodes_fd, &key, &next) == 0;
		if (key.list == l->number && !value_of(l, key.dev, key.ino))
			(void)bpf_map_delete_elem(inodes_fd, &key);
	}
}
