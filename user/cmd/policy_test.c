// SPDX-License-Identifier: GPL-2.0-only
/* policy test: every fixture of a policy must come out exactly as it says. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/cmd/policy_cmd.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/evidence/samples.h"
#include "user/policy/fixture.h"

/* Samples further apart than this many ticks are not continuous, as in the agent. */
#define GAP_TICKS 3
/* Slots that a recorded fixture may use. */
#define RECORDED_ROWS 4096

struct test {
	bool json;
	struct json_object *results; /* with --json */
	unsigned passed, failed;
};

struct outcome {
	struct wv_kept_list decisions;
	uint64_t first_tick, start_ns, tick_ns;
	char wrong[8][320]; /* the first things that are wrong */
	size_t n_wrong;
};

static void wrong(struct outcome *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void wrong(struct outcome *o, const char *format, ...)
{
	va_list ap;

	if (o->n_wrong < ARRAY_SIZE(o->wrong)) {
		va_start(ap, format);
		vsnprintf(o->wrong[o->n_wrong], sizeof(o->wrong[0]), format, ap);
		va_end(ap);
	}
	o->n_wrong++;
}

/* Counted in ticks: recorded samples come a little late. */
static uint64_t time_of(const struct outcome *o, uint64_t tick)
{
	return (tick - o->first_tick) * o->tick_ns;
}

static bool is_expected(const struct outcome *o, const struct wv_expectation *e,
			const struct wv_kept *k)
{
	return time_of(o, k->tick) == e->at_ns && k->to == e->to &&
	       e->withheld == (k->withheld != 0) && strcmp(k->rule, e->rule) == 0 &&
	       strcmp(k->cgroup, e->cgroup) == 0;
}

/* Each expectation has its decision and each decision its expectation. */
static void compare(struct outcome *o, const struct wv_fixture *f)
{
	size_t n;
	const struct wv_expectation *e = wv_fixture_expected(f, &n);
	_cleanup_free_ bool *used = calloc(o->decisions.n + 1, sizeof(bool));

	for (size_t i = 0; used && i < n; i++) {
		size_t k = 0;

		while (k < o->decisions.n &&
		       (used[k] || !is_expected(o, &e[i], &o->decisions.list[k])))
			k++;
		if (k < o->decisions.n)
			used[k] = true;
		else
			wrong(o, "line %u: did not happen: %s on %s to %s%s at %.1f s", e[i].line,
			      e[i].rule, e[i].cgroup, wv_rule_state_names[e[i].to],
			      e[i].withheld ? ", withheld," : "", (double)e[i].at_ns / 1e9);
	}
	for (size_t k = 0; used && k < o->decisions.n; k++) {
		const struct wv_kept *d = &o->decisions.list[k];

		if (!used[k])
			wrong(o, "not expected: %s on %s to %s%s at %.1f s", d->rule, d->cgroup,
			      wv_rule_state_names[d->to], d->withheld ? ", withheld," : "",
			      (double)time_of(o, d->tick) / 1e9);
	}
}

static void compare_modes(struct outcome *o, const struct wv_fixture *f,
			  const struct wv_policy_run *run, const struct wv_sample *s)
{
	size_t n;
	const struct wv_mode_expectation *e = wv_fixture_modes(f, &n);
	const struct wv_policy *p = run->policy;

	for (size_t i = 0; i < n; i++) {
		if (time_of(o, s->seq) != e[i].at_ns)
			continue;
		for (uint32_t d = 0; d <= p->n_domains; d++) {
			const char *mode;

			if (d == p->n_domains) {
				wrong(o, "line %u: no domain is named '%s'", e[i].line,
				      e[i].domain);
				break;
			}
			if (strcmp(p->domains[d].name, e[i].domain) != 0)
				continue;
			mode = p->modes[run->engine ? wv_engine_mode(run->engine, d) : 0].name;
			if (strcmp(mode, e[i].mode) != 0)
				wrong(o, "line %u: domain %s is in mode %s at %.1f s, expected %s",
				      e[i].line, e[i].domain, mode, (double)e[i].at_ns / 1e9,
				      e[i].mode);
			break;
		}
	}
}

static int take_sample(struct outcome *o, struct wv_policy_run *run, const struct wv_fixture *f,
		       const struct wv_sample *s)
{
	const struct wv_rule_decision *list = NULL;
	size_t n;
	int r = 0;

	if (!o->first_tick) {
		o->first_tick = s->seq;
		o->start_ns = s->mono_ns;
	}
	n = wv_policy_run_tick(run, s, &list);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = wv_kept_add(&o->decisions, run->policy, s, &list[i]);
	compare_modes(o, f, run, s);
	return r;
}

/* path: of the fixture, which the folder is beside. */
static int take_recorded(struct outcome *o, struct wv_policy_run *run, const struct wv_fixture *f,
			 const char *path)
{
	_cleanup_close_ int dir = -1;
	struct wv_samples_reader *reader;
	const struct wv_sample *s = NULL;
	char folder[3 * WV_PATH_SIZE];
	const char *text, *slash = strrchr(path, '/');
	int r, type = 0;

	snprintf(folder, sizeof(folder), "%.*s%s", slash ? (int)(slash - path + 1) : 0, path,
		 wv_fixture_recorded(f));
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	r = wv_samples_read_open(&reader, dir, RECORDED_ROWS);
	if (r < 0)
		return r;
	while (r == 0 && (type = wv_samples_read(reader, &s, &text)) > 0)
		if (type == 'T')
			r = take_sample(o, run, f, s);
	wv_samples_read_close(reader);
	return r ?: type;
}

static int run_fixture(const struct wv_policy *p, struct wv_fixture *f, const char *path,
		       struct outcome *o)
{
	struct wv_policy_run run;
	const struct wv_sample *s;
	int r = wv_policy_run_init(&run, p, RECORDED_ROWS, GAP_TICKS * wv_fixture_tick_ns(f));

	if (r < 0)
		return r;
	o->tick_ns = wv_fixture_tick_ns(f);
	if (*wv_fixture_recorded(f))
		r = take_recorded(o, &run, f, path);
	else
		while (r == 0 && (s = wv_fixture_next(f)))
			r = take_sample(o, &run, f, s);
	compare(o, f);
	wv_policy_run_done(&run);
	return r;
}

static void report(struct test *t, const char *path, const struct outcome *o)
{
	if (o->n_wrong)
		t->failed++;
	else
		t->passed++;
	if (t->json) {
		struct json_object *r = json_object_new_object(), *list = json_object_new_array();

		wv_json_str(r, "fixture", path);
		json_object_object_add(r, "passed", json_object_new_boolean(!o->n_wrong));
		for (size_t i = 0; i < o->n_wrong && i < ARRAY_SIZE(o->wrong); i++)
			json_object_array_add(list, json_object_new_string(o->wrong[i]));
		json_object_object_add(r, "wrong", list);
		json_object_array_add(t->results, r);
		return;
	}
	printf("%s  %s (%zu decisions)\n", o->n_wrong ? "FAIL" : "ok  ", path, o->decisions.n);
	for (size_t i = 0; i < o->n_wrong && i < ARRAY_SIZE(o->wrong); i++)
		printf("      %s\n", o->wrong[i]);
	if (o->n_wrong > ARRAY_SIZE(o->wrong))
		printf("      and %zu more\n", o->n_wrong - ARRAY_SIZE(o->wrong));
	for (size_t i = 0; o->n_wrong && i < o->decisions.n; i++)
		wv_kept_print(stdout, &o->decisions.list[i], o->start_ns, "      decided: ");
}

static int test_file(struct test *t, const struct wv_policy *p, const char *path)
{
	struct wv_config_error error = {.text = ""};
	struct outcome o = {.n_wrong = 0};
	struct wv_fixture *f = NULL;
	int r = wv_fixture_load(&f, path, &error);

	if (r == 0) {
		r = run_fixture(p, f, path, &o);
		if (r == 0)
			report(t, path, &o);
		else
			(void)wv_config_fail(&error, "%.250s: %s", path, strerror(-r));
		wv_fixture_free(f);
	}
	wv_kept_done(&o.decisions);
	if (r == 0)
		return WV_EXIT_OK;
	fprintf(stderr, "waveos-bpf policy test: %s\n", error.text[0] ? error.text : strerror(-r));
	return r == -ENOMEM ? WV_EXIT_INTERNAL : WV_EXIT_USAGE;
}

static int is_fixture(const struct dirent *e)
{
	const char *end = strrchr(e->d_name, '.');

	return e->d_name[0] != '.' && end && strcmp(end, ".yaml") == 0;
}

static int test_folder(struct test *t, const char *argument)
{
	_cleanup_(wv_policy_freep) struct wv_policy *p = NULL;
	char path[2 * WV_PATH_SIZE], folder[WV_PATH_SIZE];
	struct dirent **names;
	size_t len = strlen(argument);
	int r, n;

	while (len > 1 && argument[len - 1] == '/')
		len--;
	if (len >= sizeof(folder))
		return WV_EXIT_USAGE;
	snprintf(folder, sizeof(folder), "%.*s", (int)len, argument);
	r = wv_policy_open("policy test", folder, &p);
	if (r != WV_EXIT_OK)
		return r;
	snprintf(path, sizeof(path), "%s/fixtures", folder);
	n = scandir(path, &names, is_fixture, alphasort);
	if (n <= 0) {
		fprintf(stderr,
			"waveos-bpf policy test: no fixtures in %s; expected %s/NAME.yaml "
			"(docs/policy-test.md)\n",
			path, path);
		if (n == 0)
			free(names);
		return WV_EXIT_FINDING;
	}
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/fixtures/%s", folder, names[i]->d_name);
		if (r == WV_EXIT_OK)
			r = test_file(t, p, path);
		free(names[i]);
	}
	free(names);
	return r;
}

