// SPDX-License-Identifier: GPL-2.0-only
/*
 * The status of a WaveosPolicy. Each machine writes its own key of `nodes` only, by a merge patch:
 * machines do not get in each other's way. The summary over all of them is written with the version
 * of the object that it was made from, and a conflict means that someone knows better.
 */
#include <stdio.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/sha256.h"
#include "user/kube/json.h"
#include "user/kube/policies.h"

static const char *const types[] = {"Accepted", "Enforced"};

static struct json_object *nodes_of(const struct wv_kube_policy *k)
{
	return wv_kube_object(wv_kube_object(k->object, "status"), "nodes");
}

static struct json_object *find_condition(struct json_object *list, const char *type)
{
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *c = json_object_array_get_idx(list, i);

		if (strcmp(wv_kube_text(c, "type"), type) == 0)
			return c;
	}
	return NULL;
}

/* The time of the last change stays where nothing changed. */
static struct json_object *condition(struct json_object *old, const char *type, bool status,
				     const char *reason, const char *message, const char *now)
{
	struct json_object *before = find_condition(old, type), *o = json_object_new_object();
	const char *word = status ? "True" : "False";
	bool same = before && strcmp(wv_kube_text(before, "status"), word) == 0;

	json_object_object_add(o, "type", json_object_new_string(type));
	json_object_object_add(o, "status", json_object_new_string(word));
	json_object_object_add(o, "reason", json_object_new_string(reason));
	json_object_object_add(o, "message", json_object_new_string(message));
	json_object_object_add(
		o, "lastTransitionTime",
		json_object_new_string(same ? wv_kube_text(before, "lastTransitionTime") : now));
	return o;
}

static struct json_object *node_status(const struct wv_kube_policy *k, struct json_object *node,
				       const char *now)
{
	struct json_object *old = wv_kube_list(node, "conditions");
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	bool accepted = k->verdict != WV_KUBE_INVALID && k->verdict != WV_KUBE_REFUSED;
	char message[128] = "the policy is right by schema and language";

	if (k->findings)
		snprintf(message, sizeof(message),
			 "the policy is right by schema and language; `policy check` has %u "
			 "findings",
			 k->findings);
	json_object_array_add(list, condition(old, types[0], accepted,
					      accepted ? "Valid" : wv_kube_verdicts[k->verdict],
					      accepted ? message : k->message, now));
	json_object_array_add(list, condition(old, types[1], k->verdict == WV_KUBE_ENFORCED,
					      wv_kube_verdicts[k->verdict], k->message, now));
	json_object_object_add(o, "observedGeneration", json_object_new_int64(k->generation));
	/* in a merge patch, null takes away what an earlier generation had */
	if (*k->version || json_object_object_get_ex(node, "policyVersion", NULL))
		json_object_object_add(o, "policyVersion",
				       *k->version ? json_object_new_string(k->version) : NULL);
	json_object_object_add(o, "conditions", list);
	return o;
}

/* The summary ------------------------------------------------------------------------------------
 */

struct sum {
	int nodes, accepted, enforced;
	const char *reason[2], *message[2], *node[2]; /* of the first that says no, by name */
};

static void add_node(struct sum *s, const char *name, struct json_object *node, int64_t generation)
{
	struct json_object *list = wv_kube_list(node, "conditions");
	bool current = wv_kube_int(node, "observedGeneration") == generation;
	int *counts[] = {&s->accepted, &s->enforced};

	s->nodes++;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct json_object *c = find_condition(list, types[i]);

		if (current && strcmp(wv_kube_text(c, "status"), "True") == 0) {
			(*counts[i])++;
		} else if (!s->node[i] || strcmp(name, s->node[i]) < 0) {
			s->node[i] = name;
			s->reason[i] = current ? wv_kube_text(c, "reason") : "Outdated";
			s->message[i] = current ? wv_kube_text(c, "message")
						: "it has seen an older generation only";
		}
	}
}

