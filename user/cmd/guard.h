/* SPDX-License-Identifier: GPL-2.0-only */
/* Before a verb runs: what root does directly is recorded, and who has a role but no direct access
 * is served by the agent. */
#ifndef WV_CMD_GUARD_H
#define WV_CMD_GUARD_H

#include "user/access/access.h"
#include "user/cmd/cmd.h"

/* Set for verbs that the api worker runs: those are recorded by it. */
#define WV_GUARD_ENVIRONMENT "WV_API_REQUEST"

/* true: it was done (*ret_exit is the exit code); false: run the verb. */
bool wv_guard_verb(const struct wv_cli *cli, int argc, char **argv, int *ret_exit);

/* remote.c: the verb by <runtime>/api.sock. Returns its exit code, or -EOPNOTSUPP where the API
 * cannot do what the options want. */
int wv_remote_verb(const struct wv_paths *paths, const struct wv_guarded_verb *g, int argc,
		   char **argv);

#endif
