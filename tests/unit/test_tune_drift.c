// SPDX-License-Identifier: GPL-2.0-only
/* A running command is found among those that were tuned. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/tune/drift.h"

static char folder[64];

static void put(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, dir);
	(void)mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s/%s", folder, dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int set_up(void **state)
{
	char command[256];

	(void)state;
	strcpy(folder, "/tmp/waveos-test-drift-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	put("one", "preregistration.json",
	    "{\"command\":[\"/usr/bin/python3\",\"train.py\",\"--batch\",\"{batch.micro}\"]}");
	put("one", "result.json", "{\"name\":\"first\",\"bottleneck_after\":\"compute\"}");
	put("unfinished", "preregistration.json", "{\"command\":[\"sh\",\"x\"]}");
	put("torn", "preregistration.json", "{\"command\":");
	put("torn", "result.json", "{}");
	snprintf(command, sizeof(command), "touch -d 2020-01-01 %s/one/result.json", folder);
	return system(command); // NOLINT(cert-env33-c): a fixed command
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command); // NOLINT(cert-env33-c): a fixed command
}

#define FIND(words, ret) wv_tuned_find(folder, words, sizeof(words), ret)

static void tuned_command_is_found_with_other_values_of_its_knobs(void **state)
{
	struct wv_tuned t;

	(void)state;
	assert_int_equal(FIND("python3\0train.py\0--batch\0"
			      "64",
			      &t),
			 0);
	assert_string_equal(t.name, "first");
	assert_string_equal(t.expected, "compute");
	assert_string_equal(t.command, "/usr/bin/python3 train.py --batch {batch.micro}");
	/* started through something else */
	assert_int_equal(FIND("/bin/nice\0/opt/python3\0train.py\0--batch\0"
			      "8",
			      &t),
			 0);
}

static void other_commands_are_not_found(void **state)
{
	struct wv_tuned t;

	(void)state;
	assert_int_equal(FIND("python3\0train.py\0--batch\0"
			      "64\0--more",
			      &t),
			 -ENOENT);
	assert_int_equal(FIND("python3\0other.py\0--batch\0"
			      "64",
			      &t),
			 -ENOENT);
	assert_int_equal(FIND("train.py\0--batch\0"
			      "64",
			      &t),
			 -ENOENT);
	assert_int_equal(FIND("", &t), -ENOENT);
	/* its last word is not whole */
	assert_int_equal(wv_tuned_find(folder,
				       "python3\0train.py\0--batch\0"
				       "64",
				       27, &t),
			 -ENOENT);
	assert_int_equal(FIND("sh\0x", &t), -ENOENT); /* no result */
	assert_int_equal(wv_tuned_find("/nonexistent", "sh", 3, &t), -ENOENT);
}

static void newest_of_two_tunings_counts(void **state)
{
	struct wv_tuned t;

	(void)state;
	put("two", "preregistration.json",
	    "{\"command\":[\"python3\",\"train.py\",\"--batch\",\"1\"]}");
	put("two", "result.json", "{\"name\":\"second\",\"bottleneck_after\":\"input\"}");
	assert_int_equal(FIND("python3\0train.py\0--batch\0"
			      "1",
			      &t),
			 0);
	assert_string_equal(t.name, "second");
	assert_int_equal(FIND("python3\0train.py\0--batch\0"
			      "2",
			      &t),
			 0);
	assert_string_equal(t.name, "first");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tuned_command_is_found_with_other_values_of_its_knobs),
		cmocka_unit_test(other_commands_are_not_found),
		cmocka_unit_test(newest_of_two_tunings_counts),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
