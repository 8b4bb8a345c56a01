// SPDX-License-Identifier: GPL-2.0-only
/* policy replay and policy diff: what policies make of a recorded run. */
#include <stdio.h>
#include <string.h>

#include "user/cmd/policy_cmd.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"

struct options {
	const char *policy, *run;
};

static const struct wv_option replay_options[] = {
	{"policy", 'p', "FILE", "replay this policy instead of what ran live"},
	{0},
};
static const struct wv_option diff_options[] = {
	{"on", 0, "RUN", "the recorded run: its id, its folder, or latest (default)"},
	{0},
};

static int set_policy(void *ctx, const struct wv_option *o, const char *value)
{
	(void)o;
	((struct options *)ctx)->policy = value;
	return 0;
}

static int set_run(void *ctx, const struct wv_option *o, const char *value)
{
	(void)o;
	((struct options *)ctx)->run = value;
	return 0;
}

/* How two sorted lists differ. */
struct difference {
	const struct wv_kept *only_a, *only_b; /* one of them is NULL */
};

/* The next difference from *i and *j on, false if there is none. */
static bool next_difference(const struct wv_kept_list *a, const struct wv_kept_list *b, size_t *i,
			    size_t *j, struct difference *ret)
{
	while (*i < a->n || *j < b->n) {
		int c = *i == a->n   ? 1
			: *j == b->n ? -1
				     : wv_kept_compare(&a->list[*i], &b->list[*j]);

		if (c == 0) {
			(*i)++;
			(*j)++;
			continue;
		}
		*ret = (struct difference){NULL, NULL};
		if (c < 0)
			ret->only_a = &a->list[(*i)++];
		else
			ret->only_b = &b->list[(*j)++];
		return true;
	}
	return false;
}

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

static void add_speed(struct json_object *o, const struct wv_replayed *r)
{
	wv_json_u64(o, "ticks", r->ticks);
	json_object_object_add(o, "run_seconds",
			       json_object_new_double(seconds(r->end_ns - r->start_ns)));
	json_object_object_add(o, "replay_seconds", json_object_new_double(seconds(r->took_ns)));
}

static void print_speed(const struct wv_replayed *r)
{
	double run = seconds(r->end_ns - r->start_ns), took = seconds(r->took_ns);

	printf("%llu samples of %.1f s, replayed in %.1f ms (%.0f times real time)\n",
	       (unsigned long long)r->ticks, run, took * 1000, took > 0 ? run / took : 0);
}

static int print_replay(bool json, const struct wv_replayed *got, const struct wv_kept_list *live)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct difference d;
	size_t i = 0, j = 0, differences = 0;

	for (size_t k = 0; k < got->decisions.n; k++) {
		if (json)
			json_object_array_add(list,
					      wv_kept_json(&got->decisions.list[k], got->start_ns));
		else
			wv_kept_print(stdout, &got->decisions.list[k], got->start_ns, "");
	}
	while (live && next_difference(live, &got->decisions, &i, &j, &d)) {
		differences++;
		if (!json)
			wv_kept_print(stdout, d.only_a ?: d.only_b, got->start_ns,
				      d.only_a ? "only live:   " : "only replay: ");
	}
	if (json) {
		json_object_object_add(o, "schema_version", json_object_new_int(1));
		add_speed(o, got);
		json_object_object_add(o, "decisions", json_object_get(list));
		if (live)
			wv_json_u64(o, "differs_from_live", differences);
		wv_json_print(o);
	} else {
		printf("%zu decisions", got->decisions.n);
		if (live)
			printf(", %s", differences ? "NOT those that were made live"
						   : "the same as were made live");
		printf("\n");
		print_speed(got);
	}
	json_object_put(list);
	json_object_put(o);
	return differences ? WV_EXIT_FINDING : WV_EXIT_OK;
}

