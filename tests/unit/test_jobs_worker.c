// SPDX-License-Identifier: GPL-2.0-only
/* The pure parts of the worker of jobs: lines of the journal, requests, ends, lists of CPUs; and an
 * affinity where there are no cgroups. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/jobs/jobs.h"

static const struct wv_job_spec spec = {.estimate_ns = 1ULL << 62,
					.restart_ns = 7,
					.user = 4294967294U,
					.gpus = 64,
					.priority = -100,
					.preemptible = 1};

static void line_of_each_event_is_read_as_written(void **state)
{
	(void)state;
	for (uint32_t t = 0; t < WV_JOB_EVENT_N; t++) {
		struct wv_job_event e = {.clock_ns = UINT64_MAX, .id = 1 + t, .type = t, .flag = 1};
		struct wv_job_note n = {.exit = {.status = -1, .signal = 9, .why = "a \"b\"\n"},
					.by = 1000,
					.wall_ns = 5};
		struct wv_job_event e2;
		struct wv_job_note n2;
		char *line;

		memset(&e2, 0xff, sizeof(e2));
		if (t == WV_JOB_EV_SUBMITTED)
			e.spec = spec;
		if (t == WV_JOB_EV_STARTED)
			e.gpus = UINT64_MAX;
		line = wv_job_event_line(&e, &n);
		assert_non_null(line);
		assert_null(strchr(line, '\n')); /* one line is one event */
		assert_int_equal(wv_job_event_parse(line, &e2, &n2), 0);
		assert_memory_equal(&e, &e2, sizeof(e));
		assert_int_equal(n2.exit.status, -1);
		assert_int_equal(n2.exit.signal, 9);
		assert_string_equal(n2.exit.why, n.exit.why);
		assert_int_equal(n2.by, 1000);
		assert_int_equal(n2.wall_ns, 5);
		free(line);
	}
}

static void line_that_is_none_is_refused(void **state)
{
	static const char *const lines[] = {"",
					    "null",
					    "[]",
					    "{",
					    "{\"event\":\"started\"}",
					    "{\"event\":\"nothing\",\"id\":1,\"clock_ns\":1}",
					    "{\"event\":\"ended\",\"id\":0,\"clock_ns\":1}",
					    "{\"event\":\"ended\",\"id\":\"1\",\"clock_ns\":1}",
					    "{\"event\":7,\"id\":1,\"clock_ns\":1}"};
	struct wv_job_event e = {.id = 77};
	struct wv_job_note n;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		assert_int_equal(wv_job_event_parse(lines[i], &e, &n), -EBADMSG);
		assert_int_equal(e.id, 77);
	}
}

static int take(const char *text, struct json_object **ret, char why[160])
{
	struct json_object *o = json_tokener_parse(text);
	int r;

	assert_non_null(o);
	why[0] = '\0';
	r = wv_job_task_take(o, ret, why);
	json_object_put(o);
	return r;
}

static void task_of_a_client_has_only_what_was_looked_at(void **state)
{
	struct json_object *o;
	char why[160];

	(void)state;
	assert_int_equal(take("{\"argv\":[\"a\",\"\"],\"env\":[\"A=b\"],\"cwd\":\"/\","
			      "\"uid\":0,\"gid\":0,\"groups\":[0],\"umask\":2559}",
			      &o, why),
			 0);
	assert_int_equal(wv_job_number(o, "uid", -1), -1); /* who it is does not come from there */
	assert_int_equal(wv_job_number(o, "gid", -1), -1);
	assert_false(json_object_object_get_ex(o, "groups", NULL));
	assert_int_equal(wv_job_number(o, "umask", -1), 0777);
	assert_string_equal(wv_job_text(o, "cwd"), "/");
	json_object_put(o);
}

