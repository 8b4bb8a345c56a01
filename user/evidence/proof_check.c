// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "user/core/base64.h"
#include "user/core/cleanup.h"
#include "user/evidence/canonical.h"
#include "user/evidence/proof.h"

#define PROOF_MAX (1U << 20)

struct check {
	struct json_object *o;
	const struct wv_note_verifier *verifiers;
	unsigned n_verifiers;
	struct wv_hash path[WV_PROOF_MAX];
	unsigned n;
	struct wv_proof_facts *facts;
};

static int wrong(struct check *c, int error, const char *format, ...) _printf_(3, 4);

static int wrong(struct check *c, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->facts->why, sizeof(c->facts->why), format, args);
	va_end(args);
	return error;
}

static const char *text_of(struct check *c, const char *key, size_t *ret_len)
{
	struct json_object *v;

	if (!json_object_object_get_ex(c->o, key, &v) || !json_object_is_type(v, json_type_string))
		return NULL;
	*ret_len = (size_t)json_object_get_string_len(v);
	return json_object_get_string(v);
}

static int number_of(struct check *c, const char *key, uint64_t *ret)
{
	struct json_object *v;

	if (!json_object_object_get_ex(c->o, key, &v) || !json_object_is_type(v, json_type_int) ||
	    json_object_get_int64(v) < 0)
		return wrong(c, -EPROTO, "it has no `%s`", key);
	*ret = json_object_get_uint64(v);
	return 0;
}

static int path_of(struct check *c)
{
	struct json_object *list, *h;
	size_t i, n;

	if (!json_object_object_get_ex(c->o, "path", &list) ||
	    !json_object_is_type(list, json_type_array) ||
	    json_object_array_length(list) > WV_PROOF_MAX)
		return wrong(c, -EPROTO, "it has no `path`");
	n = json_object_array_length(list);
	for (i = 0; i < n; i++) {
		h = json_object_array_get_idx(list, i);
		if (!json_object_is_type(h, json_type_string) ||
		    wv_base64_decode(json_object_get_string(h),
				     (size_t)json_object_get_string_len(h), c->path[i].bytes,
				     WV_HASH_SIZE) != WV_HASH_SIZE)
			return wrong(c, -EPROTO, "hash %zu of its path is none", i);
	}
	c->n = (unsigned)n;
	return 0;
}

/* The checkpoint under this key, signed by the first verifier and about its log. */
static int checkpoint_of(struct check *c, const char *key, struct wv_checkpoint *ret)
{
	size_t len = 0, text_len;
	const char *note = text_of(c, key, &len);
	uint64_t by = 0;
	int r;

	if (!note)
		return wrong(c, -EBADMSG, "it has no `%s`: nobody signed what it says", key);
	r = wv_note_open(note, len, c->verifiers, c->n_verifiers, &by, NULL, &text_len);
	if (r == -ENOMEM)
		return r;
	if (r == 0)
		r = wv_checkpoint_parse(note, text_len, ret);
	if (r == -EPROTO)
		return wrong(c, -EBADMSG, "`%s` is no checkpoint", key);
	if (r < 0 || !(by & 1))
		return wrong(c, -EBADMSG, "`%s` is not signed by %s", key, c->verifiers[0].name);
	if (strcmp(ret->origin, c->verifiers[0].name) != 0)
		return wrong(c, -EBADMSG, "`%s` is of another log", key);
	return 0;
}

static int check_inclusion(struct check *c)
{
	struct wv_checkpoint checkpoint;
	uint64_t index = 0, size = 0;
	struct wv_record_head head;
	struct wv_hash leaf;
	const char *record;
	size_t len = 0;
	int r;

	record = text_of(c, "record", &len);
	if (!record)
		return wrong(c, -EPROTO, "it has no `record`");
	r = number_of(c, "index", &index);
	if (r == 0)
		r = number_of(c, "size", &size);
	if (r == 0)
		r = path_of(c);
	if (r < 0)
		return r;
	c->facts->old = index + 1;
	c->facts->size = size;
	c->facts->record = strndup(record, len);
	if (!c->facts->record)
		return -ENOMEM;
	r = checkpoint_of(c, "checkpoint", &checkpoint);
	if (r < 0)
		return r;
	if (checkpoint.size != size)
		return wrong(c, -EBADMSG, "the checkpoint is of %" PRIu64 " records",
			     checkpoint.size);
	wv_merkle_leaf(record, len, &leaf);
	if (wv_merkle_check_inclusion(index, size, &leaf, c->path, c->n, &checkpoint.root) < 0)
		return wrong(c, -EBADMSG, "record and path do not give the signed root");
	if (wv_canonical_record(record, len, &head) == 0 && head.seq && head.seq != index + 1)
		return wrong(c, -EBADMSG, "the record says to be %" PRIu64, head.seq);
	return 0;
}

static int check_consistency(struct check *c)
{
	struct wv_checkpoint old, new;
	int r;

	r = number_of(c, "old_size", &c->facts->old);
	if (r == 0)
		r = number_of(c, "size", &c->facts->size);
	if (r == 0)
		r = path_of(c);
	if (r == 0)
		r = checkpoint_of(c, "old_checkpoint", &old);
	if (r == 0)
		r = checkpoint_of(c, "checkpoint", &new);
	if (r < 0)
		return r;
	if (old.size != c->facts->old || new.size != c->facts->size)
		return wrong(c, -EBADMSG, "the checkpoints are of other sizes");
	if (wv_merkle_check_consistency(old.size, new.size, &old.root, &new.root, c->path, c->n) <
	    0)
		return wrong(c, -EBADMSG, "the older checkpoint is not a prefix of the newer");
	return 0;
}

/* Of so many bytes: nothing needs to follow them. */
static struct json_object *object_of(const char *text, size_t len)
{
	struct json_tokener *t = json_tokener_new_ex(64);
	struct json_object *o = t ? json_tokener_parse_ex(t, text, (int)len) : NULL;

	if (t)
		json_tokener_free(t);
	return o;
}

int wv_proof_check(const char *text, size_t len, const struct wv_note_verifier *verifiers,
		   unsigned n, struct wv_proof_facts *ret)
{
	struct check c = {.verifiers = verifiers, .n_verifiers = n, .facts = ret};
	const char *type;
	size_t type_len = 0;
	int r;

	*ret = (struct wv_proof_facts){0};
	if (!n)
		return -EINVAL;
	while (len && text[len - 1] == '\n')
		len--;
	/* one form: what is looked at is what anybody else who parses it sees */
	r = len > PROOF_MAX ? -EPROTO : wv_canonical_check(text, len);
	if (r < 0)
		return wrong(&c, r == -ENOMEM ? r : -EPROTO, "it is not canonical JSON");
	c.o = object_of(text, len);
	type = text_of(&c, "type", &type_len);
	if (type && strcmp(type, "inclusion-proof") == 0) {
		ret->kind = WV_PROOF_INCLUSION;
		r = check_inclusion(&c);
	} else if (type && strcmp(type, "consistency-proof") == 0) {
		ret->kind = WV_PROOF_CONSISTENCY;
		r = check_consistency(&c);
	} else {
		r = wrong(&c, -EPROTO,
			  "its `type` is neither inclusion-proof nor "
			  "consistency-proof");
	}
	json_object_put(c.o);
	return r;
}

void wv_proof_facts_done(struct wv_proof_facts *f)
{
	free(f->record);
	f->record = NULL;
}
