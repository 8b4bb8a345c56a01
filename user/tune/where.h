/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a trial's time went, as the profiler and the wake chains told: a file beside its steps, one
 * JSON object a line, written while the trial runs and read by whoever works the shares out.
 *
 *	{"device":0,"begin":..,"end":..,"kernel":..,"exposed":..,"memory":..,"cause":{..},"input":{..}}
 *	{"tid":123,"begin":..,"end":..,"cause":{..},"input":{..}}	a step of a training thread
 */
#ifndef WV_TUNE_WHERE_H
#define WV_TUNE_WHERE_H

#include <stdio.h>

#include "gpu/tune/steps.h"
#include "user/gpu/hub.h"

#define WV_TUNE_WHERE_MAX (8U << 20)

/* Adds a line; nothing more is written once the file is as large as it may be. f MAY be NULL. */
void wv_tune_where_window(FILE *f, const struct wv_gpu_told *w);
void wv_tune_where_step(FILE *f, const struct wv_gpu_told_step *s);

/*
 * Shares of the steps from number `from` on. Devices that worked: theirs, summed. Else the training
 * thread's: what the program says that it waited for input, and the rest by what the wake chains
 * say of it. text MAY be NULL (there is no file). 0; -EBADMSG: a line is wrong, and nothing of it
 * is used.
 */
int wv_tune_where_shares(const char *text, size_t len, const struct wv_tune_steps *s, uint32_t from,
			 struct wv_tune_shares *ret);

#endif
