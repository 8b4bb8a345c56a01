/* SPDX-License-Identifier: GPL-2.0-only */
/* What the sub-verbs of `policy` share. One sub-verb a file: user/cmd/policy_<name>.c. */
#ifndef WV_CMD_POLICY_CMD_H
#define WV_CMD_POLICY_CMD_H

#include <json-c/json.h>

#include "user/cmd/cmd.h"
#include "user/policy/engine.h"
#include "user/policy/policy.h"

/* argv[0] is "policy <name>". Each returns an exit code. */
int wv_policy_check(struct wv_cli *cli, int argc, char **argv);
int wv_policy_explain(struct wv_cli *cli, int argc, char **argv);
int wv_policy_test(struct wv_cli *cli, int argc, char **argv);
int wv_policy_replay(struct wv_cli *cli, int argc, char **argv);
int wv_policy_diff(struct wv_cli *cli, int argc, char **argv);
int wv_policy_apply(struct wv_cli *cli, int argc, char **argv);

/* Loads a policy file, or the folder of one (then <folder>/policy.yaml); says what is wrong and
 * returns an exit code. */
int wv_policy_open(const char *verb, const char *path, struct wv_policy **ret);

/* policy_run.c: a policy on samples, without an agent -------------------------------------------
 */

struct wv_pod_record {
	uint64_t tick, key;
	struct wv_pod_info info;
};

/* A policy at work on a stream of samples. */
struct wv_policy_run {
	const struct wv_policy *policy;
	struct wv_engine *engine; /* NULL: the policy has no rules */
	struct wv_domains domains;
	struct json_object *states; /* to be put with the next sample: a list */
	char boot_id[40];
	uint64_t tick; /* of the sample at work */
	const struct wv_pod_record *pods;
	size_t n_pods;
	const struct wv_sample *sample;
};
/* Release with wv_policy_run_done(). 0 or -errno. */
int wv_policy_run_init(struct wv_policy_run *r, const struct wv_policy *policy, uint32_t max_rows,
		       uint64_t max_gap_ns);
void wv_policy_run_done(struct wv_policy_run *r);
/* What was open before the next sample (wv_rules_states_json()); does not take the reference. */
void wv_policy_run_put(struct wv_policy_run *r, struct json_object *states);
size_t wv_policy_run_tick(struct wv_policy_run *r, const struct wv_sample *s,
			  const struct wv_rule_decision **ret);

/* One decision, kept. */
struct wv_kept {
	uint64_t tick, at_ns, key; /* at_ns: monotonic */
	char rule[WV_POLICY_NAME], cgroup[WV_ROW_PATH_MAX];
	uint8_t from, to, withheld;
};
struct wv_kept_list {
	struct wv_kept *list;
	size_t n, room;
};
int wv_kept_add(struct wv_kept_list *l, const struct wv_policy *p, const struct wv_sample *s,
		const struct wv_rule_decision *d);
void wv_kept_done(struct wv_kept_list *l);
/* Order: tick, rule, cgroup key, verdict. */
int wv_kept_compare(const struct wv_kept *a, const struct wv_kept *b);
void wv_kept_sort(struct wv_kept_list *l);
struct json_object *wv_kept_json(const struct wv_kept *k, uint64_t start_ns);
/* "  12.0 s  rule on /cgroup: closed -> open (withheld: ...)" */
void wv_kept_print(FILE *f, const struct wv_kept *k, uint64_t start_ns, const char *lead);

/* policy_recorded.c: a recorded run -------------------------------------------------------------
 */

struct wv_recorded {
	int dir; /* of the run */
	char path[2 * WV_PATH_SIZE], boot_id[40];
	uint64_t tick_interval_ns;
	uint32_t max_rows;	       /* slots that the agent had */
	struct wv_kept_list decisions; /* of rules, as they were made live */
	struct wv_pod_record *pods;
	size_t n_pods;
	struct json_object *adopted; /* list of records of breakers that were taken over */
};
/* run: an id, a folder, or `latest`. Says what is wrong; returns an exit code. */
int wv_recorded_open(struct wv_recorded *r, const char *verb, const struct wv_paths *paths,
		     const char *run);
void wv_recorded_done(struct wv_recorded *r);
/* What came of feeding a run to a policy. */
struct wv_replayed {
	struct wv_kept_list decisions;
	uint64_t ticks, start_ns, end_ns; /* monotonic time of the first and last sample */
	uint64_t took_ns;
	uint64_t policies; /* that were in force, for a replay of what ran live */
};
/* policy: NULL for the one (or those) that ran live. Says what is wrong; returns an exit code. */
int wv_recorded_replay(const struct wv_recorded *r, const char *verb,
		       const struct wv_policy *policy, struct wv_replayed *ret);

#endif
