// SPDX-License-Identifier: GPL-2.0-only
/* Why the agent starts: the classification, and the evidence read from faked places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <json-c/json.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/recover/boot.h"

static char root[] = "/tmp/wv-boot-XXXXXX";
static char state_dir[64], pstore[64], class_dir[64];
static struct wv_boot_places places = {
	.state = state_dir, .pstore = pstore, .watchdog_class = class_dir, .boot_id = "boot-2"};

static void boot_every_combination_of_evidence_has_its_reason(void **state)
{
	static const struct {
		struct wv_boot_evidence e;
		enum wv_boot_reason reason;
	} rows[] = {
		{{.last_run = WV_LAST_RUN_NONE}, WV_BOOT_FIRST},
		{{.last_run = WV_LAST_RUN_OPEN}, WV_BOOT_POWER_ON},
		/* closed long before, and no marker: the machine ended without the agent */
		{{.last_run = WV_LAST_RUN_CLOSED}, WV_BOOT_POWER_ON},
		{{.last_run = WV_LAST_RUN_CLOSED, .marker = true}, WV_BOOT_ORDERLY},
		{{.last_run = WV_LAST_RUN_OPEN, .watchdog_flags = WDIOF_CARDRESET},
		 WV_BOOT_WATCHDOG},
		{{.last_run = WV_LAST_RUN_OPEN, .watchdog_flags = WDIOF_OVERHEAT},
		 WV_BOOT_POWER_ON},
		/* stopped in order, then another owner's watchdog bit */
		{{.marker = true, .watchdog_flags = WDIOF_CARDRESET}, WV_BOOT_WATCHDOG},
		{{.pstore_panic = true}, WV_BOOT_PANIC},
		{{.pstore_panic = true, .watchdog_flags = WDIOF_CARDRESET}, WV_BOOT_PANIC},
		{{.pstore_panic = true, .pstore_oops = true}, WV_BOOT_PANIC},
		{{.pstore_panic = true, .marker = true}, WV_BOOT_PANIC},
		{{.pstore_oops = true, .last_run = WV_LAST_RUN_OPEN}, WV_BOOT_OOPS},
		{{.pstore_oops = true, .watchdog_flags = WDIOF_CARDRESET}, WV_BOOT_OOPS},
		/* it oopsed and went on, and was shut down in order later */
		{{.pstore_oops = true, .marker = true}, WV_BOOT_ORDERLY},
		{{.same_boot = true, .last_run = WV_LAST_RUN_OPEN}, WV_BOOT_AGENT_CRASH},
		{{.same_boot = true, .last_run = WV_LAST_RUN_CLOSED}, WV_BOOT_ORDERLY},
		{{.same_boot = true, .last_run = WV_LAST_RUN_OPEN, .marker = true},
		 WV_BOOT_ORDERLY},
		/* the flag is of this boot's start, not of this start of the agent */
		{{.same_boot = true,
		  .last_run = WV_LAST_RUN_OPEN,
		  .watchdog_flags = WDIOF_CARDRESET},
		 WV_BOOT_AGENT_CRASH},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (wv_boot_classify(&rows[i].e) != rows[i].reason)
			fail_msg("row %zu: %s, not %s", i,
				 wv_boot_reason_names[wv_boot_classify(&rows[i].e)],
				 wv_boot_reason_names[rows[i].reason]);
}

