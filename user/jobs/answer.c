// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a user is answered. Everybody sees the queue; what a job runs only its user and root; only
 * they change it. Who asks is what the kernel says, never what the request says.
 */
#include <errno.h>
#include <string.h>

#include "user/cmd/cmd.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/jobs/jobs.h"

static const char *const states[WV_JOB_STATE_N] = {"none",	 "queued",     "running",
						   "preempting", "cancelling", "held"};

struct asker {
	struct wv_jobs_worker *w;
	uint32_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t n_groups;
};

static void add_text(struct json_object *o, const char *name, const char *text)
{
	json_object_object_add(o, name, json_object_new_string(text));
}

static void add(struct json_object *o, const char *name, uint64_t value)
{
	json_object_object_add(o, name, json_object_new_uint64(value));
}

static struct json_object *refuse(int exit_code, const char *why)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "error", why);
	json_object_object_add(o, "exit", json_object_new_int(exit_code));
	return o;
}

static bool may(const struct asker *a, uint32_t user)
{
	return a->uid == 0 || a->uid == user;
}

/* Seeing --------------------------------------------------------------------------------------- */

static void add_task(struct json_object *o, struct json_object *task, bool whole)
{
	static const char *const members[] = {"cwd", "output", "checkpoint_dir"};
	struct json_object *argv;

	add_text(o, "name", wv_job_text(task, "name"));
	add(o, "submitted_wall_ns", (uint64_t)wv_job_number(task, "submitted_wall_ns", 0));
	if (!whole)
		return;
	if (json_object_object_get_ex(task, "argv", &argv))
		json_object_object_add(o, "command", json_object_get(argv));
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		add_text(o, members[i], wv_job_text(task, members[i]));
}

static struct json_object *devices(uint64_t gpus)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < WV_TOPO_GPUS; i++)
		if (gpus >> i & 1)
			json_object_array_add(list, json_object_new_int((int)i));
	return list;
}

static struct json_object *head(uint64_t id, const char *state, const struct wv_job_spec *spec)
{
	struct json_object *o = json_object_new_object();

	add(o, "id", id);
	add_text(o, "state", state);
	add(o, "uid", spec->user);
	add(o, "n_gpus", spec->gpus);
	json_object_object_add(o, "priority", json_object_new_int(spec->priority));
	add(o, "estimate_ns", spec->estimate_ns);
	json_object_object_add(o, "preemptible", json_object_new_boolean(spec->preemptible != 0));
	return o;
}

static struct json_object *describe(const struct asker *a, const struct wv_job *j, bool whole)
{
	struct wv_jobs_worker *w = a->w;
	struct json_object *o = head(j->id, states[j->state], &j->spec);
	struct wv_jobs_live *l = wv_jobs_live_of(w, j->id);
	uint64_t now = wv_jobs_now(w);
	struct wv_job_process p;

	json_object_object_add(o, "gpus", devices(j->gpus));
	add(o, "waiting_ns", j->gpus || now < j->queued_ns ? 0 : now - j->queued_ns);
	add(o, "running_ns", j->gpus && now > j->started_ns ? now - j->started_ns : 0);
	add(o, "done_ns", j->done_ns);
	add(o, "lost_ns", j->lost_ns);
	add(o, "starts", j->starts);
	add(o, "preemptions", j->preemptions);
	if (l && l->task)
		add_task(o, l->task, whole);
	if (whole && j->gpus &&
	    wv_job_process_read(w->dir, j->id, w->ctx->host->boot_id, &p) == 0) {
		add(o, "pid", (uint64_t)p.pid);
		add_text(o, "cgroup", p.cgroup);
		add_text(o, "cpus", p.cpus);
		add_text(o, "pinned_by", p.how);
	}
	return o;
}

static struct json_object *describe_past(const struct wv_jobs_past *p)
{
	struct json_object *o = head(p->id, wv_job_event_names[p->type], &p->spec);

	add(o, "ended_wall_ns", p->note.wall_ns);
	json_object_object_add(o, "status", json_object_new_int(p->note.exit.status));
	json_object_object_add(o, "signal", json_object_new_int(p->note.exit.signal));
	if (p->note.exit.why[0])
		add_text(o, "why", p->note.exit.why);
	return o;
}

static struct json_object *list(const struct asker *a, struct json_object *request)
{
	struct json_object *o = json_object_new_object(), *jobs = json_object_new_array();
	const struct wv_jobs_worker *w = a->w;

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	add(o, "gpus", w->topo->n);
	add(o, "gpus_free", w->topo->n - (unsigned)__builtin_popcountll(wv_jobs_used(w->state)));
	json_object_object_add(o, "jobs", jobs);
	for (unsigned i = 0; i < WV_JOBS_MAX; i++)
		if (w->state->job[i].state != WV_JOB_NONE)
			json_object_array_add(jobs, describe(a, &w->state->job[i], false));
	for (unsigned i = 0; i < WV_JOBS_ENDED; i++)
		if (w->past[i].id && wv_job_number(request, "all", 0))
			json_object_array_add(jobs, describe_past(&w->past[i]));
	return o;
}

static struct json_object *show(const struct asker *a, uint64_t id)
{
	const struct wv_job *j = wv_jobs_find(a->w->state, id);

	if (j)
		return describe(a, j, may(a, j->spec.user));
	for (unsigned i = 0; i < WV_JOBS_ENDED; i++)
		if (a->w->past[i].id == id)
			return describe_past(&a->w->past[i]);
	return refuse(WV_EXIT_USAGE, "there is no such job; see `gpu jobs list --all`");
}

