// SPDX-License-Identifier: GPL-2.0-only
/* evidence verify: the log of this device or of a copy of its folder, or a proof. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/cmd/evidence_cmd.h"
#include "user/cmd/progress.h"
#include "user/core/base64.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/io.h"
#include "user/evidence/proof.h"
#include "user/evidence/tlog.h"
#include "user/evidence/quote.h"
#include "user/evidence/verify.h"
#include "user/evidence/verify_anchors.h"

#define PROOF_MAX (1U << 20)
#define KEY_MAX 8192

struct ask {
	const char *verb, *log, *proof, *tpm;
	uint64_t from;
	struct wv_evidence_keys keys;
	struct wv_witness_urls witnesses;
};

static const struct wv_option options[] = {
	{"log", 'l', "DIR", "the log's folder, such as a copy (default: this device's)"},
	{"key", 'k', "VKEY",
	 "whose signatures count: a verifier key or a file with one (default: this device's)"},
	{"witness", 'w', "VKEY", "a witness whose cosignatures count, too; may be repeated"},
	{"ask", 'a', "'URL VKEY'",
	 "ask this witness over the network whether it saw a longer or another log"},
	{"tpm", 't', "AK.pub",
	 "check the quotes of the TPM in the log by its attestation key (`ak.pem` of `evidence "
	 "anchor -o`)"},
	{"from", 'f', "SEQ", "leave out the lines of segments that end before this record"},
	{"proof", 'p', "FILE", "check this proof instead of a log; needs nothing else but a key"},
	{0},
};
static const char examples[] =
	"  waveos-bpf evidence verify\n"
	"  waveos-bpf evidence verify --log /mnt/copy/log --key device.vkey\n"
	"  waveos-bpf evidence verify --tpm ak.pem\n"
	"  waveos-bpf evidence verify --proof proof.json --key device.vkey\n";

static int set_option(void *ctx, const struct wv_option *o, const char *value)
{
	struct ask *ask = ctx;

	switch (o->letter) {
	case 'l':
		ask->log = value;
		return 0;
	case 'k':
		ask->keys.key = value;
		return 0;
	case 'p':
		ask->proof = value;
		return 0;
	case 't':
		ask->tpm = value;
		return 0;
	case 'a':
		return wv_evidence_add_url(&ask->witnesses, ask->verb, value);
	case 'w':
		return wv_evidence_add_witness(&ask->keys, ask->verb, value);
	default:
		if (wv_parse_uint(value, &ask->from) == 0)
			return 0;
		fprintf(stderr, "waveos-bpf %s: --from '%s' is no number\n", ask->verb, value);
		return WV_EXIT_USAGE;
	}
}

static int print_proof(struct wv_cli *cli, const struct wv_proof_facts *f, bool holds)
{
	struct json_object *o;

	if (cli->json) {
		o = json_object_new_object();
		json_object_object_add(o, "ok", json_object_new_boolean(holds));
		json_object_object_add(o, "kind",
				       json_object_new_string(f->kind == WV_PROOF_INCLUSION
								      ? "inclusion"
								      : "consistency"));
		json_object_object_add(o, f->kind == WV_PROOF_INCLUSION ? "seq" : "old_size",
				       json_object_new_uint64(f->old));
		json_object_object_add(o, "size", json_object_new_uint64(f->size));
		if (f->record)
			json_object_object_add(o, "record", json_object_new_string(f->record));
		if (!holds)
			json_object_object_add(o, "why", json_object_new_string(f->why));
		wv_evidence_print(o);
	} else if (!holds) {
		printf("the proof does not hold: %s\n", f->why);
	} else if (f->kind == WV_PROOF_INCLUSION) {
		printf("record %" PRIu64 " is in the log of %" PRIu64 " records:\n%s\n", f->old,
		       f->size, f->record);
	} else {
		printf("the log of %" PRIu64 " records is a prefix of that of %" PRIu64 "\n",
		       f->old, f->size);
	}
	return holds ? WV_EXIT_OK : WV_EXIT_FINDING;
}

static int verify_proof(struct wv_cli *cli, const struct ask *ask)
{
	_cleanup_free_ char *text = NULL;
	struct wv_proof_facts facts;
	size_t len;
	int r;

	r = wv_io_read_file(&wv_io_system, AT_FDCWD, ask->proof, PROOF_MAX, &text, &len);
	if (r < 0)
		return wv_evidence_failed(ask->verb, ask->proof, r);
	r = wv_proof_check(text, len, ask->keys.list, ask->keys.n, &facts);
	if (r == 0 || r == -EBADMSG)
		r = print_proof(cli, &facts, r == 0);
	else if (r == -EPROTO) {
		fprintf(stderr, "waveos-bpf %s: %s is no proof: %s\n", ask->verb, ask->proof,
			facts.why);
		r = WV_EXIT_FINDING;
	} else {
		r = wv_evidence_failed(ask->verb, ask->proof, r);
	}
	wv_proof_facts_done(&facts);
	return r;
}

static void add_number(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static void print_json(const struct wv_verify_report *r)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array(), *f;
	char root[WV_BASE64_LENGTH(WV_HASH_SIZE) + 1];

	json_object_object_add(o, "ok", json_object_new_boolean(!r->n_findings && !r->more));
	add_number(o, "records", r->records);
	add_number(o, "bytes", r->bytes);
	add_number(o, "first", r->first);
	add_number(o, "last", r->last);
	add_number(o, "retired", r->retired);
	add_number(o, "leaves", r->leaves);
	add_number(o, "checkpoints", r->checkpoints);
	add_number(o, "covered", r->covered);
	if (r->checkpoints) {
		wv_base64_encode(r->root.bytes, sizeof(r->root.bytes), root);
		json_object_object_add(o, "root", json_object_new_string(root));
	}
	add_number(o, "cosigned", r->cosigned);
	add_number(o, "cosigners", r->cosigners);
	add_number(o, "cosigned_unix_s", r->cosigned_s);
	add_number(o, "anchors", r->anchors);
	add_number(o, "anchored", r->anchored);
	if (r->anchors) {
		add_number(o, "tpm_resets", r->anchor_resets);
		add_number(o, "tpm_clock_ms", r->anchor_clock_ms);
	}
	json_object_object_add(o, "torn", json_object_new_boolean(r->torn));
	for (unsigned i = 0; i < r->n_findings; i++) {
		f = json_object_new_object();
		json_object_object_add(
			f, "kind", json_object_new_string(wv_finding_names[r->findings[i].kind]));
		add_number(f, "first", r->findings[i].first);
		add_number(f, "last", r->findings[i].last);
		json_object_object_add(f, "text", json_object_new_string(r->findings[i].text));
		json_object_array_add(list, f);
	}
	json_object_object_add(o, "findings", list);
	add_number(o, "more_findings", r->more);
	wv_evidence_print(o);
}

static void print_text(const struct wv_verify_report *r)
{
	char root[WV_BASE64_LENGTH(WV_HASH_SIZE) + 1], when[32] = "";
	time_t at = (time_t)r->cosigned_s;
	struct tm tm;

	printf("%" PRIu64 " records, %" PRIu64 " to %" PRIu64 ", %" PRIu64 " bytes", r->records,
	       r->first, r->last, r->bytes);
	if (r->retired)
		printf("; %" PRIu64 " older ones were retired", r->retired);
	printf("\n");
	if (r->checkpoints) {
		wv_base64_encode(r->root.bytes, sizeof(r->root.bytes), root);
		printf("%" PRIu64 " signed checkpoints; the newest vouches for %" PRIu64
		       " records, root %s\n",
		       r->checkpoints, r->covered, root);
	}
	if (r->last > r->covered)
		printf("records %" PRIu64 " to %" PRIu64
		       " are not yet under a checkpoint: whoever can write the files could have "
		       "changed them\n",
		       r->covered + 1, r->last);
	if (r->cosigned) {
		if (gmtime_r(&at, &tm))
			strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
		printf("%u witness%s saw %" PRIu64 " records at %s\n", r->cosigners,
		       r->cosigners == 1 ? "" : "es", r->cosigned, when);
	}
	if (r->anchors)
		printf("the TPM signed %" PRIu64 " checkpoints; the newest one has %" PRIu64
		       " records, at %" PRIu64 " ms of its clock and %" PRIu32 " resets\n",
		       r->anchors, r->anchored, r->anchor_clock_ms, r->anchor_resets);
	for (unsigned i = 0; i < r->n_findings; i++)
		printf("%s: %s\n", wv_finding_names[r->findings[i].kind], r->findings[i].text);
	if (r->more)
		printf("and %" PRIu64 " findings more\n", r->more);
	printf(r->n_findings ? "the log does not verify\n" : "the log verifies\n");
}

/* What witnesses remember goes with the log, or is a finding. 0, or -errno: not asked. */
static int ask_witnesses(const struct ask *ask, const char *folder, struct wv_verify_report *report)
{
	_cleanup_close_ int dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[WV_WITNESS_TEXT_SIZE];
	struct wv_newest newest;
	int r = wv_newest_open(&newest, &wv_io_system, dirfd);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < ask->witnesses.n && r == 0; i++) {
		const struct wv_witness_url *u = &ask->witnesses.list[i];
		struct wv_witness_answer a = {0};

		r = wv_newest_show(&newest, wv_witness_post, NULL, u, &a);
		if (r < 0)
			break;
		wv_witness_answer_text(&a, u->url, newest.c.size, text);
		if (a.verdict == WV_WITNESS_COSIGNED) {
			report->cosigned = newest.c.size;
			report->cosigned_s = a.time;
			report->cosigners = i + 1;
		} else {
			wv_verify_add(report, WV_FINDING_ROLLBACK, 0, 0, "%.250s", text);
		}
		free(a.line);
	}
	wv_newest_close(&newest);
	return r;
}