static int no_option(void *ctx, const struct wv_option *o, const char *value)
{
	(void)ctx;
	(void)o;
	(void)value;
	return 0;
}

int wv_policy_test(struct wv_cli *cli, int argc, char **argv)
{
	struct test t = {0};
	struct json_object *o;
	int r = wv_cli_parse(cli, argc, argv, "policy test FOLDER...",
			     "  waveos-bpf policy test policies/*\n", NULL, no_option, NULL);

	if (r < 0)
		return -r;
	if (r == argc) {
		fprintf(stderr, "waveos-bpf policy test: wants the folder of a policy\n");
		return WV_EXIT_USAGE;
	}
	t.json = cli->json;
	t.results = json_object_new_array();
	for (int i = r, e; i < argc; i++) {
		e = test_folder(&t, argv[i]);
		if (e != WV_EXIT_OK) {
			json_object_put(t.results);
			return e;
		}
	}
	if (t.json) {
		o = json_object_new_object();
		json_object_object_add(o, "schema_version", json_object_new_int(1));
		wv_json_u64(o, "passed", t.passed);
		wv_json_u64(o, "failed", t.failed);
		json_object_object_add(o, "fixtures", json_object_get(t.results));
		wv_json_print(o);
		json_object_put(o);
	} else {
		printf("%u passed, %u failed\n", t.passed, t.failed);
	}
	json_object_put(t.results);
	return t.failed ? WV_EXIT_FINDING : WV_EXIT_OK;
}
