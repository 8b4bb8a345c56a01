// SPDX-License-Identifier: GPL-2.0-only
#include "user/kube/policies.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/kube/json.h"
#include "user/policy/lint.h"
#include "user/policy/policy.h"

const char *const wv_kube_verdicts[WV_KUBE_VERDICT_N] = {
	[WV_KUBE_NOT_SELECTED] = "NotSelected", [WV_KUBE_INVALID] = "Invalid",
	[WV_KUBE_SUPERSEDED] = "Superseded",	[WV_KUBE_LOCAL] = "LocalPolicy",
	[WV_KUBE_PENDING] = "Pending",		[WV_KUBE_REFUSED] = "Refused",
	[WV_KUBE_MONITORED] = "Monitored",	[WV_KUBE_ENFORCED] = "InForce",
};

/* From an object to a policy file ----------------------------------------------------------------
 */

/* Names of objects may have dots, those of policies not. */
static void default_name(struct json_object *metadata, char ret[64])
{
	snprintf(ret, 64, "%s", wv_kube_text(metadata, "name"));
	for (char *c = ret; *c; c++)
		if (*c == '.')
			*c = '-';
}

static void features_off(struct json_object *policy)
{
	struct json_object *off = json_object_new_object();

	for (int i = 0; i < WV_FEATURE_N; i++)
		json_object_object_add(off, wv_feature_names[i], json_object_new_boolean(false));
	json_object_object_add(policy, "features", off);
}

static void count_finding(void *ctx, unsigned line _unused_, const char *text _unused_)
{
	(*(unsigned *)ctx)++;
}

static int check(const char *name, const char *text, size_t len, unsigned *ret_findings,
		 char version[80], char *error, size_t size)
{
	_cleanup_(wv_policy_freep) struct wv_policy *p = NULL;
	struct wv_config_error e = {.text = ""};
	int r = wv_policy_load_memory(&p, name, text, len, &e);

	if (r < 0) {
		snprintf(error, size, "%s", e.text[0] ? e.text : strerror(-r));
		return -EINVAL;
	}
	if (ret_findings)
		wv_policy_lint(p, count_finding, ret_findings);
	snprintf(version, 80, "%.60s@%.12s", p->name, p->digest);
	return 0;
}

static const char *text_of(struct json_object *o, size_t *ret_len)
{
	return json_object_to_json_string_length(o, JSON_C_TO_STRING_PRETTY, ret_len);
}

int wv_kube_policy_render(struct json_object *object, char **ret, size_t *ret_len, char version[80],
			  unsigned *ret_findings, char *error, size_t size)
{
	struct json_object *spec = wv_kube_object(object, "spec");
	struct json_object *metadata = wv_kube_object(object, "metadata");
	_cleanup_(wv_kube_putp) struct json_object *policy = NULL;
	const char *text;
	char name[64];
	size_t len;
	int r;

	if (!wv_kube_object(spec, "policy") ||
	    json_object_deep_copy(wv_kube_object(spec, "policy"), &policy, NULL) < 0) {
		snprintf(error, size, "spec.policy is missing");
		return -EINVAL;
	}
	default_name(metadata, name);
	if (!*wv_kube_text(policy, "name"))
		json_object_object_add(policy, "name", json_object_new_string(name));
	if (!json_object_object_get_ex(policy, "schema_version", NULL))
		json_object_object_add(policy, "schema_version", json_object_new_int(1));
	*ret_findings = 0;
	text = text_of(policy, &len);
	r = check(name, text, len, ret_findings, version, error, size);
	if (r == 0 && strcmp(wv_kube_text(spec, "mode"), "enforce") != 0) {
		features_off(policy);
		text = text_of(policy, &len);
		r = check(name, text, len, NULL, version, error, size);
	}
	if (r < 0)
		return r;
	*ret = strndup(text, len);
	if (!*ret)
		return -ENOMEM;
	*ret_len = len;
	return 0;
}

/* The set ----------------------------------------------------------------------------------------
 */

static void forget(struct wv_kube_policy *k)
{
	if (!k)
		return;
	json_object_put(k->object);
	free(k->text);
	free(k);
}

static int index_of(const struct wv_kube_policies *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->list[i]->name, name) == 0)
			return (int)i;
	return -1;
}

static void drop(struct wv_kube_policies *p, size_t at)
{
	if (p->chosen == p->list[at])
		p->chosen = NULL;
	forget(p->list[at]);
	p->list[at] = p->list[--p->n];
}

static struct wv_kube_policy *find_or_add(struct wv_kube_policies *p, const char *name)
{
	int at = index_of(p, name);
	struct wv_kube_policy *k;

	if (at >= 0)
		return p->list[at];
	if (p->n == WV_KUBE_POLICIES_MAX) {
		p->dropped++;
		return NULL;
	}
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	snprintf(k->name, sizeof(k->name), "%s", name);
	p->list[p->n++] = k;
	return k;
}

