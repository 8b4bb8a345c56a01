// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/fields.h"
#include "user/flow/budget.h"
#include "user/flow/heartbeat.h"

static struct wv_config config;
static struct wv_config_error error;

static int setup(void **state _unused_)
{
	error.text[0] = '\0';
	return wv_config_init(&config);
}

static int teardown(void **state _unused_)
{
	wv_config_done(&config);
	return 0;
}

static int load(const char *text)
{
	return wv_config_load_memory(&config, "f.yaml", text, strlen(text), &error);
}

static void values_parse_exactly_or_not_at_all(void **state _unused_)
{
	static const struct {
		int (*parse)(const char *s, uint64_t *ret);
		const char *text;
		int result;
		uint64_t value;
	} cases[] = {
		{wv_parse_duration, "250ms", 0, 250000000},
		{wv_parse_duration, "1.5s", 0, 1500000000},
		{wv_parse_duration, "0.000000001s", 0, 1},
		{wv_parse_duration, "0.5ns", -EINVAL, 0},
		{wv_parse_duration, "2d", 0, 172800000000000},
		{wv_parse_duration, "213504d", -ERANGE, 0},
		{wv_parse_duration, "s", -EINVAL, 0},
		{wv_parse_duration, "-1s", -EINVAL, 0},
		{wv_parse_duration, "1 s", -EINVAL, 0},
		{wv_parse_duration, "1S", -EINVAL, 0},
		{wv_parse_duration_us, "5ms", 0, 5000},
		{wv_parse_duration_us, "1500ns", -EINVAL, 0},
		{wv_parse_bytes, "0", 0, 0},
		{wv_parse_bytes, "4096", 0, 4096},
		{wv_parse_bytes, "64K", 0, 65536},
		{wv_parse_bytes, "1.5GiB", 0, 1610612736},
		{wv_parse_bytes, "1KB", -EINVAL, 0},
		{wv_parse_bytes, "1e3", -EINVAL, 0},
		{wv_parse_bytes, "16777216T", -ERANGE, 0},
		{wv_parse_bytes, "18446744073709551615", 0, UINT64_MAX},
		{wv_parse_cpus, "50%", 0, 500000},
		{wv_parse_cpus, "12.5%", 0, 125000},
		{wv_parse_cpus, "2cpu", 0, 2000000},
		{wv_parse_cpus, "2", -EINVAL, 0},
		{wv_parse_bitrate, "10mbit", 0, 10000000},
		{wv_parse_bitrate, "2.5Gbit", 0, 2500000000},
		{wv_parse_bitrate, "10mbps", -EINVAL, 0},
		{wv_parse_uint, "18446744073709551616", -ERANGE, 0},
		{wv_parse_uint, "", -EINVAL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t v = 42;

		if (cases[i].parse(cases[i].text, &v) != cases[i].result)
			fail_msg("'%s'", cases[i].text);
		assert_int_equal(v, cases[i].result ? 42 : cases[i].value);
	}
}

static void suggest_offers_only_near_words(void **state _unused_)
{
	static const char *const words[] = {"tick", "on_exit", "log_format", "log_level", NULL};
	char longer[5000];

	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_string_equal(wv_suggest("tikc", words), "tick");
	assert_string_equal(wv_suggest("TICK", words), "tick");
	assert_string_equal(wv_suggest("log-level", words), "log_level");
	assert_string_equal(wv_suggest("onexit", words), "on_exit");
	assert_null(wv_suggest("x", words));
	assert_null(wv_suggest("", words));
	assert_null(wv_suggest("budget", words));
	assert_null(wv_suggest(longer, words));
}

/* What a printer writes; to be freed. */
static char *printed(void (*print)(FILE *f))
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	print(f);
	fclose(f);
	return text;
}

static void sample_as_printed_gives_defaults(void **state _unused_)
{
	_cleanup_free_ char *text = printed(wv_config_print_sample);
	struct wv_config defaults = config;

	assert_int_equal(load(text), 0);
	memset(config.source, 0, sizeof(config.source));
	memset(config.digest, 0, sizeof(config.digest));
	assert_memory_equal(&defaults, &config, sizeof(config));
}

