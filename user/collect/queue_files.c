// SPDX-License-Identifier: GPL-2.0-only
/* Names and the machine's own figures of block devices and softirqs: /sys/dev/block, /sys/block,
 * /proc. */
#include "user/collect/queue.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "user/core/cleanup.h"

#define NAMES 64	 /* a power of two; devices that collide are looked up again */
#define NAME_TICKS 60	 /* a name may pass to another device */
#define SECTOR_BYTES 512 /* the unit of block statistics, whatever the device's own sector is */

struct name {
	uint32_t dev;
	uint64_t seq;
	char text[24];
};

const char *wv_device_name(uint32_t dev, uint64_t seq)
{
	static struct name cache[NAMES];
	struct name *n = &cache[(dev ^ dev >> 20) & (NAMES - 1)];
	char path[64], target[256];
	const char *base;
	ssize_t len;

	if (n->text[0] && n->dev == dev && seq - n->seq < NAME_TICKS)
		return n->text;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", dev >> 20, dev & 0xfffff);
	len = readlink(path, target, sizeof(target) - 1);
	if (len > 0) {
		target[len] = '\0';
		base = strrchr(target, '/');
		snprintf(n->text, sizeof(n->text), "%.23s", base ? base + 1 : target);
	} else if (!n->text[0] || n->dev != dev) {
		snprintf(n->text, sizeof(n->text), "%u:%u", dev >> 20, dev & 0xfffff);
	} /* else it was unplugged: what it did keeps its name */
	n->dev = dev;
	n->seq = seq;
	return n->text;
}

const char *wv_block_error(int error)
{
	/* blk_status_t, include/linux/blk_types.h; stable since 4.13 up to 12 */
	static const char *const statuses[] = {
		[1] = "operation not supported",
		[2] = "timeout",
		[3] = "no space",
		[4] = "transport error",
		[5] = "target error",
		[6] = "reservation conflict",
		[7] = "medium error",
		[8] = "protection error",
		[9] = "out of resources",
		[10] = "I/O error",
	};
	static char buf[32];

	if (error < 0)
		return strerror(-error);
	if ((size_t)error < ARRAY_SIZE(statuses) && statuses[error])
		return statuses[error];
	snprintf(buf, sizeof(buf), "block status %d", error);
	return buf;
}

static bool has_entries(const char *path)
{
	_cleanup_closedir_ DIR *d = opendir(path);

	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			return true;
	return false;
}

/* false: never used, or gone meanwhile */
static bool disk_parse(FILE *f, struct wv_disk *d)
{
	uint64_t rsectors, wsectors;

	if (fscanf(f, "%" SCNu64 " %*u %" SCNu64 " %*u %" SCNu64 " %*u %" SCNu64 " %*u %" SCNu64,
		   &d->reads, &rsectors, &d->writes, &wsectors, &d->in_flight) != 5)
		return false;
	d->read_bytes = rsectors * SECTOR_BYTES;
	d->write_bytes = wsectors * SECTOR_BYTES;
	return d->reads | d->writes | d->in_flight;
}

static bool disk_read(const char *dir, const char *name, struct wv_disk *d)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s/stat", dir, name);
	f = fopen(path, "re");
	if (!f || !disk_parse(f, d))
		return false;
	snprintf(path, sizeof(path), "%s/%s/slaves", dir, name);
	d->stacked = strncmp(name, "loop", 4) == 0 || has_entries(path);
	return true;
}

int wv_disks_read(const char *dir, void (*fn)(void *ctx, const char *name, const struct wv_disk *d),
		  void *ctx)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	struct wv_disk disk;

	if (!d)
		return -errno;
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.' && disk_read(dir, e->d_name, &disk))
			fn(ctx, e->d_name, &disk);
	return 0;
}

/* "  NET_RX:   12   34 ..." with one figure a CPU -> "net_rx", 46. false: no such line. */
static bool vector_parse(char *line, char *ret_name, size_t size, uint64_t *ret_runs)
{
	char *p = line, *colon, *end;
	uint64_t sum = 0;
	size_t i = 0;

	while (*p == ' ')
		p++;
	colon = strchr(p, ':');
	if (!colon || colon == p || (size_t)(colon - p) >= size)
		return false;
	for (; p < colon; p++)
		ret_name[i++] = (char)tolower((unsigned char)*p);
	ret_name[i] = '\0';
	for (p = colon + 1;; p = end) {
		uint64_t v = strtoull(p, &end, 10);

		if (end == p)
			break;
		sum += v;
	}
	*ret_runs = sum;
	return true;
}

int wv_softirqs_read(const char *proc,
		     void (*fn)(void *ctx, const char *name, uint64_t time_ns, uint64_t runs),
		     void *ctx)
{
	_cleanup_free_ char *line = NULL;
	char path[512], name[24];
	uint64_t runs, ticks, all = 0;
	size_t size = 0;
	long hz = sysconf(_SC_CLK_TCK);

	snprintf(path, sizeof(path), "%s/softirqs", proc);
	_cleanup_fclose_ FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	while (getline(&line, &size, f) > 0)
		if (vector_parse(line, name, sizeof(name), &runs)) {
			fn(ctx, name, 0, runs);
			all += runs;
		}
	snprintf(path, sizeof(path), "%s/stat", proc);
	_cleanup_fclose_ FILE *stat = fopen(path, "re");

	if (!stat)
		return -errno;
	if (fscanf(stat, "cpu %*u %*u %*u %*u %*u %*u %" SCNu64, &ticks) != 1)
		return -EPROTO;
	fn(ctx, "all", ticks * (1000000000ULL / (uint64_t)(hz > 0 ? hz : 100)), all);
	return 0;
}
