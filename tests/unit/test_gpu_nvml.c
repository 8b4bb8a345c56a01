// SPDX-License-Identifier: GPL-2.0-only
/* Meters of a made-up NVML, in a real child process, and what is told when its calls hang. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/gpu/meter.h"

#define MS 1000000ULL

/* Shared with the child: faults come and go while it runs. */
static volatile struct plan {
	int block, lost, fails, mig;
	unsigned inits, power;
} * plan;

static char whole[2], slices[2]; /* their addresses are the handles */

static int index_of(const void *device)
{
	const char *c = device;

	return c >= slices && c < slices + 2 ? (int)(10 + (c - slices)) : (int)(c - whole);
}

static int trouble(const void *device)
{
	while (plan->block)
		usleep(1000);
	if (device == &whole[0] && plan->lost)
		return WV_NVML_LOST;
	return 0;
}

static int give_init(void)
{
	plan->inits++;
	return plan->fails;
}

static int give_count(unsigned *n)
{
	*n = 2;
	return trouble(NULL);
}

static int give_handle(unsigned i, void **device)
{
	*device = &whole[i];
	return 0;
}

static int give_uuid(void *device, char *buf, unsigned size)
{
	int i = index_of(device);

	snprintf(buf, size, "%s-00112233-4455-6677-8899-aabbccddee%02x", i >= 10 ? "MIG" : "GPU",
		 (unsigned)i);
	return 0;
}

static int give_memory(void *device, struct wv_nvml_memory *m)
{
	*m = (struct wv_nvml_memory){.total = 100, .free = 60, .used = 40};
	return trouble(device);
}

static int give_rates(void *device, struct wv_nvml_rates *r)
{
	*r = (struct wv_nvml_rates){.gpu = 73, .memory = 5};
	return trouble(device);
}

static int give_power(void *device, unsigned *mw)
{
	*mw = plan->power;
	return trouble(device);
}

static int give_mig_mode(void *device, unsigned *now, unsigned *later)
{
	*now = *later = device == &whole[1] && plan->mig;
	return 0;
}

static int give_mig_max(void *device _unused_, unsigned *n)
{
	*n = 3;
	return 0;
}

static int give_slice(void *device _unused_, unsigned i, void **slice)
{
	if (i == 1)
		return 6; /* not every place is taken */
	*slice = &slices[i / 2];
	return 0;
}

static const struct wv_nvml nvml = {
	.init = give_init,
	.count = give_count,
	.handle = give_handle,
	.uuid = give_uuid,
	.memory = give_memory,
	.rates = give_rates,
	.power = give_power,
	.mig_mode = give_mig_mode,
	.mig_max = give_mig_max,
	.mig_handle = give_slice,
};

static struct wv_meter *meter;

static int setup(void **state _unused_)
{
	struct wv_meter_options o = {.io = &wv_io_system,
				     .nvml = &nvml,
				     .every_ns = 5 * MS,
				     .fresh_ns = 300 * MS,
				     .deadline_ns = 1000 * MS,
				     .retry_ns = 50 * MS};

	plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plan == MAP_FAILED)
		return -1;
	plan->power = 250000;
	return wv_meter_open(&o, &meter);
}

static int teardown(void **state _unused_)
{
	pid_t child = wv_meter_child(meter);

	wv_meter_close(meter);
	munmap((void *)(uintptr_t)plan, sizeof(*plan));
	return child && kill(child, 0) == 0; /* it is gone and was waited for */
}

static uint64_t power_of(unsigned i)
{
	const struct wv_meter_device *d = wv_meter_get(meter, i);

	return d ? d->meter.power_mw : 0;
}

static bool answers(void)
{
	return wv_meter_answers(meter);
}

static bool silent(void)
{
	return !wv_meter_answers(meter) && power_of(0) == UINT64_MAX;
}

static bool first_is_unknown(void)
{
	return power_of(0) == UINT64_MAX;
}

static bool changed(void)
{
	return power_of(0) == plan->power;
}

static bool cut(void)
{
	return wv_meter_get(meter, 3) && wv_meter_get(meter, 3)->meter.memory_used_bytes == 40;
}

static bool no_child(void)
{
	return !wv_meter_child(meter);
}

static bool thrice(void)
{
	return plan->inits >= 3;
}

/* Turns until it holds; a turn may never take long, whatever the child does. */
static void turn_until(bool (*holds)(void))
{
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t before = wv_io_system.mono_ns(NULL);

		wv_meter_turn(meter);
		assert_true(wv_io_system.mono_ns(NULL) - before < 500 * MS);
		if (holds())
			return;
		usleep(1000);
	}
	fail_msg("it never was so");
}