static void sample_uncommented_loads_with_every_key(void **state _unused_)
{
	_cleanup_free_ char *text = printed(wv_config_print_sample);
	char *to = text;

	/* "#key" is a setting or an example, "# word" is prose */
	for (char *p = text; *p;) {
		char *end = strchrnul(p, '\n'), *hash = p + strspn(p, " ");
		bool list = p[0] == '#' && p[1] == ' ' && p[2] == ' ';

		if (*hash == '#' && (list || hash[1] != ' '))
			memmove(hash, hash + 1, strlen(hash)), end--;
		p = *end ? end + 1 : end;
		to = p;
	}
	assert_int_equal(*to, '\0');
	if (load(text) < 0)
		fail_msg("%s\n%s", error.text, text);
	assert_int_equal(config.agent_tick, 1000000000);
	assert_string_equal(config.metrics_listen, "127.0.0.1:9850");
	assert_int_equal(config.n_budgets, 1);
	assert_int_equal(config.n_heartbeats, 1);
	assert_int_equal(config.n_proxies, 1);
	assert_int_equal(config.budgets[0].cpu_quota_us, 50000);
	assert_int_equal(config.budgets[0].burst_connects, 5);
	for (size_t i = 0; i < wv_fields_count; i++)
		if (strcmp(wv_fields[i].list, "budgets") == 0 ||
		    strcmp(wv_fields[i].list, "heartbeats") == 0 ||
		    strcmp(wv_fields[i].list, "proxies") == 0)
			assert_non_null(strstr(text, wv_fields[i].key));
}

static void texts_name_every_key(void **state _unused_)
{
	void (*const printers[])(FILE * f) = {wv_config_print_help, wv_config_print_sample,
					      wv_config_print_schema, wv_config_print_man,
					      wv_config_print_markdown};

	for (size_t p = 0; p < ARRAY_SIZE(printers); p++) {
		_cleanup_free_ char *text = printed(printers[p]);

		for (size_t i = 0; i < wv_settings_count; i++)
			assert_non_null(strstr(text, wv_settings_table[i].key));
		for (size_t i = 0; i < wv_lists_count; i++)
			assert_non_null(strstr(text, wv_lists[i].name));
	}
}

/* JSON is YAML: schema and parser see the same text. */
static const struct {
	const char *text;
	bool accepted;
} corpus[] = {
	{"null", true},
	{"{}", true},
	{"{\"agent\": null, \"budgets\": null}", true},
	{"{\"agent\": {\"tick\": \"1.5s\", \"on_exit\": \"keep\"}}", true},
	{"{\"agent\": {\"tick\": 1}}", false},
	{"{\"agent\": {\"tick\": \"1\"}}", false},
	{"{\"agent\": {\"tock\": \"1s\"}}", false},
	{"{\"agent\": {\"on_exit\": \"perhaps\"}}", false},
	{"{\"agent\": []}", false},
	{"{\"agents\": {}}", false},
	{"[]", false},
	{"{\"collect\": {\"max_cgroups\": 64, \"event_ring\": \"64K\"}}", true},
	{"{\"collect\": {\"event_ring\": 65536}}", true},
	{"{\"collect\": {\"max_cgroups\": 63}}", false},
	{"{\"collect\": {\"max_cgroups\": 16385}}", false},
	{"{\"collect\": {\"max_cgroups\": []}}", false},
	{"{\"collect\": {\"event_ring\": \"64KB\"}}", false},
	{"{\"collect\": {\"event_ring\": -4096}}", false},
	{"{\"enforce\": {\"enabled\": true}}", true},
	{"{\"enforce\": {\"enabled\": 1}}", false},
	{"{\"budgets\": [{\"cgroup\": \"/a\", \"pids\": {\"max\": 5}}]}", true},
	{"{\"budgets\": [{\"cgroup\": \"/a\", \"cpu\": {\"quota\": \"150%\"}}]}", true},
	{"{\"budgets\": [{\"cgroup\": \"/a\", \"cpu\": {\"quota\": \"half\"}}]}", false},
	{"{\"budgets\": [{\"cgroup\": \"a\", \"pids\": {\"max\": 5}}]}", false},
	{"{\"budgets\": [{\"pids\": {\"max\": 5}}]}", false},
	{"{\"budgets\": [{\"cgroup\": \"/a\", \"pids\": {\"max\": 0}}]}", false},
	{"{\"budgets\": [{\"cgroup\": \"/a\", \"pids\": {\"min\": 5}}]}", false},
	{"{\"budgets\": [{\"cgroup\": \"/a\", \"pids\": {\"max\": 5}, \"when\": "
	 "{\"signal\": \"mem_usage_bytes\", \"above\": \"1G\", \"rate\": false}}]}",
	 true},
	{"{\"budgets\": [{\"cgroup\": \"/a\", \"pids\": {\"max\": 5}, \"when\": "
	 "{\"signal\": \"mem_usage\", \"above\": \"1G\"}}]}",
	 false},
	{"{\"budgets\": [{\"cgroup\": \"/a\", \"pids\": {\"max\": 5}, \"when\": "
	 "{\"above\": \"1G\"}}]}",
	 false},
	{"{\"budgets\": [{\"cgroup\": \"/a\", \"network\": {\"egress\": \"10mbit\", "
	 "\"burst\": \"64K\"}, \"io\": {\"device\": \"8:0\", \"read\": \"1M\"}}]}",
	 true},
	{"{\"budgets\": [{\"cgroup\": \"/a\", \"network\": {\"egress\": \"10mbps\"}}]}", false},
	{"{\"budgets\": [{\"cgroup\": \"/a\", \"io\": {\"device\": \"sda\", \"read\": 4096}}]}",
	 false},
	{"{\"heartbeats\": [{\"file\": \"/run/x\", \"every\": \"5s\"}]}", true},
	{"{\"heartbeats\": [{\"file\": \"/run/x\"}]}", false},
	{"{\"heartbeats\": {\"file\": \"/run/x\", \"every\": \"5s\"}}", false},
};

