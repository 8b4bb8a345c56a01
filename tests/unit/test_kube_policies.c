// SPDX-License-Identifier: GPL-2.0-only
/* Which WaveosPolicy counts on a node, the policy file that comes of it, and what its status says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
// after these
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "user/core/cleanup.h"
#include "user/kube/json.h"
#include "user/kube/policies.h"
#include "user/policy/policy.h"

static struct wv_kube_policies set;

static int setup(void **state _unused_)
{
	set = (struct wv_kube_policies){.node = "n1"};
	return 0;
}

static int teardown(void **state _unused_)
{
	wv_kube_policies_done(&set);
	return 0;
}

static struct json_object *parse(const char *text)
{
	struct json_object *o = wv_kube_parse(text, strlen(text));

	assert_non_null(o);
	return o;
}

static struct json_object *object(const char *name, int generation, const char *created,
				  const char *spec)
{
	char text[2048];

	snprintf(text, sizeof(text),
		 "{\"metadata\":{\"name\":\"%s\",\"generation\":%d,\"creationTimestamp\":\"%s\","
		 "\"resourceVersion\":\"77\"},\"spec\":%s}",
		 name, generation, created, spec);
	return parse(text);
}

static void take(const char *name, const char *created, const char *spec)
{
	struct json_object *o = object(name, 1, created, spec);

	wv_kube_policies_take(&set, o);
	json_object_put(o);
}

static struct wv_kube_policy *get(const char *name)
{
	for (size_t i = 0; i < set.n; i++)
		if (strcmp(set.list[i]->name, name) == 0)
			return set.list[i];
	fail_msg("%s is not there", name);
	return NULL;
}

#define POLICY                                                                                     \
	"\"policy\":{\"domains\":[{\"name\":\"d\",\"scope\":{\"namespace\":\"shop\"}}],"           \
	"\"budgets\":["                                                                            \
	"{\"name\":\"b\",\"domain\":\"d\",\"cpu\":{\"quota\":\"20%\"}}]}"

static void render_monitors_unless_told_to_enforce(void **state _unused_)
{
	for (int enforce = 0; enforce < 2; enforce++) {
		struct json_object *o =
			object("a.b", 1, "",
			       enforce ? "{\"mode\":\"enforce\"," POLICY "}" : "{" POLICY "}");
		_cleanup_(wv_policy_freep) struct wv_policy *p = NULL;
		_cleanup_free_ char *text = NULL;
		struct wv_config_error e;
		char version[80], error[256] = "";
		unsigned findings;
		size_t len;

		assert_int_equal(wv_kube_policy_render(o, &text, &len, version, &findings, error,
						       sizeof(error)),
				 0);
		assert_int_equal(wv_policy_load_memory(&p, "x", text, len, &e), 0);
		assert_string_equal(p->name, "a-b");
		assert_int_equal(strncmp(version, "a-b@", 4), 0);
		assert_int_equal(strncmp(version + 4, p->digest, 12), 0);
		assert_int_equal(p->n_budgets, 1);
		for (int f = 0; f < WV_FEATURE_N; f++)
			if (!enforce)
				assert_false(p->features[f]);
		assert_true(p->features[WV_FEATURE_BUDGETS] == (enforce == 1));
		json_object_put(o);
	}
}

static void render_tells_what_is_wrong(void **state _unused_)
{
	static const char *const wrong[][2] = {
		{"{}", "spec.policy is missing"},
		{"{\"policy\":{\"budget\":[]}}", "budget"},
		{"{\"policy\":{\"budgets\":[{\"name\":\"b\",\"domain\":\"none\","
		 "\"cpu\":{\"quota\":\"20%\"}}]}}",
		 "none"},
		{"{\"mode\":\"monitor\",\"policy\":{\"rules\":3}}", "rules"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		take("p", "2026", wrong[i][0]);
		wv_kube_policies_choose(&set);
		assert_null(set.chosen);
		assert_int_equal(get("p")->verdict, WV_KUBE_INVALID);
		if (!strstr(get("p")->message, wrong[i][1]))
			fail_msg("%s: %s", wrong[i][0], get("p")->message);
		wv_kube_policies_begin(&set);
		wv_kube_policies_fresh(&set);
	}
}

static void chosen_is_highest_then_oldest_then_first_by_name(void **state _unused_)
{
	take("young", "2026-02-01T00:00:00Z", "{\"precedence\":5," POLICY "}");
	take("z-old", "2026-01-01T00:00:00Z", "{\"precedence\":5," POLICY "}");
	take("a-old", "2026-01-01T00:00:00Z", "{\"precedence\":5," POLICY "}");
	take("low", "2020-01-01T00:00:00Z", "{" POLICY "}");
	take("bad", "2020-01-01T00:00:00Z", "{\"precedence\":9,\"policy\":{\"x\":1}}");
	wv_kube_policies_choose(&set);
	assert_string_equal(set.chosen->name, "a-old");
	assert_int_equal(get("z-old")->verdict, WV_KUBE_SUPERSEDED);
	assert_non_null(strstr(get("low")->message, "a-old"));
	get("a-old")->refused = true;
	wv_kube_policies_choose(&set);
	assert_string_equal(set.chosen->name, "z-old");
	assert_int_equal(get("a-old")->verdict, WV_KUBE_REFUSED);
}

static void chosen_must_select_the_node(void **state _unused_)
{
	take("gpu", "2026",
	     "{\"precedence\":5,\"nodeSelector\":{\"pool\":\"gpu\",\"os\":\"linux\"}," POLICY "}");
	take("all", "2026", "{\"nodeSelector\":{}," POLICY "}");
	assert_true(wv_kube_policies_want_labels(&set));
	wv_kube_policies_choose(&set);
	assert_string_equal(set.chosen->name, "all"); /* labels are not known */
	set.labels = parse("{\"pool\":\"gpu\"}");
	set.labels_known = true;
	wv_kube_policies_choose(&set);
	assert_string_equal(set.chosen->name, "all");
	json_object_put(set.labels);
	set.labels = parse("{\"pool\":\"gpu\",\"os\":\"linux\",\"x\":\"y\"}");
	wv_kube_policies_choose(&set);
	assert_string_equal(set.chosen->name, "gpu");
	assert_int_equal(get("all")->verdict, WV_KUBE_SUPERSEDED);
}

