/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Limits that the kernel takes through files of a cgroup, for v2 and v1. This file knows which file
 * and which text; user/enforce/journal.h decides when to write.
 */
#ifndef WV_ENFORCE_CGROUPFS_H
#define WV_ENFORCE_CGROUPFS_H

#include "user/core/host.h"
#include "user/core/io.h"
#include "user/enforce/want.h"

#define WV_CGFILE_PATH 640
#define WV_CGFILE_VALUE 112
#define WV_CGFILES_MAX (12 + 4 * WV_WANT_DEVICES)

enum wv_item {
	WV_ITEM_CPU_QUOTA,
	WV_ITEM_CPU_WEIGHT,
	WV_ITEM_MEMORY_HIGH,
	WV_ITEM_MEMORY_MAX,
	WV_ITEM_IO_MAX,
	WV_ITEM_PIDS_MAX,
	WV_ITEM_N
};
extern const char *const wv_item_names[WV_ITEM_N];

/* How a file's text is to be read. */
enum wv_cgfile_form {
	WV_FORM_SCALAR, /* one value */
	WV_FORM_IO_MAX, /* v2: a line a device, "8:0 rbps=1 wbps=max riops=max wiops=max" */
	WV_FORM_DEVICE, /* v1: a line a device, "8:0 1000"; no line is 0 */
};

struct wv_cgfile {
	uint64_t key; /* cgroup */
	enum wv_item item;
	enum wv_cgfile_form form;
	char path[WV_CGFILE_PATH];
	char device[24];	     /* "major:minor" of a form with devices */
	char value[WV_CGFILE_VALUE]; /* what is to be written, in normal form */
	char reason[112]; /* "" or why it cannot be enforced; then path and value may be "" */
	bool weaker;	  /* the v1 file is a weaker promise than its v2 namesake */
};

/*
 * The files that hold a cgroup to this, at most WV_CGFILES_MAX, in the order in which to write
 * them. What has no file on this machine comes with a reason. Returns their number.
 */
size_t wv_cgroupfs_plan(const struct wv_host *host, uint64_t key, const char *path,
			const struct wv_want *want, struct wv_cgfile *files);

/* Normal form of what the kernel shows, so that equal settings compare equal. */
void wv_cgfile_normal(enum wv_cgfile_form form, const char *device, const char *text, char *ret,
		      size_t size);
/* Reads the present value in normal form. 0 or -errno. */
int wv_cgfile_read(const struct wv_io *io, const char *path, enum wv_cgfile_form form,
		   const char *device, char *ret, size_t size);
/* Writes a value in one write, as the kernel demands. 0 or -errno. */
int wv_cgfile_write(const struct wv_io *io, const char *path, const char *value);
/* Inode of the folder that a file is in: tells a cgroup from a later one of the same name. 0: none.
 */
uint64_t wv_cgfile_folder(const char *path);
/* "major:minor" of a device as written in a budget. 0 or -errno. */
int wv_device_number(const char *device, char *ret, size_t size);

#endif
