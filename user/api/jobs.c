// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs: processes that read files for an answer, or run a verb of the agent. What they read or are
 * given may make them slow or crash; the worker's loop goes on. Verbs are started with a fixed list
 * of arguments and no shell.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "user/api/api.h"
#include "user/cmd/cmd.h"
#include "user/cmd/guard.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/export/sandbox.h"
#include "user/export/text.h"

#define TEXT_MAX (256U << 10) /* of what a verb prints, in its answer */
#define NICE 5

struct wv_api_job {
	struct wv_api *a;
	size_t at;
	pid_t pid;
	int out, err;
	uint64_t begun_ns, record_seq;
	bool late;
	struct wv_api_ask ask;
	struct wv_api_verb verb;
	sd_event_source *child, *deadline;
};

static void json_release(struct json_object **o)
{
	json_object_put(*o);
}

static void free_job(struct wv_api_job *j)
{
	j->a->jobs[j->at] = NULL;
	sd_event_source_disable_unref(j->child);
	sd_event_source_disable_unref(j->deadline);
	wv_closep(&j->out);
	wv_closep(&j->err);
	wv_closep(&j->ask.body);
	if (j->verb.product[0])
		(void)unlink(j->verb.product);
	free(j);
}

/* The answer ---------------------------------------------------------------------------------- */

static uint64_t length_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

/* What a verb printed, as text for JSON: lines stay, what is no UTF-8 becomes '?'. */
static struct json_object *printed(int fd)
{
	_cleanup_free_ char *text = calloc(1, TEXT_MAX + 1);
	struct wv_text t = {.max = 2 * TEXT_MAX};
	struct json_object *s;
	ssize_t n = text ? pread(fd, text, TEXT_MAX, 0) : 0;

	for (ssize_t i = 0; i < n;) {
		size_t len = wv_utf8_sequence(text + i);

		if (text[i] == '\n' || text[i] == '\t')
			len = 1;
		wv_text_add(&t, len ? text + i : "?", len ?: 1);
		i += (ssize_t)(len ?: 1);
	}
	s = json_object_new_string_len(t.data ?: "", (int)t.len);
	wv_text_done(&t);
	return s;
}

static unsigned status_of_exit(int code)
{
	static const unsigned statuses[] = {
		[WV_EXIT_OK] = 200,	     [WV_EXIT_FINDING] = 422, [WV_EXIT_USAGE] = 400,
		[WV_EXIT_UNSUPPORTED] = 422, [WV_EXIT_DENIED] = 403,  [WV_EXIT_INTERNAL] = 500,
	};

	return code >= 0 && (size_t)code < ARRAY_SIZE(statuses) ? statuses[code] : 500;
}

static const char *code_of_status(unsigned status)
{
	return status == 403			? "denied"
	       : status == 404			? "not-found"
	       : status == 503 || status == 504 ? "busy"
	       : status >= 400 && status < 500	? "bad-request"
						: "internal";
}

static void add_error(struct json_object *o, unsigned status, struct json_object *err)
{
	struct json_object *error = json_object_new_object();
	const char *text = json_object_get_string(err);
	size_t line = strcspn(text, "\n");

	json_object_object_add(error, "code", json_object_new_string(code_of_status(status)));
	json_object_object_add(
		error, "message",
		json_object_new_string_len(line ? text : "it failed", line ? (int)line : 9));
	json_object_object_add(o, "error", error);
}

static void answer_printed(struct wv_api_job *j, unsigned status, int code)
{
	_cleanup_(json_release) struct json_object *o = json_object_new_object();
	struct json_object *err = printed(j->err);
	const char *text;
	size_t len;

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	json_object_object_add(o, "exit_code", json_object_new_int(code));
	json_object_object_add(o, "stdout", printed(j->out));
	if (status >= 400)
		add_error(o, status, err);
	json_object_object_add(o, "stderr", err);
	text = json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &len);
	wv_api_reply(j->a, j->ask.id, status, WV_API_JSON, text, len);
}

/* A file's bytes as the answer; copied where it is not a memory file of ours. */
static int answer_file(struct wv_api_job *j, unsigned status, enum wv_api_type type, int fd)
{
	uint64_t len = length_of(fd);
	char *map;

	if (len > WV_API_DOWNLOAD_MAX)
		return -EFBIG;
	if (!len) {
		wv_api_reply(j->a, j->ask.id, status, type, "", 0);
		return 0;
	}
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	wv_api_reply(j->a, j->ask.id, status, type, map, len);
	(void)munmap(map, len);
	return 0;
}

