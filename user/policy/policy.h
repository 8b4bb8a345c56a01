/* SPDX-License-Identifier: GPL-2.0-only */
/* Policy files: read, checked, references resolved. See docs/policy.md. */
#ifndef WV_POLICY_POLICY_H
#define WV_POLICY_POLICY_H

#include "user/core/config.h"
#include "user/flow/policy.h"

#define WV_POLICY_SCHEMA_VERSION 1
#define WV_POLICY_MODES_MAX 64 /* a budget's modes are a bit mask */

/*
 * Reads a policy. On success *ret is a new policy, to be released with wv_policy_free(). -ENOENT:
 * no such file; -EINVAL with *ret_error filled ("file:line:column: ...") for anything that is wrong
 * in it; else another -errno.
 */
int wv_policy_load(struct wv_policy **ret, const char *path, struct wv_config_error *ret_error);
/* Same from memory; name stands for the file in messages. */
int wv_policy_load_memory(struct wv_policy **ret, const char *name, const char *text, size_t len,
			  struct wv_config_error *ret_error);
/* A policy that declares nothing, to be released too. NULL: out of memory. */
struct wv_policy *wv_policy_new(void);
void wv_policy_free(struct wv_policy *p);
static inline void wv_policy_freep(struct wv_policy **p)
{
	wv_policy_free(*p);
}
/*
 * Adds budgets of the configuration before the policy's own, so that whoever enforces sees one
 * list. -EEXIST: a name is in both (*ret_name).
 */
int wv_policy_add_budgets(struct wv_policy *p, const struct wv_budget *budgets, size_t n,
			  const char **ret_name);

/* Parses one action: "mode degraded", "restart wait 30s". -EINVAL with expected filled. Names are
 * left in *ret_name (into text's copy buf); indices are resolved by the caller. */
int wv_step_parse(const char *text, struct wv_step *ret, char *ret_name, size_t size,
		  char expected[WV_EXPECTED_SIZE]);

extern const char *const wv_act_names[WV_ACT_N];
extern const char *const wv_feature_names[WV_FEATURE_N];
extern const char *const wv_breaker_kind_names[WV_BREAKER_N];
extern const char *const wv_gate_kind_names[WV_GATE_N];
/* enum wv_feature that gates an act; WV_FEATURE_N: none does */
enum wv_feature wv_act_feature(enum wv_act act);

/* The lists of a policy file in the order of the documents (policy.def). */
struct wv_policy_list_info {
	const char *name, *rows, *doc; /* rows: list of the fields, mostly the name */
};
extern const struct wv_policy_list_info wv_policy_lists[];
extern const size_t wv_policy_lists_count;
void wv_policy_print_schema(FILE *f);
void wv_policy_print_markdown(FILE *f);

/* policy_link.c: resolves names to indices; root is the document's mapping. */
int wv_policy_link(struct wv_policy *p, const struct wv_yaml *y, const yaml_node_t *root);

#endif
