// SPDX-License-Identifier: GPL-2.0-only
/*
 * What recovery and enforcement remember over a reboot: <state>/recover and <state>/enforce are
 * opened by the next start whatever the power cut left, a reboot that was noted is remembered (the
 * budget of reboots ends boot loops), and so is that the end was orderly. The folders are made in
 * the scenario itself.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scenario.h"
#include "user/enforce/journal.h"
#include "user/policy/policy.h"
#include "user/recover/boot.h"
#include "user/recover/recovery.h"
#include "user/rules/store.h"

#define STATE "/simulated/waveos"
#define BOOT "11111111-2222-3333-4444-555555555555"
#define NEXT_BOOT "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

static void note_actions(struct wv_sim *s, struct wv_recover_state *state, uint64_t n)
{
	struct wv_restarts *restarts;
	char domain[32];

	/* makes the text longer than a sector, and another one with every seed */
	snprintf(domain, sizeof(domain), "domain-%llu", (unsigned long long)wv_sim_pick(s, 100));
	restarts = wv_recover_budget(state, domain);
	for (uint64_t i = wv_sim_pick(s, 40); restarts && i > 0; i--)
		wv_restarts_note(restarts, s->io.mono_ns(s->io.ctx));
	state->actions = n;
	wv_sim_try(s, "action", n);
	if (wv_recover_state_save(state) == 0)
		wv_sim_ack(s, "action", n);
}

static void note_force(struct wv_sim *s, struct wv_journal *j, uint64_t n)
{
	(void)wv_journal_set_force(j, "web", n, true);
	wv_sim_try(s, "force", n);
	if (wv_journal_save(j) == 0)
		wv_sim_ack(s, "force", n);
}

static void end_orderly(struct wv_sim *s)
{
	wv_sim_try(s, "marker", 1);
	if (wv_marker_write(&s->io, STATE, BOOT, "stop", "") == 0)
		wv_sim_ack(s, "marker", 1);
}

static int run(struct wv_sim *s)
{
	struct json_object *rules = json_object_new_object();
	struct wv_recover_state state;
	struct wv_journal j;

	json_object_object_add(rules, "boot", json_object_new_string(BOOT));
	/*
	 * Not gone on with when it fails: a disk that makes a folder, fails to flush its name and
	 * then fails to remove it again leaves one that later starts take for durable.
	 */
	if (wv_recover_state_open(&state, &s->io, STATE, BOOT) < 0) {
		json_object_put(rules);
		return 0;
	}
	for (unsigned i = 0; i < 3; i++)
		note_actions(s, &state, wv_sim_greatest(s, "action", false) + 1);
	wv_recover_state_close(&state);
	if (wv_journal_open(&j, &s->io, STATE, BOOT) == 0) {
		for (unsigned i = 0; i < 2; i++)
			note_force(s, &j, wv_sim_greatest(s, "force", false) + 1);
		wv_journal_close(&j);
	}
	wv_sim_try(s, "rules", 1);
	if (wv_rules_save(&s->io, STATE, rules) == 0)
		wv_sim_ack(s, "rules", 1);
	json_object_put(rules);
	end_orderly(s);
	return 0;
}

static int check_actions(struct wv_sim *s, char *why, size_t size)
{
	struct wv_recover_state state;
	uint64_t promised = wv_sim_greatest(s, "action", true);
	uint64_t tried = wv_sim_greatest(s, "action", false);
	int r = wv_recover_state_open(&state, &s->io, STATE, NEXT_BOOT);

	if (r < 0) {
		snprintf(why, size, "the state of recovery cannot be opened: %s", strerror(-r));
		return -1;
	}
	r = state.actions >= promised && state.actions <= tried ? 0 : -1;
	if (r < 0)
		snprintf(why, size, "%llu actions are remembered, %llu were promised",
			 (unsigned long long)state.actions, (unsigned long long)promised);
	else
		note_actions(s, &state, tried + 1);
	wv_recover_state_close(&state);
	return r;
}

static int check_journal(struct wv_sim *s, char *why, size_t size)
{
	struct wv_journal j;
	uint64_t n = wv_sim_greatest(s, "force", true);
	int r = wv_journal_open(&j, &s->io, STATE, BOOT);

	if (r < 0) {
		snprintf(why, size, "the journal cannot be opened: %s", strerror(-r));
		return -1;
	}
	for (; n > 0 && r == 0; n--) {
		size_t i = 0;

		while (i < j.n_force && j.force[i].key != n)
			i++;
		if (i == j.n_force && wv_sim_told(s, "force", n, true)) {
			snprintf(why, size, "budget %llu is not in force, but was promised",
				 (unsigned long long)n);
			r = -1;
		}
	}
	wv_journal_close(&j);
	return r;
}

static int check_small(struct wv_sim *s, char *why, size_t size)
{
	struct wv_boot_places places = {.state = STATE,
					.pstore = "/nonexistent",
					.watchdog_class = "/nonexistent",
					.boot_id = NEXT_BOOT};
	struct json_object *rules = wv_rules_load(&s->io, STATE);
	struct wv_boot_evidence e;

	if (!rules && wv_sim_told(s, "rules", 1, true)) {
		snprintf(why, size, "the breakers' states cannot be read");
		return -1;
	}
	json_object_put(rules);
	wv_boot_gather(&s->io, &places, &e);
	if (!e.marker && wv_sim_told(s, "marker", 1, true) && !wv_sim_told(s, "start", 1, false)) {
		snprintf(why, size, "the end was orderly, and the next start does not know");
		return -1;
	}
	wv_sim_try(s, "start", 1);
	wv_marker_remove(&s->io, STATE);
	return 0;
}

static int check(struct wv_sim *s, char *why, size_t size)
{
	int r = check_actions(s, why, size);

	r = r ?: check_journal(s, why, size);
	return r ?: check_small(s, why, size);
}

const struct wv_sim_scenario wv_sim_recover = {
	.name = "recover",
	.what = "state of recovery and enforcement: opens, and what was noted is remembered",
	.run = run,
	.check = check,
	.finds = WV_SIM_FINDS(NO_FILE_SYNC) | WV_SIM_FINDS(NO_DIR_SYNC) |
		 WV_SIM_FINDS(EARLY_RENAME) | WV_SIM_FINDS(EARLY_ACK),
};
