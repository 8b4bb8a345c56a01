// SPDX-License-Identifier: GPL-2.0-only
#include "user/enforce/cgroupfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "user/core/cleanup.h"
#include "waveos/wire.h"

#define FILE_MAX_BYTES (64 * 1024)

const char *const wv_item_names[WV_ITEM_N] = {
	[WV_ITEM_CPU_QUOTA] = "cpu.quota",     [WV_ITEM_CPU_WEIGHT] = "cpu.weight",
	[WV_ITEM_MEMORY_HIGH] = "memory.high", [WV_ITEM_MEMORY_MAX] = "memory.max",
	[WV_ITEM_IO_MAX] = "io.max",	       [WV_ITEM_PIDS_MAX] = "pids.max",
};

/* The plan under construction. */
struct plan {
	const struct wv_host *host;
	uint64_t key;
	const char *path;
	struct wv_cgfile *files;
	size_t n;
};

/* Why a hierarchy has no such file for this cgroup. */
static void explain_missing(const struct plan *p, enum wv_controller ctrl, struct wv_cgfile *f)
{
	const char *name = wv_controller_names[ctrl];
	const char *name2 = ctrl == WV_CTRL_IO ? "io" : name;

	if (p->key & WV_KEY_V1) {
		if (!p->host->v1[ctrl][0])
			snprintf(f->reason, sizeof(f->reason),
				 "no v1 hierarchy has the %s controller", name);
		else
			snprintf(f->reason, sizeof(f->reason),
				 "the cgroup has no such file in the v1 %s hierarchy", name);
	} else if (strcmp(p->path, "/") == 0) {
		snprintf(f->reason, sizeof(f->reason), "the root cgroup has no such limit");
	} else if (!p->host->v2_controller[ctrl]) {
		snprintf(f->reason, sizeof(f->reason),
			 "the %s controller is not in this machine's v2 hierarchy", name2);
	} else {
		snprintf(f->reason, sizeof(f->reason),
			 "the %s controller is not enabled here (parent's cgroup.subtree_control)",
			 name2);
	}
}

/* Adds a file; returns it for the caller to fill in the value, or NULL if it is missing (said why).
 */
static struct wv_cgfile *add(struct plan *p, enum wv_item item, enum wv_controller ctrl,
			     const char *file2, const char *file1)
{
	struct wv_cgfile *f = &p->files[p->n++];

	*f = (struct wv_cgfile){.key = p->key, .item = item};
	if (wv_host_cgroup_file(p->host, p->key, p->path, ctrl, file2, file1, f->path,
				sizeof(f->path)) < 0 ||
	    access(f->path, F_OK) < 0) {
		explain_missing(p, ctrl, f);
		return NULL;
	}
	return f;
}

static void add_number(struct plan *p, enum wv_item item, enum wv_controller ctrl,
		       const char *file2, const char *file1, uint64_t value)
{
	struct wv_cgfile *f = add(p, item, ctrl, file2, file1);

	if (f)
		snprintf(f->value, sizeof(f->value), "%" PRIu64, value);
}

static void plan_cpu(struct plan *p, const struct wv_want *w)
{
	struct wv_cgfile *f;

	if (w->cpu_quota_us != WV_UNSET) {
		if (p->key & WV_KEY_V1) {
			add_number(p, WV_ITEM_CPU_QUOTA, WV_CTRL_CPU, NULL, "cpu.cfs_period_us",
				   w->cpu_period_us);
			add_number(p, WV_ITEM_CPU_QUOTA, WV_CTRL_CPU, NULL, "cpu.cfs_quota_us",
				   w->cpu_quota_us);
		} else {
			f = add(p, WV_ITEM_CPU_QUOTA, WV_CTRL_CPU, "cpu.max", NULL);
			if (f)
				snprintf(f->value, sizeof(f->value), "%" PRIu64 " %" PRIu64,
					 w->cpu_quota_us, w->cpu_period_us);
		}
	}
	if (w->cpu_weight != WV_UNSET) {
		/* v1: 1024 shares are weight 100; the kernel's bounds are 2 and 262144 */
		uint64_t shares = w->cpu_weight * 1024 / 100;

		shares = shares < 2 ? 2 : shares > 262144 ? 262144 : shares;
		add_number(p, WV_ITEM_CPU_WEIGHT, WV_CTRL_CPU, "cpu.weight", "cpu.shares",
			   p->key & WV_KEY_V1 ? shares : w->cpu_weight);
	}
}

