// SPDX-License-Identifier: GPL-2.0-only
/* What is read of lines of the journal and of requests: nothing is believed that was not looked at.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/jobs/jobs.h"

#define WORDS_MAX 4096
#define YEAR_NS (365LL * 86400 * 1000000000)

static void putp(struct json_object **o)
{
	json_object_put(*o);
}

const char *wv_job_text(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_string)
		       ? json_object_get_string(v)
		       : "";
}

int64_t wv_job_number(struct json_object *o, const char *name, int64_t otherwise)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_int)
		       ? json_object_get_int64(v)
		       : otherwise;
}

/* Journal -------------------------------------------------------------------------------------- */

static void add(struct json_object *o, const char *name, uint64_t value)
{
	json_object_object_add(o, name, json_object_new_uint64(value));
}

static void add_spec(struct json_object *o, const struct wv_job_spec *s)
{
	add(o, "user", s->user);
	add(o, "n_gpus", s->gpus);
	json_object_object_add(o, "priority", json_object_new_int(s->priority));
	add(o, "estimate_ns", s->estimate_ns);
	add(o, "restart_ns", s->restart_ns);
	add(o, "preemptible", s->preemptible);
}

char *wv_job_event_line(const struct wv_job_event *e, const struct wv_job_note *note)
{
	_cleanup_(putp) struct json_object *o = json_object_new_object();
	const char *text;

	json_object_object_add(o, "event", json_object_new_string(wv_job_event_names[e->type]));
	add(o, "id", e->id);
	add(o, "clock_ns", e->clock_ns);
	add(o, "wall_ns", note->wall_ns);
	if (e->type == WV_JOB_EV_SUBMITTED)
		add_spec(o, &e->spec);
	if (e->type == WV_JOB_EV_STARTED)
		add(o, "gpus", e->gpus);
	if (e->flag)
		add(o, "flag", e->flag);
	if (note->by)
		add(o, "by", note->by);
	json_object_object_add(o, "status", json_object_new_int(note->exit.status));
	json_object_object_add(o, "signal", json_object_new_int(note->exit.signal));
	if (note->exit.why[0])
		json_object_object_add(o, "why", json_object_new_string(note->exit.why));
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	return text ? strdup(text) : NULL;
}

static uint64_t big(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_int)
		       ? json_object_get_uint64(v)
		       : 0;
}

int wv_job_event_parse(const char *line, struct wv_job_event *ret, struct wv_job_note *ret_note)
{
	_cleanup_(putp) struct json_object *o = json_tokener_parse(line);
	struct wv_job_event e = {.type = WV_JOB_EVENT_N};
	struct wv_job_note n = {0};

	if (!json_object_is_type(o, json_type_object))
		return -EBADMSG;
	for (uint32_t i = 0; i < WV_JOB_EVENT_N; i++)
		if (strcmp(wv_job_text(o, "event"), wv_job_event_names[i]) == 0)
			e.type = i;
	e.id = big(o, "id");
	e.clock_ns = big(o, "clock_ns");
	if (e.type == WV_JOB_EVENT_N || !e.id || !e.clock_ns)
		return -EBADMSG;
	e.gpus = big(o, "gpus");
	e.flag = (uint32_t)big(o, "flag");
	e.spec.user = (uint32_t)big(o, "user");
	e.spec.gpus = (uint32_t)big(o, "n_gpus");
	e.spec.priority = (int32_t)wv_job_number(o, "priority", 0);
	e.spec.estimate_ns = big(o, "estimate_ns");
	e.spec.restart_ns = big(o, "restart_ns");
	e.spec.preemptible = (uint32_t)big(o, "preemptible");
	n.wall_ns = big(o, "wall_ns");
	n.by = (uint32_t)big(o, "by");
	n.exit.status = (int)wv_job_number(o, "status", 0);
	n.exit.signal = (int)wv_job_number(o, "signal", 0);
	snprintf(n.exit.why, sizeof(n.exit.why), "%s", wv_job_text(o, "why"));
	*ret = e;
	*ret_note = n;
	return 0;
}

/* Requests ------------------------------------------------------------------------------------- */

/* A list of texts that a program can be given: none has a NUL in it. */
static int take_words(struct json_object *from, const char *name, struct json_object *to,
		      char why[160])
{
	struct json_object *list, *copy = json_object_new_array();

	json_object_object_add(to, name, copy);
	if (!json_object_object_get_ex(from, name, &list) ||
	    !json_object_is_type(list, json_type_array) ||
	    json_object_array_length(list) > WORDS_MAX) {
		snprintf(why, 160, "%s is no list of at most %d texts", name, WORDS_MAX);
		return -EINVAL;
	}
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *word = json_object_array_get_idx(list, i);

		if (!json_object_is_type(word, json_type_string) ||
		    strlen(json_object_get_string(word)) !=
			    (size_t)json_object_get_string_len(word)) {
			snprintf(why, 160, "%s has something that is no text", name);
			return -EINVAL;
		}
		json_object_array_add(copy, json_object_get(word));
	}
	return 0;
}