static void made_anew_under_the_same_name_is_read_again(void **state _unused_)
{
	take("p", "2026-01-01T00:00:00Z", "{\"policy\":{\"x\":1}}");
	assert_null(get("p")->text);
	take("p", "2026-01-02T00:00:00Z", "{" POLICY "}");
	assert_non_null(get("p")->text);
	get("p")->refused = true;
	take("p", "2026-01-02T00:00:00Z", "{" POLICY "}"); /* only its status changed */
	assert_true(get("p")->refused);
}

static void policies_over_the_maximum_are_counted(void **state _unused_)
{
	char name[32];

	for (int i = 0; i < WV_KUBE_POLICIES_MAX + 2; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		take(name, "2026", "{" POLICY "}");
	}
	assert_int_equal(set.n, WV_KUBE_POLICIES_MAX);
	assert_int_equal(set.dropped, 2);
}

/* Status ----------------------------------------------------------------------------------------
 */

static struct json_object *first_status(struct wv_kube_policy *k)
{
	struct json_object *patch;

	k->verdict = WV_KUBE_ENFORCED;
	snprintf(k->message, sizeof(k->message), "in force");
	patch = wv_kube_policy_status(k, "n1", "2026-03-01T00:00:00Z", false);
	assert_non_null(patch);
	return patch;
}

/* What the API server makes of a merge patch of an object's status (two levels will do). */
static void apply(struct wv_kube_policy *k, struct json_object *patch)
{
	struct json_object *status = wv_kube_object(k->object, "status"), *o = NULL;
	struct json_object *nodes;

	json_object_deep_copy(k->object, &o, NULL);
	if (!status)
		json_object_object_add(o, "status", json_object_new_object());
	status = wv_kube_object(o, "status");
	if (!wv_kube_object(status, "nodes"))
		json_object_object_add(status, "nodes", json_object_new_object());
	nodes = wv_kube_object(status, "nodes");
	json_object_object_foreach(wv_kube_object(patch, "status"), key, value)
	{
		if (strcmp(key, "nodes") != 0) {
			json_object_object_add(status, key, json_object_get(value));
			continue;
		}
		json_object_object_foreach(value, name, node)
		{
			if (node)
				json_object_object_add(nodes, name, json_object_get(node));
			else
				json_object_object_del(nodes, name);
		}
	}
	wv_kube_policies_take(&set, o);
	json_object_put(o);
	json_object_put(patch);
}

