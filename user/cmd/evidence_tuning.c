// SPDX-License-Identifier: GPL-2.0-only
/* evidence verify DIR: the evidence of a tuning, worked out again from its trials. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/evidence_cmd.h"
#include "user/core/cleanup.h"
#include "user/tune/result.h"

static const struct wv_option options[] = {{0}};
static const char examples[] = "  waveos-bpf evidence verify gpu-tune-20260101T000000Z\n";

bool wv_evidence_names_tuning(int argc, char **argv)
{
	char path[WV_PATH_SIZE];

	for (int i = 1; i < argc; i++)
		if (snprintf(path, sizeof(path), "%s/preregistration.json", argv[i]) <
			    (int)sizeof(path) &&
		    access(path, F_OK) == 0)
			return true;
	return false;
}

static void take_finding(void *ctx, const char *text)
{
	(void)json_object_array_add(ctx, json_object_new_string(text));
}

static int show(struct wv_cli *cli, const char *dir, const struct wv_tuning *t,
		struct json_object *findings, bool unfinished)
{
	size_t n = json_object_array_length(findings);
	struct json_object *o;
	struct wv_tune_result r = {0};

	if (t)
		wv_tune_result(t->tuner, &r);
	if (!cli->json) {
		for (size_t i = 0; i < n; i++)
			printf("%s\n",
			       json_object_get_string(json_object_array_get_idx(findings, i)));
		if (n)
			printf("%s does not verify: %zu findings\n", dir, n);
		else
			printf("%s: %u trials give what stands there%s. That these trials were "
			       "run so is not shown by the folder: its hashes can be compared "
			       "with the records of gpu-tuning in a log\n",
			       dir, t->n_done, unfinished ? " (not finished)" : "");
		json_object_put(findings);
		return n ? WV_EXIT_FINDING : 0;
	}
	o = json_object_new_object();
	json_object_object_add(o, "ok", json_object_new_boolean(n == 0));
	json_object_object_add(o, "finished", json_object_new_boolean(!unfinished));
	json_object_object_add(o, "trials", json_object_new_uint64(t ? t->n_done : 0));
	if (t)
		json_object_object_add(o, "end", json_object_new_string(wv_tune_end_names[r.end]));
	json_object_object_add(o, "speedup", json_object_new_double(1 + r.gain));
	json_object_object_add(o, "findings", findings);
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	return n ? WV_EXIT_FINDING : 0;
}

int wv_evidence_verify_tuning(struct wv_cli *cli, int argc, char **argv)
{
	struct json_object *findings = json_object_new_array();
	struct wv_config_error error;
	struct wv_tuning *t = NULL;
	int i = wv_cli_parse(cli, argc, argv, "evidence verify DIR", examples, options, NULL, NULL),
	    r, code;

	if (i < 0 || !findings) {
		json_object_put(findings);
		return i < 0 ? -i : WV_EXIT_INTERNAL;
	}
	r = wv_tuning_open(argv[i], &t, &error);
	if (r < 0)
		take_finding(findings, error.text);
	else
		r = wv_tuning_verify(t, take_finding, findings);
	if (r < 0 && r != -EINPROGRESS && json_object_array_length(findings) == 0)
		take_finding(findings, strerror(-r));
	code = show(cli, argv[i], t, findings, r == -EINPROGRESS);
	wv_tuning_free(t);
	return code;
}
