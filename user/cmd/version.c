// SPDX-License-Identifier: GPL-2.0-only
/* version: the triple that stands in every artifact. */
#include "user/core/version.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>

#include "user/agent/policy_source.h"
#include "user/cmd/cmd.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/policy/policy.h"

static int no_option(void *ctx _unused_, const struct wv_option *o _unused_,
		     const char *value _unused_)
{
	return WV_EXIT_USAGE;
}

int wv_cmd_version(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_(wv_config_done) struct wv_config config;
	_cleanup_(wv_policy_freep) struct wv_policy *policy = NULL;
	struct wv_config_error error = {.text = ""};
	struct wv_version v = {0};
	struct json_object *out;
	int r;

	if (wv_config_init(&config) < 0)
		return WV_EXIT_INTERNAL;
	r = wv_cli_parse(cli, argc, argv, "version [--json]", "  waveos-bpf version --json\n", NULL,
			 no_option, NULL);
	if (r < 0)
		return -r;
	/* the policy is named after the configured file; a broken one has no version */
	(void)wv_config_load(&config, cli->paths.config, &error);
	(void)wv_policy_read(&policy, &config, &cli->paths, &error);
	if (wv_version_get(&config, policy, &v) < 0)
		return WV_EXIT_INTERNAL;
	if (!cli->json) {
		printf("waveos-bpf %s\npolicy     %s\nbundle     %s\n", v.waveos, v.policy,
		       v.bundle_id);
		return WV_EXIT_OK;
	}
	out = json_object_new_object();
	json_object_object_add(out, "schema_version", json_object_new_int(1));
	json_object_object_add(out, "waveos_version", json_object_new_string(v.waveos));
	json_object_object_add(out, "policy_version", json_object_new_string(v.policy));
	json_object_object_add(out, "bundle_id", json_object_new_string(v.bundle_id));
	printf("%s\n", json_object_to_json_string_ext(out, JSON_C_TO_STRING_PLAIN |
								   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(out);
	return WV_EXIT_OK;
}
