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
#include "user/evidence/witness.h"

struct ask {
	struct wv_evidence_witnesses witnesses;
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

int wv_evidence_add_url(struct wv_evidence_witnesses *w, const char *verb, const char *text)
{
	size_t url = strcspn(text, " ");
	const char *key = text + url + strspn(text + url, " ");
	struct wv_evidence_url *u = &w->list[w->n];
	int r;

	if (w->n == WV_EVIDENCE_URLS_MAX || url >= sizeof(u->url) || !url || !*key) {
		fprintf(stderr,
			"waveos-bpf %s: '%s': expected a witness's URL and, behind a space, its "
			"verifier key\n",
			verb, text);
		return WV_EXIT_USAGE;
	}
	memcpy(u->url, text, url);
	u->url[url] = '\0';
	r = wv_evidence_parse_key(verb, key, &u->key);
	if (r == 0 && u->key.algorithm != WV_NOTE_COSIGNATURE_V1) {
		fprintf(stderr, "waveos-bpf %s: '%s' is not the key of a witness\n", verb, key);
		return WV_EXIT_USAGE;
	}
	w->n += r == 0;
	return r;
}

/* Those of the setting: several with commas. */
static int add_configured(struct wv_cli *cli, const char *verb, struct wv_evidence_witnesses *w)
{
	struct wv_config_error error = {.text = ""};
	struct wv_config config;
	char *rest, *one;
	int r = wv_config_init(&config);

	if (r < 0)
		return WV_EXIT_INTERNAL;
	r = wv_config_load(&config, cli->paths.config, &error);
	if (r == 0)
		r = wv_config_environment(&config, &error);
	if (r < 0 && r != -ENOENT) {
		fprintf(stderr, "waveos-bpf %s: %s\n", verb,
			error.text[0] ? error.text : strerror(-r));
		wv_config_done(&config);
		return WV_EXIT_USAGE;
	}
	rest = config.evidence_witness;
	r = 0;
	while (r == 0 && (one = strsep(&rest, ",")))
		if (*(one += strspn(one, " ")))
			r = wv_evidence_add_url(w, verb, one);
	wv_config_done(&config);
	return r;
}

const char *wv_evidence_answer_text(const struct wv_witness_answer *a, const char *url,
				    uint64_t size, char ret[WV_EVIDENCE_ANSWER_SIZE])
{
	switch (a->verdict) {
	case WV_WITNESS_COSIGNED:
		snprintf(ret, WV_EVIDENCE_ANSWER_SIZE, "%s vouches for these %" PRIu64 " records",
			 url, size);
		break;
	case WV_WITNESS_AHEAD:
		snprintf(ret, WV_EVIDENCE_ANSWER_SIZE,
			 "%s saw %" PRIu64 " records, here are %" PRIu64
			 " signed: the log was put back",
			 url, a->size, size);
		break;
	case WV_WITNESS_FORKED:
		snprintf(ret, WV_EVIDENCE_ANSWER_SIZE,
			 "%s saw other records among the first %" PRIu64 ": the log was forked",
			 url, a->size);
		break;
	case WV_WITNESS_REFUSED:
		snprintf(ret, WV_EVIDENCE_ANSWER_SIZE, "%s does not cosign: %s (HTTP %d)", url,
			 a->status == 404   ? "it does not know this log"
			 : a->status == 403 ? "it knows this log by another key"
			 : a->status == 200 ? "its answer is not signed by its key"
					    : "it failed",
			 a->status);
		break;
	}
	return ret;
}

struct shown {
	struct wv_cli *cli;
	const char *verb, *note;
	struct wv_leaf_file *leaves;
	struct wv_checkpoint c;
	char *lines; /* cosignatures */
	struct json_object *json;
};

/* Whether it vouches. */
static bool show_one(struct shown *s, const struct wv_evidence_url *u)
{
	struct wv_witness_answer a = {0};
	char text[WV_EVIDENCE_ANSWER_SIZE], *more;
	struct json_object *o;
	int r = wv_witness_submit(wv_witness_post, NULL, u->url, &u->key, s->leaves, s->note, &a);

	if (r < 0)
		snprintf(text, sizeof(text), "%s was not asked: %s", u->url, strerror(-r));
	else
		wv_evidence_answer_text(&a, u->url, s->c.size, text);
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

/* The note with what was cosigned, beside the checkpoint. */
static int keep_cosigned(int dirfd, const struct shown *s)
{
	_cleanup_free_ char *whole = NULL;

	if (asprintf(&whole, "%s%s", s->note, s->lines) < 0)
		return -ENOMEM;
	return wv_io_replace(&wv_io_system, dirfd, WV_WITNESSED_NAME, whole, strlen(whole), 0640);
}

static int show(struct shown *s, int dirfd, const struct wv_evidence_witnesses *w)
{
	unsigned good = 0;
	int r = 0;

	for (unsigned i = 0; i < w->n; i++)
		good += show_one(s, &w->list[i]);
	if (s->lines)
		r = keep_cosigned(dirfd, s);
	free(s->lines);
	if (r < 0)
		return wv_evidence_failed(s->verb, WV_WITNESSED_NAME, r);
	return good == w->n ? WV_EXIT_OK : WV_EXIT_FINDING;
}

static void print_checkpoint(struct shown *s)
{
	if (!s->cli->json) {
		printf("checkpoint of %" PRIu64 " records\n", s->c.size);
		return;
	}
	s->json = json_object_new_array();
}

static int checkpoint(struct wv_cli *cli, const char *verb, const struct wv_evidence_witnesses *w)
{
	_cleanup_free_ char *note = NULL;
	_cleanup_close_ int dirfd = -1;
	struct shown s = {.cli = cli, .verb = verb};
	struct wv_leaf_file leaves;
	char path[WV_PATH_SIZE + 16];
	struct wv_tlog *l;
	struct json_object *o;
	uint64_t by;
	size_t text_len, len;
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
		r = wv_io_read_file(&wv_io_system, dirfd, WV_TLOG_CHECKPOINT_NAME, WV_NOTE_MAX,
				    &note, &len);
	if (r == 0)
		r = wv_note_open(note, len, NULL, 0, &by, NULL, &text_len);
	if (r == 0)
		r = wv_checkpoint_parse(note, text_len, &s.c);
	if (r == 0)
		r = wv_leaf_file_open(&leaves, dirfd);
	if (r < 0)
		return wv_evidence_failed(verb, "the log", r);
	s.note = note;
	s.leaves = &leaves;
	print_checkpoint(&s);
	r = show(&s, dirfd, w);
	wv_leaf_file_close(&leaves);
	if (s.json) {
		o = json_object_new_object();
		json_object_object_add(o, "size", json_object_new_uint64(s.c.size));
		json_object_object_add(o, "checkpoint", json_object_new_string(note));
		json_object_object_add(o, "witnesses", s.json);
		wv_evidence_print(o);
	}
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
