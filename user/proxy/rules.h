/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the parts of the translation to HAProxy's configuration. */
#ifndef WV_PROXY_RULES_H
#define WV_PROXY_RULES_H

#include <stdio.h>

#include "user/proxy/proxy.h"

/* One word in single quotes, within which HAProxy reads nothing but the closing quote. */
void wv_proxy_word(FILE *f, const char *text);

static inline unsigned long long wv_proxy_ms(uint64_t ns)
{
	return ns < 1000000 ? 1 : ns / 1000000;
}

/* Whether bodies of this proxy are awaited whole before a server sees anything. */
static inline bool wv_proxy_awaits(const struct wv_config *c, const struct wv_proxy *p)
{
	return p->request.body_max <= c->proxy_buffer / 2;
}

/* Frontend: the bytes of a head, judged before HAProxy's own parser sees them. */
void wv_proxy_strict_rules(FILE *f, const struct wv_proxy *p);
/* Backend: all rules about requests, in the order in which they are judged. */
void wv_proxy_http_rules(FILE *f, const struct wv_config *c, const struct wv_proxy *p);

#endif
