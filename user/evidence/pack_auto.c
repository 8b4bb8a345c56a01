// SPDX-License-Identifier: GPL-2.0-only
/* Packs that nobody made by hand: of an incident, and on a cadence. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/event.h"
#include "user/evidence/pack_device.h"
#include "user/evidence/pack_due.h"

#define PACK_SUFFIX ".tar.zst"
#define LOCK_NAME "lock"

struct kept {
	char name[96];
	uint64_t bytes;
};

struct kept_list {
	const struct wv_io *io;
	int dir;
	struct kept *list;
	size_t n;
};

/* Names begin with the time; others' files in the folder are left alone. */
static bool is_pack(const char *name)
{
	size_t len = strlen(name);

	return len > strlen(PACK_SUFFIX) + 5 && len < sizeof(((struct kept *)0)->name) &&
	       strncmp(name, "pack-", 5) == 0 &&
	       strcmp(name + len - strlen(PACK_SUFFIX), PACK_SUFFIX) == 0;
}

static int take(void *userdata, const char *name)
{
	struct kept_list *k = userdata;
	struct kept *more;
	int fd;

	if (!is_pack(name))
		return 0;
	more = realloc(k->list, (k->n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	k->list = more;
	k->list[k->n] = (struct kept){0};
	snprintf(k->list[k->n].name, sizeof(k->list[k->n].name), "%s", name);
	fd = k->io->open(k->io->ctx, k->dir, name, O_RDONLY | O_NOFOLLOW, 0);
	if (fd >= 0) {
		(void)k->io->size(k->io->ctx, fd, &k->list[k->n].bytes);
		(void)k->io->close(k->io->ctx, fd);
	}
	k->n++;
	return 0;
}

static int oldest_first(const void *a, const void *b)
{
	return strcmp(((const struct kept *)a)->name, ((const struct kept *)b)->name);
}

static void record(struct wv_tlog *log, const struct wv_io *io, const char *type,
		   struct json_object *o)
{
	int r = wv_event(log, io, "", type, o, true, NULL);

	if (r < 0)
		(void)wv_log_warn(r, "pack", "record %s", type);
}

/* Removes what is over the bounds, the newest never; the log says so first. */
static void tidy(const struct wv_io *io, const struct wv_paths *paths,
		 const struct wv_config *config, int dir)
{
	struct kept_list k = {.io = io, .dir = dir};
	struct wv_tlog *log = NULL;
	uint64_t bytes = 0;

	if (io->list(io->ctx, dir, take, &k) == 0 && k.n > 1) {
		qsort(k.list, k.n, sizeof(*k.list), oldest_first);
		for (size_t i = 0; i < k.n; i++)
			bytes += k.list[i].bytes;
		for (size_t i = 0; i + 1 < k.n; i++) {
			struct json_object *o;

			if (k.n - i <= config->evidence_pack_keep &&
			    bytes <= config->evidence_pack_keep_size)
				break;
			if (!log && wv_tlog_open_device(&log, io, paths) < 0)
				break;
			o = json_object_new_object();
			json_object_object_add(o, "file", json_object_new_string(k.list[i].name));
			json_object_object_add(o, "bytes", json_object_new_uint64(k.list[i].bytes));
			record(log, io, "pack-removed", o);
			(void)io->unlink(io->ctx, dir, k.list[i].name);
			bytes -= k.list[i].bytes;
		}
	}
	if (log)
		wv_tlog_close(log);
	free(k.list);
}

static void record_failed(const struct wv_io *io, const struct wv_paths *paths,
			  const struct wv_pack_order *order, int error, const char *text)
{
	struct json_object *o = json_object_new_object();
	struct wv_tlog *log;

	json_object_object_add(o, "reason", json_object_new_string(order->reason));
	json_object_object_add(o, "errno", json_object_new_int(-error));
	json_object_object_add(o, "error", json_object_new_string(text));
	if (order->rule)
		json_object_object_add(o, "rule", json_object_new_string(order->rule));
	if (order->cgroup)
		json_object_object_add(o, "cgroup", json_object_new_string(order->cgroup));
	if (wv_tlog_open_device(&log, io, paths) < 0) {
		json_object_put(o);
		return;
	}
	record(log, io, "pack-failed", o);
	wv_tlog_close(log);
}

/* packs/pack-20261124T221009Z-incident-1a2b.tar.zst */
static int output_name(const struct wv_io *io, const struct wv_paths *paths, const char *reason,
		       char *ret, size_t size)
{
	time_t now = (time_t)(io->wall_ns(io->ctx) / 1000000000ULL);
	unsigned char id[2];
	char when[32];
	struct tm tm;
	int r = io->random(io->ctx, id, sizeof(id));

	if (r < 0)
		return r;
	if (!gmtime_r(&now, &tm) || !strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm))
		return -EOVERFLOW;
	return (size_t)snprintf(ret, size, "%s/packs/pack-%s-%s-%02x%02x" PACK_SUFFIX, paths->state,
				when, reason, id[0], id[1]) < size
		       ? 0
		       : -ENAMETOOLONG;
}

static int make(const struct wv_io *io, const struct wv_paths *paths,
		const struct wv_config *config, const struct wv_pack_due *due, const char *boot_id,
		int (*summary)(const char *run_dir, char **ret_html))
{
	struct wv_pack_query q = {.at_mono_ns = due ? due->at_mono_ns : io->mono_ns(io->ctx),
				  .at_boot_id = due ? due->boot_id : boot_id,
				  .before_ns = due ? due->before_ns : config->evidence_pack_every,
				  .after_ns = due ? due->after_ns : 0};
	struct wv_pack_order order = {.query = &q,
				      .profile = (enum wv_redact_profile)config->redact_profile,
				      .reason = due ? "incident" : "cadence",
				      .rule = due ? due->rule : NULL,
				      .cgroup = due ? due->cgroup : NULL,
				      .summary = summary};
	struct wv_pack_result res = {0};
	struct wv_pack_range range;
	char output[2 * WV_PATH_SIZE];
	int r = output_name(io, paths, order.reason, output, sizeof(output));

	order.output = output;
	if (r == 0)
		r = wv_pack_export(io, paths, config, &order, &range, &res);
	if (r < 0) {
		const char *why = res.error[0] ? res.error : strerror(-r);

		(void)wv_log_warn(r, "pack", "%s: %s", order.reason, why);
		record_failed(io, paths, &order, r, why);
		return r;
	}
	wv_log_info("pack", "%s: records %" PRIu64 " to %" PRIu64 " (%s)", output, range.first_seq,
		    range.last_seq, order.reason);
	return 0;
}

int wv_pack_auto(const struct wv_io *io, const struct wv_paths *paths,
		 const struct wv_config *config, const struct wv_pack_due *due, const char *boot_id,
		 int (*summary)(const char *run_dir, char **ret_html))
{
	char path[WV_PATH_SIZE + 8];
	int dir, lock, r;

	snprintf(path, sizeof(path), "%s/packs", paths->state);
	r = wv_io_mkdirs(io, path, 0750);
	if (r < 0)
		return r;
	dir = io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (dir < 0)
		return dir;
	lock = io->open(io->ctx, dir, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW, 0640);
	r = lock < 0 ? lock : io->lock(io->ctx, lock, false);
	if (r == 0) {
		r = make(io, paths, config, due, boot_id, summary);
		/* what failed once would fail again: the log has why, and the records are there */
		if (due)
			wv_pack_due_remove(io, paths->state, due->name);
		tidy(io, paths, config, dir);
	} else if (r == -EWOULDBLOCK) {
		r = -EBUSY;
	}
	if (lock >= 0)
		(void)io->close(io->ctx, lock);
	(void)io->close(io->ctx, dir);
	return r;
}