static void read_spec(struct wv_kube_policy *k)
{
	struct json_object *spec = wv_kube_object(k->object, "spec");

	k->precedence = wv_kube_int(spec, "precedence");
	k->enforce = strcmp(wv_kube_text(spec, "mode"), "enforce") == 0;
	free(k->text);
	k->text = NULL;
	k->text_len = 0;
	k->version[0] = k->error[0] = '\0';
	k->refused = k->noted = false;
	k->failures = 0;
	k->due_ns = 0;
	(void)wv_kube_policy_render(k->object, &k->text, &k->text_len, k->version, &k->findings,
				    k->error, sizeof(k->error));
}

void wv_kube_policies_take(struct wv_kube_policies *p, struct json_object *o)
{
	struct json_object *metadata = wv_kube_object(o, "metadata");
	const char *name = wv_kube_text(metadata, "name");
	struct wv_kube_policy *k = *name ? find_or_add(p, name) : NULL;
	int64_t generation = wv_kube_int(metadata, "generation");
	const char *created = wv_kube_text(metadata, "creationTimestamp");
	bool same;

	if (!k)
		return;
	/* one that was deleted and made anew starts with generation 1 again */
	same = k->object && k->generation == generation && strcmp(k->created, created) == 0;
	json_object_put(k->object);
	k->object = json_object_get(o);
	k->seen = true;
	k->generation = generation;
	snprintf(k->created, sizeof(k->created), "%s", created);
	if (!same)
		read_spec(k);
}

void wv_kube_policies_gone(struct wv_kube_policies *p, struct json_object *o)
{
	int at = index_of(p, wv_kube_text(wv_kube_object(o, "metadata"), "name"));

	if (at >= 0)
		drop(p, (size_t)at);
}

void wv_kube_policies_begin(struct wv_kube_policies *p)
{
	for (size_t i = 0; i < p->n; i++)
		p->list[i]->seen = false;
}

void wv_kube_policies_fresh(struct wv_kube_policies *p)
{
	for (size_t i = p->n; i-- > 0;)
		if (!p->list[i]->seen)
			drop(p, i);
}

void wv_kube_policies_done(struct wv_kube_policies *p)
{
	while (p->n)
		drop(p, 0);
	json_object_put(p->labels);
	p->labels = NULL;
}

/* Which one counts -------------------------------------------------------------------------------
 */

static struct json_object *selector_of(const struct wv_kube_policy *k)
{
	struct json_object *s = wv_kube_object(wv_kube_object(k->object, "spec"), "nodeSelector");

	return s && json_object_object_length(s) ? s : NULL;
}

bool wv_kube_policies_want_labels(const struct wv_kube_policies *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (selector_of(p->list[i]))
			return true;
	return false;
}

static bool selects(const struct wv_kube_policies *p, const struct wv_kube_policy *k)
{
	struct json_object *selector = selector_of(k);

	if (!selector)
		return true;
	if (!p->labels_known)
		return false;
	json_object_object_foreach(selector, key, value)
	{
		struct json_object *have;

		if (!json_object_object_get_ex(p->labels, key, &have) ||
		    strcmp(json_object_get_string(have) ?: "",
			   json_object_get_string(value) ?: "") != 0)
			return false;
	}
	return true;
}

static bool comes_before(const struct wv_kube_policy *a, const struct wv_kube_policy *b)
{
	int age;

	if (a->precedence != b->precedence)
		return a->precedence > b->precedence;
	age = strcmp(a->created, b->created); /* RFC 3339 in UTC: as texts, as times */
	return age ? age < 0 : strcmp(a->name, b->name) < 0;
}

void wv_kube_policies_choose(struct wv_kube_policies *p)
{
	const struct wv_kube_policy *best = NULL;

	for (size_t i = 0; i < p->n; i++) {
		struct wv_kube_policy *k = p->list[i];

		k->verdict = !selects(p, k) ? WV_KUBE_NOT_SELECTED
			     : !k->text	    ? WV_KUBE_INVALID
			     : k->refused   ? WV_KUBE_REFUSED
					    : WV_KUBE_SUPERSEDED;
		if (k->verdict == WV_KUBE_INVALID)
			snprintf(k->message, sizeof(k->message), "%s", k->error);
		if (k->verdict == WV_KUBE_SUPERSEDED && (!best || comes_before(k, best)))
			best = k;
	}
	for (size_t i = 0; i < p->n; i++)
		if (p->list[i]->verdict == WV_KUBE_SUPERSEDED && p->list[i] != best)
			snprintf(p->list[i]->message, sizeof(p->list[i]->message),
				 "WaveosPolicy %s comes first (precedence, then age)", best->name);
	p->chosen = best;
}
