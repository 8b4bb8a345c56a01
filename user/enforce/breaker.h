/* SPDX-License-Identifier: GPL-2.0-only */
/* What the rest of the agent asks of breakers. */
#ifndef WV_ENFORCE_BREAKER_H
#define WV_ENFORCE_BREAKER_H

#include "user/core/module.h"
#include "user/flow/policy.h"

/*
 * By what a breaker is enforced on this machine, or why it is not, into reason. bpf: the set in
 * use, or NULL when nothing is loaded (then from the host alone). 0, -EOPNOTSUPP (this machine
 * cannot), -ERANGE (its figures are out of range).
 */
int wv_breaker_check(const struct wv_host *host, const struct wv_bpf *bpf,
		     const struct wv_breaker *breaker, char *reason, size_t size);
/* Breakers that are placed now (core worker only). */
size_t wv_breakers_in_force(void);

#endif
