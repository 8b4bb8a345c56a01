// SPDX-License-Identifier: GPL-2.0-only
/* Services: order, pauses, the file that knows them, and that a process waits until it stands
 * there. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/recover/act.h"
#include "user/recover/services.h"

#define S 1000000000ULL

static char root[] = "/tmp/wv-services-XXXXXX";

static void services_order_follows_after_and_survives_a_circle(void **state)
{
	uint32_t b_after[] = {2}, c_after[] = {3, 0}, x_after[] = {5}, y_after[] = {4}, order[6];
	const struct wv_service s[6] = {
		{.name = "a"},
		{.name = "b", .after = {.n = 1}, .after_index = b_after},
		{.name = "c", .after = {.n = 2}, .after_index = c_after},
		{.name = "d"},
		{.name = "x", .after = {.n = 1}, .after_index = x_after},
		{.name = "y", .after = {.n = 1}, .after_index = y_after},
	};
	int at[6];

	(void)state;
	wv_services_order(s, 6, order);
	for (int i = 0; i < 6; i++)
		at[order[i]] = i;
	assert_true(at[2] > at[3] && at[2] > at[0] && at[1] > at[2]);
	assert_true(at[4] >= 4 && at[5] >= 4);
}

static void services_backoff_is_none_then_doubles_to_its_maximum(void **state)
{
	const struct wv_service s = {.backoff_ns = 100, .backoff_max_ns = 1000};
	const struct wv_service none = {.backoff_ns = 0, .backoff_max_ns = 1000};

	(void)state;
	assert_int_equal(wv_service_backoff(&s, 1, 12345), 0);
	for (unsigned n = 2; n < 50; n++) {
		uint64_t base = n >= 6 ? 1000 : 100u << (n - 2);

		for (uint64_t random = 0; random < 500; random++) {
			uint64_t pause = wv_service_backoff(&s, n, random);

			assert_true(pause >= base && pause < base + base / 5);
		}
		assert_int_equal(wv_service_backoff(&none, n, 99), 0);
	}
}

static int open_root(void)
{
	return open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void services_file_is_of_one_boot(void **state)
{
	static struct wv_service_list l, read;
	const struct wv_service_process p = {
		.name = "a", .cgroup = "/x/a", .pid = 77, .start_ns = 123456789012345};
	_cleanup_close_ int dir = open_root();

	(void)state;
	wv_services_put(&l, &p);
	wv_services_put(&l, &(struct wv_service_process){.name = "b", .pid = 78});
	wv_services_put(&l, &p); /* again: goes to the end */
	assert_int_equal(l.n, 2);
	assert_string_equal(l.list[1].name, "a");
	assert_int_equal(wv_services_save(&l, &wv_io_system, dir, "boot-1"), 0);
	assert_int_equal(wv_services_load(&read, &wv_io_system, dir, "boot-1"), 0);
	assert_int_equal(read.n, 2);
	assert_memory_equal(&read.list[1], &p, sizeof(p));
	assert_int_equal(wv_services_load(&read, &wv_io_system, dir, "boot-2"), 0);
	assert_int_equal(read.n, 0);
	wv_services_drop(&l, "a");
	assert_int_equal(l.n, 1);
}

static void services_process_of_another_start_is_not_taken(void **state)
{
	struct wv_service_process p = {.pid = getpid(), .start_ns = wv_process_start_ns(getpid())};
	int fd = wv_service_open(&p);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	p.start_ns += 10000000; /* the number was used again */
	assert_int_equal(wv_service_open(&p), -ESRCH);
}

static bool exists(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return access(path, F_OK) == 0;
}

static void make_service(struct wv_service *s, char *command[3], char script[256], const char *name)
{
	snprintf(script, 256, "touch %s/%s; exec sleep 100", root, name);
	command[0] = (char *)"/bin/sh";
	command[1] = (char *)"-c";
	command[2] = script;
	*s = (struct wv_service){.name = "s", .command = {.list = command, .n = 3}};
}

static void services_process_runs_nothing_before_it_is_told(void **state)
{
	struct wv_service_start start;
	struct wv_service s;
	char *command[3], script[256];
	struct pollfd p = {.events = POLLIN};

	(void)state;
	make_service(&s, command, script, "told");
	assert_int_equal(wv_service_prepare(&start, &s, ""), 0);
	assert_true(wv_process_start_ns(start.pid) > 0);
	assert_false(exists("told"));
	assert_int_equal(wv_service_go(&start), 0);
	for (int i = 0; i < 1000 && !exists("told"); i++)
		(void)poll(NULL, 0, 5);
	assert_true(exists("told"));
	wv_service_end(start.pidfd, "", "", 1000);
	p.fd = start.pidfd;
	assert_int_equal(poll(&p, 1, 0), 1);
	close(start.pidfd);
}

static void services_process_ends_when_its_maker_dies_before_it_is_known(void **state)
{
	struct wv_service_start start;
	struct wv_service s;
	char *command[3], script[256];
	struct pollfd p = {.events = POLLIN};
	int status;

	(void)state;
	make_service(&s, command, script, "orphan");
	assert_int_equal(wv_service_prepare(&start, &s, ""), 0);
	close(start.go); /* as the kernel does for a process that was killed */
	close(start.status);
	p.fd = start.pidfd;
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(waitpid(start.pid, &status, 0), start.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_false(exists("orphan"));
	close(start.pidfd);
}

static void services_program_that_is_missing_is_an_error_at_once(void **state)
{
	char *command[] = {(char *)"/nonexistent/program"};
	const struct wv_service s = {.name = "s", .command = {.list = command, .n = 1}};
	struct wv_service_start start;

	(void)state;
	assert_int_equal(wv_service_prepare(&start, &s, ""), 0);
	assert_int_equal(wv_service_go(&start), -ENOENT);
	(void)waitpid(start.pid, NULL, 0);
	close(start.pidfd);
}

static int setup(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	char text[128];

	(void)state;
	snprintf(text, sizeof(text), "rm -rf %s", root);
	return system(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(services_order_follows_after_and_survives_a_circle),
		cmocka_unit_test(services_backoff_is_none_then_doubles_to_its_maximum),
		cmocka_unit_test(services_file_is_of_one_boot),
		cmocka_unit_test(services_process_of_another_start_is_not_taken),
		cmocka_unit_test(services_process_runs_nothing_before_it_is_told),
		cmocka_unit_test(services_process_ends_when_its_maker_dies_before_it_is_known),
		cmocka_unit_test(services_program_that_is_missing_is_an_error_at_once),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