static void task_that_cannot_be_run_is_refused(void **state)
{
	static const char *const tasks[] = {
		"{\"env\":[],\"cwd\":\"/\"}",
		"{\"argv\":[],\"env\":[],\"cwd\":\"/\"}",
		"{\"argv\":[\"\"],\"env\":[],\"cwd\":\"/\"}",
		"{\"argv\":[1],\"env\":[],\"cwd\":\"/\"}",
		"{\"argv\":[\"a\\u0000b\"],\"env\":[],\"cwd\":\"/\"}",
		"{\"argv\":\"a\",\"env\":[],\"cwd\":\"/\"}",
		"{\"argv\":[\"a\"],\"cwd\":\"/\"}",
		"{\"argv\":[\"a\"],\"env\":[]}",
		"{\"argv\":[\"a\"],\"env\":[],\"cwd\":\"here\"}",
		"{\"argv\":[\"a\"],\"env\":[],\"cwd\":\"/\",\"output\":\"x\"}",
		"{\"argv\":[\"a\"],\"env\":[],\"cwd\":\"/\",\"checkpoint_dir\":\"x\"}",
		"{\"argv\":[\"a\"],\"env\":[],\"cwd\":\"/\",\"output\":\"/\\u001b[2J\"}",
		"{\"argv\":[\"a\"],\"env\":[],\"cwd\":\"/\",\"name\":\"\\u001b[2J\"}",
	};
	char why[160];

	(void)state;
	for (size_t i = 0; i < sizeof(tasks) / sizeof(*tasks); i++) {
		struct json_object *o = NULL;

		assert_int_equal(take(tasks[i], &o, why), -EINVAL);
		assert_null(o);
		assert_true(why[0]);
	}
}

static int spec_of(const char *text, uint32_t user, struct wv_job_spec *ret)
{
	struct json_object *o = json_tokener_parse(text);
	char why[160] = "";
	int r = wv_job_spec_take(o, user, ret, why);

	json_object_put(o);
	assert_int_equal(r < 0, why[0] != '\0');
	return r;
}

static void spec_is_within_bounds_and_of_who_asks(void **state)
{
	struct wv_job_spec s;

	(void)state;
	assert_int_equal(
		spec_of("{\"gpus\":64,\"priority\":-100,\"user\":0,\"estimate_ns\":5}", 7, &s), 0);
	assert_int_equal(s.user, 7);
	assert_int_equal(s.gpus, 64);
	assert_int_equal(s.priority, -100);
	assert_int_equal(s.estimate_ns, 5);
	assert_int_equal(s.preemptible, 0);
	assert_int_equal(spec_of("{\"checkpoint_dir\":\"/x\"}", 7, &s), 0);
	assert_int_equal(s.gpus, 1);
	assert_int_equal(s.preemptible, 1); /* it can go on */
	assert_int_equal(spec_of("{\"gpus\":0}", 7, &s), -EINVAL);
	assert_int_equal(spec_of("{\"gpus\":65}", 7, &s), -EINVAL);
	assert_int_equal(spec_of("{\"gpus\":4294967297}", 7, &s), -EINVAL);
	assert_int_equal(spec_of("{\"priority\":101}", 0, &s), -EINVAL);
	assert_int_equal(spec_of("{\"estimate_ns\":-1}", 7, &s), -EINVAL);
	assert_int_equal(spec_of("{\"priority\":1}", 7, &s), -EPERM);
	assert_int_equal(spec_of("{\"priority\":1}", 0, &s), 0);
}

