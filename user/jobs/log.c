// SPDX-License-Identifier: GPL-2.0-only
/* The journal of the queue, and a record of each event in the device's log. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/log.h"
#include "user/evidence/event.h"
#include "user/jobs/jobs.h"

#define JOURNAL "journal.jsonl"
/* Begun anew over this, with one line for all before. */
#define JOURNAL_ANEW (1U << 20)
#define JOURNAL_MAX (256U << 20)

uint64_t wv_jobs_now(const struct wv_jobs_worker *w)
{
	return w->io->mono_ns(w->io->ctx) + w->clock_ns;
}

struct wv_jobs_live *wv_jobs_live_of(struct wv_jobs_worker *w, uint64_t id)
{
	for (unsigned i = 0; i < WV_JOBS_MAX; i++)
		if (w->live[i].id == id)
			return &w->live[i];
	return NULL;
}

static struct json_object *read_task(const struct wv_jobs_worker *w, uint64_t id)
{
	_cleanup_free_ char *text = NULL;
	char name[48];

	if (wv_io_read_file(w->io, w->dir, wv_jobs_file(id, "task", name), 2 * WV_JOBS_MESSAGE_MAX,
			    &text, NULL) < 0)
		return NULL;
	return json_tokener_parse(text);
}

static void remove_file(const struct wv_jobs_worker *w, uint64_t id, const char *kind)
{
	char name[48];

	(void)w->io->unlink(w->io->ctx, w->dir, wv_jobs_file(id, kind, name));
}

/* One that is over; the oldest of those that are remembered goes, and with it what it was. */
static void bury(struct wv_jobs_worker *w, const struct wv_job_event *e,
		 const struct wv_job_note *note, const struct wv_job_spec *spec)
{
	struct wv_jobs_past *p = &w->past[w->n_past++ % WV_JOBS_ENDED];
	struct wv_jobs_live *l = wv_jobs_live_of(w, e->id);

	if (p->id)
		remove_file(w, p->id, "task");
	*p = (struct wv_jobs_past){.id = e->id, .type = e->type, .spec = *spec, .note = *note};
	if (l) {
		json_object_put(l->task);
		*l = (struct wv_jobs_live){0};
	}
}

