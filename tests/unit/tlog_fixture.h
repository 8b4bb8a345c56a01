/* SPDX-License-Identifier: GPL-2.0-only */
/* A log whose records say their number, and a check of everything that a reader can see of it. */
#ifndef WV_TESTS_TLOG_FIXTURE_H
#define WV_TESTS_TLOG_FIXTURE_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/faulty_io.h"
#include "user/core/log.h"
#include "user/evidence/tlog.h"

static struct wv_secret_key key;
static struct wv_tlog_options options;

static inline int setup(void **state _unused_)
{
	wv_log_init(WV_LOG_TEXT, LOG_EMERG);
	fault = (struct fault){0};
	options = (struct wv_tlog_options){.name = "test/log"};
	memset(key.seed, 7, sizeof(key.seed));
	assert_int_equal(wv_key_derive(&key), 0);
	make_base();
	return 0;
}

static inline int teardown(void **state _unused_)
{
	remove_base();
	return 0;
}

struct record {
	unsigned n; /* what the test calls it */
	const char *type;
	size_t pad;
	uint64_t wall_ns;
};

static inline ssize_t compose(void *ctx, uint64_t seq, char *buf, size_t room)
{
	const struct record *r = ctx;
	int k = snprintf(buf, room,
			 "{\"n\":%u,\"pad\":\"%0*d\",\"seq\":%" PRIu64
			 ",\"type\":\"%s\",\"wall_ns\":%" PRIu64 "}",
			 r->n, (int)r->pad, 0, seq, r->type ?: "test", r->wall_ns ?: 5);

	return k < (int)room ? k : -EMSGSIZE;
}

static inline int add(struct wv_tlog *l, unsigned n)
{
	struct record r = {.n = n, .pad = 1};

	return wv_tlog_append(l, compose, &r, NULL);
}

static inline struct wv_tlog *open_log(void)
{
	struct wv_tlog *l;

	assert_int_equal(wv_tlog_open(&l, &faulty, paths.state, &options, NULL), 0);
	return l;
}

static inline char *log_path(const char *name, char buf[600])
{
	snprintf(buf, 600, "%s/" WV_TLOG_FOLDER "/%s", paths.state, name);
	return buf;
}

static inline char *log_file(const char *name, size_t *ret_len)
{
	char path[600], *text = NULL;

	if (wv_io_read_file(&wv_io_system, AT_FDCWD, log_path(name, path), 64 << 20, &text,
			    ret_len) < 0)
		return NULL;
	return text;
}

static inline void write_log_file(const char *name, const void *bytes, size_t len)
{
	char path[600];
	FILE *f = fopen(log_path(name, path), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	fclose(f);
}

/* Reads all: seqs without a gap from `from`, names rising; hashes and tree fit the lines; the
 * newest checkpoint is signed over a prefix. seen (MAY be NULL) gets true for each name read.
 * Returns the number of records ever. */
static inline uint64_t check_tlog(uint64_t from, bool *seen, unsigned names)
{
	_cleanup_free_ char *hashes = NULL, *note = NULL;
	struct wv_merkle *tree = calloc(1, sizeof(*tree)), *upto = calloc(1, sizeof(*upto));
	struct wv_checkpoint c = {0};
	struct wv_note_verifier v;
	struct wv_tlog_reader *r;
	uint64_t seq = from - 1, got, n, last = 0, signed_by;
	struct wv_hash root;
	const char *line;
	size_t len, notes_len, hashes_len = 0;
	int e;

	hashes = log_file(WV_TLOG_HASHES_NAME, &hashes_len);
	note = log_file(WV_TLOG_CHECKPOINT_NAME, &notes_len);
	if (note) {
		assert_int_equal(
			wv_note_verifier_init(&v, "test/log", WV_NOTE_ED25519, &key.public_key), 0);
		assert_int_equal(wv_note_open(note, notes_len, &v, 1, &signed_by, NULL, &len), 0);
		assert_int_equal(signed_by, 1);
		assert_int_equal(wv_checkpoint_parse(note, len, &c), 0);
	}
	for (uint64_t i = 1; i < from; i++) {
		wv_merkle_add(tree, (const struct wv_hash *)(hashes + (i - 1) * WV_HASH_SIZE));
		if (tree->size == c.size)
			*upto = *tree;
	}
	assert_int_equal(wv_tlog_read_open(&r, &wv_io_system, paths.state, from), 0);
	while ((e = wv_tlog_read(r, &got, &line, &len)) == 1) {
		struct wv_hash leaf;
		uint64_t said;

		assert_int_equal(got, ++seq);
		assert_int_equal(strlen(line), len);
		assert_int_equal(wv_record_number(line, len, "seq", &said), 0);
		assert_int_equal(said, seq);
		wv_merkle_leaf(line, len, &leaf);
		wv_merkle_add(tree, &leaf);
		if (hashes_len >= seq * WV_HASH_SIZE)
			assert_memory_equal(hashes + (seq - 1) * WV_HASH_SIZE, &leaf, sizeof(leaf));
		if (tree->size == c.size)
			*upto = *tree;
		if (seen && wv_record_number(line, len, "n", &n) == 0) {
			assert_true(n > last && n < names);
			last = n;
			seen[n] = true;
		}
	}
	assert_int_equal(e, 0);
	wv_tlog_read_close(r);
	if (c.size) {
		assert_true(c.size <= seq);
		wv_merkle_root(upto, &root);
		assert_memory_equal(&root, &c.root, sizeof(root));
	}
	free(tree);
	free(upto);
	return seq;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
