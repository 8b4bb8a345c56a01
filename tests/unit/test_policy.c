// SPDX-License-Identifier: GPL-2.0-only
/* Policy files: what is read, what is refused and how it is said. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "user/flow/budget.h"
#include "user/policy/policy.h"
#include "user/policy/scope.h"

#define HEAD "schema_version: 1\nname: web\n"
#define DOMAINS                                                                                    \
	HEAD "domains:\n"                                                                          \
	     "  - {name: web, scope: {cgroup: /web.slice/*}, after: db}\n"                         \
	     "  - {name: db, scope: {unit: postgresql*}}\n"

static struct wv_policy *load(const char *text)
{
	struct wv_config_error error;
	struct wv_policy *p = NULL;

	if (wv_policy_load_memory(&p, "f.yaml", text, strlen(text), &error) < 0)
		fail_msg("%s", error.text);
	return p;
}

static void refuse(const char *text, const char *expected)
{
	struct wv_config_error error;
	struct wv_policy *p = NULL;
	int r = wv_policy_load_memory(&p, "f.yaml", text, strlen(text), &error);

	assert_null(p);
	assert_int_equal(r, -EINVAL);
	if (!strstr(error.text, expected))
		fail_msg("'%s' is not in '%s'", expected, error.text);
}

static void policy_with_every_list_is_read_and_linked(void **state)
{
	struct wv_policy *p =
		load(DOMAINS
		     "features: {kill: true, modes: false}\n"
		     "modes:\n  - name: normal\n  - {name: low, flags: [no-recs], budgets: small}\n"
		     "budgets:\n  - {name: small, domain: web, cpu: {quota: 50%}}\n"
		     "breakers:\n  - {name: b, domain: db, kind: oom_kills, limit: 3, per: 1m}\n"
		     "gates:\n  - {name: g, domain: web, kind: exec, deny: [/bin/*, /usr/bin/*]}\n"
		     "priority:\n  - {name: n, domain: web, nice_min: -5}\n"
		     "rules:\n  - {name: r, domain: web, if: \"mem_usage_bytes > 1G\", for: 10s, "
		     "then: [mode low, recover c, throttle 20%]}\n"
		     "recovery:\n  - {name: c, steps: [restart wait 30s, kill]}\n"
		     "services:\n  - {name: s, command: [/bin/true, -x]}\n");

	(void)state;
	assert_string_equal(p->name, "web");
	assert_int_equal(strlen(p->digest), 64);
	assert_int_equal(p->n_domains, 2);
	assert_int_equal(p->domains[0].after.n, 1);
	assert_int_equal(p->domains[0].after_index[0], 1);
	assert_int_equal(p->domains[0].restart_window_ns, 600000000000ULL);
	assert_true(p->features[WV_FEATURE_KILL]);
	assert_false(p->features[WV_FEATURE_MODES]);
	assert_true(p->features[WV_FEATURE_RESTART]);
	assert_false(p->features[WV_FEATURE_REBOOT]);
	assert_int_equal(p->budgets[0].domain_index, 0);
	assert_int_equal(p->budgets[0].modes, 1 << 1);
	assert_int_equal(p->breakers[0].kind, WV_BREAKER_OOM_KILLS);
	assert_int_equal(p->breakers[0].domain_index, 1);
	assert_int_equal(p->breakers[0].burst, 3);
	assert_int_equal(p->gates[0].deny.n, 2);
	assert_string_equal(p->gates[0].deny.list[1], "/usr/bin/*");
	assert_false(p->gates[0].enforce);
	assert_int_equal(p->priorities[0].nice_min, -5);
	assert_int_equal(p->rules[0].actions.n, 3);
	assert_int_equal(p->rules[0].actions.list[0].act, WV_ACT_MODE);
	assert_int_equal(p->rules[0].actions.list[0].index, 1);
	assert_int_equal(p->rules[0].actions.list[1].index, 0);
	assert_int_equal(p->rules[0].actions.list[2].cpu_ppm, 200000);
	assert_int_equal(p->chains[0].steps.list[0].wait_ns, 30000000000ULL);
	assert_false(p->chains[0].steps.list[1].has_wait);
	assert_string_equal(p->services[0].cgroup, "/waveos/s");
	assert_int_equal(p->services[0].command.n, 2);
	wv_policy_free(p);
}

static void policy_rates_of_a_budget_become_breakers(void **state)
{
	struct wv_policy *p = load(
		DOMAINS "breakers:\n  - {name: b, domain: db, kind: connects, limit: 3}\n"
			"budgets:\n  - {name: x, domain: web, rates: {forks: 100, execs: 50}}\n");

	(void)state;
	assert_int_equal(p->n_breakers, 3);
	assert_string_equal(p->breakers[1].name, "x/forks");
	assert_int_equal(p->breakers[1].kind, WV_BREAKER_FORKS);
	assert_int_equal(p->breakers[1].limit, 100);
	assert_int_equal(p->breakers[1].domain_index, 0);
	assert_int_equal(p->breakers[2].kind, WV_BREAKER_EXECS);
	/* bursts and pauses average to the rate */
	for (size_t i = 1; i < 3; i++) {
		const struct wv_breaker *b = &p->breakers[i];

		assert_int_equal((b->burst + b->probes) * 1000000000 /
					 (b->open_ns + b->half_open_ns),
				 b->limit);
	}
	wv_policy_free(p);
	refuse(DOMAINS "budgets:\n  - {name: x, cgroup: /a, rates: {forks: 1}}\n",
	       "expected `domain` instead of `cgroup`");
	refuse(DOMAINS "budgets:\n  - {name: x, domain: web, rates: {forks: 1}}\n"
		       "modes:\n  - {name: n}\n  - {name: m, budgets: x}\n",
	       "cannot depend on a mode");
}

