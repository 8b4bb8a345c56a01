// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long a log takes to verify, and one proof beside its signature.
 *   evidence_verify FOLDER [RECORDS [BYTES [ROUNDS [THREADS]]]]
 * Makes the log below FOLDER (records of BYTES bytes, a checkpoint every 10,000) unless it is
 * there. Prints: verify_s (median of the rounds), proof_us, signature_us.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/core/cleanup.h"
#include "user/core/io.h"
#include "user/evidence/proof.h"
#include "user/evidence/tlog.h"
#include "user/evidence/verify.h"

#define BATCH 10000
#define PROOFS 2000

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now(void)
{
	return seconds(CLOCK_MONOTONIC);
}

static void die(const char *what, int error)
{
	fprintf(stderr, "evidence_verify: %s: %s\n", what, strerror(-error));
	exit(1);
}

static size_t bytes = 256;

/* A record as the agent's are, padded to its size. */
static ssize_t compose(void *ctx, uint64_t seq, char *buf, size_t room)
{
	int n = snprintf(
		buf, room,
		"{\"action\":\"limit\",\"boot_id\":\"5e4a3a0e-9a0b-4c51-8f0e-0d1f7f2c9b11\","
		"\"cgroup\":\"/system.slice/web-%" PRIu64 ".service\",\"mono_ns\":%" PRIu64
		",\"run_id\":\"20260101T000000Z-0a1b2c\",\"schema_version\":1,\"seq\":%" PRIu64
		",\"type\":\"decision\",\"wall_ns\":%" PRIu64 ",\"why\":\"",
		seq % 64, seq * 1000003, seq, UINT64_C(1767225600000000000) + seq * 1000003);

	(void)ctx;
	while (n + 2 < (int)bytes)
		buf[n++] = 'x';
	buf[n++] = '"';
	buf[n++] = '}';
	return n;
}

static void make(const char *folder, const struct wv_secret_key *key, uint64_t records)
{
	struct wv_tlog_options o = {.key = key, .name = "bench/log", .segment_bytes = 64U << 20};
	struct wv_tlog *l;
	uint64_t i;
	int r;

	r = wv_tlog_open(&l, &wv_io_system, folder, &o, NULL);
	if (r < 0)
		die(folder, r);
	while (r == 0 && wv_tlog_size(l) < records) {
		r = wv_tlog_begin(l);
		for (i = 0; i < BATCH && r == 0; i++)
			r = wv_tlog_append(l, compose, NULL, NULL);
		if (r == 0)
			r = wv_tlog_end(l, true);
		if (r == 0)
			r = wv_tlog_commit(l);
		if (r == 0)
			r = wv_tlog_checkpoint(l);
	}
	if (r < 0)
		die("making the log", r);
	wv_tlog_close(l);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void verify(const char *folder, const struct wv_note_verifier *v, uint64_t records,
		   int rounds, unsigned threads)
{
	struct wv_verify_options o = {.keys = v, .n_keys = 1, .threads = threads};
	struct wv_verify_report report = {0};
	double took[99], cpu[99], start, cpu_start;
	char path[600];
	int i, r;

	snprintf(path, sizeof(path), "%s/" WV_TLOG_FOLDER, folder);
	for (i = 0; i < rounds && i < 99; i++) {
		start = now();
		cpu_start = seconds(CLOCK_PROCESS_CPUTIME_ID);
		r = wv_verify(path, &o, &report);
		took[i] = now() - start;
		cpu[i] = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
		if (r < 0)
			die("verify", r);
		if (report.n_findings || report.records < records || report.covered < records)
			die("the log does not verify", -EBADMSG);
		wv_verify_done(&report);
	}
	qsort(took, (size_t)i, sizeof(*took), by_value);
	qsort(cpu, (size_t)i, sizeof(*cpu), by_value);
	printf("verify_s %.3f\nverify_cpu_s %.3f\n", took[i / 2], cpu[0]);
}

/* One record's path to a root, as a reader of a proof has it; and the root's signature. */
static void prove(const char *folder, const struct wv_note_verifier *v, uint64_t records)
{
	struct wv_hash path[WV_PROOF_MAX], root, leaf;
	_cleanup_free_ char *note = NULL;
	struct wv_leaf_file leaves;
	char name[600], line[1024];
	uint64_t by, seq = records / 3 + 1;
	size_t len, text_len;
	double start, proof, signature;
	ssize_t n = compose(NULL, seq, line, sizeof(line));
	unsigned hashes;
	int dir, i, bad = 0;

	snprintf(name, sizeof(name), "%s/" WV_TLOG_FOLDER, folder);
	dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || wv_leaf_file_open(&leaves, dir) < 0 ||
	    wv_merkle_root_of(wv_leaf_file_read, &leaves, records, &root) < 0 ||
	    wv_merkle_inclusion(wv_leaf_file_read, &leaves, seq - 1, records, path, &hashes) < 0 ||
	    wv_io_read_file(&wv_io_system, dir, WV_TLOG_CHECKPOINT_NAME, WV_NOTE_MAX, &note, &len) <
		    0)
		die("proof", -EIO);
	start = now();
	for (i = 0; i < PROOFS; i++) {
		wv_merkle_leaf(line, (size_t)n, &leaf);
		bad += wv_merkle_check_inclusion(seq - 1, records, &leaf, path, hashes, &root) != 0;
	}
	proof = (now() - start) / PROOFS * 1e6;
	start = now();
	for (i = 0; i < PROOFS / 10; i++)
		bad += wv_note_open(note, len, v, 1, &by, NULL, &text_len) != 0 || by != 1;
	signature = (now() - start) / (PROOFS / 10) * 1e6;
	if (bad)
		die("a proof does not hold", -EBADMSG);
	printf("proof_us %.2f\nsignature_us %.1f\n", proof, signature);
	wv_leaf_file_close(&leaves);
	close(dir);
}

int main(int argc, char **argv)
{
	uint64_t records = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
	int rounds = argc > 4 ? atoi(argv[4]) : 5;
	unsigned threads = argc > 5 ? (unsigned)atoi(argv[5]) : 2;
	struct wv_secret_key key = {.seed = {1}};
	struct wv_note_verifier v;

	if (argc < 2 || !records || rounds < 1)
		return 2;
	if (argc > 3)
		bytes = strtoul(argv[3], NULL, 10);
	if (wv_key_derive(&key) < 0 ||
	    wv_note_verifier_init(&v, "bench/log", WV_NOTE_ED25519, &key.public_key) < 0)
		return 1;
	make(argv[1], &key, records);
	verify(argv[1], &v, records, rounds, threads);
	prove(argv[1], &v, records);
	return 0;
}