static int answer_product(struct wv_api_job *j)
{
	_cleanup_close_ int fd = open(j->verb.product, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : answer_file(j, 200, j->verb.type, fd);
}

/* A reader's exit status stands for the HTTP status, which does not fit into it. */
static const unsigned statuses[] = {200, 400, 404, 500, 503, 403};

static unsigned answer(struct wv_api_job *j, const siginfo_t *si)
{
	int code = si->si_code == CLD_EXITED ? si->si_status : -1;
	bool verb = wv_api_is_verb(j->ask.route);
	unsigned status;
	int r = 0;

	if (code < 0) {
		status = j->late ? 504 : 500;
		wv_api_reply_error(j->a, j->ask.id, status, j->late ? "busy" : "internal", 0,
				   j->late ? "it took too long and was ended"
					   : "it ended without an answer");
		return status;
	}
	status = verb				    ? status_of_exit(code)
		 : code < (int)ARRAY_SIZE(statuses) ? statuses[code]
						    : 500;
	if (verb && (j->verb.raw ? code != WV_EXIT_OK && code != WV_EXIT_FINDING
				 : !j->verb.product[0] || code != WV_EXIT_OK))
		answer_printed(j, status, code);
	else if (verb && j->verb.product[0] && code == WV_EXIT_OK)
		r = answer_product(j);
	else if (verb && code == WV_EXIT_FINDING && !length_of(j->out))
		answer_printed(j, status = 404, code);
	else
		r = answer_file(j, verb ? (status = 200) : status,
				verb ? j->verb.type : WV_API_JSON, j->out);
	if (r < 0)
		wv_api_reply_error(j->a, j->ask.id, status = 500, "internal", 0, "the answer: %s",
				   strerror(-r));
	return status;
}

static int on_child(sd_event_source *s _unused_, const siginfo_t *si, void *userdata)
{
	struct wv_api_job *j = userdata;
	struct wv_api *a = j->a;
	unsigned status = answer(j, si);

	if (j->record_seq)
		wv_audit_outcome(&a->audit, &j->ask.who, wv_api_routes[j->ask.route].permission,
				 j->record_seq, si->si_code == CLD_EXITED ? si->si_status : -1,
				 status, a->io->mono_ns(a->io->ctx) - j->begun_ns);
	free_job(j);
	return 0;
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct wv_api_job *j = userdata;

	/* a second time, if the first word was not enough */
	(void)kill(j->pid, j->late ? SIGKILL : SIGTERM);
	j->late = true;
	(void)sd_event_source_set_time(s, usec + 2000000);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

/* The process --------------------------------------------------------------------------------- */

static _Noreturn void run_reader(struct wv_api_job *j)
{
	FILE *out = fdopen(j->out, "w");
	int status = 500;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!out)
		_exit(3);
	switch (j->ask.route) {
	case WV_API_EVENTS:
		status = wv_api_events(j->a, &j->ask, out);
		break;
	case WV_API_POLICY:
		status = wv_api_policy(j->a, &j->ask, out);
		break;
	case WV_API_RUNS:
		status = wv_api_runs(j->a, &j->ask, out);
		break;
	case WV_API_HISTORY:
		status = wv_api_history(j->a, &j->ask, out);
		break;
	default:
		break;
	}
	if (status < 0) {
		rewind(out);
		if (ftruncate(j->out, 0) == 0)
			status = wv_api_fail(out, 500, "internal", strerror(-status));
	}
	if (fflush(out) != 0 || ferror(out))
		_exit(3);
	for (int i = 0; i < (int)ARRAY_SIZE(statuses); i++)
		if (statuses[i] == (unsigned)status)
			_exit(i);
	_exit(3);
}

/* A proof has the record in it: that of a record of access is for who may read those. */
static bool is_hidden(const struct wv_api_job *j)
{
	struct wv_tlog_reader *reader;
	const char *line, *type;
	bool hidden = false;
	uint64_t seq;
	size_t len, n;

	if (j->ask.route != WV_API_PROOF || wv_access_allows(j->ask.who.roles, WV_MAY_READ_AUDIT) ||
	    wv_tlog_read_open(&reader, j->a->io, j->a->paths->state, j->ask.number) < 0)
		return false;
	if (wv_tlog_read(reader, &seq, &line, &len) == 1 && seq == j->ask.number)
		hidden = wv_record_member(line, len, "type", &type, &n) < 0 || n < 2 ||
			 wv_access_is_audit(type + 1, n - 2);
	wv_tlog_read_close(reader);
	return hidden;
}

static _Noreturn void run_verb(struct wv_api_job *j)
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C.UTF-8",
		    color[] = "NO_COLOR=1", recorded[] = WV_GUARD_ENVIRONMENT "=1";
	char *const environment[] = {path, locale, color, recorded, NULL};
	int in = j->ask.body >= 0 ? j->ask.body : open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (is_hidden(j)) {
		dprintf(j->err, "a record of access: read-audit is needed to see it\n");
		_exit(WV_EXIT_DENIED);
	}
	if (in < 0 || lseek(in, 0, SEEK_SET) < 0 || dup2(in, STDIN_FILENO) < 0 ||
	    dup2(j->out, STDOUT_FILENO) < 0 || dup2(j->err, STDERR_FILENO) < 0 ||
	    wv_sandbox_close_fds(NULL, 0) < 0)
		_exit(WV_EXIT_INTERNAL);
	(void)execve("/proc/self/exe", (char *const *)(uintptr_t)j->verb.argv, environment);
	_exit(WV_EXIT_INTERNAL);
}