static void meter_device_answers_figures_are_told(void **state _unused_)
{
	const struct wv_meter_device *d;

	turn_until(answers);
	d = wv_meter_get(meter, 0);
	assert_non_null(d);
	assert_string_equal(d->uuid, "GPU-00112233-4455-6677-8899-aabbccddee00");
	assert_int_equal(d->index, 0);
	assert_int_equal(d->meter.busy_permille, 730);
	assert_int_equal(d->meter.memory_used_bytes, 40);
	assert_int_equal(d->meter.memory_total_bytes, 100);
	/* functions that the library lacks */
	assert_true(d->meter.energy_mj == UINT64_MAX);
	assert_true(d->meter.temperature_c == UINT64_MAX);
	assert_null(wv_meter_get(meter, 2));
	plan->power = 400000;
	turn_until(changed);
}

static void meter_call_blocks_figures_go_and_child_is_replaced(void **state _unused_)
{
	pid_t first;

	turn_until(answers);
	first = wv_meter_child(meter);
	plan->block = 1;
	turn_until(silent);
	turn_until(no_child);
	assert_int_equal(kill(first, 0), -1);
	plan->block = 0;
	turn_until(answers);
	assert_int_not_equal(wv_meter_child(meter), first);
	assert_int_equal(power_of(0), 250000);
}

static void meter_device_lost_only_its_figures_go(void **state _unused_)
{
	turn_until(answers);
	plan->lost = 1;
	turn_until(first_is_unknown);
	assert_int_equal(power_of(1), 250000);
	assert_true(wv_meter_answers(meter));
	plan->lost = 0;
	turn_until(changed);
}

static void meter_init_fails_it_is_tried_later(void **state _unused_)
{
	plan->fails = 9;
	turn_until(thrice);
	assert_false(wv_meter_answers(meter));
	assert_null(wv_meter_get(meter, 0));
	plan->fails = 0;
	turn_until(answers);
}

static void meter_device_is_cut_slices_have_memory_alone(void **state _unused_)
{
	const struct wv_meter_device *d;

	plan->mig = 1;
	turn_until(cut);
	d = wv_meter_get(meter, 2);
	assert_string_equal(d->uuid, "MIG-00112233-4455-6677-8899-aabbccddee0a");
	assert_true(d->index == UINT32_MAX);
	assert_true(d->meter.power_mw == UINT64_MAX && d->meter.busy_permille == UINT64_MAX);
	assert_int_equal(power_of(1), 250000); /* the whole one's are still told */
	assert_null(wv_meter_get(meter, 4));
}

static void meter_child_is_killed_figures_go_then_come_back(void **state _unused_)
{
	pid_t first;

	turn_until(answers);
	first = wv_meter_child(meter);
	assert_int_equal(kill(first, SIGKILL), 0);
	turn_until(no_child);
	turn_until(answers);
	assert_int_not_equal(wv_meter_child(meter), first);
}

static void meter_uuid_only_its_own_bytes_match(void **state _unused_)
{
	unsigned char bytes[16];

	for (unsigned i = 0; i < 16; i++)
		bytes[i] = (unsigned char)(i * 0x11);
	assert_true(wv_meter_is("GPU-00112233-4455-6677-8899-aabbccddeeff", bytes));
	assert_true(wv_meter_is("MIG-00112233-4455-6677-8899-AABBCCDDEEFF", bytes));
	assert_false(wv_meter_is("GPU-00112233-4455-6677-8899-aabbccddeefe", bytes));
	assert_false(wv_meter_is("GPU-00112233-4455-6677-8899-aabbccddeef", bytes));
	assert_false(wv_meter_is("GPU-00112233-4455-6677-8899aabbccddeeff00", bytes));
	assert_false(wv_meter_is("GPU-0011223 -4455-6677-8899-aabbccddeeff", bytes));
	assert_false(wv_meter_is("MIG-GPU-00112233-4455-6677-8899-aabbccddeeff/1/0", bytes));
	assert_false(wv_meter_is("", bytes));
	assert_false(wv_meter_is("GPU-", bytes));
}

int main(void)
{
#define WITH(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH(meter_device_answers_figures_are_told),
		WITH(meter_call_blocks_figures_go_and_child_is_replaced),
		WITH(meter_device_lost_only_its_figures_go),
		WITH(meter_init_fails_it_is_tried_later),
		WITH(meter_device_is_cut_slices_have_memory_alone),
		WITH(meter_child_is_killed_figures_go_then_come_back),
		cmocka_unit_test(meter_uuid_only_its_own_bytes_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