static void put(const char *path, const char *text)
{
	char full[256], command[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	snprintf(command, sizeof(command), "mkdir -p $(dirname %s)", full);
	assert_int_equal(system(command), 0);
	f = fopen(full, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s && mkdir -p %s/state", root, root);
	assert_int_equal(system(command), 0);
	snprintf(state_dir, sizeof(state_dir), "%s/state", root);
	snprintf(pstore, sizeof(pstore), "%s/pstore", root);
	snprintf(class_dir, sizeof(class_dir), "%s/class", root);
	return 0;
}

static void gather(struct wv_boot_evidence *e)
{
	wv_boot_gather(&wv_io_system, &places, e);
}

static void boot_nothing_there_is_a_first_start(void **state)
{
	struct wv_boot_evidence e;

	(void)state;
	gather(&e);
	assert_int_equal(wv_boot_classify(&e), WV_BOOT_FIRST);
}

static void boot_last_run_is_read_from_its_last_whole_record(void **state)
{
	struct wv_boot_evidence e;

	(void)state;
	put("state/runs/20250101T000000Z-aa/events.jsonl",
	    "{\"type\":\"run-closed\",\"boot_id\":\"boot-0\"}\n");
	put("state/runs/20260101T000000Z-bb/events.jsonl",
	    "{\"type\":\"run-opened\",\"boot_id\":\"boot-1\"}\n"
	    "{\"type\":\"decision\",\"boot_id\":\"boot-1\",\"wall_ns\":77}\n{\"type\":\"run-cl");
	gather(&e);
	assert_string_equal(e.last_run_id, "20260101T000000Z-bb");
	assert_string_equal(e.last_record, "decision");
	assert_int_equal(e.last_wall_ns, 77);
	assert_int_equal(e.last_run, WV_LAST_RUN_OPEN);
	assert_false(e.same_boot);
	assert_int_equal(wv_boot_classify(&e), WV_BOOT_POWER_ON);
	put("state/runs/20260201T000000Z-cc/events.jsonl",
	    "{\"type\":\"run-closed\",\"boot_id\":\"boot-2\"}\n");
	gather(&e);
	assert_int_equal(e.last_run, WV_LAST_RUN_CLOSED);
	assert_true(e.same_boot);
}

static void boot_marker_is_written_read_and_removed(void **state)
{
	struct wv_boot_evidence e;

	(void)state;
	assert_int_equal(wv_marker_write(&wv_io_system, state_dir, "boot-1", "reboot", "run-7"), 0);
	gather(&e);
	assert_true(e.marker);
	assert_string_equal(e.marker_why, "reboot");
	assert_string_equal(e.marker_id, "run-7");
	assert_int_equal(wv_boot_classify(&e), WV_BOOT_ORDERLY);
	wv_marker_remove(&wv_io_system, state_dir);
	gather(&e);
	assert_false(e.marker);
}

static void boot_watchdog_status_of_any_device_counts(void **state)
{
	struct wv_boot_evidence e;

	(void)state;
	put("class/watchdog0/bootstatus", "0\n");
	put("class/watchdog1/bootstatus", "32\n");
	gather(&e);
	assert_int_equal(e.watchdog_flags, WDIOF_CARDRESET);
	assert_string_equal(e.watchdog, "watchdog1");
	assert_int_equal(wv_boot_classify(&e), WV_BOOT_WATCHDOG);
}

static void boot_pstore_file_speaks_once(void **state)
{
	struct wv_boot_evidence e;
	struct json_object *o;

	(void)state;
	put("pstore/dmesg-efi-1", "Panic#1 Part1\n<0>[1.0] Kernel panic - not syncing\n");
	put("pstore/console-ramoops-0", "hello\n");
	gather(&e);
	assert_true(e.pstore_panic);
	assert_int_equal(e.pstore_files, 2);
	assert_string_equal(e.pstore_line, "Panic#1 Part1");
	assert_int_equal(wv_boot_classify(&e), WV_BOOT_PANIC);
	o = wv_boot_json(&e, wv_boot_classify(&e));
	assert_non_null(strstr(json_object_to_json_string(o), "\"panic\""));
	json_object_put(o);
	/* nobody took it away: at the next boot it is no news */
	gather(&e);
	assert_false(e.pstore_panic);
	assert_int_equal(e.pstore_files, 0);
	put("pstore/dmesg-efi-2", "Oops#2 Part1\n");
	gather(&e);
	assert_true(e.pstore_oops);
	assert_int_equal(e.pstore_files, 1);
}

static int make_root(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boot_every_combination_of_evidence_has_its_reason),
		cmocka_unit_test_setup(boot_nothing_there_is_a_first_start, setup),
		cmocka_unit_test_setup(boot_last_run_is_read_from_its_last_whole_record, setup),
		cmocka_unit_test_setup(boot_marker_is_written_read_and_removed, setup),
		cmocka_unit_test_setup(boot_watchdog_status_of_any_device_counts, setup),
		cmocka_unit_test_setup(boot_pstore_file_speaks_once, setup),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