static void forget_start(struct wv_jobs_worker *w, uint64_t id)
{
	static const char *const kinds[] = {"process", "exit", "lock"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		remove_file(w, id, kinds[i]);
}

/* Folds it, and keeps what goes along with the fold. */
static int take(struct wv_jobs_worker *w, const struct wv_job_event *e,
		const struct wv_job_note *note, bool now)
{
	const struct wv_job *j = wv_jobs_find(w->state, e->id);
	struct wv_job_spec spec = j ? j->spec : e->spec;
	struct wv_jobs_live *l;
	int r = wv_jobs_fold(w->state, e);

	if (r < 0)
		return r;
	l = wv_jobs_live_of(w, e->type == WV_JOB_EV_SUBMITTED ? 0 : e->id);
	if (l && e->type == WV_JOB_EV_SUBMITTED)
		*l = (struct wv_jobs_live){.id = e->id, .task = now ? read_task(w, e->id) : NULL};
	else if (l) {
		l->told = 0;
		l->deadline_ns = 0;
	}
	if (!wv_jobs_find(w->state, e->id))
		bury(w, e, note, &spec);
	if (now && (e->type == WV_JOB_EV_PREEMPTED || e->type == WV_JOB_EV_LOST ||
		    !wv_jobs_find(w->state, e->id)))
		forget_start(w, e->id);
	return 0;
}

static void record(struct wv_jobs_worker *w, const struct wv_job_event *e,
		   const struct wv_job_note *note, const struct wv_job_spec *spec)
{
	struct json_object *o = json_object_new_object();
	char devices[WV_TOPO_GPUS * 4] = "";
	struct wv_tlog *log;
	size_t len = 0;
	int r;

	for (unsigned i = 0; i < WV_TOPO_GPUS; i++)
		if (e->type == WV_JOB_EV_STARTED && e->gpus >> i & 1)
			len += (size_t)snprintf(devices + len, sizeof(devices) - len, "%s%u",
						len ? "," : "", i);
	json_object_object_add(o, "job", json_object_new_uint64(e->id));
	json_object_object_add(o, "event", json_object_new_string(wv_job_event_names[e->type]));
	json_object_object_add(o, "user", json_object_new_int64(spec->user));
	json_object_object_add(o, "n_gpus", json_object_new_int64(spec->gpus));
	json_object_object_add(o, "priority", json_object_new_int64(spec->priority));
	if (devices[0])
		json_object_object_add(o, "gpus", json_object_new_string(devices));
	json_object_object_add(o, "status", json_object_new_int(note->exit.status));
	json_object_object_add(o, "signal", json_object_new_int(note->exit.signal));
	r = wv_tlog_open_device(&log, w->io, w->ctx->paths);
	if (r < 0) {
		json_object_put(o);
		(void)wv_log_warn(r, "jobs", "job %llu is not in the log",
				  (unsigned long long)e->id);
		return;
	}
	r = wv_event(log, w->io, w->ctx->run_id, "gpu-job", o, false, NULL);
	if (r < 0)
		(void)wv_log_warn(r, "jobs", "job %llu is not in the log",
				  (unsigned long long)e->id);
	wv_tlog_close(log);
}

/* After a crash it is the old one or the new one, and both say the same. */
static int begin_anew(struct wv_jobs_worker *w)
{
	_cleanup_free_ char *line = wv_jobs_base_line(w->state);
	size_t len = line ? strlen(line) : 0;
	struct wv_lines next;
	uint64_t cut;
	int r;

	if (!len)
		return -ENOMEM;
	line[len] = '\n';
	r = wv_io_replace(w->io, w->dir, JOURNAL, line, len + 1, 0600);
	if (r == 0)
		r = wv_lines_open(&next, w->io, w->dir, JOURNAL, 0600, &cut);
	if (r < 0)
		return r;
	wv_lines_close(&w->journal);
	w->journal = next;
	return 0;
}

static int append(struct wv_jobs_worker *w, const char *line, size_t len)
{
	int r;

	if (w->stale || w->journal.len > JOURNAL_ANEW) {
		/* what is open may not be the journal any more: nothing is said before it is */
		w->stale = true;
		r = begin_anew(w);
		if (r < 0)
			return r;
		w->stale = false;
	}
	return wv_lines_append(&w->journal, line, len, true);
}

int wv_jobs_note(struct wv_jobs_worker *w, struct wv_job_event *e, const struct wv_job_note *given)
{
	const struct wv_job *j = wv_jobs_find(w->state, e->id);
	struct wv_job_spec spec = j ? j->spec : e->spec;
	struct wv_job_note note = given ? *given : (struct wv_job_note){0};
	_cleanup_free_ char *line = NULL;
	size_t len;
	int r;

	e->clock_ns = wv_jobs_now(w);
	if (e->clock_ns < w->state->clock_ns)
		e->clock_ns = w->state->clock_ns;
	note.wall_ns = w->io->wall_ns(w->io->ctx);
	*w->scratch = *w->state;
	r = wv_jobs_fold(w->scratch, e); /* what does not fit is not written */
	if (r < 0)
		return r;
	line = wv_job_event_line(e, &note);
	len = line ? strlen(line) : 0;
	if (!len)
		return -ENOMEM;
	line[len] = '\n'; /* in the place of the NUL */
	r = append(w, line, len + 1);
	if (r < 0)
		return wv_log_errno(r, "jobs", "the journal cannot be written");
	r = take(w, e, &note, true);
	record(w, e, &note, &spec);
	return r;
}

/* The jobs of a base are those that there are. */
static void take_over(struct wv_jobs_worker *w)
{
	memset(w->live, 0, sizeof(w->live));
	for (unsigned i = 0; i < WV_JOBS_MAX; i++)
		w->live[i].id = w->state->job[i].id;
}

/* Lines that do not fit are told and passed over: what follows them is as true as before. */
static void replay(struct wv_jobs_worker *w, char *text)
{
	unsigned bad = 0;
	char *next;

	for (char *line = text; line && *line; line = next) {
		struct wv_job_event e;
		struct wv_job_note note;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (wv_job_event_parse(line, &e, &note) == 0 && take(w, &e, &note, false) == 0)
			continue;
		if (wv_jobs_base_parse(line, w->state) < 0)
			bad++;
		else
			take_over(w);
	}
	if (bad)
		(void)wv_log_warn(0, "jobs", "%u lines of the journal do not fit: passed over",
				  bad);
}

/* Files of jobs that nobody remembers: a crash came before they were removed. */
struct sweep {
	const struct wv_jobs_worker *w;
	unsigned n;
	char name[128][48];
};

static bool remembered(const struct wv_jobs_worker *w, uint64_t id)
{
	for (unsigned i = 0; i < WV_JOBS_ENDED; i++)
		if (w->past[i].id == id)
			return true;
	return wv_jobs_find(w->state, id) != NULL;
}

static int sweep_name(void *userdata, const char *name)
{
	struct sweep *s = userdata;
	char *end;
	uint64_t id = strtoull(name, &end, 10);

	if (end == name || *end != '.' || strlen(name) >= sizeof(s->name[0]) ||
	    (remembered(s->w, id) && (wv_jobs_find(s->w->state, id) || strcmp(end, ".task") == 0)))
		return 0;
	strcpy(s->name[s->n++], name);
	return s->n == ARRAY_SIZE(s->name); /* the rest next time */
}

static void sweep(struct wv_jobs_worker *w)
{
	_cleanup_free_ struct sweep *s = calloc(1, sizeof(*s));

	if (!s)
		return;
	s->w = w;
	(void)w->io->list(w->io->ctx, w->dir, sweep_name, s);
	for (unsigned i = 0; i < s->n; i++)
		(void)w->io->unlink(w->io->ctx, w->dir, s->name[i]);
}

int wv_jobs_recall(struct wv_jobs_worker *w, const char *folder)
{
	_cleanup_free_ char *text = NULL;
	uint64_t cut = 0, wall = w->io->wall_ns(w->io->ctx), mono = w->io->mono_ns(w->io->ctx);
	int r = wv_io_mkdirs(w->io, folder, 0700);

	if (r < 0)
		return r;
	w->dir = w->io->open(w->io->ctx, AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (w->dir < 0)
		return w->dir;
	r = wv_lines_open(&w->journal, w->io, w->dir, JOURNAL, 0600, &cut);
	if (r == 0)
		r = wv_io_sync_dir(w->io, w->dir);
	if (r == 0)
		r = wv_io_read_file(w->io, w->dir, JOURNAL, JOURNAL_MAX, &text, NULL);
	if (r < 0)
		return r;
	if (cut)
		(void)wv_log_warn(0, "jobs", "%llu bytes of a torn line are cut off the journal",
				  (unsigned long long)cut);
	replay(w, text);
	sweep(w);
	for (unsigned i = 0; i < WV_JOBS_MAX; i++)
		if (w->live[i].id)
			w->live[i].task = read_task(w, w->live[i].id);
	/* goes on where it stood, also where the wall's clock was set back; from here it follows
	 * the monotonic one, whatever is done to the wall's */
	if (wall < w->state->clock_ns)
		wall = w->state->clock_ns;
	w->clock_ns = wall - mono;
	return 0;
}
