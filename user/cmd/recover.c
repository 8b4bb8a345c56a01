// SPDX-License-Identifier: GPL-2.0-only
/* recover: asks the running agent for a recovery chain, or for one action, on a cgroup. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/cmd/cmd.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/policy/policy.h"
#include "user/recover/request.h"

struct request {
	const char *step; /* NULL: a chain */
	bool well;
};

static const struct wv_option options[] = {
	{"step", 's', "ACTION",
	 "one action instead of a chain: kill, freeze, \"throttle 20%\" ..."},
	{"well", 'w', NULL, "the cgroup is well again: what runs or is held there ends"},
	{0},
};

static const char examples[] = "  waveos-bpf recover /web.slice/front.service restart-web\n"
			       "  waveos-bpf recover --step kill /batch.slice\n"
			       "  waveos-bpf recover --well /batch.slice\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct request *q = ctx;
	char expected[WV_EXPECTED_SIZE], name[WV_POLICY_NAME];
	struct wv_step step;

	if (strcmp(o->name, "well") == 0) {
		q->well = true;
		return 0;
	}
	q->step = value;
	if (wv_step_parse(value, &step, name, sizeof(name), expected) < 0) {
		fprintf(stderr, "waveos-bpf recover: --step '%s': %s\n", value, expected);
		return WV_EXIT_USAGE;
	}
	return 0;
}

int wv_cmd_recover(struct wv_cli *cli, int argc, char **argv)
{
	struct request q = {0};
	int pid, r = wv_cli_parse(cli, argc, argv, "recover CGROUP CHAIN | --step ACTION CGROUP",
				  examples, options, set_option, &q);
	bool chain;

	if (r < 0)
		return -r;
	chain = !q.step && !q.well;
	if (argc - r != (chain ? 2 : 1) || argv[r][0] != '/') {
		fprintf(stderr, "waveos-bpf recover: takes the path of a cgroup%s; see --help\n",
			chain ? " and the name of a chain" : "");
		return WV_EXIT_USAGE;
	}
	if (!wv_view_agent_runs(&cli->paths, &pid)) {
		fprintf(stderr, "waveos-bpf recover: no agent runs (nothing holds %s/lock)\n",
			cli->paths.runtime);
		return WV_EXIT_FINDING;
	}
	r = wv_request_leave(&cli->paths, argv[r], chain ? "chain" : "step",
			     chain    ? argv[r + 1]
			     : q.well ? "well"
				      : q.step);
	if (r == 0)
		return WV_EXIT_OK;
	fprintf(stderr, "waveos-bpf recover: %s\n", strerror(-r));
	return r == -EACCES || r == -EPERM ? WV_EXIT_DENIED : WV_EXIT_INTERNAL;
}
