// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device's log: append, group commit, rotation, compression, checkpoints. After any power cut
 * it opens; committed records are there, each once and in order; what else is there was appended;
 * the tree's leaves are those of the lines; and the newest checkpoint, which is at least the one
 * that was promised, is of a prefix of it. Then it takes new records.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scenario.h"
#include "user/core/log.h"
#include "user/evidence/tlog.h"
#include "user/evidence/verify.h"

#define STATE "/simulated"
#define RECORDS 10

struct record {
	uint64_t n;
	size_t len;
};

/* The record's number in the scenario and its seq; the length depends on both. */
static ssize_t compose(void *ctx, uint64_t seq, char *buf, size_t room)
{
	const uint64_t n = *(const uint64_t *)ctx;
	size_t fill = (size_t)((n * 131 + seq * 17) % 500), at;

	at = (size_t)snprintf(buf, room, "{\"n\":%llu,\"seq\":%llu,\"text\":\"",
			      (unsigned long long)n, (unsigned long long)seq);
	for (size_t i = 0; i < fill; i++)
		buf[at++] = (char)('a' + (i + n) % 26);
	at += (size_t)snprintf(buf + at, room - at, "\"}");
	return (ssize_t)at;
}

static const struct wv_secret_key *get_key(void)
{
	static struct wv_secret_key key;
	static bool made;

	if (!made) {
		memset(key.seed, 7, sizeof(key.seed));
		made = wv_key_derive(&key) == 0;
	}
	return &key;
}

/* Segments of a few records; the seed of the run says how many, and the rest. */
static void set_options(struct wv_sim *s, struct wv_tlog_options *o)
{
	static const uint64_t bytes[] = {0, 300, 900, 2000};

	*o = (struct wv_tlog_options){
		.key = get_key(),
		.name = "waveos/simulated",
		.segment_bytes = bytes[wv_sim_pick(s, 4)],
		.checkpoint_records = wv_sim_pick(s, 5),
		.compress_level = wv_sim_pick(s, 2) ? 3 : 0,
	};
}

/* Records from *first on, up to *next, were appended and are promised. */
static void promise(struct wv_sim *s, uint64_t *first, uint64_t next)
{
	for (; *first < next; ++*first)
		wv_sim_ack(s, "record", *first);
}

static void append_one(struct wv_sim *s, struct wv_tlog *l, uint64_t n)
{
	wv_sim_try(s, "record", n);
	(void)wv_tlog_append(l, compose, &n, NULL);
}

/* A failed append leaves no promise, a failed commit none of those since the last one. */
static void work(struct wv_sim *s, struct wv_tlog *l, unsigned records)
{
	uint64_t next = wv_sim_greatest(s, "record", false) + 1;

	for (unsigned i = 0; i < records;) {
		uint64_t first = next, group = 1 + wv_sim_pick(s, 3);
		bool failed = false;

		for (; group && i < records; group--, i++, next++) {
			wv_sim_try(s, "record", next);
			failed |= wv_tlog_append(l, compose, &next, NULL) < 0;
		}
		if (wv_tlog_commit(l) == 0 && !failed)
			promise(s, &first, next);
	}
	if (wv_sim_pick(s, 2) && wv_tlog_checkpoint(l) == 0)
		wv_sim_ack(s, "checkpoint", wv_tlog_checkpointed(l));
	if (wv_sim_pick(s, 3) == 0)
		(void)wv_tlog_rotate(l);
	append_one(s, l, next);
}

static int setup(struct wv_sim *s)
{
	struct wv_tlog_options o;
	struct wv_tlog *l;
	int r;

	wv_log_init(WV_LOG_TEXT, LOG_EMERG);
	if (wv_sim_pick(s, 3) == 0)
		return 0; /* the log is made in the run */
	set_options(s, &o);
	r = wv_tlog_open(&l, &s->io, STATE, &o, NULL);
	if (r < 0)
		return r;
	work(s, l, (unsigned)wv_sim_pick(s, 8));
	wv_tlog_close(l);
	return 0;
}

