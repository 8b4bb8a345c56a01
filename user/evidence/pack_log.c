// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log's part of a pack. Leaves are taken from the file of hashes that the log keeps; the proof
 * is checked against the checkpoint before it goes in, so that no pack is made that does not
 * verify.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"
#include "user/evidence/note.h"
#include "user/evidence/pack_stage.h"
#include "user/evidence/range.h"
#include "user/evidence/tlog.h"

struct leaves {
	const struct wv_io *io;
	int fd;
};

static int read_leaves(void *ctx, uint64_t first, size_t n, struct wv_hash *ret)
{
	const struct leaves *l = ctx;
	size_t want = n * WV_HASH_SIZE;
	ssize_t got = wv_io_pread_all(l->io, l->fd, ret, want, first * WV_HASH_SIZE);

	return got < 0 ? (int)got : (size_t)got == want ? 0 : -ENODATA;
}

static void hex(const struct wv_hash *h, char ret[WV_SHA256_HEX])
{
	for (unsigned i = 0; i < WV_HASH_SIZE; i++)
		snprintf(ret + 2 * i, 3, "%02x", h->bytes[i]);
}

static void add_hash(struct json_object *o, const char *key, const struct wv_hash *h)
{
	char text[WV_SHA256_HEX];

	hex(h, text);
	json_object_object_add(o, key, json_object_new_string(text));
}

static struct json_object *path_json(const struct wv_hash *path, unsigned n)
{
	struct json_object *list = json_object_new_array();
	char text[WV_SHA256_HEX];

	for (unsigned i = 0; i < n; i++) {
		hex(&path[i], text);
		json_object_array_add(list, json_object_new_string(text));
	}
	return list;
}

static int add_json(struct wv_pack_stage *s, const char *name, struct json_object *o)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = wv_canonical(o, &text, &len);

	return r < 0 ? r : wv_stage_add(s, name, text, len);
}

/* The newest checkpoint, opened with the device's own key. */
static int read_checkpoint(struct wv_pack_stage *s, int dir, struct wv_checkpoint *ret)
{
	const struct wv_pack_options *o = s->o;
	struct wv_note_verifier v;
	_cleanup_free_ char *note = NULL;
	size_t len, text_len;
	uint64_t signed_by;
	int r;

	r = wv_io_read_file(o->io, dir, "checkpoint", WV_NOTE_MAX, &note, &len);
	if (r < 0)
		return wv_stage_fail(s, r, "the log has no checkpoint that can be read: %s",
				     strerror(-r));
	r = wv_note_verifier_init(&v, o->key_name, WV_NOTE_ED25519, &o->key->public_key);
	if (r == 0)
		r = wv_note_open(note, len, &v, 1, &signed_by, NULL, &text_len);
	if (r == 0 && !signed_by)
		r = -EKEYREJECTED;
	if (r == 0)
		r = wv_checkpoint_parse(note, text_len, ret);
	if (r < 0)
		return wv_stage_fail(s, r,
				     "the log's checkpoint is not signed by this device's key");
	if (ret->size < o->last_seq)
		return wv_stage_fail(s, -ENODATA,
				     "the newest checkpoint is at record %" PRIu64
				     ", before the last one that is asked for (%" PRIu64 ")",
				     ret->size, o->last_seq);
	return wv_stage_add(s, WV_PACK_CHECKPOINT, note, len);
}

static int add_proof(struct wv_pack_stage *s, const struct leaves *l, const struct wv_checkpoint *c,
		     struct wv_hash *leaves)
{
	uint64_t first = s->o->first_seq - 1, last = s->o->last_seq - 1;
	size_t n = (size_t)(last - first + 1);
	struct json_object *o;
	struct wv_hash root;
	struct wv_range g = {.size = c->size, .first = first, .last = last};
	int r = read_leaves((void *)l, first, n, leaves);

	if (r == 0)
		r = wv_merkle_inclusion(read_leaves, (void *)l, first, c->size, g.first_path,
					&g.n_first);
	if (r == 0)
		r = wv_merkle_inclusion(read_leaves, (void *)l, last, c->size, g.last_path,
					&g.n_last);
	if (r == 0)
		r = wv_range_root(&g, leaves, &root);
	if (r < 0)
		return wv_stage_fail(s, r, "the log's hashes cannot be read: %s", strerror(-r));
	if (memcmp(&root, &c->root, sizeof(root)) != 0)
		return wv_stage_fail(
			s, -EBADMSG,
			"the log does not fit its checkpoint: waveos-bpf evidence verify "
			"says where");
	o = json_object_new_object();
	json_object_object_add(o, "schema_version", json_object_new_int(WV_PACK_SCHEMA_VERSION));
	json_object_object_add(o, "size", json_object_new_uint64(c->size));
	add_hash(o, "root", &c->root);
	json_object_object_add(o, "first_seq", json_object_new_uint64(first + 1));
	json_object_object_add(o, "last_seq", json_object_new_uint64(last + 1));
	json_object_object_add(o, "first_path", path_json(g.first_path, g.n_first));
	json_object_object_add(o, "last_path", path_json(g.last_path, g.n_last));
	r = add_json(s, WV_PACK_PROOF, o);
	json_object_put(o);
	return r ?: wv_stage_add(s, WV_PACK_LEAVES, leaves, n * sizeof(*leaves));
}