/* Names and paths are shown on other users' terminals. */
static bool has_controls(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

static int take_path(struct json_object *from, const char *name, bool must, struct json_object *to,
		     char why[160])
{
	const char *path = wv_job_text(from, name);

	if (path[0] ? path[0] != '/' || strlen(path) >= 4096 || has_controls(path) : must) {
		snprintf(why, 160, "%s is no absolute path that can be shown", name);
		return -EINVAL;
	}
	json_object_object_add(to, name, json_object_new_string(path));
	return 0;
}

static int take_name(struct json_object *from, struct json_object *to, char why[160])
{
	const char *name = wv_job_text(from, "name");

	if (strlen(name) > 63) {
		snprintf(why, 160, "the name has more than 63 bytes");
		return -EINVAL;
	}
	if (has_controls(name)) {
		snprintf(why, 160, "the name has control characters");
		return -EINVAL;
	}
	json_object_object_add(to, "name", json_object_new_string(name));
	return 0;
}

int wv_job_task_take(struct json_object *asked, struct json_object **ret, char why[160])
{
	_cleanup_(putp) struct json_object *o = json_object_new_object();
	struct json_object *argv;
	int r = take_words(asked, "argv", o, why);

	if (r == 0 &&
	    (!json_object_object_get_ex(o, "argv", &argv) || !json_object_array_length(argv) ||
	     !json_object_get_string(json_object_array_get_idx(argv, 0))[0])) {
		snprintf(why, 160, "there is no command");
		r = -EINVAL;
	}
	r = r ?: take_words(asked, "env", o, why);
	r = r ?: take_path(asked, "cwd", true, o, why);
	r = r ?: take_path(asked, "output", false, o, why);
	r = r ?: take_path(asked, "checkpoint_dir", false, o, why);
	r = r ?: take_name(asked, o, why);
	if (r < 0)
		return r;
	json_object_object_add(o, "umask",
			       json_object_new_int64(wv_job_number(asked, "umask", 022) & 0777));
	*ret = TAKE_PTR(o);
	return 0;
}

int wv_job_spec_take(struct json_object *asked, uint32_t user, struct wv_job_spec *ret,
		     char why[160])
{
	int64_t gpus = wv_job_number(asked, "gpus", 1);
	int64_t priority = wv_job_number(asked, "priority", 0);
	int64_t estimate = wv_job_number(asked, "estimate_ns", 0);
	struct wv_job_spec s = {.user = user};

	if (gpus < 1 || gpus > WV_TOPO_GPUS) {
		snprintf(why, 160, "a job has 1 to %d GPUs", WV_TOPO_GPUS);
		return -EINVAL;
	}
	if (priority < -WV_JOBS_PRIORITY_MAX || priority > WV_JOBS_PRIORITY_MAX || estimate < 0 ||
	    estimate > YEAR_NS) {
		snprintf(why, 160, "priority is from -%d to %d, and a time up to a year",
			 WV_JOBS_PRIORITY_MAX, WV_JOBS_PRIORITY_MAX);
		return -EINVAL;
	}
	if (priority > 0 && user != 0) {
		snprintf(why, 160, "only root gives a priority over 0");
		return -EPERM;
	}
	s.gpus = (uint32_t)gpus;
	s.priority = (int32_t)priority;
	s.estimate_ns = (uint64_t)estimate;
	s.preemptible = wv_job_text(asked, "checkpoint_dir")[0] != '\0';
	*ret = s;
	return 0;
}

/* Ends ----------------------------------------------------------------------------------------- */

void wv_job_verdict(const struct wv_job *j, const struct wv_job_exit *exit,
		    struct wv_job_event *ret)
{
	bool saved = !exit->signal && exit->status == WV_JOBS_EXIT_CHECKPOINTED;

	*ret = (struct wv_job_event){.id = j->id, .type = WV_JOB_EV_ENDED};
	if (j->state == WV_JOB_CANCELLING) {
		ret->type = WV_JOB_EV_CANCELLED;
	} else if (j->state == WV_JOB_PREEMPTING && (exit->status || exit->signal)) {
		/* one that failed while it was told to leave may have failed by that: if it has
		 * not, it fails again, and has ended then */
		ret->type = WV_JOB_EV_PREEMPTED;
		ret->flag = saved;
	}
}