/* Changing ------------------------------------------------------------------------------------- */

static struct json_object *done(uint64_t id, int r)
{
	struct json_object *o;

	if (r == -ENOSPC)
		return refuse(WV_EXIT_FINDING, "the queue or the disk is full");
	if (r < 0)
		return refuse(WV_EXIT_INTERNAL, "it could not be written down");
	o = json_object_new_object();
	add(o, "id", id);
	return o;
}

static void own(const struct asker *a, struct json_object *task)
{
	struct json_object *groups = json_object_new_array();

	add(task, "uid", a->uid);
	add(task, "gid", a->gid);
	for (size_t i = 0; i < a->n_groups; i++)
		json_object_array_add(groups, json_object_new_int64(a->groups[i]));
	json_object_object_add(task, "groups", groups);
	add(task, "submitted_wall_ns", a->w->io->wall_ns(a->w->io->ctx));
}

static unsigned jobs_of(const struct wv_jobs *s, uint32_t user)
{
	unsigned n = 0;

	for (unsigned i = 0; i < WV_JOBS_MAX; i++)
		n += s->job[i].state != WV_JOB_NONE && s->job[i].spec.user == user;
	return n;
}

static struct json_object *submit(const struct asker *a, struct json_object *request)
{
	struct wv_jobs_worker *w = a->w;
	struct wv_job_event e = {.type = WV_JOB_EV_SUBMITTED, .id = w->state->next_id};
	struct json_object *task = NULL;
	const char *text;
	char why[160] = "", name[48];
	int r = wv_job_spec_take(request, a->uid, &e.spec, why);

	r = r ?: wv_job_task_take(request, &task, why);
	if (r < 0)
		return refuse(r == -EPERM ? WV_EXIT_DENIED : WV_EXIT_USAGE, why);
	if (e.spec.gpus > w->topo->n) {
		snprintf(why, sizeof(why), "this machine has %u GPUs, it asks for %u", w->topo->n,
			 e.spec.gpus);
		r = -EINVAL;
	} else if (w->rules.user_gpus && e.spec.gpus > w->rules.user_gpus) {
		snprintf(why, sizeof(why), "a user has at most %u GPUs (gpu.jobs_user_gpus)",
			 w->rules.user_gpus);
		r = -EINVAL;
	} else if (a->uid && jobs_of(w->state, a->uid) >= WV_JOBS_OF_USER) {
		snprintf(why, sizeof(why), "you have %d jobs in the queue; wait, or cancel some",
			 WV_JOBS_OF_USER);
		r = -EINVAL;
	}
	if (r < 0) {
		json_object_put(task);
		return refuse(WV_EXIT_USAGE, why);
	}
	own(a, task);
	/* what it is is there before it is a job; without the event the next one takes its place */
	text = json_object_to_json_string_ext(task, JSON_C_TO_STRING_PLAIN);
	r = wv_io_replace(w->io, w->dir, wv_jobs_file(e.id, "task", name), text, strlen(text),
			  0600);
	json_object_put(task);
	return done(e.id, r ?: wv_jobs_note(w, &e, NULL));
}

static struct json_object *change(const struct asker *a, const char *verb, uint64_t id)
{
	const struct wv_job *j = wv_jobs_find(a->w->state, id);
	struct wv_job_note note = {.by = a->uid};
	struct wv_job_event e = {.id = id};
	const char *no = NULL;

	if (!j)
		return refuse(WV_EXIT_USAGE, "there is no such job that has not ended");
	if (!may(a, j->spec.user))
		return refuse(WV_EXIT_DENIED, "it is another user's job");
	if (strcmp(verb, "preempt") == 0) {
		e.type = WV_JOB_EV_PREEMPTING;
		e.flag = 1;
		if (j->state != WV_JOB_RUNNING)
			no = "it does not run";
		else if (!j->spec.preemptible)
			no = "it has no --checkpoint-dir, so that it cannot go on later; `gpu jobs "
			     "cancel` ends it";
	} else if (strcmp(verb, "resume") == 0) {
		e.type = WV_JOB_EV_RESUMED;
		if (j->state != WV_JOB_HELD)
			no = "it is not held";
	} else {
		e.type = j->gpus ? WV_JOB_EV_CANCELLING : WV_JOB_EV_CANCELLED;
		if (j->state == WV_JOB_CANCELLING)
			no = "it is being cancelled already";
	}
	return no ? refuse(WV_EXIT_FINDING, no) : done(id, wv_jobs_note(a->w, &e, &note));
}

struct json_object *wv_jobs_answer(struct wv_jobs_worker *w, struct json_object *request,
				   const struct ucred *who, const gid_t *groups, size_t n_groups)
{
	const struct asker a = {w, who->uid, who->gid, groups, n_groups};
	const char *verb = wv_job_text(request, "verb");
	int64_t id = wv_job_number(request, "id", 0);

	if (strcmp(verb, "submit") == 0)
		return submit(&a, request);
	if (strcmp(verb, "list") == 0)
		return list(&a, request);
	if (id <= 0)
		return refuse(WV_EXIT_USAGE, "a job is named by its number");
	if (strcmp(verb, "show") == 0)
		return show(&a, (uint64_t)id);
	if (strcmp(verb, "preempt") == 0 || strcmp(verb, "resume") == 0 ||
	    strcmp(verb, "cancel") == 0)
		return change(&a, verb, (uint64_t)id);
	return refuse(WV_EXIT_USAGE, "no such request");
}