static struct json_object *summary(const struct wv_kube_policy *k, struct json_object *nodes,
				   const char *now)
{
	struct json_object *status = wv_kube_object(k->object, "status"),
			   *o = json_object_new_object();
	struct json_object *old = wv_kube_list(status, "conditions"),
			   *list = json_object_new_array();
	struct sum s = {0};
	char text[700];

	json_object_object_foreach(nodes, name, node)
	{
		if (json_object_is_type(node, json_type_object))
			add_node(&s, name, node, k->generation);
	}
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int count = i ? s.enforced : s.accepted;

		if (s.node[i])
			snprintf(text, sizeof(text), "%d of %d nodes; %.200s: %.400s", count,
				 s.nodes, s.node[i], s.message[i]);
		else
			snprintf(text, sizeof(text), "%d of %d nodes", count, s.nodes);
		json_object_array_add(list, condition(old, types[i], s.nodes && !s.node[i],
						      s.node[i] ? s.reason[i]
						      : i	? "InForce"
								: "Valid",
						      text, now));
	}
	snprintf(text, sizeof(text), "%d/%d", s.enforced, s.nodes);
	json_object_object_add(o, "observedGeneration", json_object_new_int64(k->generation));
	json_object_object_add(o, "enforcedNodes", json_object_new_string(text));
	json_object_object_add(o, "conditions", list);
	return o;
}

/* Whether every member of new is in old just so. */
static bool contains(struct json_object *old, struct json_object *new)
{
	json_object_object_foreach(new, key, value)
	{
		struct json_object *have;

		if (!json_object_object_get_ex(old, key, &have) || !json_object_equal(have, value))
			return false;
	}
	return true;
}

/* What the nodes will be once this machine's part is in. */
static struct json_object *nodes_after(const struct wv_kube_policy *k, const char *node,
				       struct json_object *mine)
{
	struct json_object *o = NULL;

	if (!nodes_of(k) || json_object_deep_copy(nodes_of(k), &o, NULL) < 0)
		o = json_object_new_object();
	if (mine)
		json_object_object_add(o, node, json_object_get(mine));
	else
		json_object_object_del(o, node);
	return o;
}

unsigned wv_kube_policy_rank(const struct wv_kube_policy *k, const char *node)
{
	struct json_object *nodes = nodes_of(k);
	unsigned rank = 0;

	if (!nodes)
		return 0;
	json_object_object_foreach(nodes, name, value)
	{
		(void)value;
		rank += strcmp(name, node) < 0;
	}
	return rank;
}

struct json_object *wv_kube_policy_status(struct wv_kube_policy *k, const char *node,
					  const char *now, bool sum)
{
	struct json_object *old = wv_kube_object(nodes_of(k), node), *status, *patch = NULL;
	struct json_object *mine =
		k->verdict == WV_KUBE_NOT_SELECTED ? NULL : node_status(k, old, now);
	struct json_object *nodes = nodes_after(k, node, mine), *all = summary(k, nodes, now);
	bool told = mine ? old && json_object_equal(old, mine) : !old, summed;

	summed = contains(wv_kube_object(k->object, "status"), all) || (!mine && !old);
	k->summed_wrong = !summed;
	if (told && (summed || !sum))
		goto out;
	patch = json_object_new_object();
	/* an object that nobody tells of any more keeps its last summary until somebody does */
	status = sum && !summed ? json_object_get(all) : json_object_new_object();
	if (sum && !summed) {
		struct json_object *metadata = json_object_new_object();

		json_object_object_add(
			metadata, "resourceVersion",
			json_object_new_string(wv_kube_text(wv_kube_object(k->object, "metadata"),
							    "resourceVersion")));
		json_object_object_add(patch, "metadata", metadata);
	}
	if (!told) {
		struct json_object *part = json_object_new_object();

		json_object_object_add(part, node, json_object_get(mine)); /* null: away with it */
		json_object_object_add(status, "nodes", part);
	}
	json_object_object_add(patch, "status", status);
out:
	json_object_put(all);
	json_object_put(nodes);
	json_object_put(mine);
	return patch;
}
