/* SPDX-License-Identifier: GPL-2.0-only */
/* What all verbs take, as a list, and the reference of the command line that comes from it. */
#ifndef WV_CMD_REFERENCE_H
#define WV_CMD_REFERENCE_H

#include <stdbool.h>
#include <stdio.h>

#include "user/cmd/cmd.h"

struct wv_abouts {
	struct wv_about *list; /* in the order of verbs.def, subverbs after their verb */
	size_t n;
};
/* Asks every verb. 0 or -ENOMEM. Release with wv_abouts_done(). */
int wv_abouts_read(struct wv_abouts *ret);
void wv_abouts_done(struct wv_abouts *a);
/* Whether a is below the verb of verbs named `verb`, at any depth. */
bool wv_about_below(const struct wv_about *a, const char *verb);
/* Calls line(ctx, text) for every line, "waveos-bpf ..." without spaces in front. */
void wv_about_usage(const struct wv_about *a, void (*line)(void *ctx, const char *text), void *ctx);

/* docs/cli.md */
void wv_reference_print(FILE *f);
/* Every verb and subverb, one a line. */
void wv_reference_print_verbs(FILE *f);

#endif
