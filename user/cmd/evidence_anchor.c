// SPDX-License-Identifier: GPL-2.0-only
/* evidence anchor: the TPM signs that it saw the log's newest checkpoint. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/cmd/evidence_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/evidence/event.h"
#include "user/evidence/anchor.h"

struct ask {
	const char *tcti, *output;
};

static const struct wv_option options[] = {
	{"tcti", 't', "TCTI",
	 "how to reach the TPM, as tpm2-tss names it (default: what it finds)"},
	{"output", 'o', "DIR", "also write the files that tpm2_checkquote takes, into this folder"},
	{0},
};
static const char examples[] =
	"  waveos-bpf evidence anchor\n"
	"  waveos-bpf evidence anchor -o /tmp/anchor\n"
	"  tpm2_checkquote -u ak.pem -m quote.msg -s quote.sig -g sha256 -q $(sha256sum "
	"<checkpoint.txt | cut -c -64)\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct ask *ask = ctx;

	if (o->letter == 't')
		ask->tcti = value;
	else
		ask->output = value;
	return 0;
}

static int write_files(const char *dir, const char *text, const struct wv_tpm_quote *q)
{
	const struct {
		const char *name;
		const void *bytes;
		size_t len;
	} files[] = {
		{"checkpoint.txt", text, strlen(text)},
		{"quote.msg", q->message, q->message_len},
		{"quote.sig", q->signature, q->signature_len},
		{"ak.pem", q->key_pem, strlen(q->key_pem)},
	};
	_cleanup_close_ int fd = -1;
	int r = mkdir(dir, 0755) < 0 && errno != EEXIST ? -errno : 0;

	if (r == 0) {
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(files) && r == 0; i++)
		r = wv_io_replace(&wv_io_system, fd, files[i].name, files[i].bytes, files[i].len,
				  0644);
	return r;
}

/* The newest checkpoint's text, what is signed of it; to be freed. */
static int checkpoint_text(const struct wv_paths *paths, char **ret, struct wv_checkpoint *ret_c)
{
	char folder[WV_PATH_SIZE + 16];
	_cleanup_close_ int dirfd =
		open(wv_evidence_folder(paths, NULL, folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct wv_newest n;
	int r = dirfd < 0 ? -errno : wv_newest_open(&n, &wv_io_system, dirfd);

	if (r < 0)
		return r;
	*ret = strndup(n.note, n.text_len);
	*ret_c = n.c;
	wv_newest_close(&n);
	return *ret ? 0 : -ENOMEM;
}

static int failed(const char *verb, int r)
{
	if (r != -ENODEV && r != -ENOPKG && r != -ENOEXEC)
		return wv_evidence_failed(verb, "the anchor", r);
	fprintf(stderr,
		"waveos-bpf %s: this machine has no TPM 2.0 that can be used; a witness (`evidence "
		"checkpoint --witness`) does without\n",
		verb);
	return WV_EXIT_UNSUPPORTED;
}

static int anchor(struct wv_cli *cli, const char *verb, const struct ask *ask)
{
	_cleanup_free_ char *text = NULL;
	struct wv_tpm_quote q = {.key_pem = NULL};
	struct wv_checkpoint c;
	struct wv_hash digest;
	struct wv_tlog *l;
	uint64_t seq = 0;
	int r;

	r = wv_tlog_open_device(&l, &wv_io_system, &cli->paths);
	if (r < 0)
		return wv_evidence_failed(verb, "the log", r);
	r = wv_tlog_checkpoint(l);
	if (r == 0)
		r = checkpoint_text(&cli->paths, &text, &c);
	if (r == 0) {
		wv_anchor_digest(text, strlen(text), &digest);
		r = wv_tpm_anchor(ask->tcti, &digest, &q);
	}
	if (r == 0)
		r = wv_event(l, &wv_io_system, "", "checkpoint-anchored",
			     wv_anchor_fields(&c, text, &q), true, &seq);
	wv_tlog_close(l);
	if (r == 0 && ask->output)
		r = write_files(ask->output, text, &q);
	if (r == 0 && cli->json)
		wv_evidence_print(wv_anchor_fields(&c, text, &q));
	else if (r == 0)
		printf("the TPM signed the checkpoint of %" PRIu64 " records (its clock: %" PRIu64
		       " ms, %u resets); record %" PRIu64 " has the quote\n",
		       c.size, q.clock_ms, q.resets, seq);
	free(q.key_pem);
	return r < 0 ? failed(verb, r) : WV_EXIT_OK;
}

int wv_evidence_anchor(struct wv_cli *cli, int argc, char **argv)
{
	struct ask ask = {0};
	int r = wv_cli_parse(cli, argc, argv, "evidence anchor [--tcti TCTI] [-o DIR]", examples,
			     options, set_option, &ask);

	if (r < 0)
		return -r;
	if (argc != r) {
		fprintf(stderr, "waveos-bpf %s: takes no operand; see --help\n", argv[0]);
		return WV_EXIT_USAGE;
	}
	return anchor(cli, argv[0], &ask);
}
