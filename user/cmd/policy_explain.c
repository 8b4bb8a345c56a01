// SPDX-License-Identifier: GPL-2.0-only
/* policy explain: what a cgroup falls under, and why. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "user/agent/policy_source.h"
#include "user/cmd/policy_cmd.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/domain/pods.h"
#include "user/flow/budget.h"

struct explain {
	const char *policy;
	const struct wv_policy *p;
	struct wv_who who;
	uint32_t domain;	    /* that it belongs to */
	char from[WV_ROW_PATH_MAX]; /* the cgroup whose scope matched: the target or one above it */
	struct json_object *out;    /* with --json */
};

static const struct wv_option options[] = {
	{"policy", 'p', "FILE", "explain this policy instead of the one in force"},
	{0},
};

static int set_option(void *ctx, const struct wv_option *o _unused_, const char *value)
{
	((struct explain *)ctx)->policy = value;
	return 0;
}

static void identify(const struct wv_paths *paths, const char *path, struct wv_who *who)
{
	*who = (struct wv_who){.path = path};
	wv_identity_parse(path, &who->id);
	if (*who->id.container_id)
		(void)wv_pods_read(paths->root, &who->id, &who->pod);
}

/* Of the target, or of the nearest cgroup above it that matches anything. */
static void find_domain(struct explain *x, const struct wv_paths *paths, const char *target)
{
	char path[WV_ROW_PATH_MAX];

	snprintf(path, sizeof(path), "%s", target);
	for (;;) {
		struct wv_who who;
		char *slash;

		identify(paths, path, &who);
		x->domain = wv_scope_domain(x->p, &who);
		snprintf(x->from, sizeof(x->from), "%s", path);
		slash = strrchr(path, '/');
		if (x->domain != WV_NONE || strcmp(path, "/") == 0)
			return;
		slash[slash == path] = '\0';
	}
}

static void add(struct explain *x, const char *list, unsigned line, const char *name,
		const char *why)
{
	struct json_object *a, *o;

	if (!x->out) {
		printf("  %-9s %-24s line %u  %s\n", list, name, line, why);
		return;
	}
	if (!json_object_object_get_ex(x->out, list, &a)) {
		a = json_object_new_array();
		json_object_object_add(x->out, list, a);
	}
	o = json_object_new_object();
	wv_json_str(o, "name", name);
	wv_json_u64(o, "line", line);
	wv_json_str(o, "why", why);
	json_object_array_add(a, o);
}

/* Every domain that matches, best first is told by its rank. */
static void explain_domains(struct explain *x, const struct wv_paths *paths)
{
	struct wv_who who;

	identify(paths, x->from, &who);
	for (uint32_t i = 0; i < x->p->n_domains; i++) {
		const struct wv_domain *d = &x->p->domains[i];
		uint32_t rank = wv_scope_rank(&d->scope);
		char why[160];

		if (!wv_scope_matches(&d->scope, &who))
			continue;
		snprintf(why, sizeof(why),
			 "%s: %u part%s, %u without wildcard, %u literal characters%s",
			 i == x->domain ? "wins" : "less specific, or later in the file",
			 rank >> 24, rank >> 24 == 1 ? "" : "s", rank >> 16 & 0xff, rank & 0xffff,
			 i == x->domain && strcmp(x->from, x->who.path) != 0
				 ? "; inherited from above"
				 : "");
		add(x, "domain", d->line, d->name, why);
	}
}

static void explain_budgets(struct explain *x)
{
	const struct wv_policy *p = x->p;

	for (size_t i = 0; i < p->n_budgets; i++) {
		const struct wv_budget *b = &p->budgets[i];
		char why[400] = "always";
		int len = 0;

		if (*b->domain ? b->domain_index != x->domain
			       : fnmatch(b->cgroup, x->who.path, 0) != 0)
			continue;
		if (b->when.signal >= 0)
			snprintf(why, sizeof(why), "when %s is above its level",
				 wv_signals[b->when.signal].name);
		for (size_t m = 0; b->modes && m < p->n_modes; m++)
			if (b->modes & 1ULL << m)
				len += snprintf(why + len, sizeof(why) - (size_t)len, "%s %s",
						len ? "," : "in mode", p->modes[m].name);
		if (*b->domain && strcmp(x->from, x->who.path) != 0)
			strncat(why, "; held at the top of the domain",
				sizeof(why) - strlen(why) - 1);
		add(x, "budget", b->line, b->name, why);
	}
}

