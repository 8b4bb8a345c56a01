// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/canonical.h"
#include "user/evidence/event.h"

static struct wv_paths paths;
static struct wv_io io;

static uint64_t mono(void *ctx _unused_)
{
	return 7;
}

static uint64_t wall(void *ctx _unused_)
{
	return 1800000000000000001ULL;
}

static int setup(void **state _unused_)
{
	char root[] = "/tmp/wv-event-XXXXXX";

	wv_log_init(WV_LOG_TEXT, LOG_CRIT);
	io = wv_io_system;
	io.mono_ns = mono;
	io.wall_ns = wall;
	return mkdtemp(root) ? wv_paths_init(&paths, root) : -1;
}

static int teardown(void **state _unused_)
{
	char command[WV_PATH_SIZE + 16];

	snprintf(command, sizeof(command), "rm -rf %s", paths.root);
	return system(command);
}

/* Record seq of the log, to be freed. */
static char *record(uint64_t seq)
{
	struct wv_tlog_reader *r;
	const char *line;
	char *copy = NULL;
	uint64_t got;
	size_t len;

	assert_int_equal(wv_tlog_read_open(&r, &io, paths.state, seq), 0);
	if (wv_tlog_read(r, &got, &line, &len) == 1 && got == seq)
		copy = strndup(line, len);
	wv_tlog_read_close(r);
	return copy;
}

static void event_is_a_canonical_record_with_the_common_fields(void **state _unused_)
{
	struct json_object *fields = json_object_new_object();
	_cleanup_free_ char *line = NULL;
	struct wv_tlog *l;
	uint64_t seq = 0;
	char *boot, *rest;

	json_object_object_add(fields, "what", json_object_new_string("a\n"));
	json_object_object_add(fields, "after", json_object_new_double(0.5));
	assert_int_equal(wv_tlog_open_device(&l, &io, &paths), 0);
	assert_int_equal(wv_event(l, &io, "run-1", "test", fields, true, &seq), 0);
	assert_int_equal(seq, 1);
	assert_int_equal(wv_event(l, &io, "", "test", NULL, true, &seq), 0);
	assert_int_equal(seq, 2);
	wv_tlog_close(l);
	line = record(1);
	assert_non_null(line);
	assert_int_equal(wv_canonical_check(line, strlen(line)), 0);
	assert_memory_equal(line, "{\"after\":0.5,\"boot_id\":\"", 24);
	boot = line + 24;
	assert_int_equal(strspn(boot, "0123456789abcdef-"), 36);
	rest = boot + 36;
	assert_string_equal(rest,
			    "\",\"mono_ns\":7,\"run_id\":\"run-1\",\"schema_version\":2,\"seq\":1,"
			    "\"type\":\"test\",\"wall_ns\":1800000000000000001,"
			    "\"what\":\"a\\n\"}");
}

static void event_with_a_common_name_is_refused(void **state _unused_)
{
	static const char *const names[] = {"boot_id", "mono_ns", "run_id", "schema_version",
					    "seq",     "type",	  "wall_ns"};
	struct wv_tlog *l;
	uint64_t seq = 77;
	size_t i;

	assert_int_equal(wv_tlog_open_device(&l, &io, &paths), 0);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		struct json_object *fields = json_object_new_object();

		json_object_object_add(fields, names[i], NULL);
		assert_int_equal(wv_event(l, &io, "", "test", fields, true, &seq), -EINVAL);
	}
	assert_int_equal(wv_event(l, &io, "", "test", json_object_new_array(), true, &seq),
			 -EINVAL);
	assert_int_equal(seq, 77);
	assert_int_equal(wv_tlog_size(l), 0);
	wv_tlog_close(l);
}

static void event_that_is_too_long_is_not_in_the_log(void **state _unused_)
{
	struct json_object *fields = json_object_new_object();
	char *text = calloc(1, WV_RECORD_MAX + 1);
	struct wv_tlog *l;
	uint64_t seq = 0;

	assert_non_null(text);
	memset(text, 'a', WV_RECORD_MAX);
	json_object_object_add(fields, "text", json_object_new_string(text));
	free(text);
	assert_int_equal(wv_tlog_open_device(&l, &io, &paths), 0);
	assert_int_equal(wv_event(l, &io, "", "test", fields, true, &seq), -EMSGSIZE);
	assert_int_equal(wv_event(l, &io, "", "test", NULL, true, &seq), 0);
	assert_int_equal(seq, 1);
	wv_tlog_close(l);
}

/* Checkpoints of the device's log are signed by the device's key. */
static void device_log_is_signed_by_the_device(void **state _unused_)
{
	char name[WV_KEY_NAME_SIZE], path[WV_PATH_SIZE + 32];
	_cleanup_free_ char *note = NULL;
	struct wv_note_verifier v;
	struct wv_secret_key key;
	struct wv_checkpoint c;
	struct wv_tlog *l;
	uint64_t by = 0;
	size_t len, text_len;

	assert_int_equal(wv_tlog_open_device(&l, &io, &paths), 0);
	assert_int_equal(wv_event(l, &io, "", "test", NULL, true, NULL), 0);
	assert_int_equal(wv_tlog_checkpoint(l), 0);
	wv_tlog_close(l);
	assert_int_equal(wv_device_key(&io, &paths, false, &key, name), 0);
	assert_int_equal(wv_note_verifier_init(&v, name, WV_NOTE_ED25519, &key.public_key), 0);
	snprintf(path, sizeof(path), "%s/log/checkpoint", paths.state);
	assert_int_equal(wv_io_read_file(&io, AT_FDCWD, path, WV_NOTE_MAX, &note, &len), 0);
	assert_int_equal(wv_note_open(note, len, &v, 1, &by, NULL, &text_len), 0);
	assert_int_equal(by, 1);
	assert_int_equal(wv_checkpoint_parse(note, text_len, &c), 0);
	assert_string_equal(c.origin, name);
	assert_int_equal(c.size, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(event_is_a_canonical_record_with_the_common_fields,
						setup, teardown),
		cmocka_unit_test_setup_teardown(event_with_a_common_name_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(event_that_is_too_long_is_not_in_the_log, setup,
						teardown),
		cmocka_unit_test_setup_teardown(device_log_is_signed_by_the_device, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
