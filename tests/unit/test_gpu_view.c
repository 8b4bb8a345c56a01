// SPDX-License-Identifier: GPL-2.0-only
/* The page of GPUs: bottleneck, the lock over a writer that dies, other layouts, its JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/export/gpu_json.h"
#include "user/export/metrics_plan.h"

#define SECOND 1000000000ULL

static char folder[] = "/tmp/view-XXXXXX";
static int dir = -1;

static int set_up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/view-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlinkat(dir, WV_GPU_VIEW_FILE, 0);
	close(dir);
	return rmdir(folder);
}

static void view_writer_dies_reader_gets_eagain_until_next_end(void **state)
{
	struct wv_gpu_view *w = wv_gpu_view_map(dir, true), *again;
	const struct wv_gpu_view *r = wv_gpu_view_map(dir, false);
	_cleanup_free_ struct wv_gpu_view *copy = malloc(sizeof(*copy));

	(void)state;
	assert_non_null(w);
	assert_non_null(r);
	assert_non_null(copy);
	assert_int_equal(wv_gpu_view_read(r, copy), -ENOENT);
	wv_gpu_view_begin(w);
	w->updated = 7;
	assert_int_equal(wv_gpu_view_read(r, copy), -EAGAIN);
	wv_gpu_view_unmap(w);
	/* the next writer finds it odd */
	again = wv_gpu_view_map(dir, true);
	assert_non_null(again);
	wv_gpu_view_begin(again);
	again->n_devices = 1000;
	wv_gpu_view_end(again);
	assert_int_equal(wv_gpu_view_read(r, copy), 0);
	assert_int_equal(copy->updated, 7);
	assert_int_equal(copy->n_devices, WV_GPU_DEVICES);
	wv_gpu_view_unmap(again);
	wv_gpu_view_unmap(r);
}