static void explain_rest(struct explain *x)
{
	const struct wv_policy *p = x->p;
	char why[WV_CONDITION_MAX + 64];

	if (x->domain == WV_NONE)
		return;
	for (size_t i = 0; i < p->n_breakers; i++) {
		const struct wv_breaker *b = &p->breakers[i];

		if (b->domain_index != x->domain)
			continue;
		snprintf(why, sizeof(why), "%s: %llu in %.3g s", wv_breaker_kind_names[b->kind],
			 (unsigned long long)b->limit, (double)b->per_ns / 1e9);
		add(x, "breaker", b->line, b->name, why);
	}
	for (size_t i = 0; i < p->n_gates; i++) {
		const struct wv_gate *g = &p->gates[i];

		if (g->domain_index != x->domain)
			continue;
		snprintf(why, sizeof(why), "%s, %s: %zu allowed, %zu denied",
			 wv_gate_kind_names[g->kind], g->enforce ? "enforced" : "audit", g->allow.n,
			 g->deny.n);
		add(x, "gate", g->line, g->name, why);
	}
	for (size_t i = 0; i < p->n_priorities; i++)
		if (p->priorities[i].domain_index == x->domain)
			add(x, "priority", p->priorities[i].line, p->priorities[i].name, "cap");
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct wv_rule *r = &p->rules[i];

		if (r->domain_index != x->domain)
			continue;
		snprintf(why, sizeof(why), "if %s for %.3g s", r->condition,
			 (double)r->for_ns / 1e9);
		add(x, "rule", r->line, r->name, why);
	}
}

static int explain(struct explain *x, const struct wv_cli *cli, const char *target)
{
	identify(&cli->paths, target, &x->who);
	find_domain(x, &cli->paths, target);
	if (cli->json) {
		x->out = json_object_new_object();
		json_object_object_add(x->out, "schema_version", json_object_new_int(1));
		wv_json_str(x->out, "cgroup", target);
		wv_json_str(x->out, "unit", x->who.id.unit);
		wv_json_str(x->out, "pod", x->who.pod.pod);
		wv_json_str(x->out, "in_domain",
			    x->domain == WV_NONE ? "" : x->p->domains[x->domain].name);
	} else {
		printf("%s%s%s%s%s\n", target, *x->who.id.unit ? ", unit " : "", x->who.id.unit,
		       *x->who.pod.pod ? ", pod " : "", x->who.pod.pod);
		if (x->domain == WV_NONE)
			printf("  belongs to no domain of %s\n",
			       x->p->name[0] ? x->p->name : "the policy (none is declared)");
	}
	if (x->domain != WV_NONE)
		explain_domains(x, &cli->paths);
	explain_budgets(x);
	explain_rest(x);
	if (x->out) {
		wv_json_print(x->out);
		json_object_put(x->out);
	}
	return x->domain == WV_NONE ? WV_EXIT_FINDING : WV_EXIT_OK;
}

/* The one in force: what attach would read. */
static int policy_in_force(const struct wv_cli *cli, struct wv_policy **ret)
{
	_cleanup_(wv_config_done) struct wv_config config;
	struct wv_config_error error = {.text = ""};
	int r = wv_config_init(&config);

	if (r == 0) {
		r = wv_config_load(&config, cli->paths.config, &error);
		r = r == -ENOENT ? 0 : r;
	}
	if (r == 0)
		r = wv_policy_read(ret, &config, &cli->paths, &error);
	if (r == 0)
		return WV_EXIT_OK;
	fprintf(stderr, "waveos-bpf policy explain: %s\n",
		error.text[0] ? error.text : strerror(-r));
	return WV_EXIT_USAGE;
}

int wv_policy_explain(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_(wv_policy_freep) struct wv_policy *p = NULL;
	struct explain x = {0};
	char target[WV_ROW_PATH_MAX], expected[WV_EXPECTED_SIZE];
	int r = wv_cli_parse(cli, argc, argv, "policy explain CGROUP [--policy FILE] [--json]",
			     "  waveos-bpf policy explain /web.slice/nginx.service\n", options,
			     set_option, &x);

	if (r < 0)
		return -r;
	if (argc - r != 1 ||
	    wv_text_parse(WV_CGROUP, argv[r], target, sizeof(target), expected) < 0) {
		fprintf(stderr, "waveos-bpf policy explain: wants the path of one cgroup below its "
				"hierarchy's root, such as /system.slice/cron.service\n");
		return WV_EXIT_USAGE;
	}
	r = x.policy ? wv_policy_open("policy explain", x.policy, &p) : policy_in_force(cli, &p);
	if (r != WV_EXIT_OK)
		return r;
	x.p = p;
	return explain(&x, cli, target);
}
