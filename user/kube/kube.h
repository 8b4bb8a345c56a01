/* SPDX-License-Identifier: GPL-2.0-only */
/* The worker that knows this machine's pods and policies from the API server of Kubernetes. */
#ifndef WV_KUBE_KUBE_H
#define WV_KUBE_KUBE_H

#include "user/agent/core.h"

/* Whether there is an API server to talk to, by configuration and environment. */
bool wv_kube_wanted(const struct wv_config *config);
/* The worker: until told to stop; an exit status. */
int wv_kube_run(const struct wv_worker_context *ctx);

#endif
