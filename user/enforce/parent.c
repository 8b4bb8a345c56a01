// SPDX-License-Identifier: GPL-2.0-only
#include "user/enforce/parent.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/share.h"
#include "user/enforce/cgroupfs.h"

#define PPM 1000000ULL
#define FILE_MAX_BYTES 16384
/* the least that lists.def lets be written as a number; a quota's is the kernel's own */
#define LEAST_BYTES (1ULL << 20)
#define LEAST_TASKS 1
#define LEAST_QUOTA_US 1000

const char *const wv_parent_units[WV_PARENT_N] = {
	[WV_PARENT_MEMORY] = "bytes",
	[WV_PARENT_PIDS] = "tasks",
	[WV_PARENT_CPU] = "cpu_ppm",
};

const struct wv_share_row wv_share_rows[WV_SHARE_ROWS] = {
	{offsetof(struct wv_budget, memory_high_bytes), WV_PARENT_MEMORY, WV_ITEM_MEMORY_HIGH},
	{offsetof(struct wv_budget, memory_max_bytes), WV_PARENT_MEMORY, WV_ITEM_MEMORY_MAX},
	{offsetof(struct wv_budget, pids_max), WV_PARENT_PIDS, WV_ITEM_PIDS_MAX},
	{offsetof(struct wv_budget, cpu_quota_us), WV_PARENT_CPU, WV_ITEM_CPU_QUOTA},
};

/* First number of a file of the machine; a file that is missing leaves *ret as it is. */
static int read_number(const struct wv_io *io, const char *path, const char *after, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = wv_io_read_file(io, AT_FDCWD, path, FILE_MAX_BYTES, &text, NULL);
	const char *p;

	if (r < 0)
		return r;
	p = strstr(text, after);
	if (!p)
		return -EBADMSG;
	*ret = strtoull(p + strlen(after), NULL, 10);
	return *ret ? 0 : -EBADMSG;
}

int wv_parent_machine(const struct wv_io *io, struct wv_parent *ret)
{
	uint64_t kib = 0, pid_max = 0, threads_max = 0;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int r;

	*ret = (struct wv_parent){.limit = {WV_UNSET, WV_UNSET, WV_UNSET}};
	r = read_number(io, "/proc/meminfo", "MemTotal:", &kib);
	r = r ?: read_number(io, "/proc/sys/kernel/pid_max", "", &pid_max);
	r = r ?: read_number(io, "/proc/sys/kernel/threads-max", "", &threads_max);
	if (r == 0 && cpus < 1)
		r = -EBADMSG;
	ret->error = r;
	if (r < 0)
		return r;
	ret->limit[WV_PARENT_MEMORY] = kib * 1024;
	ret->limit[WV_PARENT_PIDS] = pid_max < threads_max ? pid_max : threads_max;
	ret->limit[WV_PARENT_CPU] = (uint64_t)cpus * PPM;
	return 0;
}

/* Text of a cgroup's file; "" where it has none, which is no limit. */
static int read_limit(const struct wv_host *host, const struct wv_io *io, uint64_t key,
		      const char *path, enum wv_controller ctrl, const char *file2,
		      const char *file1, char *ret, size_t size)
{
	char file[WV_CGFILE_PATH];
	int r;

	*ret = '\0';
	if (wv_host_cgroup_file(host, key, path, ctrl, file2, file1, file, sizeof(file)) < 0)
		return 0;
	r = wv_cgfile_read(io, file, WV_FORM_SCALAR, "", ret, size);
	return r == -ENOENT || r == -ENODEV || r == -ENOTDIR ? 0 : r;
}

/* "max", "-1" and nothing are no limit. */
static uint64_t number(const char *text, char **ret_end)
{
	char *end = (char *)text;
	uint64_t v = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : WV_UNSET;

	if (ret_end)
		*ret_end = end;
	return v;
}

