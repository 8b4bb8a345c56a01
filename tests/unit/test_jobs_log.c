// SPDX-License-Identifier: GPL-2.0-only
/* The journal of jobs under every failure and crash of every call: what was acknowledged is there
 * afterwards, and nothing but what was said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/faulty_io.h"
#include "user/core/log.h"
#include "user/jobs/jobs.h"

static const struct {
	uint32_t type;
	uint64_t id, gpus;
	bool anew; /* the journal is begun anew with it */
} story[] = {
	{WV_JOB_EV_SUBMITTED, 1, 0, false}, {WV_JOB_EV_SUBMITTED, 2, 0, false},
	{WV_JOB_EV_STARTED, 1, 1, false},   {WV_JOB_EV_STARTED, 2, 2, true},
	{WV_JOB_EV_PREEMPTING, 2, 0, true}, {WV_JOB_EV_PREEMPTED, 2, 0, false},
	{WV_JOB_EV_ENDED, 1, 0, true},	    {WV_JOB_EV_CANCELLED, 2, 0, false},
};
#define STORY (sizeof(story) / sizeof(*story))

static struct wv_paths nowhere; /* the device's log has tests of its own */
static struct wv_worker_context context = {.paths = &nowhere, .run_id = ""};

static void begin(struct wv_jobs_worker *w, const struct wv_io *io)
{
	*w = (struct wv_jobs_worker){.ctx = &context, .io = io, .dir = -1, .socket = -1};
	w->journal.fd = -1;
	w->state = calloc(1, sizeof(*w->state));
	w->scratch = calloc(1, sizeof(*w->scratch));
	assert_non_null(w->state);
	assert_non_null(w->scratch);
	wv_jobs_init(w->state, 0);
}

static void end(struct wv_jobs_worker *w)
{
	wv_lines_close(&w->journal);
	if (w->dir >= 0)
		close(w->dir);
	free(w->state);
	free(w->scratch);
}

/* As far as it goes; how many events were acknowledged. */
static unsigned tell_story(struct wv_jobs_worker *w, const char *folder)
{
	if (wv_jobs_recall(w, folder) < 0)
		return 0;
	for (unsigned i = 0; i < STORY; i++) {
		struct wv_job_event e = {.type = story[i].type,
					 .id = story[i].id,
					 .gpus = story[i].gpus,
					 .flag = story[i].type == WV_JOB_EV_PREEMPTED,
					 .spec = {.gpus = 1, .user = 9}};

		w->stale = w->stale || story[i].anew;
		/* the worker tries again by its next turn */
		if (wv_jobs_note(w, &e, NULL) < 0 && wv_jobs_note(w, &e, NULL) < 0)
			return i;
	}
	return STORY;
}

/* What is known after n events, times left out. */
static void print(const struct wv_jobs *s, char buf[128])
{
	int len = snprintf(buf, 128, "%d", (int)s->next_id);

	for (uint64_t id = 1; id <= 2; id++) {
		const struct wv_job *j = wv_jobs_find(s, id);

		len += snprintf(buf + len, 128 - (size_t)len, " %u/%d/%u", j ? j->state : 0,
				j ? (int)j->gpus : 0, j ? j->preemptions : 0);
	}
}

static void after(unsigned n, char buf[128])
{
	struct wv_jobs *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	wv_jobs_init(s, 0);
	for (unsigned i = 0; i < n; i++) {
		struct wv_job_event e = {.type = story[i].type,
					 .id = story[i].id,
					 .gpus = story[i].gpus,
					 .clock_ns = 1 + i,
					 .flag = story[i].type == WV_JOB_EV_PREEMPTED,
					 .spec = {.gpus = 1, .user = 9}};

		assert_int_equal(wv_jobs_fold(s, &e), 0);
	}
	print(s, buf);
	free(s);
}

/* Whether the fault struck at all. */
static bool try(enum mode mode, unsigned at)
{
	char journal[96], got[128], want[128], more[128];
	struct wv_jobs_worker w;
	unsigned told, calls;

	make_base();
	snprintf(journal, sizeof(journal), "%s/jobs", base);
	fault = (struct fault){.mode = mode, .error = ENOSPC, .at = at, .span = 1};
	begin(&w, &faulty);
	told = tell_story(&w, journal);
	calls = fault.calls;
	end(&w);
	fault = (struct fault){.mode = NONE};
	begin(&w, &wv_io_system);
	assert_int_equal(wv_jobs_recall(&w, journal), 0);
	print(w.state, got);
	if (calls <= at)
		assert_int_equal(told, STORY);
	after(told, want);
	after(told < STORY ? told + 1 : told, more);
	if (strcmp(got, want) != 0 && strcmp(got, more) != 0)
		fail_msg("mode %d, call %u: told %u: %s, neither %s nor %s", mode, at, told, got,
			 want, more);
	/* and it goes on from there */
	for (uint64_t id = 1; id <= 2; id++)
		assert_true(!wv_jobs_find(w.state, id) || wv_jobs_live_of(&w, id));
	end(&w);
	remove_base();
	return calls > at;
}

static void each_call(enum mode mode)
{
	unsigned at = 0;

	while (try(mode, at))
		at++;
	assert_true(at > 40);
}

static void journal_has_what_was_acknowledged_when_a_call_fails(void **state _unused_)
{
	each_call(FAIL);
}

static void journal_has_what_was_acknowledged_when_a_write_is_torn(void **state _unused_)
{
	each_call(TORN);
}

static void journal_has_what_was_acknowledged_after_a_crash(void **state _unused_)
{
	each_call(CRASH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(journal_has_what_was_acknowledged_when_a_call_fails),
		cmocka_unit_test(journal_has_what_was_acknowledged_when_a_write_is_torn),
		cmocka_unit_test(journal_has_what_was_acknowledged_after_a_crash),
	};

	wv_log_init(WV_LOG_TEXT, LOG_CRIT);
	(void)wv_paths_init(&nowhere, "/dev/null");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
