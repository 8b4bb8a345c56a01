// SPDX-License-Identifier: GPL-2.0-only
/* Letting go of everything, without an agent: `detach`, and an orderly exit that leaves nothing. */
#include <errno.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/enforce/breaker.h"
#include "user/enforce/enforce.h"
#include "user/enforce/gate.h"
#include "user/enforce/journal.h"
#include "user/enforce/netlimit.h"
#include "user/enforce/openfiles.h"
#include "user/enforce/pinned.h"

static void say(FILE *f, const struct wv_journal_entry *e, const struct wv_file_result *r)
{
	if (r->outcome == WV_OUTCOME_GONE)
		return;
	if (!f) { /* the agent's own exit: its log is where people look */
		if (r->outcome == WV_OUTCOME_NOT_OURS)
			(void)wv_log_warn(0, "budget", "left alone %s: shows %s, not our %s",
					  e->path, r->before, e->ours);
		else if (r->outcome == WV_OUTCOME_FAILED)
			(void)wv_log_warn(r->error, "budget", "not restored %s", e->path);
		return;
	}
	if (r->outcome == WV_OUTCOME_RESTORED)
		fprintf(f, "restored %s: %s -> %s\n", e->path, r->before, r->after);
	else if (r->outcome == WV_OUTCOME_NOT_OURS)
		fprintf(f, "left alone %s: shows %s, not our %s\n", e->path, r->before, e->ours);
	else
		fprintf(f, "not restored %s: %s\n", e->path, strerror(-r->error));
}

static int revert_files(const struct wv_paths *paths, const struct wv_host *host,
			const struct wv_io *io, FILE *report)
{
	char path[WV_PATH_SIZE + 32];
	struct wv_journal j;
	int r, s;

	/* opening would make the folder; where there is none there is nothing to restore */
	snprintf(path, sizeof(path), "%s/" WV_JOURNAL_DIR "/" WV_JOURNAL_FILE, paths->state);
	if (access(path, F_OK) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	r = wv_journal_open(&j, io, paths->state, host->boot_id);
	if (r < 0) {
		if (report)
			fprintf(report, "%s cannot be read: %s\n", path, strerror(-r));
		return r;
	}
	for (size_t i = j.n_entries; i-- > 0;) {
		const struct wv_journal_entry entry = j.entries[i];
		struct wv_file_result result;

		wv_journal_revert(&j, i, &result);
		say(report, &entry, &result);
		if (result.outcome == WV_OUTCOME_FAILED)
			r = result.error;
	}
	j.dirty |= j.n_force > 0;
	j.n_force = 0;
	s = j.dirty ? wv_journal_save(&j) : 0;
	wv_journal_close(&j);
	return r ?: s;
}

/* Says what came of removing links of one kind; a failure is returned, whatever else went well. */
static int told(const struct wv_paths *paths, FILE *report, const char *what, int n)
{
	if (report && n > 0)
		fprintf(report, "removed %d %s link(s)\n", n, what);
	if (report && n < 0)
		fprintf(report, "%s links below %s remain: %s\n", what, paths->pins, strerror(-n));
	return n < 0 ? n : 0;
}

int wv_enforce_revert_all(const struct wv_paths *paths, const struct wv_host *host,
			  const struct wv_io *io, FILE *report)
{
	int r = revert_files(paths, host, io, report);
	int limits =
		told(paths, report, "network limit", wv_pinned_remove_all(paths, WV_LIMIT_PINS));
	int breakers = told(paths, report, "breaker", wv_pinned_remove_all(paths, WV_BREAKER_PINS));
	int gates = told(paths, report, "gate", wv_pinned_remove_all(paths, WV_GATE_PINS));
	int files =
		wv_openfiles_revert(io, &wv_processes_system, paths->state, host->boot_id, report);

	return r ?: limits ?: breakers ?: gates ?: files;
}