static void policy_without_modes_has_three(void **state)
{
	struct wv_policy *p = load(HEAD);

	(void)state;
	assert_int_equal(p->n_modes, 3);
	assert_string_equal(p->modes[0].name, "normal");
	assert_string_equal(p->modes[2].name, "safe");
	wv_policy_free(p);
}

static void policy_errors_name_place_and_remedy(void **state)
{
	(void)state;
	refuse("", "f.yaml: empty");
	refuse("name: web\n", "schema_version is missing");
	refuse("schema_version: 2\nname: web\n", "f.yaml:1:17: schema_version: this agent reads");
	refuse(HEAD "rulez: []\n",
	       "f.yaml:3:1: unknown key 'rulez' in the policy; did you mean 'rules'?");
	refuse("schema_version: 1\nname: Web\n", "f.yaml:2:7: name: expected lower-case");
	refuse(HEAD "features: {rebot: true}\n", "did you mean 'reboot'?");
	refuse(HEAD "domains:\n  - {name: a}\n", "f.yaml:4:5: domain 'a': scope is missing");
	refuse(HEAD "domains:\n  - {name: a, scope: {labels: [x]}}\n", "expected key=value");
	refuse(DOMAINS "breakers:\n  - {name: b, domain: wev, kind: forks, limit: 1}\n",
	       "f.yaml:7:23: no domain is named 'wev'; did you mean 'web'?");
	refuse(DOMAINS "breakers:\n  - {name: b, domain: web, kind: fork, limit: 1}\n",
	       "did you mean 'forks'?");
	refuse(DOMAINS "breakers:\n  - {name: b, domain: web, kind: egress_packets, limit: 1, "
		       "action: kill}\n",
	       "packets have no task to kill");
	refuse(DOMAINS "rules:\n  - {name: r, domain: web, if: x, then: [mode lo]}\n",
	       "f.yaml:7:41: no mode is named 'lo'");
	refuse(DOMAINS "rules:\n  - {name: r, domain: web, if: x, then: [restrt]}\n",
	       "did you mean 'restart'?");
	refuse(DOMAINS "rules:\n  - {name: r, domain: web, if: x, then: [restart wait 3s]}\n",
	       "only steps of a recovery chain wait");
	refuse(DOMAINS "recovery:\n  - {name: c, steps: [recover c]}\n", "cannot start a chain");
	refuse(DOMAINS "recovery:\n  - {name: c, steps: [throttle]}\n", "a share of CPU time");
	refuse(HEAD "domains:\n  - {name: a, scope: {cgroup: /a}, after: b}\n"
		    "  - {name: b, scope: {cgroup: /b}, after: a}\n",
	       "waits for itself");
	refuse(DOMAINS "budgets:\n  - {name: x, domain: web, cgroup: /a, pids: {max: 1}}\n",
	       "either domain or cgroup");
	refuse(DOMAINS "budgets:\n  - {name: x, cgroup: /a, pids: {max: 1}}\n"
		       "modes:\n  - {name: n, budgets: x}\n",
	       "only a budget of a domain can depend on its mode");
	refuse(DOMAINS "gates:\n  - {name: g, domain: web, kind: exec}\n", "says nothing");
	refuse(DOMAINS "priority:\n  - {name: g, domain: web}\n", "caps nothing");
	refuse(DOMAINS "priority:\n  - {name: g, domain: web, nice_min: -21}\n",
	       "expected a whole number from -20 to 19");
	refuse(HEAD "services:\n  - {name: s, command: true}\n", "absolute path");
}

