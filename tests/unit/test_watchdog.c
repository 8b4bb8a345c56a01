// SPDX-License-Identifier: GPL-2.0-only
/* Who is alive, and what is said to a faked /dev/watchdog. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/watchdog.h>
#include <string.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/recover/watchdog.h"

#define S 1000000000ULL

static struct {
	char written[64];
	size_t n;
	int open_error, timeout, pretimeout, status;
	int max_timeout;
	uint32_t options;
	bool closed, refuses_timeout;
} device;

static int d_open(void *ctx, int dirfd, const char *path, int flags, mode_t mode)
{
	(void)ctx, (void)dirfd, (void)flags, (void)mode;
	assert_string_equal(path, "/dev/watchdog0");
	return device.open_error ?: 42;
}
static ssize_t d_write(void *ctx, int fd, const void *buf, size_t len)
{
	(void)ctx;
	assert_int_equal(fd, 42);
	memcpy(device.written + device.n, buf, len);
	device.n += len;
	return (ssize_t)len;
}
static int d_close(void *ctx, int fd)
{
	(void)ctx;
	assert_int_equal(fd, 42);
	device.closed = true;
	return 0;
}
static int d_ioctl(void *ctx, int fd, unsigned long request, void *arg)
{
	struct watchdog_info *info = arg;
	int *value = arg;

	(void)ctx;
	assert_int_equal(fd, 42);
	switch (request) {
	case WDIOC_GETSUPPORT:
		info->options = device.options;
		memcpy(info->identity, "fake", 5);
		return 0;
	case WDIOC_GETBOOTSTATUS:
		*value = device.status;
		return 0;
	case WDIOC_SETTIMEOUT:
		if (device.refuses_timeout)
			return -EOPNOTSUPP;
		if (device.max_timeout && *value > device.max_timeout)
			*value = device.max_timeout; /* drivers round */
		device.timeout = *value;
		return 0;
	case WDIOC_GETTIMEOUT:
		*value = device.timeout;
		return 0;
	case WDIOC_SETPRETIMEOUT:
		if (*value >= device.timeout)
			return -EINVAL;
		device.pretimeout = *value;
		return 0;
	default:
		return -ENOTTY;
	}
}
static const struct wv_io io = {
	.open = d_open, .write = d_write, .close = d_close, .ioctl = d_ioctl};

static int setup(void **state)
{
	(void)state;
	memset(&device, 0, sizeof(device));
	return 0;
}

static void watchdog_is_set_kicked_and_closed_with_the_magic_character(void **state)
{
	struct wv_watchdog w;
	const char *reason;

	(void)state;
	device.options = WDIOF_PRETIMEOUT | WDIOF_MAGICCLOSE;
	device.status = WDIOF_CARDRESET;
	assert_int_equal(wv_watchdog_open(&w, &io, "/dev/watchdog0", 60 * S, 10 * S, &reason), 0);
	assert_string_equal(reason, "");
	assert_string_equal(w.identity, "fake");
	assert_int_equal(w.bootstatus, WDIOF_CARDRESET);
	assert_int_equal(device.timeout, 60);
	assert_int_equal(device.pretimeout, 10);
	assert_true(wv_watchdog_interval_ns(&w) <= 50 * S / 3);
	assert_int_equal(wv_watchdog_kick(&w), 0);
	assert_int_equal(wv_watchdog_kick(&w), 0);
	assert_memory_equal(device.written, "kk", 2);
	wv_watchdog_close(&w);
	assert_memory_equal(device.written, "kkV", 3);
	assert_true(device.closed);
	assert_true(wv_watchdog_kick(&w) < 0);
}

static void watchdog_without_pretimeout_says_so_and_works(void **state)
{
	struct wv_watchdog w;
	const char *reason;

	(void)state;
	device.max_timeout = 15;
	assert_int_equal(wv_watchdog_open(&w, &io, "/dev/watchdog0", 60 * S, 10 * S, &reason), 0);
	assert_non_null(strstr(reason, "no pretimeout"));
	assert_int_equal(w.timeout_s, 15); /* what is in force, not what was asked for */
	assert_int_equal(w.pretimeout_s, 0);
	assert_true(wv_watchdog_interval_ns(&w) <= 5 * S);
}

static void watchdog_with_a_fixed_timeout_is_read(void **state)
{
	struct wv_watchdog w;
	const char *reason;

	(void)state;
	device.refuses_timeout = true;
	device.timeout = 8;
	assert_int_equal(wv_watchdog_open(&w, &io, "/dev/watchdog0", 60 * S, 0, &reason), 0);
	assert_int_equal(w.timeout_s, 8);
}

static void watchdog_of_someone_else_is_told(void **state)
{
	struct wv_watchdog w;
	const char *reason;

	(void)state;
	device.open_error = -EBUSY;
	assert_int_equal(wv_watchdog_open(&w, &io, "/dev/watchdog0", 60 * S, 0, &reason), -EBUSY);
	assert_non_null(strstr(reason, "another program"));
	wv_watchdog_close(&w);
	assert_int_equal(device.n, 0);
}

static void vitals_all_must_be_alive(void **state)
{
	const struct wv_vitals good = {.now_ns = 1000 * S,
				       .started_ns = 10 * S,
				       .tick_ns = 999 * S,
				       .tick_interval_ns = S,
				       .log_ok = true,
				       .enforcement_ok = true,
				       .needs_log = true};
	struct wv_vitals v = good;

	(void)state;
	assert_int_equal(wv_vitals_check(&v), WV_VITAL_ALL);
	v.tick_ns = 1000 * S - 10 * S;
	assert_int_equal(wv_vitals_check(&v), WV_VITAL_ALL);
	v.tick_ns = 1000 * S - 10 * S - 1;
	assert_int_equal(wv_vitals_check(&v), WV_VITAL_LOOP);
	v.tick_interval_ns = 60 * S; /* a slow tick may be late by more */
	assert_int_equal(wv_vitals_check(&v), WV_VITAL_ALL);
	v = good;
	v.log_ok = false;
	assert_int_equal(wv_vitals_check(&v), WV_VITAL_LOG);
	v.needs_log = false;
	assert_int_equal(wv_vitals_check(&v), WV_VITAL_ALL);
	v = good;
	v.enforcement_ok = false;
	assert_int_equal(wv_vitals_check(&v), WV_VITAL_ENFORCEMENT);
	/* before the first tick there is time, but not for ever */
	v = good;
	v.tick_ns = 0;
	v.started_ns = v.now_ns - WV_VITAL_GRACE_NS + 1;
	assert_int_equal(wv_vitals_check(&v), WV_VITAL_ALL);
	v.started_ns = v.now_ns - WV_VITAL_GRACE_NS;
	assert_int_equal(wv_vitals_check(&v), WV_VITAL_LOOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(watchdog_is_set_kicked_and_closed_with_the_magic_character,
				       setup),
		cmocka_unit_test_setup(watchdog_without_pretimeout_says_so_and_works, setup),
		cmocka_unit_test_setup(watchdog_with_a_fixed_timeout_is_read, setup),
		cmocka_unit_test_setup(watchdog_of_someone_else_is_told, setup),
		cmocka_unit_test_setup(vitals_all_must_be_alive, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
