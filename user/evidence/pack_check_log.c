// SPDX-License-Identifier: GPL-2.0-only
/*
 * The records of a pack against the Merkle root of the signed checkpoint: leaves and audit paths
 * give the root, each line its leaf. So the record that was altered is named even where the
 * manifest was made anew.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/note.h"
#include "user/evidence/pack_check.h"
#include "user/evidence/pack_stage.h"
#include "user/evidence/range.h"
#include "user/evidence/tlog.h"

struct log_check {
	struct wv_pack_reading *p;
	struct wv_checkpoint checkpoint;
	struct wv_range range;
	const struct wv_hash *leaves;
	struct json_object *redacted; /* list of the manifest, or NULL */
	size_t next;		      /* of the list */
};

static bool from_hex(const char *text, struct wv_hash *ret)
{
	if (strlen(text) != 2 * WV_HASH_SIZE ||
	    strspn(text, "0123456789abcdef") != 2 * WV_HASH_SIZE)
		return false;
	for (unsigned i = 0; i < WV_HASH_SIZE; i++) {
		unsigned byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return false;
		ret->bytes[i] = (unsigned char)byte;
	}
	return true;
}

static const char *member(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) ?: "" : "";
}

static bool read_path(struct json_object *proof, const char *key, struct wv_hash path[WV_PROOF_MAX],
		      unsigned *ret_n)
{
	struct json_object *list;
	size_t n;

	if (!json_object_object_get_ex(proof, key, &list) ||
	    !json_object_is_type(list, json_type_array))
		return false;
	n = json_object_array_length(list);
	if (n > WV_PROOF_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!from_hex(json_object_get_string(json_object_array_get_idx(list, i)) ?: "",
			      &path[i]))
			return false;
	*ret_n = (unsigned)n;
	return true;
}

static bool check_checkpoint(struct log_check *c)
{
	struct wv_pack_reading *p = c->p;
	struct wv_pack_entry *e = wv_pack_entry(p, WV_PACK_CHECKPOINT);
	struct wv_note_verifier v;
	uint64_t by = 0;
	size_t text_len;
	int r;

	if (!e || !e->data || !p->has_key)
		return false; /* told already */
	/* whose name: the origin says it, and the key's id in the note binds both */
	r = wv_checkpoint_parse(e->data, e->bytes, &c->checkpoint);
	if (r < 0) {
		const char *end = strstr(e->data, "\n\n");

		r = end ? wv_checkpoint_parse(e->data, (size_t)(end + 1 - e->data), &c->checkpoint)
			: r;
	}
	r = r ?: wv_note_verifier_init(&v, c->checkpoint.origin, WV_NOTE_ED25519, &p->verdict->key);
	r = r ?: wv_note_open(e->data, e->bytes, &v, 1, &by, NULL, &text_len);
	r = r ?: wv_checkpoint_parse(e->data, text_len, &c->checkpoint);
	if (r < 0 || !by) {
		wv_pack_finding(p, "log", WV_PACK_CHECKPOINT,
				r ? "is no checkpoint of this key: altered"
				  : "is not signed by the key of the pack");
		return false;
	}
	return true;
}

static bool check_proof(struct log_check *c)
{
	struct wv_pack_reading *p = c->p;
	struct wv_pack_entry *e = wv_pack_entry(p, WV_PACK_PROOF);
	struct wv_pack_entry *leaves = wv_pack_entry(p, WV_PACK_LEAVES);
	struct json_object *o = e && e->data ? json_tokener_parse(e->data) : NULL;
	struct wv_range *g = &c->range;
	struct wv_hash root;
	uint64_t first = 0, last = 0, n;
	bool ok;

	if (!e || !leaves)
		return false;
	ok = wv_pack_u64(o, "size", &g->size) && wv_pack_u64(o, "first_seq", &first) &&
	     wv_pack_u64(o, "last_seq", &last) && first && last >= first &&
	     last - first < WV_PACK_RECORDS_MAX &&
	     read_path(o, "first_path", g->first_path, &g->n_first) &&
	     read_path(o, "last_path", g->last_path, &g->n_last);
	json_object_put(o);
	if (!ok) {
		wv_pack_finding(p, "log", WV_PACK_PROOF, "is no proof of a range of records");
		return false;
	}
	g->first = first - 1;
	g->last = last - 1;
	n = last - first + 1;
	if (leaves->bytes != n * WV_HASH_SIZE || !leaves->data) {
		wv_pack_finding(p, "log", WV_PACK_LEAVES, "has not %" PRIu64 " leaves", n);
		return false;
	}
	c->leaves = (const struct wv_hash *)leaves->data;
	if (g->size != c->checkpoint.size) {
		wv_pack_finding(p, "log", WV_PACK_PROOF,
				"is for a log of %" PRIu64 " records, the checkpoint for %" PRIu64,
				g->size, c->checkpoint.size);
		return false;
	}
	if (wv_range_root(g, c->leaves, &root) < 0 ||
	    memcmp(&root, &c->checkpoint.root, sizeof(root)) != 0) {
		wv_pack_finding(p, "log", WV_PACK_LEAVES,
				"leaves and paths do not give the root of the checkpoint: records "
				"were altered, "
				"dropped, added or reordered");
		return false;
	}
	return true;
}