static int run(struct wv_sim *s)
{
	struct wv_tlog_options o;
	struct wv_tlog *l;

	set_options(s, &o);
	if (wv_tlog_open(&l, &s->io, STATE, &o, NULL) < 0)
		return 0;
	if (wv_sim_pick(s, 4) == 0)
		s->wall_ns -= 3600000000000ULL; /* the clock is set back */
	work(s, l, RECORDS);
	wv_tlog_close(l);
	return 0;
}

struct found {
	uint64_t size, last_n;
	struct wv_merkle tree;
};

static int check_record(struct wv_sim *s, struct wv_tlog *l, struct found *f, uint64_t seq,
			const char *line, size_t len, char *why, size_t size)
{
	struct wv_hash leaf, stored;
	char want[1024];
	uint64_t n;

	if (seq != f->size + 1) {
		snprintf(why, size, "after record %llu comes %llu", (unsigned long long)f->size,
			 (unsigned long long)seq);
		return -1;
	}
	/* a compression is in the log, too */
	bool own = strstr(line, "\"type\":\"transformation\"") != NULL;

	n = f->last_n;
	if (!own && (sscanf(line, "{\"n\":%llu,", (unsigned long long *)&n) != 1 ||
		     n <= f->last_n || n > wv_sim_greatest(s, "record", false) ||
		     compose(&n, seq, want, sizeof(want)) != (ssize_t)len ||
		     memcmp(want, line, len) != 0)) {
		snprintf(why, size, "record %llu is none that was appended: %.80s",
			 (unsigned long long)seq, line);
		return -1;
	}
	for (uint64_t i = f->last_n + 1; i < n; i++)
		if (wv_sim_told(s, "record", i, true)) {
			snprintf(why, size, "record %llu was promised and is not there",
				 (unsigned long long)i);
			return -1;
		}
	wv_merkle_leaf(line, len, &leaf);
	if (wv_tlog_leaves(l, seq - 1, 1, &stored) < 0 ||
	    memcmp(&leaf, &stored, sizeof(leaf)) != 0) {
		snprintf(why, size, "the leaf of record %llu is another one",
			 (unsigned long long)seq);
		return -1;
	}
	wv_merkle_add(&f->tree, &leaf);
	f->size = seq;
	f->last_n = n;
	return 0;
}

static int check_records(struct wv_sim *s, struct wv_tlog *l, struct found *f, char *why,
			 size_t size)
{
	struct wv_tlog_reader *reader;
	const char *line;
	uint64_t seq;
	size_t len;
	int r = wv_tlog_read_open(&reader, &s->io, STATE, 1);

	if (r < 0) {
		snprintf(why, size, "no reader: %s", strerror(-r));
		return -1;
	}
	while ((r = wv_tlog_read(reader, &seq, &line, &len)) == 1)
		if (check_record(s, l, f, seq, line, len, why, size) < 0)
			break;
	wv_tlog_read_close(reader);
	if (r == 0)
		return 0;
	if (r < 0)
		snprintf(why, size, "cannot be read after record %llu: %s",
			 (unsigned long long)f->size, strerror(-r));
	return -1;
}

static int check_tree(struct wv_sim *s, struct wv_tlog *l, const struct found *f, char *why,
		      size_t size)
{
	struct wv_hash root, mine;
	uint64_t n = 0;
	int r = wv_tlog_head(l, &n, &root);

	wv_merkle_root(&f->tree, &mine);
	if (r < 0 || n != f->size || memcmp(&root, &mine, sizeof(root)) != 0) {
		snprintf(why, size, "the lines are %llu, the tree has %llu or another root",
			 (unsigned long long)f->size, (unsigned long long)n);
		return -1;
	}
	for (n = f->last_n + 1; n <= wv_sim_greatest(s, "record", true); n++)
		if (wv_sim_told(s, "record", n, true)) {
			snprintf(why, size, "record %llu was promised and is not there",
				 (unsigned long long)n);
			return -1;
		}
	return 0;
}

