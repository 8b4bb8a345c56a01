// SPDX-License-Identifier: GPL-2.0-only
/* policy check: whether a policy is right, and what of it this machine can enforce. */
#include <stdio.h>

#include "user/cmd/policy_cmd.h"
#include "user/cmd/policy_machine.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/policy/lint.h"
#include "user/policy/program.h"

struct check {
	const char *file;
	bool json, machine;
	struct json_object *findings;
	unsigned n_findings;
};

static const struct wv_option options[] = {
	{"no-machine", 0, NULL, "do not ask what this machine can enforce"},
	{0},
};

static int set_option(void *ctx, const struct wv_option *o _unused_, const char *value _unused_)
{
	((struct check *)ctx)->machine = false;
	return 0;
}

static void finding(void *ctx, unsigned line, const char *text)
{
	struct check *c = ctx;
	struct json_object *o;

	c->n_findings++;
	if (!c->json) {
		printf("%s:%u: %s\n", c->file, line, text);
		return;
	}
	o = json_object_new_object();
	wv_json_u64(o, "line", line);
	wv_json_str(o, "text", text);
	json_object_array_add(c->findings, o);
}

static void print_claim(const struct wv_claim *claim)
{
	printf("  %-9s %-24s %s%s%s\n", claim->what, claim->name,
	       claim->enforced ? claim->by : "NOT enforced here: ",
	       claim->enforced && claim->reason[0] ? "; " : "", claim->reason);
}

static struct json_object *claim_json(const struct wv_claim *claim)
{
	struct json_object *o = json_object_new_object();

	wv_json_str(o, "what", claim->what);
	wv_json_str(o, "name", claim->name);
	json_object_object_add(o, "enforced", json_object_new_boolean(claim->enforced));
	json_object_object_add(o, "fail_closed", json_object_new_boolean(claim->fail_closed));
	wv_json_str(o, "by", claim->by);
	wv_json_str(o, "reason", claim->reason);
	return o;
}

/* A promise that must hold and cannot is a finding of its own kind. */
static bool check_machine(struct check *c, const struct wv_policy *p, struct json_object *claims)
{
	_cleanup_free_ struct wv_claim *list = NULL;
	size_t n = 0;
	bool refused = false;

	if (!c->machine || wv_policy_claims(p, &list, &n) < 0)
		return false;
	if (n && !c->json)
		printf("on this machine:\n");
	for (size_t i = 0; i < n; i++) {
		if (c->json)
			json_object_array_add(claims, claim_json(&list[i]));
		else
			print_claim(&list[i]);
		refused |= !list[i].enforced && list[i].fail_closed;
	}
	if (refused && !c->json)
		printf("it would be refused here: something that must not fail open cannot be "
		       "enforced\n");
	return refused;
}

static void print_cost(const struct wv_policy *p)
{
	struct wv_program_cost cost;
	char why[160];

	if (!p->n_rules || wv_program_verify(p->programs, &cost, why, sizeof(why)) < 0)
		return;
	printf("%zu rules, %u operations: at most %.1f us a tick for each 100 cgroups, %.1f KiB\n",
	       p->n_rules, cost.n_ops, (double)cost.ps_per_lane * 100 / 1e6,
	       (double)(cost.bytes_per_lane * 100 + cost.bytes_fixed) / 1024);
}

static int check(struct check *c, const char *path)
{
	_cleanup_(wv_policy_freep) struct wv_policy *p = NULL;
	struct json_object *o, *claims;
	bool refused;
	int r = wv_policy_open("policy check", path, &p);

	if (r != WV_EXIT_OK)
		return r;
	c->file = p->source;
	c->findings = json_object_new_array();
	claims = json_object_new_array();
	if (!c->json)
		printf("%s@%.12s\n", p->name, p->digest);
	wv_policy_lint(p, finding, c);
	refused = check_machine(c, p, claims);
	if (c->json) {
		o = json_object_new_object();
		json_object_object_add(o, "schema_version", json_object_new_int(1));
		wv_json_str(o, "file", p->source);
		wv_json_str(o, "name", p->name);
		wv_json_str(o, "sha256", p->digest);
		json_object_object_add(o, "findings", json_object_get(c->findings));
		json_object_object_add(o, "machine", json_object_get(claims));
		json_object_object_add(o, "refused_here", json_object_new_boolean(refused));
		wv_json_print(o);
		json_object_put(o);
	} else {
		print_cost(p);
	}
	json_object_put(claims);
	json_object_put(c->findings);
	return refused ? WV_EXIT_UNSUPPORTED : WV_EXIT_OK;
}

int wv_policy_check(struct wv_cli *cli, int argc, char **argv)
{
	struct check c = {.machine = true};
	int r = wv_cli_parse(cli, argc, argv, "policy check FILE... [--json]",
			     "  waveos-bpf policy check policies/web-service\n", options,
			     set_option, &c);
	int worst = WV_EXIT_OK;

	if (r < 0)
		return -r;
	if (r == argc) {
		fprintf(stderr, "waveos-bpf policy check: wants a policy\n");
		return WV_EXIT_USAGE;
	}
	c.json = cli->json;
	for (int i = r; i < argc; i++) {
		int e = check(&c, argv[i]);

		worst = e > worst ? e : worst;
	}
	return worst ?: c.n_findings ? WV_EXIT_FINDING : WV_EXIT_OK;
}