static void verdict_follows_state_and_end(void **state)
{
	static const struct {
		uint32_t state;
		int status, signal;
		uint32_t type, flag;
	} rows[] = {
		{WV_JOB_RUNNING, 0, 0, WV_JOB_EV_ENDED, 0},
		{WV_JOB_RUNNING, 1, 0, WV_JOB_EV_ENDED, 0},
		{WV_JOB_RUNNING, 75, 0, WV_JOB_EV_ENDED, 0}, /* nobody asked it to */
		{WV_JOB_RUNNING, -1, 9, WV_JOB_EV_ENDED, 0},
		{WV_JOB_PREEMPTING, 75, 0, WV_JOB_EV_PREEMPTED, 1},
		{WV_JOB_PREEMPTING, 0, 0, WV_JOB_EV_ENDED, 0}, /* it was done just then */
		{WV_JOB_PREEMPTING, 1, 0, WV_JOB_EV_PREEMPTED, 0},
		{WV_JOB_PREEMPTING, -1, 10, WV_JOB_EV_PREEMPTED, 0},
		{WV_JOB_CANCELLING, 0, 0, WV_JOB_EV_CANCELLED, 0},
		{WV_JOB_CANCELLING, 75, 0, WV_JOB_EV_CANCELLED, 0},
		{WV_JOB_CANCELLING, -1, 9, WV_JOB_EV_CANCELLED, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct wv_job j = {.id = 3, .state = rows[i].state};
		const struct wv_job_exit end = {.status = rows[i].status, .signal = rows[i].signal};
		struct wv_job_event e;

		wv_job_verdict(&j, &end, &e);
		assert_int_equal(e.id, 3);
		assert_int_equal(e.type, rows[i].type);
		assert_int_equal(e.flag, rows[i].flag);
	}
}

static void cpus_are_read_and_printed(void **state)
{
	static const char *const bad[] = {"a",	 "1-",	  "-1", "3-1", "1,,2",
					  "1;2", "99999", "+1", "1 2"};
	cpu_set_t set;
	char buf[64];

	(void)state;
	assert_int_equal(wv_cpus_parse("0-2,5,7-8\n", &set), 0);
	assert_int_equal(CPU_COUNT(&set), 6);
	assert_int_equal(wv_cpus_print(&set, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "0-2,5,7-8");
	assert_int_equal(wv_cpus_print(&set, buf, 6), -ENOBUFS);
	assert_int_equal(wv_cpus_parse("", &set), 0);
	assert_int_equal(CPU_COUNT(&set), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(wv_cpus_parse(bad[i], &set), -EINVAL);
}

static void pin_without_cgroups_is_an_affinity(void **state)
{
	static struct wv_host host; /* has no cgroup file system */
	struct wv_pin pin;
	cpu_set_t have, got;
	char cpus[16];
	int go[2], first = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(have), &have), 0);
	while (!CPU_ISSET(first, &have))
		first++;
	snprintf(cpus, sizeof(cpus), "%d", first);
	wv_pin_make(&host, "job-test", cpus, &pin);
	assert_string_equal(pin.how, "affinity");
	assert_string_equal(pin.cpus, cpus);
	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		char byte;

		close(go[1]);
		_exit(read(go[0], &byte, 1) == 1);
	}
	wv_pin_enter(&pin, pid);
	assert_string_equal(pin.how, "affinity");
	assert_int_equal(sched_getaffinity(pid, sizeof(got), &got), 0);
	assert_int_equal(CPU_COUNT(&got), 1);
	assert_true(CPU_ISSET(first, &got));
	close(go[1]);
	close(go[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void pin_to_cpus_that_are_not_here_is_none(void **state)
{
	static struct wv_host host;
	struct wv_pin pin;

	(void)state;
	wv_pin_make(&host, "job-test", "1023", &pin);
	assert_string_equal(pin.how, "none");
	assert_string_equal(pin.cpus, "");
	wv_pin_make(&host, "job-test", "", &pin);
	assert_string_equal(pin.how, "none");
}

static struct wv_jobs busy; /* one that waits, one that runs, usage of two */

static void fold(uint32_t type, uint64_t id, uint64_t at, uint64_t gpus, uint32_t user, uint32_t n)
{
	const struct wv_job_event e = {.type = type,
				       .id = id,
				       .clock_ns = at,
				       .gpus = gpus,
				       .spec = {.user = user, .gpus = n, .priority = -3}};

	assert_int_equal(wv_jobs_fold(&busy, &e), 0);
}

static void make_busy(void)
{
	wv_jobs_init(&busy, 1000);
	fold(WV_JOB_EV_SUBMITTED, 1, 10, 0, 5, 2);
	fold(WV_JOB_EV_SUBMITTED, 2, 20, 0, 6, 1);
	fold(WV_JOB_EV_SUBMITTED, 3, 20, 0, 6, 3);
	fold(WV_JOB_EV_STARTED, 1, 30, 6, 0, 0);
	fold(WV_JOB_EV_STARTED, 2, 40, 1, 0, 0);
	fold(WV_JOB_EV_ENDED, 2, 777, 0, 0, 0);
}

static void base_is_the_state_that_it_was_made_of(void **state)
{
	struct wv_jobs again;
	struct wv_job_event e = {.type = WV_JOB_EV_ENDED, .id = 1, .clock_ns = 9999};
	unsigned n = 0;
	char *line;

	(void)state;
	make_busy();
	line = wv_jobs_base_line(&busy);
	assert_non_null(line);
	assert_null(strchr(line, '\n'));
	wv_jobs_init(&again, 1000);
	assert_int_equal(wv_jobs_base_parse(line, &again), 0);
	free(line);
	/* places in the lists may be others: what follows is the same */
	assert_int_equal(again.next_id, 4);
	assert_int_equal(again.clock_ns, 777);
	for (uint64_t id = 1; id <= 3; id++) {
		const struct wv_job *a = wv_jobs_find(&busy, id), *b = wv_jobs_find(&again, id);

		assert_int_equal(!a, !b);
		if (a)
			assert_memory_equal(a, b, sizeof(*a));
	}
	assert_int_equal(wv_jobs_fold(&busy, &e), 0);
	assert_int_equal(wv_jobs_fold(&again, &e), 0);
	for (unsigned i = 0; i < WV_JOBS_USERS; i++)
		for (unsigned k = 0; k < WV_JOBS_USERS; k++)
			if (busy.usage[i].used && again.usage[k].used &&
			    busy.usage[i].user == again.usage[k].user) {
				assert_memory_equal(&busy.usage[i].gpu_ns, &again.usage[k].gpu_ns,
						    sizeof(double));
				n++;
			}
	assert_int_equal(n, 2);
}

/* Each number of a base, one after the other, is another one: what is taken keeps the invariants.
 */
static void base_that_cannot_be_true_is_refused(void **state)
{
	static const char *const values[] = {"0",    "-1", "7", "300", "18446744073709551615",
					     "\"x\""};
	unsigned refused = 0;
	char *line, *text;

	(void)state;
	make_busy();
	line = wv_jobs_base_line(&busy);
	text = malloc(2 * strlen(line) + 64);
	assert_non_null(text);
	for (char *colon = strchr(line, ':'); colon; colon = strchr(colon + 1, ':')) {
		size_t digits = strspn(colon + 1, "0123456789");

		for (size_t i = 0; digits && i < sizeof(values) / sizeof(*values); i++) {
			struct wv_jobs s;
			uint64_t used = 0;

			wv_jobs_init(&s, 5);
			sprintf(text, "%.*s%s%s", (int)(colon + 1 - line), line, values[i],
				colon + 1 + digits);
			if (wv_jobs_base_parse(text, &s) < 0) {
				assert_int_equal(s.next_id, 1); /* untouched */
				refused++;
				continue;
			}
			assert_int_equal(s.half_life_ns, 5);
			for (unsigned k = 0; k < WV_JOBS_MAX; k++) {
				assert_false(s.job[k].gpus & used);
				used |= s.job[k].gpus;
				assert_true(s.job[k].state < WV_JOB_STATE_N);
				assert_true(s.job[k].id < s.next_id);
			}
		}
	}
	assert_true(refused > 30);
	wv_jobs_init(&busy, 0);
	assert_int_equal(wv_jobs_base_parse("{}", &busy), -EBADMSG);
	assert_int_equal(wv_jobs_base_parse("", &busy), -EBADMSG);
	free(line);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_of_each_event_is_read_as_written),
		cmocka_unit_test(line_that_is_none_is_refused),
		cmocka_unit_test(base_is_the_state_that_it_was_made_of),
		cmocka_unit_test(base_that_cannot_be_true_is_refused),
		cmocka_unit_test(task_of_a_client_has_only_what_was_looked_at),
		cmocka_unit_test(task_that_cannot_be_run_is_refused),
		cmocka_unit_test(spec_is_within_bounds_and_of_who_asks),
		cmocka_unit_test(verdict_follows_state_and_end),
		cmocka_unit_test(cpus_are_read_and_printed),
		cmocka_unit_test(pin_without_cgroups_is_an_affinity),
		cmocka_unit_test(pin_to_cpus_that_are_not_here_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
