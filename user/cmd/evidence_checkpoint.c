// SPDX-License-Identifier: GPL-2.0-only
/* evidence checkpoint: signs one now, and shows it to witnesses. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/evidence_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/io.h"
#include "user/evidence/event.h"
#include "user/evidence/witness_show.h"

struct ask {
	struct wv_witness_urls witnesses;
};

static const struct wv_option options[] = {
	{"witness", 'w', "'URL VKEY'",
	 "show the checkpoint to this witness, too (default: those of evidence.witness)"},
	{0},
};
static const char examples[] =
	"  waveos-bpf evidence checkpoint\n"
	"  waveos-bpf evidence checkpoint --witness 'https://watch.example.com "
	"watch.example.com+0a1b2c3d+BH...'\n";

static int set_option(void *ctx, const struct wv_option *o _unused_, const char *value)
{
	struct ask *ask = ctx;

	return wv_evidence_add_url(&ask->witnesses, "evidence checkpoint", value);
}

int wv_evidence_add_url(struct wv_witness_urls *w, const char *verb, const char *text)
{
	char why[WV_WITNESS_TEXT_SIZE];

	if (wv_witness_url_add(w, text, why) == 0)
		return 0;
	fprintf(stderr, "waveos-bpf %s: %s\n", verb, why);
	return WV_EXIT_USAGE;
}

/* Those of the setting. */
static int add_configured(struct wv_cli *cli, const char *verb, struct wv_witness_urls *w)
{
	struct wv_config_error error = {.text = ""};
	char why[WV_WITNESS_TEXT_SIZE];
	struct wv_config config;
	int r = wv_config_init(&config);

	if (r < 0)
		return WV_EXIT_INTERNAL;
	r = wv_config_load(&config, cli->paths.config, &error);
	if (r == 0)
		r = wv_config_environment(&config, &error);
	if (r < 0 && r != -ENOENT) {
		snprintf(why, sizeof(why), "%s", error.text[0] ? error.text : strerror(-r));
		r = -EINVAL;
	} else {
		r = wv_witness_urls_add(w, config.evidence_witness, why);
	}
	wv_config_done(&config);
	if (r < 0)
		fprintf(stderr, "waveos-bpf %s: %s\n", verb, why);
	return r < 0 ? WV_EXIT_USAGE : 0;
}

struct shown {
	struct wv_cli *cli;
	const char *verb;
	struct wv_newest newest;
	char *lines; /* cosignatures */
	struct json_object *json;
};

/* Whether it vouches. */
static bool show_one(struct shown *s, const struct wv_witness_url *u)
{
	struct wv_witness_answer a = {0};
	char text[WV_WITNESS_TEXT_SIZE], *more;
	struct json_object *o;
	int r = wv_newest_show(&s->newest, wv_witness_post, NULL, u, &a);

	if (r < 0)
		snprintf(text, sizeof(text), "%s was not asked: %s", u->url, strerror(-r));
	else
		wv_witness_answer_text(&a, u->url, s->newest.c.size, text);
	if (r == 0 && a.line && asprintf(&more, "%s%s", s->lines ?: "", a.line) > 0) {
		free(s->lines);
		s->lines = more;
	}
	if (s->cli->json) {
		o = json_object_new_object();
		json_object_object_add(o, "url", json_object_new_string(u->url));
		json_object_object_add(o, "cosigned", json_object_new_boolean(a.line != NULL));
		json_object_object_add(o, "text", json_object_new_string(text));
		json_object_array_add(s->json, o);
	} else {
		printf("%s\n", text);
	}
	r = r == 0 && a.line;
	free(a.line);
	return r;
}

static int show(struct shown *s, int dirfd, const struct wv_witness_urls *w)
{
	unsigned good = 0;
	int r = 0;

	for (unsigned i = 0; i < w->n; i++)
		good += show_one(s, &w->list[i]);
	if (s->lines)
		r = wv_newest_keep(&s->newest, &wv_io_system, dirfd, s->lines);
	free(s->lines);
	if (r < 0)
		return wv_evidence_failed(s->verb, WV_WITNESSED_NAME, r);
	return good == w->n ? WV_EXIT_OK : WV_EXIT_FINDING;
}

static void print_checkpoint(struct shown *s)
{
	if (!s->cli->json) {
		printf("checkpoint of %" PRIu64 " records\n", s->newest.c.size);
		return;
	}
	s->json = json_object_new_array();
}

static int checkpoint(struct wv_cli *cli, const char *verb, const struct wv_witness_urls *w)
{
	_cleanup_close_ int dirfd = -1;
	struct shown s = {.cli = cli, .verb = verb};
	char path[WV_PATH_SIZE + 16];
	struct wv_tlog *l;
	struct json_object *o;
	int r;

	r = wv_tlog_open_device(&l, &wv_io_system, &cli->paths);
	if (r == 0) {
		r = wv_tlog_checkpoint(l);
		wv_tlog_close(l);
	}
	if (r == 0) {
		dirfd = open(wv_evidence_folder(&cli->paths, NULL, path),
			     O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = dirfd < 0 ? -errno : 0;
	}
	if (r == 0)
		r = wv_newest_open(&s.newest, &wv_io_system, dirfd);
	if (r < 0)
		return wv_evidence_failed(verb, "the log", r);
	print_checkpoint(&s);
	r = show(&s, dirfd, w);
	if (s.json) {
		o = json_object_new_object();
		json_object_object_add(o, "size", json_object_new_uint64(s.newest.c.size));
		json_object_object_add(o, "checkpoint", json_object_new_string(s.newest.note));
		json_object_object_add(o, "witnesses", s.json);
		wv_evidence_print(o);
	}
	wv_newest_close(&s.newest);
	return r;
}

int wv_evidence_checkpoint(struct wv_cli *cli, int argc, char **argv)
{
	struct ask *ask = calloc(1, sizeof(*ask));
	int r;

	if (!ask)
		return WV_EXIT_INTERNAL;
	r = wv_cli_parse(cli, argc, argv, "evidence checkpoint [--witness 'URL VKEY']", examples,
			 options, set_option, ask);
	if (r >= 0 && argc != r) {
		fprintf(stderr, "waveos-bpf %s: takes no operand; see --help\n", argv[0]);
		r = -WV_EXIT_USAGE;
	}
	if (r < 0)
		r = -r;
	else
		r = ask->witnesses.n ? 0 : add_configured(cli, argv[0], &ask->witnesses);
	if (r == 0)
		r = checkpoint(cli, argv[0], &ask->witnesses);
	free(ask);
	return r;
}
