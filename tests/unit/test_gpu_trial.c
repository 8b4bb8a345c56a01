// SPDX-License-Identifier: GPL-2.0-only
/* A trial's process: how it ends, what is kept of it, and that nothing of it stays. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/gpu/trial.h"

static struct wv_trial_end end;

static int run(const char *script, uint64_t timeout_ms, uint64_t memory)
{
	char name[64];
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
	struct wv_trial_options o = {.argv = argv,
				     .env = environ,
				     .name = name,
				     .timeout_ns = timeout_ms * 1000000,
				     .memory_bytes = memory};

	snprintf(name, sizeof(name), "waveos-test-trial-%d", getpid());
	return wv_trial_run(&o, &end);
}

static void trial_ends_with_its_code_and_output(void **state)
{
	_cleanup_free_ char *out = NULL, *err = NULL;

	(void)state;
	assert_int_equal(run("echo to out; echo to err >&2; exit 66", 10000, 0), 0);
	assert_int_equal(end.exit_code, 66);
	assert_false(end.timed_out);
	assert_int_equal(wv_trial_tail_text(&end.out, &out), 7);
	assert_string_equal(out, "to out\n");
	assert_int_equal(wv_trial_tail_text(&end.err, &err), 7);
	wv_trial_end_done(&end);
}

static void trial_flood_keeps_the_newest_bytes(void **state)
{
	_cleanup_free_ char *out = NULL;

	(void)state;
	assert_int_equal(run("seq 1 100000; echo last", 20000, 0), 0);
	assert_int_equal(wv_trial_tail_text(&end.out, &out), WV_TRIAL_TAIL);
	assert_string_equal(out + WV_TRIAL_TAIL - 5, "last\n");
	wv_trial_end_done(&end);
}

static void trial_over_its_time_is_killed_with_its_children(void **state)
{
	_cleanup_free_ char *out = NULL;
	pid_t child;

	(void)state;
	assert_int_equal(run("sleep 100 & echo $!; wait", 300, 0), 0);
	assert_true(end.timed_out);
	assert_true(end.elapsed_ns < 10000000000);
	assert_true(wv_trial_tail_text(&end.out, &out) > 0);
	child = atoi(out);
	wv_trial_end_done(&end);
	/* its parent is dead, so it came to us: gone, or only to be reaped */
	for (int i = 0; i < 100 && kill(child, 0) == 0; i++) {
		(void)waitpid(-1, NULL, WNOHANG);
		usleep(10000);
	}
	assert_int_equal(kill(child, 0), -1);
}

static void trial_of_no_command_is_an_error(void **state)
{
	char *argv[] = {(char *)"/nonexistent", NULL};
	struct wv_trial_options o = {
		.argv = argv, .env = environ, .name = "waveos-test-none", .timeout_ns = 1000000000};

	(void)state;
	assert_int_equal(wv_trial_run(&o, &end), -ENOENT);
}

static void trial_out_of_memory_is_recognised(void **state)
{
	(void)state;
	assert_int_equal(
		run("head -c 300000000 /dev/zero | tail -c 300000000 >/dev/null", 30000, 64 << 20),
		0);
	if (end.held)
		assert_true(end.oom_kills > 0);
	wv_trial_end_done(&end);
	if (!end.held)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trial_ends_with_its_code_and_output),
		cmocka_unit_test(trial_flood_keeps_the_newest_bytes),
		cmocka_unit_test(trial_over_its_time_is_killed_with_its_children),
		cmocka_unit_test(trial_of_no_command_is_an_error),
		cmocka_unit_test(trial_out_of_memory_is_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