static int read_cpu(const struct wv_host *host, const struct wv_io *io, uint64_t key,
		    const char *path, uint64_t *ret_ppm)
{
	char text[WV_CGFILE_VALUE], period_text[WV_CGFILE_VALUE], *end;
	uint64_t quota, period;
	int r;

	r = read_limit(host, io, key, path, WV_CTRL_CPU, "cpu.max", "cpu.cfs_quota_us", text,
		       sizeof(text));
	if (r < 0)
		return r;
	quota = number(text, &end);
	if (key & WV_KEY_V1) {
		r = read_limit(host, io, key, path, WV_CTRL_CPU, NULL, "cpu.cfs_period_us",
			       period_text, sizeof(period_text));
		if (r < 0)
			return r;
		period = number(period_text, NULL);
	} else {
		period = number(*end ? end + 1 : end, NULL);
	}
	*ret_ppm = quota == WV_UNSET || period == WV_UNSET || !period
			   ? WV_UNSET
			   : (uint64_t)((unsigned __int128)quota * PPM / period);
	return 0;
}

/* Limits of one ancestor. */
static int read_one(const struct wv_host *host, const struct wv_io *io, uint64_t key,
		    const char *path, uint64_t limit[WV_PARENT_N])
{
	char text[WV_CGFILE_VALUE];
	int r;

	r = read_limit(host, io, key, path, WV_CTRL_MEMORY, "memory.max", "memory.limit_in_bytes",
		       text, sizeof(text));
	if (r < 0)
		return r;
	limit[WV_PARENT_MEMORY] = number(text, NULL);
	r = read_limit(host, io, key, path, WV_CTRL_PIDS, "pids.max", "pids.max", text,
		       sizeof(text));
	if (r < 0)
		return r;
	limit[WV_PARENT_PIDS] = number(text, NULL);
	return read_cpu(host, io, key, path, &limit[WV_PARENT_CPU]);
}

int wv_parent_read(const struct wv_host *host, const struct wv_io *io,
		   const struct wv_parent *machine, uint64_t key, const char *path,
		   struct wv_parent *ret)
{
	struct wv_parent found = *machine;
	char at[WV_CGFILE_PATH];
	int r = machine->error;

	if (snprintf(at, sizeof(at), "%s", path) >= (int)sizeof(at))
		r = -ENAMETOOLONG;
	while (r == 0 && at[1]) {
		uint64_t limit[WV_PARENT_N];
		char *slash = strrchr(at, '/');

		slash[slash == at] = '\0'; /* "/a" becomes "/" */
		r = read_one(host, io, key, at, limit);
		for (int i = 0; r == 0 && i < WV_PARENT_N; i++) {
			if (limit[i] >= found.limit[i])
				continue;
			found.limit[i] = limit[i];
			found.from[i] = (uint16_t)strlen(at);
		}
	}
	if (r < 0)
		found = (struct wv_parent){.limit = {WV_UNSET, WV_UNSET, WV_UNSET}, .error = r};
	*ret = found;
	return r;
}

bool wv_budget_has_share(const struct wv_budget *b)
{
	for (size_t i = 0; i < WV_SHARE_ROWS; i++)
		if (wv_is_share(wv_budget_limit(b, &wv_share_rows[i])))
			return true;
	return false;
}

static uint64_t at_least(uint64_t v, uint64_t least)
{
	return v < least ? least : v;
}

uint64_t wv_share_limit(const struct wv_budget *b, const struct wv_share_row *row,
			const struct wv_parent *parent)
{
	uint64_t ppm = wv_share_ppm(wv_budget_limit(b, row)), whole = parent->limit[row->of], v;

	if (whole == WV_UNSET)
		return WV_UNSET;
	v = (uint64_t)((unsigned __int128)whole * ppm / WV_SHARE_WHOLE);
	switch (row->of) {
	case WV_PARENT_MEMORY:
		return at_least(v, LEAST_BYTES);
	case WV_PARENT_PIDS:
		return at_least(v, LEAST_TASKS);
	default: /* of a CPU: the budget says it a period */
		return at_least((uint64_t)((unsigned __int128)v * b->cpu_period_us / PPM),
				LEAST_QUOTA_US);
	}
}

void wv_budget_resolve(const struct wv_budget *b, const struct wv_parent *parent,
		       struct wv_budget *ret)
{
	*ret = *b;
	for (size_t i = 0; i < WV_SHARE_ROWS; i++)
		if (wv_is_share(wv_budget_limit(b, &wv_share_rows[i])))
			*(uint64_t *)((char *)ret + wv_share_rows[i].offset) =
				wv_share_limit(b, &wv_share_rows[i], parent);
}
