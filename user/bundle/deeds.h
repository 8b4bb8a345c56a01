/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a bundle may ask for at a point of its life: declared deeds, done by those who do such
 * things anyway. Services of the policy are restarted by the running agent's recovery (features,
 * budget and kill switch hold there), units by systemd, the policy is read again by the supervisor.
 */
#ifndef WV_BUNDLE_DEEDS_H
#define WV_BUNDLE_DEEDS_H

#include "user/bundle/manifest.h"
#include "user/core/paths.h"
#include "user/recover/services.h"

#define WV_DEED_WHY 160

/* Does it and waits until it is done. 0, or -errno with why: -ESRCH no agent runs; -ETIMEDOUT;
 * -ECANCELED the agent refused; -EINTR this agent stops, and the next one goes on. ctx: a const
 * struct wv_paths *. */
typedef int (*wv_deed_fn)(void *ctx, const struct wv_bundle_hook *hook, char why[WV_DEED_WHY]);
int wv_bundle_deed(void *ctx, const struct wv_bundle_hook *hook, char why[WV_DEED_WHY]);

/* A process that the agent's supervisor of services started. 1; 0: there is none; -errno. */
int wv_bundle_find_service(const struct wv_paths *paths, const char *name,
			   struct wv_service_process *ret);

#endif
