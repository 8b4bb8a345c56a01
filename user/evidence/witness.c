// SPDX-License-Identifier: GPL-2.0-only
/*
 * The witness. Invariant: for each origin, a cosignature leaves only after the note that it is of
 * has replaced the one before on disk, under a lock; so that of two requests that both continue
 * one state only one is answered.
 */
#include "user/evidence/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "user/core/base64.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"

#define HASH_LENGTH WV_BASE64_LENGTH(WV_HASH_SIZE)
/* c2sp.org/tlog-witness */
#define PROOF_LINES_MAX 63
#define STATE_NAME_SIZE (2 * 16 + 1)

enum {
	HTTP_OK = 200,
	HTTP_BAD_REQUEST = 400,
	HTTP_FORBIDDEN = 403,
	HTTP_NOT_FOUND = 404,
	HTTP_CONFLICT = 409,
	HTTP_UNPROCESSABLE = 422,
	HTTP_INTERNAL = 500,
};

struct request {
	uint64_t old;
	struct wv_hash proof[WV_PROOF_MAX];
	unsigned n;
	const char *note;
	size_t note_len, text_len;
	struct wv_checkpoint c;
};

static int parse_size(const char *s, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	if (!len || len > 20 || (s[0] == '0' && len > 1))
		return -EPROTO;
	for (; len; s++, len--)
		if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -EPROTO;
	*ret = v;
	return 0;
}

static int parse_request(const char *body, size_t len, struct request *ret)
{
	const char *end = body + len, *newline;

	newline = memchr(body, '\n', len);
	if (!newline || newline - body < 5 || memcmp(body, "old ", 4) != 0 ||
	    parse_size(body + 4, (size_t)(newline - body) - 4, &ret->old) < 0)
		return -EPROTO;
	for (body = newline + 1; body < end; body = newline + 1) {
		newline = memchr(body, '\n', (size_t)(end - body));
		if (!newline)
			return -EPROTO;
		if (newline == body) {
			ret->note = newline + 1;
			ret->note_len = (size_t)(end - ret->note);
			return 0;
		}
		if (ret->n == PROOF_LINES_MAX ||
		    wv_base64_decode(body, (size_t)(newline - body), ret->proof[ret->n].bytes,
				     WV_HASH_SIZE) != WV_HASH_SIZE)
			return -EPROTO;
		ret->n++;
	}
	return -EPROTO;
}

/* Whose log it is, and that it signed this. An HTTP status. */
static int authenticate(const struct wv_witness *w, struct request *q)
{
	const struct wv_note_verifier *log = NULL;
	const char *newline = memchr(q->note, '\n', q->note_len);
	uint64_t by = 0;
	int r;

	if (!newline)
		return HTTP_BAD_REQUEST;
	for (unsigned i = 0; i < w->n_logs && !log; i++)
		if (strlen(w->logs[i].name) == (size_t)(newline - q->note) &&
		    memcmp(w->logs[i].name, q->note, (size_t)(newline - q->note)) == 0)
			log = &w->logs[i];
	if (!log)
		return HTTP_NOT_FOUND;
	r = wv_note_open(q->note, q->note_len, log, 1, &by, NULL, &q->text_len);
	if (r == -EBADMSG || (r == 0 && !by))
		return HTTP_FORBIDDEN;
	if (r == 0)
		r = wv_checkpoint_parse(q->note, q->text_len, &q->c);
	if (r == -EPROTO || (r == 0 && q->old > q->c.size))
		return HTTP_BAD_REQUEST;
	return r < 0 ? HTTP_INTERNAL : HTTP_OK;
}

/* A name that any origin can have as a file. */
static void state_name(const char *origin, char ret[STATE_NAME_SIZE])
{
	unsigned char hash[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)origin, strlen(origin), hash);
	for (unsigned i = 0; i < 16; i++)
		snprintf(ret + (size_t)(2 * i), 3, "%02x", hash[i]);
}

