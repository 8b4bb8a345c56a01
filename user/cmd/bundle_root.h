/* SPDX-License-Identifier: GPL-2.0-only */
/* Parts of `bundle root`. */
#ifndef WV_CMD_BUNDLE_ROOT_H
#define WV_CMD_BUNDLE_ROOT_H

#include "user/bundle/root.h"
#include "user/cmd/cmd.h"

/* Prints a root's file; old (MAY be NULL): whether it follows that one, too. Exit code: finding if
 * it is not signed enough. */
int wv_root_print(struct wv_cli *cli, const char *path, const char *old);
int wv_root_show(struct wv_cli *cli, int argc, char **argv);
int wv_root_pin(struct wv_cli *cli, int argc, char **argv);
int wv_root_update(struct wv_cli *cli, int argc, char **argv);

#endif
