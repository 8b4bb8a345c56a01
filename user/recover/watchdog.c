// SPDX-License-Identifier: GPL-2.0-only
#include "user/recover/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"

/* Ticks that core may miss; and at least this long, for a machine under load. */
#define LATE_TICKS 5
#define LATE_MIN_NS 10000000000ULL

const char *const wv_vital_texts[] = {
#define X(id, text) [WV_VITAL_##id] = text,
	WV_VITALS(X)
#undef X
};

enum wv_vital wv_vitals_check(const struct wv_vitals *v)
{
	uint64_t late = LATE_TICKS * v->tick_interval_ns;

	if (v->now_ns - v->started_ns < WV_VITAL_GRACE_NS && !v->tick_ns)
		return WV_VITAL_ALL;
	if (late < LATE_MIN_NS)
		late = LATE_MIN_NS;
	if (!v->tick_ns || (v->now_ns > v->tick_ns && v->now_ns - v->tick_ns > late))
		return WV_VITAL_LOOP;
	if (!v->log_ok && v->needs_log)
		return WV_VITAL_LOG;
	if (!v->enforcement_ok)
		return WV_VITAL_ENFORCEMENT;
	return WV_VITAL_ALL;
}

static int seconds(uint64_t ns)
{
	uint64_t s = (ns + 999999999ULL) / 1000000000ULL;

	return s > 86400 ? 86400 : (int)s;
}

static void set_times(struct wv_watchdog *w, uint64_t timeout_ns, uint64_t pretimeout_ns,
		      const char **ret_reason)
{
	const struct wv_io *io = w->io;
	int value = seconds(timeout_ns);

	if (io->ioctl(io->ctx, w->fd, WDIOC_SETTIMEOUT, &value) < 0 &&
	    io->ioctl(io->ctx, w->fd, WDIOC_GETTIMEOUT, &value) < 0) {
		*ret_reason = "its timeout can be neither set nor read";
		value = 0;
	}
	w->timeout_s = value; /* the driver rounds */
	if (!pretimeout_ns)
		return;
	value = seconds(pretimeout_ns);
	if (!(w->options & WDIOF_PRETIMEOUT))
		*ret_reason = "the driver has no pretimeout";
	else if (io->ioctl(io->ctx, w->fd, WDIOC_SETPRETIMEOUT, &value) < 0)
		*ret_reason = "the pretimeout was refused";
	else
		w->pretimeout_s = value;
}

int wv_watchdog_open(struct wv_watchdog *w, const struct wv_io *io, const char *device,
		     uint64_t timeout_ns, uint64_t pretimeout_ns, const char **ret_reason)
{
	struct watchdog_info info = {0};
	int status = 0;

	*w = (struct wv_watchdog){.io = io, .fd = -1};
	*ret_reason = "";
	w->fd = io->open(io->ctx, AT_FDCWD, device, O_WRONLY, 0);
	if (w->fd < 0) {
		int r = w->fd;

		w->fd = -1;
		*ret_reason = r == -EBUSY ? "another program owns it" : strerror(-r);
		return r;
	}
	if (io->ioctl(io->ctx, w->fd, WDIOC_GETSUPPORT, &info) == 0) {
		w->options = info.options;
		snprintf(w->identity, sizeof(w->identity), "%.32s", (const char *)info.identity);
	}
	if (io->ioctl(io->ctx, w->fd, WDIOC_GETBOOTSTATUS, &status) == 0)
		w->bootstatus = (uint32_t)status;
	set_times(w, timeout_ns, pretimeout_ns, ret_reason);
	return 0;
}

int wv_watchdog_kick(struct wv_watchdog *w)
{
	ssize_t n = w->fd < 0 ? -EBADF : w->io->write(w->io->ctx, w->fd, "k", 1);

	return n < 0 ? (int)n : 0;
}

void wv_watchdog_close(struct wv_watchdog *w)
{
	if (w->fd < 0)
		return;
	(void)w->io->write(w->io->ctx, w->fd, "V", 1);
	(void)w->io->close(w->io->ctx, w->fd);
	w->fd = -1;
}

uint64_t wv_watchdog_interval_ns(const struct wv_watchdog *w)
{
	int s = w->timeout_s - w->pretimeout_s;

	/* three chances before it bites; never more often than ten times a second */
	if (s <= 0)
		s = 1;
	return (uint64_t)s * 1000000000ULL / 4;
}
