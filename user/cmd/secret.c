// SPDX-License-Identifier: GPL-2.0-only
/* secret: whether what the settings refer to can be had. Values are never shown. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/cmd.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/secret/secret.h"

struct check {
	const char *config; /* file, NULL: the default */
	struct wv_secrets *secrets;
	struct json_object *list;
	bool own; /* second pass: what the stores themselves need */
	bool json;
	unsigned failed, n;
};

static const struct wv_option options[] = {
	{"config", 'c', "FILE", "read this file instead of the default"},
	{0},
};

static int set_option(void *ctx, const struct wv_option *o _unused_, const char *value)
{
	((struct check *)ctx)->config = value;
	return 0;
}

static void tell(struct check *c, const char *setting, const char *reference, unsigned id)
{
	struct wv_secret_value v;
	struct wv_secret_state s;
	struct json_object *o = json_object_new_object();
	uint64_t now_s = wv_io_system.wall_ns(wv_io_system.ctx) / 1000000000ULL;
	int r = wv_secrets_get(c->secrets, id, &v);

	wv_secrets_state(c->secrets, id, &s);
	c->n++;
	c->failed += r < 0;
	json_object_object_add(o, "setting", json_object_new_string(setting));
	json_object_object_add(o, "reference", json_object_new_string(reference));
	json_object_object_add(o, "ok", json_object_new_boolean(r == 0));
	json_object_object_add(o, "error", json_object_new_string(r < 0 ? s.why : ""));
	if (s.changed_s && (uint64_t)s.changed_s <= now_s)
		json_object_object_add(o, "unchanged_s",
				       json_object_new_uint64(now_s - (uint64_t)s.changed_s));
	if (!c->json) {
		printf("%-5s %-28s %s", r < 0 ? "FAIL" : "ok", setting, reference);
		if (r < 0)
			printf(": %s", s.why);
		else if (json_object_object_get(o, "unchanged_s"))
			printf(", unchanged for %llu s",
			       (unsigned long long)(now_s - (uint64_t)s.changed_s));
		printf("\n");
	}
	json_object_array_add(c->list, o);
}

/* Settings of stores count only where a reference needs that store. */
static int each(void *ctx, const char *setting, const char *reference)
{
	bool own = strncmp(setting, "secrets.", 8) == 0;
	struct wv_secret_state s;
	struct check *c = ctx;
	unsigned id;
	int r;

	if (own != c->own)
		return 0;
	if (!own) {
		r = wv_secrets_add(c->secrets, reference, &id);
		if (r == 0) {
			tell(c, setting, reference, id);
			return 0;
		}
		c->failed++;
		fprintf(stderr, "waveos-bpf secret check: %s: %s: %s\n", setting, reference,
			r == -EINVAL ? "a setting of its store (secrets.*) is no local reference"
				     : strerror(-r));
		return r == -ENOPKG ? r : 0;
	}
	for (id = 0; id < wv_secrets_count(c->secrets); id++) {
		wv_secrets_state(c->secrets, id, &s);
		if (strcmp(s.reference, reference) == 0) {
			tell(c, setting, reference, id);
			break;
		}
	}
	return 0;
}

static int run(struct check *c, const struct wv_config *config)
{
	struct json_object *all = json_object_new_object();
	int r = wv_secrets_open(&c->secrets, &wv_io_system, config);

	c->list = json_object_new_array();
	if (r == 0)
		r = wv_secrets_each(config, each, c);
	c->own = true;
	if (r == 0)
		r = wv_secrets_each(config, each, c);
	wv_secrets_close(c->secrets);
	json_object_object_add(all, "schema_version", json_object_new_int(1));
	json_object_object_add(all, "locked", json_object_new_boolean(!wv_locked_refused()));
	json_object_object_add(all, "secrets", c->list);
	if (c->json)
		printf("%s\n",
		       json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN |
								   JSON_C_TO_STRING_NOSLASHESCAPE));
	else if (!c->n && !c->failed)
		printf("the settings refer to no secret\n");
	json_object_put(all);
	if (r < 0)
		return r == -ENOPKG ? WV_EXIT_UNSUPPORTED : WV_EXIT_INTERNAL;
	return c->failed ? WV_EXIT_FINDING : WV_EXIT_OK;
}

static int check(struct wv_cli *cli, int argc, char **argv)
{
	struct wv_config_error error = {.text = ""};
	struct check c = {.json = cli->json};
	struct wv_config config;
	int r = wv_cli_parse(cli, argc, argv, "secret check", "  waveos-bpf secret check\n",
			     options, set_option, &c);

	if (r < 0)
		return -r;
	c.json = cli->json;
	if (wv_config_init(&config) < 0)
		return WV_EXIT_INTERNAL;
	r = wv_config_load(&config, c.config ?: cli->paths.config, &error);
	if (r == 0 || (r == -ENOENT && !c.config))
		r = wv_config_environment(&config, &error);
	if (r < 0) {
		fprintf(stderr, "waveos-bpf secret check: %s\n",
			error.text[0] ? error.text : strerror(-r));
		wv_config_done(&config);
		return r == -EACCES || r == -EPERM ? WV_EXIT_DENIED : WV_EXIT_USAGE;
	}
	/* what is wrong stands in the table */
	wv_log_init(WV_LOG_TEXT, LOG_ERR);
	r = run(&c, &config);
	wv_config_done(&config);
	return r;
}

static const struct wv_subverb subverbs[] = {
	{"check", "fetch each secret that the settings refer to, and say whether it can be had",
	 check},
	{0},
};

int wv_cmd_secret(struct wv_cli *cli, int argc, char **argv)
{
	return wv_cli_dispatch("secret", subverbs, "  waveos-bpf secret check --json\n", cli, argc,
			       argv);
}