int wv_policy_replay(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_(wv_policy_freep) struct wv_policy *p = NULL;
	struct options given = {0};
	struct wv_recorded run;
	struct wv_replayed got = {0};
	int r = wv_cli_parse(cli, argc, argv, "policy replay RUN [--policy FILE] [--json]",
			     "  waveos-bpf policy replay latest\n"
			     "  waveos-bpf policy replay latest --policy policies/web-service\n",
			     replay_options, set_policy, &given);

	if (r < 0)
		return -r;
	if (argc - r != 1) {
		fprintf(stderr, "waveos-bpf policy replay: wants one run: its id, its folder, or "
				"'latest'\n");
		return WV_EXIT_USAGE;
	}
	given.run = argv[r];
	r = given.policy ? wv_policy_open(argv[0], given.policy, &p) : WV_EXIT_OK;
	if (r != WV_EXIT_OK)
		return r;
	r = wv_recorded_open(&run, argv[0], &cli->paths, given.run);
	if (r != WV_EXIT_OK)
		return r;
	r = wv_recorded_replay(&run, argv[0], p, &got);
	if (r == WV_EXIT_OK) {
		wv_kept_sort(&run.decisions);
		wv_kept_sort(&got.decisions);
		r = print_replay(cli->json, &got, p ? NULL : &run.decisions);
	}
	wv_kept_done(&got.decisions);
	wv_recorded_done(&run);
	return r;
}

static void print_diff(bool json, const struct wv_replayed *a, const struct wv_replayed *b)
{
	struct json_object *o = json_object_new_object(), *only_a = json_object_new_array(),
			   *only_b = json_object_new_array();
	struct difference d;
	size_t i = 0, j = 0, n = 0;

	while (next_difference(&a->decisions, &b->decisions, &i, &j, &d)) {
		n++;
		if (json)
			json_object_array_add(d.only_a ? only_a : only_b,
					      wv_kept_json(d.only_a ?: d.only_b, a->start_ns));
		else
			wv_kept_print(stdout, d.only_a ?: d.only_b, a->start_ns,
				      d.only_a ? "- " : "+ ");
	}
	if (json) {
		json_object_object_add(o, "schema_version", json_object_new_int(1));
		add_speed(o, a);
		json_object_object_add(o, "only_first", json_object_get(only_a));
		json_object_object_add(o, "only_second", json_object_get(only_b));
		wv_json_print(o);
	} else {
		printf("%zu and %zu decisions, %zu differ\n", a->decisions.n, b->decisions.n, n);
	}
	json_object_put(only_a);
	json_object_put(only_b);
	json_object_put(o);
}

static int diff(const struct wv_cli *cli, const char *verb, const struct wv_policy *a,
		const struct wv_policy *b, const char *run_name)
{
	struct wv_replayed of_a = {0}, of_b = {0};
	struct wv_recorded run;
	int r = wv_recorded_open(&run, verb, &cli->paths, run_name);

	if (r != WV_EXIT_OK)
		return r;
	r = wv_recorded_replay(&run, verb, a, &of_a);
	if (r == WV_EXIT_OK)
		r = wv_recorded_replay(&run, verb, b, &of_b);
	if (r == WV_EXIT_OK) {
		wv_kept_sort(&of_a.decisions);
		wv_kept_sort(&of_b.decisions);
		print_diff(cli->json, &of_a, &of_b);
	}
	wv_kept_done(&of_a.decisions);
	wv_kept_done(&of_b.decisions);
	wv_recorded_done(&run);
	return r;
}

int wv_policy_diff(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_(wv_policy_freep) struct wv_policy *a = NULL, *b = NULL;
	struct options given = {.run = "latest"};
	int r = wv_cli_parse(cli, argc, argv, "policy diff A B [--on RUN] [--json]",
			     "  waveos-bpf policy diff policies/web-service new.yaml --on latest\n",
			     diff_options, set_run, &given);

	if (r < 0)
		return -r;
	if (argc - r != 2) {
		fprintf(stderr, "waveos-bpf policy diff: wants two policies\n");
		return WV_EXIT_USAGE;
	}
	argv += r;
	r = wv_policy_open("policy diff", argv[0], &a);
	if (r == WV_EXIT_OK)
		r = wv_policy_open("policy diff", argv[1], &b);
	return r == WV_EXIT_OK ? diff(cli, "policy diff", a, b, given.run) : r;
}
