// SPDX-License-Identifier: GPL-2.0-only
/* evidence prove, evidence consistency: proofs out of this device's log. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "user/cmd/evidence_cmd.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/evidence/proof.h"
#include "user/evidence/tlog.h"
#include "user/evidence/verify.h"

#define CHECKPOINTS_MAX (256U << 20)

struct ask {
	const char *output;
};

static const struct wv_option options[] = {
	{"output", 'o', "FILE", "write the proof there instead of to standard output"},
	{0},
};
static const char prove_examples[] =
	"  waveos-bpf evidence prove 4711 -o proof.json\n"
	"  waveos-bpf evidence verify --proof proof.json --key device.vkey\n";
static const char consistency_examples[] =
	"  waveos-bpf evidence consistency 1000 2000 -o grown.json\n"
	"  waveos-bpf evidence verify --proof grown.json --key device.vkey\n";

static int set_option(void *ctx, const struct wv_option *o _unused_, const char *value)
{
	((struct ask *)ctx)->output = value;
	return 0;
}

static int number(const char *verb, const char *text, uint64_t *ret)
{
	if (wv_parse_uint(text, ret) == 0 && *ret > 0)
		return 0;
	fprintf(stderr, "waveos-bpf %s: '%s' is no number from 1 on\n", verb, text);
	return WV_EXIT_USAGE;
}

/* The record's line, to be freed. */
static int find_record(const struct wv_paths *paths, uint64_t seq, char **ret, size_t *ret_len)
{
	struct wv_tlog_reader *reader;
	const char *line;
	uint64_t got = 0;
	size_t len;
	int r;

	r = wv_tlog_read_open(&reader, &wv_io_system, paths->state, seq);
	if (r < 0)
		return r;
	r = wv_tlog_read(reader, &got, &line, &len);
	if (r == 1 && got == seq) {
		*ret = strndup(line, len);
		*ret_len = len;
		r = *ret ? 0 : -ENOMEM;
	} else if (r >= 0) {
		r = -ENOENT;
	}
	wv_tlog_read_close(reader);
	return r;
}

/* The newest checkpoint of exactly (or, size 0, of however many) records; *ret is to be freed. */
static int find_checkpoint(int dirfd, uint64_t size, char **ret)
{
	_cleanup_free_ char *all = NULL;
	size_t len, at = 0, n;
	const char *note;
	char *found = NULL;
	int r;

	r = wv_io_read_file(&wv_io_system, dirfd,
			    size ? WV_TLOG_CHECKPOINTS_NAME : WV_TLOG_CHECKPOINT_NAME,
			    size ? CHECKPOINTS_MAX : WV_NOTE_MAX, &all, &len);
	if (r < 0)
		return r;
	while ((note = wv_notes_next(all, len, &at, &n))) {
		struct wv_checkpoint c;
		uint64_t by;
		size_t text_len;

		if (wv_note_open(note, n, NULL, 0, &by, NULL, &text_len) < 0 ||
		    wv_checkpoint_parse(note, text_len, &c) < 0 || (size && c.size != size))
			continue;
		free(found);
		found = strndup(note, n);
		if (!found)
			return -ENOMEM;
	}
	*ret = found;
	return found ? 0 : -ENOENT;
}