/* The newest note is whole, signed, of this log, and not older than what was promised. */
static int check_checkpoint(struct wv_sim *s, struct wv_tlog *l, const struct found *f, char *why,
			    size_t size)
{
	uint64_t promised = wv_sim_greatest(s, "checkpoint", true), signed_by = 0;
	struct wv_checkpoint c = {0};
	struct wv_note_verifier v;
	struct wv_hash root;
	char *note = NULL;
	size_t len, text_len;
	int dir = s->io.open(s->io.ctx, AT_FDCWD, STATE "/log", O_RDONLY | O_DIRECTORY, 0);
	int r = wv_io_read_file(&s->io, dir, WV_TLOG_CHECKPOINT_NAME, WV_NOTE_MAX, &note, &len);

	(void)s->io.close(s->io.ctx, dir);
	if (r == -ENOENT && !promised)
		return 0;
	if (r == 0)
		r = wv_note_verifier_init(&v, "waveos/simulated", WV_NOTE_ED25519,
					  &get_key()->public_key);
	if (r == 0)
		r = wv_note_open(note, len, &v, 1, &signed_by, NULL, &text_len);
	if (r == 0)
		r = signed_by ? wv_checkpoint_parse(note, text_len, &c) : -EBADMSG;
	free(note);
	if (r < 0 || c.size < promised || c.size > f->size) {
		snprintf(why, size, "checkpoint of %llu (%s), %llu were promised, %llu are there",
			 (unsigned long long)c.size, strerror(-r), (unsigned long long)promised,
			 (unsigned long long)f->size);
		return -1;
	}
	r = wv_merkle_root_of(wv_tlog_leaves, l, c.size, &root);
	if (r < 0 || memcmp(&root, &c.root, sizeof(root)) != 0) {
		snprintf(why, size, "the checkpoint of %llu is of another log",
			 (unsigned long long)c.size);
		return -1;
	}
	return 0;
}

static int check(struct wv_sim *s, char *why, size_t size)
{
	struct wv_tlog_options o;
	struct found f = {0};
	struct wv_tlog *l;
	int r;

	set_options(s, &o);
	r = wv_tlog_open(&l, &s->io, STATE, &o, NULL);
	if (r < 0) {
		snprintf(why, size, "cannot be opened: %s", strerror(-r));
		return -1;
	}
	r = check_records(s, l, &f, why, size);
	r = r ?: check_tree(s, l, &f, why, size);
	r = r ?: check_checkpoint(s, l, &f, why, size);
	if (r == 0)
		work(s, l, 2);
	wv_tlog_close(l);
	return r;
}

/* `evidence verify` finds nothing. */
static int audit(char *why, size_t size)
{
	struct wv_note_verifier key;
	struct wv_verify_options o = {.keys = &key, .n_keys = 1, .threads = 1};
	struct wv_verify_report report;
	int r = wv_note_verifier_init(&key, "waveos/simulated", WV_NOTE_ED25519,
				      &get_key()->public_key);

	r = r ?: wv_verify(STATE "/log", &o, &report);
	if (r < 0) {
		snprintf(why, size, "cannot be verified: %s", strerror(-r));
		return -1;
	}
	/* that there is no checkpoint at all is told, and no harm: check() knows what was promised
	 */
	if (report.n_findings > 1 ||
	    (report.n_findings == 1 &&
	     (report.checkpoints || report.findings[0].kind != WV_FINDING_CHECKPOINT))) {
		snprintf(why, size, "verification: %s %llu-%llu: %.120s",
			 wv_finding_names[report.findings[0].kind],
			 (unsigned long long)report.findings[0].first,
			 (unsigned long long)report.findings[0].last, report.findings[0].text);
		r = -1;
	}
	wv_verify_done(&report);
	return r;
}

const struct wv_sim_scenario wv_sim_tlog = {
	.name = "tlog",
	.what = "the log: append, commit, rotation, compression, checkpoints",
	.setup = setup,
	.run = run,
	.check = check,
	.audit = audit,
	.finds = WV_SIM_FINDS(NO_FILE_SYNC) | WV_SIM_FINDS(NO_DIR_SYNC) |
		 WV_SIM_FINDS(EARLY_RENAME) | WV_SIM_FINDS(EARLY_ACK) | WV_SIM_FINDS(NO_TRUNCATE),
};