/* The kernel keeps memory limits in pages. */
static uint64_t whole_pages(uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return bytes - bytes % page;
}

static void plan_memory(struct plan *p, const struct wv_want *w)
{
	if (w->memory_high_bytes != WV_UNSET) {
		add_number(p, WV_ITEM_MEMORY_HIGH, WV_CTRL_MEMORY, "memory.high",
			   "memory.soft_limit_in_bytes", whole_pages(w->memory_high_bytes));
		p->files[p->n - 1].weaker = p->key & WV_KEY_V1;
	}
	if (w->memory_max_bytes != WV_UNSET)
		add_number(p, WV_ITEM_MEMORY_MAX, WV_CTRL_MEMORY, "memory.max",
			   "memory.limit_in_bytes", whole_pages(w->memory_max_bytes));
}

int wv_device_number(const char *device, char *ret, size_t size)
{
	unsigned major_id, minor_id;
	struct stat st;
	char end;

	if (device[0] == '/') {
		if (stat(device, &st) < 0)
			return -errno;
		if (!S_ISBLK(st.st_mode))
			return -ENOTBLK;
		major_id = major(st.st_rdev);
		minor_id = minor(st.st_rdev);
	} else if (sscanf(device, "%u:%u%c", &major_id, &minor_id, &end) != 2) {
		return -EINVAL;
	}
	snprintf(ret, size, "%u:%u", major_id, minor_id);
	return 0;
}

static void print_limit(char *buf, size_t size, const char *name, uint64_t value)
{
	size_t at = strlen(buf);

	if (value == WV_UNSET)
		snprintf(buf + at, size - at, " %s=max", name);
	else
		snprintf(buf + at, size - at, " %s=%" PRIu64, name, value);
}

static void plan_io_v1(struct plan *p, const struct wv_want_io *io, const char *device)
{
	const struct {
		const char *file;
		uint64_t value;
	} rows[] = {
		{"blkio.throttle.read_bps_device", io->rbps},
		{"blkio.throttle.write_bps_device", io->wbps},
		{"blkio.throttle.read_iops_device", io->riops},
		{"blkio.throttle.write_iops_device", io->wiops},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct wv_cgfile *f;

		if (rows[i].value == WV_UNSET)
			continue;
		f = add(p, WV_ITEM_IO_MAX, WV_CTRL_IO, NULL, rows[i].file);
		if (!f)
			continue;
		f->form = WV_FORM_DEVICE;
		memcpy(f->device, device, sizeof(f->device));
		snprintf(f->value, sizeof(f->value), "%s %" PRIu64, device, rows[i].value);
	}
}

static void plan_io(struct plan *p, const struct wv_want_io *io)
{
	char device[24];
	struct wv_cgfile *f;
	int r = wv_device_number(io->device, device, sizeof(device));

	if (r < 0) {
		f = &p->files[p->n++];
		*f = (struct wv_cgfile){.key = p->key, .item = WV_ITEM_IO_MAX};
		snprintf(f->reason, sizeof(f->reason), "%s: %s", io->device, strerror(-r));
		return;
	}
	if (p->key & WV_KEY_V1) {
		plan_io_v1(p, io, device);
		return;
	}
	f = add(p, WV_ITEM_IO_MAX, WV_CTRL_IO, "io.max", NULL);
	if (!f)
		return;
	f->form = WV_FORM_IO_MAX;
	memcpy(f->device, device, sizeof(f->device));
	snprintf(f->value, sizeof(f->value), "%s", device);
	print_limit(f->value, sizeof(f->value), "rbps", io->rbps);
	print_limit(f->value, sizeof(f->value), "wbps", io->wbps);
	print_limit(f->value, sizeof(f->value), "riops", io->riops);
	print_limit(f->value, sizeof(f->value), "wiops", io->wiops);
}