static void status_tells_this_node_then_the_summary_then_nothing(void **state _unused_)
{
	struct json_object *patch, *status;
	struct wv_kube_policy *k;

	take("p", "2026", "{\"mode\":\"enforce\"," POLICY "}");
	k = get("p");
	patch = first_status(k);
	assert_null(wv_kube_object(patch, "metadata")); /* no version: it cannot conflict */
	status = wv_kube_object(wv_kube_object(wv_kube_object(patch, "status"), "nodes"), "n1");
	assert_int_equal(wv_kube_int(status, "observedGeneration"), 1);
	assert_string_equal(wv_kube_text(status, "policyVersion"), k->version);
	assert_true(k->summed_wrong);
	apply(k, patch);
	k = get("p");
	assert_null(wv_kube_policy_status(k, "n1", "2026-03-02T00:00:00Z", false));
	patch = wv_kube_policy_status(k, "n1", "2026-03-02T00:00:00Z", true);
	assert_string_equal(wv_kube_text(wv_kube_object(patch, "metadata"), "resourceVersion"),
			    "77");
	assert_string_equal(wv_kube_text(wv_kube_object(patch, "status"), "enforcedNodes"), "1/1");
	apply(k, patch);
	k = get("p");
	assert_null(wv_kube_policy_status(k, "n1", "2026-03-03T00:00:00Z", true));
	assert_false(k->summed_wrong);
}

static void status_summary_names_the_first_node_that_says_no(void **state _unused_)
{
	struct json_object *o, *c;
	struct wv_kube_policy *k;

	take("p", "2026", "{\"mode\":\"enforce\"," POLICY "}");
	apply(get("p"), first_status(get("p")));
	k = get("p");
	k->verdict = WV_KUBE_REFUSED;
	snprintf(k->message, sizeof(k->message), "no LSM");
	o = wv_kube_policy_status(k, "n0", "2026-03-02T00:00:00Z", true);
	c = json_object_array_get_idx(wv_kube_list(wv_kube_object(o, "status"), "conditions"), 1);
	assert_string_equal(wv_kube_text(c, "type"), "Enforced");
	assert_string_equal(wv_kube_text(c, "status"), "False");
	assert_string_equal(wv_kube_text(c, "reason"), "Refused");
	assert_string_equal(wv_kube_text(c, "message"), "1 of 2 nodes; n0: no LSM");
	assert_string_equal(wv_kube_text(wv_kube_object(o, "status"), "enforcedNodes"), "1/2");
	json_object_put(o);
	assert_int_equal(wv_kube_policy_rank(k, "n0"), 0);
	assert_int_equal(wv_kube_policy_rank(k, "n2"), 1);
}

static void status_keeps_the_time_of_the_last_change(void **state _unused_)
{
	struct json_object *patch, *list;
	struct wv_kube_policy *k;

	take("p", "2026", "{\"mode\":\"enforce\"," POLICY "}");
	apply(get("p"), first_status(get("p")));
	k = get("p");
	k->verdict = WV_KUBE_MONITORED;
	patch = wv_kube_policy_status(k, "n1", "2026-03-09T00:00:00Z", false);
	list = wv_kube_list(
		wv_kube_object(wv_kube_object(wv_kube_object(patch, "status"), "nodes"), "n1"),
		"conditions");
	assert_string_equal(wv_kube_text(json_object_array_get_idx(list, 0), "lastTransitionTime"),
			    "2026-03-01T00:00:00Z"); /* Accepted as before */
	assert_string_equal(wv_kube_text(json_object_array_get_idx(list, 1), "lastTransitionTime"),
			    "2026-03-09T00:00:00Z");
	json_object_put(patch);
}

static void status_of_a_policy_for_other_nodes_takes_ours_away(void **state _unused_)
{
	struct json_object *patch, *nodes, *mine = NULL;
	struct wv_kube_policy *k;

	take("p", "2026", "{\"mode\":\"enforce\"," POLICY "}");
	get("p")->verdict = WV_KUBE_NOT_SELECTED;
	assert_null(wv_kube_policy_status(get("p"), "n1", "2026", true));
	apply(get("p"), first_status(get("p")));
	k = get("p");
	k->verdict = WV_KUBE_NOT_SELECTED;
	patch = wv_kube_policy_status(k, "n1", "2026", false);
	nodes = wv_kube_object(wv_kube_object(patch, "status"), "nodes");
	assert_true(json_object_object_get_ex(nodes, "n1", &mine));
	assert_null(mine);
	json_object_put(patch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(render_monitors_unless_told_to_enforce),
		T(render_tells_what_is_wrong),
		T(chosen_is_highest_then_oldest_then_first_by_name),
		T(chosen_must_select_the_node),
		T(made_anew_under_the_same_name_is_read_again),
		T(policies_over_the_maximum_are_counted),
		T(status_tells_this_node_then_the_summary_then_nothing),
		T(status_summary_names_the_first_node_that_says_no),
		T(status_keeps_the_time_of_the_last_change),
		T(status_of_a_policy_for_other_nodes_takes_ours_away),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
