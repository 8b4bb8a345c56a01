// SPDX-License-Identifier: GPL-2.0-only
/* Asks each of those who enforce whether they could, from what the machine offers: nothing is
 * loaded for it. */
#include "user/cmd/policy_machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "user/core/host.h"
#include "user/enforce/breaker.h"
#include "user/enforce/gate.h"

static void claim_breaker(struct wv_claim *c, const struct wv_host *host,
			  const struct wv_breaker *b)
{
	char text[sizeof(c->reason)] = "";

	*c = (struct wv_claim){"breaker", b->name, .fail_closed = b->fail == WV_FAIL_CLOSED};
	c->enforced = wv_breaker_check(host, NULL, b, text, sizeof(text)) == 0;
	/* the check says in one text by what it is enforced, or why it is not */
	if (c->enforced)
		snprintf(c->by, sizeof(c->by), "%.*s", (int)sizeof(c->by) - 1, text);
	else
		snprintf(c->reason, sizeof(c->reason), "%s", text);
}

static void claim_gate(struct wv_claim *c, const struct wv_host *host, const struct wv_gate *g)
{
	*c = (struct wv_claim){"gate", g->name, .fail_closed = g->fail == WV_FAIL_CLOSED};
	c->enforced = wv_gate_check(host, NULL, g, c->by, sizeof(c->by), c->reason,
				    sizeof(c->reason)) == 0;
}

static void claim_priority(struct wv_claim *c, const struct wv_host *host,
			   const struct wv_priority *p)
{
	*c = (struct wv_claim){"priority", p->name, .fail_closed = p->fail == WV_FAIL_CLOSED};
	c->enforced = wv_priority_check(host, NULL, p, c->by, sizeof(c->by), c->reason,
					sizeof(c->reason)) == 0;
}

int wv_policy_claims(const struct wv_policy *p, struct wv_claim **ret, size_t *ret_n)
{
	struct wv_host host;
	size_t n = p->n_breakers + p->n_gates + p->n_priorities, at = 0;
	struct wv_claim *list = calloc(n + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	if (n)
		wv_host_probe(&host);
	for (size_t i = 0; i < p->n_breakers; i++)
		claim_breaker(&list[at++], &host, &p->breakers[i]);
	for (size_t i = 0; i < p->n_gates; i++)
		claim_gate(&list[at++], &host, &p->gates[i]);
	for (size_t i = 0; i < p->n_priorities; i++)
		claim_priority(&list[at++], &host, &p->priorities[i]);
	*ret = list;
	*ret_n = n;
	return 0;
}
