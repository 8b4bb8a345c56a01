// SPDX-License-Identifier: GPL-2.0-only
/* Caps on open files, in the enforcer: which cgroup wants which, and what is told of it. */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/enforce/enforcer.h"

void wv_openfiles_start(struct wv_enforcer *e)
{
	struct wv_openfiles *o = &e->open_files;
	struct wv_agent *agent = e->agent;

	e->open_files_error = wv_openfiles_open(o, agent->io, &wv_processes_system,
						agent->paths->state, agent->host->boot_id);
	if (e->open_files_error)
		(void)wv_log_errno(e->open_files_error, "budget",
				   "%s/" WV_JOURNAL_DIR "/" WV_OPENFILES_FILE
				   ": open files will not be limited",
				   agent->paths->state);
	o->own[0] = getpid();
	o->own[1] = getppid(); /* the supervisor */
	e->adopted |= o->n_caps > 0;
}

/* Where the processes of a cgroup are told. */
static int folder_of(const struct wv_enforcer *e, const struct wv_row *row, char *buf, size_t size)
{
	const struct wv_host *h = e->agent->host;
	const char *root = row->key & WV_KEY_V1 ? h->v1[h->v1_attribution] : h->cgroup2;

	if (row->flags & WV_ROW_CUT)
		return -ENAMETOOLONG;
	if (!root[0])
		return -ENOENT;
	snprintf(buf, size, "%s%s", root, strcmp(row->path, "/") == 0 ? "" : row->path);
	return 0;
}

static struct json_object *action(const struct wv_openfiles_cap *cap, uint64_t limit,
				  enum wv_outcome outcome, const char *reason)
{
	struct json_object *o = json_object_new_object(), *n;

	json_object_object_add(o, "item", json_object_new_string("files.max"));
	json_object_object_add(o, "outcome", json_object_new_string(wv_outcome_names[outcome]));
	if (limit != WV_UNSET)
		json_object_object_add(o, "limit", json_object_new_uint64(limit));
	if (cap) {
		const struct wv_openfiles_result *r = &cap->result;

		n = json_object_new_object();
		json_object_object_add(n, "lowered", json_object_new_uint64(r->lowered));
		json_object_object_add(n, "raised_again", json_object_new_uint64(r->again));
		json_object_object_add(n, "restored", json_object_new_uint64(r->restored));
		json_object_object_add(n, "in_order", json_object_new_uint64(r->fine));
		json_object_object_add(n, "refused", json_object_new_uint64(r->refused));
		json_object_object_add(o, "processes", n);
	}
	if (reason)
		json_object_object_add(o, "reason", json_object_new_string(reason));
	return o;
}

static void tell(struct wv_enforcer *e, uint32_t slot, struct json_object *what)
{
	struct json_object *o = wv_outcome_new(e, slot);

	wv_outcome_add(o, what);
	wv_outcome_send(e, o);
}

void wv_openfiles_plan(struct wv_enforcer *e, uint32_t slot, const struct wv_row *row,
		       const struct wv_want *want)
{
	char folder[WV_OPENFILES_PATH] = "";
	int r = e->open_files_error;

	if (want->files_max != WV_UNSET)
		r = r ?: folder_of(e, row, folder, sizeof(folder));
	r = r ?: wv_openfiles_want(&e->open_files, row->key, folder, want->files_max);
	if (r < 0 && want->files_max != WV_UNSET)
		tell(e, slot, action(NULL, want->files_max, WV_OUTCOME_FAILED, strerror(-r)));
}

static void finish(struct wv_enforcer *e, struct wv_openfiles_cap *cap, int error)
{
	const struct wv_openfiles_result *r = &cap->result;
	int slot = wv_cgroups_slot(e->agent->cgroups, cap->key);
	enum wv_outcome outcome = WV_OUTCOME_ALREADY;
	const char *reason = NULL;
	bool news = cap->due || r->lowered || r->restored || r->refused > cap->refused_said;

	error = error ?: r->error;
	if (r->refused) {
		reason = "the kernel lets the agent change the limits of other users' processes "
			 "only with CAP_SYS_RESOURCE";
		if (!r->lowered && !r->fine)
			outcome = WV_OUTCOME_NOT_ENFORCED;
	}
	if (error) {
		outcome = WV_OUTCOME_FAILED;
		reason = error == -ENOSPC ? "more processes than are kept track of: the rest is "
					    "not lowered"
					  : strerror(-error);
	} else if (cap->want == WV_UNSET) {
		outcome = WV_OUTCOME_RESTORED;
	} else if (r->lowered) {
		outcome = WV_OUTCOME_CHANGED;
	}
	cap->due = false;
	cap->refused_said = r->refused;
	if (slot <= 0)
		return;
	if (!error && outcome != WV_OUTCOME_NOT_ENFORCED && cap->want != WV_UNSET)
		wv_hold_applied(e, &e->holds[slot]);
	if (news)
		tell(e, (uint32_t)slot, action(cap, cap->want, outcome, reason));
}

int wv_openfiles_tick(struct wv_enforcer *e)
{
	struct wv_openfiles *o = &e->open_files;
	int r;

	if (e->open_files_error || (!o->n_caps && !o->n_list))
		return 0;
	/* of a cgroup that this agent does not know: nobody wants it any more */
	for (size_t i = 0; e->sweep && i < o->n_caps; i++)
		if (wv_cgroups_slot(e->agent->cgroups, o->caps[i].key) <= 0)
			o->caps[i].want = WV_UNSET;
	r = wv_openfiles_pass(o);
	for (size_t i = 0; i < o->n_caps; i++)
		finish(e, &o->caps[i], r);
	return r ?: wv_openfiles_sweep(o);
}