size_t wv_cgroupfs_plan(const struct wv_host *host, uint64_t key, const char *path,
			const struct wv_want *want, struct wv_cgfile *files)
{
	struct plan p = {.host = host, .key = key, .path = path, .files = files};

	plan_cpu(&p, want);
	plan_memory(&p, want);
	if (want->pids_max != WV_UNSET)
		add_number(&p, WV_ITEM_PIDS_MAX, WV_CTRL_PIDS, "pids.max", "pids.max",
			   want->pids_max);
	for (unsigned i = 0; i < want->n_io; i++)
		plan_io(&p, &want->io[i]);
	return p.n;
}

/* The line of a device, without the device: *ret_len bytes, or NULL. */
static const char *device_line(const char *text, const char *device, size_t *ret_len)
{
	size_t len = strlen(device);

	for (const char *line = text; *line;) {
		const char *end = strchrnul(line, '\n');

		if (strncmp(line, device, len) == 0 && line[len] == ' ') {
			*ret_len = (size_t)(end - line) - len - 1;
			return line + len + 1;
		}
		line = *end ? end + 1 : end;
	}
	return NULL;
}

static void normal_io_max(const char *device, const char *line, size_t len, char *ret, size_t size)
{
	static const char *const keys[] = {"rbps", "wbps", "riops", "wiops"};
	char copy[160], *word, *rest = copy;
	uint64_t value[] = {WV_UNSET, WV_UNSET, WV_UNSET, WV_UNSET};

	snprintf(copy, sizeof(copy), "%.*s", (int)len, line ?: "");
	while ((word = strsep(&rest, " "))) {
		char *equals = strchr(word, '=');

		for (size_t i = 0; equals && i < ARRAY_SIZE(keys); i++)
			if (strncmp(word, keys[i], (size_t)(equals - word)) == 0 &&
			    isdigit((unsigned char)equals[1]))
				value[i] = strtoull(equals + 1, NULL, 10);
	}
	snprintf(ret, size, "%s", device);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		print_limit(ret, size, keys[i], value[i]);
}

void wv_cgfile_normal(enum wv_cgfile_form form, const char *device, const char *text, char *ret,
		      size_t size)
{
	size_t len = 0;
	const char *line;

	if (form == WV_FORM_SCALAR) {
		while (isspace((unsigned char)*text))
			text++;
		len = strcspn(text, "\n");
		while (len && isspace((unsigned char)text[len - 1]))
			len--;
		snprintf(ret, size, "%.*s", (int)len, text);
		return;
	}
	line = device_line(text, device, &len);
	if (form == WV_FORM_IO_MAX)
		normal_io_max(device, line, len, ret, size);
	else
		snprintf(ret, size, "%s %.*s", device, line ? (int)len : 1, line ?: "0");
}

int wv_cgfile_read(const struct wv_io *io, const char *path, enum wv_cgfile_form form,
		   const char *device, char *ret, size_t size)
{
	_cleanup_free_ char *text = NULL;
	int r = wv_io_read_file(io, AT_FDCWD, path, FILE_MAX_BYTES, &text, NULL);

	if (r < 0)
		return r;
	wv_cgfile_normal(form, device, text, ret, size);
	return 0;
}

int wv_cgfile_write(const struct wv_io *io, const char *path, const char *value)
{
	size_t len = strlen(value);
	ssize_t n;
	int fd, r;

	fd = io->open(io->ctx, AT_FDCWD, path, O_WRONLY, 0);
	if (fd < 0)
		return fd;
	/* one write is one setting: a rest would be taken for another one */
	n = io->write(io->ctx, fd, value, len);
	r = io->close(io->ctx, fd);
	if (n < 0)
		return (int)n;
	return (size_t)n < len ? -EIO : r;
}

uint64_t wv_cgfile_folder(const char *path)
{
	char folder[WV_CGFILE_PATH];
	struct stat st;
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash)
		return 0;
	*slash = '\0';
	return stat(folder, &st) < 0 ? 0 : st.st_ino;
}