/* What the manifest says of the log must be what the log says. */
static void check_claims(struct log_check *c)
{
	struct wv_pack_reading *p = c->p;
	struct json_object *log = NULL;
	uint64_t first = 0, last = 0, size = 0;
	struct wv_hash root;

	if (!p->manifest || !json_object_object_get_ex(p->manifest, "log", &log) ||
	    !json_object_is_type(log, json_type_object)) {
		wv_pack_finding(p, "manifest", WV_PACK_MANIFEST, "says nothing of the log");
		return;
	}
	if (json_object_object_get_ex(log, "redacted", &c->redacted) &&
	    !json_object_is_type(c->redacted, json_type_array))
		c->redacted = NULL;
	(void)wv_pack_u64(log, "first_seq", &first);
	(void)wv_pack_u64(log, "last_seq", &last);
	(void)wv_pack_u64(log, "size", &size);
	if (first != c->range.first + 1 || last != c->range.last + 1 ||
	    size != c->checkpoint.size || !from_hex(member(log, "root"), &root) ||
	    memcmp(&root, &c->checkpoint.root, sizeof(root)) != 0 ||
	    strcmp(member(log, "origin"), c->checkpoint.origin) != 0)
		wv_pack_finding(p, "manifest", WV_PACK_MANIFEST,
				"names another part of the log than the pack has");
}

/* Whether the manifest says that this record was redacted, with this leaf. */
static bool is_redacted(struct log_check *c, uint64_t seq, const struct wv_hash *leaf)
{
	struct json_object *entry;
	struct wv_hash said;
	uint64_t at;

	if (!c->redacted || c->next >= json_object_array_length(c->redacted))
		return false;
	entry = json_object_array_get_idx(c->redacted, c->next);
	if (!wv_pack_u64(entry, "seq", &at) || at != seq)
		return false;
	c->next++;
	if (!from_hex(member(entry, "leaf"), &said) || memcmp(&said, leaf, sizeof(said)) != 0)
		wv_pack_finding(c->p, "record", WV_PACK_RECORDS,
				"record %" PRIu64 ": the manifest has another leaf hash for it",
				seq);
	c->p->verdict->redacted++;
	return true;
}

static void check_record(struct log_check *c, uint64_t seq, const char *line, size_t len)
{
	const struct wv_hash *leaf = &c->leaves[seq - 1 - c->range.first];
	struct wv_hash own;
	uint64_t says = 0;

	wv_merkle_leaf(line, len, &own);
	if (!is_redacted(c, seq, leaf) && memcmp(&own, leaf, sizeof(own)) != 0)
		wv_pack_finding(c->p, "record", WV_PACK_RECORDS, "record %" PRIu64 " was altered",
				seq);
	else if (wv_record_number(line, len, "seq", &says) < 0 || says != seq)
		wv_pack_finding(c->p, "record", WV_PACK_RECORDS,
				"record %" PRIu64 " says that it is number %" PRIu64, seq, says);
}

void wv_pack_check_log(struct wv_pack_reading *p)
{
	struct log_check c = {.p = p};
	struct wv_pack_entry *e = wv_pack_entry(p, WV_PACK_RECORDS);
	uint64_t seq;
	char *at;

	if (!check_checkpoint(&c) || !check_proof(&c))
		return;
	check_claims(&c);
	if (!e || !e->data)
		return;
	seq = c.range.first + 1;
	for (at = e->data; at < e->data + e->bytes; seq++) {
		char *end = memchr(at, '\n', (size_t)(e->data + e->bytes - at));
		size_t len = (size_t)((end ?: e->data + e->bytes) - at);

		if (seq > c.range.last + 1) {
			wv_pack_finding(p, "record", WV_PACK_RECORDS,
					"there are more lines than records");
			break;
		}
		at[len] = '\0';
		check_record(&c, seq, at, len);
		at += len + 1;
	}
	if (seq <= c.range.last + 1)
		wv_pack_finding(p, "record", WV_PACK_RECORDS,
				"records from %" PRIu64 " to %" PRIu64 " are missing", seq,
				c.range.last + 1);
	p->verdict->records = seq - 1 - c.range.first;
	if (c.redacted && c.next != json_object_array_length(c.redacted))
		wv_pack_finding(p, "manifest", WV_PACK_MANIFEST,
				"names redacted records that the pack does not have");
}