static void schema_and_parser_agree(void **state _unused_)
{
	static const char script[] =
		"import json, jsonschema, sys\n"
		"s = json.load(open(sys.argv[1]))\n"
		"jsonschema.Draft7Validator.check_schema(s)\n"
		"v = jsonschema.Draft7Validator(s)\n"
		"print(''.join('01'[v.is_valid(json.loads(l))] for l in open(sys.argv[2])))\n";
	char dir[] = "/tmp/wv-schema-XXXXXX", path[64], command[2048], verdicts[256] = "";
	FILE *f;

	if (system("python3 -c 'import jsonschema' 2>/dev/null") != 0) {
		print_message("python3-jsonschema is not installed\n");
		skip();
	}
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/schema", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	wv_config_print_schema(f);
	fclose(f);
	snprintf(path, sizeof(path), "%s/cases", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	for (size_t i = 0; i < ARRAY_SIZE(corpus); i++)
		fprintf(f, "%s\n", corpus[i].text);
	fclose(f);
	snprintf(command, sizeof(command), "python3 -c \"%s\" %s/schema %s/cases; rm -r %s", script,
		 dir, dir, dir);
	f = popen(command, "r");
	assert_non_null(f);
	assert_non_null(fgets(verdicts, sizeof(verdicts), f));
	pclose(f);
	assert_int_equal(strcspn(verdicts, "\n"), ARRAY_SIZE(corpus));
	for (size_t i = 0; i < ARRAY_SIZE(corpus); i++) {
		bool parser = load(corpus[i].text) == 0, schema = verdicts[i] == '1';

		if (parser != corpus[i].accepted || schema != corpus[i].accepted)
			fail_msg("%s: expected %d, parser %d (%s), schema %d", corpus[i].text,
				 corpus[i].accepted, parser, error.text, schema);
	}
}

/* The table in a document is what the printer writes. WV_WRITE_DOCS=1 writes it anew between the
 * marks. */
static void check_docs(const char *path, const char *table)
{
	_cleanup_free_ char *text = NULL;
	static const char begin[] = "<!-- generated: begin -->\n",
			  end[] = "<!-- generated: end -->";
	_cleanup_fclose_ FILE *f = fopen(path, "r");
	char *from, *to;
	size_t size = 0;

	if (!f) {
		print_message("%s is not here: run from the repository's root\n", path);
		skip();
	}
	assert_true(getdelim(&text, &size, '\0', f) > 0);
	from = strstr(text, begin);
	to = strstr(text, end);
	assert_true(from && to);
	from += strlen(begin);
	if (getenv("WV_WRITE_DOCS")) {
		FILE *out = fopen(path, "w");

		assert_non_null(out);
		fprintf(out, "%.*s%s%s", (int)(from - text), text, table, to);
		fclose(out);
		return;
	}
	if ((size_t)(to - from) != strlen(table) || strncmp(from, table, strlen(table)) != 0)
		fail_msg("%s is stale: run WV_WRITE_DOCS=1 build/tests/test_config", path);
}

static void print_budgets(FILE *f)
{
	wv_config_print_list_markdown(f, "budgets");
}

static void docs_budgets_matches_table(void **state _unused_)
{
	_cleanup_free_ char *table = printed(print_budgets);

	check_docs("docs/budgets.md", table);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(values_parse_exactly_or_not_at_all),
		T(suggest_offers_only_near_words),
		T(sample_as_printed_gives_defaults),
		T(sample_uncommented_loads_with_every_key),
		T(texts_name_every_key),
		T(schema_and_parser_agree),
		T(docs_budgets_matches_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
