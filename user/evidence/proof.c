// SPDX-License-Identifier: GPL-2.0-only
#include "user/evidence/proof.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>

#include "user/core/base64.h"
#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"
#include "user/evidence/tlog.h"

#define SCHEMA_VERSION 1
#define INCLUSION "inclusion-proof"
#define CONSISTENCY "consistency-proof"
#define HASH_LENGTH WV_BASE64_LENGTH(WV_HASH_SIZE)

int wv_leaf_file_open(struct wv_leaf_file *f, int dirfd)
{
	f->fd = openat(dirfd, WV_TLOG_HASHES_NAME, O_RDONLY | O_CLOEXEC);
	return f->fd < 0 ? -errno : 0;
}

void wv_leaf_file_close(struct wv_leaf_file *f)
{
	close(f->fd);
}

int wv_leaf_file_read(void *leaf_file, uint64_t first, size_t n, struct wv_hash *ret)
{
	const struct wv_leaf_file *f = leaf_file;
	size_t want = n * WV_HASH_SIZE, got = 0;

	while (got < want) {
		ssize_t k = pread(f->fd, (char *)ret + got, want - got,
				  (off_t)(first * WV_HASH_SIZE + got));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k ? -errno : -ERANGE;
		got += (size_t)k;
	}
	return 0;
}

static int add(struct json_object *o, const char *key, struct json_object *value)
{
	if (value && json_object_object_add(o, key, value) == 0)
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

static struct json_object *hash_text(const struct wv_hash *h)
{
	char text[HASH_LENGTH + 1];

	wv_base64_encode(h->bytes, sizeof(h->bytes), text);
	return json_object_new_string(text);
}

static int add_path(struct json_object *o, const struct wv_hash *path, unsigned n)
{
	struct json_object *list = json_object_new_array();
	unsigned i;
	int r = list ? 0 : -ENOMEM;

	for (i = 0; i < n && r == 0; i++)
		if (json_object_array_add(list, hash_text(&path[i])) < 0)
			r = -ENOMEM;
	if (r < 0) {
		json_object_put(list);
		return r;
	}
	return add(o, "path", list);
}

/* Takes the object; *ret is to be freed. */
static int to_text(struct json_object *o, const char *type, int r, char **ret)
{
	size_t len;

	if (r == 0)
		r = add(o, "type", json_object_new_string(type));
	if (r == 0)
		r = add(o, "schema_version", json_object_new_int(SCHEMA_VERSION));
	if (r == 0)
		r = wv_canonical(o, ret, &len);
	json_object_put(o);
	return r;
}

/* The claim of a note, whoever signed it. */
static int claim_of(const char *note, size_t len, struct wv_checkpoint *ret)
{
	uint64_t by;
	size_t text_len;
	int r = wv_note_open(note, len, NULL, 0, &by, NULL, &text_len);

	return r < 0 ? r : wv_checkpoint_parse(note, text_len, ret);
}

int wv_proof_inclusion(struct wv_leaf_file *leaves, uint64_t seq, const char *record, size_t len,
		       const char *note, size_t note_len, char **ret)
{
	struct wv_hash path[WV_PROOF_MAX], leaf;
	struct json_object *o;
	struct wv_checkpoint c;
	unsigned n;
	int r;

	r = claim_of(note, note_len, &c);
	if (r < 0)
		return r;
	if (!seq || seq > c.size)
		return -ERANGE;
	r = wv_merkle_inclusion(wv_leaf_file_read, leaves, seq - 1, c.size, path, &n);
	if (r < 0)
		return r;
	wv_merkle_leaf(record, len, &leaf);
	r = wv_merkle_check_inclusion(seq - 1, c.size, &leaf, path, n, &c.root);
	if (r < 0)
		return r;
	o = json_object_new_object();
	if (!o)
		return -ENOMEM;
	r = add(o, "checkpoint", json_object_new_string_len(note, (int)note_len));
	if (r == 0)
		r = add(o, "index", json_object_new_uint64(seq - 1));
	if (r == 0)
		r = add(o, "size", json_object_new_uint64(c.size));
	if (r == 0)
		r = add(o, "record", json_object_new_string_len(record, (int)len));
	if (r == 0)
		r = add_path(o, path, n);
	return to_text(o, INCLUSION, r, ret);
}

int wv_proof_consistency(struct wv_leaf_file *leaves, uint64_t old, uint64_t size,
			 const char *old_note, const char *note, char **ret)
{
	struct wv_hash path[WV_PROOF_MAX], old_root, root;
	struct json_object *o;
	unsigned n;
	int r;

	r = wv_merkle_consistency(wv_leaf_file_read, leaves, old, size, path, &n);
	if (r == 0)
		r = wv_merkle_root_of(wv_leaf_file_read, leaves, old, &old_root);
	if (r == 0)
		r = wv_merkle_root_of(wv_leaf_file_read, leaves, size, &root);
	if (r < 0)
		return r;
	o = json_object_new_object();
	if (!o)
		return -ENOMEM;
	r = add(o, "old_size", json_object_new_uint64(old));
	if (r == 0)
		r = add(o, "size", json_object_new_uint64(size));
	if (r == 0)
		r = add(o, "old_root", hash_text(&old_root));
	if (r == 0)
		r = add(o, "root", hash_text(&root));
	if (r == 0 && old_note)
		r = add(o, "old_checkpoint", json_object_new_string(old_note));
	if (r == 0 && note)
		r = add(o, "checkpoint", json_object_new_string(note));
	if (r == 0)
		r = add_path(o, path, n);
	return to_text(o, CONSISTENCY, r, ret);
}