/* 0 or an exit code, having said why. */
static int check_anchors(const struct ask *ask, const char *folder, struct wv_verify_report *report)
{
	_cleanup_free_ char *pem = NULL;
	EVP_PKEY *key;
	int r = wv_io_read_file(&wv_io_system, AT_FDCWD, ask->tpm, KEY_MAX, &pem, NULL);

	if (r < 0)
		return wv_evidence_failed(ask->verb, ask->tpm, r);
	if (wv_quote_key(pem, &key) < 0) {
		fprintf(stderr,
			"waveos-bpf %s: %s is no public P-256 key in PEM; `evidence anchor -o DIR` "
			"writes it to DIR/ak.pem\n",
			ask->verb, ask->tpm);
		return WV_EXIT_USAGE;
	}
	r = wv_verify_anchors(folder, ask->keys.list[0].name, key, report);
	EVP_PKEY_free(key);
	return r < 0 ? wv_evidence_failed(ask->verb, folder, r) : 0;
}

static int verify_log(struct wv_cli *cli, struct ask *ask)
{
	struct wv_verify_options o = {
		.keys = ask->keys.list, .n_keys = ask->keys.n, .from = ask->from};
	char path[WV_PATH_SIZE + 16];
	const char *folder = wv_evidence_folder(&cli->paths, ask->log, path);
	struct wv_verify_report report;
	struct wv_progress progress;
	int r;

	progress = wv_progress_begin(ask->verb, folder);
	r = wv_verify(folder, &o, &report);
	wv_progress_end(&progress);
	if (r < 0)
		return wv_evidence_failed(ask->verb, folder, r);
	r = ask->witnesses.n ? ask_witnesses(ask, folder, &report) : 0;
	if (r < 0)
		wv_verify_add(&report, WV_FINDING_ROLLBACK, 0, 0,
			      "a witness could not be asked: %s", strerror(-r));
	r = ask->tpm ? check_anchors(ask, folder, &report) : 0;
	if (r) {
		wv_verify_done(&report);
		return r;
	}
	if (cli->json)
		print_json(&report);
	else
		print_text(&report);
	r = report.n_findings || report.more ? WV_EXIT_FINDING : WV_EXIT_OK;
	wv_verify_done(&report);
	return r;
}

int wv_evidence_verify(struct wv_cli *cli, int argc, char **argv)
{
	struct ask ask = {.verb = argv[0]};
	int r = wv_cli_parse(cli, argc, argv, "evidence verify [--log DIR | --proof FILE]",
			     examples, options, set_option, &ask);

	if (r < 0)
		return -r;
	if (argc != r) {
		fprintf(stderr, "waveos-bpf %s: takes no operand; see --help\n", ask.verb);
		return WV_EXIT_USAGE;
	}
	r = wv_evidence_keys_ready(&ask.keys, ask.verb, &cli->paths);
	if (r)
		return r;
	return ask.proof ? verify_proof(cli, &ask) : verify_log(cli, &ask);
}