/* What was cosigned last; size 0 if nothing was. */
static int read_state(const struct wv_witness *w, const char *origin, struct wv_checkpoint *ret)
{
	_cleanup_free_ char *note = NULL;
	char name[STATE_NAME_SIZE];
	struct wv_note_verifier own;
	size_t len, text_len;
	uint64_t by = 0;
	int r;

	state_name(origin, name);
	r = wv_io_read_file(w->io, w->dirfd, name, 2 * WV_NOTE_MAX, &note, &len);
	if (r == -ENOENT) {
		*ret = (struct wv_checkpoint){0};
		return 0;
	}
	if (r == 0)
		r = wv_note_verifier_init(&own, w->name, WV_NOTE_COSIGNATURE_V1,
					  &w->key->public_key);
	if (r == 0)
		r = wv_note_open(note, len, &own, 1, &by, NULL, &text_len);
	if (r == 0)
		r = wv_checkpoint_parse(note, text_len, ret);
	if (r == 0 && (!by || strcmp(ret->origin, origin) != 0))
		r = -EBADMSG;
	return r;
}

static int empty_root(const struct wv_hash *root)
{
	struct wv_merkle none;
	struct wv_hash h;

	none.size = 0;
	wv_merkle_root(&none, &h);
	return memcmp(&h, root, sizeof(h)) == 0;
}

/* Whether the checkpoint continues the state. An HTTP status. */
static int compare(const struct request *q, const struct wv_checkpoint *seen)
{
	if (q->old != seen->size)
		return HTTP_CONFLICT;
	if (!seen->size && q->c.size)
		return q->n ? HTTP_UNPROCESSABLE : HTTP_OK;
	if (!seen->size)
		return empty_root(&q->c.root) && !q->n ? HTTP_OK : HTTP_UNPROCESSABLE;
	if (q->c.size == seen->size && memcmp(&q->c.root, &seen->root, sizeof(seen->root)) != 0)
		return HTTP_CONFLICT;
	return wv_merkle_check_consistency(seen->size, q->c.size, &seen->root, &q->c.root, q->proof,
					   q->n) == 0
		       ? HTTP_OK
		       : HTTP_UNPROCESSABLE;
}

/* Signs and keeps what was signed; *ret_line only then. */
static int cosign(const struct wv_witness *w, const struct request *q, char **ret_line)
{
	_cleanup_free_ char *text = strndup(q->note, q->text_len), *line = NULL, *note = NULL;
	char name[STATE_NAME_SIZE];
	int r;

	if (!text)
		return -ENOMEM;
	r = wv_note_cosign(text, w->name, w->key, w->io->wall_ns(w->io->ctx) / 1000000000, &line);
	if (r < 0)
		return r;
	/* without the signatures that others added: they are not checked, and could fill it */
	if (asprintf(&note, "%s\n%s", text, line) < 0)
		return -ENOMEM;
	state_name(q->c.origin, name);
	r = wv_io_replace(w->io, w->dirfd, name, note, strlen(note), 0600);
	if (r == 0)
		*ret_line = TAKE_PTR(line);
	return r;
}

static int add_locked(const struct wv_witness *w, const struct request *q, char **ret)
{
	struct wv_checkpoint seen;
	int status, r;

	r = read_state(w, q->c.origin, &seen);
	if (r < 0) {
		wv_log_errno(r, "witness", "what was cosigned for %s cannot be read", q->c.origin);
		return HTTP_INTERNAL;
	}
	status = compare(q, &seen);
	if (status == HTTP_CONFLICT && asprintf(ret, "%" PRIu64 "\n", seen.size) < 0) {
		*ret = NULL;
		return HTTP_INTERNAL;
	}
	if (status != HTTP_OK)
		return status;
	r = cosign(w, q, ret);
	if (r < 0) {
		wv_log_errno(r, "witness", "cosigning for %s", q->c.origin);
		return HTTP_INTERNAL;
	}
	return HTTP_OK;
}

int wv_witness_add(const struct wv_witness *w, const char *body, size_t len, char **ret)
{
	struct request q = {0};
	int status, lock, r;

	*ret = NULL;
	if (len > WV_WITNESS_BODY_MAX || parse_request(body, len, &q) < 0)
		return HTTP_BAD_REQUEST;
	status = authenticate(w, &q);
	if (status != HTTP_OK)
		return status;
	lock = w->io->open(w->io->ctx, w->dirfd, "lock", O_RDWR | O_CREAT, 0600);
	if (lock < 0)
		return HTTP_INTERNAL;
	r = w->io->lock(w->io->ctx, lock, true);
	status = r < 0 ? HTTP_INTERNAL : add_locked(w, &q, ret);
	(void)w->io->close(w->io->ctx, lock);
	return status;
}