static int open_log(const char *verb, const struct wv_paths *paths, struct wv_leaf_file *ret_leaves)
{
	char path[WV_PATH_SIZE + 16];
	int dir = open(wv_evidence_folder(paths, NULL, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? -errno : wv_leaf_file_open(ret_leaves, dir);

	if (r == 0)
		return dir;
	if (dir >= 0)
		close(dir);
	return -wv_evidence_failed(verb, path, r);
}

static int prove(const char *verb, const struct wv_paths *paths, uint64_t seq, const char *output)
{
	_cleanup_free_ char *record = NULL, *note = NULL, *proof = NULL;
	_cleanup_close_ int dir = -1;
	struct wv_leaf_file leaves;
	size_t len = 0;
	int r;

	dir = open_log(verb, paths, &leaves);
	if (dir < 0)
		return -dir;
	r = find_record(paths, seq, &record, &len);
	if (r == -ENOENT)
		fprintf(stderr, "waveos-bpf %s: no record %" PRIu64 " is in the log\n", verb, seq);
	if (r == 0)
		r = find_checkpoint(dir, 0, &note);
	if (r == 0)
		r = wv_proof_inclusion(&leaves, seq, record, len, note, strlen(note), &proof);
	wv_leaf_file_close(&leaves);
	if ((r == -ENOENT && record) || r == -ERANGE)
		fprintf(stderr,
			"waveos-bpf %s: no checkpoint has record %" PRIu64
			" yet; `evidence checkpoint` makes one\n",
			verb, seq);
	if (r == -EBADMSG)
		fprintf(stderr,
			"waveos-bpf %s: record, leaf hashes and checkpoint do not fit; `evidence "
			"verify` names what is wrong\n",
			verb);
	if (r == -ENOENT || r == -ERANGE || r == -EBADMSG)
		return WV_EXIT_FINDING;
	return r < 0 ? wv_evidence_failed(verb, "the log", r)
		     : wv_evidence_write(verb, output, proof);
}

int wv_evidence_prove(struct wv_cli *cli, int argc, char **argv)
{
	struct ask ask = {0};
	uint64_t seq = 0;
	int r = wv_cli_parse(cli, argc, argv, "evidence prove SEQ [-o FILE]", prove_examples,
			     options, set_option, &ask);

	if (r < 0)
		return -r;
	if (argc != r + 1) {
		fprintf(stderr, "waveos-bpf evidence prove: takes a record's seq; see --help\n");
		return WV_EXIT_USAGE;
	}
	r = number(argv[0], argv[r], &seq);
	return r ? r : prove(argv[0], &cli->paths, seq, ask.output);
}

static int consistency(const char *verb, const struct wv_paths *paths, uint64_t old, uint64_t size,
		       const char *output)
{
	_cleanup_free_ char *old_note = NULL, *note = NULL, *proof = NULL;
	_cleanup_close_ int dir = -1;
	struct wv_leaf_file leaves;
	int r;

	dir = open_log(verb, paths, &leaves);
	if (dir < 0)
		return -dir;
	r = find_checkpoint(dir, old, &old_note);
	if (r == 0 || r == -ENOENT)
		r = find_checkpoint(dir, size, &note);
	if (r == 0 || r == -ENOENT)
		r = wv_proof_consistency(&leaves, old, size, old_note, note, &proof);
	wv_leaf_file_close(&leaves);
	if (r == -ERANGE) {
		fprintf(stderr,
			"waveos-bpf %s: the log has no states of %" PRIu64 " and %" PRIu64
			" records, in this order\n",
			verb, old, size);
		return WV_EXIT_FINDING;
	}
	if (r < 0)
		return wv_evidence_failed(verb, "the log", r);
	if (!old_note || !note)
		fprintf(stderr,
			"waveos-bpf %s: no checkpoint is of exactly %" PRIu64
			" records: nobody signed that root\n",
			verb, old_note ? size : old);
	return wv_evidence_write(verb, output, proof);
}

int wv_evidence_consistency(struct wv_cli *cli, int argc, char **argv)
{
	struct ask ask = {0};
	uint64_t old = 0, size = 0;
	int r = wv_cli_parse(cli, argc, argv, "evidence consistency OLD NEW [-o FILE]",
			     consistency_examples, options, set_option, &ask);
	char **operand = argv + (r < 0 ? 0 : r);

	if (r < 0)
		return -r;
	if (argc != r + 2) {
		fprintf(stderr,
			"waveos-bpf evidence consistency: takes two numbers of records; see "
			"--help\n");
		return WV_EXIT_USAGE;
	}
	r = number(argv[0], operand[0], &old);
	if (r == 0)
		r = number(argv[0], operand[1], &size);
	return r ? r : consistency(argv[0], &cli->paths, old, size, ask.output);
}
