/* SPDX-License-Identifier: GPL-2.0-only */
/* What the verbs that install, confirm, roll back and tell share. */
#ifndef WV_CMD_BUNDLE_LIFE_H
#define WV_CMD_BUNDLE_LIFE_H

#include <stdio.h>

#include "user/bundle/lifecycle.h"
#include "user/cmd/bundle_cmd.h"

/* A slot, given as KIND/NAME, or as NAME where one kind has it. NULL having said why. */
const struct wv_bundle_slot *wv_bundle_find_slot(const char *verb, const struct wv_bundle_states *s,
						 const char *text);
/* Opens for a change, with what a crash left put in order. Exit code, having said why. */
int wv_bundle_open_life(const char *verb, const struct wv_cli *cli, struct wv_bundles *ret);
/* Whether an agent runs that looks after bundles; starts its worker if need be. */
bool wv_bundle_agent(const struct wv_cli *cli);

/* What became of a bundle. */
struct wv_bundle_end {
	enum wv_bundle_state state;
	char cause[200];
	bool hooks; /* some are still due in its slot */
	bool found;
};
/* Looks, without the lock. 0 or -errno. */
int wv_bundle_look(const struct wv_cli *cli, enum wv_bundle_kind kind, const char *name,
		   const char *id, struct wv_bundle_end *ret);
/*
 * Until the trial of id is over and the hooks of its slot were run, for at most timeout_ns: by the
 * agent, or by this process where none runs. 0, -ETIMEDOUT or -errno.
 */
int wv_bundle_wait(const struct wv_cli *cli, enum wv_bundle_kind kind, const char *name,
		   const char *id, uint64_t timeout_ns, struct wv_bundle_end *ret);

#endif
