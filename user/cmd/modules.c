// SPDX-License-Identifier: GPL-2.0-only
/* modules: what the agent is made of; also prints the references that are generated from its
 * tables. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "user/access/access.h"
#include "user/cmd/cmd.h"
#include "user/cmd/manual.h"
#include "user/cmd/reference.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/module.h"
#include "user/evidence/contract.h"
#include "user/export/openmetrics.h"
#include "user/flow/sample.h"
#include "user/policy/policy.h"
#include "user/tune/docs.h"

static void print_signals(FILE *f)
{
	static const char *const kinds[] = {"counter", "gauge", "counter, subtree",
					    "gauge, subtree"};
	static const char *const units[] = {"ns", "us", "bytes", "1", "permille"};

	fprintf(f, "# Signals\n\nGenerated from `include/waveos/signals.def`; do not edit.\n\n"
		   "A counter is cumulative and never goes back. `subtree`: the kernel's figure "
		   "includes the "
		   "descendants; all others are of the cgroup's own tasks.\n\n"
		   "| signal | kind | unit | meaning |\n| --- | --- | --- | --- |\n");
	for (int i = 0; i < WV_SIG_N; i++)
		fprintf(f, "| `%s` | %s | %s | %s%s%s |\n", wv_signals[i].name,
			kinds[wv_signals[i].kind], units[wv_signals[i].scale], wv_signals[i].help,
			wv_signals[i].labels[0] ? "; " : "", wv_signals[i].labels);
	fprintf(f, "\n## Histograms\n\nBuckets are powers of two of microseconds, the first below "
		   "1 us.\n\n"
		   "| histogram | meaning |\n| --- | --- |\n");
	for (int i = 0; i < WV_HIST_N; i++)
		fprintf(f, "| `%s` | %s |\n", wv_hists[i].name, wv_hists[i].help);
}

#define WV_CONTRACT(id, ...)                                                                       \
	static void print_schema_##id(FILE *f)                                                     \
	{                                                                                          \
		wv_contract_print(f, #id);                                                         \
	}
#include "waveos/contracts.def"

/* Documents that come from the tables; docs/ holds their output and a test compares. */
static const struct wv_option options[] = {
	{"signals-doc", 0, NULL, "print docs/signals.md"},
	{"metrics-doc", 0, NULL, "print docs/metrics.md"},
	{"config-doc", 0, NULL, "print docs/config.md"},
	{"config-schema", 0, NULL, "print the JSON schema of the configuration"},
	{"config-sample", 0, NULL, "print a sample configuration with every setting"},
	{"policy-schema", 0, NULL, "print the JSON schema of policies"},
	{"policy-doc", 0, NULL, "print docs/policy-keys.md"},
	{"tune-doc", 0, NULL, "print docs/gpu-tune-spec.md"},
	{"man", 0, NULL, "print the man page waveos-bpf(8)"},
	{"events-doc", 0, NULL, "print docs/events.md"},
	{"api-doc", 0, NULL, "print docs/api.md"},
	{"schema-event", 0, NULL, "print the JSON schema of records"},
	{"schema-metrics", 0, NULL, "print the table schema of metrics.csv"},
#define WV_CONTRACT(id, versions, head, title, doc)                                                \
	{"schema-" #id, 0, NULL, "print the JSON schema of " title},
#include "waveos/contracts.def"
	{"cli-doc", 0, NULL, "print docs/cli.md"},
	{"man-config", 0, NULL, "print the man page waveos.yaml(5)"},
	{"verbs", 0, NULL, "print every verb and subverb, one a line"},
	{"man-verb", 0, "VERB", "print the man page waveos-bpf-VERB(8)"},
	{0},
};
static void (*const printers[])(FILE *) = {
	print_signals,
	wv_metrics_print_doc,
	wv_config_print_markdown,
	wv_config_print_schema,
	wv_config_print_sample,
	wv_policy_print_schema,
	wv_policy_print_markdown,
	wv_tune_print_spec_doc,
	wv_manual_print,
	wv_contract_print_events_doc,
	wv_access_print_doc,
	wv_contract_print_event,
	wv_contract_print_metrics,
#define WV_CONTRACT(id, ...) print_schema_##id,
#include "waveos/contracts.def"
	wv_reference_print,
	wv_manual_print_config,
	wv_reference_print_verbs,
};

struct modules {
	void (*printer)(FILE *);
	const char *man_verb;
};

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct modules *m = ctx;

	if (value)
		m->man_verb = value;
	else
		m->printer = printers[o - options];
	return 0;
}

int wv_cmd_modules(struct wv_cli *cli, int argc, char **argv)
{
	struct modules m = {0};
	struct json_object *list;
	int r;

	r = wv_cli_parse(cli, argc, argv, "modules [--json]", "  waveos-bpf modules\n", options,
			 set_option, &m);
	if (r < 0)
		return -r;
	if (m.man_verb) {
		if (wv_manual_print_verb(stdout, m.man_verb) == 0)
			return WV_EXIT_OK;
		fprintf(stderr, "waveos-bpf modules: there is no verb '%s'\n", m.man_verb);
		return WV_EXIT_USAGE;
	}
	if (m.printer) {
		m.printer(stdout);
		return WV_EXIT_OK;
	}
	if (!cli->json) {
		for (size_t i = 0; i < wv_modules_count; i++)
			printf("%-10s %s%s\n", wv_modules[i]->name, wv_modules[i]->summary,
			       wv_modules[i]->object ? "" : " (no BPF)");
		return WV_EXIT_OK;
	}
	list = json_object_new_array();
	for (size_t i = 0; i < wv_modules_count; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "name", json_object_new_string(wv_modules[i]->name));
		json_object_object_add(o, "summary",
				       json_object_new_string(wv_modules[i]->summary));
		json_object_object_add(o, "bpf",
				       json_object_new_boolean(wv_modules[i]->object != NULL));
		json_object_array_add(list, o);
	}
	printf("{\"schema_version\":1,\"modules\":%s}\n",
	       json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN));
	json_object_put(list);
	return WV_EXIT_OK;
}