static _Noreturn void run(struct wv_api_job *j)
{
	sigset_t none;

	/* signals that the loop took over are the default's again */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)setpriority(PRIO_PROCESS, 0, NICE);
	if (wv_api_is_verb(j->ask.route))
		run_verb(j);
	run_reader(j);
}

static bool changes(enum wv_api_route route)
{
	return wv_permissions[wv_api_routes[route].permission].each;
}

/* A free place; things that change something are done one after the other. -EBUSY. */
static int place(const struct wv_api *a, enum wv_api_route route)
{
	int at = -EBUSY;

	for (int i = 0; i < WV_API_JOBS; i++) {
		if (!a->jobs[i])
			at = i;
		else if (changes(route) && changes(a->jobs[i]->ask.route))
			return -EBUSY;
	}
	return at;
}

static int launch(struct wv_api_job *j)
{
	struct wv_api *a = j->a;
	uint64_t us = wv_api_routes[j->ask.route].seconds * 1000000ULL;
	int r;

	j->out = wv_api_body_open();
	j->err = wv_api_body_open();
	if (j->out < 0 || j->err < 0)
		return j->out < 0 ? j->out : j->err;
	j->begun_ns = a->io->mono_ns(a->io->ctx);
	j->pid = fork();
	if (j->pid < 0)
		return -errno;
	if (j->pid == 0)
		run(j);
	/* a little less than the client waits, so that it is told */
	r = sd_event_add_time_relative(a->loop, &j->deadline, CLOCK_MONOTONIC, us - us / 10, 10000,
				       on_deadline, j);
	if (r >= 0)
		r = sd_event_add_child(a->loop, &j->child, j->pid, WEXITED, on_child, j);
	if (r < 0) {
		(void)kill(j->pid, SIGKILL);
		(void)waitpid(j->pid, NULL, 0);
	}
	return r < 0 ? r : 0;
}

int wv_api_job_start(struct wv_api *a, const struct wv_api_ask *ask, uint64_t record_seq)
{
	struct wv_api_job *j;
	const char *why = "";
	int r = place(a, ask->route);

	if (r < 0)
		return r;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->a = a;
	j->at = (size_t)r;
	j->out = j->err = -1;
	j->ask = *ask;
	j->record_seq = record_seq;
	j->ask.body = ask->body < 0 ? -1 : fcntl(ask->body, F_DUPFD_CLOEXEC, 3);
	a->jobs[j->at] = j;
	r = ask->body >= 0 && j->ask.body < 0 ? -errno : 0;
	if (r == 0 && wv_api_is_verb(ask->route) &&
	    wv_api_verb_of(a, &j->ask, &j->verb, &why) < 0) {
		wv_api_reply_error(a, ask->id, 400, "bad-request", 0, "%s", why);
		if (record_seq)
			wv_audit_outcome(&a->audit, &ask->who, wv_api_routes[ask->route].permission,
					 record_seq, WV_EXIT_USAGE, 400, 0);
		free_job(j);
		return 0;
	}
	if (r == 0)
		r = launch(j);
	if (r < 0)
		free_job(j);
	return r;
}

/* At the end of the worker. A verb that changes something goes on to its end. */
void wv_api_jobs_end(struct wv_api *a)
{
	for (size_t i = 0; i < WV_API_JOBS; i++)
		if (a->jobs[i]) {
			if (!changes(a->jobs[i]->ask.route))
				(void)kill(a->jobs[i]->pid, SIGKILL);
			free_job(a->jobs[i]);
		}
}
