// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/verify_anchors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/base64.h"
#include "user/evidence/anchor.h"
#include "user/evidence/quote.h"
#include "user/evidence/tlog.h"

#define TYPE "\"checkpoint-anchored\""
#define CHUNK 1024

struct anchors {
	struct wv_verify_report *report;
	const char *origin;
	EVP_PKEY *key;
	struct wv_leaf_file leaves;
	struct wv_merkle tree; /* of the log up to the last anchor: they ascend */
	struct wv_quote_chain chain;
};

struct record {
	unsigned char message[WV_TPM_BLOB_MAX], signature[WV_TPM_BLOB_MAX];
	size_t message_len, signature_len;
	const char *text; /* of the checkpoint */
	struct wv_checkpoint c;
	struct wv_quote quote;
};

/* A member that is a text; "" if it is none. */
static const char *text_of(struct json_object *o, const char *name, size_t *ret_len)
{
	struct json_object *v;

	*ret_len = 0;
	if (!json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_string))
		return "";
	*ret_len = (size_t)json_object_get_string_len(v);
	return json_object_get_string(v);
}

static bool blob_of(struct json_object *o, const char *name, unsigned char *ret, size_t *ret_len)
{
	size_t len;
	const char *text = text_of(o, name, &len);
	ssize_t n = wv_base64_decode(text, len, ret, WV_TPM_BLOB_MAX);

	*ret_len = n > 0 ? (size_t)n : 0;
	return n > 0;
}

/* Whether the log had that root when it was so long. */
static int contains(struct anchors *a, const struct wv_checkpoint *c, bool *ret)
{
	struct wv_hash chunk[CHUNK], root;

	if (c->size < a->tree.size)
		a->tree = (struct wv_merkle){0};
	while (a->tree.size < c->size) {
		uint64_t n = c->size - a->tree.size;
		int r;

		n = n < CHUNK ? n : CHUNK;
		r = wv_leaf_file_read(&a->leaves, a->tree.size, n, chunk);
		if (r < 0)
			return r;
		for (uint64_t i = 0; i < n; i++)
			wv_merkle_add(&a->tree, &chunk[i]);
	}
	wv_merkle_root(&a->tree, &root);
	*ret = memcmp(&root, &c->root, sizeof(root)) == 0;
	return 0;
}

/* What is wrong with it by itself, or NULL. */
static const char *check_quote(const struct anchors *a, struct json_object *o, struct record *rec)
{
	struct wv_hash digest;
	size_t len;
	int r;

	if (!blob_of(o, "quote", rec->message, &rec->message_len) ||
	    !blob_of(o, "signature", rec->signature, &rec->signature_len))
		return "it has no quote";
	r = wv_quote_check(a->key, rec->message, rec->message_len, rec->signature,
			   rec->signature_len);
	if (r < 0)
		return "its quote is not signed by this key";
	if (wv_quote_parse(rec->message, rec->message_len, &rec->quote) < 0)
		return "what the key signed is no quote of one PCR";
	if (rec->quote.pcr != WV_TPM_PCR)
		return "its quote is of another PCR";
	rec->text = text_of(o, "checkpoint", &len);
	wv_anchor_digest(rec->text, len, &digest);
	if (memcmp(&digest, &rec->quote.qualifying, sizeof(digest)) != 0)
		return "its quote is of another checkpoint";
	if (wv_checkpoint_parse(rec->text, len, &rec->c) < 0)
		return "what was quoted is no checkpoint";
	return strcmp(rec->c.origin, a->origin) == 0 ? NULL
						     : "the checkpoint is that of another log";
}

static int check(struct anchors *a, uint64_t seq, struct json_object *o)
{
	struct record rec = {.message_len = 0};
	const char *why = check_quote(a, o, &rec), *link = NULL;
	bool there = true;
	int r = 0;

	if (!why)
		link = wv_quote_follow(&a->chain, &rec.quote);
	if (!why && rec.c.size >= seq)
		why = "the checkpoint has this record or later ones";
	if (!why)
		r = contains(a, &rec.c, &there);
	/* leaf hashes that are missing are the log's own trouble, and were found */
	if (r == -ENODATA || r == -ERANGE || r == -EIO)
		there = false;
	else if (r < 0)
		return r;
	if (!why && !there)
		why = "this log never had the checkpoint that was quoted";
	if (why || link)
		wv_verify_add(a->report, WV_FINDING_ANCHOR, seq, seq,
			      "anchor in record %" PRIu64 ": %s", seq, why ?: link);
	if (why)
		return 0;
	a->report->anchors++;
	a->report->anchored = rec.c.size;
	a->report->anchor_resets = rec.quote.resets;
	a->report->anchor_clock_ms = rec.quote.clock_ms;
	return 0;
}

static int look(struct anchors *a, uint64_t seq, const char *line, size_t len)
{
	struct json_object *o;
	const char *type;
	size_t type_len;
	int r;

	if (wv_record_member(line, len, "type", &type, &type_len) < 0 || type_len != strlen(TYPE) ||
	    memcmp(type, TYPE, type_len) != 0)
		return 0;
	o = json_tokener_parse(line);
	r = check(a, seq, o);
	json_object_put(o);
	return r;
}

int wv_verify_anchors(const char *folder, const char *origin, EVP_PKEY *key,
		      struct wv_verify_report *report)
{
	struct anchors a = {.report = report, .origin = origin, .key = key};
	_cleanup_close_ int dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct wv_tlog_reader *reader;
	const char *line;
	uint64_t seq;
	size_t len;
	int r = dirfd < 0 ? -errno : wv_leaf_file_open(&a.leaves, dirfd);

	if (r < 0)
		return r;
	r = wv_tlog_read_open_folder(&reader, &wv_io_system, folder, 0);
	if (r == 0) {
		while ((r = wv_tlog_read(reader, &seq, &line, &len)) > 0) {
			r = look(&a, seq, line, len);
			if (r < 0)
				break;
		}
		wv_tlog_read_close(reader);
	}
	wv_leaf_file_close(&a.leaves);
	return r;
}