static void view_other_layout_is_refused_and_replaced_not_cut(void **state)
{
	int fd = openat(dir, WV_GPU_VIEW_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	struct wv_gpu_view *w;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_null(wv_gpu_view_map(dir, false));
	w = wv_gpu_view_map(dir, true);
	assert_non_null(w);
	/* who had mapped the old one still has its pages */
	assert_int_equal(lseek(fd, 0, SEEK_END), 4096);
	wv_gpu_view_unmap(w);
	close(fd);
}

static void view_reader_comes_first_sees_later_writer(void **state)
{
	const struct wv_gpu_view *r = wv_gpu_view_watch(dir);
	_cleanup_free_ struct wv_gpu_view *copy = malloc(sizeof(*copy));
	struct wv_gpu_view *w;

	(void)state;
	assert_non_null(r);
	assert_non_null(copy);
	assert_int_equal(wv_gpu_view_read(r, copy), -ENOENT);
	w = wv_gpu_view_map(dir, true);
	assert_non_null(w);
	wv_gpu_view_begin(w);
	w->updated = 1;
	wv_gpu_view_end(w);
	assert_int_equal(wv_gpu_view_read(r, copy), 0);
	wv_gpu_view_unmap(w);
	wv_gpu_view_unmap(r);
}

static enum wv_gpu_bottleneck of(uint64_t kernel, uint64_t exposed, uint64_t memory,
				 enum wv_gpu_cause cause, uint64_t part)
{
	struct wv_gpu_sums d = {
		.shares = {
			.window = SECOND, .kernel = kernel, .exposed = exposed, .memory = memory}};

	d.shares.idle = SECOND - kernel - exposed - memory;
	d.cause_ns[cause] = part;
	d.cause_ns[WV_GPU_CAUSE_UNKNOWN] += d.shares.idle - part;
	return wv_gpu_bottleneck_of(&d, NULL);
}

static void bottleneck_of_device_follows_thresholds(void **state)
{
	const uint64_t ms = 1000000;

	(void)state;
	assert_int_equal(of(850 * ms, 0, 0, WV_GPU_CAUSE_INPUT, 150 * ms), WV_GPU_BOUND_COMPUTE);
	assert_int_equal(of(849 * ms, 0, 0, WV_GPU_CAUSE_INPUT, 151 * ms), WV_GPU_BOUND_INPUT);
	assert_int_equal(of(600 * ms, 300 * ms, 0, WV_GPU_CAUSE_INPUT, 100 * ms),
			 WV_GPU_BOUND_COMMS);
	assert_int_equal(of(600 * ms, 0, 300 * ms, WV_GPU_CAUSE_SYNC, 100 * ms), WV_GPU_BOUND_COPY);
	assert_int_equal(of(600 * ms, 0, 0, WV_GPU_CAUSE_RUNQUEUE, 400 * ms), WV_GPU_BOUND_CPU);
	assert_int_equal(of(600 * ms, 0, 0, WV_GPU_CAUSE_CHECKPOINT, 400 * ms),
			 WV_GPU_BOUND_CHECKPOINT);
	/* what nobody explained is not called busy, nor something small named */
	assert_int_equal(of(300 * ms, 0, 0, WV_GPU_CAUSE_INPUT, 0), WV_GPU_BOUND_NONE);
	assert_int_equal(of(300 * ms, 0, 0, WV_GPU_CAUSE_INPUT, 100 * ms), WV_GPU_BOUND_NONE);
	assert_int_equal(wv_gpu_bottleneck_of(NULL, NULL), WV_GPU_BOUND_NONE);
}

static void bottleneck_of_thread_counts_its_own_work_as_compute(void **state)
{
	struct wv_gpu_process_view s = {.recent_ns = SECOND};

	(void)state;
	s.recent_cause_ns[WV_GPU_CAUSE_HOST] = SECOND * 9 / 10;
	s.recent_cause_ns[WV_GPU_CAUSE_INPUT] = SECOND / 10;
	assert_int_equal(wv_gpu_bottleneck_of(NULL, &s), WV_GPU_BOUND_COMPUTE);
	s.recent_cause_ns[WV_GPU_CAUSE_HOST] = SECOND * 6 / 10;
	s.recent_cause_ns[WV_GPU_CAUSE_INPUT] = SECOND * 4 / 10;
	assert_int_equal(wv_gpu_bottleneck_of(NULL, &s), WV_GPU_BOUND_INPUT);
}

static void view_json_hostile_names_and_untold_meters_are_valid(void **state)
{
	_cleanup_free_ struct wv_gpu_view *v = calloc(1, sizeof(*v));
	struct wv_text t = {.max = 1U << 20};
	struct json_object *o, *devices, *d, *meter, *power;

	(void)state;
	assert_non_null(v);
	v->updated = 1;
	v->n_devices = v->n_processes = 1;
	strcpy(v->device[0].name, "<b>\"\\\n\xff");
	v->device[0].bottleneck = 77;
	v->device[0].meter.power_mw = UINT64_MAX;
	v->process[0].devices = 1;
	strcpy(v->process[0].comm, "\033[31m\"");
	wv_gpu_view_json(v, 5, &t);
	assert_int_equal(wv_text_end(&t), 0);
	o = json_tokener_parse(t.data);
	assert_non_null(o);
	assert_true(json_object_object_get_ex(o, "devices", &devices));
	d = json_object_array_get_idx(devices, 0);
	assert_true(json_object_object_get_ex(d, "meter", &meter));
	assert_true(json_object_object_get_ex(meter, "power_mw", &power));
	assert_null(power);
	json_object_put(o);
	wv_text_done(&t);
}

static void metrics_untold_meter_has_no_series_and_names_are_escaped(void **state)
{
	_cleanup_free_ struct wv_gpu_view *v = calloc(1, sizeof(*v));
	struct wv_text t = {.max = 1U << 20};
	struct wv_metrics_out out = {.format = WV_METRICS_TEXT, .out = &t};

	(void)state;
	assert_non_null(v);
	v->n_devices = WV_GPU_DEVICES;
	for (unsigned i = 0; i < WV_GPU_DEVICES; i++) {
		v->device[i].index = UINT32_MAX;
		v->device[i].recent.shares.window = SECOND;
		v->device[i].recent.cause_ns[WV_GPU_CAUSE_INPUT] = SECOND / 4;
		strcpy(v->device[i].uuid, "GPU-\"x\"");
	}
	v->device[0].meter.power_mw = UINT64_MAX;
	v->device[1].meter.power_mw = 1500;
	wv_metrics_gpu(v, &out);
	assert_true(out.series <= WV_GPU_SERIES_MAX);
	assert_int_equal(wv_out_end(&out), 0);
	assert_int_equal(wv_text_end(&t), 0);
	assert_null(strstr(t.data, "waveos_gpu_power_watts{device=\"0\""));
	assert_non_null(strstr(
		t.data, "waveos_gpu_power_watts{device=\"1\",uuid=\"GPU-\\\"x\\\"\"} 1.5\n"));
	assert_non_null(strstr(t.data, "waveos_gpu_dataloader_stall_ratio{device=\"0\",uuid=\"GPU-"
				       "\\\"x\\\"\"} 0.25\n"));
	wv_text_done(&t);
}

/*
 * `test_gpu_view plant FOLDER`: a page of planted figures for tests of what displays it. It is no
 * measurement of anything.
 */
static int plant(const char *path)
{
	int at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct wv_gpu_view *v = at < 0 ? NULL : wv_gpu_view_map(at, true);
	struct timespec ts;
	struct stat root;

	/* a cgroup's id is the number of its folder */
	if (!v || stat("/sys/fs/cgroup", &root) < 0)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	wv_gpu_view_begin(v);
	v->updated = (uint64_t)ts.tv_sec * SECOND;
	v->n_devices = v->n_processes = 1;
	v->nvml = 1;
	memset(v->device, 0, sizeof(v->device));
	memset(&v->device[0].meter, 0xff, sizeof(v->device[0].meter));
	v->device[0].meter.power_mw = 300000;
	strcpy(v->device[0].uuid, "GPU-planted");
	strcpy(v->device[0].name, "<img src=x onerror=alert(1)>");
	v->device[0].level = WV_GPU_L1;
	v->device[0].degraded = WV_GPU_TOO_COSTLY;
	v->device[0].bottleneck = WV_GPU_BOUND_INPUT;
	v->device[0].recent.shares =
		(struct wv_gpu_shares){.window = SECOND, .kernel = SECOND / 2, .idle = SECOND / 2};
	v->device[0].recent.cause_ns[WV_GPU_CAUSE_INPUT] = SECOND / 2;
	v->device[0].recent_end = v->updated;
	v->device[0].total = v->device[0].recent;
	v->process[0] = (struct wv_gpu_process_view){.pid = 4242,
						     .cgroup_id = root.st_ino,
						     .comm = "<b>train",
						     .devices = 1,
						     .steps = 100,
						     .step_ns = 20000000,
						     .confidence_permille = 900,
						     .bottleneck = WV_GPU_BOUND_INPUT};
	wv_gpu_view_end(v);
	wv_gpu_view_unmap(v);
	close(at);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(view_writer_dies_reader_gets_eagain_until_next_end,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(view_other_layout_is_refused_and_replaced_not_cut,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(view_reader_comes_first_sees_later_writer, set_up,
						tear_down),
		cmocka_unit_test(bottleneck_of_device_follows_thresholds),
		cmocka_unit_test(bottleneck_of_thread_counts_its_own_work_as_compute),
		cmocka_unit_test(view_json_hostile_names_and_untold_meters_are_valid),
		cmocka_unit_test(metrics_untold_meter_has_no_series_and_names_are_escaped),
	};

	if (argc == 3 && strcmp(argv[1], "plant") == 0)
		return plant(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
