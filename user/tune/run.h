/* SPDX-License-Identifier: GPL-2.0-only */
/* Runs the trials that the engine asks for, one after the other. */
#ifndef WV_TUNE_RUN_H
#define WV_TUNE_RUN_H

#include <signal.h>

#include "user/tune/folder.h"

struct wv_tune_watch {
	const volatile sig_atomic_t *stop; /* set: the trial is ended and not counted */
	void *ctx;
	/* before and after each; MAY be NULL */
	void (*begins)(void *ctx, const struct wv_tune_trial *t);
	void (*ended)(void *ctx, const struct wv_tune_done *d);
};

/*
 * Until the engine has no more questions: 0. -EINTR: stopped; the folder can be gone on with.
 * -ENOENT: the command is not there. -EWOULDBLOCK: another process runs it. -errno: the folder
 * cannot be written.
 */
int wv_tuning_run(struct wv_tuning *t, const struct wv_tune_watch *watch);

/*
 * The command and the environment of a trial, NULL-terminated, as they are started: templates
 * filled in. Freed by wv_tune_texts_free. -ENODATA: a template names a knob that is not set.
 */
int wv_tune_command(const struct wv_tuning *t, const struct wv_tune_trial *trial, char ***ret_argv,
		    char ***ret_env);
void wv_tune_texts_free(char **texts);

#endif
