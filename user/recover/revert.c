// SPDX-License-Identifier: GPL-2.0-only
/* Letting go of what recovery holds, without an agent. Throttles are in enforcement's journal. */
#include <errno.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/recover/isolate.h"
#include "user/recover/recover.h"
#include "user/recover/recovery.h"

#define THAW_NS 2000000000ULL

static int thaw(const struct wv_host *host, struct wv_recovery *r, FILE *report)
{
	struct wv_act_request q = {
		.act = WV_ACT_THAW, .host = host, .key = r->key, .timeout_ns = THAW_NS};
	struct wv_act_result result = {0};
	int e;

	memcpy(q.path, r->path, sizeof(q.path));
	e = wv_act_freeze(&q, false, &result);
	if (e == -ENOENT) /* it went, and the freeze with it */
		return 0;
	if (report)
		fprintf(report, e < 0 ? "not thawed %s: %s\n" : "thawed %s%s\n", r->path,
			e < 0 ? result.detail : "");
	return e;
}

int wv_recover_revert_all(const struct wv_paths *paths, const struct wv_host *host,
			  const struct wv_io *io, FILE *report)
{
	char path[WV_PATH_SIZE + 32];
	struct wv_recover_state s;
	int r = 0, links = wv_isolate_release_all(paths), e;

	if (links > 0 && report)
		fprintf(report, "removed %d isolation link(s)\n", links);
	/* opening would make the folder */
	snprintf(path, sizeof(path), "%s/" WV_RECOVER_DIR "/" WV_RECOVER_FILE, paths->state);
	if (access(path, F_OK) < 0)
		return links < 0 ? links : 0;
	r = wv_recover_state_open(&s, io, paths->state, host->boot_id);
	if (r < 0)
		return r;
	for (size_t i = 0; i < s.n; i++) {
		e = s.list[i]->holds & WV_HOLD_FROZEN ? thaw(host, s.list[i], report) : 0;
		if (e < 0)
			r = e;
		else
			s.list[i]->holds = 0;
		/* whoever detaches has taken over: no chain goes on by itself later */
		s.list[i]->run = (struct wv_chain_run){0};
		s.list[i]->flight.id[0] = '\0';
	}
	e = wv_recover_state_save(&s);
	wv_recover_state_close(&s);
	return r ?: links < 0 ? links : e;
}