static uint32_t domain_at(const struct wv_policy *p, const char *path)
{
	struct wv_who who = {.path = path};

	wv_identity_parse(path, &who.id);
	return wv_scope_domain(p, &who);
}

static void scope_most_specific_wins(void **state)
{
	struct wv_policy *p =
		load(HEAD "domains:\n"
			  "  - {name: all, scope: {cgroup: \"/*\"}}\n"
			  "  - {name: web, scope: {cgroup: \"/web.slice/*\"}}\n"
			  "  - {name: exact, scope: {cgroup: /web.slice/a.service}}\n"
			  "  - {name: both, scope: {cgroup: \"/web.slice/*\", unit: \"b*\"}}\n"
			  "  - {name: twin, scope: {cgroup: \"/web.slice/*\"}}\n");

	(void)state;
	assert_int_equal(domain_at(p, "/other"), 0);
	assert_int_equal(domain_at(p, "/web.slice/x"), 1); /* of equals the first */
	assert_int_equal(domain_at(p, "/web.slice/a.service"), 2);
	assert_int_equal(domain_at(p, "/web.slice/b.service"), 3);
	wv_policy_free(p);
}

static void scope_pod_needs_every_part(void **state)
{
	struct wv_policy *p = load(
		HEAD
		"domains:\n"
		"  - {name: shop, scope: {namespace: shop, pod: front-*, labels: [app=front]}}\n");
	struct wv_who who = {
		.path = "/kubepods/x",
		.pod = {.namespace = "shop", .pod = "front-1", .labels = "tier=web\napp=front\n"}};

	(void)state;
	assert_true(wv_scope_needs_pods(p));
	assert_int_equal(wv_scope_domain(p, &who), 0);
	strcpy(who.pod.labels, "app=frontend\n");
	assert_int_equal(wv_scope_domain(p, &who), WV_NONE);
	strcpy(who.pod.labels, "app=front");
	assert_int_equal(wv_scope_domain(p, &who), 0);
	strcpy(who.pod.namespace, "");
	assert_int_equal(wv_scope_domain(p, &who), WV_NONE);
	wv_policy_free(p);
}

static void policy_budgets_of_the_configuration_come_first(void **state)
{
	struct wv_policy *p = load(HEAD "budgets:\n  - {name: b, cgroup: /b, pids: {max: 1}}\n");
	struct wv_budget more[1] = {{.name = "a"}};
	const char *name = NULL;

	(void)state;
	assert_int_equal(wv_policy_add_budgets(p, more, 1, &name), 0);
	assert_int_equal(p->n_budgets, 2);
	assert_string_equal(p->budgets[0].name, "a");
	assert_string_equal(p->budgets[1].name, "b");
	strcpy(more[0].name, "b");
	assert_int_equal(wv_policy_add_budgets(p, more, 1, &name), -EEXIST);
	assert_string_equal(name, "b");
	wv_policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policy_with_every_list_is_read_and_linked),
		cmocka_unit_test(policy_rates_of_a_budget_become_breakers),
		cmocka_unit_test(policy_without_modes_has_three),
		cmocka_unit_test(policy_errors_name_place_and_remedy),
		cmocka_unit_test(scope_most_specific_wins),
		cmocka_unit_test(scope_pod_needs_every_part),
		cmocka_unit_test(policy_budgets_of_the_configuration_come_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
