// SPDX-License-Identifier: GPL-2.0-only
/* policy: check, explain, test, replay, diff and apply. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/cmd/policy_cmd.h"
#include "user/core/cleanup.h"

static const struct wv_subverb subverbs[] = {
	{"check", "whether a policy is right, and what of it this machine can enforce",
	 wv_policy_check},
	{"explain",
	 "which domain, budgets, gates, breakers and rules a cgroup falls under, and why",
	 wv_policy_explain},
	{"test", "run a policy's fixtures: samples with the decisions that must come of them",
	 wv_policy_test},
	{"replay", "what a policy would have decided on a recorded run", wv_policy_replay},
	{"diff", "where two policies decide differently on a recorded run", wv_policy_diff},
	{"apply", "put a policy in force; the old one comes back if it is not taken",
	 wv_policy_apply},
	{0},
};

static const char examples[] = "  waveos-bpf policy check policies/web-service\n"
			       "  waveos-bpf policy explain /web.slice/nginx.service\n"
			       "  waveos-bpf policy replay latest --policy policies/web-service\n";

int wv_policy_open(const char *verb, const char *path, struct wv_policy **ret)
{
	char file[2 * WV_PATH_SIZE];
	struct wv_config_error error = {.text = ""};
	struct stat st;
	int r;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		snprintf(file, sizeof(file), "%s%spolicy.yaml", path,
			 path[strlen(path) - 1] == '/' ? "" : "/");
		path = file;
	}
	r = wv_policy_load(ret, path, &error);
	if (r == 0)
		return WV_EXIT_OK;
	fprintf(stderr, "waveos-bpf %s: %s\n", verb, error.text[0] ? error.text : strerror(-r));
	return r == -EACCES || r == -EPERM ? WV_EXIT_DENIED
	       : r == -ENOMEM		   ? WV_EXIT_INTERNAL
					   : WV_EXIT_USAGE;
}

int wv_cmd_policy(struct wv_cli *cli, int argc, char **argv)
{
	return wv_cli_dispatch("policy", subverbs, examples, cli, argc, argv);
}
