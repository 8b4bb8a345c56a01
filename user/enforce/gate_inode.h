/* SPDX-License-Identifier: GPL-2.0-only */
/* Programs that a gate lists by path, as the files that are there. */
#ifndef WV_ENFORCE_GATE_INODE_H
#define WV_ENFORCE_GATE_INODE_H

#include <stdint.h>

struct wv_gate_stored;

/*
 * Device and inode as the kernel's own structures have them, which on overlayfs and btrfs are not
 * those of stat(2). 0 or -errno.
 */
int wv_gate_inode(const char *path, uint32_t *ret_dev, uint64_t *ret_ino);
/* Brings the map up to where the list's programs are now. Returns how many moved. */
unsigned wv_gate_watch_list(int inodes_fd, struct wv_gate_stored *l);
/* Deletes entries of the list that none of its programs has: a former agent's. */
void wv_gate_watch_strays(int inodes_fd, const struct wv_gate_stored *l);

#endif