/* Classes that the redactor found in one record. */
static struct json_object *classes_since(const struct wv_redactor *r,
					 const uint64_t before[WV_CLASS_N])
{
	struct json_object *list = json_object_new_array();

	for (int i = 0; i < WV_CLASS_N; i++)
		if (r->found[i] != before[i])
			json_object_array_add(list, json_object_new_string(wv_class_names[i]));
	return list;
}

/* The line as it may leave: *ret_text to be freed, NULL if it is the log's own. */
static int redact_line(struct wv_pack_stage *s, uint64_t seq, const char *line,
		       const struct wv_hash *leaf, struct json_object *redacted, char **ret_text)
{
	struct json_object *o = json_tokener_parse(line), *entry;
	uint64_t before[WV_CLASS_N];
	size_t len;
	int r;

	if (!o)
		return -EBADMSG;
	memcpy(before, s->redactor.found, sizeof(before));
	r = wv_redact_json(&s->redactor, o);
	if (r > 0) {
		r = wv_canonical(o, ret_text, &len);
		entry = json_object_new_object();
		json_object_object_add(entry, "seq", json_object_new_uint64(seq));
		add_hash(entry, "leaf", leaf);
		json_object_object_add(entry, "classes", classes_since(&s->redactor, before));
		json_object_array_add(redacted, entry);
	}
	json_object_put(o);
	return r;
}

static int add_records(struct wv_pack_stage *s, const struct wv_hash *leaves,
		       struct json_object *redacted)
{
	const struct wv_pack_options *o = s->o;
	struct wv_tlog_reader *reader = NULL;
	_cleanup_free_ char *all = NULL;
	uint64_t want = o->first_seq, seq;
	size_t all_len = 0, len;
	const char *line;
	FILE *f = open_memstream(&all, &all_len);
	int r = f ? wv_tlog_read_open(&reader, o->io, o->paths->state, o->first_seq) : -ENOMEM;

	for (; r >= 0 && want <= o->last_seq; want++) {
		_cleanup_free_ char *clean = NULL;
		const struct wv_hash *leaf = &leaves[want - o->first_seq];
		struct wv_hash own;

		r = wv_tlog_read(reader, &seq, &line, &len);
		if (r == 0 || (r > 0 && seq != want))
			r = -ENODATA;
		if (r < 0)
			break;
		wv_merkle_leaf(line, len, &own);
		if (memcmp(&own, leaf, sizeof(own)) != 0)
			r = -EBADMSG;
		else
			r = redact_line(s, want, line, leaf, redacted, &clean);
		fprintf(f, "%s\n", clean ?: line);
		if (ftello(f) > (off_t)WV_PACK_FILE_MAX)
			r = -EFBIG;
	}
	wv_tlog_read_close(reader);
	if (f && fclose(f) != 0)
		r = -ENOMEM;
	if (r == -ENODATA)
		return wv_stage_fail(s, r, "record %" PRIu64 " is not in the log any more", want);
	if (r < 0)
		return wv_stage_fail(s, r, "record %" PRIu64 " cannot be read: %s", want,
				     strerror(-r));
	return wv_stage_add(s, WV_PACK_RECORDS, all, all_len);
}

int wv_stage_log(struct wv_pack_stage *s)
{
	const struct wv_pack_options *o = s->o;
	uint64_t n = o->last_seq - o->first_seq + 1;
	struct json_object *redacted = json_object_new_array();
	_cleanup_free_ struct wv_hash *leaves = NULL;
	struct wv_checkpoint c = {0};
	char path[2 * WV_PATH_SIZE];
	struct leaves l = {.io = o->io, .fd = -1};
	int dir, r;

	s->log = json_object_new_object();
	json_object_object_add(s->log, "redacted", redacted);
	if (!o->first_seq || o->last_seq < o->first_seq || n > WV_PACK_RECORDS_MAX)
		return wv_stage_fail(s, -ERANGE,
				     "%" PRIu64 " records are more than fit in a pack (%u)", n,
				     WV_PACK_RECORDS_MAX);
	snprintf(path, sizeof(path), "%s/log", o->paths->state);
	dir = o->io->open(o->io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (dir < 0)
		return wv_stage_fail(s, dir, "%s: %s", path, strerror(-dir));
	leaves = calloc(n, sizeof(*leaves));
	r = leaves ? read_checkpoint(s, dir, &c) : -ENOMEM;
	if (r == 0) {
		l.fd = o->io->open(o->io->ctx, dir, "hashes", O_RDONLY, 0);
		r = l.fd < 0 ? wv_stage_fail(s, l.fd, "%s/hashes: %s", path, strerror(-l.fd))
			     : add_proof(s, &l, &c, leaves);
	}
	if (r == 0)
		r = add_records(s, leaves, redacted);
	if (l.fd >= 0)
		(void)o->io->close(o->io->ctx, l.fd);
	(void)o->io->close(o->io->ctx, dir);
	if (r < 0)
		return r;
	json_object_object_add(s->log, "origin", json_object_new_string(c.origin));
	json_object_object_add(s->log, "first_seq", json_object_new_uint64(o->first_seq));
	json_object_object_add(s->log, "last_seq", json_object_new_uint64(o->last_seq));
	json_object_object_add(s->log, "size", json_object_new_uint64(c.size));
	add_hash(s->log, "root", &c.root);
	s->result->records = n;
	s->result->redacted = json_object_array_length(redacted);
	return 0;
}
